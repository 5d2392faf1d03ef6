"""Whole replays: counts against brute force, costs, what could not be read, and the reports."""

from __future__ import annotations

import gzip
import io
import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import zstandard
from syrupy.assertion import SnapshotAssertion

from ccx.analysis.outcome import Judge
from ccx.catalog.models import cost, lookup
from ccx.errors import UsageError
from ccx.plan.model import Side
from ccx.plan.render.cells import ASCII, cells
from ccx.plan.replay import files, run, tally
from ccx.plan.replay.files import open_log
from ccx.plan.replay.render_json import render_json
from ccx.plan.replay.render_markdown import MAX_SECTION, render_markdown
from ccx.plan.replay.render_text import render_text
from ccx.plan.replay.result import OTHERS, Cost
from ccx.plan.replay.run import ReplayError
from ccx.protocols.names import Protocol
from ccx.routing.facts import Facts
from tests.plan.replay.logs import NEW, OLD, claude, line, replayed, side, table

MODELS = ["claude-sonnet-4-5", "claude-haiku-4-5", "gpt-5", "gemini-2.5-pro"]


def traffic(seed: int, size: int) -> list[Facts]:
    rng = random.Random(seed)
    return [
        Facts(
            Protocol.MESSAGES,
            rng.choice(MODELS),
            input_tokens=rng.randrange(0, 90_000),
            stream=rng.random() < 0.5,
            client=rng.choice(["team-a", "team-b", None]),
        )
        for _ in range(size)
    ]


@pytest.mark.parametrize("kept", [1, 50_000])
def test_counts_and_costs_are_those_of_one_request_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(tally, "KEPT", kept)
    requests = traffic(1, 400)
    result = replayed(
        tmp_path,
        *(
            line(OLD, facts, input_tokens=facts.input_tokens, cache_read_tokens=0, cache_write_tokens=0)
            if facts.model != "gpt-5"  # whose old route asks for nothing, so nothing was counted
            else line(OLD, replace(facts, input_tokens=None), input_tokens=None)
            for facts in requests
        ),
    )
    before, after = Judge(OLD), Judge(NEW)
    expected = Counter((before.outcome(facts), after.outcome(facts)) for facts in requests)
    moved = Counter({pair: count for pair, count in expected.items() if pair[0] != pair[1]})
    assert {(flow.before, flow.after): flow.requests for flow in result.flows} == moved
    assert (result.requests, result.changed, result.undetermined) == (400, moved.total(), 0)
    assert result.same == 400 - moved.total()
    assert dict(result.effects) == {
        "newly_unrouted": sum(facts.model == "gpt-5" for facts in requests),
        "retargeted": sum(
            (facts.model or "").startswith("claude") and 30_000 < (facts.input_tokens or 0) <= 60_000
            for facts in requests
        ),
    }
    assert sum(group.requests for group in result.clients) == 400
    assert sum(group.moved for group in result.routes) == result.moved
    assert {group.name: group.requests for group in result.clients} == Counter((f.client,) for f in requests)
    priced = Decimal(0)
    for facts in requests:
        outcome = before.outcome(facts)
        for channel, provider in (("anthropic", "anthropic"), ("gemini", "gemini")):
            row = lookup(facts.model or "", provider=provider)
            if outcome.channels == (channel,) and row is not None:
                now = after.outcome(facts).channels[0]
                if now == channel or lookup(facts.model or "", provider=now) is not None:
                    priced += cost(row, input_tokens=facts.input_tokens or 0, output_tokens=20)
    assert result.cost.before == priced


def test_costs_follow_the_spec_and_the_size_of_the_prompt(tmp_path: Path) -> None:
    models = {
        "claude-sonnet-4-5": {
            "price": {
                "input": "1.00",
                "output": "10.00",
                "cache_read": "0.10",
                "above": {"50k": {"input": "2.00", "output": "20.00"}},
            }
        },
        "local": {"price": {"input": "0", "output": "0"}},
    }
    whole = {"name": "all", "when": {"model": "claude-*"}}
    old = table({**whole, "to": ["anthropic"]}, models=models)
    new = table(
        {
            **whole,
            "to": [
                {
                    "balance": "weighted",
                    "targets": [{"channel": "anthropic", "weight": 3}, {"channel": "lab", "model": "local"}],
                }
            ],
        },
        models=models,
    )
    small = line(
        old, claude(None), input_tokens=50_000, output_tokens=1000, cache_read_tokens=40_000, cache_write_tokens=0
    )
    large = line(old, claude(None), input_tokens=50_001, output_tokens=1000, cache_read_tokens=0, cache_write_tokens=0)
    failed = line(old, claude(None), input_tokens=None, output_tokens=None)
    result = replayed(tmp_path, small, large, failed, old=old, new=new)
    before = Decimal("0.010") + Decimal("0.004") + Decimal("0.010") + Decimal("0.100002") + Decimal("0.020")
    assert result.cost.before == before
    assert result.cost.after == before * 3 / 4
    assert (result.cost.requests, result.unmeasured, result.unpriced) == (2, 1, ())
    assert [(flow.effect, flow.share, flow.cost.requests) for flow in result.flows] == [("retargeted", "0.25", 2)]


def test_what_came_from_a_cache_counts_as_requests_and_costs_nothing(tmp_path: Path) -> None:
    """The log has the tokens of the answer that was given again; they were spent once. They still tell where the
    request goes."""
    usage = {"input_tokens": 40_000, "output_tokens": 1000, "cache_read_tokens": 0, "cache_write_tokens": 0}
    new = table({"name": "claude", "to": [{"channel": "anthropic", "model": "claude-haiku-4-5"}]})
    first = line(OLD, claude(40_000), cache="miss", **usage)
    others = [line(OLD, claude(40_000), cache=how, **usage) for how in ("hit", "hit", "joined")]
    plain = replayed(tmp_path, first, new=new)
    result = replayed(tmp_path, first, *others, new=new)
    assert (result.requests, result.moved, result.given, result.unmeasured) == (4, 4, 3, 0)
    assert (result.cost.before, result.cost.after) == (plain.cost.before, plain.cost.after)
    assert (plain.cost.requests, result.cost.requests) == (1, 4)
    assert plain.cost.before > plain.cost.after > 0
    (flow,) = result.flows
    assert (flow.requests, flow.input_tokens, flow.output_tokens) == (4, 40_000, 1000)
    assert json.loads(render_json(result))["from_cache"] == 3
    said = "3 requests that had an answer of the cache, or another's, and cost nothing"
    assert said in render_text(result)
    assert f"- From cache: {said}" in render_markdown(result)
    alone = replayed(tmp_path, *others, new=new)
    assert (alone.cost.requests, alone.cost.before, alone.cost.after) == (3, Decimal(0), Decimal(0))
    assert "$0" in render_text(alone)
    bypass = replayed(tmp_path, line(OLD, claude(40_000), cache="bypass", **usage), new=new)
    assert (bypass.given, bypass.cost) == (0, plain.cost)


def test_a_price_that_is_not_known_is_said_and_never_zero(tmp_path: Path) -> None:
    new = table({"name": "all", "to": [{"channel": "lab", "model": "qwen"}]})
    result = replayed(tmp_path, line(OLD, claude(10)), line(OLD, claude(70_000)), new=new)
    assert result.cost == Cost()
    assert dict(result.unpriced) == {"lab/qwen": 1, "gemini/claude-sonnet-4-5": 1}


def test_a_request_that_nobody_serves_costs_nothing(tmp_path: Path) -> None:
    result = replayed(tmp_path, line(OLD, claude(10)), new=table({"name": "x", "when": {"model": "x"}, "to": ["lab"]}))
    assert result.cost.requests == 1
    assert result.cost.after == 0 < result.cost.before
    assert dict(result.effects) == {"newly_unrouted": 1}


def test_the_log_tells_when_another_table_served(tmp_path: Path) -> None:
    result = replayed(tmp_path, line(OLD, claude(10), route="claude"), line(OLD, claude(10), route="other"))
    assert result.elsewhere == 1


def test_what_cannot_be_read_is_counted_with_its_place(tmp_path: Path) -> None:
    good = line(OLD, claude(10))
    result = replayed(
        tmp_path,
        good,
        b"",
        b"oops",
        b"\x1b[2J",
        b"[" * 100_000,
        b"\xff",
        good,
        b'{"x":1}',
        b"  ",
        b"x" * 10_000_000,
        good,
    )
    assert (result.requests, result.lines) == (3, 9)
    assert {(skip.why, skip.lines, skip.first.rpartition(":")[2]) for skip in result.skipped} == {
        ("not JSON", 4, "3"),
        ("not a line of ccx's request log", 2, "5"),
    }


def test_a_log_of_which_nothing_can_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match=r"no line could be read: not JSON \(2, first .*log:1\)"):
        replayed(tmp_path, b"oops", b"oops", format="ccx")


def test_an_empty_log_and_one_of_refused_requests_are_none(tmp_path: Path) -> None:
    assert replayed(tmp_path).requests == 0
    refused = line(OLD, claude(10), model_asked=None, seen=None)
    result = replayed(tmp_path, refused)
    assert (result.requests, result.skipped[0].why) == (0, "refused before it was routed")


def test_an_array_and_a_table_are_logs_too(tmp_path: Path) -> None:
    rows = [
        {"call_type": "anthropic_messages", "model": "claude-sonnet-4-5", "prompt_tokens": 45_000,
         "completion_tokens": 10, "metadata": {"user_api_key_alias": f"team-{n % 2}"}}
        for n in range(10)
    ]  # fmt: skip
    array = replayed(tmp_path, json.dumps([*rows, {"call_type": "speech"}], indent=1).encode(), name="a.json")
    text = (
        "protocol,model,input_tokens,output_tokens,client,count\n" + "messages,claude-sonnet-4-5,45000,10,team-0,10\n"
    )
    csv = replayed(tmp_path, text.encode(), name="c.csv")
    assert (array.sources[0].format, array.moved, array.requests, len(array.clients)) == ("litellm", 10, 10, 2)
    assert (csv.sources[0].format, csv.moved, csv.requests, csv.lines) == ("csv", 10, 10, 1)
    assert [skip.first.rpartition(":")[2] for skip in array.skipped] == ["11"]


def packed(suffix: str, data: bytes) -> bytes:
    match suffix:
        case ".gz":
            return gzip.compress(data)
        case ".zst":
            return zstandard.ZstdCompressor().compress(data)
        case _:
            return data


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_packed_logs_and_their_damage(tmp_path: Path, suffix: str) -> None:
    data = b"".join(line(OLD, facts) for facts in traffic(2, 3000))
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    whole.write_bytes(packed(suffix, data))
    cut.write_bytes(packed(suffix, data)[: -len(packed(suffix, data)) // 3])
    sides = side(OLD, "a"), side(NEW, "b")
    assert run.replay(*sides, logs=[str(whole)]).requests == 3000
    damaged = run.replay(*sides, logs=[str(whole), str(cut), str(whole)])
    assert 6000 <= damaged.requests < 9000
    if suffix == ".gz":
        assert "the file is damaged from here on" in {skip.why for skip in damaged.skipped}
    junk = tmp_path / f"junk{suffix}"
    junk.write_bytes(b"junk")
    with pytest.raises((ReplayError, UsageError)):
        run.replay(*sides, logs=[str(junk)])


@pytest.mark.parametrize("block", [1, 7, 10])
def test_lines_are_the_same_however_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(files, "BLOCK", block)
    monkeypatch.setattr(files, "MAX_LINE", 10)
    path = tmp_path / "log"
    path.write_bytes(b"one\n\n" + b"x" * 11 + b"\n" + b"y" * 10 + b"\n" + b"z" * 50 + b"\nlast")
    with open_log(str(path)) as log:
        found = [item for lines in log.lines() for item in lines]
    assert found == [b"one", b"", files.TOO_LONG, b"y" * 10, files.TOO_LONG, b"last"]


def test_a_line_without_end_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_LINE", 1000)
    path = tmp_path / "log"
    path.write_bytes(b"x" * 5_000_000)
    with open_log(str(path)) as log:
        assert [item for lines in log.lines() for item in lines] == [files.TOO_LONG]
    path.write_bytes(b'[{"a":"' + b"x" * 5_000_000)
    with open_log(str(path)) as log:
        assert [item for lines in log.elements() for item in lines] == [files.TOO_LONG]


def test_standard_input_is_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    data = line(OLD, claude(40_000))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    result = run.replay(side(OLD, "a"), side(NEW, "b"), logs=["-"])
    assert (result.moved, result.sources[0].name) == (1, "standard input")


def test_a_log_that_is_not_there_is_said() -> None:
    with pytest.raises(UsageError, match="cannot read 'nowhere'"):
        run.replay(side(OLD, "a"), side(NEW, "b"), logs=["nowhere"])


def test_progress_is_told_in_bytes_of_all_files(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(OLD, claude(10)) * 10)
    told: list[tuple[int, int, int | None]] = []
    run.replay(side(OLD, "a"), side(NEW, "b"), logs=[str(path), str(path)], progress=lambda *said: told.append(said))
    size = path.stat().st_size
    assert told == [(10, size, 2 * size), (20, 2 * size, 2 * size)]


def test_names_without_end_are_counted_as_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "NAMES", 3)
    lines = [line(OLD, claude(40_000, client=f"client-{n}")) for n in range(10)]
    result = replayed(tmp_path, *lines)
    assert result.requests == result.moved == 10
    assert {group.name[0]: group.requests for group in result.clients}[OTHERS] == 7
    assert sum(group.moved for group in result.movers) == 10


HOSTILE = "`|\x1b[2J<img src=x>|@team``` \u202e\n"


def reports() -> dict[str, Callable[[Path], Any]]:
    clients = {name: {"key": {"sha256": digit * 64}} for name, digit in (("team-a", "1"), ("team-b", "2"))}
    routes: list[dict[str, Any]] = [
        {
            "name": "long",
            "when": {"model": "claude-*", "input_tokens": "> 30k"},
            "to": [{"channel": "gemini", "model": "gemini-2.5-pro"}],
        },
        {"name": "think", "when": {"model": "claude-*", "thinking": True}, "to": ["anthropic", "gemini"]},
        {"name": "rest", "when": {"model": "claude-*"}, "to": ["anthropic"]},
        {"name": "no", "when": {"client": "team-b"}, "deny": {"status": 403, "message": "no"}},
        {"name": "lab", "when": {"model": "gemini-*"}, "to": ["lab"]},
    ]
    new = table(*routes, clients=clients)

    def usual(folder: Path) -> Any:
        lines = []
        for facts in traffic(3, 300):
            asked = replace(facts, input_tokens=None) if facts.model not in MODELS[:2] else facts
            lines.append(line(OLD, asked, input_tokens=facts.input_tokens, cache_read_tokens=0, cache_write_tokens=0))
        old = replace(OLD, clients=new.clients)
        return replayed(folder, *lines, b"oops", old=old, new=new)

    hostile = line(OLD, claude(40_000, client=HOSTILE, model="claude-" + HOSTILE))
    return {
        "usual": usual,
        "nothing": lambda folder: replayed(folder, line(OLD, claude(10)), new=OLD),
        "empty": replayed,
        "doubt": lambda folder: replayed(folder, line(OLD, Facts(Protocol.CHAT, "gpt-5")), new=table(
            {"name": "tools", "when": {"tools": True}, "to": ["lab"]})),
        "hostile": lambda folder: replayed(folder, hostile),
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(reports()))
def test_reports(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion) -> None:
    monkeypatch.chdir(tmp_path)
    result = reports()[name](Path())
    shown = "\n".join((render_text(result), render_text(result, width=60, signs=ASCII), render_markdown(result)))
    assert shown == snapshot
    if name != "hostile":
        assert render_json(result) == snapshot(name="json")


@pytest.mark.parametrize("name", sorted(reports()))
@pytest.mark.parametrize("width", [40, 61, 100, 200])
@pytest.mark.parametrize("signs", [None, ASCII])
def test_no_line_is_wider_than_asked_or_more_than_text(name: str, width: int, signs: Any, tmp_path: Path) -> None:
    result = reports()[name](tmp_path)
    text = render_text(result, width=width, **({"signs": signs} if signs else {}))
    assert all(cells(shown) <= width and shown.isprintable() for shown in text.splitlines())
    assert text.isascii() or signs is None
    coloured = render_text(result, width=width, colour=True)
    assert "\x1b[2J" not in coloured


def test_a_section_has_a_bound_and_its_tables_have_as_many_cells_as_their_heads(tmp_path: Path) -> None:
    channels = {f"c{'x' * 60}{n}": {"provider": "demo", "models": [f"m{n}"]} for n in range(60)}
    routes = [{"name": f"r{n}", "when": {"model": f"m{n}"}, "to": [name]} for n, name in enumerate(channels)]
    old = table(*routes, channels=channels)
    new = table(*({**route, "to": [{"channel": "lab", "model": "x" * 200}]} for route in routes), channels=channels | {
        "lab": {"provider": "demo"}})  # fmt: skip
    asked = (Facts(Protocol.CHAT, f"m{n}", client=HOSTILE * 5 + str(n)) for n in range(60))
    lines = [line(old, facts) for facts in asked]
    section = render_markdown(replayed(tmp_path, *lines, old=old, new=new))
    assert len(section) <= MAX_SECTION
    rows = [row.replace("\\|", "") for row in section.splitlines() if row.startswith("| ")]
    widths = [row.count("|") for row in rows]
    assert set(widths) <= {7, 5}
    assert "\x1b" not in section
    assert "<details>" in section
    assert section.endswith("</details>\n")


def test_a_side_is_what_it_was_called(tmp_path: Path) -> None:
    result = replayed(tmp_path, line(OLD, claude(10)))
    assert isinstance(result.old, Side)
    assert (result.old.name, result.new.name) == ("before", "after")
