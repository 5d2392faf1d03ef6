"""Failures told apart, by the words of each provider; and what follows from a class."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.errors import BadReply, ConnectError, ConnectionLost, UpstreamError, UpstreamTimeout
from ccx.upstream.outcome import REMEDIES, FailureClass, classify, classify_exception, remedy, usefulness
from ccx.upstream.rules import RULES

CLASSES = get_args(FailureClass)

# dialect, status, type, code, status text, message, class
CASES: list[tuple[str, int, str | None, str | None, str | None, str | None, FailureClass | None]] = [
    ("anthropic", 200, None, None, None, None, None),
    ("anthropic", 204, None, None, None, None, None),
    ("anthropic", 400, "invalid_request_error", None, None, "max_tokens: Field required", "bad_request"),
    ("anthropic", 400, "invalid_request_error", None, None, "prompt is too long: 9 tokens > 8 maximum", "context_window"),
    ("anthropic", 400, "invalid_request_error", None, None, "input length and `max_tokens` exceed context limit", "context_window"),
    ("anthropic", 400, "invalid_request_error", None, None, "the field says: prompt is too long", "bad_request"),
    ("anthropic", 400, "invalid_request_error", None, None, "Your credit balance is too low to use", "quota"),
    ("anthropic", 400, "invalid_request_error", None, None, "You have reached your specified API usage limits.", "quota"),
    ("anthropic", 400, "invalid_request_error", None, None, "Output blocked by content filtering policy", "content_filter"),
    ("anthropic", 401, "authentication_error", None, None, "invalid x-api-key", "auth"),
    ("anthropic", 402, "billing_error", None, None, None, "quota"),
    ("anthropic", 429, "billing_error", None, None, "spend limit", "quota"),
    ("anthropic", 403, "permission_error", None, None, None, "auth"),
    ("anthropic", 404, "not_found_error", None, None, "model: claude-0", "model_not_found"),
    ("anthropic", 404, "not_found_error", None, None, "File not found: file_1", "bad_request"),
    ("anthropic", 413, "request_too_large", None, None, None, "bad_request"),
    ("anthropic", 429, "rate_limit_error", None, None, None, "rate_limit"),
    ("anthropic", 500, "api_error", None, None, None, "server_error"),
    ("anthropic", 504, "timeout_error", None, None, None, "timeout"),
    ("anthropic", 529, "overloaded_error", None, None, "Overloaded", "overloaded"),
    ("anthropic", 200, "overloaded_error", None, None, "Overloaded", "overloaded"),
    ("anthropic", 200, "rate_limit_error", None, None, None, "rate_limit"),
    ("anthropic", 200, "invalid_request_error", None, None, "x", "bad_request"),
    ("anthropic", 200, "api_error", None, None, "x", "server_error"),
    ("openai", 400, "invalid_request_error", "context_length_exceeded", None, None, "context_window"),
    ("openai", 400, "image_generation_user_error", "moderation_blocked", None, None, "content_filter"),
    ("openai", 400, "invalid_request_error", "content_policy_violation", None, None, "content_filter"),
    ("openai", 400, "invalid_request_error", "unknown_parameter", None, None, "bad_request"),
    ("openai", 401, "invalid_request_error", "invalid_api_key", None, None, "auth"),
    ("openai", 403, None, "unsupported_country_region_territory", None, None, "auth"),
    ("openai", 404, "invalid_request_error", "model_not_found", None, None, "model_not_found"),
    ("openai", 404, "invalid_request_error", None, None, "Item with id 'rs_1' not found.", "bad_request"),
    ("openai", 429, "insufficient_quota", "insufficient_quota", None, None, "quota"),
    ("openai", 429, "usage_limit_reached", None, None, None, "quota"),
    ("openai", 429, "tokens", "rate_limit_exceeded", None, None, "rate_limit"),
    ("openai", 429, "requests", None, None, None, "rate_limit"),
    ("openai", 500, "server_error", None, None, None, "server_error"),
    ("openai", 503, "server_error", None, None, None, "overloaded"),
    ("openai", 503, None, "slow_down", None, None, "overloaded"),
    ("openai", 200, None, "server_error", None, "response.failed", "server_error"),
    ("openai", 200, None, "rate_limit_exceeded", None, None, "rate_limit"),
    ("azure", 400, None, "content_filter", None, None, "content_filter"),
    ("azure", 404, "invalid_request_error", "DeploymentNotFound", None, None, "model_not_found"),
    ("azure", 429, None, "RateLimitReached", None, None, "rate_limit"),
    ("azure", 400, None, "context_length_exceeded", None, None, "context_window"),
    ("gemini", 400, None, "400", "INVALID_ARGUMENT", "Function call is missing", "bad_request"),
    ("gemini", 400, None, "400", "INVALID_ARGUMENT", "The input token count (2) exceeds the maximum", "context_window"),
    ("gemini", 400, "API_KEY_INVALID", "400", "INVALID_ARGUMENT", "API key not valid.", "auth"),
    ("gemini", 400, None, "400", "INVALID_ARGUMENT", "API key not valid.", "auth"),
    ("gemini", 400, None, "400", "FAILED_PRECONDITION", "User location is not supported", "auth"),
    ("gemini", 403, None, "403", "PERMISSION_DENIED", None, "auth"),
    ("gemini", 404, None, "404", "NOT_FOUND", "models/x is not found", "model_not_found"),
    ("gemini", 429, None, "429", "RESOURCE_EXHAUSTED", None, "rate_limit"),
    ("gemini", 500, None, "500", "INTERNAL", None, "server_error"),
    ("gemini", 503, None, "503", "UNAVAILABLE", None, "overloaded"),
    ("gemini", 504, None, "504", "DEADLINE_EXCEEDED", None, "timeout"),
    ("gemini", 200, None, "503", "UNAVAILABLE", None, "overloaded"),
    ("deepseek", 402, "unknown_error", "invalid_request_error", None, "Insufficient Balance", "quota"),
    ("deepseek", 400, "invalid_request_error", None, None, "Content Exists Risk", "content_filter"),
    ("deepseek", 400, "invalid_request_error", None, None, "Model Not Exist", "model_not_found"),
    ("deepseek", 400, "invalid_request_error", None, None, "This model's maximum context length is 9", "context_window"),
    ("deepseek", 422, None, None, None, None, "bad_request"),
    ("openrouter", 402, None, "402", None, "Insufficient credits", "quota"),
    ("openrouter", 403, None, "403", None, "openai/x requires moderation on OpenAI. Your input was flagged", "content_filter"),
    ("openrouter", 403, None, "403", None, "Key limit exceeded (total limit)", "quota"),
    ("openrouter", 403, None, "403", None, "Forbidden", "auth"),
    ("openrouter", 400, None, "400", None, "foo/bar is not a valid model ID", "model_not_found"),
    ("openrouter", 404, None, "404", None, "No endpoints found for foo/bar.", "model_not_found"),
    ("openrouter", 408, None, "408", None, None, "timeout"),
    ("openrouter", 502, None, "502", None, "Provider returned error", "server_error"),
    ("openrouter", 503, None, "503", None, "No available model provider", "overloaded"),
    ("openrouter", 200, None, "429", None, "Provider returned error", "rate_limit"),
    ("openrouter", 200, None, "502", None, "Provider disconnected", "server_error"),
    ("groq", 413, "tokens", "rate_limit_exceeded", None, "Request too large for model", "rate_limit"),
    ("groq", 413, "invalid_request_error", "request_too_large", None, None, "bad_request"),
    ("groq", 498, None, "capacity_exceeded", None, None, "overloaded"),
    ("groq", 498, None, None, None, None, "overloaded"),
    ("groq", 400, "invalid_request_error", "tool_use_failed", None, None, "server_error"),
    ("groq", 400, "invalid_request_error", "model_decommissioned", None, None, "model_not_found"),
    ("mistral", 429, "invalid_request_error", None, None, "Service tier capacity exceeded for this model.", "overloaded"),
    ("mistral", 429, "service_tier_capacity_exceeded", "3505", None, None, "overloaded"),
    ("mistral", 429, "rate_limited", "1300", None, "Rate limit exceeded", "rate_limit"),
    ("mistral", 400, "invalid_model", "1500", None, "Invalid model: x", "model_not_found"),
    ("mistral", 400, "invalid_request_error", "3051", None, "Prompt contains 9 tokens", "context_window"),
    ("mistral", 422, None, None, None, None, "bad_request"),
    ("xai", 400, None, "Client specified an invalid argument", None, "Incorrect API key provided: xa***yz.", "auth"),
    ("xai", 400, None, "Client specified an invalid argument", None, "This model's maximum prompt length is 9", "context_window"),
    ("xai", 429, None, "Some resource has been exhausted", None, "Your team 1 has either used all available credits", "quota"),
    ("xai", 429, None, "Some resource has been exhausted", None, "Too many requests", "rate_limit"),
    ("xai", 403, None, None, None, "Content violates usage guidelines.", "content_filter"),
    ("dashscope", 400, "Arrearage", "Arrearage", None, None, "quota"),
    ("dashscope", 400, "data_inspection_failed", "data_inspection_failed", None, None, "content_filter"),
    ("dashscope", 400, "DataInspectionFailed", None, None, None, "content_filter"),
    ("dashscope", 401, "invalid_request_error", "invalid_api_key", None, None, "auth"),
    ("dashscope", 403, "AllocationQuota.FreeTierOnly", "AllocationQuota.FreeTierOnly", None, None, "quota"),
    ("dashscope", 404, "invalid_request_error", "model_not_found", None, None, "model_not_found"),
    ("dashscope", 429, "limit_requests", "limit_requests", None, None, "rate_limit"),
    ("dashscope", 429, "insufficient_quota", "insufficient_quota", None, None, "rate_limit"),
    ("dashscope", 400, "invalid_request_error", "invalid_parameter_error", None, "Range of input length should be [1, 9]", "context_window"),
    ("dashscope", 400, None, None, None, "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 9]", "context_window"),
    ("zhipu", 429, None, "1113", None, None, "quota"),
    ("zhipu", 400, None, "1301", None, None, "content_filter"),
    ("zhipu", 429, None, "1302", None, None, "rate_limit"),
    ("zhipu", 429, None, "1308", None, None, "quota"),
    ("zhipu", 429, None, "1312", None, None, "overloaded"),
    ("zhipu", 400, None, "1211", None, None, "model_not_found"),
    ("zhipu", 400, None, "1261", None, None, "context_window"),
    ("zhipu", 401, None, "1002", None, None, "auth"),
    ("zhipu", 200, None, "1234", None, None, "server_error"),
    ("moonshot", 400, "content_filter", None, None, None, "content_filter"),
    ("moonshot", 429, "engine_overloaded_error", None, None, None, "overloaded"),
    ("moonshot", 429, "exceeded_current_quota_error", None, None, None, "quota"),
    ("moonshot", 429, "rate_limit_reached_error", None, None, None, "rate_limit"),
    ("moonshot", 401, "incorrect_api_key_error", None, None, None, "auth"),
    ("moonshot", 400, "invalid_request_error", None, None, "Invalid request: Your request exceeded model token limit: 9", "context_window"),
    ("ollama", 404, "api_error", None, None, 'model "x" not found, try pulling it first', "model_not_found"),
    ("ollama", 503, None, None, None, "server busy", "overloaded"),
    ("vllm", 400, "BadRequestError", "400", None, "This model's maximum context length is 9 tokens.", "context_window"),
    ("vllm", 400, "BadRequestError", "400", None, "You passed 9 input tokens and requested 1 output tokens.", "context_window"),
    ("vllm", 400, "BadRequestError", "400", None, "something else", "bad_request"),
    ("vllm", 404, "NotFoundError", "404", None, "The model `x` does not exist.", "model_not_found"),
    ("generic", 400, "exceed_context_size_error", "400", None, None, "context_window"),
    ("generic", 402, None, None, None, None, "quota"),
    ("generic", 502, None, None, None, None, "server_error"),
    ("generic", 524, None, None, None, None, "timeout"),
    ("generic", 301, None, None, None, None, "server_error"),
    ("generic", 405, None, None, None, None, "bad_request"),
    ("generic", 409, None, None, None, None, "server_error"),
    ("generic", 200, None, None, None, "something went wrong", "server_error"),
    ("unheard-of", 429, None, None, None, None, "rate_limit"),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "status", "type_", "code", "status_text", "message", "expected"), CASES)
def test_a_failure_is_told_by_the_providers_words(
    dialect: str,
    status: int,
    type_: str | None,
    code: str | None,
    status_text: str | None,
    message: str | None,
    expected: FailureClass | None,
) -> None:
    found = classify(dialect=dialect, status=status, type=type_, code=code, message=message, status_text=status_text)
    assert found == expected


def test_one_vendors_words_mean_nothing_to_another() -> None:
    assert classify(dialect="openai", status=429, type=None, code="1113", message=None) == "rate_limit"
    assert classify(dialect="openai", status=429, type=None, code="insufficient_quota", message=None) == "quota"
    assert classify(dialect="openai", status=400, type=None, code=None, message="Model Not Exist") == "bad_request"


def test_every_row_can_win() -> None:
    """A row that another one before it always covers would be a mistake nobody notices."""
    for rule in RULES:
        for dialect in sorted(rule.dialects) or ["generic"]:
            status = min(rule.statuses, default=400)
            if rule.message is None:
                found = classify(dialect=dialect, status=status, type=rule.word, code=None, message=None)
                assert found == rule.failure, rule


words = st.none() | st.sampled_from([rule.word for rule in RULES if rule.word]) | st.text(max_size=20)


@given(
    dialect=st.sampled_from(sorted({name for rule in RULES for name in rule.dialects} | {"generic"})),
    status=st.integers(300, 599),
    type_=words,
    code=words,
    message=st.none() | st.text(max_size=50),
)
def test_every_failure_has_a_class(
    dialect: str, status: int, type_: str | None, code: str | None, message: str | None
) -> None:
    assert classify(dialect=dialect, status=status, type=type_, code=code, message=message) in CLASSES


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectError("x"), "connect"),
        (UpstreamTimeout("x", stage="connect"), "connect"),
        (UpstreamTimeout("x", stage="first_byte"), "timeout"),
        (UpstreamTimeout("x", stage="idle"), "timeout"),
        (UpstreamTimeout("x", stage="total"), "timeout"),
        (ConnectionLost("x", stage="first_byte"), "server_error"),
        (BadReply("x", stage="body"), "server_error"),
        (UpstreamError("x", stage="body"), "server_error"),
    ],
)
def test_calls_without_an_answer(error: UpstreamError, expected: FailureClass) -> None:
    assert classify_exception(error) == expected


def test_every_class_has_a_remedy_and_a_rank_of_its_own() -> None:
    assert set(REMEDIES) == set(CLASSES)
    assert len({usefulness(name) for name in CLASSES}) == len(CLASSES)
    assert max(CLASSES, key=usefulness) == "bad_request"
    assert min(CLASSES, key=usefulness) == "auth"
    assert usefulness("context_window") > usefulness("rate_limit") > usefulness("overloaded")
    assert usefulness("model_not_found") > usefulness("timeout") > usefulness("connect")


def test_what_a_key_is_blamed_for_another_key_may_mend() -> None:
    for name in CLASSES:
        found = remedy(name)
        assert found.other_key == (found.blame == "key")
        assert found.other_target
        if found.blame == "client":
            assert not found.same_target
