"""What vendors' versions of a protocol need, as data: one row a vendor, no branch anywhere.

A row is named like the dialect of a provider preset. Rows hold only what differs from OpenAI's own Chat Completions,
or from the cautious defaults that suit an unknown server; sources are beside each row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ReasoningField = Literal["reasoning_content", "reasoning", "reasoning_details", "thinking"]
"""Where a message holds thoughts; `thinking` is a kind of part of its content (Mistral)."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a vendor's Chat differs.

    Thoughts. `reasoning_out`: the fields of an answer's message that may hold thoughts; the first that does counts, as
    some vendors send the same twice. `reasoning_in`: how thinking is asked for. `efforts`: the levels that are
    understood, rising; empty where there are none. `effort_off`: the level that means not to think, None where models
    disagree on it. `reasoning_back`: whether thoughts of earlier turns are sent back. `reasoning_back_as`: in which
    field. `reasoning_missing`: what stands for lost thoughts of a turn with tool calls, where their absence is refused.
    `think_tags`: answers may begin with `<think>…</think>`.

    Messages. `system_role`: the role of system messages. `developer_role`: whether the role developer is known.
    `system_anywhere`: whether they may stand elsewhere than at the start, and be several. `content_parts`: whether
    text may be cut into parts that carry hints; else it is joined. `message_names`: whether messages may be named.
    `media`: kinds of parts besides text.
    `remote_media`: whether media may be named by URL. `user_after_tool`: whether a user may speak right after a
    tool's result. `tool_id`: what the id of a call may look like: any, at most 40 characters, or 9 letters and digits.

    Fields. `max_tokens`: the field for the answer's length. `seed`, `user`: the fields of these. `user_limit`:
    characters of the user. `stop_limit`: number of stop sequences. `stream_usage`: whether
    `stream_options.include_usage` is understood. `unsupported`: top-level fields that are refused.
    `unsupported_thinking`: those that models which think refuse. `top_k`: whether it is known. `metadata`: whether it
    is, and whether only for answers that are stored.

    Tools. `tool_choices`: legal modes. `allowed_tools`: whether a choice may name several tools. `custom_tools`:
    whether tools may take free text. `strict`: whether functions may be strict.

    `cache_control`: what may have a cache breakpoint (text, tools), and whether it may say for how long (ttl).

    `json_schema`: whether structured output by schema is understood (else `json_object`, else a tool).
    """

    name: str
    max_tokens: Literal["max_completion_tokens", "max_tokens"] = "max_tokens"
    system_role: Literal["system", "developer"] = "system"
    developer_role: bool = False
    system_anywhere: bool = False
    content_parts: bool = False
    message_names: bool = True
    media: frozenset[str] = frozenset({"image"})
    remote_media: bool = True
    user_after_tool: bool = True
    tool_id: Literal["any", "forty", "nine"] = "any"
    reasoning_out: tuple[str, ...] = ("reasoning_content", "reasoning")
    reasoning_in: Literal[
        "reasoning_effort", "reasoning", "thinking", "enable_thinking", "chat_template_kwargs", "none"
    ] = "none"
    efforts: tuple[str, ...] = ()
    effort_off: str | None = None
    reasoning_back: Literal["never", "tool_turns", "always"] = "never"
    reasoning_back_as: ReasoningField = "reasoning_content"
    reasoning_missing: str | None = None
    think_tags: bool = False
    stream_usage: bool = True
    unsupported: frozenset[str] = frozenset()
    unsupported_thinking: frozenset[str] = frozenset()
    top_k: bool = False
    seed: str = "seed"
    user: str = "user"
    user_limit: int | None = None
    stop_limit: int | None = None
    metadata: Literal["yes", "stored"] = "yes"
    tool_choices: frozenset[str] = frozenset({"auto", "none", "required", "named"})
    allowed_tools: bool = False
    custom_tools: bool = False
    strict: bool = True
    cache_control: frozenset[Literal["text", "tools", "ttl"]] = frozenset()
    json_schema: Literal["json_schema", "json_object", "none"] = "json_schema"


# What only OpenAI and those who follow it closely know. Most servers ignore an unknown field; some refuse the request.
_OPENAI_ONLY = frozenset(
    {
        "store",
        "metadata",
        "service_tier",
        "prediction",
        "modalities",
        "audio",
        "verbosity",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "moderation",
        "web_search_options",
    }
)
_LOGPROBS = frozenset({"logprobs", "top_logprobs"})
_PENALTIES = frozenset({"presence_penalty", "frequency_penalty"})
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")

# A server of which nothing is known: an inference engine behind an OpenAI-like front. What it may not know is left
# alone where servers ignore it, and templates that insist on one leading system message are served.
# https://lmstudio.ai/docs/developer/openai-compat/chat-completions
GENERIC = Dialect("generic", think_tags=True, unsupported=frozenset({"prediction", "moderation", "verbosity"}))

# https://platform.openai.com/docs/api-reference/chat/create; what reasoning models refuse:
# https://platform.openai.com/docs/guides/latest-model#gpt-5-2-parameter-compatibility. Efforts differ from model to
# model, and none is understood by some and refused by others: https://platform.openai.com/docs/guides/reasoning
_OPENAI = Dialect(
    "openai",
    max_tokens="max_completion_tokens",
    developer_role=True,
    system_anywhere=True,
    content_parts=True,
    media=frozenset({"image", "document", "audio"}),
    tool_id="forty",
    reasoning_in="reasoning_effort",
    efforts=_EFFORTS,
    unsupported_thinking=_LOGPROBS | _PENALTIES | {"temperature", "top_p", "logit_bias"},
    user_limit=64,
    stop_limit=4,
    metadata="stored",
    allowed_tools=True,
    custom_tools=True,
)

# https://learn.microsoft.com/azure/ai-foundry/openai/how-to/reasoning#api--feature-support and
# https://learn.microsoft.com/azure/ai-foundry/openai/reference-preview-latest
_AZURE = Dialect(
    "azure",
    max_tokens="max_completion_tokens",
    developer_role=True,
    system_anywhere=True,
    content_parts=True,
    media=frozenset({"image", "document", "audio"}),
    tool_id="forty",
    reasoning_in="reasoning_effort",
    efforts=_EFFORTS,
    unsupported_thinking=_LOGPROBS | _PENALTIES | {"temperature", "top_p", "logit_bias"},
    unsupported=frozenset({"moderation", "web_search_options", "safety_identifier"}),
    user_limit=64,
    stop_limit=4,
    metadata="stored",
    allowed_tools=True,
    custom_tools=True,
)

# https://api-docs.deepseek.com/api/create-chat-completion, https://api-docs.deepseek.com/guides/thinking_mode (thoughts
# of turns with tool calls must come back), https://api-docs.deepseek.com/guides/json_mode
_DEEPSEEK = Dialect(
    "deepseek",
    system_anywhere=True,
    media=frozenset(),
    reasoning_in="thinking",
    efforts=("low", "high", "max"),
    reasoning_back="tool_turns",
    reasoning_missing="",
    unsupported=_OPENAI_ONLY | {"parallel_tool_calls", "logit_bias", "seed", "user"},
    unsupported_thinking=_LOGPROBS,
    stop_limit=16,
    strict=False,
    json_schema="json_object",
)

# https://platform.moonshot.ai/docs/api/chat, https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model (all
# thoughts of the context must come back), https://platform.moonshot.ai/docs/guide/use-kimi-vision-model (no URLs),
# https://platform.moonshot.ai/docs/guide/migrating-from-openai-to-kimi#about-tool_choice
_MOONSHOT = Dialect(
    "moonshot",
    max_tokens="max_completion_tokens",
    system_anywhere=True,
    media=frozenset({"image", "video"}),
    remote_media=False,
    reasoning_in="thinking",
    reasoning_back="always",
    reasoning_missing=" ",
    unsupported=(_OPENAI_ONLY - {"prompt_cache_key", "safety_identifier"})
    | _LOGPROBS
    | {"logit_bias", "seed", "user", "parallel_tool_calls"},
    unsupported_thinking=_PENALTIES | {"temperature", "top_p"},
    stop_limit=5,
    tool_choices=frozenset({"auto", "none"}),
    strict=False,
)

# https://www.alibabacloud.com/help/en/model-studio/qwen-api-via-openai-chat-completions (a system message belongs at
# the start; tool_choice knows no required; logprobs by some models only),
# https://www.alibabacloud.com/help/en/model-studio/deep-thinking and
# https://www.alibabacloud.com/help/en/model-studio/context-cache (breakpoints in messages, always for five minutes)
_DASHSCOPE = Dialect(
    "dashscope",
    content_parts=True,
    media=frozenset({"image", "audio", "video"}),
    reasoning_in="enable_thinking",
    unsupported=_OPENAI_ONLY - {"modalities", "audio"} | {"logit_bias", "user", "frequency_penalty"},
    top_k=True,
    tool_choices=frozenset({"auto", "none", "named"}),
    strict=False,
    cache_control=frozenset({"text"}),
    json_schema="json_object",
)

# https://docs.z.ai/api-reference/llm/chat-completion (one stop word, tool_choice auto only, user_id of 6 to 128
# characters) and https://docs.z.ai/guides/capabilities/thinking-mode (thoughts go back with results of tools)
_ZHIPU = Dialect(
    "zhipu",
    system_anywhere=True,
    media=frozenset({"image", "video"}),
    reasoning_in="thinking",
    efforts=("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    reasoning_back="tool_turns",
    unsupported=_OPENAI_ONLY | _LOGPROBS | _PENALTIES | {"logit_bias", "seed", "parallel_tool_calls"},
    user="user_id",
    user_limit=128,
    stop_limit=1,
    tool_choices=frozenset({"auto"}),
    strict=False,
    json_schema="json_object",
)

# https://console.groq.com/docs/openai#currently-unsupported-openai-features, https://console.groq.com/docs/reasoning
_GROQ = Dialect(
    "groq",
    max_tokens="max_completion_tokens",
    system_anywhere=True,
    message_names=False,
    reasoning_in="reasoning_effort",
    efforts=("low", "medium", "high"),
    reasoning_back_as="reasoning",
    think_tags=True,
    unsupported=(_OPENAI_ONLY - {"service_tier"}) | _LOGPROBS | {"logit_bias"},
    stop_limit=4,
)

# https://openrouter.ai/docs/api/reference/parameters, https://openrouter.ai/docs/guides/best-practices/reasoning-tokens
# (thoughts go back as they came), https://openrouter.ai/docs/guides/overview/multimodal/pdfs,
# https://openrouter.ai/docs/guides/best-practices/prompt-caching
_OPENROUTER = Dialect(
    "openrouter",
    developer_role=True,
    system_anywhere=True,
    content_parts=True,
    media=frozenset({"image", "document", "audio", "video"}),
    reasoning_in="reasoning",
    efforts=("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    reasoning_back="always",
    reasoning_back_as="reasoning_details",
    top_k=True,
    user_limit=128,
    allowed_tools=False,
    cache_control=frozenset({"text", "tools", "ttl"}),
)

# https://docs.mistral.ai/api/#tag/chat/operation/chat_completion_v1_chat_completions_post (no stream_options: usage
# always comes; extra fields are refused), https://docs.mistral.ai/capabilities/reasoning/ (thinking chunks)
_MISTRAL = Dialect(
    "mistral",
    media=frozenset({"image", "audio"}),
    user_after_tool=False,
    tool_id="nine",
    reasoning_in="reasoning_effort",
    efforts=("none", "high"),
    effort_off="none",
    reasoning_back="always",
    reasoning_back_as="thinking",
    stream_usage=False,
    unsupported=(_OPENAI_ONLY - {"prediction", "metadata"}) | _LOGPROBS | {"logit_bias", "user"},
    seed="random_seed",
)

# https://docs.x.ai/docs/api-reference#chat-completions, https://docs.x.ai/docs/guides/reasoning (what models that
# reason refuse; some refuse efforts too). Messages may stand in any order.
_XAI = Dialect(
    "xai",
    max_tokens="max_completion_tokens",
    system_anywhere=True,
    content_parts=True,
    reasoning_in="reasoning_effort",
    efforts=("none", "low", "medium", "high"),
    unsupported=(_OPENAI_ONLY - {"service_tier", "prompt_cache_key"}) | {"logit_bias"},
    unsupported_thinking=_PENALTIES | {"stop"},
    stop_limit=4,
)

# https://docs.ollama.com/api/openai-compatibility (fields it does not list are ignored; images in base64 only)
_OLLAMA = Dialect(
    "ollama",
    remote_media=False,
    reasoning_in="reasoning_effort",
    efforts=("none", "low", "medium", "high"),
    effort_off="none",
    reasoning_back="tool_turns",
    reasoning_back_as="reasoning",
    think_tags=True,
    unsupported=_OPENAI_ONLY | _LOGPROBS | {"logit_bias", "tool_choice", "parallel_tool_calls", "user"},
    tool_choices=frozenset({"auto"}),
    strict=False,
)

# https://docs.vllm.ai/en/latest/serving/openai_compatible_server/ and
# https://docs.vllm.ai/en/latest/features/reasoning_outputs/ (thinking is the template's to switch)
_VLLM = Dialect(
    "vllm",
    media=frozenset({"image", "audio", "video"}),
    reasoning_in="chat_template_kwargs",
    efforts=("low", "medium", "high"),
    reasoning_back="tool_turns",
    reasoning_back_as="reasoning",
    think_tags=True,
    unsupported=_OPENAI_ONLY,
    top_k=True,
)

# The built-in demo upstream speaks OpenAI's own form, and thinks as DeepSeek does.
_DEMO = Dialect(
    "demo",
    max_tokens="max_completion_tokens",
    developer_role=True,
    system_anywhere=True,
    content_parts=True,
    media=frozenset({"image", "document", "audio"}),
    reasoning_in="reasoning_effort",
    efforts=_EFFORTS,
    allowed_tools=True,
    custom_tools=True,
)

_ROWS: dict[str, Dialect] = {
    row.name: row
    for row in (
        GENERIC,
        _OPENAI,
        _AZURE,
        _DEEPSEEK,
        _MOONSHOT,
        _DASHSCOPE,
        _ZHIPU,
        _GROQ,
        _OPENROUTER,
        _MISTRAL,
        _XAI,
        _OLLAMA,
        _VLLM,
        _DEMO,
    )
}


def dialect(name: str) -> Dialect:
    """The row of this name; the generic one for a vendor without peculiarities."""
    return _ROWS.get(name, GENERIC)
