"""A canary split by session: the shares hold, a greater share only adds sessions, and every process agrees."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter

import pytest
from ruamel.yaml import YAML

from ccx.protocols.names import Protocol
from ccx.routing.compile import compile_spec
from ccx.routing.decide import Decider, Decision
from ccx.routing.facts import Facts
from ccx.routing.select import order
from ccx.spec.document import Spec
from ccx.state.memory import MemoryState
from tests.examples.serving import EXAMPLES

SESSIONS = 10_000
ROUTES = {"sonnet": (Protocol.MESSAGES, "claude-sonnet-4-5"), "gpt": (Protocol.CHAT, "gpt-5.4")}
# A binomial share of 10,000: four times its deviation at 5 and 10 of 100.
BOUNDS = {5: 0.0088, 10: 0.0120}


def taken(route: str, canary: int) -> list[bool]:
    """For each session whether the canary takes it, with so many of a hundred for the canary."""
    raw = YAML(typ="safe", pure=True).load((EXAMPLES / "canary.yaml").read_text())
    (group,) = next(one for one in raw["routes"] if one["name"] == route)["to"]
    for target, weight in zip(group["targets"], (100 - canary, canary), strict=True):
        target["weight"] = weight
    decision = Decider(compile_spec(Spec.model_validate(raw)).table).decide(Facts(*ROUTES[route]))
    assert isinstance(decision, Decision)
    (step,) = decision.steps
    view, found = MemoryState(), []
    for number in range(SESSIONS):
        key = hashlib.blake2b(f"\0session-{number}".encode(), digest_size=16).digest()
        first = order(step, view=view, rng=lambda: 0.5, key=key)[0]
        found.append(first.channel.name == "azure" or first.model == "claude-sonnet-5")
    return found


@pytest.mark.parametrize("route", ROUTES)
def test_the_shares_hold_and_a_greater_one_only_adds(route: str) -> None:
    five, ten = taken(route, 5), taken(route, 10)
    assert sum(five) / SESSIONS == pytest.approx(0.05, abs=BOUNDS[5])
    assert sum(ten) / SESSIONS == pytest.approx(0.10, abs=BOUNDS[10])
    moved = Counter(zip(five, ten, strict=True))
    assert moved[True, False] == 0  # none goes back
    assert moved[False, True] / SESSIONS == pytest.approx(0.05, abs=BOUNDS[5])
    assert sum(taken(route, 0)) == 0
    assert sum(taken(route, 100)) == SESSIONS


def test_two_routes_have_canaries_of_their_own() -> None:
    """The sessions of one canary are not those of the other, or the same few would meet everything new."""
    both = sum(a and b for a, b in zip(taken("sonnet", 10), taken("gpt", 10), strict=True))
    assert both / SESSIONS == pytest.approx(0.01, abs=0.004)


def test_another_process_agrees() -> None:
    said = "from tests.routing.test_canary import taken; print(''.join('01'[t] for t in taken('gpt', 5)))"
    environ = {**os.environ, "PYTHONHASHSEED": "7"}
    other = subprocess.run([sys.executable, "-c", said], env=environ, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == "".join("01"[one] for one in taken("gpt", 5))
