"""Logs through two tables: reads, counts, and says what could not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ccx.errors import CcxError
from ccx.plan.model import Side
from ccx.plan.replay.files import BROKEN, TOO_LONG, open_log
from ccx.plan.replay.formats import LogFormat, opened
from ccx.plan.replay.logged import REFUSED, Reader, Unreadable
from ccx.plan.replay.result import Replay, Skipped, Source
from ccx.plan.replay.tally import Tally
from ccx.routing.table import RoutingTable

Progress = Callable[[int, int, int | None], None]
"""Told now and then: lines read, bytes of the files read, and bytes of all files, None where a pipe is among them."""

_WHOLE: Final = {TOO_LONG: "longer than 16 MiB", BROKEN: "the file is damaged from here on"}


class ReplayError(CcxError):
    """A log of which no line could be read."""


class _Skips:
    """Lines that are no requests, counted by kind."""

    def __init__(self) -> None:
        self._found: dict[str, list[int]] = {}
        self._first: dict[str, str] = {}

    def add(self, why: str, name: str, number: int) -> None:
        self._found.setdefault(why, [0])[0] += 1
        self._first.setdefault(why, f"{name}:{number}")

    def all(self) -> tuple[Skipped, ...]:
        return tuple(Skipped(why, count[0], self._first[why]) for why, count in self._found.items())


def replay(
    old: tuple[Side, RoutingTable],
    new: tuple[Side, RoutingTable],
    *,
    logs: Sequence[str],
    format: LogFormat | None = None,  # noqa: A002  # the word of the option
    progress: Progress = lambda _lines, _at, _size: None,
    clock: Callable[[], float] = lambda: 0.0,
) -> Replay:
    """Replay logs (paths, `-` for standard input). `clock` gives seconds, for `Replay.seconds`.

    Raises UsageError for a log that cannot be opened or whose format cannot be told, and ReplayError where there are
    lines and none of them is a request.
    """
    started = clock()
    tally, skips = Tally(old[1], new[1]), _Skips()
    sources: list[Source] = []
    sizes = list(_sizes(logs))
    size = None if None in sizes else sum(found or 0 for found in sizes)
    lines_before, bytes_before = 0, 0
    for name in logs:
        with open_log(name) as log:
            said = opened(log, format)
            lines, number = 0, 0
            for block in said.blocks():
                if number < said.skip:
                    skipped = block[: said.skip - number]
                    number += len(skipped)
                    block = block[len(skipped) :]
                lines += _count(block, said.read, tally, skips=skips, name=log.name, number=number)
                number += len(block)
                progress(lines_before + lines, bytes_before + log.at, size)
            sources.append(Source(log.name, said.format, lines))
            lines_before += lines
            bytes_before += log.size or 0
    result = tally.result(old[0], new[0], sources=sources, skipped=skips.all(), seconds=clock() - started)
    broken = [skip for skip in result.skipped if skip.why != REFUSED]
    if result.lines and not result.requests and broken:
        raise ReplayError(
            f"no line could be read: {'; '.join(f'{s.why} ({s.lines:,}, first {s.first})' for s in broken)}"
        )
    return result


def _count(block: list[bytes], read: Reader, tally: Tally, *, skips: _Skips, name: str, number: int) -> int:
    """Count the rows of some lines; how many lines there were, without blank ones."""
    add, blank = tally.add, 0
    for place, line in enumerate(block, number + 1):
        try:
            add(read(line))
        except Unreadable as why:
            whole = _WHOLE.get(line)
            if whole is None and not line.strip():
                blank += 1
                continue
            skips.add(whole or str(why), name, place)
    return len(block) - blank


def _sizes(logs: Iterable[str]) -> Iterable[int | None]:
    for name in logs:
        with open_log(name) as log:
            yield log.size
