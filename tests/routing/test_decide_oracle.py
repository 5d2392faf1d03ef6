"""The decision engine on the compiled table against the naive interpreter of the spec."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ccx.routing.compile import compile_spec
from ccx.routing.conditions import axis, leaves
from ccx.routing.decide import Decider, Decision, NeedsTokens
from ccx.routing.facts import Axis, Facts
from ccx.routing.trace import explain
from ccx.spec.document import Spec
from tests.routing import drawn
from tests.routing.oracle import Answer, answer


def _answered(decision: Decision) -> Answer:
    route = decision.route
    return Answer(
        route.name if route else None,
        route.deny.status if route and route.deny else None,
        tuple(tuple((c.channel.name, c.model, c.weight) for c in step.choices) for step in decision.steps),
    )


def _same(got: Answer, wanted: Answer) -> bool:
    """Weights are relative, and mean nothing but zero where no balance looks at them; compare who and with what."""

    def plain(a: Answer) -> tuple[Any, ...]:
        return a.route, a.deny, tuple(tuple((c, m) for c, m, _ in step) for step in a.steps)

    return plain(got) == plain(wanted)


@given(drawn.specs(), st.lists(drawn.facts(), min_size=1, max_size=12))
def test_decides_as_the_spec_reads(raw: dict[str, Any], requests: list[Facts]) -> None:
    spec = Spec.model_validate(raw)
    decider = Decider(compile_spec(spec).table)
    for facts in requests:
        decision = decider.decide(facts)
        assert isinstance(decision, Decision), "an exact count or none leaves nothing to wait for"
        assert _same(_answered(decision), answer(spec, facts)), facts


@given(drawn.specs(), drawn.facts(), st.integers(0, 1200))
def test_a_bound_on_the_tokens_never_misleads(raw: dict[str, Any], facts: Facts, slack: int) -> None:
    spec = Spec.model_validate(raw)
    decider = Decider(compile_spec(spec).table)
    count = facts.input_tokens or 0
    counted = replace(facts, input_tokens=count)
    decision = decider.decide(replace(facts, input_tokens=None, tokens_at_most=count + slack))
    if isinstance(decision, NeedsTokens):
        assert Axis.INPUT_TOKENS in {axis(leaf) for leaf in leaves(decision.waiting.when)}
        decision = decider.decide(counted)
        assert isinstance(decision, Decision)
    assert _same(_answered(decision), answer(spec, counted))


@given(drawn.specs(), st.lists(drawn.facts(), min_size=1, max_size=4), st.none() | st.integers(0, 1200))
def test_a_trace_tells_the_truth(raw: dict[str, Any], requests: list[Facts], bound: int | None) -> None:
    spec = Spec.model_validate(raw)
    decider = Decider(compile_spec(spec).table)
    for facts in requests:
        if bound is not None:
            facts = replace(facts, input_tokens=None, tokens_at_most=bound)
        trace = explain(decider, facts)
        assert trace.decision == decider.decide(facts)
        first = next((rule for rule in trace.rules if rule.holds is not False), None)
        assert (first.route if first else None) == trace.route
        assert isinstance(trace.decision, NeedsTokens) is (first is not None and first.holds is None)
        for rule in trace.rules:
            known = [check.holds for check in rule.checks]
            assert rule.holds == (False if False in known else None if None in known else True)
        after = trace.rules[trace.rules.index(first) + 1 :] if first else ()
        assert trace.hidden == tuple(rule.route for rule in after if rule.holds)


@given(drawn.specs(), drawn.facts())
def test_a_cell_asks_for_every_fact_that_matters(raw: dict[str, Any], facts: Facts) -> None:
    """A caller that reads only the facts a cell names gets the decision of one that reads them all."""
    decider = Decider(compile_spec(Spec.model_validate(raw)).table)
    cell = decider.cell(facts.protocol, facts.model)
    bare = Facts(facts.protocol, facts.model)

    def read(kind: Axis, name: str) -> Any:
        return getattr(facts if kind in cell.axes else bare, name)

    partial = Facts(
        facts.protocol,
        facts.model,
        input_tokens=read(Axis.INPUT_TOKENS, "input_tokens"),
        stream=read(Axis.STREAM, "stream"),
        tools=read(Axis.TOOLS, "tools"),
        server_tools=read(Axis.SERVER_TOOLS, "server_tools"),
        thinking=read(Axis.THINKING, "thinking"),
        images=read(Axis.IMAGES, "images"),
        client=read(Axis.CLIENT, "client"),
        tags=read(Axis.TAG, "tags"),
        headers={name: value for name, value in facts.headers.items() if name in cell.headers},
        prefix=read(Axis.PREFIX, "prefix"),
        body={path: value for path, value in facts.body.items() if path in cell.fields},
        direct=read(Axis.DIRECT, "direct"),
    )
    assert decider.decide(partial) == decider.decide(facts)
    # A second decider has built no other cells: what is kept between calls changes nothing.
    assert Decider(decider.table).decide(facts) == decider.decide(facts)
