"""The answer to an `Ask`, still without a protocol: thoughts, text and tool calls, why it ends, and what it used.

Law: a pure function of the ask. Every token of output is a word, or eight characters of a long one; the limit is kept
over all parts together, and a tool call that does not fit whole is not made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from ccx.upstream.demo.answer import encode
from ccx.upstream.demo.ask import Ask, Named, Tool
from ccx.upstream.demo.behaviour import Manner, behaviour
from ccx.upstream.demo.fields import Json, record
from ccx.upstream.demo.instance import instance

_TOKEN = re.compile(r"\s*\S{1,8}|\s+")
_NAME = r"[\w.:/-]*\w"
_CALL = re.compile(
    rf"\bcall\s+(?:the\s+)?[`'\"]?({_NAME}[`'\"]?(?:\s*(?:,\s*and\b|,|&|\band\b)\s*(?:the\s+)?[`'\"]?{_NAME}[`'\"]?)*)",
    re.IGNORECASE,
)
_QUOTE = 200


def tokens(text: str) -> list[str]:
    """The text cut into the demo's tokens; joined they give the text again."""
    return _TOKEN.findall(text)


class Finish(Enum):
    """Why an answer ends."""

    STOP = auto()
    STOP_SEQUENCE = auto()
    LENGTH = auto()
    TOOL_CALLS = auto()
    REFUSAL = auto()


@dataclass(frozen=True, slots=True)
class Thought:
    """What the model thinks before it answers, as its tokens."""

    pieces: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Say:
    """Text for the user, as its tokens."""

    pieces: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Use:
    """A call of a tool. `pieces` are the tokens of its arguments: JSON, or the text for a custom tool."""

    tool: Tool
    arguments: Json
    pieces: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(self.pieces)


Part = Thought | Say | Use


@dataclass(frozen=True, slots=True)
class Turn:
    """A whole answer. `thought_tokens` are part of `output_tokens`."""

    parts: tuple[Part, ...]
    finish: Finish
    stop_sequence: str | None
    input_tokens: int
    output_tokens: int
    thought_tokens: int


def turn(ask: Ask) -> Turn:
    """Answer a request."""
    finish, stop_sequence = Finish.STOP, None
    parts: list[Part] = []
    if ask.thinking:
        parts.append(Thought(tuple(tokens(f"The newest of {ask.messages} messages decides what the demo answers."))))
    called = called_tools(ask)
    if called:
        finish = Finish.TOOL_CALLS
        parts += [use(tool) for tool in called]
    else:
        text = wording(ask)
        cut, stop_sequence = stopped(text, ask.stop)
        if stop_sequence is not None:
            finish = Finish.STOP_SEQUENCE
        said = tokens(cut)
        if behaviour(ask.model, ask.text).manner is Manner.REFUSAL:
            finish, stop_sequence, said = Finish.REFUSAL, None, said[: len(said) // 2]
        parts.append(Say(tuple(said)))
    kept, whole = limited(parts, ask.limit)
    if not whole:
        finish, stop_sequence = Finish.LENGTH, None
    return Turn(
        parts=kept,
        finish=finish,
        stop_sequence=stop_sequence,
        input_tokens=ask.input_tokens,
        output_tokens=sum(len(part.pieces) for part in kept),
        thought_tokens=sum(len(part.pieces) for part in kept if isinstance(part, Thought)),
    )


def called_tools(ask: Ask) -> tuple[Tool, ...]:
    """The tools to call: those the text names after "call", else one where the request or the text wants any."""
    if ask.result is not None or ask.choice == "none" or not ask.tools:
        return ()
    usable = ask.tools
    if isinstance(ask.choice, Named):
        usable = tuple(tool for tool in ask.tools if tool.name in ask.choice.names)
    byname = {tool.name.lower(): tool for tool in usable}
    named = [
        byname[word.strip("`'\".").lower()]
        for found in _CALL.finditer(ask.text)
        for word in re.split(r"[\s,&]+", found[1])
        if word.strip("`'\".").lower() in byname
    ]
    if not named and usable and (ask.choice != "auto" or "use a tool" in ask.text.lower()):
        named = [usable[0]]
    return tuple(named) if ask.parallel else tuple(named[:1])


def use(tool: Tool) -> Use:
    """A call with the simplest arguments that the tool's schema admits."""
    if tool.custom:
        return Use(tool, {"input": "demo"}, ("demo",))
    arguments = record(instance({"type": "object"} if tool.schema is None else tool.schema))
    return Use(tool, arguments, tuple(tokens(encode(arguments).decode())))


def wording(ask: Ask) -> str:
    """What the answer says."""
    if ask.schema is not None:
        return encode({"value": instance(ask.schema)})[len('{"value":') : -1].decode()
    if ask.result is not None:
        return f"The tool answered: {quoted(ask.result)} (This is the ccx demo upstream; model {ask.model}.)"
    plural = "message" if ask.messages == 1 else "messages"
    newest = f" The newest says: {quoted(ask.text)}" if ask.text else ""
    asked = f"It was asked for {ask.model} with {ask.messages} {plural}."
    return f"This is the ccx demo upstream, not a model. {asked}{newest}"


def quoted(text: str) -> str:
    """The beginning of a text, on one line and in quotes."""
    line = " ".join(text[: 4 * _QUOTE].split())
    return f'"{line}"' if len(line) <= _QUOTE else f'"{line[:_QUOTE]}…"'


def stopped(text: str, stop: tuple[str, ...]) -> tuple[str, str | None]:
    """The text up to the first stop sequence in it, and that sequence."""
    hits = [(at, sequence) for sequence in stop if (at := text.find(sequence)) >= 0]
    if not hits:
        return text, None
    at, sequence = min(hits)
    return text[:at], sequence


def limited(parts: list[Part], limit: int | None) -> tuple[tuple[Part, ...], bool]:
    """As much of the parts as the limit allows, and whether that is all of them."""
    left = sum(len(part.pieces) for part in parts) if limit is None else limit
    kept: list[Part] = []
    for part in parts:
        if len(part.pieces) <= left:
            kept.append(part)
            left -= len(part.pieces)
            continue
        match part:
            case Thought() if left:
                kept.append(Thought(part.pieces[:left]))
            case Say() if left:
                kept.append(Say(part.pieces[:left]))
            case _:
                pass
        return tuple(kept), False
    return tuple(kept), True
