"""Requests of generateContent: a client's, read; an upstream's, written.

Law: what is read is never lost (fields without a neutral meaning are residue of the request), and what is written is
legal whatever conversation it came from. Both spellings of protobuf JSON are read, lowerCamelCase is written. The rules
of conversations are in `contents`, those of models in `models`.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from typing import Final

from ccx.errors import ClientError
from ccx.protocols import cache_control
from ccx.protocols.codec import Context, Encoded, NewId, Target
from ccx.protocols.gemini.blocks import Writer
from ccx.protocols.gemini.config import decode_config, encode_config
from ccx.protocols.gemini.contents import arrange
from ccx.protocols.gemini.models import traits
from ccx.protocols.gemini.naming import Calls, tool_names
from ccx.protocols.gemini.natives import accepted, made, refused
from ccx.protocols.gemini.parts import Reader
from ccx.protocols.gemini.spelling import Malformed, camel, several
from ccx.protocols.gemini.tools import decode_choice, decode_tools, encode_choice, encode_tools
from ccx.protocols.ir import Json, JsonObject, Loss, Message, Request, Role, Text, ToolCall

_READ: Final = frozenset(
    {
        "model",
        "stream",
        "contents",
        "systemInstruction",
        "tools",
        "toolConfig",
        "generationConfig",
        "serviceTier",
    }
)
_TIERS: Final = {"standard": "default", "flex": "flex", "priority": "priority"}
_TIERS_BACK: Final = {"default": "standard", "standard": "standard", "flex": "flex", "priority": "priority"}


# --- reading ----------------------------------------------------------------------------------------------------------


def decode_request(body: JsonObject, *, model: str, stream: bool) -> Request:
    """A client's request. Raises ClientError 400 with the JSON path in Google's notation."""
    try:
        return _decoded(camel(body), model=model, stream=stream)
    except Malformed as error:
        raise ClientError(400, "invalid_request", str(error)) from None


def _decoded(body: JsonObject, *, model: str, stream: bool) -> Request:
    contents = several(body.get("contents"))
    if contents is None or "contents" not in body:
        raise Malformed("contents", "contents is not specified")
    reader = Reader(Calls(), sealed=True)
    messages = [*_system(body.get("systemInstruction"), reader)]
    messages.extend(_content(one, f"contents[{at}]", reader) for at, one in enumerate(contents))
    choice, tool_config = decode_choice(body.get("toolConfig"))
    config = decode_config(body.get("generationConfig"))
    residue = {**config.residue}
    if tool_config:
        residue["toolConfig"] = tool_config
    tier = body.get("serviceTier")
    known_tier = tier.lower() if isinstance(tier, str) else ""
    if tier is not None and known_tier not in ("", "unspecified", *_TIERS):
        residue["serviceTier"] = tier
    residue.update((key, value) for key, value in body.items() if key not in _READ and value is not None)
    return Request(
        model=model,
        messages=tuple(messages),
        tools=decode_tools(body.get("tools")),
        tool_choice=choice,
        max_output_tokens=config.max_output_tokens,
        sampling=config.sampling,
        thinking=config.thinking,
        output=config.output,
        stream=stream,
        service_tier=_TIERS.get(known_tier),
        native=made(residue, None),
    )


def _system(raw: Json, reader: Reader) -> list[Message]:
    if raw is None:
        return []
    if isinstance(raw, str):
        return [Message("system", (Text(raw),))]
    if not isinstance(raw, dict) or (parts := several(raw.get("parts"))) is None:
        raise Malformed("system_instruction.parts", "Invalid value: a list was expected")
    found = reader.parts(parts, "system_instruction.parts")
    return [Message("system", found)] if found else []


def _content(raw: Json, path: str, reader: Reader) -> Message:
    if not isinstance(raw, dict):
        raise Malformed(path, "Invalid value: an object was expected")
    parts = several(raw.get("parts"))
    if parts is None:
        raise Malformed(f"{path}.parts", "Invalid value: a list was expected")
    rest: JsonObject = {key: value for key, value in raw.items() if key not in ("role", "parts")}
    return Message(_role(raw.get("role"), path), reader.parts(parts, f"{path}.parts"), made(rest, None))


def _role(raw: Json, path: str) -> Role:
    match raw:
        case "model":
            return "assistant"
        case None | "" | "user" | "function":
            return "user"
        case "system":
            return "system"
        case _:
            raise Malformed(f"{path}.role", "Please use a valid role: user, model.")


# --- writing ----------------------------------------------------------------------------------------------------------


def encode_request(request: Request, target: Target, *, new_id: NewId) -> Encoded:
    """The request for an upstream of this protocol, legal for the target's model; the model and whether it streams are
    in the URL. No id has to be minted."""
    losses: list[Loss] = []
    model = traits(target.model)
    fields = accepted(request.native, target.issuer)
    losses.extend(refused(request.native, target.issuer, "native"))
    losses.extend(cache_control.lost(request))
    names = tool_names(request)
    called = {
        part.id: (part.namespace, part.name)
        for message in request.messages
        for part in message.parts
        if isinstance(part, ToolCall) and not part.server
    }
    system, contents = arrange(request.messages, Writer(target, model, names, called, losses))
    tools = encode_tools(request, names, issuer=target.issuer, losses=losses)
    choice = encode_choice(request, names, tools, native=fields.pop("toolConfig", None), losses=losses)
    config = encode_config(request, fields, target, traits=model, losses=losses)

    payload: JsonObject = {"contents": list(contents)}
    if system:
        payload["systemInstruction"] = {"parts": list(system)}
    if tools:
        payload["tools"] = list(tools)
    if choice is not None:
        payload["toolConfig"] = choice
    if config:
        payload["generationConfig"] = config
    payload.update(_about(request, losses))
    payload.update(fields)
    return Encoded(payload, tuple(losses), Context(target.issuer, target.model, names.back()))


def _about(request: Request, losses: list[Loss]) -> JsonObject:
    """The service level; who asks has no place here."""
    if request.user is not None:
        losses.append(Loss("user", "user"))
    if request.metadata:
        losses.append(Loss("metadata", "metadata", detail=", ".join(request.metadata)))
    if request.verbosity is not None:
        losses.append(Loss("verbosity", "verbosity"))
    tier = request.service_tier
    if tier is None or tier == "auto":
        return {}
    if tier in _TIERS_BACK:
        return {"serviceTier": _TIERS_BACK[tier]}
    losses.append(Loss("service_tier", "service_tier", detail=tier))
    return {}
