"""Sticky long context: the law against the naive interpreter of the spec, and the gateway that keeps it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccx.protocols.body import open_body
from ccx.protocols.endpoints import Endpoint
from ccx.protocols.names import Operation, Protocol
from ccx.routing.compile import compile_spec
from ccx.routing.decide import Decider, Decision
from ccx.routing.facts import Facts
from ccx.routing.sticky import least_tokens
from ccx.runtime.admission import Inbound
from ccx.runtime.live import Live
from ccx.runtime.sticky import decide_sticky
from ccx.runtime.understand import Request
from ccx.spec.document import Spec
from ccx.state.marks import MemoryMarks
from ccx.telemetry.exchange import Exchange
from ccx.tokens.counter import TokenCounter
from tests.faults import FaultUpstream, Reply
from tests.gateway import Running, running
from tests.routing import drawn
from tests.routing.oracle import Answer, answer
from tests.runtime.streams import MESSAGE

WINDOW = 10.0


@dataclass
class Turn:
    """One request of a session. `slack` is how far the bound lies above the count; `length` is of the body."""

    session: str | None
    facts: Facts
    count: int | None
    slack: int
    length: int
    after: float


turns = st.builds(
    Turn,
    st.sampled_from(["s1", "s1", "s1", "s2", None]),
    st.builds(Facts, st.just(Protocol.CHAT), st.sampled_from(["m", "m", "tiny"]), tools=st.booleans()),
    st.sampled_from([0, 1, 2, 3, 9, 10, 11, 59, 60, 61, 100, 101, 500, 1000, 1001, 5000, None]),
    st.sampled_from([0, 0, 1, 30, 2000]),
    st.sampled_from([40, 200, 2000]),
    st.sampled_from([0.0, 1.0, 4.0, WINDOW, 3 * WINDOW]),
)


@st.composite
def token_specs(draw: st.DrawFn) -> dict[str, Any]:
    """A random spec in which tokens matter to most requests: a ladder of ranges, some refused, behind what else a route
    may ask for, and sometimes with nothing at its end."""
    raw: dict[str, Any] = {"version": "ccx/v1", "channels": {name: {"provider": "demo"} for name in ("a", "b")}}
    raw["channels"]["off"] = {"provider": "demo", "enabled": False}
    routes: list[dict[str, Any]] = []
    for place in range(draw(st.integers(1, 4))):
        when: dict[str, Any] = {"input_tokens": draw(drawn.ranges())}
        if draw(st.integers(0, 2)) == 0:
            when = draw(st.sampled_from([{"tools": True, **when}, {"not": when}, {"any": [when, {"model": "tiny"}]}]))
        answers: list[dict[str, Any]] = [{"to": ["a"]}, {"to": ["b"]}, {"to": ["off"]}, {"deny": {"message": "no"}}]
        routes.append({"name": f"r{place}", "when": when, **draw(st.sampled_from([*answers[:2], *answers]))})
    if draw(st.integers(0, 3)):
        routes.append({"name": "rest", "to": ["b"]})
    if draw(st.booleans()):
        routes.insert(0, {"name": "chores", "when": {"model": "tiny"}, "to": ["a"]})
    return {**raw, "routes": routes}


class Counts(TokenCounter):
    """Bounds as it is told, where a shorter body is not bound enough."""

    def __init__(self) -> None:
        super().__init__(cache_bytes=0)
        self.bound = 0

    def upper_bound(self, raw: bytes, *, below: int = 0) -> int:
        return self.bound


def answered(decision: Decision) -> Answer:
    route = decision.route
    return Answer(
        route.name if route else None,
        route.deny.status if route and route.deny else None,
        tuple(tuple((c.channel.name, c.model, 0) for c in step.choices) for step in decision.steps),
    )


def plain(found: Answer) -> Answer:
    """Without weights, which mean nothing to a decision."""
    return replace(found, steps=tuple(tuple((c, m, 0) for c, m, _ in step) for step in found.steps))


def hangs(spec: Spec, facts: Facts) -> bool:
    """Whether some count would make another decision than some other."""
    counts = {n for edge in drawn.EDGES for n in (edge, edge + 1)}
    every = {plain(answer(spec, replace(facts, input_tokens=n))) for n in counts}
    return len(every) > 1


@settings(deadline=None, max_examples=250)
@given(token_specs(), st.lists(turns, min_size=2, max_size=6))
def test_each_decision_is_that_of_the_highest_count_in_the_window(raw: dict[str, Any], them: list[Turn]) -> None:
    """For each request: the decision by the highest of its own count and those of its session's earlier requests in the
    window that hung on their tokens and were to be served; by its own where that highest one leads nowhere."""
    spec = Spec.model_validate(raw)
    table = compile_spec(spec).table
    live = cast(Live, type("L", (), {"decider": Decider(table), "least_tokens": least_tokens(table)}))
    marks, counter, noted, now = MemoryMarks(), Counts(), dict[str, list[tuple[float, int]]](), 1000.0

    async def run() -> None:
        nonlocal now
        for turn in them:
            now += turn.after
            facts = replace(turn.facts, input_tokens=turn.count)
            counter.bound = (turn.count or 0) + turn.slack
            at_most = counter.bound if turn.count is not None else None
            inbound = Inbound({} if turn.session is None else {b"x-ccx-session": turn.session.encode()}, [])
            request = Request(
                live,
                Endpoint(facts.protocol, Operation.GENERATE, facts.model, None, None, "/"),
                inbound,
                None,
                open_body(b'{"a":"%s"}' % (b"x" * turn.length)),
                replace(facts, input_tokens=None, tokens_at_most=at_most),
                Exchange(at=0.0, request_id="r", protocol="p", operation="o", digest="d"),
            )

            async def count(asked: Request, turn: Turn = turn) -> int:
                assert turn.count is not None, "nothing to count was counted"
                return turn.count

            decision = await decide_sticky(
                request, marks, window=WINDOW, counter=counter, count=count, now=lambda at=now: at
            )
            if not isinstance(decision, Decision):
                request.facts = replace(request.facts, input_tokens=await count(request))
                found = live.decider.decide(request.facts)
                assert isinstance(found, Decision)
                decision = found
            own = plain(answer(spec, facts))
            if turn.session is None or turn.count is None or not hangs(spec, facts):
                # Those that hang on their tokens by the letter of a rule and not by its meaning may be noted or not:
                # no count changes their decision, so only what they note for others could tell.
                assert answered(decision) == own
                counted = turn.session is not None and request.facts.input_tokens is not None
                if counted and own.steps:
                    noted.setdefault(str(turn.session), []).append((now, turn.count or 0))
                continue
            before = [n for at, n in noted.get(turn.session, []) if at > now - WINDOW]
            highest = max([turn.count, *before])
            wanted = plain(answer(spec, replace(facts, input_tokens=highest)))
            assert answered(decision) == (wanted if wanted.steps else own)
            if request.exchange.sticky_tokens is not None:
                assert request.exchange.sticky_tokens == highest > turn.count
            elif wanted != own:
                assert not wanted.steps
            if own.steps:
                noted.setdefault(turn.session, []).append((now, turn.count))

    asyncio.run(run())


def spec(long: str, short: str, *, sticky: str = "tokens: {sticky: 1h}", more: str = "") -> str:
    return f"""
    version: ccx/v1
    {sticky}
    channels:
      long: {{protocol: messages, base_url: {long}, keys: none}}
      short: {{protocol: messages, base_url: {short}, keys: none}}
    {more}
    routes:
      - {{name: chores, when: {{model: small}}, to: [short]}}
      - {{name: too-long, when: {{input_tokens: "> 5k"}}, deny: {{status: 413, message: too long}}}}
      - {{name: long, when: {{input_tokens: "> 1k"}}, to: [long]}}
      - {{name: rest, to: [short]}}
    """


GOOD = Reply(200, headers={"content-type": "application/json"}, body=MESSAGE)


async def ask(gw: Running, words: int, *, session: str | None = "s1", model: str = "m", **extra: str) -> httpx.Response:
    body = {"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": "word " * words}]}
    headers = {**({"x-ccx-session": session} if session is not None else {}), **extra}
    return await gw.client.post("/v1/messages", json=body, headers=headers)


def route(response: httpx.Response) -> tuple[str, str | None]:
    return response.headers["x-ccx-route"], response.headers.get("x-ccx-sticky-tokens")


async def test_a_session_once_long_stays_long(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as up, running(spec(up.url, up.url), tmp_path) as gw:
        assert route(await ask(gw, 100)) == ("rest", None)
        first = await ask(gw, 2000)
        assert route(first) == ("long", None)
        name, remembered = route(await ask(gw, 100))
        assert name == "long"
        assert remembered is not None
        assert 2000 <= int(remembered) <= 2100
        assert route(await ask(gw, 3000)) == ("long", None)  # its own count is the highest
        assert route(await ask(gw, 100, session="s2")) == ("rest", None)
        assert route(await ask(gw, 100, session=None)) == ("rest", None)
        told = await gw.exchange(3)
        assert told.sticky_tokens == int(remembered)
        assert told.counted_tokens is None  # a hundred words are below 1k whatever they count
        assert (await gw.exchange(2)).sticky_tokens is None


async def test_what_agents_send_beside_makes_no_session_long(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as up, running(spec(up.url, up.url), tmp_path) as gw:
        assert route(await ask(gw, 3000, model="small")) == ("chores", None)
        assert route(await ask(gw, 100)) == ("rest", None)
        assert (await gw.exchange(1)).counted_tokens is None  # nor is it counted


async def test_the_memory_neither_keeps_nor_makes_a_refusal(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as up, running(spec(up.url, up.url), tmp_path) as gw:
        assert (await ask(gw, 9000)).status_code == 413
        assert route(await ask(gw, 100)) == ("rest", None)  # shortened, and heard again
        assert route(await ask(gw, 4000)) == ("long", None)
        assert (await ask(gw, 9000)).status_code == 413
        assert route(await ask(gw, 100))[0] == "long"  # by the 4,000, which the refused one has not hidden
        stricter = spec(up.url, up.url).replace("> 5k", "> 3k")
        gw.rewrite(stricter)
        assert await gw.reconciler.reconcile("test") == "applied"
        assert route(await ask(gw, 100)) == ("rest", None)
        assert route(await ask(gw, 2000)) == ("long", None)


async def test_a_token_count_is_asked_of_the_same_target_and_notes_nothing(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as up, running(spec(up.url, up.url), tmp_path) as gw:

        async def counted(words: int) -> httpx.Response:
            body = {"model": "m", "messages": [{"role": "user", "content": "word " * words}]}
            return await gw.client.post("/v1/messages/count_tokens", json=body, headers={"x-ccx-session": "s1"})

        big = await counted(2000)
        assert route(big) == ("long", None)
        assert route(await ask(gw, 100)) == ("rest", None)
        await ask(gw, 2000)
        small = await counted(100)
        assert route(small)[0] == "long"
        assert 100 <= small.json()["input_tokens"] < 200  # the count itself is its own


async def test_clients_have_sessions_of_their_own_and_pay_for_their_own_tokens(tmp_path: Path) -> None:
    keys = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("one", "two")}
    clients = "\n".join(
        f'      {name}: {{key: {{sha256: "{key}"}}, limits: {{input_tokens: 4k/min}}}}' for name, key in keys.items()
    )
    more = f"clients:\n{clients}"
    async with FaultUpstream([GOOD]) as up, running(spec(up.url, up.url, more=more), tmp_path) as gw:
        assert route(await ask(gw, 2000, **{"x-api-key": "one"})) == ("long", None)
        assert route(await ask(gw, 100, **{"x-api-key": "two"})) == ("rest", None)
        for _ in range(5):  # by the remembered 2,000 each, the second would be refused
            assert route(await ask(gw, 100, **{"x-api-key": "one"}))[0] == "long"


async def test_a_swap_keeps_the_memory_and_a_table_without_forgets_it(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as up, running(spec(up.url, up.url), tmp_path) as gw:
        await ask(gw, 2000)
        gw.rewrite(spec(up.url, up.url, sticky="tokens: {sticky: 2h}"))
        assert await gw.reconciler.reconcile("test") == "applied"
        assert route(await ask(gw, 100))[0] == "long"
        gw.rewrite(spec(up.url, up.url, sticky=""))
        assert await gw.reconciler.reconcile("test") == "applied"
        assert route(await ask(gw, 100)) == ("rest", None)
        assert isinstance(gw.gateway.marks, MemoryMarks)
        assert len(gw.gateway.marks) == 0


async def test_the_session_of_a_coding_agent_counts_and_the_time_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = {"x-claude-code-session-id": "3f2b"}
    async with FaultUpstream([GOOD]) as up, running(spec(up.url, up.url), tmp_path) as gw:
        await ask(gw, 2000, session=None, **agent)
        assert route(await ask(gw, 100, session=None, **agent))[0] == "long"
        later = partial(decide_sticky, now=lambda: time.time() + 3601)
        monkeypatch.setattr("ccx.runtime.proxy.decide_sticky", later)
        assert route(await ask(gw, 100, session=None, **agent)) == ("rest", None)


async def test_a_table_without_sticky_never_reads_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def called(*_: object, **__: object) -> None:
        raise AssertionError("the memory was asked")

    monkeypatch.setattr("ccx.runtime.proxy.decide_sticky", called)
    async with FaultUpstream([GOOD]) as up, running(spec(up.url, up.url, sticky=""), tmp_path) as gw:
        assert route(await ask(gw, 2000)) == ("long", None)


async def test_the_log_line_says_it(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as up, running(spec(up.url, up.url), tmp_path) as gw:
        await ask(gw, 2000)
        response = await ask(gw, 100)
        metrics = (await gw.client.get("/metrics")).text
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    requests = [line for line in lines if "request_id" in line]
    assert [line["sticky_tokens"] for line in requests] == [None, int(response.headers["x-ccx-sticky-tokens"])]
    assert 'ccx_sticky_requests_total{route="long"} 1' in metrics
