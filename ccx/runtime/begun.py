"""A coroutine that is run at once as far as it goes, so that one that need not wait costs no timer.

Law: what a `Begun` waits for is awaited in its place by whoever awaits it, in the same task: cancellation and errors go
through it unchanged.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


class Begun(Generic[_T]):
    """Begins a coroutine. `done`: it has ended already, with `result`. Raises what the coroutine raises at once."""

    __slots__ = ("_coroutine", "_first", "done", "result")

    result: _T

    def __init__(self, coroutine: Coroutine[Any, Any, _T]) -> None:
        self._coroutine = coroutine
        self._first: Any = None
        self.done = False
        try:
            self._first = coroutine.send(None)
        except StopIteration as end:
            self.done, self.result = True, end.value

    def __await__(self) -> Generator[Any, Any, _T]:
        """Wait for the rest of it."""
        if self.done:
            return self.result
        waits, coroutine = self._first, self._coroutine
        try:
            while True:
                try:
                    said = yield waits
                except BaseException as error:  # noqa: BLE001 - whatever is thrown in is the coroutine's to handle
                    waits = coroutine.throw(error)
                else:
                    waits = coroutine.send(said)
        except StopIteration as end:
            self.done, self.result = True, end.value
            return self.result
        finally:
            coroutine.close()
