"""How keys are sent, and kept out of what comes back."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.catalog.providers import Auth
from ccx.upstream.credentials import AuthScheme, auth_headers, redact

KEY = "sk-proj-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("bearer", ((b"authorization", b"Bearer k"),)),
        ("x-api-key", ((b"x-api-key", b"k"),)),
        ("x-goog-api-key", ((b"x-goog-api-key", b"k"),)),
        ("api-key", ((b"api-key", b"k"),)),
        ("none", ()),
    ],
)
def test_each_scheme_has_its_header(scheme: AuthScheme, expected: tuple[tuple[bytes, bytes], ...]) -> None:
    assert auth_headers(scheme, "k") == expected
    assert auth_headers(scheme, None) == ()


def test_the_schemes_are_those_of_the_catalogue() -> None:
    assert set(get_args(AuthScheme)) == set(get_args(Auth))


@pytest.mark.parametrize(
    "echo",
    [
        KEY,
        "sk-pr***************************6789",
        "sk-proj-********6789",
        "sk***89",
        "sk-proj-...6789",
        "sk-pr…6789",
        "sk-proj-AbCd****",
        "****************************6789",
    ],
)
def test_a_key_and_its_mask_are_blotted_out(echo: str) -> None:
    text = f'{{"message": "Incorrect API key provided: {echo}. You can find it elsewhere."}}'
    expected = '{"message": "Incorrect API key provided: [redacted]. You can find it elsewhere."}'
    assert redact(text.encode(), [KEY]).decode() == expected


@pytest.mark.parametrize(
    "text",
    ["plain text", "**bold** words", "Incorrect API key provided: zz***zz", "wait... what", "sk- is how keys begin"],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert redact(text.encode(), [KEY]) == text.encode()


def test_several_keys() -> None:
    assert redact(b"one-key and two-key", ["one-key", "two-key"]) == b"[redacted] and [redacted]"
    assert redact(b"text", []) == b"text"


def test_what_is_too_short_to_be_a_secret_is_left() -> None:
    assert redact(b"a b c", ["a", "b"]) == b"a b c"


@given(
    key=st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=4, max_size=60),
    before=st.text(max_size=20),
    after=st.text(max_size=20),
)
def test_no_key_survives(key: str, before: str, after: str) -> None:
    text = f"{before}{key}{after}".encode("utf-8", "replace")
    assert key.encode() not in redact(text, [key]) or key in "[redacted]"
    echoed = json.dumps({"message": f"{before}{key}{after}"}, ensure_ascii=False).encode("utf-8", "replace")
    kept = redact(echoed, [key]).decode("utf-8", "replace")
    assert json.dumps(key, ensure_ascii=False)[1:-1] not in kept or key in "[redacted]" or key in '{"message": ""}'
