"""A request, written for an upstream that speaks Chat Completions, in its vendor's dialect.

Law: what differs from vendor to vendor is read from the dialect's row. A field that the vendor refuses is left out and
named; a field that it does not have is said in another of its ways where there is one.

Source: https://platform.openai.com/docs/api-reference/chat/create; of the dialects see `ccx.protocols.dialects`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import assert_never

import msgspec

from ccx.protocols.cache_control import breakpoints
from ccx.protocols.chat.history import History
from ccx.protocols.chat.reading import Reader, joined, merged
from ccx.protocols.chat.thinking import write_thinking
from ccx.protocols.chat.tools import withheld, write_choice, write_tool
from ccx.protocols.codec import Context, Encoded, NewId, Target
from ccx.protocols.dialects import Dialect
from ccx.protocols.ir import (
    Json,
    JsonObject,
    Loss,
    Media,
    Message,
    OutputFormat,
    Request,
    Sampling,
    ServerTool,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from ccx.protocols.tool_names import GivenNames
from ccx.protocols.values import record, text

JSON_TOOL = "structured_output"
_encode = msgspec.json.Encoder().encode

# Which feature a field is, for its loss.
_FEATURE = {
    "presence_penalty": "penalties",
    "frequency_penalty": "penalties",
    "top_logprobs": "logprobs",
    "reasoning_effort": "effort",
    "user_id": "user",
    "web_search_options": "server_tool",
    "random_seed": "seed",
}
_PLAIN = frozenset(
    {
        "temperature",
        "top_p",
        "seed",
        "logprobs",
        "stop",
        "logit_bias",
        "parallel_tool_calls",
        "tool_choice",
        "service_tier",
        "metadata",
        "user",
        "verbosity",
    }
)
# Ways to ask for thinking that other vendors have; residue of them is for these vendors only.
_WAYS = ("reasoning", "thinking")


def encode_request(request: Request, target: Target, *, new_id: NewId) -> Encoded:
    """The request as a payload, with its losses and what its answer's decoder must know."""
    losses: list[Loss] = []
    dialect, reader = target.dialect, Reader(target.issuer)
    names = GivenNames(dialect.custom_tools)
    tools, options = _tools(request, names=names, dialect=dialect, reader=reader, losses=losses)
    output, told, json_tool = _output(request, names=names, dialect=dialect, losses=losses)

    payload: JsonObject = {"model": target.model}
    history = History(target, names, new_id, losses)
    if told is not None and not dialect.system_anywhere:
        history.add(Message("system", (Text(told),)), "output")
    for index, message in enumerate(request.messages):
        history.add(message, f"messages[{index}]")
    if told is not None and dialect.system_anywhere:
        history.add(Message("system", (Text(told),)), "output")
    payload["messages"] = history.end()

    losses.extend(_unmarked(request, dialect))
    choice = request.tool_choice
    if json_tool is not None:
        tools.append(json_tool)
        # Where the client's tools stay callable too, the answer is whichever call the model makes.
        choice = ToolChoice("named", (JSON_TOOL,)) if len(tools) == 1 else ToolChoice("required")
    if choice is not None:
        chosen, offered = write_choice(choice, tools, names=names, dialect=dialect, losses=losses)
        if offered and len(offered) != len(tools):
            losses.extend(withheld(request.tools, offered, names=names))
        tools = offered
        if chosen is not None:
            payload["tool_choice"] = chosen
    if tools:
        payload["tools"] = list[Json](tools)
        if request.parallel_tool_calls is not None:
            payload["parallel_tool_calls"] = request.parallel_tool_calls
    payload.update(options)
    if output is not None:
        payload["response_format"] = output

    _length(payload, request.max_output_tokens, target=target, losses=losses)
    _sampling(payload, request.sampling, dialect=dialect, losses=losses)
    write_thinking(payload, request.thinking, target=target, losses=losses)
    for key, value in (("verbosity", request.verbosity), ("service_tier", request.service_tier)):
        if value is not None:
            payload[key] = value
    _user(payload, request.user, dialect=dialect, losses=losses)
    _residue(payload, request, dialect=dialect, reader=reader, losses=losses)
    _metadata(payload, request, dialect=dialect, losses=losses)
    if request.stream:
        payload["stream"] = True
        if dialect.stream_usage:
            payload["stream_options"] = {**record(payload.get("stream_options")), "include_usage": True}
        else:
            payload.pop("stream_options", None)
    _refused(payload, target=target, losses=losses)
    return Encoded(
        payload,
        tuple(losses),
        Context(
            issuer=target.issuer,
            model=target.model,
            tools=names.back,
            json_tool=None if json_tool is None else JSON_TOOL,
        ),
    )


def _tools(
    request: Request, *, names: GivenNames, dialect: Dialect, reader: Reader, losses: list[Loss]
) -> tuple[list[JsonObject], JsonObject]:
    """The tools, and fields that stand for tools of the provider."""
    written: list[JsonObject] = []
    options: JsonObject = {}
    for index, tool in enumerate(request.tools):
        path = f"tools[{index}]"
        match tool:
            case Tool():
                written.append(write_tool(tool, path=path, names=names, dialect=dialect, reader=reader, losses=losses))
            case ServerTool(_, native) if not reader.understands(native):
                losses.append(Loss(path, "server_tool", detail=tool.name))
            case ServerTool(_, native) if "web_search_options" in native.data:
                options.update(native.data)
            case ServerTool(_, native):
                written.append(native.data)
    return written, options


def _unmarked(request: Request, dialect: Dialect) -> Iterator[Loss]:
    """A loss for each cache breakpoint that the vendor does not know, or does not know the time of."""
    known = dialect.cache_control
    for path, holder, cache in breakpoints(request):
        match holder:
            case Text():
                kept = "text" in known
            case ToolResult(content=content):
                # It is put on the last text of the message, if there is one.
                kept = "text" in known and any(isinstance(one, Text) for one in content)
            case Tool():
                kept = "tools" in known
            case Media() | ToolCall():
                kept = False
            case _:
                assert_never(holder)
        if not kept:
            yield Loss(f"{path}.cache", "cache_control")
        elif cache.ttl is not None and "ttl" not in known:
            yield Loss(f"{path}.cache", "cache_control", approximate=True, detail="for a time of the vendor's own")


def _output(
    request: Request, *, names: GivenNames, dialect: Dialect, losses: list[Loss]
) -> tuple[JsonObject | None, str | None, JsonObject | None]:
    """The response format, what is told of it in words, and the tool that stands in for it."""
    wanted = request.output
    if wanted is None:
        return None, None, None
    if wanted.kind == "json" or wanted.schema is None:
        if dialect.json_schema == "none":
            losses.append(Loss("output", "json_schema", approximate=True, detail="told in words"))
            return None, "Answer with JSON only.", None
        return {"type": "json_object"}, None, None
    match dialect.json_schema:
        case "json_schema":
            # The name is required, and strict schemas must be such: what was not said stays unsaid.
            described: JsonObject = {"name": wanted.name or "answer", "schema": wanted.schema}
            if wanted.description is not None:
                described["description"] = wanted.description
            if wanted.strict is not None:
                described["strict"] = wanted.strict
            return {"type": "json_schema", "json_schema": described}, None, None
        case "json_object":
            losses.append(Loss("output", "json_schema", approximate=True, detail="told in words"))
            return {"type": "json_object"}, _told(wanted), None
        case "none":
            losses.append(Loss("output", "json_schema", approximate=True, detail="asked for as a tool"))
            function: JsonObject = {
                "name": names.of(JSON_TOOL, None, "function"),
                "description": wanted.description or "Gives the answer in the form that is asked for.",
                "parameters": wanted.schema,
            }
            return None, None, {"type": "function", "function": function}


def _told(wanted: OutputFormat) -> str:
    schema = _encode(wanted.schema).decode()
    return joined((wanted.description or "", f"Answer with JSON that is valid under this JSON Schema:\n{schema}"))


def _length(payload: JsonObject, wanted: int | None, *, target: Target, losses: list[Loss]) -> None:
    if wanted is None:
        return
    most = target.max_output_tokens
    if most is not None and wanted > most:
        losses.append(Loss("max_output_tokens", "max_output_tokens", approximate=True, detail=f"{wanted} to {most}"))
        wanted = most
    payload[target.dialect.max_tokens] = wanted


def _sampling(payload: JsonObject, wanted: Sampling, *, dialect: Dialect, losses: list[Loss]) -> None:
    for key, value in (
        ("temperature", wanted.temperature),
        ("top_p", wanted.top_p),
        (dialect.seed, wanted.seed),
        ("presence_penalty", wanted.presence_penalty),
        ("frequency_penalty", wanted.frequency_penalty),
    ):
        if value is not None:
            payload[key] = value
    if wanted.top_k is not None:
        if dialect.top_k:
            payload["top_k"] = wanted.top_k
        else:
            losses.append(Loss("sampling.top_k", "top_k"))
    if wanted.stop:
        stop, limit = wanted.stop, dialect.stop_limit
        if limit is not None and len(stop) > limit:
            losses.append(Loss("sampling.stop", "stop", approximate=True, detail=f"the first {limit}"))
            stop = stop[:limit]
        payload["stop"] = list[Json](stop)
    if wanted.candidates is not None and wanted.candidates > 1:
        losses.append(Loss("sampling.candidates", "candidates", detail="one answer is asked for"))
    if wanted.logprobs is not None:
        payload["logprobs"] = True
        if wanted.logprobs:
            payload["top_logprobs"] = wanted.logprobs


def _user(payload: JsonObject, user: str | None, *, dialect: Dialect, losses: list[Loss]) -> None:
    if user is None:
        return
    if dialect.user_limit is not None and len(user) > dialect.user_limit:
        losses.append(Loss("user", "user", approximate=True, detail="sent as its SHA-256"))
        user = hashlib.sha256(user.encode()).hexdigest()
    payload[dialect.user] = user


def _residue(payload: JsonObject, request: Request, *, dialect: Dialect, reader: Reader, losses: list[Loss]) -> None:
    losses += reader.foreign(request.native, "request")
    own = reader.own(request.native)
    for way in _WAYS:
        if way in own and dialect.reasoning_in != way:
            del own[way]
            losses.append(Loss("request.native", f"unknown_field:{way}"))
    merged(payload, own)


def _metadata(payload: JsonObject, request: Request, *, dialect: Dialect, losses: list[Loss]) -> None:
    if not request.metadata:
        return
    # https://platform.openai.com/docs/api-reference/chat/create#chat-create-store
    if dialect.metadata == "stored" and payload.get("store") is not True:
        losses.append(Loss("metadata", "metadata", detail="only stored answers have metadata"))
        return
    payload["metadata"] = {**record(payload.get("metadata")), **request.metadata}


def _refused(payload: JsonObject, *, target: Target, losses: list[Loss]) -> None:
    """Take out what the vendor refuses."""
    dialect = target.dialect
    for key in [key for key in payload if key in dialect.unsupported]:
        _take_out(payload, key, losses)
    if target.thinking and text(payload.get("reasoning_effort")) != "none":
        for key in [key for key in payload if key in dialect.unsupported_thinking]:
            # The default of both is 1, and said or unsaid it is the same.
            if key in ("temperature", "top_p") and payload[key] == 1:
                del payload[key]
            else:
                _take_out(payload, key, losses)
    if "logprobs" not in payload:
        payload.pop("top_logprobs", None)


def _take_out(payload: JsonObject, key: str, losses: list[Loss]) -> None:
    del payload[key]
    what = _FEATURE.get(key) or (key if key in _PLAIN else f"unknown_field:{key}")
    losses.append(Loss(key, what))
