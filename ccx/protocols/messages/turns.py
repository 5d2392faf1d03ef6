"""A conversation in the order that Messages allows, from any neutral one.

Law
- Turns alternate: what belongs to one role is one turn, as the API itself would merge it.
- Every call is answered at once: the results of a turn's calls come first in the user's next turn, each id once. A
  result of no call becomes text, a call without a result gets one that says so.
- System messages lead; later ones stay where the model takes them, right after a user's turn, else they become text of
  the user. Nothing else moves, and whatever does is an approximate loss.
- No turn is empty, none ends in a thought, and the last is the user's unless the model continues its own.

Sources: https://platform.claude.com/docs/en/api/messages,
https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls,
https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages#limitations
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from ccx.protocols.ir import Json, JsonObject, Loss, Message
from ccx.protocols.messages.blocks import Role, Writer, shortened
from ccx.protocols.messages.models import Traits
from ccx.protocols.messages.naming import legal_id, original_id
from ccx.protocols.messages.natives import accepted, refused

_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking"})
_NO_RESULT: Final = "There is no result of this call."
_CONTINUE: Final = "Continue."
_EFFORT: Final = "output_config"


@dataclass(slots=True)
class Turn:
    """One message of the request: its role, its blocks, and fields beside them."""

    role: Role
    blocks: list[JsonObject] = field(default_factory=list)
    fields: JsonObject = field(default_factory=dict)

    def encoded(self) -> JsonObject:
        """The message."""
        content: Json = [] if not self.blocks else shortened(self.blocks)
        return {"role": self.role, "content": content, **self.fields}


def arrange(messages: tuple[Message, ...], writer: Writer, traits: Traits) -> tuple[list[JsonObject], list[Turn]]:
    """The system prompt's blocks, and the turns. The end of the conversation is left to `close`."""
    lead = 0
    while lead < len(messages) and messages[lead].role == "system":
        lead += 1
    if lead == len(messages) and lead:
        # A conversation must have a turn; with nothing but instructions, the last of them is what is asked.
        lead -= 1
    system: list[JsonObject] = []
    for at, message in enumerate(messages[:lead]):
        path = f"messages[{at}]"
        system.extend(block for _, block in writer.message(message, path))
        for key in _fields(message, path, writer):
            writer.losses.append(Loss(path, "effort" if key == _EFFORT else f"unknown_field:{key}"))
    entries = [entry for at in range(lead, len(messages)) for entry in _entries(messages[at], at, writer)]
    turns = _grouped(entries, writer, traits)
    _answer(turns, writer.losses)
    return system, _settled(turns)


def _fields(message: Message, path: str, writer: Writer) -> JsonObject:
    if not message.native:
        return {}
    writer.losses.extend(refused(message.native, writer.target.issuer, f"{path}.native"))
    return accepted(message.native, writer.target.issuer)


def _entries(message: Message, at: int, writer: Writer) -> Iterable[Turn]:
    """A message as turns of one role each; only the first has the message's fields."""
    path = f"messages[{at}]"
    fields = _fields(message, path, writer)
    empty = True
    for role, group in groupby(writer.message(message, path), key=lambda placed: placed[0]):
        empty = False
        yield Turn(role, [block for _, block in group], fields)
        fields = {}
    if empty and message.role == "system" and fields:
        yield Turn("system", [], fields)


def _grouped(entries: list[Turn], writer: Writer, traits: Traits) -> list[Turn]:
    """Entries merged to turns that alternate, with system messages where they may stand."""
    turns: list[Turn] = []
    span: list[Turn] = []
    for assistant, group in groupby(entries, key=lambda entry: entry.role == "assistant"):
        if not assistant:
            span.extend(group)
            continue
        merged = _merged("assistant", group)
        while merged.blocks and merged.blocks[-1].get("type") in _THOUGHTS:
            merged.blocks.pop()
            writer.losses.append(Loss("messages", "reasoning", detail="a turn cannot end in a thought"))
        if merged.blocks:
            turns.extend(_span(span, turns, writer, traits))
            span = []
            if turns and turns[-1].role == "assistant":
                turns[-1] = _merged("assistant", (turns[-1], merged))
            else:
                turns.append(merged)
    turns.extend(_span(span, turns, writer, traits))
    return turns


def _merged(role: Role, entries: Iterable[Turn]) -> Turn:
    found = Turn(role)
    for entry in entries:
        found.blocks.extend(entry.blocks)
        found.fields.update(entry.fields)
    return found


def _span(span: list[Turn], before: list[Turn], writer: Writer, traits: Traits) -> list[Turn]:
    """What stands between two turns of the assistant: one turn of the user, and one system message after it."""
    if not span:
        return []
    losses = writer.losses
    # The one place beside a user's turn where a system message may follow is the result of a server's tool.
    host = any(entry.role == "user" for entry in span) or _ends_in_server_result(before)
    user, system = Turn("user"), Turn("system")
    for entry in span:
        if entry.role == "user":
            if system.blocks:
                losses.append(Loss("messages", "system_position", approximate=True, detail="behind the user's turn"))
            user.blocks.extend(entry.blocks)
            user.fields.update(entry.fields)
        elif traits.system_turns and (host or not entry.blocks):
            system.blocks.extend(entry.blocks)
            system.fields.update(entry.fields)
        else:
            if entry.blocks:
                losses.append(Loss("messages", "system_position", approximate=True, detail="told by the user"))
                user.blocks.extend(_told(block) for block in entry.blocks)
            for key in entry.fields:
                losses.append(Loss("messages", "effort" if key == _EFFORT else f"unknown_field:{key}"))
    found = [user] if user.blocks else []
    return [*found, system] if system.blocks or system.fields else found


def _told(block: JsonObject) -> JsonObject:
    text = block.get("text")
    return {**block, "text": f"<system>\n{text}\n</system>"} if block.get("type") == "text" else block


def _ends_in_server_result(turns: list[Turn]) -> bool:
    return bool(turns) and turns[-1].role == "assistant" and _of_server(turns[-1].blocks[-1])


def _of_server(block: JsonObject) -> bool:
    kind = str(block.get("type"))
    return kind in ("server_tool_use", "mcp_tool_use") or (kind.endswith("_tool_result") and kind != "tool_result")


# --- calls and results ------------------------------------------------------------------------------------------------


def _answer(turns: list[Turn], losses: list[Loss]) -> None:
    """See that each call is followed by its result, and that there are no other results."""
    used: set[str] = set()
    claimed: set[int] = set()
    at = 0
    while at < len(turns):
        calls = [block for block in turns[at].blocks if block.get("type") == "tool_use"]
        if not calls:
            at += 1
            continue
        results = [_claimed(str(call["id"]), turns, at, claimed, losses) for call in calls]
        for call, result in zip(calls, results, strict=True):
            call["id"] = result["tool_use_id"] = _unique(str(call["id"]), used, losses)
        if at + 1 == len(turns) or turns[at + 1].role != "user":
            turns.insert(at + 1, Turn("user"))
        claimed.update(id(result) for result in results)
        answered = turns[at + 1]
        answered.blocks = [*results, *(block for block in answered.blocks if id(block) not in claimed)]
        at += 2
    for turn in turns:
        if any(block.get("type") == "tool_result" and id(block) not in claimed for block in turn.blocks):
            turn.blocks = [told for block in turn.blocks for told in _orphan(block, claimed, losses)]


def _claimed(id_: str, turns: list[Turn], at: int, claimed: set[int], losses: list[Loss]) -> JsonObject:
    """The result of a call of the turn `at`: from the next turn, else from a later one, else made up."""
    for later in range(at + 1, len(turns)):
        turn = turns[later]
        for block in turn.blocks:
            if block.get("type") == "tool_use" and block.get("id") == id_:
                break
            if block.get("type") == "tool_result" and block.get("tool_use_id") == id_ and id(block) not in claimed:
                claimed.add(id(block))
                if later != at + 1:
                    losses.append(Loss("messages", "tool_result", approximate=True, detail="moved to its call"))
                    turn.blocks = [one for one in turn.blocks if one is not block]
                return block
        else:
            continue
        break
    losses.append(Loss("messages", "tool_result", approximate=True, detail="made up for a call without one"))
    return {"type": "tool_result", "tool_use_id": id_, "content": _NO_RESULT, "is_error": True}


def _settled(turns: list[Turn]) -> list[Turn]:
    """The turns without those that lost their only result to an earlier one."""
    if all(turn.blocks or turn.fields for turn in turns):
        return turns
    found: list[Turn] = []
    for turn in turns:
        if not turn.blocks and turn.role != "system":
            continue
        if turn.role == "system" and turn.blocks and (not found or found[-1].role != "user"):
            turn = Turn("user", [_told(block) for block in turn.blocks])
        if found and found[-1].role == turn.role:
            found[-1] = _merged(turn.role, (found[-1], turn))
        else:
            found.append(turn)
    return found


def _unique(id_: str, used: set[str], losses: list[Loss]) -> str:
    found, number = id_, 2
    while found in used:
        found, number = legal_id(f"{original_id(id_)}_{number}"), number + 1
    if found != id_:
        losses.append(Loss("messages", "tool_call_id", approximate=True, detail="used twice"))
    used.add(found)
    return found


def _orphan(block: JsonObject, claimed: set[int], losses: list[Loss]) -> list[JsonObject]:
    if block.get("type") != "tool_result" or id(block) in claimed:
        return [block]
    losses.append(Loss("messages", "tool_result", approximate=True, detail="of no call, told as text"))
    content = block.get("content")
    head: JsonObject = {"type": "text", "text": f"Result of the tool call {block['tool_use_id']}:"}
    if isinstance(content, str):
        return [{"type": "text", "text": f"{head['text']}\n{content}"}]
    shown = [one for one in content or () if isinstance(one, dict)] if isinstance(content, list) else []
    return [head, *(one for one in shown if one.get("type") in ("text", "image", "document", "search_result"))]


# --- the end ----------------------------------------------------------------------------------------------------------


def thinks_on(turns: list[Turn]) -> bool:
    """Whether thinking by budget may go on: where results are awaited, the calls' turn must begin with a thought."""
    for turn in reversed(turns):
        if turn.role == "assistant":
            calls = any(block.get("type") == "tool_use" for block in turn.blocks)
            return not calls or turn.blocks[0].get("type") in _THOUGHTS
    return True


def close(turns: list[Turn], *, prefill: bool, losses: list[Loss]) -> None:
    """Make the end of the conversation legal. `prefill`: the model may continue a turn of its own."""
    if not any(turn.role != "system" for turn in turns):
        losses.append(Loss("messages", "turn_order", approximate=True, detail="a turn was added, as there was none"))
        turns.insert(0, Turn("user", [{"type": "text", "text": _CONTINUE}]))
        return
    last = turns[-1]
    if last.role != "assistant" or _of_server(last.blocks[-1]):
        return
    text = last.blocks[-1].get("text")
    if prefill and isinstance(text, str):
        if text != text.rstrip():
            losses.append(Loss("messages", "prefill", approximate=True, detail="white space at its end"))
            last.blocks[-1] = {**last.blocks[-1], "text": text.rstrip()}
        return
    if not prefill:
        losses.append(Loss("messages", "prefill", approximate=True, detail="the user asks to continue"))
        turns.append(Turn("user", [{"type": "text", "text": _CONTINUE}]))
