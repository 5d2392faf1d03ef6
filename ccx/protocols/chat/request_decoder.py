"""A client's Chat Completions request, read.

Law: each message of the protocol becomes one of the neutral form, in the same order; encoders of other protocols put
together what belongs together there. What the neutral form cannot say stays as residue by the protocol's own names.
Only what leaves no meaning is refused; the rest is the upstream's to judge.

Source: https://platform.openai.com/docs/api-reference/chat/create; vendors' ways to ask for thinking:
https://openrouter.ai/docs/guides/best-practices/reasoning-tokens, https://api-docs.deepseek.com/guides/thinking_mode,
https://www.alibabacloud.com/help/en/model-studio/deep-thinking.
"""

from __future__ import annotations

from typing import assert_never

from ccx.errors import ClientError
from ccx.protocols.chat import parts as content
from ccx.protocols.chat import reasoning
from ccx.protocols.chat.reading import Origin
from ccx.protocols.chat.tools import arguments_text, read_call, read_choice, read_tools
from ccx.protocols.ir import (
    Json,
    JsonObject,
    Media,
    Message,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Request,
    Sampling,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from ccx.protocols.values import boolean, integer, number, record, records, rest, text

_CLIENT = Origin(None)
_REASONING_FIELDS = ("reasoning_content", "reasoning")
_MESSAGE_FIELDS = frozenset({"role", "content", "tool_calls", "function_call", "refusal", "reasoning_details"}).union(
    _REASONING_FIELDS
)
# Top-level fields with a neutral meaning; all others are residue.
_KNOWN = frozenset(
    {
        "model",
        "messages",
        "stream",
        "tools",
        "functions",
        "tool_choice",
        "function_call",
        "parallel_tool_calls",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "random_seed",
        "presence_penalty",
        "frequency_penalty",
        "stop",
        "n",
        "logprobs",
        "top_logprobs",
        "reasoning_effort",
        "reasoning",
        "thinking",
        "enable_thinking",
        "thinking_budget",
        "response_format",
        "verbosity",
        "service_tier",
        "user",
        "metadata",
        "stream_options",
        "web_search_options",
    }
)


def decode_request(body: JsonObject, *, model: str, stream: bool) -> Request:
    """The request. Raises ClientError 400 for messages that are none."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise _refused("messages", "a list of messages")
    extra = rest(body, _KNOWN)
    choice = read_choice(body)
    # A choice that the neutral form cannot say, such as a preference among some tools, is residue.
    if choice is None and isinstance(body.get("tool_choice"), dict):
        extra["tool_choice"] = body["tool_choice"]
    if inside := rest(record(body.get("stream_options")), ("include_usage",)):
        extra["stream_options"] = inside
    thinking, kept = _thinking(body)
    extra.update(kept)
    metadata = record(body.get("metadata"))
    odd: JsonObject = {key: value for key, value in metadata.items() if not isinstance(value, str)}
    if odd:
        extra["metadata"] = odd
    length = integer(body.get("max_completion_tokens"))
    return Request(
        model=model,
        messages=_messages(messages),
        tools=read_tools(body),
        tool_choice=choice,
        parallel_tool_calls=boolean(body.get("parallel_tool_calls")),
        max_output_tokens=integer(body.get("max_tokens")) if length is None else length,
        sampling=_sampling(body),
        thinking=thinking,
        output=_output(record(body.get("response_format"))),
        verbosity=text(body.get("verbosity")) or None,
        stream=stream,
        service_tier=text(body.get("service_tier")) or None,
        user=text(body.get("user")) or None,
        metadata={key: value for key, value in metadata.items() if isinstance(value, str)},
        native=_CLIENT.native(extra),
    )


# --- messages ---------------------------------------------------------------------------------------------------------


def _messages(items: list[Json]) -> tuple[Message, ...]:
    found: list[Message] = []
    # The id of the last call of the older kind, which has none of its own.
    called = ""
    for index, item in enumerate(items):
        path = f"messages[{index}]"
        if not isinstance(item, dict):
            raise _refused(path, "an object")
        if not isinstance(item.get("content"), str | list | None):
            raise _refused(f"{path}.content", "a string or a list of parts")
        match item.get("role"):
            case "system" | "developer" as role:
                extra = rest(item, ("role", "content"))
                if role == "developer":
                    extra["role"] = role
                found.append(Message("system", _said(item), _CLIENT.native(extra)))
            case "user":
                found.append(Message("user", _said(item), _CLIENT.native(rest(item, ("role", "content")))))
            case "assistant":
                if record(item.get("function_call")).get("name"):
                    called = f"call_{index}"
                found.append(_assistant(item, called))
            case "tool":
                found.append(Message("user", (_result(item),)))
            case "function":
                name = text(item.get("name")) or None
                found.append(Message("user", (ToolResult(called, _content(item), name=name),)))
            case role:
                legal = "system, developer, user, assistant, tool, function"
                raise _refused(f"{path}.role", f"one of {legal}, not {role!r}")
    return tuple(found)


def _said(item: JsonObject) -> tuple[Part, ...]:
    return tuple(content.read_content(item.get("content"), _CLIENT))


def _assistant(item: JsonObject, called: str) -> Message:
    thought = reasoning.read(item, _CLIENT, fields=_REASONING_FIELDS)
    parts: list[Part] = [*thought.thoughts, *content.read_content(item.get("content"), _CLIENT)]
    if words := text(item.get("refusal")):
        parts.append(Refusal(words))
    parts += [read_call(call, _CLIENT) for call in records(item.get("tool_calls"))]
    function = record(item.get("function_call"))
    if name := text(function.get("name")):
        parts.append(ToolCall(called, name, arguments_text(function.get("arguments"))))
    return Message("assistant", thought.give_back(parts), _CLIENT.native(rest(item, _MESSAGE_FIELDS)))


def _result(item: JsonObject) -> ToolResult:
    extra = rest(item, ("role", "content", "tool_call_id"))
    return ToolResult(
        text(item.get("tool_call_id")),
        _content(item),
        name=text(item.get("name")) or None,
        native=_CLIENT.native(extra),
    )


def _content(item: JsonObject) -> tuple[Text | Media | Opaque, ...]:
    """What a tool gave. Refusals and thoughts are not a tool's to give, so such parts are as good as unknown."""
    found: list[Text | Media | Opaque] = []
    for part in content.read_content(item.get("content"), _CLIENT):
        match part:
            case Text() | Media() | Opaque():
                found.append(part)
            case Refusal(words) | Reasoning(words):
                found.append(Text(words))
            case _:
                assert_never(part)
    return tuple(found)


# --- fields -----------------------------------------------------------------------------------------------------------


def _sampling(body: JsonObject) -> Sampling:
    stop = body.get("stop")
    seed = integer(body.get("seed"))
    candidates = integer(body.get("n"))
    logprobs = None
    if body.get("logprobs") is True:
        logprobs = integer(body.get("top_logprobs")) or 0
    return Sampling(
        temperature=number(body.get("temperature")),
        top_p=number(body.get("top_p")),
        top_k=integer(body.get("top_k")),
        seed=integer(body.get("random_seed")) if seed is None else seed,
        presence_penalty=number(body.get("presence_penalty")),
        frequency_penalty=number(body.get("frequency_penalty")),
        stop=(stop,) if isinstance(stop, str) else tuple(map(text, stop)) if isinstance(stop, list) else (),
        # One is what everybody gets.
        candidates=None if candidates == 1 else candidates,
        logprobs=logprobs,
    )


def _thinking(body: JsonObject) -> tuple[Thinking, JsonObject]:
    """How much to think, in whichever of the vendors' ways it is asked, and what remains of those fields."""
    kept: JsonObject = {}
    effort = text(body.get("reasoning_effort")) or None
    budget: int | None = None
    enabled: bool | None = None
    summary: bool | None = None
    adaptive = False
    if isinstance(wanted := body.get("reasoning"), dict):
        effort = text(wanted.get("effort")) or effort
        budget = integer(wanted.get("max_tokens"))
        enabled = boolean(wanted.get("enabled"))
        exclude = boolean(wanted.get("exclude"))
        summary = None if exclude is None else not exclude
        if inside := rest(wanted, ("effort", "max_tokens", "enabled", "exclude")):
            kept["reasoning"] = inside
    if isinstance(wanted := body.get("thinking"), dict):
        adaptive = wanted.get("type") == "adaptive"
        enabled = {"enabled": True, "adaptive": True, "disabled": False}.get(text(wanted.get("type")), enabled)
        budget = integer(wanted.get("budget_tokens")) or budget
        if inside := rest(wanted, ("type", "budget_tokens")):
            kept["thinking"] = inside
    if (switch := boolean(body.get("enable_thinking"))) is not None:
        enabled = switch
    budget = integer(body.get("thinking_budget")) or budget
    if enabled is None and effort is not None:
        enabled = effort != "none"
    elif enabled is None and budget is not None:
        enabled = budget > 0
    return Thinking(enabled=enabled, effort=effort, budget=budget, adaptive=adaptive, summary=summary), kept


def _output(wanted: JsonObject) -> OutputFormat | None:
    match wanted.get("type"):
        case "json_object":
            return OutputFormat("json")
        case "json_schema":
            described = record(wanted.get("json_schema"))
            schema = described.get("schema")
            return OutputFormat(
                "json_schema",
                schema=schema if isinstance(schema, dict) else None,
                name=text(described.get("name")) or None,
                description=text(described.get("description")) or None,
                strict=boolean(described.get("strict")),
            )
        case _:
            return None


def _refused(path: str, wanted: str) -> ClientError:
    return ClientError(400, "invalid_request", f"{path} must be {wanted}")
