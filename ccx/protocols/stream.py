"""The grammar of answers that come as events: what may follow what, folding events to a response, and back.

    Begin  (PartBegin PartDelta* PartEnd)*  End
    |_____________ Failed may stand anywhere and ends it ______________|

Parts do not overlap: providers that interleave them (parallel tool calls) are put in order by their decoders. Every
part that began ends before the next begins, and all before End. An illegal order is a bug of a decoder, not of the
provider, and raises GrammarError. A stream that stops without End or Failed was cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from typing import assert_never

from ccx.protocols.ir import (
    Begin,
    End,
    Event,
    Failed,
    Media,
    Opaque,
    Part,
    PartBegin,
    PartDelta,
    PartEnd,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)


class GrammarError(Exception):
    """Events in an order that the grammar does not allow."""


class State(Enum):
    """Where in the grammar a stream stands."""

    START = "before Begin"
    BETWEEN = "between parts"
    INSIDE = "inside a part"
    DONE = "after the end"


_NEXT: dict[State, dict[type[Event], State]] = {
    State.START: {Begin: State.BETWEEN, Failed: State.DONE},
    State.BETWEEN: {PartBegin: State.INSIDE, End: State.DONE, Failed: State.DONE},
    State.INSIDE: {PartDelta: State.INSIDE, PartEnd: State.BETWEEN, Failed: State.DONE},
    State.DONE: {},
}


class Grammar:
    """Checks events against the grammar as they pass."""

    def __init__(self) -> None:
        self.state = State.START
        self._index = -1

    def accept(self, event: Event) -> None:
        """Take one event. Raises GrammarError."""
        following = _NEXT[self.state].get(type(event))
        if following is None:
            raise GrammarError(f"{type(event).__name__} {self.state.value}")
        match event:
            case PartBegin(index):
                if index != self._index + 1:
                    raise GrammarError(f"part {index} begins after part {self._index}")
                self._index = index
            case PartDelta(index) | PartEnd(index):
                if index != self._index:
                    raise GrammarError(f"{type(event).__name__} of part {index} inside part {self._index}")
            case Begin() | End() | Failed():
                pass
            case _:
                assert_never(event)
        self.state = following


class Assembler:
    """Folds events into the response they tell. The fold of a stream equals the response that is not streamed."""

    def __init__(self) -> None:
        self.grammar = Grammar()
        self.failed: Failed | None = None
        self._begin: Begin | None = None
        self._parts: list[Part] = []
        self._open: Part | None = None
        self._said: list[str] = []
        self._end: End | None = None

    def feed(self, event: Event) -> None:
        """Take one event. Raises GrammarError."""
        self.grammar.accept(event)
        match event:
            case Begin():
                self._begin = event
            case PartBegin(_, part):
                self._open, self._said = part, []
            case PartDelta(_, text):
                self._said.append(text)
            case PartEnd():
                assert self._open is not None  # noqa: S101 - the grammar has seen to it
                self._parts.append(_whole(self._open, "".join(self._said), event))
                self._open = None
            case End():
                self._end = event
            case Failed():
                self.failed = event
            case _:
                assert_never(event)

    @property
    def response(self) -> Response | None:
        """The whole answer; None while it is not whole, and for one that failed or was cut."""
        if self._begin is None or self._end is None:
            return None
        return Response(
            id=self._begin.id,
            model=self._begin.model,
            parts=tuple(self._parts),
            finish=self._end.finish,
            usage=merged(self._begin.usage, self._end.usage),
            created=self._begin.created,
            native=self._end.native,
        )


def merged(early: Usage | None, late: Usage) -> Usage:
    """What is known of usage at the end: the late word over the early one."""
    if early is None:
        return late
    raw = {**(early.raw or {}), **(late.raw or {})} or None
    return Usage(
        input_tokens=_later(late.input_tokens, early.input_tokens),
        output_tokens=_later(late.output_tokens, early.output_tokens),
        cache_read_tokens=_later(late.cache_read_tokens, early.cache_read_tokens),
        cache_write_tokens=_later(late.cache_write_tokens, early.cache_write_tokens),
        reasoning_tokens=_later(late.reasoning_tokens, early.reasoning_tokens),
        raw=raw,
    )


def _later(late: int | None, early: int | None) -> int | None:
    return early if late is None else late


def _whole(part: Part, said: str, end: PartEnd) -> Part:
    match part:
        case Text():
            citations = (*part.citations, *end.citations)
            return replace(part, text=part.text + said, citations=citations, native=(*part.native, *end.native))
        case Reasoning() | Refusal():
            return replace(part, text=part.text + said, native=(*part.native, *end.native))
        case ToolCall():
            return replace(part, arguments=part.arguments + said, native=(*part.native, *end.native))
        case ToolResult() | Media():
            return replace(part, native=(*part.native, *end.native))
        case Opaque():
            return part
        case _:
            assert_never(part)


def events(response: Response) -> Iterator[Event]:
    """A whole answer as the events that fold to it: for a client that streams in front of an upstream that does not."""
    yield Begin(response.id, response.model, response.created, None)
    for index, part in enumerate(response.parts):
        empty, said = _opened(part)
        yield PartBegin(index, empty)
        if said:
            yield PartDelta(index, said)
        match part:
            case Text():
                yield PartEnd(index, citations=part.citations)
            case Reasoning():
                yield PartEnd(index, native=part.native)
            case _:
                yield PartEnd(index)
    yield End(response.finish, response.usage, response.native)


def _opened(part: Part) -> tuple[Part, str]:
    """A part with nothing said yet, and what is to be said. Residue is there at once, since an encoder may have to
    write it before its part; only that of thoughts, a signature, comes after them as providers send it."""
    match part:
        case Text():
            return replace(part, text="", citations=()), part.text
        case Reasoning():
            return replace(part, text="", native=()), part.text
        case Refusal():
            return replace(part, text=""), part.text
        case ToolCall():
            return replace(part, arguments=""), part.arguments
        case ToolResult() | Media() | Opaque():
            return part, ""
        case _:
            assert_never(part)
