"""Facts are read as cheaply as they can be, and decide the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.protocols.body import open_body
from ccx.protocols.multipart import Form
from ccx.runtime import understand
from ccx.tokens.blocks import upper_bound
from ccx.tokens.counter import TokenCounter

COUNTER = TokenCounter()


@given(
    st.sets(st.integers(0, 30_000), min_size=1).map(lambda found: tuple(sorted(found))),
    st.integers(0, 6),
    st.integers(0, 4_000),
)
def test_the_bound_settles_what_the_closest_bound_settles(compared: tuple[int, ...], images: int, length: int) -> None:
    parts = [{"type": "image"}] * images + [{"type": "text", "text": "x" * length}, {}]
    body = open_body(json.dumps({"messages": [{"role": "user", "content": parts}]}).encode())
    bound, closest = understand._bound(body, compared, COUNTER), upper_bound(body.raw)
    assert bound is not None
    assert [bound < number for number in compared] == [closest < number for number in compared]


def test_a_body_longer_than_every_number_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(TokenCounter, "upper_bound")
    bound = understand._bound(open_body(b'{"messages":[]}'), (3, 15), COUNTER)
    assert bound is not None
    assert bound > 2**60


def test_a_form_has_no_bound() -> None:
    assert understand._bound(Form.__new__(Form), (10,), COUNTER) is None
