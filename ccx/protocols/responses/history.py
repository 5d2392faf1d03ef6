"""The input of a request, written for an upstream.

Law
- A message becomes items in the order of its parts: words of one message are one message item, each thought, call and
  result an item of its own. Nothing moves.
- A client that speaks the protocol wrote its items for an upstream that may hold the rest of the conversation, so they
  go as they are. What comes from other clients is made whole here, since a gap is refused by the API: each call has an
  id of its own and one result behind it, a result of no call is told as text, and a thought that nothing follows is
  left out.
- Encrypted thoughts are good for their issuer only; others go where the vendor wants thoughts back, as text.

Source: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input,
https://platform.openai.com/docs/guides/reasoning#keeping-reasoning-items-in-context
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, assert_never

import msgspec

from ccx.protocols.codec import NewId, Target
from ccx.protocols.ir import (
    Inline,
    Json,
    JsonObject,
    Loss,
    Media,
    Message,
    Native,
    Opaque,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from ccx.protocols.responses.content import of_item, of_part, write_media, write_text
from ccx.protocols.responses.items import TOOL_SEARCH
from ccx.protocols.responses.reading import Audience
from ccx.protocols.tool_names import GivenNames
from ccx.protocols.values import record, text

MAX_CALL_ID: Final = 64
ERROR_PREFIX: Final = "Error: "
_NO_RESULT: Final = "There is no result of this call."
_CALLS: Final = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
_RESULTS: Final = frozenset(_CALLS.values())

_dumps = msgspec.json.Encoder().encode
_loads = msgspec.json.Decoder().decode


@dataclass(slots=True)
class History:
    """The items as they are written. `native`: the client speaks this protocol."""

    target: Target
    names: GivenNames
    audience: Audience
    native: bool
    new_id: NewId
    losses: list[Loss]
    items: list[JsonObject] = field(default_factory=list)
    # What the message item that is being written holds, its fields beside the content, and the id of its item.
    _content: list[JsonObject] = field(default_factory=list)
    _fields: JsonObject = field(default_factory=dict)
    _ident: str = ""
    _unnamed: list[tuple[str, str]] = field(default_factory=list)

    def add(self, message: Message, path: str) -> None:
        """Write one message of the neutral form."""
        fields = self._own(message.native, path)
        role: str = text(fields.pop("role", None)) or self._role(message.role)
        wanted = self.target.dialect.reasoning_back
        thoughts = wanted == "always"
        if wanted == "tool_turns":
            thoughts = any(isinstance(part, ToolCall) and not part.server for part in message.parts)
        before = len(self.items)
        self._fields = fields
        for at, part in enumerate(message.parts):
            where = f"{path}.parts[{at}]"
            match part:
                case Text():
                    self._words(part, role, where)
                case Refusal(words):
                    self._say({"type": "refusal", "refusal": words}, self._own(part.native, where), role)
                case Media():
                    self._media(part, role, where)
                case Reasoning():
                    self._flush(role)
                    self._thought(part, message.role, where, wanted=thoughts)
                case ToolCall():
                    self._flush(role)
                    self._call(part, where)
                case ToolResult():
                    self._flush(role)
                    self._result(part, where)
                case Opaque(kind, native):
                    own = self.audience.own((native,))
                    if "content_part" in own:
                        self._say(record(own["content_part"]), {}, role)
                    elif self.audience.understands(native):
                        self._flush(role)
                        self.items.append(own)
                    else:
                        self.losses.append(Loss(where, f"unknown_part:{kind}"))
                case _:
                    assert_never(part)
        self._flush(role)
        if self.native and not message.parts and len(self.items) == before:
            self.items.append({"type": "message", "role": role, "content": [], **self._fields})

    def end(self) -> list[JsonObject]:
        """All items."""
        if not self.native:
            self._answer()
            self._unfollowed()
            last = self.items[-1] if self.items else {}
            if last.get("role") == "assistant":
                self.losses.append(Loss("messages", "prefill", approximate=True, detail="the answer begins anew"))
        return self.items

    # --- messages -----------------------------------------------------------------------------------------------------

    def _own(self, natives: tuple[Native, ...], path: str) -> JsonObject:
        """The residue that goes along; what does not is a loss."""
        if not natives:
            return {}
        self.losses.extend(self.audience.refused(natives, path))
        return self.audience.own(natives)

    def _role(self, role: Role) -> str:
        if role == "system" and self.target.dialect.developer_role:
            return "developer"
        return role

    def _words(self, part: Text, role: str, path: str) -> None:
        own = self._own(part.native, path)
        if role == "assistant":
            self._say(write_text(part, audience=self.audience, path=path, losses=self.losses), own, role)
            return
        if part.citations:
            self.losses.append(Loss(f"{path}.citations", "citations"))
        self._say({"type": "input_text", "text": part.text, **of_part(own)}, own, role)

    def _say(self, written: JsonObject, own: JsonObject, role: str) -> None:
        ident = text(own.get("id"))
        if self._content and ident != self._ident:
            self._flush(role)
        self._ident = ident
        if role == "assistant":
            if ident:
                self._fields["id"] = ident
            self._fields.update(of_item(own))
        self._content.append(written)

    def _media(self, part: Media, role: str, path: str) -> None:
        own = self.audience.own(part.native)
        if own.get("type") == "image_generation_call" and isinstance(part.source, Inline):
            self._flush(role)
            self.items.append({**own, "result": part.source.data})
            return
        kinds = self.target.dialect.media
        if self.target.vision is False:
            kinds = kinds - {"image"}
        if role == "assistant":
            # Only users show things.
            kinds = frozenset()
        written = write_media(
            part,
            audience=self.audience,
            kinds=kinds,
            path=path,
            losses=self.losses,
            remote=self.target.dialect.remote_media,
        )
        if role == "assistant":
            written = {"type": "output_text", "text": text(written.get("text")), "annotations": []}
        self._say(written, own, role)

    def _flush(self, role: str) -> None:
        """Write the message item that was begun. In its short form where that says all, as some servers take output
        of their own only with all its fields."""
        if not self._content:
            return
        content: Json = list(self._content)
        if len(self._content) == 1 and "id" not in self._fields and _is_plain(self._content[0]):
            content = self._content[0]["text"]
        item: JsonObject = {"type": "message", "role": role, "content": content}
        if "id" in self._fields and role == "assistant":
            item["status"] = "completed"
        self.items.append({**item, **self._fields})
        self._content, self._fields, self._ident = [], {}, ""

    # --- thoughts, calls and results ----------------------------------------------------------------------------------

    def _thought(self, part: Reasoning, role: Role, path: str, *, wanted: bool) -> None:
        own = self._own(part.native, path)
        if role != "assistant" or not ("encrypted_content" in own or (self.native and (own or part.text))):
            if role == "assistant" and wanted and part.text:
                said: JsonObject = {"type": "reasoning_text", "text": part.text}
                self.items.append(
                    {"type": "reasoning", "id": self.new_id("rs_"), "summary": [], "content": [said], **own}
                )
            elif part.text:
                self.losses.append(Loss(path, "reasoning", detail="not of this issuer"))
            return
        own.pop("phase", None)
        last = self.items[-1] if self.items else {}
        if last.get("type") == "reasoning" and last.get("id") and last.get("id") == own.get("id"):
            # The summary of a thought and the thought itself are one item.
            item = last
            item.update(own)
        else:
            item = {"type": "reasoning", "summary": [], **own}
            self.items.append(item)
        if part.text:
            kind = "summary" if part.summary else "content"
            item[kind] = [{"type": "summary_text" if part.summary else "reasoning_text", "text": part.text}]

    def _call(self, part: ToolCall, path: str) -> None:
        own = self.audience.own(part.native)
        if part.server:
            if "type" in own:
                self.items.append(own)
            else:
                self.losses.append(Loss(path, "server_tool", detail=part.name))
            return
        if part.native:
            self.losses.extend(self.audience.refused(part.native, path))
        own.pop("phase", None)
        ident = part.id
        if not ident:
            ident = self.new_id("call_")
            self._unnamed.append((part.name, ident))
        ident = _call_id(ident)
        if part.name == TOOL_SEARCH and own.get("type") == "tool_search_call" and self.names.namespaces:
            given = _json(part.arguments)
            self.items.append(
                {"status": "completed", **own, "call_id": ident, "execution": "client", "arguments": given}
            )
            return
        if own.get("type") == "tool_search_call":
            own = {}
        item: JsonObject = {"type": "function_call", "call_id": ident}
        item["name"] = self.names.of(part.name, part.namespace, part.kind)
        if part.namespace is not None and self.names.namespaces:
            item["namespace"] = part.namespace
        if part.kind == "custom" and self.names.namespaces:
            item["type"] = "custom_tool_call"
            item["input"] = part.arguments
        elif part.kind == "custom":
            item["arguments"] = _dumps({"input": part.arguments}).decode("utf-8", "surrogatepass")
        else:
            item["arguments"] = part.arguments or "{}"
        self.items.append({**item, **own})

    def _result(self, part: ToolResult, path: str) -> None:
        own = self.audience.own(part.native)
        if part.server:
            if "type" in own:
                self.items.append(own)
            else:
                self.losses.append(Loss(path, "server_tool", detail="its result"))
            return
        if part.native:
            self.losses.extend(self.audience.refused(part.native, path))
        found = own.pop("tool_search_output", None)
        if isinstance(found, dict):
            if self.names.namespaces:
                self.items.append(found)
                return
            own = {}
        shown: list[JsonObject] = []
        for at, piece in enumerate(part.content):
            shown += self._shown(piece, f"{path}.content[{at}]")
        if part.is_error:
            self.losses.append(Loss(path, "is_error", approximate=True, detail="told in the text"))
            if shown and "text" in shown[0]:
                shown[0] = {**shown[0], "text": ERROR_PREFIX + text(shown[0]["text"])}
            else:
                shown.insert(0, {"type": "input_text", "text": ERROR_PREFIX.rstrip()})
        output: Json = list(shown)
        if all(map(_is_plain, shown)) and (len(shown) <= 1 or not self.target.dialect.content_parts):
            output = "\n".join(text(one["text"]) for one in shown)
        item: JsonObject = {"type": "function_call_output", "call_id": self._asked(part), "output": output}
        if part.kind == "custom" and self.names.namespaces:
            item["type"] = "custom_tool_call_output"
        self.items.append({**item, **own})

    def _shown(self, piece: Text | Media | Opaque, path: str) -> list[JsonObject]:
        match piece:
            case Text():
                own = self._own(piece.native, path)
                if piece.citations:
                    self.losses.append(Loss(f"{path}.citations", "citations"))
                return [{"type": "input_text", "text": piece.text, **of_part(own)}]
            case Media():
                kinds = self.target.dialect.media
                if self.target.vision is False:
                    kinds = kinds - {"image"}
                remote = self.target.dialect.remote_media
                return [
                    write_media(
                        piece, audience=self.audience, kinds=kinds, path=path, losses=self.losses, remote=remote
                    )
                ]
            case Opaque(kind, native):
                own = self.audience.own((native,))
                if "content_part" in own:
                    return [record(own["content_part"])]
                self.losses.append(Loss(path, f"unknown_part:{kind}"))
                return []
            case _:
                assert_never(piece)

    def _asked(self, part: ToolResult) -> str:
        """The id of the call that this is the result of."""
        if part.call_id or not self._unnamed:
            return _call_id(part.call_id)
        at = next((at for at, (name, _) in enumerate(self._unnamed) if name == part.name), 0)
        return _call_id(self._unnamed.pop(at)[1])

    # --- wholeness ----------------------------------------------------------------------------------------------------

    def _answer(self) -> None:
        """See that each call has an id of its own and one result behind it, and that there are no other results."""
        used: set[str] = set()
        open_: dict[str, list[JsonObject]] = {}
        for item in self.items:
            kind, ident = text(item.get("type")), text(item.get("call_id"))
            if kind in _CALLS:
                unique, number = ident, 2
                while unique in used:
                    unique, number = f"{ident[: MAX_CALL_ID - 4]}_{number}", number + 1
                if unique != ident:
                    self.losses.append(Loss("messages", "tool_call_id", approximate=True, detail="used twice"))
                    item["call_id"] = unique
                used.add(unique)
                open_.setdefault(ident, []).append(item)
            elif kind in _RESULTS and ident in open_:
                call = open_[ident].pop(0)
                if not open_[ident]:
                    del open_[ident]
                item["call_id"] = call["call_id"]
                item["type"] = _CALLS[text(call["type"])]
            elif kind in _RESULTS:
                self.losses.append(Loss("messages", "tool_result", approximate=True, detail="of no call, told as text"))
                told = _told(item)
                item.clear()
                item.update(told)
        unanswered = {id(call) for calls in open_.values() for call in calls}
        if not unanswered:
            return
        found: list[JsonObject] = []
        for item in self.items:
            found.append(item)
            if id(item) in unanswered:
                self.losses.append(
                    Loss("messages", "tool_result", approximate=True, detail="made up for a call without one")
                )
                found.append({"type": _CALLS[text(item["type"])], "call_id": item["call_id"], "output": _NO_RESULT})
        self.items = found

    def _unfollowed(self) -> None:
        """Leave out thoughts that nothing of the same turn follows: the API refuses them."""
        found: list[JsonObject] = []
        followed = False
        for item in reversed(self.items):
            if item.get("type") == "reasoning":
                if not followed:
                    self.losses.append(Loss("messages", "reasoning", detail="nothing follows it"))
                    continue
            else:
                followed = item.get("role") == "assistant" or text(item.get("type")).endswith("_call")
            found.append(item)
        self.items = found[::-1]


def _is_plain(written: JsonObject) -> bool:
    """Whether a part of content is words and nothing else."""
    kind = written.get("type")
    if not isinstance(written.get("text"), str):
        return False
    if kind == "output_text":
        return not written.get("annotations") and len(written) == 3
    return kind == "input_text" and len(written) == 2


def _call_id(ident: str) -> str:
    """The id of a call in the length that is taken; the same for a call and its result."""
    if len(ident) <= MAX_CALL_ID:
        return ident
    return f"call_{hashlib.sha256(ident.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"


def _told(item: JsonObject) -> JsonObject:
    head = f"Result of the tool call {text(item.get('call_id'))}:"
    output = item.get("output")
    if isinstance(output, str):
        return {"type": "message", "role": "user", "content": f"{head}\n{output}"}
    shown = output if isinstance(output, list) else []
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": head}, *shown]}


def _json(arguments: str) -> Json:
    try:
        found: Json = _loads(arguments)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return arguments
    return found
