"""The request that `ccx explain --log` is asked about: one line of a gateway's request log, in facts."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from ccx.analysis.outcome import Judge
from ccx.errors import UsageError
from ccx.plan.replay import ccx_log
from ccx.plan.replay.files import BROKEN, MAX_LINE, TOO_LONG, Log, open_log
from ccx.plan.replay.judging import doubts_of, facts_of
from ccx.plan.replay.logged import UNCOUNTABLE, Unreadable
from ccx.routing.facts import Axis, Facts
from ccx.routing.table import RoutingTable

_NUMBERED: Final = re.compile(r"(?P<path>.+):(?P<number>[0-9]{1,12})")


@dataclass(frozen=True, slots=True)
class Logged:
    """The facts of a line; the table and the route that served it then; notes on what the line does not say; and the
    count of its session by which it was decided, if that was not its own."""

    facts: Facts
    digest: str
    route: str | None
    notes: tuple[str, ...]
    sticky_tokens: int | None = None


class _Served(msgspec.Struct):
    digest: str = ""


def read_line(table: RoutingTable, source: str) -> Logged:
    """The facts of a line as the table would see them. `source` is the line itself, `-` for the first line of standard
    input, a log, or `LOG:17`; without a number the last line.

    Raises UsageError for what cannot be read.
    """
    line = _line(source)
    try:
        row = ccx_log.read(line)
        known = facts_of(row.request)
    except Unreadable as why:
        raise UsageError(f"--log: {why}") from None
    except ValueError as error:
        raise UsageError(f"--log: the line's facts cannot be read: {error}") from None
    served = msgspec.json.decode(line, type=_Served)
    judge = Judge(table)
    cell = judge.decider.cell(known.protocol, known.model)
    notes = [f"the log does not say {what}: taken as no" for what in doubts_of(row.request, cell)]
    facts = replace(judge.facts(known), input_tokens=None, tokens_at_most=None)
    if row.counted is not None:
        facts = replace(facts, input_tokens=None if row.counted == UNCOUNTABLE else row.counted)
    elif row.at_most is not None:
        facts = replace(facts, tokens_at_most=row.at_most)
    elif row.prompt is not None:
        facts = replace(facts, input_tokens=row.prompt)
        if Axis.INPUT_TOKENS in cell.axes:
            notes.append("the tokens are the provider's count, not ccx's own")
    elif Axis.INPUT_TOKENS in cell.axes:
        notes.append("the log does not say how many tokens the prompt has: taken as none")
    if known.client is not None and known.client not in judge.clients:
        notes.append(f"the client {known.client!r} is not declared any more")
    return Logged(facts, served.digest, row.request.route, tuple(notes), row.sticky)


def _line(source: str) -> bytes:
    if source.lstrip().startswith("{"):
        return source.strip().encode("utf-8", "surrogateescape")
    if source == "-":
        return sys.stdin.buffer.readline(MAX_LINE).strip()
    numbered = _NUMBERED.fullmatch(source)
    if numbered is not None and not Path(source).exists():
        return _numbered(numbered["path"], int(numbered["number"]))
    return _numbered(source, None)


def _numbered(path: str, number: int | None) -> bytes:
    """A line by its number, from 1; without one the last that is not blank."""
    with open_log(path) as log:
        found = _find(log, number)
    if found is None:
        raise UsageError(f"--log: {path!r} has no line {number}" if number is not None else f"--log: {path!r} is empty")
    if found in (TOO_LONG, BROKEN):
        raise UsageError(f"--log: the line of {path!r} cannot be read")
    return found


def _find(log: Log, number: int | None) -> bytes | None:
    seen, last = 0, None
    for lines in log.lines():
        if number is not None and seen < number <= seen + len(lines):
            return lines[number - seen - 1]
        seen += len(lines)
        last = next((line for line in reversed(lines) if line.strip()), last)
    return last if number is None else None
