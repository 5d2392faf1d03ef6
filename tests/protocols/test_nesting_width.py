"""How wide an object is: exactly, whatever is in it, and where a body is too wide."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ccx.errors import ClientError
from ccx.protocols import nesting
from ccx.protocols.body import MAX_FIELDS, open_body
from ccx.protocols.nesting import deeper_than, wider_than

json_values = st.recursive(
    st.none() | st.integers() | st.text('a"\\,{}[]é', max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('m,{"', max_size=3), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(["", "a", ",", "{", "messages", "input", '"', "\\", "é"])


@given(
    st.lists(st.tuples(KEYS, json_values), max_size=40), st.integers(1, 42), st.sampled_from([None, 1]), st.booleans()
)
@example([("messages", ["x" * 300])] * 12, 10, None, False)
@example([("a", {",": [1, 2, 3]})] * 12, 12, None, False)
def test_members_are_counted_exactly(
    members: list[tuple[str, object]], limit: int, indent: int | None, ascii_: bool
) -> None:
    dumped = (json.dumps({key: value}, indent=indent, ensure_ascii=ascii_).strip()[1:-1] for key, value in members)
    raw = ("{" + ",".join(dumped) + "}").encode()
    assert wider_than(limit, raw) == (len(members) > limit)


def test_strides_and_windows_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = json.dumps({f"k{at}": [at, {"a,": ["[", at]}] for at in range(300)}).encode()
    for window, stride in ((64, 8), (100, 7), (1024, 256)):
        monkeypatch.setattr(nesting, "_WINDOW", window)
        monkeypatch.setattr(nesting, "_STRIDE", stride)
        assert wider_than(299, raw)
        assert not wider_than(300, raw)


@pytest.mark.parametrize("raw", [b"", b"[" + b"1," * 1000 + b"1]", b"null", b'{"a":' * 90, b"{" + b"," * 1000])
def test_what_is_no_object_is_not_an_error_here(raw: bytes) -> None:
    assert wider_than(10, raw) in (True, False)


def test_a_body_may_be_wide_but_not_too_wide() -> None:
    fields = {f"key{at}": at for at in range(MAX_FIELDS)}
    assert len(open_body(json.dumps(fields).encode()).top) == MAX_FIELDS
    with pytest.raises(ClientError, match=f"more than {MAX_FIELDS} fields") as caught:
        open_body(json.dumps({**fields, "model": "m"}).encode())
    assert caught.value.status == 400
    # Below the top any width is the upstream's business.
    inner = {"model": "m", "x": {f"key{at}": at for at in range(3 * MAX_FIELDS)}}
    assert open_body(json.dumps(inner).encode()).model == "m"


def test_many_elements_are_scanned_and_found_as_deep_as_they_are() -> None:
    deep = b"[" * 20 + b"]" * 20
    wide = b"[" + b"{},".join([b""] * 60_000) + deep + b"]"
    assert deeper_than(20, wide)
    assert not deeper_than(21, wide)
