"""One answer out of two streams: properties of the seam, the splice and what is kept of a story."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.protocols.ir import (
    Begin,
    Citation,
    End,
    Event,
    Failed,
    Finish,
    Native,
    Part,
    PartBegin,
    PartDelta,
    PartEnd,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
    Usage,
)
from ccx.protocols.names import Protocol
from ccx.protocols.splice import REPEATED, SEAM, Seam, Splice, Story, added
from ccx.protocols.stream import Assembler, events

STOP = Finish("stop", "stop")
SOME = Usage(5, 3, 1, None, None)
words = st.text(st.sampled_from("ab c.\n"), max_size=60) | st.text(max_size=20)


def told(*parts: Part, open_: bool = True, bound: int = 10**6) -> tuple[Story, list[Event]]:
    """A story that has told these parts, the last of them not to its end if `open_`."""
    found: list[Event] = [Begin("id-1", "m", 7, SOME)]
    for index, part in enumerate(parts):
        assert isinstance(part, Text | Reasoning | ToolCall | Refusal)
        said = part.arguments if isinstance(part, ToolCall) else part.text
        empty = replace(part, arguments="") if isinstance(part, ToolCall) else replace(part, text="")
        found += [PartBegin(index, empty), PartDelta(index, said), PartEnd(index)]
    if open_:
        found.pop()
    story = Story(bound)
    for event in found:
        story.feed(event)
    return story, found


def stream(*parts: Part, cuts: list[int] | None = None, usage: Usage = SOME) -> list[Event]:
    """A whole answer as events, its texts cut at these places."""
    found: list[Event] = []
    for event in events(Response("id-2", "other", parts, STOP, usage)):
        if not isinstance(event, PartDelta):
            found.append(event)
            continue
        text, at = event.text, 0
        for cut in [*sorted(cut % (len(text) + 1) for cut in cuts or []), len(text)]:
            found.append(PartDelta(event.index, text[at:cut]))
            at = cut
    return found


def spliced(story: Story, before: list[Event], after: list[Event], *, hidden: str = "") -> Assembler:
    """Both streams as one, folded; the grammar is checked on the way."""
    splice, fold = Splice(story, usage=Usage(100, 50), hidden=hidden), Assembler()
    for event in before:
        fold.feed(event)
    for event in after:
        for one in splice.feed(event):
            fold.feed(one)
    return fold


def overlap(first: str, second: str, hidden: str) -> int:
    """The seam's rule, said plainly: the longest exact repetition that can be nothing else."""
    first = first[-SEAM:]
    lengths = [len(hidden)] if hidden and second.startswith(hidden) else []
    for length in range(REPEATED, min(len(first), len(second)) + 1):
        again, before = first[-length:], first[:-length]
        starts = not (before[-1:].isalnum() and again[0].isalnum()) and not again[0].isspace()
        if second.startswith(again) and starts and first.index(again) == len(before):
            lengths.append(length)
    return max(lengths, default=0)


@given(words, words, st.integers(0, 60), st.lists(st.integers(0, 200), max_size=6), st.booleans())
def test_the_fold_is_the_text_of_both(first: str, new: str, again: int, cuts: list[int], open_: bool) -> None:
    first = first or "x"
    second = first[len(first) - min(again, len(first)) :] + new
    hidden = first[len(first.rstrip()) :]
    story, before = told(Text(first), open_=open_)
    fold = spliced(story, before, stream(Text(second), cuts=cuts), hidden=hidden)
    response = fold.response
    assert response is not None
    text = "".join(part.text for part in response.parts if isinstance(part, Text))
    assert text == first + second[overlap(first, second, hidden) :]
    assert (response.id, response.model, response.finish) == ("id-1", "m", STOP)
    assert len(response.parts) == (1 if open_ or text == first else 2)


@given(st.text(min_size=1, max_size=80), st.text(max_size=80), st.lists(st.integers(0, 100), max_size=8))
def test_the_seam_does_not_depend_on_the_pieces(first: str, second: str, cuts: list[int]) -> None:
    def fed(pieces: list[str]) -> str:
        seam = Seam(first, hidden=first[-1:])
        return "".join(map(seam.feed, pieces)) + seam.end()

    places = [0, *sorted(cut % (len(second) + 1) for cut in cuts), len(second)]
    pieces = [second[one:other] for one, other in pairwise(places)]
    assert fed(pieces) == fed([second]) == second[overlap(first, second, first[-1:]) :]


TOLD = "The quick brown fox jumps over"


@pytest.mark.parametrize(
    ("first", "second", "hidden", "new"),
    [
        (TOLD, "brown fox jumps over the dog", "", " the dog"),
        (TOLD, " the dog", "", " the dog"),
        (TOLD + " ", " the dog", " ", "the dog"),
        (TOLD + "\n", "\n\nThe end", "\n", "\nThe end"),
        (TOLD, "rown fox jumps over the dog", "", "rown fox jumps over the dog"),  # not from the start of a word
        (TOLD, "over and over", "", "over and over"),  # too short to be no chance
        (TOLD, "brown  fox jumps over the dog", "", "brown  fox jumps over the dog"),  # not exact
        ("0, 0, 0, 0, 0, 0, 0, 0, 0, 0,", " 0, 0, 0, 0, 0, 0, 0, 0, 0", "", " 0, 0, 0, 0, 0, 0, 0, 0, 0"),  # said often
        (TOLD, "brown fox", "", "brown fox"),  # the second stops within what it may be repeating
    ],
)
def test_what_is_trimmed(first: str, second: str, hidden: str, new: str) -> None:
    seam = Seam(first, hidden=hidden)
    assert "".join(map(seam.feed, second)) + seam.end() == new


def test_a_long_text_costs_no_more_than_its_end() -> None:
    seam = Seam("x" * 10**6 + " " + TOLD)
    assert seam.feed("brown fox jumps over the dog") == " the dog"


def test_usage_is_summed_and_the_providers_words_are_not() -> None:
    story, before = told(Text("a"))
    usage = Usage(7, 2, None, 4, raw={"prompt_tokens": 7})
    response = spliced(story, before, stream(Text("b"), usage=usage)).response
    assert response is not None
    assert response.usage == Usage(107, 52, 1, 4, None)  # the cache was read by the first, as it said when it began
    assert added(Usage(), Usage()) == Usage()


def test_thoughts_before_the_text_are_left_out_and_those_behind_it_stay() -> None:
    story, before = told(Reasoning("hm"), Text("a"))
    call = ToolCall("c", "f", "{}")
    fold = spliced(story, before, stream(Reasoning("go on"), Text("b"), Reasoning("now"), call, Text("z")))
    assert fold.response is not None
    assert fold.response.parts == (Reasoning("hm"), Text("ab"), Reasoning("now"), call, Text("z"))


@pytest.mark.parametrize("open_", [True, False])
def test_a_call_at_once_ends_the_text(open_: bool) -> None:
    story, before = told(Text("a"), open_=open_)
    call = ToolCall("c", "f", "{}")
    response = spliced(story, before, stream(Text(""), call)).response
    assert response is not None
    assert response.parts == (Text("a"), call)


def test_nothing_more_is_an_answer_too() -> None:
    story, before = told(Text("a"))
    response = spliced(story, before, stream()).response
    assert response is not None
    assert response.parts == (Text("a"),)


def test_citations_move_with_their_text() -> None:
    story, before = told(Text("abc "))
    splice = Splice(story, usage=Usage(), hidden=" ")
    cited = PartEnd(0, citations=(Citation(url="u", start=1, end=3), Citation(url="v")))
    for event in [Begin("i", "m"), PartBegin(0, Text("")), PartDelta(0, " defg"), cited]:
        found = splice.feed(event)
    assert found == [PartEnd(0, citations=(Citation(url="u", start=4, end=6), Citation(url="v")))]
    assert before


def test_a_failure_is_told_to_who_asks_and_not_to_the_client() -> None:
    story, _ = told(Text(TOLD))
    splice = Splice(story, usage=Usage())
    assert splice.feed(Begin("i", "m")) == []
    assert splice.feed(PartBegin(0, Text(""))) == []
    assert splice.feed(PartDelta(0, "brown")) == []  # held back, it may be said again
    failed = Failed("overloaded", "busy")
    assert splice.feed(failed) == []
    assert splice.failed == failed
    assert splice.feed(PartDelta(0, "x")) == []


def test_what_can_be_continued() -> None:
    assert not Story().continuable
    assert told(Text("a"))[0].continuable
    assert told(Text("a"), open_=False)[0].continuable
    assert told(Reasoning("a"), open_=False)[0].continuable
    assert not told(Reasoning("a"))[0].continuable
    assert not told(Text("a"), ToolCall("c", "f", "{}"))[0].continuable
    assert not told(Refusal("no"))[0].continuable
    assert told(Text("ä" * 5), bound=10)[0].continuable
    assert not told(Text("ä" * 5 + "a"), bound=10)[0].continuable
    story, _ = told(Text("a"), open_=False)
    story.feed(End(STOP))
    assert not story.continuable


def test_what_is_not_kept_costs_nothing_more() -> None:
    story, _ = told(Text("abc"), bound=2)
    assert story.spoiled
    story.feed(PartDelta(0, "more"))
    story.feed(PartEnd(0))
    assert (story.text, story.spoken, story.last_length) == ("", 0, 0)


@given(st.lists(words, min_size=1, max_size=4), st.booleans())
def test_a_story_told_again_is_the_same(texts: list[str], open_: bool) -> None:
    native = (Native(Protocol.MESSAGES, "anthropic", {"signature": "s"}),)
    story, before = told(Reasoning("hm", native=native), *map(Text, texts), open_=open_)
    again, first = Assembler(), Assembler()
    for event in story.again():
        again.feed(event)
    for event in before:
        first.feed(event)
    closing: list[Event] = [*([PartEnd(story.index)] if open_ else []), End(STOP)]
    for event in closing:
        again.feed(event)
        first.feed(event)
    assert again.response is not None
    assert first.response is not None
    assert again.response.parts == first.response.parts
    assert again.response.usage == Usage()
    assert story.text == "".join(texts)
