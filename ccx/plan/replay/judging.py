"""What becomes of a logged request on two tables, as far as the log tells.

Law: nothing is guessed. A fact that the log does not hold and that a rule asks for is tried in every way it could be,
the same way on both tables: yes and no, each range of tokens between the numbers that rules compare with, each question
about a header, field, tool or client answered both ways. If all ways agree, the outcome is known; if in all of them
nothing changes, that is known; else the request is undetermined, and the facts in doubt are named. All outcomes are the
decision engine's own: a question answered beforehand becomes a constant in the table, and the engine decides.

A provider's own count of a prompt stands in for ccx's within `COUNT_MARGIN` either way.

The rights of a client whom the log does not name are not looked at. A client that one table admits and the other does
not declare is refused by the other; one that neither declares (an alias in another gateway's log) is refused by none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

from msgspec import json, structs

from ccx.analysis.outcome import Judge, Outcome
from ccx.plan.replay.logged import UNCOUNTABLE, Request, Row
from ccx.protocols.names import Protocol
from ccx.routing.conditions import (
    All,
    AnyOf,
    BodyField,
    ClientIn,
    Condition,
    Constant,
    HeaderMatches,
    Leaf,
    Not,
    ServerTool,
    TagMatches,
    TokensIn,
    leaves,
)
from ccx.routing.decide import Cell
from ccx.routing.facts import Axis, Facts
from ccx.routing.table import RoutingTable

COUNT_MARGIN: Final = 0.25
MAX_QUESTIONS: Final = 8
MAX_WAYS: Final = 4096
_JUDGES_KEPT: Final = 256
_FLAGS: Final = (Axis.STREAM, Axis.TOOLS, Axis.THINKING, Axis.IMAGES)

Truths = Mapping[Leaf, bool]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`before` and `after` are None where they are not known; `doubts` names the facts that would tell them apart, and
    is empty where it is known at least that nothing changes."""

    before: Outcome | None
    after: Outcome | None
    doubts: tuple[str, ...] = ()

    @property
    def moved(self) -> bool:
        """Whether the request is known to fare differently."""
        return self.before != self.after


class Side:
    """One table, with some of its questions answered beforehand."""

    def __init__(self, table: RoutingTable) -> None:
        self.table = table
        self.judge = Judge(table)
        self._assumed: OrderedDict[frozenset[tuple[Leaf, bool]], Judge] = OrderedDict()

    def cell(self, request: Request) -> Cell:
        """What the table asks of such a request."""
        return self.judge.decider.cell(Protocol(request.protocol), request.model)

    def admits(self, request: Request) -> bool:
        """Whether the table declares the caller; a caller without a name is one of a table without clients."""
        if request.client is None:
            return not self.judge.clients
        return request.client in self.judge.clients

    def judged(self, facts: Facts, sticky: int | None) -> Facts:
        """The facts by which the table decides a request whose session is remembered by a count."""
        own = facts.input_tokens
        if sticky is None or own is None or self.table.sticky is None:
            return facts
        return replace(facts, input_tokens=max(own, sticky))

    def outcome(self, facts: Facts, truths: Truths) -> Outcome:
        """The engine's word, given the answers."""
        if not truths:
            return self.judge.outcome(facts)
        key = frozenset(truths.items())
        judge = self._assumed.get(key)
        if judge is None:
            routes = tuple(replace(route, when=assumed(route.when, truths)) for route in self.table.routes)
            self._assumed[key] = judge = Judge(replace(self.table, routes=routes))
            if len(self._assumed) > _JUDGES_KEPT:
                self._assumed.popitem(last=False)
        return judge.outcome(facts)


class Judging:
    """Decides logged requests on an old and a new table."""

    def __init__(self, old: RoutingTable, new: RoutingTable) -> None:
        self.old, self.new = Side(old), Side(new)
        asked = (leaf for table in (old, new) for route in table.routes for leaf in leaves(route.when))
        numbers = {n for leaf in asked if isinstance(leaf, TokensIn) for n in (leaf.low, leaf.high)}
        self.cuts: tuple[int, ...] = tuple(sorted(n for n in numbers if n))
        """Numbers that token counts are compared with, ascending."""

    def tokens(self, row: Row) -> tuple[int, int]:
        """The ranges between cuts that the request's tokens may lie in; (-1, -1) if it has none to count."""
        counted, cuts = row.counted, self.cuts
        if counted is not None:
            if counted == UNCOUNTABLE:
                return -1, -1
            at = bisect_right(cuts, counted)
            return at, at
        low, high = 0, len(cuts)
        if row.prompt is not None:
            low = bisect_right(cuts, int(row.prompt * (1 - COUNT_MARGIN)))
            high = bisect_right(cuts, int(row.prompt * (1 + COUNT_MARGIN)) + 1)
        if row.at_most is not None:
            high = min(high, bisect_right(cuts, row.at_most))
        return min(low, high), high

    def remembered(self, row: Row) -> Request:
        """The request, with the least count that decides as the one its session was remembered by, if it was."""
        if row.sticky is None:
            return row.request
        at = bisect_right(self.cuts, row.sticky)
        return structs.replace(row.request, sticky=(0, *self.cuts)[at])

    def verdict(self, request: Request, low: int, high: int) -> Verdict:
        """What becomes of a request whose tokens lie in these ranges."""
        try:
            facts = facts_of(request)
        except ValueError:
            return Verdict(None, None, ("the line's facts",))
        old, new = self.old.admits(request), self.new.admits(request)
        cells = (self.old.cell(request), self.new.cell(request))
        doubts: list[str] = []
        ways: list[list[dict[str, Any]]] = []
        axes = cells[0].axes | cells[1].axes
        for flag in _FLAGS:
            if flag in axes and getattr(request, flag) is None:
                doubts.append(flag.value)
                ways.append([{flag.value: True}, {flag.value: False}])
        if Axis.DIRECT in axes and not (request.named and (request.client is None or old or new)):
            doubts.append("client")
            ways.append([{"direct": True}, {"direct": False}])
        if low < 0:
            ways.append([{"input_tokens": None}])
        elif Axis.INPUT_TOKENS in axes:
            counts = (0, *self.cuts)[low : high + 1]
            if len(counts) > 1:
                doubts.append("input_tokens")
            ways.append([{"input_tokens": count} for count in counts])
        else:
            ways.append([{"input_tokens": 0}])
        questions = self._questions(request, facts, cells)
        doubts += [name for leaf in questions if (name := _name(leaf)) not in doubts]
        size = 2 ** len(questions)
        for way in ways:
            size *= len(way)
        if len(questions) > MAX_QUESTIONS or size > MAX_WAYS:
            return Verdict(None, None, tuple(dict.fromkeys(doubts)))
        # Strangers to one table only: there, the caller is turned away before it is routed.
        shut = (new and not old and request.named, old and not new and request.named)
        return self._agreed(
            facts, ways, questions, shut=shut, sticky=request.sticky, doubts=tuple(dict.fromkeys(doubts))
        )

    def _agreed(
        self,
        facts: Facts,
        ways: list[list[dict[str, Any]]],
        questions: tuple[Leaf, ...],
        *,
        shut: tuple[bool, bool],
        sticky: int | None,
        doubts: tuple[str, ...],
    ) -> Verdict:
        first: tuple[Outcome, Outcome] | None = None
        known, same = True, True
        for choice in product(*ways):
            tried = replace(facts, **{name: value for part in choice for name, value in part.items()})
            for answers in product((True, False), repeat=len(questions)):
                truths = dict(zip(questions, answers, strict=True))
                before = _STRANGER if shut[0] else self.old.outcome(self.old.judged(tried, sticky), truths)
                after = _STRANGER if shut[1] else self.new.outcome(self.new.judged(tried, sticky), truths)
                if first is None:
                    first = before, after
                known = known and first == (before, after)
                same = same and before == after
                if not known and not same:
                    return Verdict(None, None, doubts)
        if not known or first is None:
            return Verdict(None, None)
        return Verdict(*first)

    def _questions(self, request: Request, facts: Facts, cells: tuple[Cell, ...]) -> tuple[Leaf, ...]:
        """The questions of both tables that the log leaves open, each once."""
        found = (leaf for cell in cells for rule in cell.rules for leaf in leaves(rule.when))
        return tuple(dict.fromkeys(leaf for leaf in found if _open(leaf, request)))


_STRANGER: Final = Outcome("refused", reason="the client is not declared")


def doubts_of(request: Request, cell: Cell) -> tuple[str, ...]:
    """The facts, apart from the number of tokens, that the cell's rules ask for and the log does not hold."""
    flags = [flag.value for flag in _FLAGS if flag in cell.axes and getattr(request, flag) is None]
    asked = (leaf for rule in cell.rules for leaf in leaves(rule.when) if _open(leaf, request))
    return tuple(dict.fromkeys([*flags, *(_name(leaf) for leaf in asked)]))


def _open(leaf: Leaf, request: Request) -> bool:
    match leaf:
        case ClientIn() | TagMatches():
            return not request.named
        case ServerTool():
            return request.server_tools is None
        case HeaderMatches(name):
            return name not in _object(request.headers)
        case BodyField(path):
            return path not in _object(request.body)
        case _:
            return False


def _name(leaf: Leaf) -> str:
    match leaf:
        case ClientIn() | TagMatches():
            return "client"
        case HeaderMatches(name):
            return f"header {name}"
        case BodyField(path):
            return f"body {path}"
        case _:
            return "server_tools"


def facts_of(request: Request) -> Facts:
    """The facts that are known. Raises ValueError for nested facts that are not what they should be."""
    tags = {name: value for name, value in _object(request.tags).items() if isinstance(value, str)}
    headers = {name: value for name, value in _object(request.headers).items() if isinstance(value, str)}
    body = {name: value for name, value in _object(request.body).items() if isinstance(value, str | int | float)}
    tools = _decode(request.server_tools or b"[]")
    if not isinstance(tools, list):
        raise ValueError("server_tools is not a list")
    return Facts(
        Protocol(request.protocol),
        request.model,
        input_tokens=0,
        stream=bool(request.stream),
        tools=bool(request.tools),
        server_tools=frozenset(name for name in tools if isinstance(name, str)),
        thinking=bool(request.thinking),
        images=bool(request.images),
        client=request.client,
        tags=tags,
        headers=headers,
        prefix=request.prefix,
        body=body,
        direct=request.client is None,
    )


def _object(data: bytes | None) -> dict[str, object]:
    if data is None or data == b"{}":
        return {}
    found = _decode(data)
    if not isinstance(found, dict):
        raise ValueError("a group of facts is not an object")
    return found


def _decode(data: bytes) -> object:
    try:
        return json.decode(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def assumed(condition: Condition, truths: Truths) -> Condition:
    """The condition with some of its questions answered."""
    match condition:
        case All(parts):
            return All(tuple(assumed(part, truths) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(assumed(part, truths) for part in parts))
        case Not(part):
            return Not(assumed(part, truths))
        case _:
            answer = truths.get(condition)
            return condition if answer is None else Constant(answer)
