"""One answer out of two streams: what has been told of it, and the rest as another upstream continues it.

Law
- What comes out obeys `stream.Grammar` as one answer: one Begin, indexes without a gap, one End. Folded, it is the text
  of the first stream and then that of the second; all that may be missing is what the second said again at the seam.
- At the seam only an exact repetition is taken away: the white space that the model was not shown, or the end of the
  told text, from the start of a word on, long enough and told but once, so that it can be nothing else.
- The result does not depend on how the second stream was cut into pieces.
- Pure and bounded: of what is told no more is kept than the declared bytes; an answer that outgrows them, or holds more
  than text, is no longer kept, and cannot be continued.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, assert_never

from ccx.protocols.ir import (
    Begin,
    Citation,
    End,
    Event,
    Failed,
    Part,
    PartBegin,
    PartDelta,
    PartEnd,
    Reasoning,
    Text,
    Usage,
)
from ccx.protocols.stream import merged

MAX_TOLD: Final = 256 * 1024
"""Bytes of text (and of thoughts before it) up to which an answer may be continued."""

SEAM: Final = 2048
"""Characters of the told text that a repetition is looked for in."""

REPEATED: Final = 16
"""Characters from which on a repetition is taken for one, and not for chance."""


class Story:
    """What a client has been told of an answer, as the events that tell it again."""

    def __init__(self, bound: int = MAX_TOLD) -> None:
        self.index = -1  # of the latest part
        self.open = False  # whether that part has not ended
        self._left = bound
        self._plain = True
        self._ended = False
        self._begin: Begin | None = None
        self._parts: list[tuple[Text | Reasoning, list[str], PartEnd | None]] = []

    def feed(self, event: Event) -> None:
        """Take an event that has been told."""
        match event:
            case Begin():
                self._begin = event
            case PartBegin(index, part):
                self.index, self.open = index, True
                if isinstance(part, Text | Reasoning):
                    self._parts.append((part, [], None))
                    self._count(part.text)
                else:
                    self.spoil()
            case PartDelta(_, text):
                if self._plain:
                    self._parts[-1][1].append(text)
                    self._count(text)
            case PartEnd():
                self.open = False
                if self._plain:
                    part, said, _ = self._parts[-1]
                    self._parts[-1] = (part, ["".join(said)], event)
            case End() | Failed():
                self._ended = True
            case _:
                assert_never(event)

    def spoil(self) -> None:
        """Nothing can continue it: it is more than text, too long, or not known."""
        self._plain = False
        self._parts.clear()

    @property
    def spoiled(self) -> bool:
        """Whether nothing of it is kept any more."""
        return not self._plain

    @property
    def continuable(self) -> bool:
        """Whether it has begun, has not ended, is nothing but text so far (thoughts before it being whole), and is no
        longer than what is kept."""
        if not self._plain or self._ended or self._begin is None:
            return False
        return not (self.open and isinstance(self._parts[-1][0], Reasoning))

    @property
    def begin(self) -> Begin | None:
        """How it began."""
        return self._begin

    @property
    def text(self) -> str:
        """All of its text."""
        return "".join(part.text + "".join(said) for part, said, _ in self._parts if isinstance(part, Text))

    @property
    def spoken(self) -> int:
        """Bytes of its text and of the thoughts before it."""
        return sum(_size(part.text) + sum(map(_size, said)) for part, said, _ in self._parts)

    @property
    def last_length(self) -> int:
        """Characters of the part that has not ended; 0 where all have."""
        if not self.open or not self._parts:
            return 0
        part, said, _ = self._parts[-1]
        return len(part.text) + sum(map(len, said))

    def again(self) -> list[Event]:
        """The events that tell as much, without the tokens that were known at the beginning: whoever continues tells
        them at the end, for both."""
        found: list[Event] = [] if self._begin is None else [replace(self._begin, usage=None)]
        for index, (part, said, end) in enumerate(self._parts):
            found.append(PartBegin(index, part))
            if words := "".join(said):
                found.append(PartDelta(index, words))
            if end is not None:
                found.append(end)
        return found

    def _count(self, text: str) -> None:
        self._left -= _size(text)
        if self._left < 0:
            self.spoil()


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class Seam:
    """Where the new text meets the told one. `told` is the end of what the client has, `hidden` the white space at the
    end of it that the model was not shown."""

    def __init__(self, told: str, *, hidden: str = "") -> None:
        told = told[-SEAM:]
        found = {hidden} if hidden else set()
        for length in range(REPEATED, len(told) + 1):
            at = len(told) - length
            word = not told[at].isspace() and (at == 0 or not told[at - 1].isalnum() or not told[at].isalnum())
            if word and told.find(told[at:]) == at:
                found.add(told[at:])
        self._repetitions = sorted(found, key=len, reverse=True)
        self._held = ""
        self._decided = not self._repetitions
        self.trimmed = 0

    def feed(self, text: str) -> str:
        """What is new of this text; possibly nothing yet."""
        if self._decided:
            return text
        self._held += text
        if any(len(one) > len(self._held) and one.startswith(self._held) for one in self._repetitions):
            return ""
        return self.end()

    def end(self) -> str:
        """The text is over: what is new of what was held back."""
        if self._decided:
            return ""
        self._decided = True
        held, self._held = self._held, ""
        self.trimmed = next((len(one) for one in self._repetitions if held.startswith(one)), 0)
        return held[self.trimmed :]


class Splice:
    """Makes of a second stream's events those that go on with the told ones.

    `usage` is that of all calls before, added at the end. `failed` is set where the second stream says that it failed:
    then nothing more comes, and what was held back at the seam is dropped, as nobody has been told it.
    """

    def __init__(self, story: Story, *, usage: Usage, hidden: str = "") -> None:
        self.failed: Failed | None = None
        self.thought = False  # thoughts before the new text were left out
        self._usage = usage
        self._index = story.index
        self._open = story.open
        self._before = story.last_length
        self._seam: Seam | None = Seam(story.text, hidden=hidden)
        self._early: Usage | None = None
        self._part: Part | None = None  # of the second stream, under way
        self._unsaid: Part | None = None  # a part that begins with the first thing it says

    def feed(self, event: Event) -> list[Event]:
        """The events to tell for this one, possibly none."""
        if self.failed is not None:
            return []
        match event:
            case Begin():
                self._early = event.usage
                return []
            case PartBegin(_, part):
                return self._begin(part)
            case PartDelta(_, text):
                return self._delta(text)
            case PartEnd():
                return self._end_part(event)
            case End():
                usage = added(self._usage, merged(self._early, event.usage))
                return [*self._closed(), replace(event, usage=usage)]
            case Failed():
                self.failed = event
                return []
            case _:
                assert_never(event)

    def _begin(self, part: Part) -> list[Event]:
        self._part = part
        if self._seam is None:
            return self._new(part)
        if isinstance(part, Reasoning):
            self.thought = True
            return []
        if isinstance(part, Text):
            if not self._open:
                self._unsaid = replace(part, text="")
            return self._said(self._seam.feed(part.text)) if part.text else []
        self._seam = None
        return [*self._closed(), *self._new(part)]

    def _new(self, part: Part) -> list[Event]:
        self._index += 1
        self._open = True
        return [PartBegin(self._index, part)]

    def _delta(self, text: str) -> list[Event]:
        if self._seam is None:
            return [PartDelta(self._index, text)]
        if isinstance(self._part, Reasoning):
            return []
        return self._said(self._seam.feed(text))

    def _said(self, text: str) -> list[Event]:
        if not text:
            return []
        found: list[Event] = []
        if self._unsaid is not None:
            found, self._unsaid = self._new(self._unsaid), None
        return [*found, PartDelta(self._index, text)]

    def _end_part(self, end: PartEnd) -> list[Event]:
        seam = self._seam
        if seam is None:
            self._open = False
            return [replace(end, index=self._index)]
        if isinstance(self._part, Reasoning):
            return []
        found = self._said(seam.end())
        self._seam = None
        if self._unsaid is not None or not self._open:
            self._unsaid = None
            return found
        self._open = False
        shift = self._before - seam.trimmed
        cited = tuple(_shifted(one, shift) for one in end.citations)
        return [*found, replace(end, index=self._index, citations=cited)]

    def _closed(self) -> list[Event]:
        if not self._open:
            return []
        self._open = False
        return [PartEnd(self._index)]


def added(one: Usage, other: Usage) -> Usage:
    """The tokens of two calls together. What neither said stays unknown; the providers' own words cannot be added."""
    return Usage(
        _sum(one.input_tokens, other.input_tokens),
        _sum(one.output_tokens, other.output_tokens),
        _sum(one.cache_read_tokens, other.cache_read_tokens),
        _sum(one.cache_write_tokens, other.cache_write_tokens),
        _sum(one.reasoning_tokens, other.reasoning_tokens),
    )


def _sum(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other


def _shifted(citation: Citation, by: int) -> Citation:
    start, end = citation.start, citation.end
    return replace(
        citation,
        start=None if start is None else max(0, start + by),
        end=None if end is None else max(0, end + by),
    )
