"""The scanner against the JSON library: the same slices, the same texts, and no exception on anything."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.tokens import scan
from ccx.tokens.scan import Slice

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def whole(raw: bytes) -> Slice:
    return scan.document(raw)


@given(st.dictionaries(st.text(), values), st.sampled_from([None, 1]), st.booleans())
def test_members(value: dict[str, object], indent: int | None, ascii_only: bool) -> None:
    raw = b" \n" + json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace") + b" "
    found = {key: json.loads(item.tobytes()) for key, item in scan.members(whole(raw))}
    assert found == json.loads(raw)


@given(st.lists(values), st.sampled_from([None, 1]))
def test_elements(value: list[object], indent: int | None) -> None:
    raw = json.dumps(value, indent=indent).encode()
    assert [json.loads(item.tobytes()) for item in scan.elements(whole(raw))] == value


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(20, 60), st.booleans())
def test_pieces_of_any_length_make_the_string(text: str, chunk: int, ascii_only: bool) -> None:
    raw = json.dumps(text, ensure_ascii=ascii_only).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "CHUNK", chunk)
        assert "".join(scan.pieces(whole(raw))) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb'"a\ud800b"', "a?b"),
        (rb'"a\ud800\n"', "a?\n"),
        (rb'"a\u12"', "a?"),
        (b'"a\xffb"', "ab"),
        (rb'"\\\"\\"', '\\"\\'),
        (b'"' + "é中😀".encode() * 3 + b'"', "é中😀" * 3),
    ],
)
def test_pieces_of_what_is_hardly_a_string(raw: bytes, text: str) -> None:
    assert "".join(scan.pieces(whole(raw))) == text


@given(st.binary() | st.text(st.sampled_from('{}[]",:\\ \n1a')).map(str.encode))
def test_anything_at_all_comes_to_an_end(raw: bytes) -> None:
    value = whole(raw)
    assert 0 <= value.size <= len(raw)
    assert all(part.size for part in scan.elements(value))
    assert all(part.size for _, part in scan.members(value))
    assert len("".join(scan.pieces(value)).encode()) <= len(raw)
