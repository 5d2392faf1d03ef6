"""Slow start: a target that has come back is given its load little by little, whatever balances the group."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from pathlib import Path

import pytest

from ccx.protocols.names import Protocol
from ccx.routing.compile import compile_spec
from ccx.routing.decide import Choice, Decision
from ccx.routing.facts import Facts
from ccx.runtime.gateway import Gateway
from ccx.runtime.live import prepare
from ccx.runtime.selecting import Selector
from ccx.runtime.understand import Request
from ccx.spec.document import Spec
from ccx.state.breaker import RAMP_FLOOR
from ccx.state.health import TargetId
from ccx.testing import clock

WINDOW = 30.0
EACH = 3000


async def shares(balance: str) -> list[float]:
    """The share of the recovered target in each tenth of its window, and after it."""
    raw = {
        "version": "ccx/v1",
        "channels": {
            name: {"protocol": "messages", "base_url": f"http://{name}.invalid", "keys": "none"} for name in "ab"
        },
        "routes": [{"name": "all", "to": [{"balance": balance, "targets": ["a", "b"]}]}],
    }
    compiled = compile_spec(Spec.model_validate(raw))
    live = prepare(compiled.table, compiled.digest, folder=Path(), environ={})
    gateway, loop, rng = Gateway(live), asyncio.get_running_loop(), random.Random(3)
    target = TargetId("a", "messages", None)
    for _ in range(5):
        gateway.health.leave(gateway.health.enter(target, loop.time()), "failed", now=loop.time())
    await asyncio.sleep(31)
    gateway.health.leave(gateway.health.enter(target, loop.time()), "passed", now=loop.time())
    decision = live.decider.decide(Facts(Protocol.MESSAGES, "m"))
    assert isinstance(decision, Decision)
    request = object.__new__(Request)  # of which only the table is looked at
    request.live = live
    selector = Selector(request, state=gateway.state, health=gateway.health, now=loop.time, rng=rng.random)
    found: list[float] = []
    under_way: list[Choice] = []
    for _ in range(12):
        count: Counter[str] = Counter()
        for _ in range(EACH):
            (step,) = selector.steps(decision.steps)
            first = selector.arranged(step)[0]
            count[first.channel.name] += 1
            gateway.state.begin(first.channel.name)
            under_way.append(first)
            if len(under_way) > 20:
                gateway.state.end(under_way.pop(0).channel.name)
        found.append(count["a"] / EACH)
        await asyncio.sleep(WINDOW / 10)
    return found


@pytest.mark.parametrize("balance", ["weighted", "round_robin", "least_connections"])
def test_the_share_grows_to_the_usual(balance: str) -> None:
    found = clock.run(shares(balance))
    assert found[-1] == pytest.approx(0.5, abs=0.03)
    assert found[0] <= 0.5 * RAMP_FLOOR + 0.05 if balance != "least_connections" else found[0] <= RAMP_FLOOR + 0.05
    assert all(later >= earlier - 0.03 for earlier, later in itertools.pairwise(found))
