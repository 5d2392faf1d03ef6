"""Anthropic Messages. Sources: https://docs.anthropic.com/en/api/messages, .../messages-streaming and
.../messages-count-tokens.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256

from ccx.upstream.demo.answer import encode, event
from ccx.upstream.demo.ask import Ask, Choice, Named, Request, Tool, joined, strings
from ccx.upstream.demo.failures import MESSAGES, refusal
from ccx.upstream.demo.fields import Json, integer, listed, record, records, string, words
from ccx.upstream.demo.script import SSE_TYPE, Script
from ccx.upstream.demo.turn import Finish, Part, Say, Thought, Turn, Use, turn

_STOP_REASONS = {
    Finish.STOP: "end_turn",
    Finish.STOP_SEQUENCE: "stop_sequence",
    Finish.LENGTH: "max_tokens",
    Finish.TOOL_CALLS: "tool_use",
    Finish.REFUSAL: "refusal",
}
# Tools whose schema the model knows by heart, run by the client: the start of the type and arguments that do no harm.
_BUILT_IN: Mapping[str, Json] = {
    "bash_": {"command": "echo demo"},
    "text_editor_": {"command": "view", "path": "/demo"},
    "computer_": {"action": "screenshot"},
    "memory_": {"command": "view", "path": "/memories"},
}


def generate(request: Request) -> Script:
    """POST /v1/messages."""
    body = request.json()
    ask = read(body)
    answer = turn(ask)
    ident = request.ident("msg_")
    hidden = record(body.get("thinking")).get("display") == "omitted"
    if not ask.stream:
        return Script(ask.model, ask.text, (encode(whole(ask, answer, request=request, ident=ident, hidden=hidden)),))
    return Script(
        ask.model,
        ask.text,
        tuple(
            event(data, name=string(data["type"]))
            for data in stream(ask, answer, request=request, ident=ident, hidden=hidden)
        ),
        content_type=SSE_TYPE,
        broken=lambda failure, before: event(MESSAGES.body(failure), name="error"),
    )


def count_tokens(request: Request) -> Script:
    """POST /v1/messages/count_tokens."""
    ask = read(request.json(), counting=True)
    return Script(ask.model, ask.text, (encode({"input_tokens": ask.input_tokens}),))


def read(body: Json, *, counting: bool = False) -> Ask:
    """Validate a request and take from it what an answer needs. Raises RefusedError."""
    if not string(body.get("model")):
        raise refusal("model: Field required")
    limit = integer(body.get("max_tokens"))
    if not counting and "max_tokens" not in body:
        raise refusal("max_tokens: Field required")
    if not counting and (limit is None or limit < 1):
        raise refusal("max_tokens: Input should be an integer greater than or equal to 1")
    turns = _messages(body)
    thinking = record(body.get("thinking"))
    if thinking.get("type") == "enabled":
        budget = integer(thinking.get("budget_tokens"))
        if budget is None or budget < 1024:
            raise refusal("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if limit is not None and budget >= limit:
            raise refusal("`max_tokens` must be greater than `thinking.budget_tokens`")
    newest = turns[-1]
    results = [block for block in records(newest.get("content")) if block.get("type") == "tool_result"]
    tools, choice = _tools(body)
    output = record(record(body.get("output_config")).get("format")) or record(body.get("output_format"))
    return Ask(
        model=string(body["model"]),
        messages=len(turns),
        text=_text(newest.get("content")) if newest.get("role") == "user" else "",
        result=joined([_text(block.get("content")) for block in results]) if results else None,
        input_tokens=words(body.get("system"), body.get("messages"), body.get("tools")),
        tools=tools,
        choice=choice,
        parallel=record(body.get("tool_choice")).get("disable_parallel_tool_use") is not True,
        thinking=thinking.get("type") in ("enabled", "adaptive"),
        schema=record(output.get("schema")) if output.get("type") == "json_schema" else None,
        limit=limit,
        stop=strings(body.get("stop_sequences")),
        stream=body.get("stream") is True,
    )


def _messages(body: Json) -> list[Json]:
    if "messages" not in body:
        raise refusal("messages: Field required")
    turns = listed(body["messages"])
    if not turns:
        raise refusal("messages: at least one message is required")
    checked: list[Json] = []
    pending: set[str] = set()
    for index, item in enumerate(turns):
        message = record(item)
        if message.get("role") not in ("user", "assistant", "system"):
            raise refusal(f"messages.{index}.role: Input should be 'user' or 'assistant'")
        content = message.get("content")
        if not isinstance(content, str | list):
            raise refusal(f"messages.{index}.content: Input should be a valid string or list")
        blocks = records(content)
        if len(blocks) != len(listed(content)) or not all(string(block.get("type")) for block in blocks):
            raise refusal(f"messages.{index}.content: every block must be an object with a type")
        answered = {string(block.get("tool_use_id")) for block in blocks if block.get("type") == "tool_result"}
        if message["role"] != "system":
            if missing := pending - answered:
                raise refusal(
                    f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after:"
                    f" {', '.join(sorted(missing))}"
                )
            if unknown := answered - pending:
                raise refusal(
                    f"messages.{index}.content: unexpected `tool_use_id` found in `tool_result` blocks:"
                    f" {', '.join(sorted(unknown))}"
                )
            pending = {string(block.get("id")) for block in blocks if block.get("type") == "tool_use"}
        checked.append(message)
    return checked


def _tools(body: Json) -> tuple[tuple[Tool, ...], Choice]:
    tools: list[Tool] = []
    for index, tool in enumerate(records(body.get("tools"))):
        name, kind = string(tool.get("name")), string(tool.get("type"))
        if kind in ("", "custom"):
            if not name:
                raise refusal(f"tools.{index}.custom.name: Field required")
            if not isinstance(tool.get("input_schema"), dict):
                raise refusal(f"tools.{index}.custom.input_schema: Field required")
            tools.append(Tool(name, tool["input_schema"]))
        else:  # anything else is run by the provider, and never called here
            tools += [Tool(name, {"const": known}) for start, known in _BUILT_IN.items() if kind.startswith(start)]
    wanted = record(body.get("tool_choice"))
    match wanted.get("type"):
        case "any":
            return tuple(tools), "any"
        case "none":
            return tuple(tools), "none"
        case "tool":
            name = string(wanted.get("name"))
            if name not in {string(tool.get("name")) for tool in records(body.get("tools"))}:
                raise refusal(f"Tool '{name}' not found in provided tools")
            return tuple(tools), Named((name,))
        case _:
            return tuple(tools), "auto"


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    return joined([string(block.get("text")) for block in records(content) if block.get("type") == "text"])


def signature(thought: str) -> str:
    """What stands for the provider's signature of a thought: opaque, and the same for the same thought."""
    return b64encode(b"ccx-demo" + sha256(thought.encode()).digest()).decode()


def _usage(answer: Turn, *, output_tokens: int) -> Json:
    return {
        "input_tokens": answer.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
    }


def _block(part: Part, *, ident: str, hidden: bool) -> Json:
    match part:
        case Thought():
            return {"type": "thinking", "thinking": "" if hidden else part.text, "signature": signature(part.text)}
        case Say():
            return {"type": "text", "text": part.text}
        case Use():
            return {"type": "tool_use", "id": ident, "name": part.tool.name, "input": part.arguments}


def _head(ask: Ask, ident: str) -> dict[str, object]:
    return {
        "id": ident,
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def whole(ask: Ask, answer: Turn, *, request: Request, ident: str, hidden: bool) -> Json:
    """The message object of an answer that is not streamed."""
    return {
        **_head(ask, ident),
        "content": [
            _block(part, ident=request.ident("toolu_", index), hidden=hidden) for index, part in enumerate(answer.parts)
        ],
        "stop_reason": _STOP_REASONS[answer.finish],
        "stop_sequence": answer.stop_sequence,
        "usage": {**_usage(answer, output_tokens=answer.output_tokens), "service_tier": "standard"},
    }


def stream(ask: Ask, answer: Turn, *, request: Request, ident: str, hidden: bool) -> Iterator[Json]:
    """The events of a streamed answer."""
    usage = {**_usage(answer, output_tokens=min(1, answer.output_tokens)), "service_tier": "standard"}
    yield {"type": "message_start", "message": {**_head(ask, ident), "usage": usage}}
    for index, part in enumerate(answer.parts):
        start = dict(_block(part, ident=request.ident("toolu_", index), hidden=hidden))
        match part:
            case Thought():
                start |= {"thinking": "", "signature": ""}
            case Say():
                start["text"] = ""
            case Use():
                start["input"] = {}
        yield {"type": "content_block_start", "index": index, "content_block": start}
        if index == 0:
            yield {"type": "ping"}
        for delta in _deltas(part, hidden=hidden):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": _STOP_REASONS[answer.finish], "stop_sequence": answer.stop_sequence},
        "usage": _usage(answer, output_tokens=answer.output_tokens),
    }
    yield {"type": "message_stop"}


def _deltas(part: Part, *, hidden: bool) -> Iterator[Json]:
    match part:
        case Thought():
            for piece in () if hidden else part.pieces:
                yield {"type": "thinking_delta", "thinking": piece}
            yield {"type": "signature_delta", "signature": signature(part.text)}
        case Say():
            for piece in part.pieces:
                yield {"type": "text_delta", "text": piece}
        case Use():
            yield {"type": "input_json_delta", "partial_json": ""}
            for piece in part.pieces:
                yield {"type": "input_json_delta", "partial_json": piece}


def models(names: tuple[str, ...]) -> Json:
    """GET /v1/models (https://docs.anthropic.com/en/api/models-list)."""
    return {"data": [model(name) for name in names], "has_more": False, "first_id": names[0], "last_id": names[-1]}


def model(name: str) -> Json:
    """GET /v1/models/{model}."""
    return {
        "type": "model",
        "id": name,
        "display_name": f"ccx {name}",
        "created_at": "2025-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200000,
        "max_tokens": 64000,
    }
