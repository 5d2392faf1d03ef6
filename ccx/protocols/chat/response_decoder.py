"""An upstream's whole answer, read.

Law: what has no neutral meaning is residue in the shape of the body it came in, known fields left out: `choices[0]`
with its `logprobs` and whatever is unknown in its message, and further choices as they came, for the neutral form has
one.

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from dataclasses import replace

from ccx.errors import BadReply
from ccx.protocols.chat import parts as content
from ccx.protocols.chat import reasoning, tools
from ccx.protocols.chat.finish import read_finish, read_usage
from ccx.protocols.chat.reading import Origin
from ccx.protocols.chat.tags import split_thoughts
from ccx.protocols.codec import Context
from ccx.protocols.dialects import Dialect, dialect
from ccx.protocols.ir import (
    Citation,
    Inline,
    Json,
    JsonObject,
    Media,
    Part,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
    Usage,
)
from ccx.protocols.values import integer, record, records, rest, text

TOP = frozenset({"id", "object", "created", "model", "choices", "usage"})
CHOICE = frozenset({"index", "message", "delta", "finish_reason"})
MESSAGE = frozenset(
    {
        "role",
        "content",
        "refusal",
        "tool_calls",
        "function_call",
        "annotations",
        "audio",
        "images",
        "reasoning_content",
        "reasoning",
        "reasoning_details",
    }
)


def decode_response(body: JsonObject, context: Context) -> Response:
    """The answer. Raises BadReply for what is not a chat completion."""
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise BadReply("the answer has no choices", stage="body")
    choice = choices[0]
    message = choice.get("message")
    if message is None and choice.get("finish_reason") is not None:
        # A filter that stops everything leaves no message (Azure).
        message = {}
    if not isinstance(message, dict):
        raise BadReply("the answer's first choice has no message", stage="body")
    origin, row = Origin(context.issuer), dialect(context.issuer)
    found = _parts(message, context=context, origin=origin, row=row)
    extra = rest(body, TOP)
    residual = rest(choice, CHOICE)
    if inside := rest(message, MESSAGE):
        residual["message"] = inside
    if residual or len(choices) > 1:
        extra["choices"] = [residual, *choices[1:]]
    return Response(
        id=text(body.get("id")),
        model=text(body.get("model")) or context.model,
        parts=found,
        finish=read_finish(
            text(choice.get("finish_reason")) or None,
            calls=any(isinstance(part, ToolCall) for part in found),
            refused=any(isinstance(part, Refusal) for part in found),
            sequence=text(choice.get("stop_reason")) or None,
        ),
        usage=read_usage(body) or Usage(),
        created=integer(body.get("created")),
        native=origin.native(extra),
    )


def _parts(message: JsonObject, *, context: Context, origin: Origin, row: Dialect) -> tuple[Part, ...]:
    thoughts = [
        marked(thought, origin, row) for thought in reasoning.read(message, origin, fields=row.reasoning_out).thoughts
    ]
    said: list[Part] = [
        marked(part, origin, row) if isinstance(part, Reasoning) else part
        for part in content.read_content(message.get("content"), origin)
    ]
    if row.think_tags and not thoughts and said and isinstance(first := said[0], Text):
        thought, answer = split_thoughts(first.text)
        if answer != first.text:
            thoughts = [marked(Reasoning(thought), origin, row)] if thought else []
            said[:1] = [replace(first, text=answer)] if answer else []
    found: list[Part] = [*thoughts, *said]
    if cited := read_citations(message.get("annotations"), origin):
        _cite(found, cited)
    if words := text(message.get("refusal")):
        found.append(Refusal(words))
    found += [content.read_part(image, origin) for image in records(message.get("images"))]
    if (sound := record(message.get("audio"))) and text(sound.get("data")):
        found.append(read_sound(sound, origin))
    calls = [tools.read_call(call, origin) for call in records(message.get("tool_calls"))]
    function = record(message.get("function_call"))
    if not calls and (name := text(function.get("name"))):
        calls = [ToolCall("", name, tools.arguments_text(function.get("arguments")))]
    found += [restored(call, context) for call in calls]
    return tuple(found)


def marked(thought: Reasoning, origin: Origin, row: Dialect) -> Reasoning:
    """A thought with itself as residue, where its vendor demands it back word for word and the client's protocol may
    keep nothing but the residue."""
    if thought.native or not thought.text or row.reasoning_back == "never":
        return thought
    return replace(thought, native=origin.native({"reasoning_content": thought.text}))


def restored(call: ToolCall, context: Context) -> ToolCall | Text:
    """A call under the client's own name for the tool; the answer itself, where a tool stood in for its form."""
    if context.json_tool is not None and call.name == context.json_tool:
        return Text(call.arguments)
    known = context.tools.get(call.name)
    if known is None:
        return call
    if known.kind == "custom" and call.kind == "function":
        return replace(
            call,
            name=known.name,
            namespace=known.namespace,
            kind="custom",
            arguments=tools.unwrapped(call.arguments),
        )
    return replace(call, name=known.name, namespace=known.namespace)


def read_citations(annotations: Json, origin: Origin) -> tuple[Citation, ...]:
    """Citations; kinds other than of URLs are kept as residue."""
    found: list[Citation] = []
    for item in records(annotations):
        cited = record(item.get("url_citation"))
        if item.get("type") != "url_citation" or not cited:
            found.append(Citation(native=origin.native({"annotation": item})))
            continue
        extra = rest(cited, ("url", "title", "content", "start_index", "end_index"))
        found.append(
            Citation(
                url=text(cited.get("url")) or None,
                title=text(cited.get("title")) or None,
                quote=text(cited.get("content")) or None,
                start=integer(cited.get("start_index")),
                end=integer(cited.get("end_index")),
                native=origin.native(extra),
            )
        )
    return tuple(found)


def read_sound(sound: JsonObject, origin: Origin) -> Media:
    data = text(sound.get("data"))
    return Media("audio", Inline(data, content.sound_type(data)), native=origin.native(rest(sound, ("data",))))


def _cite(found: list[Part], cited: tuple[Citation, ...]) -> None:
    """Put citations on the text they are of: the last one, as a message has one."""
    for at in range(len(found) - 1, -1, -1):
        part = found[at]
        if isinstance(part, Text):
            found[at] = replace(part, citations=cited)
            return
    found.append(Text("", citations=cited))
