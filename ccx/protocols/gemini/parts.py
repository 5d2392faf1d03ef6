"""Parts of Gemini's contents, as neutral parts.

Law: no field and no part is lost; what has no neutral meaning is residue of its part, or an `Opaque` part whole. The
same reading serves a client's history and an upstream's answer, which differ in who issued the residue, in names that
are mapped back, and in sealed residue, which only a client returns.

A result of a function is an object: `output` and `error` are what it gave, and any other object is the output itself.
Text in the neutral form is that output, or the object as compact JSON; `blocks` undoes exactly this.

Sources: https://ai.google.dev/api/caching#Part, https://ai.google.dev/api/caching#FunctionResponse
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from ccx.protocols.codec import Context, ToolName
from ccx.protocols.gemini.media import decode_blob, decode_file
from ccx.protocols.gemini.naming import Calls
from ccx.protocols.gemini.natives import DUMMIES, SIGNATURE, Sealed, is_sealed, made, unsealed
from ccx.protocols.gemini.spelling import Malformed
from ccx.protocols.ir import Json, JsonObject, Media, Native, Opaque, Part, Reasoning, Text, ToolCall, ToolResult
from ccx.protocols.names import Protocol

SERVER_CALLS: Final = ("executableCode", "toolCall")
SERVER_RESULTS: Final = ("codeExecutionResult", "toolResponse")
_DATA: Final = ("text", "functionCall", "functionResponse", "inlineData", "fileData", *SERVER_CALLS, *SERVER_RESULTS)
_BESIDE: Final = frozenset({"thought", SIGNATURE, "videoMetadata", "mediaResolution", "partMetadata"})
_TOOLS: Final = {
    "GOOGLE_SEARCH_WEB": "web_search",
    "GOOGLE_SEARCH_IMAGE": "image_search",
    "URL_CONTEXT": "url_context",
    "GOOGLE_MAPS": "google_maps",
    "FILE_SEARCH": "file_search",
}

_dumps = msgspec.json.Encoder().encode


def compact(value: Json) -> str:
    """JSON text as short as it gets."""
    return _dumps(value).decode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Reader:
    """How parts are read. `issuer` marks residue, `calls` gives ids; `tools` comes from the request that went out;
    `sealed`: signatures are looked into, because a client returns what ccx gave it."""

    calls: Calls
    issuer: str | None = None
    tools: Mapping[str, ToolName] = field(default_factory=dict)
    sealed: bool = False

    @classmethod
    def of_answer(cls, context: Context) -> Reader:
        """A reader of the answer to the request that `context` tells of."""
        return cls(Calls(), context.issuer, context.tools)

    def parts(self, raw: list[Json], path: str) -> tuple[Part, ...]:
        """The parts of a content that a client sent. Raises Malformed."""
        found: list[Part] = []
        for at, one in enumerate(raw):
            here = f"{path}[{at}]"
            if not isinstance(one, dict):
                raise Malformed(here, "Invalid value: an object was expected")
            token = one.get(SIGNATURE)
            sealed: Sealed | None = None
            if isinstance(token, str) and (token in DUMMIES or (self.sealed and is_sealed(token))):
                one = {key: value for key, value in one.items() if key != SIGNATURE}
                sealed = None if token in DUMMIES else unsealed(token)
            if sealed is not None and sealed.whole is not None:
                found.append(sealed.whole)
                continue
            part = self.part(one, here)
            if sealed is None:
                found.append(part)
                continue
            # Thoughts that the client kept are in their place already.
            # They are told from those, not from one another: two may carry the same seal.
            found.extend([thought for thought in sealed.before if not _kept(thought, found)])
            found.append(_with(part, sealed.natives))
        return tuple(found)

    def part(self, raw: JsonObject, path: str) -> Part:
        """One part, whatever its signature. Raises Malformed."""
        key = next((key for key in _DATA if raw.get(key) is not None), None)
        if key is None:
            return self._other(raw)
        rest: JsonObject = {name: value for name, value in raw.items() if name != key} if len(raw) > 1 else {}
        match key:
            case "text":
                return self._text(raw, rest, path)
            case "functionCall":
                return self._call(raw[key], rest, path)
            case "functionResponse":
                return self._result(raw[key], rest, path)
            case "inlineData":
                return decode_blob(raw[key], rest, path, self.issuer)
            case "fileData":
                return decode_file(raw[key], rest, path, self.issuer)
            case _:
                return self._server(key, raw, path)

    def residue(self, rest: JsonObject, *, thought: bool) -> tuple[Native, ...]:
        """The residue of a text or a thought. That of a thought is never missing, so that a thought of Gemini's own is
        known from another's: it goes back as it came, with a signature or without."""
        data: JsonObject = {key: value for key, value in rest.items() if key != "thought"}
        return made({"thought": True, **data} if thought else data, self.issuer)

    def _text(self, raw: JsonObject, rest: JsonObject, path: str) -> Part:
        text = raw["text"]
        if not isinstance(text, str):
            raise Malformed(f"{path}.text", "Invalid value: a string was expected")
        if rest.get("thought") is True:
            return Reasoning(text, summary=True, native=self.residue(rest, thought=True))
        return Text(text, native=self.residue(rest, thought=False)) if rest else Text(text)

    def _other(self, raw: JsonObject) -> Part:
        if raw.get("thought") is True:
            return Reasoning("", summary=True, native=self.residue(raw, thought=True))
        unknown = [key for key in raw if key not in _BESIDE]
        if not unknown:
            return Text("", native=self.residue(raw, thought=False))
        return Opaque(unknown[0], Native(Protocol.GEMINI, self.issuer, raw))

    def _call(self, call: Json, rest: JsonObject, path: str) -> Part:
        if not isinstance(call, dict) or not isinstance(name := call.get("name"), str) or not name:
            raise Malformed(f"{path}.functionCall.name", "A name is required")
        args, id_ = call.get("args"), call.get("id")
        if args is not None and not isinstance(args, dict):
            raise Malformed(f"{path}.functionCall.args", "Invalid value: an object was expected")
        extra: JsonObject = {key: value for key, value in call.items() if key not in ("name", "args", "id")}
        return self.called(
            name, id_ if isinstance(id_, str) else None, args or {}, {**rest, "functionCall": extra} if extra else rest
        )

    def called(self, name: str, id_: str | None, args: JsonObject, data: JsonObject) -> ToolCall:
        """A call of a client's tool, under the client's name for it."""
        found = self.calls.call(id_, name)
        native = made(data, self.issuer)
        back = self.tools.get(name)
        if back is None:
            return ToolCall(found, name, compact(args), native=native)
        if back.kind == "custom":
            return ToolCall(found, back.name, custom_input(args), "custom", back.namespace, native=native)
        return ToolCall(found, back.name, compact(args), namespace=back.namespace, native=native)

    def _result(self, raw: Json, rest: JsonObject, path: str) -> Part:
        if not isinstance(raw, dict) or not isinstance(name := raw.get("name"), str):
            raise Malformed(f"{path}.functionResponse.name", "A name is required")
        response, id_ = raw.get("response"), raw.get("id")
        if response is not None and not isinstance(response, dict):
            raise Malformed(f"{path}.functionResponse.response", "Invalid value: an object was expected")
        said, is_error = output(response)
        content: list[Text | Media | Opaque] = [] if said is None else [Text(said)]
        shown = raw.get("parts")
        for at, one in enumerate(shown if isinstance(shown, list) else ()):
            content.append(self._shown(one, f"{path}.functionResponse.parts[{at}]"))
        known = ("name", "response", "id", "parts") if isinstance(shown, list) else ("name", "response", "id")
        extra: JsonObject = {key: value for key, value in raw.items() if key not in known}
        return ToolResult(
            self.calls.answered(id_ if isinstance(id_, str) else None, name),
            tuple(content),
            name=name,
            is_error=is_error,
            native=made({**rest, "functionResponse": extra} if extra else rest, self.issuer),
        )

    def _shown(self, raw: Json, path: str) -> Media | Opaque:
        if not isinstance(raw, dict):
            raise Malformed(path, "Invalid value: an object was expected")
        for key, decode in (("inlineData", decode_blob), ("fileData", decode_file)):
            if raw.get(key) is not None:
                rest: JsonObject = {name: value for name, value in raw.items() if name != key}
                return decode(raw[key], rest, path, self.issuer)
        return Opaque(next(iter(raw), "part"), Native(Protocol.GEMINI, self.issuer, raw))

    def _server(self, key: str, raw: JsonObject, path: str) -> Part:
        """What the provider's own tools did: kept whole, since it means something to the provider only."""
        data = raw[key]
        if not isinstance(data, dict):
            raise Malformed(f"{path}.{key}", "Invalid value: an object was expected")
        native = made(raw, self.issuer)
        kind, id_ = data.get("toolType"), data.get("id")
        named = "code_execution" if "ode" in key else _TOOLS.get(str(kind), str(kind or "tool").lower())
        id_ = id_ if isinstance(id_, str) and id_ else None
        if key in SERVER_RESULTS:
            failed = str(data.get("outcome", "")) in ("OUTCOME_FAILED", "OUTCOME_DEADLINE_EXCEEDED", "2", "3")
            return ToolResult(
                self.calls.answered(id_, named), (), name=named, is_error=failed, server=True, native=native
            )
        args = {"code": data.get("code")} if key == "executableCode" else data.get("args")
        return ToolCall(self.calls.call(id_, named), named, compact(args or {}), server=True, native=native)


def output(response: JsonObject | None) -> tuple[str | None, bool]:
    """What a function's response says: its text, None where there is nothing, and whether that is an error."""
    if not response:
        return None, False
    if len(response) == 1:
        match response:
            case {"output": str(said)}:
                return said, False
            case {"error": str(said)}:
                return said, True
            case {"error": dict(said)}:
                return compact(said), True
    return compact(response), False


def custom_input(args: JsonObject) -> str:
    """The free text of a custom tool out of the function that stands in for it."""
    text = args.get("input")
    return text if isinstance(text, str) else compact(args)


def _kept(thought: Reasoning, found: list[Part]) -> bool:
    for one in found:
        if isinstance(one, Reasoning) and (
            one.native == thought.native if thought.native else one.text == thought.text
        ):
            return True
    return False


def _with(part: Part, natives: tuple[Native, ...]) -> Part:
    if isinstance(part, Opaque):
        return part
    # A thought that ccx gave out for another provider is not one of Gemini's.
    before = () if isinstance(part, Reasoning) and part.native[0].data == {"thought": True} else part.native
    return replace(part, native=(*before, *natives))
