"""A client's Responses request, read.

Law: what is read is never lost, and no item, tool or field of an unknown kind is an error, for clients are ahead of
gateways. What stands between two words of the user is one turn of the assistant (its thoughts, words and calls), and
results that follow one another are one turn of the user; every other message is a turn of its own. `instructions` are
a system message without residue; system and developer messages of the input carry their role as residue.

A request of this protocol always has residue of it, be it empty: by that an encoder knows that its client speaks the
protocol, and that what it left out has the protocol's own default.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ccx.errors import ClientError
from ccx.protocols.ir import (
    Json,
    JsonObject,
    Message,
    Native,
    Opaque,
    OutputFormat,
    Part,
    Request,
    Sampling,
    ServerTool,
    Text,
    Thinking,
    Tool,
)
from ccx.protocols.names import Protocol
from ccx.protocols.responses.content import read_content
from ccx.protocols.responses.items import Reader, is_given, is_spoken
from ccx.protocols.responses.reading import made
from ccx.protocols.responses.sealed import Sealed, placed
from ccx.protocols.responses.tools import read_choice, read_tools
from ccx.protocols.values import boolean, integer, number, record, rest, text

LOGPROBS: Final = "message.output_text.logprobs"
# Top-level fields with a neutral meaning; all others are residue.
_KNOWN: Final = frozenset(
    {
        "model",
        "stream",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_output_tokens",
        "temperature",
        "top_p",
        "top_logprobs",
        "reasoning",
        "text",
        "service_tier",
        "user",
        "metadata",
    }
)


def decode_request(body: JsonObject, *, model: str, stream: bool) -> Request:
    """The request. Raises ClientError 400 for an input that is none."""
    given = body.get("input")
    if not isinstance(given, str | list | None):
        raise _refused("input", "a string or a list of items")
    extra = rest(body, _KNOWN)
    messages: list[Message] = []
    match body.get("instructions"):
        case str() as words if words:
            messages.append(Message("system", (Text(words),)))
        case list() as items:
            # The answer's form of the field, which some clients send back.
            extra["instructions"] = items
    tools = list(read_tools(body.get("tools")))
    if isinstance(given, str):
        messages.append(Message("user", (Text(given),)))
    elif given:
        messages += _conversation(given, tools)
    offered = tuple(tools)
    choice = read_choice(body.get("tool_choice"), offered)
    if choice is None and isinstance(body.get("tool_choice"), dict):
        extra["tool_choice"] = body["tool_choice"]
    thinking, kept = _thinking(record(body.get("reasoning")))
    if kept:
        extra["reasoning"] = kept
    shape = record(body.get("text"))
    output = _output(record(shape.get("format")))
    known = ("verbosity", "format") if output or record(shape.get("format")).get("type") in (None, "text") else ()
    if inside := rest(shape, known or ("verbosity",)):
        extra["text"] = inside
    metadata = record(body.get("metadata"))
    odd: JsonObject = {key: value for key, value in metadata.items() if not isinstance(value, str)}
    if odd:
        extra["metadata"] = odd
    return Request(
        model=model,
        messages=tuple(messages),
        tools=offered,
        tool_choice=choice,
        parallel_tool_calls=boolean(body.get("parallel_tool_calls")),
        max_output_tokens=integer(body.get("max_output_tokens")),
        sampling=Sampling(
            temperature=number(body.get("temperature")),
            top_p=number(body.get("top_p")),
            logprobs=_logprobs(body),
        ),
        thinking=thinking,
        output=output,
        verbosity=text(shape.get("verbosity")) or None,
        stream=stream,
        service_tier=text(body.get("service_tier")) or None,
        user=text(body.get("user")) or None,
        metadata={key: value for key, value in metadata.items() if isinstance(value, str)},
        native=(Native(Protocol.RESPONSES, None, extra),),
    )


# --- the conversation -------------------------------------------------------------------------------------------------


def _conversation(items: list[Json], tools: list[Tool | ServerTool]) -> list[Message]:
    """The messages of an input; tools that its items declare are added to `tools`."""
    reader = Reader(sealed=True)
    found: list[Message] = []
    spoken: list[Part | Sealed] = []
    given: list[Part] = []
    spoke = False

    def close() -> None:
        if spoken:
            if parts := placed(spoken):
                found.append(Message("assistant", parts))
            spoken.clear()
        if given:
            found.append(Message("user", tuple(given)))
            given.clear()

    for at, raw in enumerate(items):
        if isinstance(raw, str):
            # Not documented, but understood by some servers.
            raw = {"role": "user", "content": raw}
        if not isinstance(raw, dict):
            raise _refused(f"input[{at}]", "an object")
        words = raw.get("role") == "assistant" and not raw.get("id")
        if is_spoken(raw):
            if given or (words and spoke):
                # Two messages stay two, where no id tells them apart.
                close()
            spoken += reader.parts(raw)
        elif is_given(raw):
            if spoken:
                close()
            given += [part for part in reader.parts(raw) if not isinstance(part, Sealed)]
            if raw.get("type") == "tool_search_output":
                tools += _new(read_tools(raw.get("tools"), {"tool_search_output": at}), tools)
        elif raw.get("type") == "additional_tools":
            extra = rest(raw, ("type", "role", "tools"))
            tools += read_tools(
                raw.get("tools"), {"additional_tools": {"at": at, **({"item": extra} if extra else {})}}
            )
        else:
            close()
            found.append(_message(raw, at))
        spoke = words
    close()
    return found


def _new(found: Iterable[Tool | ServerTool], tools: list[Tool | ServerTool]) -> list[Tool | ServerTool]:
    """The tools that a search found and that were not declared before: it may find the same tool twice."""
    known = {(tool.namespace, tool.name) for tool in tools if isinstance(tool, Tool)}
    return [tool for tool in found if not isinstance(tool, Tool) or (tool.namespace, tool.name) not in known]


def _message(item: JsonObject, at: int) -> Message:
    """A message of the user, the system or a developer; or an item that nothing is known of."""
    if item.get("type") not in (None, "message") or "role" not in item:
        kind = text(item.get("type")) or ("item_reference" if "id" in item else "unknown")
        return Message("user", (Opaque(kind, Native(Protocol.RESPONSES, None, item)),))
    content = item.get("content")
    if not isinstance(content, str | list | None):
        raise _refused(f"input[{at}].content", "a string or a list of parts")
    parts = tuple(read_content(content, None))
    extra = rest(item, ("type", "role", "content", "status"))
    match item.get("role"):
        case "user":
            return Message("user", parts, made(extra, None))
        case "system" | "developer" as role:
            return Message("system", parts, made({**extra, "role": role}, None))
        case role:
            # What another role may be (`critic`, `tool`, `unknown`) is the upstream's to judge.
            return Message("user", parts, made({**extra, "role": role}, None))


# --- fields -----------------------------------------------------------------------------------------------------------


def _logprobs(body: JsonObject) -> int | None:
    wanted = integer(body.get("top_logprobs"))
    if wanted:
        return wanted
    include = body.get("include")
    return 0 if isinstance(include, list) and LOGPROBS in include else None


def _thinking(wanted: JsonObject) -> tuple[Thinking, JsonObject]:
    """How much to think, and what remains of `reasoning`."""
    effort = text(wanted.get("effort")) or None
    word = text(wanted.get("summary")) or text(wanted.get("generate_summary")) or None
    kept = rest(wanted, ("effort", "summary", "generate_summary"))
    if word not in (None, "auto"):
        kept["summary"] = word
    enabled = None if effort is None else effort != "none"
    return Thinking(enabled=enabled, effort=effort, summary=None if word is None else word != "none"), kept


def _output(wanted: JsonObject) -> OutputFormat | None:
    match wanted.get("type"):
        case "json_object":
            return OutputFormat("json")
        case "json_schema":
            schema = wanted.get("schema")
            return OutputFormat(
                "json_schema",
                schema=schema if isinstance(schema, dict) else None,
                name=text(wanted.get("name")) or None,
                description=text(wanted.get("description")) or None,
                strict=boolean(wanted.get("strict")),
            )
        case _:
            return None


def _refused(path: str, wanted: str) -> ClientError:
    return ClientError(400, "invalid_request", f"{path} must be {wanted}")
