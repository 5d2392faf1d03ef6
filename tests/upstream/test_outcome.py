"""Failures told apart, by the words of each provider; and what follows from a class."""

from __future__ import annotations

from typing import cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.errors import BadReply, ConnectError, ConnectionLost, UpstreamError, UpstreamTimeout
from ccx.upstream.outcome import REMEDIES, FailureClass, classify, classify_exception, remedy, usefulness
from ccx.upstream.rules import RULES

CLASSES = get_args(FailureClass)

# class, dialect, status, type, code, status text; after the colon the message. A dash is what is not said.
TABLE = """
-               anthropic 200 - - -
-               anthropic 204 - - -
bad_request     anthropic 400 invalid_request_error - - : max_tokens: Field required
context_window  anthropic 400 invalid_request_error - - : prompt is too long: 9 tokens > 8 maximum
context_window  anthropic 400 invalid_request_error - - : input length and `max_tokens` exceed context limit
bad_request     anthropic 400 invalid_request_error - - : the field says: prompt is too long
quota           anthropic 400 invalid_request_error - - : Your credit balance is too low to use
quota           anthropic 400 invalid_request_error - - : You have reached your specified API usage limits.
content_filter  anthropic 400 invalid_request_error - - : Output blocked by content filtering policy
auth            anthropic 401 authentication_error - - : invalid x-api-key
quota           anthropic 402 billing_error - -
quota           anthropic 429 billing_error - - : spend limit
auth            anthropic 403 permission_error - -
model_not_found anthropic 404 not_found_error - - : model: claude-0
bad_request     anthropic 404 not_found_error - - : File not found: file_1
bad_request     anthropic 413 request_too_large - -
rate_limit      anthropic 429 rate_limit_error - -
server_error    anthropic 500 api_error - -
timeout         anthropic 504 timeout_error - -
overloaded      anthropic 529 overloaded_error - - : Overloaded
overloaded      anthropic 200 overloaded_error - - : Overloaded
rate_limit      anthropic 200 rate_limit_error - -
bad_request     anthropic 200 invalid_request_error - - : x
server_error    anthropic 200 api_error - - : x
context_window  openai 400 invalid_request_error context_length_exceeded -
content_filter  openai 400 image_generation_user_error moderation_blocked -
content_filter  openai 400 invalid_request_error content_policy_violation -
bad_request     openai 400 invalid_request_error unknown_parameter -
auth            openai 401 invalid_request_error invalid_api_key -
auth            openai 403 - unsupported_country_region_territory -
model_not_found openai 404 invalid_request_error model_not_found -
bad_request     openai 404 invalid_request_error - - : Item with id 'rs_1' not found.
quota           openai 429 insufficient_quota insufficient_quota -
quota           openai 429 usage_limit_reached - -
rate_limit      openai 429 tokens rate_limit_exceeded -
rate_limit      openai 429 requests - -
server_error    openai 500 server_error - -
overloaded      openai 503 server_error - -
overloaded      openai 503 - slow_down -
server_error    openai 200 - server_error - : response.failed
rate_limit      openai 200 - rate_limit_exceeded -
content_filter  azure 400 - content_filter -
model_not_found azure 404 invalid_request_error DeploymentNotFound -
rate_limit      azure 429 - RateLimitReached -
context_window  azure 400 - context_length_exceeded -
bad_request     gemini 400 - 400 INVALID_ARGUMENT : Function call is missing
context_window  gemini 400 - 400 INVALID_ARGUMENT : The input token count (2) exceeds the maximum
auth            gemini 400 API_KEY_INVALID 400 INVALID_ARGUMENT : API key not valid.
auth            gemini 400 - 400 INVALID_ARGUMENT : API key not valid.
auth            gemini 400 - 400 FAILED_PRECONDITION : User location is not supported
auth            gemini 403 - 403 PERMISSION_DENIED
model_not_found gemini 404 - 404 NOT_FOUND : models/x is not found
rate_limit      gemini 429 - 429 RESOURCE_EXHAUSTED
server_error    gemini 500 - 500 INTERNAL
overloaded      gemini 503 - 503 UNAVAILABLE
timeout         gemini 504 - 504 DEADLINE_EXCEEDED
overloaded      gemini 200 - 503 UNAVAILABLE
quota           deepseek 402 unknown_error invalid_request_error - : Insufficient Balance
content_filter  deepseek 400 invalid_request_error - - : Content Exists Risk
model_not_found deepseek 400 invalid_request_error - - : Model Not Exist
context_window  deepseek 400 invalid_request_error - - : This model's maximum context length is 9
bad_request     deepseek 422 - - -
quota           openrouter 402 - 402 - : Insufficient credits
content_filter  openrouter 403 - 403 - : openai/x requires moderation on OpenAI. Your input was flagged
quota           openrouter 403 - 403 - : Key limit exceeded (total limit)
auth            openrouter 403 - 403 - : Forbidden
model_not_found openrouter 400 - 400 - : foo/bar is not a valid model ID
model_not_found openrouter 404 - 404 - : No endpoints found for foo/bar.
timeout         openrouter 408 - 408 -
server_error    openrouter 502 - 502 - : Provider returned error
overloaded      openrouter 503 - 503 - : No available model provider
rate_limit      openrouter 200 - 429 - : Provider returned error
server_error    openrouter 200 - 502 - : Provider disconnected
rate_limit      groq 413 tokens rate_limit_exceeded - : Request too large for model
bad_request     groq 413 invalid_request_error request_too_large -
overloaded      groq 498 - capacity_exceeded -
overloaded      groq 498 - - -
server_error    groq 400 invalid_request_error tool_use_failed -
model_not_found groq 400 invalid_request_error model_decommissioned -
overloaded      mistral 429 invalid_request_error - - : Service tier capacity exceeded for this model.
overloaded      mistral 429 service_tier_capacity_exceeded 3505 -
rate_limit      mistral 429 rate_limited 1300 - : Rate limit exceeded
model_not_found mistral 400 invalid_model 1500 - : Invalid model: x
context_window  mistral 400 invalid_request_error 3051 - : Prompt contains 9 tokens
bad_request     mistral 422 - - -
auth            xai 400 - - - : Incorrect API key provided: xa***yz.
context_window  xai 400 - - - : This model's maximum prompt length is 9
quota           xai 429 - - - : Your team 1 has either used all available credits
rate_limit      xai 429 - - - : Too many requests
content_filter  xai 403 - - - : Content violates usage guidelines.
quota           dashscope 400 Arrearage Arrearage -
content_filter  dashscope 400 data_inspection_failed data_inspection_failed -
content_filter  dashscope 400 DataInspectionFailed - -
auth            dashscope 401 invalid_request_error invalid_api_key -
quota           dashscope 403 AllocationQuota.FreeTierOnly AllocationQuota.FreeTierOnly -
model_not_found dashscope 404 invalid_request_error model_not_found -
rate_limit      dashscope 429 limit_requests limit_requests -
rate_limit      dashscope 429 insufficient_quota insufficient_quota -
context_window  dashscope 400 invalid_request_error invalid_parameter_error - : Range of input length should be [1, 9]
context_window  dashscope 400 - - - : <400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 9]
quota           zhipu 429 - 1113 -
content_filter  zhipu 400 - 1301 -
rate_limit      zhipu 429 - 1302 -
quota           zhipu 429 - 1308 -
overloaded      zhipu 429 - 1312 -
model_not_found zhipu 400 - 1211 -
context_window  zhipu 400 - 1261 -
auth            zhipu 401 - 1002 -
server_error    zhipu 200 - 1234 -
content_filter  moonshot 400 content_filter - -
overloaded      moonshot 429 engine_overloaded_error - -
quota           moonshot 429 exceeded_current_quota_error - -
rate_limit      moonshot 429 rate_limit_reached_error - -
auth            moonshot 401 incorrect_api_key_error - -
context_window  moonshot 400 invalid_request_error - - : Invalid request: Your request exceeded model token limit: 9
model_not_found ollama 404 api_error - - : model "x" not found, try pulling it first
overloaded      ollama 503 - - - : server busy
context_window  vllm 400 BadRequestError 400 - : This model's maximum context length is 9 tokens.
context_window  vllm 400 BadRequestError 400 - : You passed 9 input tokens and requested 1 output tokens.
bad_request     vllm 400 BadRequestError 400 - : something else
model_not_found vllm 404 NotFoundError 404 - : The model `x` does not exist.
context_window  generic 400 exceed_context_size_error 400 -
quota           generic 402 - - -
server_error    generic 502 - - -
timeout         generic 524 - - -
server_error    generic 301 - - -
bad_request     generic 405 - - -
server_error    generic 409 - - -
server_error    generic 200 - - - : something went wrong
rate_limit      unheard-of 429 - - -
"""


def _cases() -> list[tuple[FailureClass | None, str, int, list[str | None], str | None]]:
    cases = []
    for row in TABLE.strip().splitlines():
        words, _, message = row.partition(" : ")
        failure, dialect, status, *said = words.split()
        assert failure == "-" or failure in CLASSES, row
        expected: FailureClass | None = None if failure == "-" else cast("FailureClass", failure)
        cases.append(
            (expected, dialect, int(status), [None if word == "-" else word for word in said], message or None)
        )
    return cases


@pytest.mark.parametrize(("expected", "dialect", "status", "words", "message"), _cases())
def test_a_failure_is_told_by_the_providers_words(
    expected: FailureClass | None, dialect: str, status: int, words: list[str | None], message: str | None
) -> None:
    type_, code, status_text = words
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
