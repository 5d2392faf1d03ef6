"""`ccx explain --log`: a logged request decided anew, by the spec as it is now."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ccx.cli.main import main
from ccx.protocols.names import Protocol
from ccx.routing.canonical import digest
from ccx.routing.facts import Facts
from tests.cli.test_replay import table
from tests.gateway import running
from tests.plan.replay.logs import line

SPEC = """\
version: ccx/v1
clients:
  team-a: {key: {sha256: "1111111111111111111111111111111111111111111111111111111111111111"}, tags: {team: core}}
channels:
  demo: {provider: demo}
  lab: {provider: demo}
routes:
  - name: long
    when: {model: "m*", input_tokens: "> 60k"}
    to: [lab]
  - name: core
    when: {model: "m*", tag: {team: core}, header: {x-tier: gold}, stream: true}
    to: [lab]
  - name: tools
    when: {model: "t*", tools: true}
    to: [lab]
  - name: rest
    to: [demo]
"""
FACTS = Facts(Protocol.MESSAGES, "m1", tokens_at_most=900, stream=True, client="team-a", tags={"team": "old"},
              headers={"x-tier": "gold"})  # fmt: skip

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ccx.yaml"
    path.write_text(SPEC)
    return path


def logged(spec: Path, facts: Facts = FACTS, **changes: Any) -> bytes:
    served = table(spec)
    return line(served, facts, digest=digest(served), **changes)


def explained(capsys: Capture, *arguments: str) -> dict[str, Any]:
    assert main(["explain", *arguments, "--output", "json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_line_has_all_that_was_decided_on(spec: Path, capsys: Capture) -> None:
    Path("access.jsonl").write_bytes(logged(spec, route="core"))
    assert main(["explain", "--log", "access.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert "messages, m1, stream, client team-a" in shown
    assert "✔  core" in shown or "✔ core" in shown
    assert shown.endswith("logged: it took route core, by this table\n")
    data = explained(capsys, "--log", "access.jsonl")
    assert (data["route"], data["request"]["tags"], data["request"]["headers"]) == (
        "core",
        {"team": "core"},
        {"x-tier": "gold"},
    )
    assert data["logged"] == {"digest": digest(table(spec)), "route": "core", "notes": []}


def test_another_table_is_said_and_so_is_what_the_log_lacks(spec: Path, capsys: Capture) -> None:
    Path("access.jsonl").write_bytes(logged(spec, replace(FACTS, client="gone"), counted_tokens=None))
    spec.write_text(SPEC.replace("tools: true", "tools: true, thinking: true").replace('"t*"', '"m*"'))
    assert main(["explain", "--log", "access.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert "logged: it took no route, by another table, " in shown
    assert "note: the log does not say tools: taken as no\n" in shown
    assert "note: the log does not say thinking: taken as no\n" in shown
    assert "note: the client 'gone' is not declared any more" in shown


def test_tokens_are_the_best_that_the_log_has(spec: Path, capsys: Capture) -> None:
    line_of = {
        "counted": logged(spec, counted_tokens=70_000),
        "bound": logged(spec),
        "none": logged(spec, replace(FACTS, tokens_at_most=None)),
    }
    other = replace(FACTS, model="t1", tokens_at_most=None)
    line_of["reported"] = logged(spec, other, input_tokens=70_000)
    line_of["unknown"] = logged(spec, other, input_tokens=None)
    spec.write_text(SPEC.replace('model: "m*", input_tokens', 'model: "*", input_tokens'))
    found = {name: explained(capsys, "--log", data.decode()) for name, data in line_of.items()}
    assert {name: data["route"] for name, data in found.items()} == {
        "counted": "long",
        "bound": "core",
        "none": "core",
        "reported": "long",
        "unknown": "rest",
    }
    assert found["reported"]["logged"]["notes"] == ["the tokens are the provider's count, not ccx's own"]
    assert found["unknown"]["logged"]["notes"] == ["the log does not say how many tokens the prompt has: taken as none"]


def test_lines_by_number_the_last_and_from_standard_input(
    spec: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [logged(spec, replace(FACTS, model=f"m{number}")) for number in range(5)]
    Path("access.jsonl").write_bytes(b"".join(lines) + b"\n\n")
    for source, model in (("access.jsonl:1", "m0"), ("access.jsonl:4", "m3"), ("access.jsonl", "m4")):
        assert explained(capsys, "--log", source)["request"]["model"] == model
    Path("odd:3").write_bytes(lines[2])
    assert explained(capsys, "--log", "odd:3")["request"]["model"] == "m2"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines[1] + lines[2])))
    assert explained(capsys, "--log", "-")["request"]["model"] == "m1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--log", "nowhere.jsonl"], "cannot read 'nowhere.jsonl'"),
        (["--log", "access.jsonl:9"], "has no line 9"),
        (["--log", "access.jsonl:0"], "has no line 0"),
        (["--log", "empty.jsonl"], "is empty"),
        (["--log", "{}"], "not a line of ccx's request log"),
        (["--log", "{"], "not JSON"),
        (["--log", '{"x":' * 50_000], "not JSON"),
        (["--log", "access.jsonl:2"], "not JSON"),
        (["--log", "access.jsonl", "--model", "m", "--tools"], "--log already says that"),
        (["--log", "access.jsonl", "--request", "-"], "--request: --log already says that"),
    ],
)
def test_mistakes_are_said(spec: Path, capsys: Capture, arguments: list[str], said: str) -> None:
    Path("access.jsonl").write_bytes(logged(spec) + b"\x1b[2J\xff\n")
    Path("empty.jsonl").write_bytes(b"\n\n")
    assert main(["explain", *arguments]) == 64
    shown = capsys.readouterr()
    assert said in shown.err
    assert "\x1b" not in shown.err


def test_a_hostile_line_is_shown_and_never_obeyed(spec: Path, capsys: Capture) -> None:
    hostile = "m\x1b[2J\n✔ rest\u202e"
    data = logged(spec, replace(FACTS, model=hostile, headers={"x-tier": hostile}), route=hostile)
    assert main(["explain", "--log", data.decode()]) == 0
    shown = capsys.readouterr().out
    assert all(text.isprintable() for text in shown.split("\n"))
    assert "\\x1b[2J\\n" in shown


async def test_what_a_gateway_logged_is_explained_as_it_decided(tmp_path: Path, capsys: Capture) -> None:
    text = SPEC.replace("clients:\n", "#").replace("  team-a:", "#").replace("tag: {team: core}, ", "")
    ask = {"model": "m1", "max_tokens": 5, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    async with running(text, tmp_path) as gw:
        answer = await gw.client.post("/v1/messages", json=ask, headers={"x-tier": "gold"})
        assert answer.headers["x-ccx-route"] == "core"
        exchange = await gw.exchange()
    from ccx.telemetry.lines import Clock, json_line

    said = json_line(exchange, Clock())
    facts = json.loads(said)["facts"]
    assert facts == {"tokens_at_most": facts["tokens_at_most"], "headers": {"x-tier": "gold"}}
    data = explained(capsys, str(tmp_path / "ccx.yaml"), "--log", said.decode())
    assert (data["route"], data["logged"]["route"], data["logged"]["notes"]) == ("core", "core", [])
    assert data["logged"]["digest"] == data["digest"]


def test_a_line_of_a_remembered_session_is_decided_by_what_was_remembered(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec.write_text(SPEC.replace("channels:", "tokens: {sticky: 1h}\nchannels:", 1))
    for highest, route in ((None, "rest"), (70_000, "long")):
        data = json.loads(logged(spec, replace(FACTS, tags={}, headers={}))) | {"sticky_tokens": highest}
        assert main(["explain", "--log", json.dumps(data), "--output", "json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["route"], found["sticky_tokens"], len(found["notes"])) == (route, highest, highest is not None)
