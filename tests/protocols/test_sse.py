from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.errors import BadReply
from ccx.protocols.jsonarray import JsonArrayDecoder
from ccx.protocols.sse import Event, SseDecoder, encode

SAMPLE = (
    b": a comment\n\nevent: ping\ndata: {}\n\n\n\ndata:one\ndata: two\ndata\n\nid: 7\nretry: 10\nevent: no data\n\n"
    b"event: x\nevent:y\nunknown: z\ndata:  spaced\n\ndata: [DONE]\n\n"
)
EVENTS = [
    Event("ping", b"{}"),
    Event("message", b"one\ntwo\n"),
    Event("y", b" spaced"),
    Event("message", b"[DONE]"),
]


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    return [raw[a:b] for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@given(places=st.lists(st.integers(0, 1000)), mark=st.booleans())
def test_any_chunking_any_line_end(newline: bytes, places: list[int], mark: bool) -> None:
    raw = SAMPLE.replace(b"\n", newline)
    if mark:
        raw = b"\xef\xbb\xbf" + raw
    decoder = SseDecoder()
    found = [event for chunk in cut(raw, places) for event in decoder.feed(chunk)]
    assert found == EVENTS
    assert decoder.end() == []


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_byte_by_byte_events_come_as_soon_as_they_are_whole(newline: bytes) -> None:
    decoder = SseDecoder()
    raw = b"data: 1\n\ndata: 2\n\n".replace(b"\n", newline)
    half = len(raw) // 2
    assert [decoder.feed(raw[i : i + 1]) for i in range(half)][-1 if newline != b"\r\n" else -2] == [
        Event("message", b"1")
    ]
    assert [e for i in range(half, len(raw)) for e in decoder.feed(raw[i : i + 1])] == [Event("message", b"2")]


def test_the_last_event_may_lack_its_blank_line() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\n\ndata: [DONE]\n") == [Event("message", b"a")]
    assert decoder.end() == [Event("message", b"[DONE]")]
    assert decoder.end() == []


def test_an_event_is_bounded() -> None:
    decoder = SseDecoder(limit=100)
    assert decoder.feed(b"data: " + b"x" * 80 + b"\n\n")
    decoder.feed(b"data: " + b"x" * 80)
    with pytest.raises(BadReply, match="larger than 100 bytes"):
        decoder.feed(b"x" * 80)
    with pytest.raises(BadReply):
        SseDecoder(limit=100).feed(b"data: " + b"x" * 180 + b"\n\n")
    # Many small events in one chunk are no large one.
    assert len(SseDecoder(limit=100).feed(b"data: 1\n\n" * 1000)) == 1000


def test_a_long_event_in_single_bytes_is_not_quadratic() -> None:
    decoder = SseDecoder()
    for _ in range(200_000):
        decoder.feed(b"x")
    assert decoder.feed(b"\n\ndata: 1\n\n") == [Event("message", b"1")]


@given(st.none() | st.text(st.characters(exclude_characters="\r\n\x00", codec="utf-8"), min_size=1), st.binary())
def test_encode_comes_back(event: str | None, data: bytes) -> None:
    [found] = SseDecoder().feed(encode(event, data))
    assert found.data == data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if event is None or not event.startswith(" "):
        assert found.event == (event or "message")


def test_a_type_is_one_line() -> None:
    with pytest.raises(ValueError, match="cannot be the type"):
        encode("a\nb", b"")


@given(st.binary(), st.lists(st.integers(0, 1000)))
def test_garbage_is_chunking_invariant(raw: bytes, places: list[int]) -> None:
    whole, pieces = SseDecoder(), SseDecoder()
    expected = whole.feed(raw) + whole.end()
    assert [e for chunk in cut(raw, places) for e in pieces.feed(chunk)] + pieces.end() == expected


JSON = st.recursive(
    st.none() | st.integers() | st.text('ab"\\{}[]é,', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"\\{}', max_size=3), inner, max_size=3),
)


@given(
    st.lists(st.dictionaries(st.text("ab}"), JSON, max_size=3)),
    st.sampled_from([None, 1]),
    st.lists(st.integers(0, 999)),
)
def test_array_elements(elements: list[dict[str, object]], indent: int | None, places: list[int]) -> None:
    raw = json.dumps(elements, indent=indent).encode()
    decoder = JsonArrayDecoder()
    found = [json.loads(element) for chunk in cut(raw, places) for element in decoder.feed(chunk)]
    assert found == elements


def test_an_array_element_is_bounded() -> None:
    decoder = JsonArrayDecoder(limit=50)
    assert decoder.feed(b"[" + b'{"a":1},' * 100) == [b'{"a":1}'] * 100
    with pytest.raises(BadReply, match="larger than 50 bytes"):
        decoder.feed(b'{"a":"' + b"x" * 50)
