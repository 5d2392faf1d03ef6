"""OpenAI Chat Completions. Sources: https://platform.openai.com/docs/api-reference/chat and .../chat-streaming.

Reasoning is told the way DeepSeek does it, in `reasoning_content`, for OpenAI itself never shows it here
(https://api-docs.deepseek.com/guides/reasoning_model).
"""

from __future__ import annotations

from collections.abc import Iterator

from ccx.upstream.demo.answer import encode, event
from ccx.upstream.demo.ask import CREATED, Ask, Choice, Named, Request, Tool, joined, model_of, strings
from ccx.upstream.demo.failures import OPENAI, refusal
from ccx.upstream.demo.fields import EMPTY, Json, first, integer, listed, record, records, string, words
from ccx.upstream.demo.script import SSE_TYPE, Script
from ccx.upstream.demo.turn import Finish, Say, Thought, Turn, Use, turn

_FINISH_REASONS = {
    Finish.STOP: "stop",
    Finish.STOP_SEQUENCE: "stop",
    Finish.LENGTH: "length",
    Finish.TOOL_CALLS: "tool_calls",
    Finish.REFUSAL: "content_filter",
}
_ROLES = ("developer", "system", "user", "assistant", "tool", "function")
MAX_CHOICES = 128


def generate(request: Request) -> Script:
    """POST /v1/chat/completions."""
    body = request.json()
    ask = read(body)
    answer = turn(ask)
    wanted = body.get("n", 1)
    choices = 1 if wanted is None else integer(wanted)
    if choices is None or not 1 <= choices <= MAX_CHOICES:
        raise refusal(f"Invalid 'n': integer between 1 and {MAX_CHOICES} expected.", param="n", code="invalid_value")
    if not ask.stream:
        return Script(ask.model, ask.text, (encode(whole(ask, answer, request=request, choices=choices)),))
    usage = record(body.get("stream_options")).get("include_usage") is True
    chunks = stream(ask, answer, request=request, choices=choices, usage=usage)
    return Script(
        ask.model,
        ask.text,
        (*(event(chunk) for chunk in chunks), b"data: [DONE]\n\n"),
        content_type=SSE_TYPE,
        broken=lambda failure, before: event(OPENAI.body(failure)),
    )


def read(body: Json) -> Ask:
    """Validate a request and take from it what an answer needs. Raises RefusedError."""
    model = model_of(body)
    turns = _messages(body)
    newest = turns[-1]
    results: list[str] = []
    for message in reversed(turns):
        if message.get("role") not in ("tool", "function"):
            break
        results.insert(0, _text(message.get("content")))
    tools, choice = _tools(body)
    effort = string(body.get("reasoning_effort")) or string(record(body.get("reasoning")).get("effort"))
    return Ask(
        model=model,
        messages=len(turns),
        text=_text(newest.get("content")) if newest.get("role") == "user" else "",
        result=joined(results) if results else None,
        input_tokens=words(body.get("messages"), body.get("tools")),
        tools=tools,
        choice=choice,
        parallel=body.get("parallel_tool_calls") is not False,
        thinking=effort not in ("", "none") or record(body.get("thinking")).get("type") in ("enabled", "adaptive"),
        schema=json_format(record(body.get("response_format"))),
        limit=_limit(body),
        stop=strings(body.get("stop")),
        stream=body.get("stream") is True,
    )


def json_format(wanted: Json) -> Json | None:
    """The schema of `response_format`; of no kind for `json_object`, None for text."""
    match wanted.get("type"):
        case "json_schema":
            schema = record(wanted.get("json_schema")).get("schema")
            if not isinstance(schema, dict):
                raise refusal(
                    "Missing required parameter: 'response_format.json_schema.schema'.",
                    param="response_format.json_schema.schema",
                    code="missing_required_parameter",
                )
            return schema
        case "json_object":
            return {"type": "object"}
        case _:
            return None


def _limit(body: Json) -> int | None:
    name = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    wanted = body.get(name)
    limit = integer(wanted)
    if wanted is not None and (limit is None or limit < 1):
        raise refusal(f"Invalid '{name}': integer above 0 expected.", param=name, code="integer_below_min_value")
    return limit


def _messages(body: Json) -> list[Json]:
    if "messages" not in body:
        raise refusal("Missing required parameter: 'messages'.", param="messages", code="missing_required_parameter")
    turns = listed(body["messages"])
    if not turns:
        raise refusal("Invalid 'messages': at least one message is needed.", param="messages", code="empty_array")
    checked: list[Json] = []
    pending: set[str] = set()
    for index, item in enumerate(turns):
        message, param = record(item), f"messages[{index}]"
        role = message.get("role")
        if role not in _ROLES:
            legal = ", ".join(_ROLES)
            raise refusal(
                f"Invalid value: {role!r}. Supported values are: {legal}.", param=f"{param}.role", code="invalid_value"
            )
        called = records(message.get("tool_calls"))
        if not isinstance(message.get("content"), str | list) and role != "assistant":
            raise refusal(f"Invalid type for '{param}.content'.", param=f"{param}.content", code="invalid_type")
        if role == "tool":
            ident = string(message.get("tool_call_id"))
            if ident not in pending:
                raise refusal(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with"
                    " 'tool_calls'.",
                    param=f"{param}.role",
                )
            pending.discard(ident)
        elif pending:
            raise refusal(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
                f" 'tool_call_id'. Without a response: {', '.join(sorted(pending))}",
                param=f"{param}.role",
            )
        pending |= {string(call.get("id")) for call in called}
        checked.append(message)
    return checked


def _tools(body: Json) -> tuple[tuple[Tool, ...], Choice]:
    tools: list[Tool] = []
    for index, item in enumerate(records(body.get("tools"))):
        kind = string(item.get("type"))
        declared = record(item.get(kind))
        if kind not in ("function", "custom") or not string(declared.get("name")):
            where = f"tools[{index}].{kind or 'type'}"
            raise refusal(f"Missing or invalid parameter: '{where}'.", param=where, code="missing_required_parameter")
        tools.append(Tool(string(declared["name"]), declared.get("parameters"), custom=kind == "custom"))
    match body.get("tool_choice"):
        case "none":
            return tuple(tools), "none"
        case "required":
            return tuple(tools), "any"
        case dict() as wanted:
            if wanted.get("type") == "allowed_tools":
                allowed = record(wanted.get("allowed_tools"))
                names = tuple(
                    string(record(tool.get("function")).get("name")) for tool in records(allowed.get("tools"))
                )
                usable = tuple(tool for tool in tools if tool.name in names)
                return usable, "any" if allowed.get("mode") == "required" else "auto"
            name = string(record(first(wanted, "function", "custom")).get("name"))
            if name not in {tool.name for tool in tools}:
                raise refusal(f"Tool choice {name!r} is not among the tools.", param="tool_choice")
            return tuple(tools), Named((name,))
        case _:
            return tuple(tools), "auto"


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    return joined([string(part.get("text")) for part in records(content) if part.get("type") == "text"])


def _usage(answer: Turn, choices: int) -> Json:
    output = answer.output_tokens * choices
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": output,
        "total_tokens": answer.input_tokens + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.thought_tokens * choices,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _call(part: Use, *, ident: str, text: str) -> dict[str, object]:
    if part.tool.custom:
        return {"id": ident, "type": "custom", "custom": {"name": part.tool.name, "input": text}}
    return {"id": ident, "type": "function", "function": {"name": part.tool.name, "arguments": text}}


def whole(ask: Ask, answer: Turn, *, request: Request, choices: int) -> Json:
    """The completion object of an answer that is not streamed."""
    said = [part.text for part in answer.parts if isinstance(part, Say)]
    thoughts = [part.text for part in answer.parts if isinstance(part, Thought)]
    uses = [part for part in answer.parts if isinstance(part, Use)]

    def choice(index: int) -> Json:
        message: dict[str, object] = {
            "role": "assistant",
            "content": "".join(said) if said else None,
            "refusal": None,
            "annotations": [],
        }
        if thoughts:
            message["reasoning_content"] = "".join(thoughts)
        if uses:
            message["tool_calls"] = [
                _call(part, ident=request.ident("call_", index, place), text=part.text)
                for place, part in enumerate(uses)
            ]
        return {"index": index, "message": message, "logprobs": None, "finish_reason": _FINISH_REASONS[answer.finish]}

    return {
        "id": request.ident("chatcmpl-"),
        "object": "chat.completion",
        "created": CREATED,
        "model": ask.model,
        "choices": [choice(index) for index in range(choices)],
        "usage": _usage(answer, choices),
        "service_tier": "default",
        "system_fingerprint": "fp_ccx_demo",
    }


def stream(ask: Ask, answer: Turn, *, request: Request, choices: int, usage: bool) -> Iterator[Json]:
    """The chunks of a streamed answer, without the closing [DONE]."""
    head: Json = {
        "id": request.ident("chatcmpl-"),
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": ask.model,
        "service_tier": "default",
        "system_fingerprint": "fp_ccx_demo",
    }
    pending: Json = {"usage": None} if usage else EMPTY
    for index in range(choices):
        for delta in _deltas(answer, request=request, index=index):
            yield {**head, "choices": [_choice(index, delta, None)], **pending}
        yield {**head, "choices": [_choice(index, {}, _FINISH_REASONS[answer.finish])], **pending}
    if usage:
        yield {**head, "choices": [], "usage": _usage(answer, choices)}


def _choice(index: int, delta: Json, reason: str | None) -> Json:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}


def _deltas(answer: Turn, *, request: Request, index: int) -> Iterator[Json]:
    calls = any(isinstance(part, Use) for part in answer.parts)
    yield {"role": "assistant", "content": None if calls else "", "refusal": None}
    place = 0
    for part in answer.parts:
        match part:
            case Thought():
                for piece in part.pieces:
                    yield {"reasoning_content": piece}
            case Say():
                for piece in part.pieces:
                    yield {"content": piece}
            case Use():
                ident = request.ident("call_", index, place)
                yield {"tool_calls": [{"index": place, **_call(part, ident=ident, text="")}]}
                kind, field = ("custom", "input") if part.tool.custom else ("function", "arguments")
                for piece in part.pieces:
                    yield {"tool_calls": [{"index": place, kind: {field: piece}}]}
                place += 1
