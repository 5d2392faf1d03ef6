"""What a change means, and which edit causes it: on changes made by hand, with the engine that decides."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from ccx.analysis.difference import Change, Region
from ccx.analysis.outcome import Asked, Judge, Outcome, Stage, Treatment
from ccx.plan.build import nothing
from ccx.plan.causes import moved
from ccx.plan.edits import Compared, edits
from ccx.plan.effects import RANK, effect, share
from ccx.protocols.names import Protocol
from ccx.routing.conditions import ALWAYS
from ccx.routing.facts import Facts
from ccx.routing.table import Balance, Failover, RequestPolicy
from tests.plan.specs import CLAUDE, SPEC, edited, side

OLD = side(SPEC, "old")
TREATED = Treatment(Failover(), RequestPolicy(), "warn", None)


def request(model: str, **facts: Any) -> Facts:
    return Facts(Protocol.MESSAGES, model, input_tokens=facts.pop("tokens", 0), **facts)


def change(old: Compared, new: Compared, *requests: Facts) -> Change:
    before, after = ([Judge(one.compiled.table).outcome(facts) for facts in requests] for one in (old, new))
    assert before[0] != after[0]
    return Change(before[0], after[0], tuple(Region(ALWAYS, facts) for facts in requests))


def cause(old: str, new: str, *requests: Facts) -> str | None:
    """The cause of what becomes of the requests, as `operation kind name`."""
    one, other = side(old), side(new)
    found = edits(one, other)
    (made,) = moved([change(one, other, *requests)], found, old=one.compiled.table, new=other.compiled.table)
    if made.cause is None:
        return None
    edit = found.listed[made.cause]
    return f"{edit.operation} {edit.kind} {edit.name}"


def replaced(*pairs: tuple[str, str], text: str = SPEC) -> str:
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


THRESHOLD = ("> 200k", "> 128k")
WEIGHTS = ("weight: 9", "weight: 4")
LONG = request("claude-x", tokens=150_000)
GPT = '  - name: gpt\n    when: {model: "gpt-*"}\n    to: [openai]\n'
GPT_UP = ((GPT, ""), ("  - name: mini\n", GPT + "  - name: mini\n"))


@pytest.mark.parametrize(
    ("pairs", "facts", "expected"),
    [
        ([THRESHOLD, WEIGHTS], LONG, "edit route long-context"),
        ([THRESHOLD, WEIGHTS], request("gpt-5-mini"), "edit route mini"),
        ([THRESHOLD, *GPT_UP], request("gpt-5-mini"), "move route gpt"),
        ([THRESHOLD, (CLAUDE, "")], request("claude-x"), "remove route claude"),
        ([THRESHOLD, (GPT, GPT.replace("gpt\n", "chat\n").replace("[openai]", "[lab]"))],
         request("gpt-5"), "add route chat"),
        ([THRESHOLD, ("keys: {env: GEMINI_KEY}\n", "keys: {env: GEMINI_KEY}\n    enabled: false\n")],
         request("claude-x", tokens=300_000), "edit channel gemini"),
        ([THRESHOLD, ("keys: {env: ANTHROPIC_KEY}\n", "keys: {env: ANTHROPIC_KEY}\n    models: [claude-*]\n")],
         request("o3"), "edit channel anthropic"),
        ([THRESHOLD, ("attempts: 3", "attempts: 5")], request("o3"), "edit defaults defaults"),
        ([THRESHOLD, ("models: [claude-*, gpt-*]", "models: [claude-*]")],
         request("gpt-5", client="eval-nightly"), "edit client eval-nightly"),
        ([THRESHOLD, ("server: {direct: false}", "server: {direct: true}")],
         request("lab/x", direct=True), "edit server server"),
        # Requests of a route that was edited fare otherwise by what all routes inherit, or also by that.
        ([THRESHOLD, ("attempts: 3", "attempts: 5")], request("claude-x", tokens=300_000), "edit defaults defaults"),
        ([THRESHOLD, ("attempts: 3", "attempts: 5")], LONG, "edit route long-context"),
        ([THRESHOLD, ("attempts: 3", "attempts: 5"), (", {channel: gemini, model: gemini-2.5-flash}]", "]")],
         request("claude-x"), "edit route claude"),
        # A new route to a new channel: the route is the cause, and it brings its channel along.
        ([THRESHOLD, ("channels:\n", "channels:\n  new: {provider: demo}\n"),
          ("  - name: evals\n", "  - {name: o3, when: {model: o3}, to: [new]}\n  - name: evals\n")],
         request("o3"), "add route o3"),
        # A channel that goes with what asked it.
        ([THRESHOLD, ("  lab: {protocol: chat, base_url: \"http://127.0.0.1:8000\", keys: none}\n", ""),
          ("to: [{channel: lab, model: qwen3-coder}, anthropic]", "to: [anthropic]"),
          ("{channel: openai, weight: 9}, {channel: lab, model: qwen3-coder}", "openai")],
         request("claude-x", client="eval-nightly"), "edit route evals"),
        # A renamed route whose body stays decides as before; the one below it is the cause.
        ([THRESHOLD, ("name: claude\n", "name: claude-all\n"), ("to: [openai]", "to: [lab]")],
         request("gpt-5"), "edit route gpt"),
    ],
)  # fmt: skip
def test_the_cause_is_the_edit_that_does_it_alone(pairs: list[tuple[str, str]], facts: Facts, expected: str) -> None:
    new = replaced(*pairs)
    assert cause(SPEC, new, facts) == expected
    # The other way round it is the edit of the same thing.
    assert (cause(new, SPEC, facts) or "").split()[1] == expected.split()[1]


def test_a_change_that_no_edit_makes_alone() -> None:
    """Neither the narrower route nor the removed one alone sends the request on."""
    too = "  - name: claude-too\n    when: {model: claude-*}\n    to: [lab]\n"
    base = replaced(("  - name: rest\n", too + "  - name: rest\n"))
    narrower = [(one, one.replace("claude-*", "claude-opus-*")) for one in (CLAUDE, too)]
    new = replaced(*narrower, text=base)
    assert cause(base, new, request("claude-x")) is None


def test_the_edit_without_which_it_would_not_be() -> None:
    """The channel's new name for the model needs the route that asks for it; either is needed, the nearest is told."""
    new = replaced(THRESHOLD, ("to: [openai]", "to: [lab]"), ("http://127.0.0.1:8000", "http://lab:8000"))
    assert cause(SPEC, new, request("gpt-5")) == "edit route gpt"


def test_of_two_edits_that_both_do_it_the_route_that_decides_is_told() -> None:
    new = replaced(
        ("to: [{channel: gemini, model: gemini-2.5-pro}, anthropic]", "to: [anthropic]"),
        ("keys: {env: GEMINI_KEY}\n", "keys: {env: GEMINI_KEY}\n    enabled: false\n"),
    )
    assert cause(SPEC, new, request("claude-x", tokens=300_000)) == "edit route long-context"


def test_where_no_route_is_the_channels_are_the_cause() -> None:
    old = "version: ccx/v1\nserver: {direct: false}\nchannels: {a: {provider: demo}, b: {provider: demo}}\n"
    assert cause(old, old.replace("a: {provider: demo}, b", "b"), request("x")) == "remove channel a"
    assert cause(old, old.replace("a: {provider: demo}, b", "c: {provider: demo}, b"), request("x")) is None
    swapped = "version: ccx/v1\nserver: {direct: false}\nchannels: {b: {provider: demo}, a: {provider: demo}}\n"
    assert cause(old, swapped + "clients: {}\n", request("x")) == "reorder channel channels"
    prefixed = old.replace("b: {provider: demo}", "b: {provider: demo, prefix: p}, z: {provider: demo}")
    assert cause(old, prefixed, request("x", prefix="p")) == "edit channel b"
    routed = old + "routes: [{name: r, to: [b]}, {name: s, when: {model: s}, to: [a]}]\n"
    assert cause(old, routed, request("x")) == "add route r"
    assert cause(routed, old, request("x")) is None


def test_ids_stay_while_the_change_stays_and_are_different() -> None:
    new = side(replaced(THRESHOLD, WEIGHTS))
    changes = [change(OLD, new, LONG), change(OLD, new, request("gpt-5-mini"))]

    def ids(changes: list[Change]) -> dict[str, str]:
        made = moved(changes, edits(OLD, new), old=OLD.compiled.table, new=new.compiled.table)
        return {one.effect: one.id for one in made}

    assert ids(changes) == ids(changes[::-1])
    assert ids(changes[:1])["retargeted"] == ids(changes)["retargeted"]
    # Alike but for the requests: two ids.
    twice = [changes[0], replace(changes[0], regions=(Region(ALWAYS, request("claude-y", tokens=190_000)),) * 2)]
    twice[1] = replace(twice[1], regions=tuple(Region(edits_when(), region.witness) for region in twice[1].regions))
    made = moved(twice, edits(OLD, new), old=OLD.compiled.table, new=new.compiled.table)
    assert len({one.id for one in made}) == 2


def edits_when() -> Any:
    return OLD.compiled.table.routes[0].when


def test_a_new_spec_is_the_cause_of_its_routes() -> None:
    none = nothing("main")
    found = edits(none, OLD)
    (made,) = moved([change(none, OLD, LONG)], found, old=none.compiled.table, new=OLD.compiled.table)
    assert made.effect == "newly_routed"
    assert made.cause is not None
    assert found.listed[made.cause].name == "claude"


def routed(*stages: Stage, route: str = "r", treatment: Treatment = TREATED) -> Outcome:
    return Outcome("routed", stages, treatment, route=route)


def stage(*targets: tuple[str, int], balance: Balance = "weighted") -> Stage:
    total = sum(weight for _, weight in targets)
    asked = tuple(
        Asked(name, Protocol.CHAT, None, Fraction(1) if balance == "priority" else Fraction(weight, total))
        for name, weight in targets
    )
    return Stage(asked, balance, "none")


def alone(name: str) -> Stage:
    return stage((name, 1), balance="priority")


NO_ROUTE, DENIED = Outcome("no_route"), Outcome("denied")


@pytest.mark.parametrize(
    ("before", "after", "expected", "part"),
    [
        (routed(alone("a")), NO_ROUTE, "newly_unrouted", None),
        (routed(alone("a")), Outcome("unservable"), "newly_unrouted", None),
        (routed(alone("a")), DENIED, "newly_refused", None),
        (routed(alone("a")), Outcome("refused"), "newly_refused", None),
        (NO_ROUTE, DENIED, "treatment", None),
        (DENIED, Outcome("unservable"), "treatment", None),
        (NO_ROUTE, routed(alone("a")), "newly_routed", None),
        (DENIED, routed(alone("a")), "newly_routed", None),
        (routed(alone("a")), routed(alone("b")), "retargeted", None),
        (routed(alone("a")), routed(stage(("a", 9), ("b", 1))), "retargeted", "0.1"),
        (routed(stage(("a", 2), ("b", 1))), routed(stage(("a", 1), ("b", 1))), "weights", "0.1667"),
        (routed(stage(("a", 9), ("b", 1))), routed(stage(("a", 4), ("b", 1))), "weights", "0.1"),
        (routed(stage(("a", 1), ("b", 1))), routed(stage(("a", 1), ("b", 1), balance="round_robin")), "weights", None),
        (routed(alone("a"), alone("b")), routed(alone("a")), "failover", None),
        (routed(alone("a"), alone("b")), routed(alone("a"), alone("c")), "failover", None),
        (routed(stage(("a", 1), ("b", 1), balance="priority")), routed(alone("a"), alone("b")), "failover", None),
        (
            routed(stage(("a", 1), ("b", 1), balance="priority")),
            routed(stage(("b", 1), ("a", 1), balance="priority")),
            "retargeted",
            None,
        ),
        (routed(alone("a")), routed(alone("a"), treatment=replace(TREATED, on_loss="reject")), "treatment", None),
    ],
)
def test_effects_and_shares(before: Outcome, after: Outcome, expected: str, part: str | None) -> None:
    assert effect(before, after) == expected
    assert share(before, after) == part
    assert share(after, before) == part
    assert expected in RANK


def test_the_gravest_come_first() -> None:
    new = side(edited("catch-all removed").replace("> 200k", "> 128k").replace("weight: 9", "weight: 4"))
    changes = [change(OLD, new, facts) for facts in (request("gpt-5-mini"), LONG, request("o3"))]
    made = moved(changes, edits(OLD, new), old=OLD.compiled.table, new=new.compiled.table)
    assert [one.effect for one in made] == ["newly_unrouted", "retargeted", "weights"]
