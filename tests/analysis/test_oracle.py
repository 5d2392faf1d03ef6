"""The comparison, the queries and the proofs against brute force, on small random tables.

`python -m tests.analysis.oracle` runs the comparison for as many as you like.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from ccx.analysis.compare import compare
from ccx.analysis.outcome import Judge, Outcome
from ccx.analysis.proofs import gaps, order_sensitive, redundant, unmatchable, unreachable
from ccx.analysis.query import find
from ccx.routing.facts import Facts
from ccx.routing.table import Deny, RoutingTable
from tests.analysis.drawn import condition, requests, table, taste
from tests.analysis.oracle import Tally, check, run

_MARK = Deny(418, "here")


def _any_outcome(_: Outcome) -> bool:
    return True


def _marked(outcome: Outcome) -> bool:
    return outcome.deny == _MARK


@pytest.mark.parametrize("first", [300_000, 300_100, 300_200])
def test_every_difference_is_in_a_region_and_nothing_else(first: int) -> None:
    tally = run(first, 100, limit=200)
    assert tally.clean, [*tally.missed[:2], *tally.false[:2], *tally.bad[:2]]
    assert tally.cases == 100
    assert tally.different > 30
    assert tally.moved > 400
    assert tally.unfinished == 0


def test_the_oracle_sees_a_region_that_is_left_out_and_one_too_large() -> None:
    """The suite can fail: regions taken away are missed, regions of another change are false."""
    for seed in range(50):
        r = random.Random(seed)
        t = taste(r)
        old, new = table(r, t), table(r, t)
        found = compare(old, new)
        if len(found.changes) > 1 and not any(change.more for change in found.changes):
            break
    points = list(requests(r, (old, new), t, limit=3000))
    whole, less, wrong = Tally(), Tally(), Tally()
    check(old, new, found, points, whole, label="whole")
    check(old, new, replace(found, changes=()), points, less, label="less")
    first, second, *_ = found.changes
    swapped = (replace(first, regions=second.regions), replace(second, regions=first.regions))
    check(old, new, replace(found, changes=swapped), points, wrong, label="wrong")
    assert whole.clean
    assert less.missed
    assert wrong.bad


def _case(seed: int) -> tuple[random.Random, RoutingTable, list[Facts]]:
    r = random.Random(seed)
    t = taste(r)
    one = table(r, t)
    return r, one, list(requests(r, (one,), t, limit=300))


def _dead(one: RoutingTable) -> set[str]:
    return {finding.route for finding in unmatchable(one)} | {finding.route for finding in unreachable(one)}


def test_find_and_regions_against_brute_force() -> None:
    found_some = found_none = 0
    for seed in range(80):
        r = random.Random(seed)
        t = taste(r)
        one = table(r, t)
        within = condition(r, t)
        judge = Judge(one)

        def accept(outcome: Outcome) -> bool:
            return outcome.kind in ("no_route", "unservable") or "x" in outcome.channels

        points = [facts for facts in requests(r, (one,), t, limit=200) if within.holds(facts)]
        accepted = [facts for facts in points if accept(judge.outcome(facts))]
        found = find(one, within=within, accept=accept)
        if found is None:
            found_none += 1
            assert not accepted, (seed, accepted[0])
        else:
            found_some += 1
            assert accept(judge.outcome(found))
            assert within.holds(found)
    assert found_some > 40
    assert found_none > 1


def test_unmatchable_and_unreachable_routes() -> None:
    unreached = 0
    for seed in range(90):
        _, one, points = _case(seed)
        judge = Judge(one)
        never = {finding.route for finding in unmatchable(one)}
        blocked = {finding.route: finding for finding in unreachable(one)}
        assert not never & set(blocked)
        taken = {judge.outcome(facts).route for facts in points}
        assert not taken & (never | set(blocked)), seed
        for route in one.routes:
            asking = [facts for facts in points if route.when.holds(judge.facts(facts))]
            assert not (asking and route.name in never), (seed, route.name)
            finding = blocked.get(route.name)
            if finding is None:
                continue
            unreached += 1
            assert route.when.holds(judge.facts(finding.example))
            decided = judge.outcome(finding.example).route
            assert decided in finding.blockers or decided is None
            assert decided == finding.taken_by or finding.taken_by == "@refused"
            holding = [r for r in one.routes if r.name in finding.blockers]
            others = any(name == "@refused" or name.startswith("@") for name in finding.blockers)
            for facts in asking:
                assert others or any(r.when.holds(judge.facts(facts)) for r in holding), (seed, route.name, facts)
    assert unreached > 20


def test_every_other_route_takes_the_request_that_shows_it() -> None:
    """The other direction: a route that is reported neither as unmatchable nor as unreachable is first for some."""
    reached = 0
    for seed in range(40):
        _, one, _ = _case(seed)
        reported = _dead(one)
        for route in one.routes:
            if route.name not in reported:
                name = route.name
                found = find(one, accept=_any_outcome, within=route.when)
                assert found is not None
                marked = replace(
                    one,
                    routes=tuple(replace(r, tiers=(), deny=_MARK) if r.name == name else r for r in one.routes),
                )
                taken = find(marked, accept=_marked)
                assert taken is not None, (seed, name)
                assert Judge(one).outcome(taken).route == name
                reached += 1
    assert reached > 40


def test_redundant_routes_can_be_removed_together_and_no_other_alone() -> None:
    removed = kept = 0
    for seed in range(50):
        _, one, points = _case(seed)
        names = {finding.route for finding in redundant(one)}
        dead = _dead(one)
        without = replace(one, routes=tuple(route for route in one.routes if route.name not in names))
        assert compare(one, without).none, seed
        before, after = Judge(one), Judge(without)
        assert all(before.outcome(facts) == after.outcome(facts) for facts in points)
        removed += len(names)
        for route in without.routes:
            if route.name not in dead:
                less = replace(without, routes=tuple(r for r in without.routes if r.name != route.name))
                assert not compare(without, less).none, (seed, route.name)
                kept += 1
    assert removed > 3
    assert kept > 60


def _by_a_route(judge: Judge, facts: Facts) -> bool:
    """Whether a declared route takes the request, not one that the caller implies by naming a channel."""
    route = judge.outcome(facts).route
    return route is not None and not route.startswith("@")


def test_gaps_are_the_requests_without_a_route() -> None:
    some = 0
    for seed in range(50):
        _, one, points = _case(seed)
        judge = Judge(one)
        found = {gap.protocol: gap for gap in gaps(one, cap=50)}
        for gap in found.values():
            for region in gap.regions:
                assert judge.outcome(region.witness).kind == "no_route"
                assert region.when.holds(region.witness)
        for facts in points:
            here = found.get(facts.protocol)
            inside = here is not None and any(region.when.holds(facts) for region in here.regions)
            if judge.outcome(facts).kind == "no_route":
                served = any(_by_a_route(judge, replace(f, protocol=facts.protocol)) for f in points[:80])
                assert inside or not served or (here is not None and here.more), (seed, facts)
                some += inside
            else:
                assert not inside
    assert some > 100


def test_order_matters_for_the_witness_of_an_overlap() -> None:
    some = 0
    for seed in range(60):
        _, one, _ = _case(seed)
        for overlap in order_sensitive(one):
            routes = list(one.routes)
            first, second = (
                next(place for place, route in enumerate(routes) if route.name == name)
                for name in (overlap.first, overlap.second)
            )
            assert first < second
            routes[first], routes[second] = routes[second], routes[first]
            swapped = replace(one, routes=tuple(routes))
            before, after = Judge(one).outcome(overlap.witness), Judge(swapped).outcome(overlap.witness)
            assert (before, after) == (overlap.before, overlap.after)
            assert before != after
            assert (before.route, after.route) == (overlap.first, overlap.second)
            some += 1
    assert some > 20
