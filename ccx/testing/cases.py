"""From the tests that a person wrote to the single requests that are checked: inheritance and matrices unfolded.

Law: a case is a function of the tests and the table. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from ccx.analysis.outcome import Judge
from ccx.protocols.names import Protocol
from ccx.routing.facts import Facts
from ccx.spec.locations import Place
from ccx.spec.suite import Matrix, RequestFacts, RoutingTest

_OF_A_RUN = ("served_by", "attempts", "continued", "timeline", "within")


@dataclass(frozen=True, slots=True)
class Written:
    """A test and where it is written."""

    test: RoutingTest
    place: Place


@dataclass(frozen=True, slots=True)
class Case:
    """One request to check. `name` is the test's, with the values of its matrix where it has one."""

    name: str
    test: RoutingTest
    facts: Facts
    place: Place

    @property
    def drilled(self) -> bool:
        """Whether attempts are made, and not only decided."""
        test = self.test
        scripted = test.down is not None or test.attempts is not None or test.upstreams is not None
        return scripted or any(getattr(test.expect, name) is not None for name in _OF_A_RUN)


def expand(tests: Sequence[Written], judge: Judge) -> tuple[Case, ...]:
    """All cases, in the order written. Raises ValueError for a `like` that leads nowhere; a loaded spec has none."""
    named = {written.test.name: written.test for written in tests}
    return tuple(
        Case(written.test.name + cell, written.test, facts_of(request, judge), written.place)
        for written in tests
        for cell, request in _cells(written.test.matrix, inherited(written.test, named))
    )


def inherited(test: RoutingTest, named: Mapping[str, RoutingTest]) -> RequestFacts:
    """A test's request with what it takes over; headers and fields of the body by name. Raises ValueError."""
    chain, here = [test.request], test
    seen = {test.name}
    while here.request.like is not None:
        found = named.get(here.request.like)
        if found is None or found.name in seen:
            raise ValueError(f"test {test.name!r} is like {here.request.like!r}, which leads nowhere")
        seen.add(found.name)
        chain.append(found.request)
        here = found
    values: dict[str, Any] = {}
    for request in reversed(chain):
        for name in request.model_fields_set - {"like"}:
            value = getattr(request, name)
            values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
    return RequestFacts().model_copy(update=values)


def _cells(matrix: Matrix | None, request: RequestFacts) -> Iterator[tuple[str, RequestFacts]]:
    axes = {} if matrix is None else {name: getattr(matrix, name) for name in Matrix.model_fields}
    axes = {name: values for name, values in axes.items() if values is not None}
    for values in product(*axes.values()):
        cell = dict(zip(axes, values, strict=True))
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in cell.items())
        yield (f" [{shown}]" if shown else ""), request.model_copy(update=cell)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def facts_of(request: RequestFacts, judge: Judge) -> Facts:
    """A request as conditions see it, its client having the tags and rights of the table."""
    return judge.facts(
        Facts(
            Protocol(request.protocol),
            request.model,
            input_tokens=request.input_tokens,
            stream=request.stream,
            tools=request.tools or bool(request.server_tools),
            server_tools=frozenset(request.server_tools),
            thinking=request.thinking,
            images=request.images,
            client=request.client,
            headers=dict(request.headers),
            prefix=request.prefix,
            body={path: value for path, value in request.body.items() if isinstance(value, str | int | float)},
            direct=True,
        )
    )
