"""Neutral parts, as parts for an upstream.

Law: each part becomes what means it, in the turn where Gemini has it (a result is the user's, whoever's message held
it), or a declared loss. Only residue that this upstream's issuer made, or that a client wrote for any upstream of the
protocol, is sent.

Source: https://ai.google.dev/api/caching#Part, https://ai.google.dev/gemini-api/docs/function-calling
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, assert_never

import msgspec

from ccx.protocols.codec import Target
from ccx.protocols.custom_tools import call_object
from ccx.protocols.gemini.media import encode_media, fits_result, left_out
from ccx.protocols.gemini.models import Traits
from ccx.protocols.gemini.naming import sent_id
from ccx.protocols.gemini.natives import SIGNATURE, accepted, refused, understood
from ccx.protocols.gemini.parts import SERVER_CALLS, SERVER_RESULTS, compact
from ccx.protocols.ir import (
    JsonObject,
    Loss,
    Media,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from ccx.protocols.tool_names import ToolNames

Role = Literal["system", "user", "model"]

_loads = msgspec.json.Decoder().decode


@dataclass(slots=True)
class Placed:
    """A part and the role it belongs to. `call` and `result` are ids; `beside`: what goes right after all results."""

    role: Role
    part: JsonObject
    call: str | None = None
    result: str | None = None
    beside: list[JsonObject] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the parts of one request; `losses` grows on the way. `called`: the client's names of calls, by id."""

    target: Target
    traits: Traits
    names: ToolNames
    called: Mapping[str, tuple[str | None, str]]
    losses: list[Loss]

    def message(self, message: Message, path: str) -> Iterator[Placed]:
        """The parts of a message, each with the role of the turn that it belongs to."""
        role: Role = "model" if message.role == "assistant" else message.role
        self.losses.extend(refused(message.native, self.target.issuer, f"{path}.native"))
        back = self.target.dialect.reasoning_back
        calls = any(isinstance(part, ToolCall) for part in message.parts)
        unsigned = back == "always" or (back == "tool_turns" and calls)
        for at, part in enumerate(message.parts):
            yield from self._part(part, role, f"{path}.parts[{at}]", unsigned=unsigned)

    def _part(self, part: Part, role: Role, path: str, *, unsigned: bool) -> Iterator[Placed]:
        match part:
            case Text():
                if (found := self._text(part, path)) is not None:
                    yield Placed(role, found)
            case Reasoning():
                if role == "model":
                    yield from self._reasoning(part, path, unsigned=unsigned)
                elif part.text:
                    self.losses.append(Loss(path, "reasoning", detail=f"of the {role}"))
            case ToolCall():
                yield from self._call(part, path)
            case ToolResult():
                yield from self._result(part, path)
            case Media():
                yield Placed(role, self._media(part, path))
            case Refusal(text):
                self._refuse(part, path)
                if text:
                    self.losses.append(Loss(path, "refusal", approximate=True, detail="told as text"))
                    yield Placed(role, {"text": text})
            case Opaque(kind, native):
                if understood(native, self.target.issuer):
                    yield Placed(role, native.data)
                else:
                    self.losses.append(Loss(path, f"unknown_part:{kind}"))
            case _:
                assert_never(part)

    def _text(self, part: Text, path: str) -> JsonObject | None:
        if part.citations:
            self.losses.append(Loss(f"{path}.citations", "citations"))
        if not part.native:
            return {"text": part.text} if part.text else None
        fields = accepted(part.native, self.target.issuer)
        self._refuse(part, path)
        # An empty text is refused by the API, but for one that carries a signature.
        return {"text": part.text, **fields} if part.text or SIGNATURE in fields else None

    def _reasoning(self, part: Reasoning, path: str, *, unsigned: bool) -> Iterator[Placed]:
        self._refuse(part, path)
        known = any(understood(native, self.target.issuer) for native in part.native)
        fields = accepted(part.native, self.target.issuer)
        if known and (part.text or fields):
            yield Placed("model", {"text": part.text, "thought": True, **fields})
        elif part.text and unsigned:
            yield Placed("model", {"text": part.text, "thought": True})
        elif part.text:
            self.losses.append(Loss(path, "reasoning", detail="of another issuer"))

    def _call(self, part: ToolCall, path: str) -> Iterator[Placed]:
        fields = accepted(part.native, self.target.issuer)
        if part.server:
            if any(key in fields for key in SERVER_CALLS):
                yield Placed("model", fields)
            else:
                self.losses.append(Loss(path, "server_tool", detail=part.name))
            return
        self._refuse(part, path)
        extra = fields.pop("functionCall", None)
        args, exact = call_object(part)
        if not exact:
            self.losses.append(Loss(f"{path}.arguments", "arguments", approximate=True, detail="not a JSON object"))
        call: JsonObject = {"name": self.names.upstream(part.namespace, part.name), "args": args}
        if (id_ := sent_id(part.id)) is not None:
            call["id"] = id_
        if isinstance(extra, dict):
            call.update(extra)
        yield Placed("model", {"functionCall": call, **fields}, call=part.id)

    def _result(self, part: ToolResult, path: str) -> Iterator[Placed]:
        fields = accepted(part.native, self.target.issuer)
        if part.server:
            if any(key in fields for key in SERVER_RESULTS):
                yield Placed("model", fields)
            else:
                self.losses.append(Loss(path, "server_tool", detail="its result"))
            return
        self._refuse(part, path)
        said: list[str] = []
        inside: list[JsonObject] = []
        beside: list[JsonObject] = []
        for at, item in enumerate(part.content):
            here = f"{path}.content[{at}]"
            match item:
                case Text():
                    if (found := self._text(item, here)) is not None or not item.native:
                        said.append(item.text if found is None else str(found["text"]))
                case Media():
                    self._shown(item, inside, beside, here)
                case Opaque(kind, native):
                    if understood(native, self.target.issuer):
                        inside.append(native.data)
                    else:
                        self.losses.append(Loss(here, f"unknown_part:{kind}"))
                case _:
                    assert_never(item)
        extra = fields.pop("functionResponse", None)
        result: JsonObject = {
            "name": self._name(part),
            "response": function_response("\n".join(said), part.is_error, bool(said)),
        }
        if (id_ := sent_id(part.call_id)) is not None:
            result["id"] = id_
        if inside:
            result["parts"] = list(inside)
        if isinstance(extra, dict):
            result.update(extra)
        yield Placed("user", {"functionResponse": result, **fields}, result=part.call_id, beside=beside)

    def _shown(self, item: Media, inside: list[JsonObject], beside: list[JsonObject], path: str) -> None:
        if fits_result(item, self.traits):
            # A result's media may have names, which its text can refer to.
            losses: list[Loss] = []
            fields = accepted(item.native, self.target.issuer)
            found = encode_media(item, fields, path, losses, traits=self.traits)
            self.losses.extend(loss for loss in losses if loss.what != "name")
            self._refuse(item, path)
            blob = found.get("inlineData", found.get("fileData"))
            if item.name is not None and isinstance(blob, dict):
                blob["displayName"] = item.name
            inside.append(found)
            return
        self.losses.append(Loss(path, "media_in_tool_result", approximate=True, detail="told right after the result"))
        beside.append(self._media(item, path))

    def _name(self, part: ToolResult) -> str:
        """A result must name its function: the call's name, whatever the result itself says."""
        key = self.called.get(part.call_id)
        if key is not None:
            return self.names.upstream(*key)
        return self.names.legal(part.name or "tool")

    def _media(self, part: Media, path: str) -> JsonObject:
        self._refuse(part, path)
        if part.kind == "image" and self.target.vision is False:
            self.losses.append(Loss(path, "image", detail="the model does not see"))
            return left_out(part.kind)
        return encode_media(part, accepted(part.native, self.target.issuer), path, self.losses, traits=self.traits)

    def _refuse(self, part: Text | Reasoning | ToolCall | ToolResult | Media | Refusal, path: str) -> None:
        if part.native:
            self.losses.extend(refused(part.native, self.target.issuer, f"{path}.native"))


def function_response(said: str, is_error: bool, any_said: bool) -> JsonObject:
    """The response of a function, which is an object; the inverse of `parts.output`."""
    if is_error:
        return {"error": _object(said) or said}
    if not any_said:
        return {}
    found = _object(said)
    if found is None or (len(found) == 1 and isinstance(found.get("output", found.get("error")), str)):
        return {"output": said}
    return {"output": said} if set(found) == {"error"} and isinstance(found["error"], dict) else found


def _object(text: str) -> JsonObject | None:
    """A JSON object, if the text is exactly the compact form of one, so that nothing of the text is lost."""
    if text[:1] != "{" or text[-1:] != "}" or text == "{}":
        return None
    try:
        found = _loads(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and compact(found) == text else None
