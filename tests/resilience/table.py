"""The faults of an upstream, and for each what must come of it.

Law: this is the specification, and the only place of it. A row says what the client sees when a sound second target
stands behind the failing one, which attempts that took, what is then known against the failing target, and what the
client sees when it stands alone. `measure` finds out what happens, and knows nothing of what should.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.faults import Malformed, Reset, Stall
from tests.resilience import acts
from tests.resilience.acts import Play

Place = Literal["refused", "unresolved", "untrusted", "plaintext"]
"""A fault of the address, and not of what answers there."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The time limits of the failing channel, in milliseconds. Long, unless the fault is a slowness."""

    connect: int = 5000
    first_byte: int = 5000
    idle: int = 5000
    total: int = 8000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes of a fault. `client`: what the client sees, in the words of `speech.judged`. `attempts`: how each
    ended, in order. `state`: what is then known against the failing target. `alone`: what the client sees without
    another target, after so many `tries`."""

    client: str
    attempts: tuple[str, ...]
    state: str
    alone: str
    tries: int


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """A row. `converted` is what comes of a streamed answer where it is converted, if that is something else, and
    `converted_whole` of a whole one."""

    name: str
    fault: Play | Place
    streamed: Outcome
    whole: Outcome
    limits: Limits = Limits()
    converted: Outcome | None = None
    converted_whole: Outcome | None = None

    def expected(self, *, stream: bool, converted: bool) -> Outcome:
        """For one way of asking."""
        usual, other = (self.streamed, self.converted) if stream else (self.whole, self.converted_whole)
        return other if converted and other is not None else usual


COUNTED = "1 failure"
UNTOUCHED = "untouched"


def elsewhere(failure: str, alone: str, *, state: str = COUNTED, tries: int = 3) -> Outcome:
    """The second target's answer reaches the client as if nothing had been."""
    return Outcome("answer", (failure, "ok"), state, alone, tries)


def told(failure: str, client: str, *, state: str = UNTOUCHED) -> Outcome:
    """It is the client's to know: nobody else is asked."""
    return Outcome(client, (failure,), state, client, 1)


SERVED = Outcome("answer", ("ok",), UNTOUCHED, "answer", 1)
"""Nothing that matters to anybody."""


def late(failure: str = "server_error", kind: str = "api_error", *, state: str = COUNTED) -> Outcome:
    """The answer has begun: the client hears its beginning, and then the error of its protocol."""
    return told(failure, f"error event {kind}", state=state)


def _both(name: str, fault: Play | Place, outcome: Outcome, *, limits: Limits = Limits()) -> Fault:
    return Fault(name, fault, outcome, outcome, limits)


_BAD_GATEWAY = elsewhere("server_error", "502 api_error")
_NO_CONNECTION = elsewhere("connect", "502 api_error")
_TIMED_OUT = elsewhere("timeout", "504 timeout", tries=1)
# What has to arrive before a limit has time to, also on a machine with much else to do.
_NEVER_BEGINS = Limits(first_byte=250, total=800)
_FALLS_SILENT = Limits(idle=400, total=1000)
_TAKES_TOO_LONG = Limits(total=1000)

FAULTS: tuple[Fault, ...] = (
    _both("connection refused", "refused", _NO_CONNECTION),
    _both("name not found", "unresolved", _NO_CONNECTION),
    _both("certificate not trusted", "untrusted", _NO_CONNECTION),
    _both("plain text where TLS should be", "plaintext", _NO_CONNECTION),
    _both("reset before the head", lambda *_: Reset(), _BAD_GATEWAY),
    _both("closed before the head", lambda *_: Malformed(b""), _BAD_GATEWAY),
    Fault("reset in the body", acts.half("reset"), late(), _BAD_GATEWAY),
    Fault(
        "reset after a megabyte",
        acts.large_then_reset,
        late(),
        told("server_error", "cut", state=COUNTED),
        converted_whole=_BAD_GATEWAY,
    ),
    Fault("reset before the end's event", acts.finished_then_reset, late(), _BAD_GATEWAY),
    Fault("reset behind the end", acts.whole_then("reset"), SERVED, _BAD_GATEWAY),
    Fault("silent behind the end", acts.whole_then("stall"), SERVED, _TIMED_OUT, _FALLS_SILENT),
    Fault("closed in the body", acts.half("cut"), late(), _BAD_GATEWAY),
    Fault("half a body, well framed", acts.well_framed_half, late(), _BAD_GATEWAY),
    _both("silent before the head", lambda *_: Stall(), _TIMED_OUT, limits=_NEVER_BEGINS),
    _both("silent after the head", acts.head_only, _TIMED_OUT, limits=_NEVER_BEGINS),
    Fault("silent in the body", acts.half("stall"), late("timeout"), _TIMED_OUT, _FALLS_SILENT),
    Fault("a byte at a time", acts.drip, late("timeout"), _TIMED_OUT, _TAKES_TOO_LONG),
    _both("keep-alives and no answer", acts.pings, _TIMED_OUT, limits=_NEVER_BEGINS),
    _both("400", acts.status(400, "invalid_request"), told("bad_request", "400 invalid_request")),
    _both(
        "401", acts.status(401, "authentication"), elsewhere("auth", "401 authentication", state="auth 60 s", tries=1)
    ),
    Fault(
        "402",
        acts.status(402, "billing"),
        elsewhere("quota", "402 billing", state="quota 300 s", tries=1),
        elsewhere("quota", "402 billing", state="quota 300 s", tries=1),
        # ccx's own kinds of error have no bill: the status tells it.
        converted=elsewhere("quota", "402 rate_limit", state="quota 300 s", tries=1),
        converted_whole=elsewhere("quota", "402 rate_limit", state="quota 300 s", tries=1),
    ),
    _both("403", acts.status(403, "permission"), elsewhere("auth", "403 permission", state="auth 60 s", tries=1)),
    _both(
        "404, no such model",
        acts.status(404, "not_found"),
        elsewhere("model_not_found", "404 not_found", state=UNTOUCHED, tries=1),
    ),
    _both("408", acts.status(408, "timeout"), elsewhere("timeout", "408 timeout", tries=1)),
    _both("413", acts.status(413, "too_large"), told("bad_request", "413 too_large")),
    _both(
        "429, retry-after: 7",
        acts.status(429, "rate_limit", retry_after="7"),
        elsewhere("rate_limit", "429 rate_limit, retry-after 7", state="rate_limit 7 s", tries=1),
    ),
    _both(
        "429",
        acts.status(429, "rate_limit"),
        elsewhere("rate_limit", "429 rate_limit", state="rate_limit 5 s", tries=3),
    ),
    _both(
        "429, limit full again in 90 s",
        acts.reset_of_limits,
        elsewhere("rate_limit", "429 rate_limit", state="rate_limit 90 s", tries=1),
    ),
    _both("500", acts.status(500, "api_error"), elsewhere("server_error", "500 api_error")),
    _both("503", acts.status(503, "overloaded"), elsewhere("overloaded", "503 overloaded")),
    _both("529", acts.status(529, "overloaded"), elsewhere("overloaded", "529 overloaded")),
    _both("garbage for an answer", acts.garbage, _BAD_GATEWAY),
    Fault(
        "gzip, cut",
        acts.cut_gzip,
        told("server_error", "cut", state=COUNTED),
        _BAD_GATEWAY,
        converted=_BAD_GATEWAY,
    ),
    Fault("Content-Length too long", acts.length(100), late(), _BAD_GATEWAY),
    Fault("Content-Length too short", acts.length(-40), late(), _BAD_GATEWAY),
    Fault("broken chunks", acts.broken_chunks, late(), _BAD_GATEWAY),
    _both("200, overloaded", acts.error_first("overloaded"), elsewhere("overloaded", "503 overloaded")),
    _both(
        "200, rate limit",
        acts.error_first("rate_limit"),
        elsewhere("rate_limit", "429 rate_limit", state="rate_limit 5 s"),
    ),
    Fault(
        "overloaded after first words",
        acts.error_later("overloaded"),
        late("overloaded", "overloaded"),
        elsewhere("overloaded", "503 overloaded"),
    ),
    Fault(
        "overloaded after first words, reset",
        acts.error_later("overloaded", then_reset=True),
        late("overloaded", "overloaded"),
        elsewhere("overloaded", "503 overloaded"),
    ),
    Fault(
        "rate limit after first words",
        acts.error_later("rate_limit"),
        late("rate_limit", "rate_limit", state="rate_limit 5 s"),
        elsewhere("rate_limit", "429 rate_limit", state="rate_limit 5 s"),
    ),
    Fault(
        "refused after first words",
        acts.error_later("invalid_request"),
        late("bad_request", "invalid_request", state=UNTOUCHED),
        told("bad_request", "400 invalid_request"),
    ),
)
