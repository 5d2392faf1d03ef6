"""Answers of the Responses API that are not streamed: an upstream's, read; a client's, written.

Source: https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from ccx.errors import BadReply
from ccx.protocols.codec import Asked, Context, Encoded, NewId
from ccx.protocols.ir import (
    JsonObject,
    Loss,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
    ToolResult,
)
from ccx.protocols.responses.ending import read_failure, read_finish, read_usage
from ccx.protocols.responses.items import Reader
from ccx.protocols.responses.output import Output
from ccx.protocols.responses.sealed import Sealed
from ccx.protocols.responses.shell import Shell, read_residue
from ccx.protocols.values import integer, record, text


def decode_response(body: JsonObject, context: Context) -> Response:
    """An upstream's answer. Raises BadReply for what is none, and for one that failed, in the upstream's words."""
    if body.get("status") == "failed" or (body.get("error") and not body.get("output")):
        failed = read_failure(body.get("error"))
        raise BadReply(failed.message, stage="body")
    output = body.get("output")
    if not isinstance(output, list):
        raise BadReply("the answer has no list of output items", stage="body")
    reader = Reader.of_answer(context)
    parts = [part for item in output for part in _parts(reader, item)]
    return Response(
        id=text(body.get("id")),
        model=text(body.get("model")) or context.model,
        parts=tuple(parts),
        finish=read_finish(body, parts),
        usage=read_usage(body.get("usage")),
        created=integer(body.get("created_at")),
        native=read_residue(body, context.issuer),
    )


def _parts(reader: Reader, item: object) -> list[Part]:
    if not isinstance(item, dict):
        raise BadReply("an output item of the answer is not an object", stage="body")
    return [part for part in reader.parts(record(item)) if not isinstance(part, Sealed)]


def encode_response(response: Response, asked: Asked, *, new_id: NewId) -> Encoded:
    """The answer for a client of this protocol."""
    losses: list[Loss] = []
    output = Output(asked, new_id=new_id, tell=_silent, losses=losses)
    for part in response.parts:
        opened, said = _opened(part)
        output.begin(opened)
        output.more(said)
        output.end((), ())
    output.close()
    shell = Shell(asked)
    shell.id = answer_id(response.id, new_id)
    if response.created is not None:
        shell.created = response.created
    payload = shell.whole(output.items, response.finish, response.usage, natives=response.native, losses=losses)
    return Encoded(payload, tuple(losses))


def answer_id(ident: str, new_id: NewId) -> str:
    """The id of an answer: the upstream's, if it looks like one of this protocol."""
    return ident if ident.startswith("resp_") else new_id("resp_")


def _silent(kind: str, fields: JsonObject) -> None:
    """Nobody listens to the events of an answer that is not streamed."""


def _opened(part: Part) -> tuple[Part, str]:
    """A part with nothing said yet but its residue, and what is to be said."""
    match part:
        case Text() | Reasoning() | Refusal():
            return replace(part, text=""), part.text
        case ToolCall():
            return replace(part, arguments=""), part.arguments
        case ToolResult() | Media() | Opaque():
            return part, ""
        case _:
            assert_never(part)
