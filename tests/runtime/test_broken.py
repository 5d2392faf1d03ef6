"""What was told of a stream that broke, and the splice of two streams on the wire of every protocol."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.errors import BadReply
from ccx.protocols import ir
from ccx.protocols.codec import Asked, Codec, Context
from ccx.protocols.conversion import CODECS
from ccx.protocols.names import Protocol
from ccx.protocols.splice import Splice, Story
from ccx.protocols.sse import SseDecoder
from ccx.protocols.stream import events
from ccx.runtime.broken import LUMP, Record, before_error
from ccx.runtime.convert import folded

ASKED = Asked("m", {"stream_options": {"include_usage": True}}, True, 1)
CONTEXT = Context("openai", "m")
PASSED = [Protocol.MESSAGES, Protocol.CHAT, Protocol.GEMINI]
sayings = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), min_size=1, max_size=6)


def ids() -> Iterator[int]:
    return itertools.count()


def minted(counter: Iterator[int], prefix: str) -> str:
    return f"{prefix}{next(counter)}"


def told(codec: Codec, words: list[str], *, ident: str) -> list[bytes]:
    """A whole stream of this protocol, event by event."""
    encoder = codec.stream_encoder(ASKED, new_id=partial(minted, ids()))
    stream: list[ir.Event] = [ir.Begin(ident, "up", 1, ir.Usage(5, 1)), ir.PartBegin(0, ir.Text(""))]
    stream += [ir.PartDelta(0, word) for word in words]
    stream += [ir.PartEnd(0), ir.End(ir.Finish("stop"), ir.Usage(5, 3))]
    return [encoder.encode(event) for event in stream]


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[one:other] for one, other in itertools.pairwise(places)]


@pytest.mark.parametrize("protocol", PASSED)
@given(first=sayings, second=sayings, at=st.integers(0, 20), cuts=st.lists(st.integers(0, 2000), max_size=8))
def test_two_streams_on_the_wire_are_one_answer(
    protocol: Protocol, first: list[str], second: list[str], at: int, cuts: list[int]
) -> None:
    codec = CODECS[protocol]
    # Up to some word, before the text is known to be over.
    said = first[: 1 + at % len(first)]
    shown = told(codec, said, ident="one")[: 2 + len(said)]
    story = Story()
    record = Record(story, codec.stream_decoder(CONTEXT))
    for piece in shown:
        record.note(piece)
    record.read()
    assert story.text == "".join(said)

    encoder = codec.stream_encoder(ASKED, new_id=partial(minted, ids()))
    for event in story.again():
        encoder.encode(event)
    splice = Splice(story, usage=ir.Usage(5, 2))
    sse, decoder = SseDecoder(), codec.stream_decoder(CONTEXT)
    out: list[bytes] = []
    for piece in pieces(b"".join(told(codec, second, ident="two")), cuts):
        found = [one for event in sse.feed(piece) for one in decoder.feed(event)]
        out += [encoder.encode(new) for one in found for new in splice.feed(one)]
    for one in decoder.end():
        out += [encoder.encode(new) for new in splice.feed(one)]

    whole = folded(b"".join([*shown, *out]), codec, CONTEXT)
    (part,) = whole.parts
    assert isinstance(part, ir.Text)
    seam = len("".join(said)) + len("".join(second)) - len(part.text)
    assert part.text == "".join(said) + "".join(second)[seam:]
    assert seam == 0 or "".join(said).endswith("".join(second)[:seam])
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (10, 5)
    assert b"two" not in b"".join(out) or any("two" in word for word in second)


@pytest.mark.parametrize("protocol", PASSED)
@given(words=sayings, cuts=st.lists(st.integers(0, 2000), max_size=8))
def test_what_is_read_does_not_depend_on_the_pieces(protocol: Protocol, words: list[str], cuts: list[int]) -> None:
    codec = CODECS[protocol]
    data = b"".join(told(codec, words, ident="one")[: 2 + len(words)])
    story = Story()
    record = Record(story, codec.stream_decoder(CONTEXT))
    for piece in pieces(data, cuts):
        record.note(piece)
        record.read()
    assert story.text == "".join(words)


def test_a_long_answer_is_read_before_it_ends_and_forgotten_when_it_is_more_than_text() -> None:
    codec = CODECS[Protocol.CHAT]
    story = Story()
    record = Record(story, codec.stream_decoder(CONTEXT))
    word = told(codec, ["word "], ident="i")[2]
    for _ in range(2 * LUMP // len(word)):
        record.note(word)
    assert story.spoken > LUMP // len(word)
    calls = ir.Response("i", "m", (ir.ToolCall("c", "f", "{}"),), ir.Finish("tool_calls"))
    encoder = codec.stream_encoder(ASKED, new_id=partial(minted, ids()))
    record.note(b"".join(encoder.encode(event) for event in events(calls)))
    record.read()
    assert story.spoiled
    record.note(word)
    record.read()
    assert story.text == ""


def test_what_cannot_be_read_is_not_continued() -> None:
    story = Story()
    record = Record(story, CODECS[Protocol.CHAT].stream_decoder(CONTEXT))
    record.note(b"data: {no JSON\n\n")
    record.read()
    assert story.spoiled
    with pytest.raises(BadReply):
        list(CODECS[Protocol.CHAT].stream_decoder(CONTEXT).feed(SseDecoder().feed(b"data: {no JSON\n\n")[0]))


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_an_error_is_cut_out_whole(end: bytes) -> None:
    line = end[: len(end) // 2]
    error = b"event: error" + line + b'data: {"error":{"type":"x"}}' + end
    before, after = b'data: {"a":"\\n"}' + end, b"data: [DONE]" + end
    assert before_error(before + error + after, b'{"error":{"type":"x"}}') == (before, error + after)
    assert before_error(error.removesuffix(end), b'{"error":{"type":"x"}}') == (b"", error.removesuffix(end))
    assert before_error(before, b'{"error":{"type":"x"}}') == (before, b"")
