"""The soak's own machinery: a few seconds of it, and what its verdict makes of records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ccx.protocols.names import Protocol
from ccx.runtime.loading import Loader
from tests.soak import tables
from tests.soak.run import Plan, soak
from tests.soak.verdict import Sample, Troubles, explained, growth, leftovers, slope, stalls
from tests.soak.wire import Asked, expected, judged, request

MARKER = "mk" + "0a" * 6


def test_a_short_soak(tmp_path: Path) -> None:
    plan = Plan(3.0, rate=60.0, clients=12, swap=0.7, rotate=1.2, quiet=2.5)
    result = soak(plan, tmp_path)
    assert result["requests"] > 60
    assert result["verdicts"]["good"] > 40
    assert result["faults"] > 0
    assert result["operator"]["applied"] >= 2
    assert (result["wrong"], result["unexpected"], result["unexpected_first"]) == (0, 0, [])
    assert result["faulty"] == []
    assert "| verdict |" in (tmp_path / "result.md").read_text()
    assert json.loads((tmp_path / "result.json").read_text())["exit"] == 0


@pytest.mark.parametrize("number", range(12))
def test_every_table_is_one(number: int, tmp_path: Path) -> None:
    path = tmp_path / "ccx.yaml"
    path.write_text(tables.spec(number, tables.Keys(("ccx_a", "ccx_b")), upstream=1000, closed=1001))
    found = Loader(path, {}).look()
    assert found.table is not None, found.problems
    assert {channel.name for channel in found.table.channels} >= set(tables.channels(number))
    assert {client.name for client in found.table.clients} == set(tables.clients(number))
    assert {route.name for route in found.table.routes} == set(tables.routes(number))


@pytest.mark.parametrize("text", tables.BROKEN)
def test_a_broken_one_is_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "ccx.yaml"
    path.write_text(text)
    assert Loader(path, {}).look().table is None


def _chat(said: str) -> bytes:
    return json.dumps({"choices": [{"message": {"content": said}}]}).encode()


@pytest.mark.parametrize(
    ("body", "whole", "verdict"),
    [
        (_chat(expected(MARKER)), True, "good"),
        (_chat(expected(MARKER)[:-5]), True, "wrong"),
        (_chat(expected("mk" + "0b" * 6)), True, "wrong"),
        (_chat(expected(MARKER))[:40], False, "broken"),
        (b"{}", True, "wrong"),
    ],
)
def test_an_answer_is_held_to_its_request(body: bytes, whole: bool, verdict: str) -> None:
    asked = Asked(MARKER, status=200, body=body)
    assert judged(Protocol.CHAT, asked, stream=False, whole=whole) == verdict


def test_a_stream_is_held_to_its_request() -> None:
    def event(said: str) -> bytes:
        return b"data: " + json.dumps({"choices": [{"delta": {"content": said}}]}).encode() + b"\n\n"

    words = [event(word + " ") for word in expected(MARKER)[:-1].split(" ")][:-1]
    rest = event(expected(MARKER).rpartition(" ")[2])
    done, error = b"data: [DONE]\n\n", b'data: {"error": {"message": "broke off"}}\n\n'
    for pieces, whole, verdict in (
        ([*words, rest, done], True, "good"),
        ([*words, error], True, "error"),
        (words[:3], False, "broken"),
        ([words[0], *words[2:], rest, done], True, "wrong"),
        ([words[0], *words[2:], error], True, "wrong"),
        ([*words, done], True, "wrong"),
    ):
        asked = Asked(MARKER, status=200, body=b"".join(pieces))
        assert judged(Protocol.CHAT, asked, stream=True, whole=whole) == verdict, (asked.why, verdict)


def test_a_large_request_is_large() -> None:
    sent = request(Protocol.MESSAGES, model="m", key="k", marker=MARKER, stream=True, size=200 * 1024, session="s")
    assert 200_000 < len(sent) < 210_000
    assert sent.count(MARKER.encode()) == 1


def _complaint(verdict: str, status: int, **more: object) -> dict[str, Any]:
    return {"verdict": verdict, "status": status, "client": "main", "family": "gem", "t": 1000.0, **more}


def _line(*attempts: tuple[str, str], **more: object) -> dict[str, Any]:
    made = [{"channel": channel, "outcome": outcome} for channel, outcome in attempts]
    return {"attempts": made, "cache": None, "limited_by": None, "latency": {"total_ms": 0.0}, **more}


def test_only_what_the_records_show_is_an_excuse() -> None:
    nobody, drained = Troubles([]), Troubles([("c1", 998.0, 1001.0), ("m1", 998.0, 1001.0)])
    one = _line(("g1", "server_error"))
    assert explained(_complaint("refused", 500), one, ["status 500"], nobody) is None
    assert explained(_complaint("refused", 500), one, ["status 500"], drained) is not None
    assert explained(_complaint("refused", 500), one, [], drained) is None
    failing = Troubles([])
    for name in ("c1", "m1"):
        failing.note({**_line((name, "timeout")), "ts": "1970-01-01T00:16:39.000Z"})
    failing.settle()
    assert explained(_complaint("refused", 500), one, ["status 500"], failing) is not None
    every = _line(("g1", "server_error"), ("c1", "connect"), ("m1", "connect"))
    assert explained(_complaint("refused", 502), every, ["reset"] * 3, nobody) == "a fault at every target"
    assert explained(_complaint("error", 200), one, ["cut"], nobody) == "after the first byte"
    assert explained(_complaint("error", 200), one, ["status 500"], nobody) is None
    assert explained(_complaint("wrong", 200), one, ["cut"], nobody) is None
    assert explained(_complaint("lost", 0), None, ["cut"], nobody) is None
    limited = _line(limited_by="client 'capped'/requests/60")
    assert explained(_complaint("refused", 429, client="capped"), limited, [], nobody) == "limit of the client"
    assert explained(_complaint("refused", 429), limited, [], nobody) is None


def test_growth_is_seen() -> None:
    flat = [Sample(at, 100 * 2**20 + at % 3 * 4096, 50 + at % 2) for at in range(600)]
    assert growth(flat, seconds=600.0)["flat"]
    more = [Sample(at, 100 * 2**20 + at * 20_000, 50) for at in range(600)]
    assert not growth(more, seconds=600.0)["flat"]
    files = [Sample(at, 100 * 2**20, 50 + at // 20) for at in range(600)]
    assert not growth(files, seconds=600.0)["flat"]
    assert slope([(0.0, 1.0), (10.0, 21.0)]) == pytest.approx(2.0)
    assert stalls([(float(n), 0.001 * n) for n in range(100)])["all"] == {"p50": 49.0, "p99": 98.0, "max": 99.0}


def test_names_that_no_table_has() -> None:
    kept = {"names": {"latencies": ["m1", "m-drift-3"], "turns": ["msg"]}}
    assert leftovers(kept, ["m1", "msg"]) == {"latencies": ["m-drift-3"]}
