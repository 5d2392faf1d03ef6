"""A drill says what the gateway does: the same spec and script, once in a drill and once served on sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults import Action, Drop, FaultUpstream, Reply, Reset, Stall
from tests.gateway import running
from tests.runtime.streams import MESSAGE, STREAM, Pieces
from tests.testing.kit import results

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    529: "overloaded_error",
}
JSON = {"content-type": "application/json"}
GOOD = Reply(200, headers=JSON, body=MESSAGE)
TIMES = "{connect: 300ms, first_byte: 120ms, idle: 120ms, total: 250ms}"


@dataclass(frozen=True)
class Script:
    """What the two upstreams do in turn; the last repeats. `keys` of the first."""

    first: list[Any]
    second: list[Any]
    stream: bool = True
    keys: int = 0
    failover: str = "{attempts: 4, deadline: 5s, backoff: {initial: 5ms, max: 40ms, jitter: none}}"


SCRIPTS = {
    "served at once": Script([200], [200]),
    "served at once, whole": Script([200], [200], stream=False),
    "down": Script(["refused"], [200]),
    "both down": Script(["refused"], ["refused"]),
    **{f"status {status}": Script([status], [200]) for status in TYPES},
    **{f"status {status} of both": Script([status], [500], stream=False) for status in (400, 401, 429, 529)},
    "a different error each": Script([429, 529], [500, 503], stream=False),
    "it asks to wait": Script([{"status": 429, "retry_after": "30ms"}, 200], [529]),
    "it asks to wait too long": Script([{"status": 429, "retry_after": "60s"}, 200], [529]),
    "the second time": Script([529, 200], [500]),
    "the third attempt": Script([500, 500, 200], [503]),
    "other keys": Script([401, 429, 200], [500], keys=3),
    "all keys": Script([429], [200], keys=2),
    "quota": Script([{"error": "quota"}], [200], keys=2),
    "stall": Script(["stall"], [200]),
    "stall of both": Script(["stall"], ["timeout"]),
    "stall, whole": Script(["stall"], [200], stream=False),
    "reset": Script(["reset"], [200]),
    "reset, whole": Script(["reset", 200], ["reset"], stream=False),
    "cut": Script(["cut"], [200]),
    "cut, whole": Script(["cut"], [200], stream=False),
    "silent in the middle": Script(["stall_mid_stream"], [200]),
    "silent in the middle, whole": Script(["stall_mid_stream"], [200], stream=False),
    "then cut": Script([503], ["cut"]),
    "one attempt": Script([500], [200], failover="{attempts: 1}"),
    "not for this": Script([500], [200], failover="{on: [rate_limit, timeout]}"),
    "too late": Script(["stall"], ["stall", 200], failover="{attempts: 9, deadline: 180ms}"),
}


def action(manner: Any, *, stream: bool) -> Action:
    """The same on a socket."""
    good: Action = Pieces(STREAM) if stream else GOOD
    match manner:
        case 200:
            return good
        case int():
            return _error(manner, {})
        case {"error": "quota"}:
            return _error(402, {})
        case {"status": int(status), "retry_after": str(wait)}:
            milliseconds = wait.removesuffix("ms") if wait.endswith("ms") else wait.removesuffix("s") + "000"
            return _error(status, {"retry-after-ms": milliseconds})
        case "stall" | "timeout":
            return Stall()
        case "reset":
            return Reset()
        case "cut":
            half = GOOD.raw().index(MESSAGE) + 40
            return Pieces(STREAM[:3], cut=True) if stream else Drop(after=half, of=GOOD)
        case "stall_mid_stream":
            half = GOOD.raw().index(MESSAGE) + 40
            return Pieces(STREAM[:3], stall=True) if stream else Stall(after=half, of=GOOD)
        case _:
            raise AssertionError(manner)


def _error(status: int, headers: dict[str, str]) -> Reply:
    body = {"type": "error", "error": {"type": TYPES[status], "message": "as scripted"}}
    return Reply(status, headers={**JSON, **headers}, body=json.dumps(body).encode())


def spec(script: Script, first: str, second: str) -> str:
    keys = "none" if not script.keys else "[" + ", ".join(f"{{env: KEY_{n}}}" for n in range(script.keys)) + "]"
    upstreams = json.dumps({"first": script.first, "second": script.second})
    return f"""
version: ccx/v1
channels:
  first: {{protocol: messages, base_url: "{first}", keys: {keys}, key_strategy: in_order, timeouts: {TIMES}}}
  second: {{protocol: messages, base_url: "{second}", keys: none, timeouts: {TIMES}}}
routes:
  - {{name: all, to: [first, second], failover: {script.failover}}}
tests:
  - name: drill
    request: {{model: m, stream: {str(script.stream).lower()}}}
    upstreams: {upstreams}
    expect: {{attempts: 0}}
"""


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_drill_is_what_happens(tmp_path: Path, name: str) -> None:
    script = SCRIPTS[name]
    async with contextlib.AsyncExitStack() as stack:
        urls = []
        for manners in (script.first, script.second):
            if manners == ["refused"]:
                urls.append("http://127.0.0.1:1")
                continue
            actions = [action(manner, stream=script.stream) for manner in manners]
            urls.append((await stack.enter_async_context(FaultUpstream(actions))).url)
        text = spec(script, *urls)
        folder = tmp_path / "drilled"
        folder.mkdir()
        (one,) = await asyncio.to_thread(results, text, folder)
        drilled = one.drilled
        assert drilled is not None
        environ = {f"KEY_{n}": f"value-{n}" for n in range(script.keys)}
        gw = await stack.enter_async_context(running(text, tmp_path, environ=environ))
        body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
        answer = await gw.client.post("/v1/messages", json={**body, "stream": script.stream})
        exchange = await gw.exchange()
    assert drilled.trouble is None
    assert [channel for channel, _ in drilled.asked] == [one.channel for one in exchange.attempts]
    assert drilled.status == answer.status_code
    assert drilled.error == exchange.error_kind
    last = exchange.attempts[-1]
    assert drilled.served_by == (last.channel if last.outcome == "ok" else None)
    told = [moment.what for moment in drilled.timeline if moment.channel is not None]
    met = [str(one.status) if one.status is not None else None for one in exchange.attempts]
    for said, status in zip(told, met, strict=True):
        assert status is None or said in (status, "cut", "stall_mid_stream"), (told, met)
