"""Marks: each kind where it is due, and not where it is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccx.plan.build import plan
from ccx.plan.guards import GUARDS, forbidden
from ccx.plan.model import Plan
from tests.plan.specs import CLAUDE, EDITS, SPEC, edited, side

OLD = side(SPEC, "main")


def made(*pairs: tuple[str, str], base: str = SPEC) -> Plan:
    text = base
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return plan(side(base), side(text), spec="ccx.yaml")


def marked(found: Plan, guard: str) -> list[str]:
    ids = {one.id for one in found.moved}
    assert all(set(mark.moved) <= ids for mark in found.marks)
    assert [mark.guard for mark in found.marks] == sorted((mark.guard for mark in found.marks), key=GUARDS.index)
    return [mark.message for mark in found.marks if mark.guard == guard]


def test_quiet_edits_have_no_marks() -> None:
    for name in ("route renamed", "comments and spellings", "reorder without effect", "weights", "key reference"):
        assert plan(OLD, side(edited(name)), spec="ccx.yaml").marks == (), name


def test_requests_that_are_served_no_more() -> None:
    found = plan(OLD, side(edited("catch-all removed")), spec="ccx.yaml")
    assert marked(found, "newly-unrouted") == ["requests are no longer served: those of `rest`"]
    assert {mark.moved for mark in found.marks if mark.guard == "newly-unrouted"} == {
        tuple(one.id for one in found.moved if one.effect == "newly_unrouted")
    }
    assert not marked(plan(side(edited("catch-all removed")), OLD, spec="ccx.yaml"), "newly-unrouted")
    assert marked(plan(OLD, side(edited("new deny")), spec="ccx.yaml"), "newly-refused") == [
        "requests are refused that were served: those of `rest`"
    ]


REST = "  - name: rest\n    to: [anthropic, openai]\n"


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("", "`rest` took whatever no other route takes, and nothing does now"),
        (REST.replace("[anthropic, openai]", "[openai, anthropic]"), "`rest`, which takes whatever no other route"),
        (REST.replace("rest", "other").replace("[anthropic, openai]", "[lab]"), "goes to `other` instead of `rest`"),
        (REST.replace("    to:", "    when: {model: x}\n    to:"), "nothing does now"),
        (REST.replace("rest", "other"), None),
    ],
)
def test_the_catch_all(new: str, said: str | None) -> None:
    found = marked(made((REST, new)), "catch-all-changed")
    assert bool(found) is (said is not None)
    assert all(said in message for message in found if said)


def test_a_new_catch_all() -> None:
    bare = SPEC.replace(REST, "")
    found = made(("defaults:\n", REST + "defaults:\n"), base=bare)
    assert marked(found, "catch-all-changed") == ["`rest` now takes whatever no other route takes"]


def listing(count: int, *, to: dict[int, str]) -> str:
    lines = ["version: ccx/v1", "channels: {a: {provider: demo}, b: {provider: demo}}", "routes:"]
    lines += [f"  - {{name: r{n}, when: {{model: m{n}}}, to: [{to.get(n, 'a')}]}}" for n in range(count)]
    return "\n".join(lines)


def test_many_routes() -> None:
    four, three = (dict.fromkeys(range(count), "b") for count in (4, 3))
    old = listing(10, to={})
    found = plan(side(old), side(listing(10, to=four)), spec="x")
    assert marked(found, "many-routes-changed") == ["4 of 10 routes are changed, moved or removed (40%; more than 30%)"]
    assert not marked(plan(side(old), side(listing(10, to=three)), spec="x"), "many-routes-changed")
    few = plan(side(listing(9, to={})), side(listing(9, to=four)), spec="x")
    assert not marked(few, "many-routes-changed")
    more = plan(side(old), side(listing(30, to={})), spec="x")
    assert not marked(more, "many-routes-changed")
    fewer = plan(side(old), side(listing(6, to={})), spec="x")
    assert marked(fewer, "many-routes-changed")


def test_a_route_left_with_one_target() -> None:
    said = "`rest` is left with `anthropic` alone; it had `anthropic` and `openai`"
    assert marked(made(("to: [anthropic, openai]", "to: [anthropic]")), "single-target") == [said]
    assert said in marked(made(("provider: openai,", "provider: openai, enabled: false,")), "single-target")
    assert not marked(made(("to: [openai]", "to: [lab]")), "single-target")
    assert not marked(made(("to: [openai]", "to: [lab, openai]")), "single-target")
    # Two targets of one channel were one already; a renamed route is the same one.
    twice = ("to: [openai]", "to: [openai, {channel: openai, model: gpt-5}]")
    assert not marked(made((twice[1], twice[0]), base=SPEC.replace(*twice)), "single-target")
    renamed = made(("name: rest\n    to: [anthropic, openai]", "name: last\n    to: [anthropic]"))
    assert not marked(renamed, "single-target")  # another route altogether: nothing of it stayed


@pytest.mark.parametrize(
    ("address", "due"),
    [
        ("http://lab.internal:8000", True),
        ("http://10.0.0.7", True),
        ("https://lab.internal:8000", False),
        ("http://127.0.0.9:8000", False),
        ("http://localhost:9000", False),
        ("http://[::1]:9000", False),
    ],
)
def test_plain_http(address: str, due: bool) -> None:
    assert bool(marked(made(("http://127.0.0.1:8000", address)), "plaintext-upstream")) is due
    new = ("channels:\n", f"channels:\n  extra: {{protocol: chat, base_url: '{address}', keys: none}}\n")
    assert bool(marked(made(new), "plaintext-upstream")) is due
    # What was in the clear before is not new.
    assert not marked(made(("0.10", "0.20"), base=SPEC.replace("http://127.0.0.1:8000", address)), "plaintext-upstream")


def test_traffic_that_leaves_a_region() -> None:
    found = made(("to: [openai]\n", "to: [anthropic]\n"))
    assert marked(found, "tag-changed") == ["traffic goes from region us to region eu: `anthropic`"]
    away = made((CLAUDE, CLAUDE.replace("[anthropic, ", "[lab, ")))
    assert marked(away, "tag-changed") == ["traffic goes from region eu, us to region (none): `lab`"]
    # Within what was asked before, and from where nothing is tagged, there is nothing to tell.
    assert not marked(made(("to: [anthropic, openai]", "to: [openai, anthropic]")), "tag-changed")
    assert not marked(made(("{channel: lab, model: qwen3-coder}, anthropic]", "anthropic]")), "tag-changed")
    assert marked(plan(OLD, side(edited("region")), spec="x"), "tag-changed") == [
        "the channel `anthropic` goes from region eu to region ap"
    ]


def test_an_ability_that_is_lost() -> None:
    to_lab = ("to: [openai]\n", "to: [{channel: lab, model: qwen3-coder}]\n")
    said = marked(made(to_lab), "capability-lost")
    assert "`qwen3-coder` lacks tools" in said
    assert any(message.startswith("`qwen3-coder` takes 64k tokens, where up to") for message in said)
    # Not where the requests cannot need it.
    small = ('when: {model: "gpt-*"}', 'when: {model: "gpt-*", tools: false, input_tokens: < 60k}')
    assert not marked(made(to_lab, base=SPEC.replace(*small)), "capability-lost")
    # Nor of a model that nobody knows, nor where the one before lacked it as well.
    assert not marked(made(("to: [openai]\n", "to: [{channel: lab, model: qq}]\n")), "capability-lost")
    elsewhere = ("{channel: lab, model: qwen3-coder}, anthropic]", "{channel: gemini, model: qwen3-coder}]")
    assert not marked(made(elsewhere), "capability-lost")


def test_what_is_forbidden() -> None:
    found = plan(OLD, side(edited("catch-all removed")), spec="x")
    lines = forbidden(found, ["newly-unrouted", "any", "tag-changed", "newly-unrouted"])
    assert lines == ("newly-unrouted: requests are no longer served: those of `rest`", "any: 4 routing changes")
    assert forbidden(found, ["single-target", "incomplete"]) == ()
    quiet = plan(OLD, side(edited("key reference")), spec="x")
    assert forbidden(quiet, ["any", *GUARDS]) == ()
    unfinished = replace(quiet, unfinished="out of time")
    assert forbidden(unfinished, ["any"]) == ("any: that no request is routed differently is not proven: out of time",)


def test_every_kind_of_mark_is_made_somewhere_above() -> None:
    kinds = {mark.guard for name in EDITS for mark in plan(OLD, side(edited(name)), spec="x").marks}
    assert kinds | {"many-routes-changed", "capability-lost", "incomplete"} == set(GUARDS)
