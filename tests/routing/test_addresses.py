"""Base URLs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.routing.addresses import BadBaseUrl, Base, parse_base, version_of


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://127.0.0.1:8000", "/v1"),
        ("http://127.0.0.1:8000/", "/v1"),
        ("http://127.0.0.1:8000/v1", "/v1"),
        ("http://127.0.0.1:8000//v1//", "/v1"),
        ("https://api.groq.com/openai/v1/", "/openai/v1"),
        ("https://open.bigmodel.cn/api/paas/v4", "/api/paas/v4"),
        ("https://host/v1beta1/projects/p", "/v1beta1/projects/p"),
        ("https://gateway.example/v1/account/openai", "/v1/account/openai"),
        ("https://host/llm", "/llm/v1"),
        ("https://host/vision", "/vision/v1"),
        ("https://host/v1x", "/v1x/v1"),
        ("https://inference.example/models", "/models/v1"),
    ],
)
def test_a_version_is_added_only_where_none_is_written(url: str, path: str) -> None:
    assert parse_base(url).versioned("v1") == path


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("HTTPS://API.Example.com/v1", Base("https", "api.example.com", 443, "/v1")),
        ("http://api.example.com", Base("http", "api.example.com", 80, "")),
        ("http://[::1]:8080/v1", Base("http", "::1", 8080, "/v1")),
        ("demo:", Base("demo", "", 0, "")),
    ],
)
def test_parts(url: str, base: Base) -> None:
    assert parse_base(url) == base


@pytest.mark.parametrize(
    ("url", "suggestion"),
    [
        ("https://h/v1/chat/completions", "https://h/v1"),
        ("https://h/v1/chat/completions/", "https://h/v1"),
        ("https://h/v1/messages", "https://h/v1"),
        ("https://h/anthropic/v1/messages/count_tokens", "https://h/anthropic/v1"),
        ("https://h/v1/responses", "https://h/v1"),
        ("https://h/v1/images/generations", "https://h/v1"),
        ("https://h/v1/embeddings", "https://h/v1"),
        ("https://h/v1beta/models/gemini-2.5-pro:generateContent", "https://h/v1beta"),
        ("https://h/v1/models", "https://h/v1"),
        ("https://h:8443/messages", "https://h:8443"),
        ("https://h/openai?api-version=preview", "https://h/openai"),
        ("https://h/v1#top", "https://h/v1"),
    ],
)
def test_what_is_no_base_is_refused_with_the_right_one(url: str, suggestion: str) -> None:
    with pytest.raises(BadBaseUrl) as refused:
        parse_base(url)
    assert refused.value.suggestion == suggestion
    assert parse_base(suggestion).versioned("v1")


@pytest.mark.parametrize(
    "url", ["https://h:99999/v1", "https://h:x/v1", "ftp://h/v1", "https:///v1", "h/v1", "https://[::1/v1"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(BadBaseUrl) as refused:
        parse_base(url)
    assert refused.value.suggestion is None
    assert url in str(refused.value)


def test_a_password_is_refused_and_not_shown() -> None:
    with pytest.raises(BadBaseUrl) as refused:
        parse_base("https://user:hunter2@h/v1")
    assert "hunter2" not in str(refused.value)
    assert refused.value.suggestion is None


SEGMENTS = st.sampled_from(["v1", "v2beta", "openai", "api", "v", "vx", "v1alpha"])


@given(st.lists(SEGMENTS, max_size=4), st.sampled_from(["v1", "v1beta"]))
def test_versioning_is_idempotent_and_adds_at_most_the_version(segments: list[str], version: str) -> None:
    base = parse_base("/".join(["https://h", *segments]))
    once = base.versioned(version)
    assert once in (base.path, f"{base.path}/{version}")
    assert version_of(once) is not None
    assert Base(base.scheme, base.host, base.port, once).versioned(version) == once
