"""Arguments of a call that arrive in pieces, each with the JSON Path of what it is a piece of.

Law: pieces are put together in the order of their coming; text at the same path grows. A path that leaves a gap in a
list, or goes through something that is no container, is not what the protocol allows.

Source: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling#streaming-fc; paths by
https://datatracker.ietf.org/doc/html/rfc9535
"""

from __future__ import annotations

import re

from ccx.errors import BadReply
from ccx.protocols.ir import Json, JsonObject

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d{1,6})\]|\['((?:[^'\\]|\\.)*)'\]|\[\"((?:[^\"\\]|\\.)*)\"\]")
_ESCAPE = re.compile(r"\\(.)")


class Arguments:
    """The arguments of one call, growing."""

    def __init__(self) -> None:
        self._value: JsonObject = {}
        self._open: str | None = None  # the path of a text that will continue
        self._said: list[str] = []  # of it so far

    def add(self, piece: Json) -> None:
        """Take one piece. Raises BadReply."""
        if not isinstance(piece, dict) or not isinstance(path := piece.get("jsonPath"), str):
            raise _bad("a piece of a call's arguments has no path")
        text = piece.get("stringValue")
        if self._open is not None and (path != self._open or not isinstance(text, str)):
            self._close()
        if isinstance(text, str):
            self._open = path
            self._said.append(text)
            if piece.get("willContinue") is not True:
                self._close()
            return
        key = next((key for key in ("numberValue", "boolValue", "nullValue") if key in piece), None)
        if key is None:
            return
        value: Json = None if key == "nullValue" else piece[key]
        if isinstance(value, float) and value.is_integer():
            # All numbers of protobuf's values are doubles.
            value = int(value)
        _put(self._value, _steps(path), value, path=path)

    def set(self, name: str, value: Json) -> None:
        """Take an argument that comes whole."""
        self._value[name] = value

    def whole(self) -> JsonObject:
        """All that was said. Raises BadReply."""
        if self._open is not None:
            self._close()
        return self._value

    def _close(self) -> None:
        path, said = self._open, "".join(self._said)
        self._open, self._said = None, []
        if path is not None:
            _put(self._value, _steps(path), said, path=path)


def _steps(path: str) -> list[str | int]:
    found: list[str | int] = []
    at = 1 if path.startswith("$") else 0
    if at == 0 and path[:1] not in (".", "["):
        path = f".{path}"
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise _bad(f"{path!r} is no path into a call's arguments")
        name, index, single, double = step.groups()
        quoted = single if single is not None else double
        if index is not None:
            found.append(int(index))
        else:
            found.append(name if quoted is None else _ESCAPE.sub(r"\1", quoted))
        at = step.end()
    if not found:
        raise _bad(f"{path!r} is no path into a call's arguments")
    return found


def _put(root: JsonObject, steps: list[str | int], value: Json, *, path: str) -> None:
    at: Json = root
    for place, step in enumerate(steps):
        last = place + 1 == len(steps)
        following: Json = value if last else [] if isinstance(steps[place + 1], int) else {}
        if isinstance(at, dict) and isinstance(step, str):
            if last or step not in at:
                at[step] = following
            at = at[step]
        elif isinstance(at, list) and isinstance(step, int) and step <= len(at):
            if step == len(at):
                at.append(following)
            elif last:
                at[step] = value
            at = at[step]
        else:
            raise _bad(f"{path!r} does not fit the arguments before it")


def _bad(message: str) -> BadReply:
    return BadReply(message, stage="body")
