"""The messages of a request, written for an upstream.

Law of the protocol (https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages): a message of an
assistant holds its thoughts, its words and its calls, each in a field, and the results of its calls follow at once, one
message each, in text. So what stood between calls and results moves behind these, what a tool gave besides text moves
into a user's message behind them, and an order of words and calls that the fields cannot hold is a declared loss.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

from ccx.protocols.cache_control import written as breakpoint_field
from ccx.protocols.chat.parts import flattened, write_media, write_text
from ccx.protocols.chat.reading import Reader, joined, lost, merged
from ccx.protocols.chat.tools import call_id, write_call
from ccx.protocols.codec import NewId, Target
from ccx.protocols.ir import (
    Json,
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
from ccx.protocols.tool_names import GivenNames
from ccx.protocols.values import record, records, text

ERROR_PREFIX = "Error: "
# Fields of residue that hold thoughts; where they go is the dialect's to say.
_THOUGHTS = ("reasoning_details", "reasoning_content", "thinking")
_ACKNOWLEDGED = "Understood."


@dataclass(slots=True)
class History:
    """The messages as they are written."""

    target: Target
    names: GivenNames
    new_id: NewId
    losses: list[Loss]
    written: list[JsonObject] = field(default_factory=list)
    _reader: Reader = field(init=False)
    _path: str = ""
    # Ids of calls whose results are still to come, what waits for them, and ids given to calls that had none.
    _open: set[str] = field(default_factory=set)
    _waiting: list[JsonObject] = field(default_factory=list)
    _minted: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = Reader(self.target.issuer)

    def add(self, message: Message, path: str) -> None:
        """Write one message of the neutral form, which may become several, or wait."""
        self._path = path
        match message.role:
            case "system":
                self._system(message, path)
            case "user":
                self._user(message, path)
            case "assistant":
                self._assistant(message, path)
            case _:
                assert_never(message.role)

    def end(self) -> list[Json]:
        """All messages."""
        self._flush()
        return list[Json](self.written)

    # --- roles --------------------------------------------------------------------------------------------------------

    def _system(self, message: Message, path: str) -> None:
        dialect = self.target.dialect
        extra = self._extra(message, path)
        parts = self._content(message.parts, path)
        content = flattened(parts, dialect)
        wanted = any(native.data.get("role") == "developer" for native in message.native)
        role = "developer" if wanted and dialect.developer_role else dialect.system_role
        if dialect.system_anywhere:
            self._append({"role": role, "content": content}, extra)
            return
        last = self.written[-1] if self.written else None
        if last is None:
            self._append({"role": role, "content": content}, extra)
        elif len(self.written) == 1 and last.get("role") == role:
            # The start may hold several; to these vendors they are one.
            last["content"] = _together(last["content"], content)
        else:
            self.losses.append(Loss(path, "system_position", approximate=True, detail="said by the user"))
            words = joined(text(part.get("text")) for part in parts)
            self._append({"role": "user", "content": f"<system>\n{words}\n</system>"}, {})

    def _user(self, message: Message, path: str) -> None:
        extra = self._extra(message, path)
        said: list[Part] = []
        attached: list[JsonObject] = []
        results = 0
        for index, part in enumerate(message.parts):
            where = f"{path}.parts[{index}]"
            if not isinstance(part, ToolResult):
                said.append(part)
                continue
            if said and not results:
                self.losses.append(Loss(where, "part_order", approximate=True, detail="results come first"))
            results += 1
            attached += self._result(part, where)
        parts = attached + self._content(tuple(said), path)
        if parts or not results:
            self._append({"role": "user", "content": flattened(parts, self.target.dialect)}, extra)

    def _result(self, result: ToolResult, path: str) -> list[JsonObject]:
        """Write what a tool gave, and return what a message of a tool cannot hold."""
        if result.server:
            self.losses.append(Loss(path, "server_tool"))
            return []
        dialect = self.target.dialect
        extra = self._reader.own(result.native)
        self._unnamed(extra, path)
        self.losses += self._reader.foreign(result.native, path)
        words: list[JsonObject] = []
        moved: list[JsonObject] = []
        for index, part in enumerate(result.content):
            where = f"{path}.content[{index}]"
            match part:
                case Text():
                    words.append(write_text(part, path=where, dialect=dialect, reader=self._reader, losses=self.losses))
                case Media():
                    self.losses.append(Loss(where, "media_in_tool_result", approximate=True))
                    moved.append(self._media(part, where))
                case Opaque():
                    words += self._opaque(part, where)
                case _:
                    assert_never(part)
        ident = call_id(result.call_id or self._given(result.name), dialect)
        if moved:
            words.append({"type": "text", "text": "[what else it gave follows in the next message]"})
            moved.insert(0, {"type": "text", "text": f"[given by the tool call {ident}]"})
        if words and words[-1].get("type") == "text" and "text" in dialect.cache_control:
            words[-1].update(breakpoint_field(result.cache, ttl="ttl" in dialect.cache_control))
        if result.is_error:
            self.losses.append(Loss(path, "is_error", approximate=True, detail="told in the text"))
            _mark_error(words)
        message = merged(
            {"role": "tool", "tool_call_id": ident, "content": flattened(words, dialect, by="\n") or ""}, extra
        )
        if self._waiting and ident not in self._open:
            self._flush()
        self.written.append(message)
        self._open.discard(ident)
        if not self._open:
            self._flush()
        return moved

    def _assistant(self, message: Message, path: str) -> None:
        self._flush()
        dialect = self.target.dialect
        extra = self._extra(message, path)
        said: list[JsonObject] = []
        calls: list[Json] = []
        thoughts: list[tuple[str, Reasoning]] = []
        behind: set[type] = set()
        for index, part in enumerate(message.parts):
            where = f"{path}.parts[{index}]"
            match part:
                case Reasoning():
                    thoughts.append((where, part))
                    if behind:
                        self.losses.append(Loss(where, "part_order", approximate=True))
                case ToolCall():
                    if called := self._call(part, where):
                        calls += called
                        behind.add(ToolCall)
                case Text() | Refusal() | Media() | Opaque() | ToolResult():
                    written = self._said(part, where)
                    if written and ToolCall in behind:
                        self.losses.append(Loss(where, "part_order", approximate=True))
                    said += written
                    behind.add(Text)
                case _:
                    assert_never(part)
        fields, before = self._thoughts(message, thoughts, calls=bool(calls))
        content = flattened(before + said, dialect)
        written_message: JsonObject = {"role": "assistant", "content": content}
        if calls:
            # Null where there is nothing but calls is what every vendor takes.
            written_message["content"] = content or None
            written_message["tool_calls"] = calls
        merged(written_message, fields)
        self._append(written_message, extra)
        self._open = {text(record(call).get("id")) for call in calls}

    # --- parts --------------------------------------------------------------------------------------------------------

    def _content(self, parts: tuple[Part, ...], path: str) -> list[JsonObject]:
        found: list[JsonObject] = []
        for index, part in enumerate(parts):
            found += self._said(part, f"{path}.parts[{index}]")
        return found

    def _said(self, part: Part, path: str) -> list[JsonObject]:
        dialect = self.target.dialect
        match part:
            case Text():
                return [write_text(part, path=path, dialect=dialect, reader=self._reader, losses=self.losses)]
            case Media():
                return [self._media(part, path)]
            case Refusal(words):
                if dialect.content_parts:
                    return [merged({"type": "refusal", "refusal": words}, self._reader.own(part.native))]
                self.losses.append(Loss(path, "refusal", approximate=True, detail="sent as text"))
                return [{"type": "text", "text": words}]
            case Opaque():
                return self._opaque(part, path)
            case ToolResult():
                # A server tool's result stands in the assistant's message.
                self.losses.append(Loss(path, "server_tool"))
                return []
            case ToolCall():
                self.losses.append(Loss(path, "tool_call"))
                return []
            case Reasoning():
                self.losses.append(Loss(path, "reasoning"))
                return []
            case _:
                assert_never(part)

    def _media(self, part: Media, path: str) -> JsonObject:
        return write_media(
            part,
            path=path,
            dialect=self.target.dialect,
            reader=self._reader,
            vision=self.target.vision,
            losses=self.losses,
        )

    def _opaque(self, part: Opaque, path: str) -> list[JsonObject]:
        if self._reader.understands(part.native) and part.native.data:
            return [part.native.data]
        self.losses.append(Loss(path, f"unknown_part:{part.kind}"))
        return []

    def _call(self, call: ToolCall, path: str) -> list[JsonObject]:
        if call.server:
            self.losses.append(Loss(path, "server_tool"))
            return []
        self.losses += self._reader.foreign(call.native, path)
        extra = {key: value for key, value in self._reader.own(call.native).items() if key not in _THOUGHTS}
        dialect = self.target.dialect
        written = write_call(call, names=self.names, dialect=dialect, extra=extra)
        if not call.id:
            minted = self.new_id("call_")
            written["id"] = call_id(minted, dialect)
            self._minted.append((call.name, minted))
        return [written]

    def _thoughts(
        self, message: Message, thoughts: list[tuple[str, Reasoning]], *, calls: bool
    ) -> tuple[JsonObject, list[JsonObject]]:
        """The fields and the parts of content that hold the thoughts of an earlier turn."""
        dialect = self.target.dialect
        for where, thought in thoughts:
            self.losses += self._reader.foreign(thought.native, where)
        wanted = dialect.reasoning_back == "always" or (dialect.reasoning_back == "tool_turns" and calls)
        if not wanted:
            self.losses += [
                Loss(where, "reasoning") for where, thought in thoughts if thought.text or self._kept(thought)
            ]
            return {}, []
        if dialect.reasoning_back_as != "reasoning_details":
            self.losses += [
                lost(where, "reasoning_details")
                for where, thought in thoughts
                if "reasoning_details" in self._kept(thought)
            ]
        # Other parts may carry the residue of thoughts, where the client's protocol has no better place for it.
        carried = [self._reader.own(part.native) for part in message.parts if isinstance(part, ToolCall | Text)]
        kept = [self._kept(thought) for _, thought in thoughts]
        match dialect.reasoning_back_as:
            case "reasoning_details":
                details = [item for one in (*kept, *carried) for item in records(one.get("reasoning_details"))]
                if details:
                    self._unsaid(thoughts, kept, "reasoning_details")
                    return {"reasoning_details": list[Json](details)}, []
                words = "".join(thought.text for _, thought in thoughts)
                return ({"reasoning": words} if words else {}), []
            case "thinking":
                return {}, [
                    record(own.get("thinking")) or {"type": "thinking", "thinking": [{"type": "text", "text": words}]}
                    for (_, thought), own in zip(thoughts, kept, strict=True)
                    if (words := text(own.get("reasoning_content")) or thought.text) or own.get("thinking")
                ]
            case "reasoning_content" | "reasoning" as name:
                words = "".join(
                    text(own.get("reasoning_content")) or thought.text
                    for (_, thought), own in zip(thoughts, kept, strict=True)
                )
                words = words or next((found for one in carried if (found := text(one.get("reasoning_content")))), "")
                if not words and calls and dialect.reasoning_missing is not None:
                    return {name: dialect.reasoning_missing}, []
                return ({name: words} if words else {}), []
            case _:
                assert_never(dialect.reasoning_back_as)

    def _kept(self, thought: Reasoning) -> JsonObject:
        return self._reader.own(thought.native)

    def _unsaid(self, thoughts: list[tuple[str, Reasoning]], kept: list[JsonObject], name: str) -> None:
        for (where, thought), own in zip(thoughts, kept, strict=True):
            if thought.text and name not in own:
                self.losses.append(Loss(where, "reasoning"))

    def _extra(self, message: Message, path: str) -> JsonObject:
        if not message.native:
            return {}
        self.losses += self._reader.foreign(message.native, path)
        extra = self._reader.own(message.native)
        extra.pop("role", None)
        self._unnamed(extra, path)
        return extra

    def _unnamed(self, extra: JsonObject, path: str) -> None:
        if "name" in extra and not self.target.dialect.message_names:
            del extra["name"]
            self.losses.append(lost(path, "name"))

    # --- order --------------------------------------------------------------------------------------------------------

    def _append(self, message: JsonObject, extra: JsonObject) -> None:
        merged(message, extra)
        if self._open:
            self._waiting.append(message)
        else:
            self._place(message)

    def _place(self, message: JsonObject) -> None:
        after_tool = bool(self.written) and self.written[-1].get("role") == "tool"
        if after_tool and message.get("role") == "user" and not self.target.dialect.user_after_tool:
            detail = "the assistant acknowledges before the user speaks"
            self.losses.append(Loss(self._path, "role", approximate=True, detail=detail))
            self.written.append({"role": "assistant", "content": _ACKNOWLEDGED})
        self.written.append(message)

    def _flush(self) -> None:
        self._open = set()
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            self._place(message)

    def _given(self, name: str | None) -> str:
        """The id given to the first call that had none, if possible of this tool, whose result has not come."""
        if not self._minted:
            return ""
        at = next((at for at, (called, _) in enumerate(self._minted) if called == name), 0)
        return self._minted.pop(at)[1]


def _together(first: Json, second: Json) -> Json:
    if isinstance(first, str) and isinstance(second, str):
        return joined((first, second))
    return [*_pieces(first), *_pieces(second)]


def _pieces(content: Json) -> list[Json]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []


def _mark_error(words: list[JsonObject]) -> None:
    if words and words[0].get("type") == "text":
        words[0] = {**words[0], "text": ERROR_PREFIX + text(words[0].get("text"))}
    else:
        words.insert(0, {"type": "text", "text": ERROR_PREFIX.rstrip()})
