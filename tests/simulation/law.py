"""What must hold in every schedule, whatever has happened."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Final

from ccx.routing.select import stable_ids
from ccx.routing.table import Failover
from ccx.runtime.failover import HEDGES_ALWAYS
from ccx.runtime.selecting import budgeted
from ccx.runtime.trial import CANCELLED
from ccx.state.retries import WINDOW
from ccx.telemetry.exchange import OK, OUTPACED, Exchange
from ccx.upstream.outcome import REMEDIES
from tests.simulation.oracles import EPSILON
from tests.simulation.schedule import Client, History
from tests.simulation.upstreams import Made
from tests.soak.wire import Asked, judged

WITHIN: Final = {"cut", "stall_mid_stream"}
FOR_GOOD: Final = {400, 404, 413}


async def judge(history: History) -> None:
    """Hold a history to the law. Raises AssertionError."""
    assert not history.troubles, history.troubles
    calls: dict[int, list[Made]] = defaultdict(list)
    for made in history.made:
        calls[made.request].append(made)
    for n, client in history.clients.items():
        _answered(client)
        _attempts(client, calls[n], history)
        _first_byte(client, calls[n])
        _backoff(client, calls[n])
        _given_up(client, calls[n], history)
        _budgets(n, client, calls[n], history)
        if history.calm:
            _in_calm(client)
    _departures(history, calls)
    _limits(history)
    _drains(history)
    _hedges(history, calls)
    _health(history)
    _released(history)
    _sessions(history)
    await _in_the_end(history)


def _exchange(client: Client) -> Exchange:
    assert client.exchange is not None, "no exchange was told"
    return client.exchange


def _failover(client: Client) -> Failover:
    name = _exchange(client).route
    return next(route.failover for route in client.live.table.routes if route.name == name)


def _left(client: Client) -> bool:
    """Whether the client went away before the end of its answer."""
    return client.gone is not None and not client.ended


def _answered(client: Client) -> None:
    """One answer, whole or with an error that its protocol has words for; to the request that asked."""
    assert client.finished is not None
    assert len(client.starts) <= 1, "two answers"
    if _left(client):
        return
    assert len(client.starts) == 1, "no answer"
    assert client.ended != client.cut, "an answer without an end"
    asked = Asked(client.model, status=client.starts[0][1], body=b"".join(client.pieces))
    verdict = judged(client.front, asked, stream=client.stream, whole=client.ended)
    assert verdict in ("good", "refused", "error", "broken"), (verdict, asked.why)
    good = _exchange(client).error_kind is None and asked.status == 200
    assert good == (verdict == "good"), (verdict, _exchange(client).error_kind)


def _attempts(client: Client, calls: list[Made], history: History) -> None:
    """Never more than declared, and each in the books."""
    exchange = _exchange(client)
    if exchange.route is None or not calls:
        assert exchange.attempts == ()
        if not _left(client):
            _why_none(client, exchange, history)
        return
    declared = _failover(client)
    assert len(calls) == len(exchange.attempts) <= declared.attempts, f"{len(calls)} attempts of {declared.attempts}"
    # By their ends, which is the order of the books.
    assert Counter(one.channel for one in calls) == Counter(one.channel for one in exchange.attempts)
    for made in calls:
        assert made.ended is not None, "a call that was never let go of"
    if exchange.hedged is None:
        for attempt in exchange.attempts[:-1]:
            assert attempt.outcome in declared.on, f"another attempt after {attempt.outcome}"
    if not _left(client):
        assert all(attempt.outcome != CANCELLED for attempt in exchange.attempts), "cancelled, and nobody had left"


def _given_up(client: Client, calls: list[Made], history: History) -> None:
    """Who is told of a failure had all that was declared: every target, and every retry that still had time. Judged
    only where nothing else stands in the way: no limits, no drains, no budget of retries."""
    exchange, raw = _exchange(client), str(history.raws)
    if exchange.status < 400 or _left(client) or not calls or history.drains:
        return
    declared = _failover(client)
    last = exchange.attempts[-1].outcome
    if len(calls) >= declared.attempts or last not in declared.on or declared.retry_budget is not None:
        return
    if "'concurrency'" in raw or "'requests'" in raw or "_tokens'" in raw:
        return
    assert client.finished is not None
    left = client.started + declared.deadline / 1000 - client.finished
    if left <= declared.backoff_max / 1000 + EPSILON:
        return
    tried = {attempt.channel for attempt in exchange.attempts}
    blamed = {target.channel for _, target, verdict, _ in history.health.left if verdict == "failed"}
    route = next(route for route in client.live.table.routes if route.name == exchange.route)
    named = {target.channel for tier in route.tiers for target in tier.targets}
    cooled = {made.channel for made in history.made if made.failed}
    assert not named - tried - blamed - cooled, f"given up with {named - tried} untried"
    passing = [
        made
        for made, attempt in zip(sorted(calls, key=lambda one: one.ended or 0.0), exchange.attempts, strict=True)
        if REMEDIES[attempt.outcome].same_target  # type: ignore[index]  # each of them failed
        and (made.wait is None or made.wait <= declared.backoff_max / 1000)
    ]
    assert not passing, f"given up though {passing[0].channel} might have answered the next time"


def _why_none(client: Client, exchange: Exchange, history: History) -> None:
    """A request that nobody was asked for has its reason: a limit, or that all is drained. That every target is in
    trouble is none."""
    if exchange.cache in ("hit", "joined"):
        return
    assert exchange.status in (429, 503), exchange
    if exchange.status == 429:
        assert exchange.limited_by, "refused without a limit"
        return
    assert client.finished is not None
    route = next(route for route in client.live.table.routes if route.name == exchange.route)
    for name in {target.channel for tier in route.tiers for target in tier.targets}:
        assert any(
            one == name and start <= client.finished + EPSILON and end >= client.started - EPSILON
            for one, start, end in history.drains
        ), f"nobody asked, and {name} is not drained"


def _first_byte(client: Client, calls: list[Made]) -> None:
    """No call after the first byte, none after the deadline; and the first byte of a stream before it."""
    if not calls:
        return
    ends = client.started + _failover(client).deadline / 1000
    for made in calls:
        assert made.started <= ends + EPSILON, "a call after the deadline"
        assert made.ended is not None
        if client.starts and _exchange(client).cache != "joined":
            assert made.started <= client.starts[0][0] + EPSILON, "asked after the first byte"
    if client.stream and client.starts:
        assert client.starts[0][0] <= ends + 0.05, f"first byte {client.starts[0][0] - ends:.3f} s after the deadline"


def _backoff(client: Client, calls: list[Made]) -> None:
    """The same target with the same key is asked again only after its time, and never once it failed for good."""
    if not calls:
        return
    declared, seen, again = _failover(client), dict[tuple[str, str], Made](), 0
    for made in calls:
        before = seen.get((made.channel, made.key))
        seen[made.channel, made.key] = made
        if before is None:
            continue
        assert before.ended is not None
        assert before.failed or before.manner in WITHIN, "asked again though it had answered"
        assert before.manner not in FOR_GOOD, f"asked again after {before.manner}"
        waited = made.started - before.ended
        most = min(declared.backoff_max, declared.backoff_initial * 2**again) / 1000
        again += 1
        if before.wait is not None:
            assert before.wait <= declared.backoff_max / 1000, "asked again before its time, or kept waiting too long"
            assert waited >= before.wait - EPSILON, "asked again before its time"
        if not declared.jitter:
            assert waited >= most - EPSILON, f"a backoff of {waited:.3f} s, not {most:g}"


def _budgets(n: int, client: Client, calls: list[Made], history: History) -> None:
    """Whoever is asked again had leave."""
    if not calls or _failover(client).retry_budget is None:
        return
    asked = Counter(made.channel for made in calls)
    for channel, count in asked.items():
        granted = history.retries.granted[channel, n]
        assert count - 1 <= granted, f"{channel} asked {count} times with {granted} retries granted"


def _in_calm(client: Client) -> None:
    """Nothing fails, so nothing is seen of it."""
    exchange = _exchange(client)
    assert exchange.status == 200
    if exchange.cache not in ("hit", "joined"):
        assert [attempt.outcome for attempt in exchange.attempts] == [OK]


def _departures(history: History, calls: dict[int, list[Made]]) -> None:
    """Who leaves takes its call along, unless others wait for the answer."""
    shared = {client.model for client in history.clients.values() if _exchange(client).cache == "joined"}
    for n, client in history.clients.items():
        if client.gone is None or not _left(client) or client.model in shared:
            continue
        late = [made for made in calls[n] if made.ended is None or made.ended > client.gone + 0.2]
        assert not late, f"a call went on to {late[0].ended}, its client having left at {client.gone}"


def _limits(history: History) -> None:
    """Everything taken is settled, with what was really used."""
    assert not history.meters.left_open, f"never given back: {history.meters.left_open}"
    for take in history.meters.takes:
        client = history.clients[take.request]
        exchange = _exchange(client)
        assert take.used is not None
        ok = any(attempt.outcome == OK for attempt in exchange.attempts)
        for charge in take.taken.charges:
            kind = charge.meter.id.rsplit("/", 2)[-2]
            if kind not in ("input_tokens", "output_tokens", "usd"):
                continue
            used = take.used[charge.meter.id]
            assert used >= 0
            if charge.meter.id.startswith("client") and not exchange.attempts:
                assert used == 0, "charged for what nobody was asked"
            if charge.meter.id.startswith("client") and ok and _left(client) is False and exchange.error_kind is None:
                said = {"input_tokens": exchange.input_tokens, "output_tokens": exchange.output_tokens}.get(kind)
                assert said is None or used == said, f"{kind}: {used} settled, {said} used"
                if kind == "usd":
                    assert used > 0 or exchange.model_sent not in _priced(client)


def _priced(client: Client) -> set[str]:
    return {model.name for model in client.live.table.models}


def _drains(history: History) -> None:
    """What is drained is never asked."""
    for name, start, end in history.drains:
        found = [one for one in history.made if one.channel == name and start + EPSILON < one.started < end - EPSILON]
        assert not found, f"{name} asked at {found[0].started:g}, drained from {start:g} to {end:g}"


def _hedges(history: History, calls: dict[int, list[Made]]) -> None:
    """Two at once only where declared, of two channels, and within their share."""
    second: dict[str, Counter[int]] = defaultdict(Counter)
    asked: dict[str, Counter[int]] = defaultdict(Counter)
    for n, made in calls.items():
        client = history.clients[n]
        exchange = _exchange(client)
        for one in made:
            asked[exchange.route or ""][int(one.started)] += 1
        beside = [
            (one, other)
            for place, one in enumerate(made)
            for other in made[place + 1 :]
            if one.ended is not None and other.started < one.ended - EPSILON
        ]
        if not beside:
            assert exchange.hedged is None or any(one.ended == other.started for one, other in pairwise(made))
            continue
        hedge = _failover(client).hedge
        assert hedge is not None, "two calls at once, not being declared"
        assert len(beside) == 1, "three calls at once, or two twice"
        (one, other) = beside[0]
        assert one.channel != other.channel, "hedged with the same channel"
        assert other.started >= one.started + hedge.after / 1000 - EPSILON, "hedged too early"
        if not _left(client) and exchange.status == 200:
            answered = [call.answered for call in (one, other) if call.answered is not None and not call.failed]
            assert one.ended is not None
            assert len(answered) < 2 or min(one.ended, other.ended or 0.0) <= min(answered) + 0.5, "both went on"
            assert exchange.hedged in ("won", "lost"), exchange.hedged
        assert sum(attempt.outcome == OUTPACED for attempt in exchange.attempts) <= 1
        second[exchange.route or ""][int(other.started)] += 1
    for route, counts in second.items():
        declared = [one for raw in history.raws for one in raw[1]["routes"] if one["name"] == route]
        share = max(int(one["failover"]["hedge"]["share"].rstrip("%")) / 100 for one in declared)
        for at in counts:
            window = range(at - WINDOW + 1, at + 1)
            most = max(HEDGES_ALWAYS * WINDOW, share * sum(asked[route][one] for one in window))
            assert sum(counts[one] for one in window) <= most + EPSILON, f"too many hedges on {route}"


def _health(history: History) -> None:
    """Only a target's own faults count against it, and each is counted when its call is over."""
    assert history.health.entered == len(history.health.left), "a place at a target was not given back"
    blamed = {name for name, what in REMEDIES.items() if what.blame == "upstream"}
    failed = Counter(
        (n, attempt.channel)
        for n, client in history.clients.items()
        for attempt in _exchange(client).attempts
        if attempt.outcome in blamed
    )
    counted = Counter((n, target.channel) for n, target, verdict, _ in history.health.left if verdict == "failed")
    assert counted == failed, f"counted {counted - failed}, not counted {failed - counted}"
    for n, target, verdict, at in history.health.left:
        client = history.clients[n]
        if verdict == "failed" and target.channel == "good":
            # Nothing is wrong with it: it can only have been cut short by the deadline of a request.
            short = client.started + _failover(client).deadline / 1000
            assert at >= short - EPSILON, "a sound target was blamed"
    for breaker in history.health._breakers.values():
        assert breaker._probing == 0


def _released(history: History) -> None:
    """Nothing is held when nobody is served."""
    gateway = history.gateway
    assert gateway.in_flight == 0
    assert not +gateway.state._inflight
    assert not gateway.queueing._lines, "somebody is still in a queue"
    assert gateway.caching.under_way == 0
    assert gateway.caching._room.used == 0, "bytes of an answer under way were not given back"
    assert len(history.exchanges) == len(history.clients)


def _sessions(history: History) -> None:
    """While all is well one session stays at one target, for each model."""
    if not history.calm:
        return
    at: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for client in history.clients.values():
        exchange, route = _exchange(client), client.live.table.routes[0]
        if exchange.channel is not None and exchange.attempts and route.tiers[0].affinity == "session":
            at[client.name, client.session, client.model].add(exchange.attempts[0].channel)
    assert all(len(channels) == 1 for channels in at.values()), at


async def _in_the_end(history: History) -> None:
    """Left alone, everything is asked again one day, and what no table names is forgotten."""
    gateway, loop = history.gateway, asyncio.get_running_loop()
    await asyncio.sleep(4000)
    gateway.sweep(loop.time())
    for report in gateway.health.reports(loop.time()):
        assert report.breaker in ("closed", "half_open", None)
        assert report.cooling is None
    table, state = gateway.live.table, gateway.state
    ids, clients = stable_ids(table), {client.name for client in table.clients}
    for id_ in (*state._latencies, *state._turns, *(place for place, _ in state._smooth), *state._cached):
        assert id_.partition("#")[0].partition("/")[0] in ids, id_
    assert state._answers.keys() <= clients
    channels = {channel.name for channel in table.channels}
    assert {target.channel for target in gateway.health._breakers} <= channels
    assert {channel for channel, _ in gateway.health._cooling} <= channels
    assert gateway.health._overrides.keys() <= channels
    assert gateway.retries._windows.keys() <= budgeted(table)
    assert gateway.caching.tallies.keys() <= {route.name for route in table.routes if route.cache is not None}
