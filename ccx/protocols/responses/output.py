"""The items of an answer as they come into being, and the events that tell of it.

Law
- Parts come one after the other; words that follow one another are one message item, unless each says that it is of
  another. An item is opened by the first of its parts and closed when another item begins or all is said.
- Every event sequence is one that the protocol documents: an item is added, its content told piece by piece, and given
  again whole when it is done. `items` then holds the whole items; the answer that is not streamed is the same list.
- Residue of other protocols goes sealed into reasoning items, beside the part it belongs to (see `sealed`); a part that
  has no item travels there whole.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, assert_never

import msgspec

from ccx.protocols.codec import Asked, NewId
from ccx.protocols.ir import (
    Citation,
    Inline,
    Json,
    JsonObject,
    Loss,
    Media,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from ccx.protocols.residue import seal
from ccx.protocols.responses.content import lost_citation, of_item, of_part, write_citation
from ccx.protocols.responses.items import TOOL_SEARCH
from ccx.protocols.responses.reading import CLIENT, foreign
from ccx.protocols.responses.sealed import seal_beside, seal_part
from ccx.protocols.values import record, records, text

Tell = Callable[[str, JsonObject], None]
"""Takes the type of an event and its fields."""

_FORMATS: Final = {"image/webp": "webp", "image/jpeg": "jpeg", "image/gif": "gif"}

_loads = msgspec.json.Decoder().decode


class Output:
    """The output of one answer, part by part: `begin`, any number of `more`, `end`; and `close` when all is said."""

    def __init__(self, asked: Asked, *, new_id: NewId, tell: Tell, losses: list[Loss]) -> None:
        self.items: list[JsonObject] = []
        self._new_id = new_id
        self._tell = tell
        self._losses = losses
        reasoning = record(asked.body.get("reasoning"))
        # Clients that ask for summaries show nothing else of what a model thinks.
        self._summarise = text(reasoning.get("summary") or reasoning.get("generate_summary")) not in ("", "none")
        tools = records(asked.body.get("tools"))
        self._search = any(one.get("type") == TOOL_SEARCH and one.get("execution") == "client" for one in tools) and (
            not any(one.get("name") == TOOL_SEARCH for one in tools)
        )
        # The item that is open, its fields as they will be when it is done, and what its open part has said.
        self._item: JsonObject | None = None
        self._sealed_beside: tuple[Native, ...] = ()
        self._whose = ""
        self._part: Part | None = None
        self._said: list[str] = []
        self._told = False
        self._at = -1

    def begin(self, part: Part) -> None:
        """A part begins, with nothing said yet."""
        if isinstance(part, ToolCall) and not part.id and not part.server:
            part = replace(part, id=self._new_id("call_"))
        self._part, self._said = part, []
        self._at += 1
        match part:
            case Text() | Refusal():
                self._begin_content(part)
            case Reasoning():
                self._begin_thought(part)
            case ToolCall() if not part.server:
                self._beside(foreign(part.native), call=part.id, place="next")
                if not self._is_search(part):
                    self._begin_call(part)
            case ToolCall() | ToolResult() | Media() | Opaque():
                self.close()
            case _:
                assert_never(part)

    def more(self, words: str) -> None:
        """More of the open part."""
        self._said.append(words)
        if self._item is None or not words:
            return
        part = self._part
        match part:
            case Text():
                self._event("output_text.delta", {"content_index": self._index(), "delta": words, "logprobs": []})
            case Refusal():
                self._event("refusal.delta", {"content_index": self._index(), "delta": words})
            case Reasoning() if self._shows_summary(part):
                self._begin_words(part)
                self._event("reasoning_summary_text.delta", {"summary_index": 0, "delta": words})
            case Reasoning():
                self._begin_words(part)
                self._event("reasoning_text.delta", {"content_index": 0, "delta": words})
            case ToolCall(kind="custom"):
                self._event("custom_tool_call_input.delta", {"delta": words})
            case ToolCall():
                self._event("function_call_arguments.delta", {"delta": words})
            case _:
                pass

    def end(self, natives: tuple[Native, ...], citations: tuple[Citation, ...]) -> None:
        """The open part is whole. `natives` and `citations` are what became known only now."""
        part, said = self._part, "".join(self._said)
        self._part = None
        match part:
            case Text():
                self._end_text(part, said, natives, citations)
            case Refusal():
                self._end_refusal(part, said, natives)
            case Reasoning():
                self._end_thought(part, said, natives)
            case ToolCall() if not part.server and self._is_search(part):
                self._end_search(part, said, natives)
            case ToolCall() if not part.server:
                self._end_call(part, said, natives)
            case ToolCall():
                self._hand(replace(part, arguments=part.arguments + said, native=(*part.native, *natives)))
            case ToolResult():
                self._hand(replace(part, native=(*part.native, *natives)))
            case Media():
                self._image(part, natives)
            case Opaque():
                self._hand(part)
            case None:
                pass
            case _:
                assert_never(part)

    def close(self) -> None:
        """Close the item that is open."""
        item, self._item = self._item, None
        if item is not None:
            if item.get("status") == "in_progress":
                item["status"] = "completed"
            self._finish(item)

    # --- words --------------------------------------------------------------------------------------------------------

    def _begin_content(self, part: Text | Refusal) -> None:
        own = CLIENT.own(part.native)
        ident = text(own.get("id"))
        open_ = self._item
        if open_ is None or open_.get("type") != "message" or self._whose != ident:
            self._beside(foreign(part.native), call=None, place="next")
            self.close()
            self._whose = ident
            self._open(
                {
                    "type": "message",
                    "id": ident or self._new_id("msg_"),
                    "status": "in_progress",
                    "role": "assistant",
                    **of_item(own),
                    "content": [],
                }
            )
        elif theirs := foreign(part.native):
            # It cannot stand between two parts of one message.
            self._sealed_beside = (*self._sealed_beside, *theirs)
        item = self._item or {}
        content = item["content"]
        empty: JsonObject = (
            {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            if isinstance(part, Text)
            else {"type": "refusal", "refusal": ""}
        )
        self._event("content_part.added", {"content_index": self._index() + 1, "part": empty})
        if isinstance(content, list):
            content.append(empty)

    def _end_text(self, part: Text, said: str, natives: tuple[Native, ...], citations: tuple[Citation, ...]) -> None:
        words = part.text + said
        own = CLIENT.own((*part.native, *natives))
        written: JsonObject = {"type": "output_text", "text": words, "annotations": [], "logprobs": []}
        cited: list[Json] = []
        for at, one in enumerate((*part.citations, *citations)):
            path = f"parts[{self._at}].citations[{at}]"
            annotation = write_citation(one, len(words), CLIENT)
            self._losses.extend(lost_citation(one, annotation, audience=CLIENT, path=path))
            if annotation is None:
                continue
            self._event(
                "output_text.annotation.added",
                {"content_index": self._index(), "annotation_index": len(cited), "annotation": annotation},
            )
            cited.append(annotation)
        written = {**written, "annotations": cited, **of_part(own)}
        self._event(
            "output_text.done",
            {"content_index": self._index(), "text": words, "logprobs": written["logprobs"]},
        )
        self._end_content(written, own, natives)

    def _end_refusal(self, part: Refusal, said: str, natives: tuple[Native, ...]) -> None:
        words = part.text + said
        own = CLIENT.own((*part.native, *natives))
        self._event("refusal.done", {"content_index": self._index(), "refusal": words})
        self._end_content({"type": "refusal", "refusal": words, **of_part(own)}, own, natives)

    def _end_content(self, written: JsonObject, own: JsonObject, natives: tuple[Native, ...]) -> None:
        item = self._item or {}
        content = item.get("content")
        if isinstance(content, list):
            content[-1] = written
        self._event("content_part.done", {"content_index": self._index(), "part": written})
        item.update(of_item(own))
        late = CLIENT.own(natives)
        theirs = foreign(natives)
        self._sealed_beside = (*self._sealed_beside, *theirs)
        if "id" in late or self._sealed_beside:
            # It is known only now of which message this is, or what must stand right behind it.
            self.close()

    def _index(self) -> int:
        content = (self._item or {}).get("content")
        return len(content) - 1 if isinstance(content, list) else 0

    # --- thoughts -----------------------------------------------------------------------------------------------------

    def _shows_summary(self, part: Reasoning) -> bool:
        return part.summary or self._summarise

    def _begin_thought(self, part: Reasoning) -> None:
        own = CLIENT.own(part.native)
        ident = text(own.get("id"))
        open_ = self._item
        if not ident or open_ is None or open_.get("type") != "reasoning" or open_.get("id") != ident:
            self.close()
            self._open({"type": "reasoning", "id": ident or self._new_id("rs_"), "summary": []})
        # A thought that is not shown has no content to tell of, which is known with its first words.
        self._told = False

    def _begin_words(self, part: Reasoning) -> None:
        if self._told:
            return
        self._told = True
        empty: JsonObject
        if self._shows_summary(part) and not part.summary:
            path = f"parts[{self._at}]"
            self._losses.append(Loss(path, "reasoning", approximate=True, detail="shown as a summary"))
        if self._shows_summary(part):
            empty = {"type": "summary_text", "text": ""}
            self._event("reasoning_summary_part.added", {"summary_index": 0, "part": empty})
        else:
            empty = {"type": "reasoning_text", "text": ""}
            self._event("content_part.added", {"content_index": 0, "part": empty})

    def _end_words(self, part: Reasoning, words: str) -> None:
        """The words of a thought are whole."""
        item = self._item or {}
        self._begin_words(part)
        written: JsonObject = {"type": "summary_text" if self._shows_summary(part) else "reasoning_text", "text": words}
        if self._shows_summary(part):
            self._event("reasoning_summary_text.done", {"summary_index": 0, "text": words})
            self._event("reasoning_summary_part.done", {"summary_index": 0, "part": written})
            item["summary"] = [written]
        else:
            self._event("reasoning_text.done", {"content_index": 0, "text": words})
            self._event("content_part.done", {"content_index": 0, "part": written})
            item["content"] = [written]

    def _end_thought(self, part: Reasoning, said: str, natives: tuple[Native, ...]) -> None:
        item = self._item or {}
        if words := part.text + said:
            self._end_words(part, words)
        every = (*part.native, *natives)
        own = CLIENT.own(every)
        own.pop("phase", None)
        theirs = foreign(every)
        ident = text(own.get("id"))
        if "encrypted_content" in own and (theirs or ident not in ("", item.get("id"))):
            # Its id became known too late to be this item's, or there is more to carry than the one token.
            ours = tuple(one for one in every if one not in theirs and "encrypted_content" in one.data)
            item["encrypted_content"] = seal((*ours, *theirs))
        elif theirs:
            item["encrypted_content"] = seal(theirs)
        item.update((key, value) for key, value in own.items() if key not in item)
        if "id" not in CLIENT.own(part.native) or natives:
            self.close()

    def _beside(self, theirs: tuple[Native, ...], *, call: str | None, place: str) -> None:
        """Close what is open, and put an item that carries residue of its neighbour."""
        self.close()
        if theirs:
            token = seal_beside(theirs, place="next" if place == "next" else "previous", call=call)
            self._whole({"type": "reasoning", "id": self._new_id("rs_"), "summary": [], "encrypted_content": token})

    # --- calls --------------------------------------------------------------------------------------------------------

    def _is_search(self, part: ToolCall) -> bool:
        """Whether this is a search among the client's tools, which has an item of its own."""
        if part.name != TOOL_SEARCH or part.kind != "function" or part.namespace is not None:
            return False
        return self._search or CLIENT.own(part.native).get("type") == "tool_search_call"

    def _begin_call(self, part: ToolCall) -> None:
        own = CLIENT.own(part.native)
        custom = part.kind == "custom"
        item: JsonObject = {
            "type": "custom_tool_call" if custom else "function_call",
            "id": text(own.get("id")) or self._new_id("ctc_" if custom else "fc_"),
            "status": "in_progress",
            "call_id": part.id,
            "name": part.name,
            "input" if custom else "arguments": "",
        }
        if part.namespace is not None:
            item["namespace"] = part.namespace
        self._open(item)

    def _end_call(self, part: ToolCall, said: str, natives: tuple[Native, ...]) -> None:
        item = self._item or {}
        custom = part.kind == "custom"
        words = part.arguments + said
        if not custom and not words.strip():
            words = "{}"
        item["input" if custom else "arguments"] = words
        if custom:
            self._event("custom_tool_call_input.done", {"input": words})
        else:
            self._event("function_call_arguments.done", {"arguments": words, "name": part.name})
        own = CLIENT.own((*part.native, *natives))
        own.pop("phase", None)
        item.update((key, value) for key, value in own.items() if key != "id")
        self._beside(foreign(natives), call=part.id, place="previous")

    def _end_search(self, part: ToolCall, said: str, natives: tuple[Native, ...]) -> None:
        own = CLIENT.own((*part.native, *natives))
        words = part.arguments + said
        try:
            given: Json = _loads(words) if words.strip() else {}
        except (msgspec.DecodeError, ValueError, RecursionError):
            given = {"query": words}
        self._whole(
            {
                "id": self._new_id("tsc_"),
                "status": "completed",
                **own,
                "type": "tool_search_call",
                "call_id": part.id,
                "execution": "client",
                "arguments": given,
            }
        )
        self._beside(foreign(natives), call=part.id, place="previous")

    # --- what comes whole ---------------------------------------------------------------------------------------------

    def _hand(self, part: ToolCall | ToolResult | Opaque) -> None:
        """A part of the provider: its own item where this protocol made it, else sealed."""
        natives = (part.native,) if isinstance(part, Opaque) else part.native
        own = CLIENT.own(natives)
        if "content_part" in own:
            self._open(
                {
                    "type": "message",
                    "id": self._new_id("msg_"),
                    "status": "in_progress",
                    "role": "assistant",
                    "content": [own["content_part"]],
                }
            )
            self.close()
            return
        if "type" in own:
            self._whole(own)
            return
        what = f"unknown_part:{part.kind}" if isinstance(part, Opaque) else "server_tool"
        self._losses.append(Loss(f"parts[{self._at}]", what, approximate=True, detail="kept, not shown"))
        token = seal_part(part)
        self._whole({"type": "reasoning", "id": self._new_id("rs_"), "summary": [], "encrypted_content": token})

    def _image(self, part: Media, natives: tuple[Native, ...]) -> None:
        every = (*part.native, *natives)
        path = f"parts[{self._at}]"
        self._losses.extend(CLIENT.refused(every, path))
        if part.kind != "image" or not isinstance(part.source, Inline) or not part.source.data:
            self._losses.append(Loss(path, part.kind))
            return
        own = CLIENT.own(every)
        item: JsonObject = {
            "id": self._new_id("ig_"),
            "status": "completed",
            **own,
            "type": "image_generation_call",
            "result": part.source.data,
        }
        if (spelled := _FORMATS.get(part.source.media_type)) is not None:
            item["output_format"] = spelled
        self._whole(item)

    # --- events -------------------------------------------------------------------------------------------------------

    def _open(self, item: JsonObject) -> None:
        self._item = item
        shown: JsonObject = {**item, "content": []} if "content" in item else dict(item)
        self._tell("response.output_item.added", {"output_index": len(self.items), "item": shown})

    def _whole(self, item: JsonObject) -> None:
        """An item that comes at once."""
        self.close()
        self._tell("response.output_item.added", {"output_index": len(self.items), "item": item})
        self._finish(item)

    def _finish(self, item: JsonObject) -> None:
        self._tell("response.output_item.done", {"output_index": len(self.items), "item": item})
        self.items.append(item)
        if theirs := self._sealed_beside:
            self._sealed_beside = ()
            self._beside(theirs, call=None, place="previous")

    def _event(self, kind: str, fields: JsonObject) -> None:
        ident = (self._item or {}).get("id")
        self._tell(f"response.{kind}", {"item_id": ident, "output_index": len(self.items), **fields})
