"""A conversation in the order that Gemini allows, from any neutral one.

Law
- Turns alternate: what belongs to one role is one content.
- Every call is answered at once, and only calls are: a turn with calls is followed by a turn with as many results. A
  result of no call becomes text, a call without a result gets one that says so, unless it is what the client awaits.
- System messages lead; later ones become text of the user. Whatever moves is an approximate loss.
- Models that insist on signatures get the documented stand-in for those that are lost, on the first call of each step
  of the turn that goes on, and nowhere else.

Sources: https://ai.google.dev/gemini-api/docs/function-calling, https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from ccx.protocols.gemini.blocks import Placed, Role, Writer
from ccx.protocols.gemini.natives import SIGNATURE
from ccx.protocols.ir import JsonObject, Loss, Message

NO_SIGNATURE: Final = "skip_thought_signature_validator"
_NO_RESULT: Final = "There is no result of this call."
_CONTINUE: Final = "Continue."


@dataclass(slots=True)
class Turn:
    """One content: its role and its parts."""

    role: Role
    parts: list[Placed] = field(default_factory=list)

    def encoded(self) -> JsonObject:
        """The content."""
        return {"role": self.role, "parts": [placed.part for placed in self.parts]}


def arrange(messages: tuple[Message, ...], writer: Writer) -> tuple[list[JsonObject], list[JsonObject]]:
    """The parts of the system instruction, and the contents."""
    lead = 0
    while lead < len(messages) and messages[lead].role == "system":
        lead += 1
    instructions: list[list[Placed]] = []
    turns: list[Turn] = []
    for at, message in enumerate(messages):
        group: list[Placed] = []
        for placed in writer.message(message, f"messages[{at}]"):
            # An instruction is text.
            if at < lead and placed.role == "system" and "text" in placed.part:
                group.append(placed)
                continue
            if placed.role == "system":
                _tell(placed, f"messages[{at}]", writer.losses)
            if not turns or turns[-1].role != placed.role:
                turns.append(Turn(placed.role))
            turns[-1].parts.append(placed)
        if group:
            instructions.append(group)
    turns = _answered(turns, writer)
    if not turns and instructions:
        # There must be a content; with nothing but instructions, the last of them is what is asked.
        writer.losses.append(Loss("messages", "system_position", approximate=True, detail="told by the user"))
        turns.append(Turn("user", instructions.pop()))
    if turns and turns[0].role == "model" and any(placed.call is not None for placed in turns[0].parts):
        writer.losses.append(Loss("messages", "turn_order", approximate=True, detail="a call must follow a user"))
        turns.insert(0, Turn("user", [Placed("user", {"text": _CONTINUE})]))
    if writer.traits.signed_calls:
        _sign(turns, writer.losses)
    return [placed.part for group in instructions for placed in group], [turn.encoded() for turn in turns]


def _tell(placed: Placed, path: str, losses: list[Loss]) -> None:
    """Make a system message in the midst of the conversation a text of the user."""
    losses.append(Loss(path, "system_position", approximate=True, detail="told by the user"))
    placed.role = "user"
    if isinstance(text := placed.part.get("text"), str):
        placed.part = {**placed.part, "text": f"<system>\n{text}\n</system>"}


def _answered(turns: list[Turn], writer: Writer) -> list[Turn]:
    """The turns with each call followed by its result, and no other results."""
    results: dict[str, deque[tuple[int, Placed]]] = {}
    for at, turn in enumerate(turns):
        for placed in turn.parts:
            if placed.result is not None:
                results.setdefault(placed.result, deque()).append((at, placed))
    taken: set[int] = set()
    answers: dict[int, list[Placed]] = {}  # by the turn of the calls
    for at, turn in enumerate(turns):
        calls = [placed for placed in turn.parts if placed.call is not None]
        if not calls:
            continue
        found = [_result(call, at, results, writer, last=at + 1 == len(turns)) for call in calls]
        given = [(where, placed) for one in found if one is not None for where, placed in [one]]
        taken.update(id(placed) for _, placed in given)
        own = {id(placed) for _, placed in given}
        if all(where == at + 1 for where, _ in given) and (not given or id(turns[at + 1].parts[0]) in own):
            continue
        moved = sum(1 for where, _ in given if where not in (at, at + 1))
        if moved:
            writer.losses.append(Loss("messages", "tool_result", approximate=True, detail="moved to its call"))
        answers[at] = [placed for _, placed in given]
    ordered: list[Turn] = []
    elsewhere = {id(placed) for one in answers.values() for placed in one}
    for at, turn in enumerate(turns):
        kept = [told for placed in turn.parts if id(placed) not in elsewhere for told in _told(placed, taken, writer)]
        _append(ordered, turn.role, kept)
        if at in answers:
            _append(ordered, "user", answers[at])
    return [_laid_out(turn) for turn in ordered if turn.parts]


def _append(turns: list[Turn], role: Role, parts: list[Placed]) -> None:
    if turns and turns[-1].role == role:
        turns[-1].parts.extend(parts)
    elif parts:
        turns.append(Turn(role, parts))


def _result(
    call: Placed, at: int, results: dict[str, deque[tuple[int, Placed]]], writer: Writer, *, last: bool
) -> tuple[int, Placed] | None:
    """The result of a call, and in which turn it was found: `at` itself for one that was made up."""
    found = results.get(str(call.call))
    while found:
        where, placed = found.popleft()
        if where > at:
            asked, given = call.part["functionCall"], placed.part["functionResponse"]
            if isinstance(asked, dict) and isinstance(given, dict):
                # Where ids were used twice, the result of another call may have been meant.
                given["name"] = asked.get("name")
            return where, placed
    if last:
        return None
    writer.losses.append(Loss("messages", "tool_result", approximate=True, detail="made up for a call without one"))
    asked = call.part["functionCall"]
    named = asked if isinstance(asked, dict) else {}
    answer: JsonObject = {"name": named.get("name"), "response": {"error": _NO_RESULT}}
    if "id" in named:
        answer["id"] = named["id"]
    return at, Placed("user", {"functionResponse": answer}, result=call.call)


def _told(placed: Placed, taken: set[int], writer: Writer) -> list[Placed]:
    """A part, or the text that tells of a result which answers no call."""
    if placed.result is None or id(placed) in taken:
        return [placed]
    writer.losses.append(Loss("messages", "tool_result", approximate=True, detail="of no call, told as text"))
    result = placed.part["functionResponse"]
    said = result.get("response") if isinstance(result, dict) else None
    name = result.get("name") if isinstance(result, dict) else None
    words = next((str(value) for value in said.values()), "") if isinstance(said, dict) else ""
    return [
        Placed("user", {"text": f"Result of the tool call {name}:\n{words}"}),
        *(Placed("user", part) for part in placed.beside),
    ]


def _laid_out(turn: Turn) -> Turn:
    """What belongs beside results, after the last of them."""
    if any(placed.beside for placed in turn.parts):
        last = max(at for at, placed in enumerate(turn.parts) if placed.result is not None)
        beside = [Placed("user", part) for placed in turn.parts for part in placed.beside]
        turn.parts[last + 1 : last + 1] = beside
    return turn


def _sign(turns: list[Turn], losses: list[Loss]) -> None:
    """Give each step of the turn that goes on a signature, where it was lost."""
    start = 0
    for at, turn in enumerate(turns):
        if turn.role == "user" and not any(placed.result is not None for placed in turn.parts):
            start = at
    for turn in turns[start:]:
        first = next((placed for placed in turn.parts if placed.call is not None), None)
        if first is not None and SIGNATURE not in first.part:
            first.part = {**first.part, SIGNATURE: NO_SIGNATURE}
            losses.append(Loss("messages", "signature", approximate=True, detail="the documented stand-in was sent"))
