"""What the demo upstream is told to do, by a word in the model's name or else in the newest message.

The words, each with `demo-` in front:

    fail-<400..599>  that status, in the words of the protocol
    overloaded       the protocol's own error for it
    context-window   the input is longer than the model allows
    quota            the account has no money or quota left
    content-filter   the request is blocked
    refusal          the answer starts, and is then refused
    stall            no answer ever comes
    stall-midstream  the answer begins and never goes on
    slow             the first byte after 2 s, then a piece every 20 ms
    cut              the connection closes in the middle of the answer
    error-midstream  a stream turns into an error; without a stream, a 500
    garbage          a 200 whose body is not of the protocol
    empty            a 200 without a body
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from ccx.upstream.demo.failures import Failure


class Manner(StrEnum):
    """How an answer is given, where it is not refused outright."""

    PLAIN = "plain"
    REFUSAL = "refusal"
    STALL = "stall"
    STALL_MIDSTREAM = "stall-midstream"
    SLOW = "slow"
    CUT = "cut"
    ERROR_MIDSTREAM = "error-midstream"
    GARBAGE = "garbage"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Either a failure, or a manner of answering."""

    manner: Manner = Manner.PLAIN
    failure: Failure | None = None


FIRST_BYTE_DELAY = 2.0
PIECE_DELAY = 0.02
"""Of `demo-slow`, in seconds."""

_FAILURES = {
    "overloaded": Failure(503, "The demo upstream is overloaded, as asked.", cause="overloaded"),
    "context-window": Failure(
        400,
        "prompt is too long: 250000 tokens > 200000 maximum (the demo upstream, as asked)",
        cause="context_window",
        param="messages",
    ),
    "quota": Failure(429, "The demo upstream's quota is used up, as asked.", cause="quota"),
    "content-filter": Failure(
        400, "The demo upstream's content filter blocked this request, as asked.", cause="content_filter"
    ),
}
_MANNERS = sorted((manner.value for manner in Manner if manner is not Manner.PLAIN), key=len, reverse=True)
_WORD = re.compile(
    r"(?<![\w-])demo-(?:fail-(?P<status>[45]\d\d)|(?P<failure>"
    + "|".join(_FAILURES)
    + ")|(?P<manner>"
    + "|".join(_MANNERS)
    + r"))(?![\w-])"
)


def behaviour(model: str, text: str) -> Behaviour:
    """What a request asks for: `model` decides, else `text`, the newest message of the user."""
    # The plain search first: it is a hundred times faster, and the text may be a whole book.
    found = _WORD.search(model) or (_WORD.search(text) if "demo-" in text else None)
    if found is None:
        return Behaviour()
    if status := found["status"]:
        return Behaviour(failure=Failure(int(status), f"The demo upstream fails with {status}, as asked."))
    if name := found["failure"]:
        return Behaviour(failure=_FAILURES[name])
    return Behaviour(Manner(found["manner"]))
