from __future__ import annotations

import dataclasses

import pytest

from ccx.telemetry.exchange import NO_TAGS, Attempt, Exchange
from tests.telemetry.records import ATTEMPT, FAILED, exchange


def test_the_final_attempt_is_the_one_that_answered() -> None:
    record = exchange(attempts=(FAILED, ATTEMPT))
    assert (record.channel, record.model_sent, record.key) == ("primary", "model-2025", "0badcafe")


def test_without_an_attempt_nothing_was_chosen() -> None:
    record = exchange(attempts=())
    assert (record.channel, record.model_sent, record.key) == (None, None, None)


def test_defaults_claim_nothing() -> None:
    record = Exchange(at=0.0, request_id="r", protocol="chat", operation="generate", digest="d")
    assert record.tags is NO_TAGS
    usage = ("counted_tokens", "input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens")
    assert [getattr(record, name) for name in usage] == [None] * 5


def test_no_field_is_made_for_a_key_a_header_or_a_body() -> None:
    names = {*Attempt._fields, *(field.name for field in dataclasses.fields(Exchange))}
    assert not {name for name in names if any(word in name for word in ("header", "body", "secret", "auth", "prompt"))}
    with pytest.raises(AttributeError):
        exchange().body = b""  # type: ignore[attr-defined]  # slots: nothing can be hung on it
