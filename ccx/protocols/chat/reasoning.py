"""Thoughts in a message: as text, as details, as parts, as tags; and the residue of others among them.

Fields. `reasoning_content` (https://api-docs.deepseek.com/guides/thinking_mode) and `reasoning` hold the text.
`reasoning_details` (https://openrouter.ai/docs/guides/best-practices/reasoning-tokens#reasoning_details-array-structure)
is a list of typed items: text with a signature, a summary, or something encrypted; items of one index are one thought.

Towards clients, text goes out as `reasoning_content`. Residue of another protocol goes sealed into an item of type
`reasoning.encrypted`. The first thing in its envelope is an address, for a message is flat where the neutral form has
parts: the thought of this index, the call of this id, or the text. A thought that has residue is repeated as an item
of text, so that text and residue come back together from clients that return nothing but the details.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ccx.protocols.chat.reading import Origin
from ccx.protocols.ir import Json, JsonObject, Loss, Native, Part, Reasoning, Text, ToolCall
from ccx.protocols.names import Protocol
from ccx.protocols.residue import seal, telling, unseal
from ccx.protocols.values import integer, record, records, rest, text
from ccx.protocols.whole_parts import note_of, noted

_SAYS = {"reasoning.text": "text", "reasoning.summary": "summary", "reasoning.encrypted": "data"}


@dataclass(slots=True)
class Found:
    """The thoughts of a message, and residue that belongs to other parts of it."""

    thoughts: list[Reasoning] = field(default_factory=list)
    of_text: tuple[Native, ...] = ()
    of_calls: dict[str, tuple[Native, ...]] = field(default_factory=dict)

    def give_back(self, parts: Iterable[Part]) -> tuple[Part, ...]:
        """The parts with their residue: the first text, and each call by its id. Residue of a part that the client
        dropped has nothing left to belong to."""
        given: list[Part] = []
        of_text = self.of_text
        for part in parts:
            match part:
                case Text() if of_text:
                    given.append(replace(part, native=(*part.native, *of_text)))
                    of_text = ()
                case ToolCall() if part.id in self.of_calls:
                    given.append(replace(part, native=(*part.native, *self.of_calls[part.id])))
                case _:
                    given.append(part)
        return tuple(given)


def read(message: JsonObject, origin: Origin, *, fields: tuple[str, ...]) -> Found:
    """The thoughts of a whole message. `fields` are looked into in this order for the text."""
    said = next((words for name in fields if (words := text(message.get(name)))), "")
    details = records(message.get("reasoning_details"))
    if not details:
        return Found([Reasoning(said)] if said else [])
    found = Found()
    # Only a client returns what ccx sealed; from an upstream an envelope is a token like any other.
    ours = origin.issuer is None
    groups: dict[int | None, list[JsonObject]] = {}
    sealed: dict[int | None, tuple[Native, ...]] = {}
    for item in details:
        opened = unseal(text(item.get("data"))) if ours and item.get("type") == "reasoning.encrypted" else None
        if opened is None:
            groups.setdefault(integer(item.get("index")), []).append(item)
            continue
        address, natives = _addressed(opened)
        match address.get("part"):
            case "call":
                ident = text(address.get("id"))
                found.of_calls[ident] = found.of_calls.get(ident, ()) + natives
            case "text":
                found.of_text += natives
            case _:
                index = integer(address.get("of", item.get("index")))
                sealed[index] = sealed.get(index, ()) + natives
                groups.setdefault(index, [])
    found.thoughts = [
        Reasoning(
            "".join(map(detail_text, group)),
            summary=_is_summary(group),
            native=sealed[index] if index in sealed else origin.native({"reasoning_details": list[Json](group)}),
        )
        for index, group in groups.items()
    ]
    # Where the details hold nothing to read, the text stands beside them.
    if said and not any(thought.text for thought in found.thoughts):
        found.thoughts[:1] = [replace(thought, text=said) for thought in found.thoughts[:1]] or [Reasoning(said)]
    return found


def detail_text(item: JsonObject) -> str:
    """What an item has to read; empty for an encrypted one."""
    match item.get("type"):
        case "reasoning.text":
            return text(item.get("text"))
        case "reasoning.summary":
            return text(item.get("summary"))
        case _:
            return ""


def summarised(items: list[JsonObject]) -> bool:
    """Whether a thought's items are a summary of it."""
    return _is_summary(items)


def grow(items: list[JsonObject], piece: JsonObject) -> None:
    """Add a streamed piece of an item to the items of its thought."""
    kind = text(piece.get("type"))
    says = _SAYS.get(kind)
    last = items[-1] if items else None
    if last is None or says is None or last.get("type") != kind or _another(last, piece):
        items.append(dict(piece))
        return
    for key, value in piece.items():
        if key == says:
            last[key] = text(last.get(key)) + text(value)
        elif value is not None:
            last[key] = value


def write(parts: Iterable[Part], *, again: bool) -> JsonObject:
    """The fields of a message to a client that hold its thoughts, and the residue of its parts. `again`: details are
    written for every thought, for there are several and a client shall be able to tell them apart."""
    said: list[str] = []
    details: list[Json] = []
    for part in parts:
        if isinstance(part, Reasoning):
            said.append(part.text)
            details += thought_details(part, at=len(details), again=again)
        elif isinstance(part, Text | ToolCall):
            details += residue_details(part, at=len(details))
    fields: JsonObject = {}
    if any(said):
        fields["reasoning_content"] = "".join(said)
    if details:
        fields["reasoning_details"] = details
    return fields


def thought_details(thought: Reasoning, *, at: int, again: bool) -> list[JsonObject]:
    """The details of a thought: those it came with, or its text and its sealed residue. `at` is how many went before:
    clients that fold a stream, such as OpenAI's own, take an item's index for its place in the list."""
    native = [
        item
        for one in thought.native
        if one.protocol is Protocol.CHAT
        for item in records(one.data.get("reasoning_details"))
    ]
    if native:
        return native
    foreign = telling(one for one in thought.native if one.protocol is not Protocol.CHAT)
    if not foreign and not again:
        return []
    shown: list[JsonObject] = []
    if thought.text:
        kind, says = ("reasoning.summary", "summary") if thought.summary else ("reasoning.text", "text")
        shown.append({"type": kind, says: thought.text, "format": "unknown", "index": at})
    if foreign:
        shown.append(_sealed(foreign, {"part": "thought", "of": at}, at=at + len(shown)))
    return shown


def residue_details(part: Text | ToolCall, *, at: int) -> list[JsonObject]:
    """The sealed residue of another part of the message."""
    foreign = telling(one for one in part.native if one.protocol is not Protocol.CHAT and "logprobs" not in one.data)
    if not foreign:
        return []
    if isinstance(part, Text):
        return [_sealed(foreign, {"part": "text"}, at=at)]
    return [_sealed(foreign, {"part": "call", "id": part.id}, at=at)]


def lost_logprobs(text: Text, path: str) -> list[Loss]:
    """Another protocol's probabilities of tokens, which are for the client: it cannot read them, and no upstream wants
    them back."""
    return [
        Loss(f"{path}.native", "logprobs")
        for one in text.native
        if one.protocol is not Protocol.CHAT and one.data.get("logprobs")
    ]


def _sealed(natives: tuple[Native, ...], address: JsonObject, *, at: int) -> JsonObject:
    return {
        "type": "reasoning.encrypted",
        "data": seal(noted(Protocol.CHAT, address, natives)),
        "format": "unknown",
        "index": at,
    }


def _addressed(opened: tuple[Native, ...]) -> tuple[JsonObject, tuple[Native, ...]]:
    note = note_of(Protocol.CHAT, opened)
    return ({}, opened) if note is None else (note, opened[1:])


def _is_summary(items: list[JsonObject]) -> bool:
    kinds = {text(item.get("type")) for item in items}
    return "reasoning.summary" in kinds and "reasoning.text" not in kinds


def _another(last: JsonObject, piece: JsonObject) -> bool:
    before, now = last.get("id"), piece.get("id")
    return before is not None and now is not None and before != now


def thinking_text(part: JsonObject) -> str:
    """The text of a part of type `thinking` (https://docs.mistral.ai/capabilities/reasoning/)."""
    inside = part.get("thinking")
    if isinstance(inside, str):
        return inside
    return "".join(text(record(item).get("text")) for item in records(inside))


def thinking_residue(part: JsonObject) -> JsonObject:
    """The whole part where it holds more than text, such as references, which have no neutral form."""
    inside = part.get("thinking")
    plain = isinstance(inside, str) or all(item.get("type") == "text" for item in records(inside))
    return {"thinking": part} if not plain or rest(part, ("type", "thinking", "closed")) else {}
