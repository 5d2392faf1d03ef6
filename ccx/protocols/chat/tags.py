"""Thoughts between `<think>` and `</think>` at the start of an answer, as local models write them where no parser of
the server takes them out (https://docs.vllm.ai/en/latest/features/reasoning_outputs/)."""

from __future__ import annotations

from typing import Final, Literal

OPEN: Final = "<think>"
CLOSE: Final = "</think>"

Kind = Literal["thought", "answer"]


def split_thoughts(said: str) -> tuple[str, str]:
    """The thoughts at the start of a whole answer, and the rest. White space around the tags belongs to neither."""
    splitter = Splitter()
    pieces = [*splitter.feed(said), *splitter.end()]
    thought = "".join(piece for kind, piece in pieces if kind == "thought")
    return thought, "".join(piece for kind, piece in pieces if kind == "answer")


class Splitter:
    """Tells thoughts from answer as text comes, whatever the pieces. Holds back only what may be part of a tag."""

    __slots__ = ("_held", "_state", "_trim")

    def __init__(self) -> None:
        self._held = ""
        self._state: Literal["start", "inside", "after"] = "start"
        self._trim = False

    @property
    def done(self) -> bool:
        """Whether all that follows is answer, as it comes."""
        return self._state == "after" and not self._trim

    def feed(self, piece: str) -> list[tuple[Kind, str]]:
        found: list[tuple[Kind, str]] = []
        held = self._held + piece
        self._held = ""
        if self._state == "start":
            begun = held.lstrip()
            if OPEN.startswith(begun[: len(OPEN)]) and len(begun) < len(OPEN):
                self._held = held
                return found
            if not begun.startswith(OPEN):
                self._state = "after"
                return [("answer", held)]
            self._state, self._trim = "inside", True
            held = begun[len(OPEN) :]
        if self._state == "inside":
            held = self._trimmed(held)
            end = held.find(CLOSE)
            if end < 0:
                kept = _partial(held)
                self._held = held[len(held) - kept :]
                if held := held[: len(held) - kept]:
                    found.append(("thought", held))
                return found
            if end:
                found.append(("thought", held[:end]))
            self._state, self._trim = "after", True
            held = held[end + len(CLOSE) :]
        if held := self._trimmed(held):
            found.append(("answer", held))
        return found

    def end(self) -> list[tuple[Kind, str]]:
        """What was held back, now that nothing follows."""
        held, self._held = self._held, ""
        if not held:
            return []
        return [("thought" if self._state == "inside" else "answer", held)]

    def _trimmed(self, held: str) -> str:
        if self._trim:
            held = held.lstrip()
            self._trim = not held
        return held


def _partial(held: str) -> int:
    """How much of the end may be the beginning of the closing tag."""
    return next((size for size in range(min(len(CLOSE) - 1, len(held)), 0, -1) if CLOSE.startswith(held[-size:])), 0)
