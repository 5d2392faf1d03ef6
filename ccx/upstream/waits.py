"""How long an upstream asks to wait before it is called again, in seconds. Pure: the time is an argument."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

import msgspec

from ccx.upstream.reply import Header

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
# Names of the limits by provider: the header that says what is left, and the one that says when it is full again.
# https://developers.openai.com/api/docs/guides/rate-limits, https://docs.claude.com/en/api/rate-limits
_RESETS = {
    b"x-ratelimit-reset": b"x-ratelimit-remaining",
    **{b"x-ratelimit-reset-" + name: b"x-ratelimit-remaining-" + name for name in (b"requests", b"tokens")},
    **{
        b"anthropic-ratelimit-" + name + b"-reset": b"anthropic-ratelimit-" + name + b"-remaining"
        for name in (b"requests", b"tokens", b"input-tokens", b"output-tokens")
    },
}
_MILLISECONDS_EPOCH = 1e11
_SECONDS_EPOCH = 1e9


def retry_after(headers: Iterable[Header], *, now: float) -> float | None:
    """The wait that an answer's headers ask for; None if they ask for none. `now` is unix time. Names are lower case.

    In order of trust: `retry-after-ms`, `retry-after` (seconds or a date; RFC 9110, 10.2.3), then the latest reset of a
    limit of which nothing remains (or of which it is not said what remains).
    """
    found = dict(headers)
    milliseconds = _number(_text(found, b"retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = _text(found, b"retry-after")
    if text:
        wait = _number(text)
        if wait is None:
            wait = _until_date(text, now=now)
        if wait is not None:
            return wait
    if found.get(b"anthropic-ratelimit-unified-status") == b"rejected":
        wait = _until(_text(found, b"anthropic-ratelimit-unified-reset"), now=now)
        if wait is not None:
            return wait
    waits = [
        wait
        for reset, remaining in _RESETS.items()
        if reset in found
        and _number(_text(found, remaining) or "0") == 0
        and (wait := _until(_text(found, reset), now=now)) is not None
    ]
    return max(waits, default=None)


def retry_after_body(body: bytes) -> float | None:
    """The wait that an error's body asks for: Google's RetryInfo.retryDelay ("34.4s"; google.rpc.error_details) or the
    `resets_in_seconds` of a ChatGPT plan's usage limit. None if it asks for none or is not JSON."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    for item in decoded if isinstance(decoded, list) else [decoded]:
        error = item.get("error") if isinstance(item, dict) else None
        if not isinstance(error, dict):
            continue
        details = error.get("details")
        for detail in details if isinstance(details, list) else []:
            delay = detail.get("retryDelay") if isinstance(detail, dict) else None
            wait = _duration(delay) if isinstance(delay, str) else None
            if wait is not None:
                return wait
        seconds = error.get("resets_in_seconds")
        if isinstance(seconds, int | float) and seconds >= 0:
            return float(seconds)
    return None


def _text(headers: dict[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").strip()


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) and value >= 0 else None


def _duration(text: str) -> float | None:
    """Seconds of a Go or protobuf duration: 1m30s, 34.4s, 120ms."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(value) * _UNITS[unit] for value, unit in _PART.findall(text))


def _until(text: str, *, now: float) -> float | None:
    """Seconds until a reset given as a duration, seconds, unix time in seconds or milliseconds, or RFC 3339."""
    value = _number(text)
    if value is None:
        value = _duration(text)
        if value is not None:
            return value
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)
    if value >= _MILLISECONDS_EPOCH:
        return max(0.0, value / 1000 - now)
    return max(0.0, value - now) if value >= _SECONDS_EPOCH else value


def _until_date(text: str, *, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)
