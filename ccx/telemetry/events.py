"""What happens to the gateway itself, as opposed to its requests: started, reloaded, draining.

Law: events are few and must not be missed, so they are not buffered: each goes to the writer at once, and `flush` at
the end of the process waits for it. Fields are plain values chosen by the caller; a secret is named by its reference.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, assert_never

from msgspec import json

from ccx.telemetry.lines import Clock, printable
from ccx.telemetry.log import LogFormat
from ccx.telemetry.writer import LineWriter

EventKind = Literal[
    "starting",
    "started",
    "reload_applied",
    "reload_canary",
    "reload_unchanged",
    "reload_rejected",
    "secrets_changed",
    "channel_ordered",
    "canary_ordered",
    "probe",
    "sink_failed",
    "state_lost",
    "state_back",
    "budget_alert",
    "overload_began",
    "overload_ended",
    "warning",
    "draining",
    "stopped",
]
EventValue = str | int | float | bool | None | Sequence[str]
Level = Literal["info", "warning", "error"]

_LEVELS: Final[dict[EventKind, Level]] = {
    "reload_rejected": "error",
    "sink_failed": "error",
    "state_lost": "error",
    "budget_alert": "warning",
    "overload_began": "error",
    "warning": "warning",
}
_MAX_TEXT: Final = 8192
_TAKEN: Final = frozenset({"ts", "level", "event"})


class EventLog:
    """Writes events as lines: `{"ts", "level", "event", ...fields}` as JSON, or as text for a person.

    Safe to use from any thread. The format none silences requests, not events: they appear as text.
    """

    def __init__(
        self,
        writer: LineWriter,
        *,
        format: LogFormat = "json",  # noqa: A002  # the word of the spec
        now: Callable[[], float] = time.time,
    ) -> None:
        self.writer = writer
        self.format: LogFormat = format
        self._now = now

    def log_event(self, kind: EventKind, /, **fields: EventValue) -> None:
        """Write one event. The names ts, level and event are taken: such a field gets a trailing underscore.

        Never raises."""
        level = _LEVELS.get(kind, "info")
        ts = Clock()(self._now())
        clean = {f"{name}_" if name in _TAKEN else name: _clean(value) for name, value in fields.items()}
        match self.format:
            case "json":
                line = json.encode({"ts": ts, "level": level, "event": kind, **clean})
            case "text" | "none":
                mark = "" if level == "info" else f"{level}: "
                pairs = " ".join(f"{name}={_shown(value)}" for name, value in clean.items())
                line = f"{ts} {mark}{kind.replace('_', ' ')} {pairs}".rstrip().encode()
            case _ as never:
                assert_never(never)
        self.writer.submit(line + b"\n", 1)

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait until every event is out, at most `timeout` seconds. False if it is not."""
        return self.writer.drain(timeout)


def _clean(value: EventValue) -> EventValue:
    match value:
        case str():
            return value[:_MAX_TEXT].encode("utf-8", "replace").decode()
        case bool() | int() | float() | None:
            return value
        case _:
            return [str(item)[:_MAX_TEXT].encode("utf-8", "replace").decode() for item in value]


def _shown(value: EventValue) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            text = printable(value)
            return text if text and " " not in text else f'"{text}"'
        case _:
            return "; ".join(printable(item) for item in value) or "-"
