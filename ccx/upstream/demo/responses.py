"""OpenAI Responses. Sources: https://platform.openai.com/docs/api-reference/responses and .../responses-streaming.

Nothing is stored: `previous_response_id` is accepted and its messages are not known.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256

from ccx.upstream.demo.answer import encode, event
from ccx.upstream.demo.ask import CREATED, Ask, Choice, Named, Request, Tool, joined, model_of
from ccx.upstream.demo.failures import Failure, openai_code, refusal
from ccx.upstream.demo.fields import Json, integer, record, records, string, words
from ccx.upstream.demo.script import SSE_TYPE, Script
from ccx.upstream.demo.turn import Finish, Part, Say, Thought, Turn, Use, tokens, turn

_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_CALLS = ("function_call", "custom_tool_call")


def generate(request: Request) -> Script:
    """POST /v1/responses."""
    body = request.json()
    if body.get("background") is True:
        raise refusal("The demo upstream stores nothing: no 'background'.", param="background", code="invalid_value")
    ask = read(body)
    if any(item.get("type") == "compaction_trigger" for item in records(body.get("input"))):
        answer, output = _silent(ask), [_compaction(request)]
    else:
        answer = turn(ask)
        output = items(body, answer, request=request)
    if not ask.stream:
        return Script(ask.model, ask.text, (encode(whole(body, ask, answer, output, request=request)),))

    def broken(failure: Failure, before: int) -> bytes:
        response = {**_response(body, ask, request), "status": "failed", "error": _error(failure)}
        return event(
            {"type": "response.failed", "sequence_number": before, "response": response}, name="response.failed"
        )

    events = stream(body, ask, answer, output, request=request)
    return Script(
        ask.model,
        ask.text,
        tuple(
            event({**data, "sequence_number": number}, name=string(data["type"])) for number, data in enumerate(events)
        ),
        content_type=SSE_TYPE,
        broken=broken,
    )


def input_tokens(request: Request) -> Script:
    """POST /v1/responses/input_tokens."""
    ask = read(request.json())
    counted = {"object": "response.input_tokens", "input_tokens": ask.input_tokens}
    return Script(ask.model, ask.text, (encode(counted),))


def compact(request: Request) -> Script:
    """POST /v1/responses/compact."""
    ask = read(request.json())
    return Script(
        ask.model,
        ask.text,
        (
            encode(
                {
                    "id": request.ident("resp_"),
                    "object": "response.compaction",
                    "created_at": CREATED,
                    "output": [_compaction(request)],
                    "usage": _usage(_silent(ask)),
                }
            ),
        ),
    )


def read(body: Json) -> Ask:
    """Validate a request and take from it what an answer needs. Raises RefusedError."""
    model = model_of(body)
    given = body.get("input")
    if not isinstance(given, str | list):
        if given is not None or not any(body.get(key) for key in ("previous_response_id", "prompt", "conversation")):
            raise refusal("Missing required parameter: 'input'.", param="input", code="missing_required_parameter")
        given = []
    history: list[Json] = [{"role": "user", "content": given}] if isinstance(given, str) else records(given)
    called = {string(item.get("call_id")) for item in history if item.get("type") in _CALLS}
    results: list[str] = []
    for index, item in enumerate(history):
        if item.get("type") not in _OUTPUTS:
            continue
        ident = string(item.get("call_id"))
        if ident not in called and not body.get("previous_response_id") and not body.get("conversation"):
            raise refusal(f"No tool call found for function call output with call_id {ident}.", param=f"input[{index}]")
    for item in reversed(history):
        if item.get("type") not in _OUTPUTS:
            break
        results.insert(0, _text(item.get("output")))
    newest = history[-1] if history else {}
    limit = integer(body.get("max_output_tokens"))
    if body.get("max_output_tokens") is not None and (limit is None or limit < 1):
        name = "max_output_tokens"
        raise refusal(f"Invalid '{name}': integer above 0 expected.", param=name, code="integer_below_min_value")
    tools, choice = _tools(body, history)
    effort = record(body.get("reasoning")).get("effort")
    wanted = record(record(body.get("text")).get("format"))
    schema = {"json_schema": record(wanted.get("schema")), "json_object": {"type": "object"}}
    return Ask(
        model=model,
        messages=sum(1 for item in history if item.get("type", "message") == "message"),
        text=_text(newest.get("content")) if newest.get("role") == "user" else "",
        result=joined(results) if results else None,
        input_tokens=words(body.get("instructions"), given, body.get("tools")),
        tools=tools,
        choice=choice,
        parallel=body.get("parallel_tool_calls") is not False,
        thinking=isinstance(body.get("reasoning"), dict) and effort != "none",
        schema=schema.get(string(wanted.get("type"))),
        limit=limit,
        stream=body.get("stream") is True,
    )


def _tools(body: Json, history: list[Json]) -> tuple[tuple[Tool, ...], Choice]:
    declared = records(body.get("tools"))
    for item in history:  # Codex declares tools as an item of the input
        if item.get("type") == "additional_tools":
            declared += records(item.get("tools"))
    tools: list[Tool] = []
    for index, item in enumerate(declared):
        inner = records(item.get("tools")) if item.get("type") == "namespace" else [item]
        space = string(item.get("name")) or None if item.get("type") == "namespace" else None
        for tool in inner:
            if tool.get("type") not in ("function", "custom"):
                continue  # run by the provider, and never called here
            if not string(tool.get("name")):
                where = f"tools[{index}].name"
                raise refusal(f"Missing required parameter: '{where}'.", param=where, code="missing_required_parameter")
            custom = tool["type"] == "custom"
            tools.append(Tool(string(tool["name"]), tool.get("parameters"), custom=custom, namespace=space))
    match body.get("tool_choice"):
        case "none":
            return tuple(tools), "none"
        case "required":
            return tuple(tools), "any"
        case {"type": "allowed_tools", **wanted}:
            names = {string(tool.get("name")) for tool in records(wanted.get("tools"))}
            usable = tuple(tool for tool in tools if tool.name in names)
            return usable, "any" if wanted.get("mode") == "required" else "auto"
        case {"name": str() as name}:
            if name not in {tool.name for tool in tools}:
                raise refusal(f"Tool choice {name!r} not found in 'tools' parameter.", param="tool_choice")
            return tuple(tools), Named((name,))
        case _:
            return tuple(tools), "auto"


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    return joined([string(part.get("text")) for part in records(content)])


def _silent(ask: Ask) -> Turn:
    """A turn in which nothing is said."""
    return Turn((), Finish.STOP, None, input_tokens=ask.input_tokens, output_tokens=0, thought_tokens=0)


def _sealed(text: str) -> str:
    """What stands for encrypted content: opaque, and the same for the same text."""
    return b64encode(b"ccx-demo" + sha256(text.encode("utf-8", "surrogatepass")).digest()).decode()


def _compaction(request: Request) -> Json:
    ident = request.ident("cmp_")
    return {"id": ident, "type": "compaction", "encrypted_content": _sealed(ident)}


def _error(failure: Failure) -> Json:
    return {"code": openai_code(failure)[1] or "server_error", "message": failure.message}


def _usage(answer: Turn) -> Json:
    return {
        "input_tokens": answer.input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"reasoning_tokens": answer.thought_tokens},
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }


def items(body: Json, answer: Turn, *, request: Request) -> list[Json]:
    """The output items of an answer."""
    reasoning = record(body.get("reasoning"))
    summarised = (reasoning.get("summary") or reasoning.get("generate_summary")) is not None
    include = body.get("include")
    sealed = isinstance(include, list) and "reasoning.encrypted_content" in include
    cut = answer.finish in (Finish.LENGTH, Finish.REFUSAL)

    def item(part: Part, index: int) -> Json:
        status = "incomplete" if cut and index == len(answer.parts) - 1 else "completed"
        match part:
            case Thought():
                summary = [{"type": "summary_text", "text": part.text}] if summarised else []
                made: dict[str, object] = {"id": request.ident("rs_", index), "type": "reasoning", "summary": summary}
                return {**made, "encrypted_content": _sealed(part.text)} if sealed else made
            case Say():
                return {
                    "id": request.ident("msg_", index),
                    "type": "message",
                    "status": status,
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": part.text, "annotations": [], "logprobs": []}],
                }
            case Use():
                call: dict[str, object] = {"call_id": request.ident("call_", index), "name": part.tool.name}
                if part.tool.namespace is not None:
                    call["namespace"] = part.tool.namespace
                if part.tool.custom:
                    ident = request.ident("ctc_", index)
                    return {"id": ident, "type": "custom_tool_call", "status": status, **call, "input": part.text}
                ident = request.ident("fc_", index)
                return {"id": ident, "type": "function_call", "status": status, **call, "arguments": part.text}

    return [item(part, index) for index, part in enumerate(answer.parts)]


def _response(body: Json, ask: Ask, request: Request) -> dict[str, object]:
    """The response object as it is while nothing has come yet; most members repeat the request."""
    reasoning = record(body.get("reasoning"))
    return {
        "id": request.ident("resp_"),
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": ask.limit,
        "model": ask.model,
        "output": [],
        "parallel_tool_calls": ask.parallel,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "service_tier": "default",
        "store": body.get("store") is not False,
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": records(body.get("tools")),
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation") or "disabled",
        "usage": None,
        "user": body.get("user"),
        "metadata": record(body.get("metadata")),
    }


def whole(body: Json, ask: Ask, answer: Turn, output: list[Json], *, request: Request) -> Json:
    """The finished response object."""
    reasons = {Finish.LENGTH: "max_output_tokens", Finish.REFUSAL: "content_filter"}
    reason = reasons.get(answer.finish)
    return {
        **_response(body, ask, request),
        "status": "completed" if reason is None else "incomplete",
        "completed_at": CREATED if reason is None else None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "output": output,
        "usage": _usage(answer),
    }


def stream(body: Json, ask: Ask, answer: Turn, output: list[Json], *, request: Request) -> Iterator[Json]:
    """The events of a streamed answer, without their sequence numbers."""
    started = _response(body, ask, request)
    yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    for index, item in enumerate(output):
        place: Json = {"item_id": item["id"], "output_index": index}
        yield {"type": "response.output_item.added", "output_index": index, "item": _begun(item)}
        match item["type"]:
            case "message":
                yield from _message(item, place)
            case "reasoning":
                yield from _reasoning(item, place)
            case "function_call":
                yield from _call(item, place, "function_call_arguments", "arguments")
            case "custom_tool_call":
                yield from _call(item, place, "custom_tool_call_input", "input")
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    final = whole(body, ask, answer, output, request=request)
    yield {"type": f"response.{final['status']}", "response": final}


def _begun(item: Json) -> Json:
    """An item as it is announced: nothing in it yet."""
    empty: Json = {"content": [], "summary": [], "arguments": "", "input": "", "status": "in_progress"}
    return {name: empty.get(name, value) for name, value in item.items()}


def _message(item: Json, place: Json) -> Iterator[Json]:
    (part,) = records(item["content"])
    text, at = string(part["text"]), {**place, "content_index": 0}
    yield {"type": "response.content_part.added", **at, "part": {**part, "text": ""}}
    for piece in tokens(text):
        yield {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **at, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **at, "part": part}


def _reasoning(item: Json, place: Json) -> Iterator[Json]:
    for number, part in enumerate(records(item["summary"])):
        text, at = string(part["text"]), {**place, "summary_index": number}
        yield {"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}}
        for piece in tokens(text):
            yield {"type": "response.reasoning_summary_text.delta", **at, "delta": piece}
        yield {"type": "response.reasoning_summary_text.done", **at, "text": text}
        yield {"type": "response.reasoning_summary_part.done", **at, "part": part}


def _call(item: Json, place: Json, name: str, field: str) -> Iterator[Json]:
    text = string(item[field])
    for piece in tokens(text):
        yield {"type": f"response.{name}.delta", **place, "delta": piece}
    named = {"name": item["name"]} if field == "arguments" else {}
    yield {"type": f"response.{name}.done", **place, **named, field: text}
