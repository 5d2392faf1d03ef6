"""The table that tells failures apart, as data. `outcome.classify` reads it from the top; the first row that fits wins.

A row names only what it needs: a status, and a word that the provider puts in a machine-readable place (its type, code
or status text; all compared whole). A message is matched, from its beginning, only where a provider gives no such word.
Rows of one vendor come first, then words that mean the same wherever they appear, then bare statuses. Sources are named
above each group; "seen" marks what vendors send but do not document.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

FailureClass = Literal[
    "connect",
    "timeout",
    "rate_limit",
    "overloaded",
    "server_error",
    "auth",
    "quota",
    "model_not_found",
    "context_window",
    "content_filter",
    "bad_request",
]
"""The names of spec's `failover.on`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A row. An empty `dialects` or `statuses` is any; `word` is compared with type, code and status text; `message`
    must match at the beginning of the message. What is None is not looked at."""

    failure: FailureClass
    dialects: frozenset[str] = frozenset()
    statuses: frozenset[int] = frozenset()
    word: str | None = None
    message: re.Pattern[str] | None = None


def _words(failure: FailureClass, words: str, *, dialects: str = "", statuses: tuple[int, ...] = ()) -> list[Rule]:
    where = frozenset(dialects.split())
    return [Rule(failure, where, frozenset(statuses), word) for word in words.split()]


def _says(failure: FailureClass, *patterns: str, dialects: str, statuses: tuple[int, ...] = ()) -> list[Rule]:
    where = frozenset(dialects.split())
    return [Rule(failure, where, frozenset(statuses), None, re.compile(text)) for text in patterns]


def _status(failure: FailureClass, *statuses: int, dialects: str = "") -> list[Rule]:
    return [Rule(failure, frozenset(dialects.split()), frozenset(statuses))]


_VENDORS: list[Rule] = [
    # https://docs.claude.com/en/api/errors; the messages seen: every one of them is a bare invalid_request_error.
    *_says(
        "context_window", r"prompt is too long", r"input length and `max_tokens` exceed context", dialects="anthropic"
    ),
    *_says(
        "quota", r"Your credit balance is too low", r"You have reached your specified API usage", dialects="anthropic"
    ),
    *_says("content_filter", r"Output blocked by content filtering policy", dialects="anthropic"),
    *_says("auth", r"This organization has been disabled", dialects="anthropic"),
    *_says("model_not_found", r"model: ", dialects="anthropic", statuses=(404,)),
    *_words("bad_request", "not_found_error", dialects="anthropic", statuses=(404,)),  # a file, a container, a batch
    # https://developers.openai.com/api/docs/guides/error-codes. A 404 without a code is an item of the conversation
    # that is not stored, seen on Responses, or a wrong path.
    *_words("model_not_found", "model_not_found", dialects="openai azure"),
    *_words("model_not_found", "DeploymentNotFound unknown_model unavailable_model", dialects="azure"),
    *_words("bad_request", "invalid_request_error", dialects="openai azure", statuses=(404,)),
    # https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter
    *_words("content_filter", "ResponsibleAIPolicyViolation", dialects="azure"),
    *_words("rate_limit", "RateLimitReached", dialects="azure"),
    # https://ai.google.dev/gemini-api/docs/troubleshooting; reasons of google.rpc.ErrorInfo:
    # https://cloud.google.com/apis/design/errors. INVALID_ARGUMENT says of itself only that something is invalid.
    *_says("context_window", r"The input token count", r"The input or output token count", dialects="gemini"),
    *_says("auth", r"API key not valid", r"API [Kk]ey (not found|expired)", dialects="gemini", statuses=(400,)),
    *_words("auth", "FAILED_PRECONDITION", dialects="gemini", statuses=(400,)),  # this key, from this country
    # https://api-docs.deepseek.com/quick_start/error_codes; messages seen.
    *_says("context_window", r"This model's maximum context length is", dialects="deepseek"),
    *_says("content_filter", r"Content Exists Risk", dialects="deepseek"),
    *_says("model_not_found", r"Model Not Exist", dialects="deepseek"),
    # https://openrouter.ai/docs/api/reference/errors-and-debugging. Its codes are statuses; 403 is three things.
    *_says("content_filter", r"\S+ requires moderation on ", dialects="openrouter", statuses=(403,)),
    *_says("quota", r"Key limit exceeded", dialects="openrouter", statuses=(403,)),
    *_says("model_not_found", r"\S+ is not a valid model ID", dialects="openrouter", statuses=(400,)),
    *_says("context_window", r"This endpoint's maximum context length is", dialects="openrouter"),
    *_status("timeout", 408, dialects="openrouter"),
    # https://console.groq.com/docs/errors, /docs/flex-processing. A 413 is a request above the tokens of a minute.
    *_words("rate_limit", "rate_limit_exceeded", dialects="groq"),
    *_words("overloaded", "capacity_exceeded", dialects="groq"),
    *_status("overloaded", 498, dialects="groq"),
    *_words("model_not_found", "model_decommissioned model_terms_required", dialects="groq"),
    *_words("server_error", "tool_use_failed json_validate_failed", dialects="groq"),  # the model wrote a bad call
    *_words("auth", "organization_restricted", dialects="groq"),
    # https://docs.mistral.ai/api/; codes seen.
    *_words("overloaded", "service_tier_capacity_exceeded 3505", dialects="mistral"),
    *_says("overloaded", r"Service tier capacity exceeded", dialects="mistral"),
    *_words("rate_limit", "rate_limited 1300", dialects="mistral"),
    *_words("model_not_found", "invalid_model 1500", dialects="mistral"),
    *_words("context_window", "3051", dialects="mistral"),
    *_says("context_window", r"Prompt contains \d+ tokens", dialects="mistral"),
    # https://docs.x.ai/docs/key-information/debugging. A wrong key is a 400; codes are sentences, so messages it is.
    *_says("auth", r"Incorrect API key provided", r"API key is currently blocked", dialects="xai"),
    *_says("context_window", r"This model's maximum prompt length is", dialects="xai"),
    *_says("content_filter", r"Content violates usage guidelines", dialects="xai"),
    *_says("quota", r"Your (newly created )?team \S+ (doesn't have any credits|has either used all)", dialects="xai"),
    # https://help.aliyun.com/en/model-studio/error-code. Here insufficient_quota is a limit per minute.
    *_words(
        "rate_limit",
        "Throttling Throttling.RateQuota Throttling.BurstRate Throttling.AllocationQuota limit_requests"
        " limit_burst_rate LimitRequests insufficient_quota",
        dialects="dashscope",
    ),
    *_words(
        "quota",
        "Arrearage AllocationQuota.FreeTierOnly PrepaidBillOverdue PostpaidBillOverdue CommodityNotPurchased",
        dialects="dashscope",
    ),
    *_words("auth", "InvalidApiKey AccessDenied access_denied Model.AccessDenied", dialects="dashscope"),
    *_words("content_filter", "DataInspectionFailed data_inspection_failed", dialects="dashscope"),
    *_words("model_not_found", "ModelNotFound ModelNotSupported", dialects="dashscope"),
    *_words("overloaded", "ModelUnavailable ServiceUnavailable ModelServingError", dialects="dashscope"),
    *_words("timeout", "RequestTimeOut InternalError.Timeout", dialects="dashscope"),
    *_says("context_window", r"(<\d+> InternalError\.\S+: )?Range of input length should be", dialects="dashscope"),
    # https://docs.bigmodel.cn/cn/api/api-code, https://docs.z.ai/api-reference/api-code
    *_words("auth", "1000 1001 1002 1003 1004 1100 1110 1111 1112 1121 1220 1311", dialects="zhipu"),
    *_words("quota", "1113 1304 1308 1309 1310", dialects="zhipu"),
    *_words("model_not_found", "1211 1221 1222", dialects="zhipu"),
    *_words("context_window", "1261", dialects="zhipu"),
    *_words("content_filter", "1300 1301", dialects="zhipu"),
    *_words("rate_limit", "1302 1303 1305 1313", dialects="zhipu"),
    *_words("overloaded", "1312", dialects="zhipu"),
    *_words("server_error", "500 1120 1200 1230 1234", dialects="zhipu"),
    *_words("bad_request", "1210 1212 1213 1214 1215 1231", dialects="zhipu"),
    # https://platform.kimi.ai/docs/api/errors
    *_words(
        "auth", "invalid_authentication_error incorrect_api_key_error permission_denied_error", dialects="moonshot"
    ),
    *_words("quota", "exceeded_current_quota_error", dialects="moonshot"),
    *_words("overloaded", "engine_overloaded_error", dialects="moonshot"),
    *_words("rate_limit", "rate_limit_reached_error", dialects="moonshot"),
    *_words("model_not_found", "resource_not_found_error", dialects="moonshot"),
    *_says(
        "context_window",
        r"(Invalid request: )?Your request exceeded model token limit",
        r"Input token length too long",
        dialects="moonshot",
    ),
    # https://docs.vllm.ai (serving, OpenAI-compatible server); every one is a BadRequestError. Also what stands behind
    # an unnamed OpenAI-compatible address. LM Studio and Ollama say it in their own words.
    *_says(
        "context_window",
        r"This model's maximum context length is",
        r"You passed \d+ input tokens",
        r"'max_tokens' or 'max_completion_tokens' is too large",
        r"The decoder prompt \(length \d+\) is longer than the maximum model length",
        r"Input length \(\d+\) exceeds model's maximum context length",
        dialects="vllm generic",
    ),
    *_says("context_window", r"(T|t)he input length exceeds the context length", dialects="ollama generic"),
    *_says("context_window", r"The number of tokens to keep from the initial prompt is greater", dialects="generic"),
]

_WORDS: list[Rule] = [
    # OpenAI's, used by all who are compatible: https://developers.openai.com/api/docs/guides/error-codes
    *_words("context_window", "context_length_exceeded"),
    *_words("model_not_found", "model_not_found"),
    *_words("auth", "invalid_api_key account_deactivated unsupported_country_region_territory"),
    *_words("quota", "insufficient_quota billing_hard_limit_reached billing_not_active usage_limit_reached"),
    *_words("content_filter", "content_filter content_policy_violation moderation_blocked invalid_prompt"),
    *_words("content_filter", "image_content_policy_violation cyber_policy_violation"),
    *_words("rate_limit", "rate_limit_exceeded"),
    *_words("overloaded", "server_is_overloaded slow_down"),
    # Anthropic's, likewise: https://docs.claude.com/en/api/errors
    *_words("overloaded", "overloaded_error"),
    *_words("rate_limit", "rate_limit_error"),
    *_words("auth", "authentication_error permission_error"),
    *_words("quota", "billing_error"),
    *_words("timeout", "timeout_error"),
    *_words("bad_request", "request_too_large"),
    # What ccx itself says to clients of OpenAI's protocols, since a gateway may stand behind another.
    *_words("overloaded", "overloaded"),
    *_words("timeout", "timeout"),
    *_words("auth", "permission_denied"),
    # llama.cpp's server: https://github.com/ggml-org/llama.cpp/tree/master/tools/server
    *_words("context_window", "exceed_context_size_error"),
    # Google's canonical statuses and reasons, all upper case: https://cloud.google.com/apis/design/errors
    *_words("auth", "API_KEY_INVALID API_KEY_EXPIRED API_KEY_SERVICE_BLOCKED SERVICE_DISABLED CONSUMER_SUSPENDED"),
    *_words("quota", "BILLING_DISABLED"),
    *_words("auth", "UNAUTHENTICATED PERMISSION_DENIED"),
    *_words("rate_limit", "RESOURCE_EXHAUSTED"),
    *_words("overloaded", "UNAVAILABLE"),
    *_words("timeout", "DEADLINE_EXCEEDED"),
    *_words("model_not_found", "NOT_FOUND"),
    *_words("server_error", "INTERNAL UNKNOWN"),
    *_words("bad_request", "INVALID_ARGUMENT OUT_OF_RANGE"),
    # An error inside a 200 stream has only its word: the rows below can then not help.
    *_words("bad_request", "invalid_request_error", statuses=(200,)),
    *_words("model_not_found", "not_found_error", statuses=(200,)),
]

_STATUSES: list[Rule] = [
    *_status("auth", 401, 403),
    *_status("quota", 402),
    *_status("model_not_found", 404),
    *_status("timeout", 408, 504, 522, 524),  # 52x: Cloudflare, in front of many
    *_status("server_error", 409, 425),  # a lock or a replay guard of theirs: passes
    *_status("rate_limit", 429),
    *_status("overloaded", 503, 529),
]

RULES: tuple[Rule, ...] = (*_VENDORS, *_WORDS, *_STATUSES)
