"""What rules look at: every outcome by the route that decides, and what an alias repeats."""

from __future__ import annotations

from ccx.analysis.space import Budget
from ccx.lint.subject import Subject
from tests.lint.cases import TODAY, examined


def subject(text: str) -> Subject:
    one = examined(text)
    assert one.loaded.spec is not None
    assert one.compiled is not None
    return Subject(one.loaded, one.loaded.spec, one.compiled, today=TODAY, budget=Budget())


def test_routes_that_do_the_same_are_each_seen_to_decide() -> None:
    text = "routes:\n" + "".join(f"  - {{name: r{n}, when: {{model: m{n}}}, to: [main]}}\n" for n in range(5))
    assert {f"r{n}" for n in range(5)} | {None} <= set(subject(text).outcomes)


def test_of_each_route_all_outcomes_are_seen() -> None:
    text = (
        "channels: {a: {provider: demo, models: ['a*']}, b: {provider: demo, models: ['b*']}}\n"
        "routes: [{name: r, to: [a, b]}]\n"
    )
    had = subject(text).outcomes["r"]
    assert {outcome.channels for outcome in had} == {("a",), ("b",), ()}
    assert {outcome.kind for outcome in had} == {"routed", "unservable"}


def test_what_an_alias_repeats_is_known() -> None:
    one = subject(
        "routes:\n  - {name: r, when: &w {model: [x, y]}, to: [main]}\n  - {name: s, when: *w, to: [main]}\n"
        "  - {name: t, when: {model: [z]}, to: [main]}\n"
    )
    assert one.shared(("routes", 0, "when", "model", 1))
    assert one.shared(("routes", 1, "when"))
    assert not one.shared(("routes", 2, "when", "model", 0))
