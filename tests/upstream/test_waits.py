"""How long upstreams ask to wait, in all the ways they say it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.upstream.outcome import retry_after, retry_after_body

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
TOKENS_RESET = "anthropic-ratelimit-tokens-reset"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": " 7 "}, 7.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:30 GMT"}, 10.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:00:00 GMT"}, 0.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:30 -0000"}, 10.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "1"}, 1.0),
        ({"retry-after": "3", "x-ratelimit-reset-tokens": "9s"}, 3.0),
        ({"x-ratelimit-reset-requests": "1m30s"}, 90.0),
        ({"x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "0"}, 360.0),
        ({"x-ratelimit-reset-tokens": "7.66s"}, 7.66),
        ({"x-ratelimit-reset-tokens": "120ms"}, 0.12),
        ({"x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-reset-tokens": "1h", "x-ratelimit-remaining-tokens": "5"}, None),
        (
            {
                "x-ratelimit-reset-tokens": "1h",
                "x-ratelimit-remaining-tokens": "5",
                "x-ratelimit-reset-requests": "2s",
                "x-ratelimit-remaining-requests": "0",
            },
            2.0,
        ),
        ({"x-ratelimit-reset-tokens": "2s", "x-ratelimit-reset-requests": "1s"}, 2.0),
        ({"x-ratelimit-reset": "1700000004000"}, 4.0),
        ({"x-ratelimit-reset": "1700000004"}, 4.0),
        ({"x-ratelimit-reset": "4"}, 4.0),
        ({"x-ratelimit-reset": "1600000000"}, 0.0),
        ({"anthropic-ratelimit-requests-reset": "2023-11-14T22:14:20Z"}, 60.0),
        ({"anthropic-ratelimit-input-tokens-reset": "2023-11-14T22:14:20+00:00"}, 60.0),
        ({TOKENS_RESET: "2023-11-14T22:14:20", "anthropic-ratelimit-tokens-remaining": "0"}, 60.0),
        ({TOKENS_RESET: "2023-11-14T22:14:20Z", "anthropic-ratelimit-tokens-remaining": "1"}, None),
        ({"anthropic-ratelimit-tokens-reset": "tomorrow"}, None),
        ({"anthropic-ratelimit-unified-status": "rejected", "anthropic-ratelimit-unified-reset": "1700000060"}, 60.0),
        ({"anthropic-ratelimit-unified-status": "allowed", "anthropic-ratelimit-unified-reset": "1700000060"}, None),
    ],
)  # fmt: skip
def test_the_wait_that_headers_ask_for(headers: dict[str, str], expected: float | None) -> None:
    found = retry_after([(name.encode(), value.encode()) for name, value in headers.items()], now=NOW)
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error": {"details": [{"@type": "x"}, {"retryDelay": "34.4s"}]}}', 34.4),
        (b'[{"error": {"details": [{"retryDelay": "17s"}]}}]', 17.0),
        (b'{"error": {"type": "usage_limit_reached", "resets_in_seconds": 3600}}', 3600.0),
        (b'{"error": {"details": [{"retryDelay": 5}, "x", null]}}', None),
        (b'{"error": {"details": {"retryDelay": "5s"}}}', None),
        (b'{"error": {"details": [{"retryDelay": "soon"}]}}', None),
        (b'{"error": {"resets_in_seconds": -1}}', None),
        (b'{"error": "text"}', None),
        (b"[1, null]", None),
        (b"not json", None),
        (b"\xff", None),
        (b"", None),
        (b"[" * 100_000, None),
    ],
)
def test_the_wait_that_a_body_asks_for(body: bytes, expected: float | None) -> None:
    assert retry_after_body(body) == expected


names = st.sampled_from([b"retry-after", b"retry-after-ms", b"x-ratelimit-reset", b"x-ratelimit-reset-tokens"])
more = st.sampled_from([b"anthropic-ratelimit-tokens-reset", b"x-ratelimit-remaining-tokens"])


@given(st.lists(st.tuples(names | more, st.binary(max_size=30)), max_size=4))
def test_no_header_breaks_it(headers: list[tuple[bytes, bytes]]) -> None:
    found = retry_after(headers, now=NOW)
    assert found is None or found >= 0


@given(st.binary(max_size=60))
def test_no_body_breaks_it(body: bytes) -> None:
    retry_after_body(body)
