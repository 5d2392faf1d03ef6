"""What a failure was, and what it calls for. Pure: tables and functions over plain values.

Law
- A failure is told by the status and the words of the provider's error, by the table in `rules`; never by loose words.
- Every failure has a class, every class a remedy and a rank; an unknown error falls to the class of its status.
- Blame is the class's: a client's mistake never counts against an upstream or a key.
- This module does not decide whether to retry: `failover.on` of a route does. It says what could help.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from ccx.errors import BadReply, ConnectError, ConnectionLost, UpstreamError, UpstreamTimeout
from ccx.upstream.rules import RULES, FailureClass, Rule
from ccx.upstream.waits import retry_after, retry_after_body

__all__ = [
    "REMEDIES",
    "FailureClass",
    "Remedy",
    "classify",
    "classify_exception",
    "remedy",
    "retry_after",
    "retry_after_body",
    "usefulness",
]

Blame = Literal["client", "upstream", "key"]


@dataclass(frozen=True, slots=True)
class Remedy:
    """Where an answer may still be had: from the same target a while later, with another key of its pool, from another
    target. `blame` is whose fault it was, and so whose health suffers."""

    same_target: bool
    other_key: bool
    other_target: bool
    blame: Blame


# A timeout is not tried again at the same target: it has cost its time already. Another target is worth a try even for
# a client's mistake, since providers differ in what they refuse; those classes are off unless `failover.on` names them.
REMEDIES: Mapping[FailureClass, Remedy] = MappingProxyType(
    {
        "connect": Remedy(same_target=True, other_key=False, other_target=True, blame="upstream"),
        "timeout": Remedy(same_target=False, other_key=False, other_target=True, blame="upstream"),
        "rate_limit": Remedy(same_target=True, other_key=True, other_target=True, blame="key"),
        "overloaded": Remedy(same_target=True, other_key=False, other_target=True, blame="upstream"),
        "server_error": Remedy(same_target=True, other_key=False, other_target=True, blame="upstream"),
        "auth": Remedy(same_target=False, other_key=True, other_target=True, blame="key"),
        "quota": Remedy(same_target=False, other_key=True, other_target=True, blame="key"),
        "model_not_found": Remedy(same_target=False, other_key=False, other_target=True, blame="client"),
        "context_window": Remedy(same_target=False, other_key=False, other_target=True, blame="client"),
        "content_filter": Remedy(same_target=False, other_key=False, other_target=True, blame="client"),
        "bad_request": Remedy(same_target=False, other_key=False, other_target=True, blame="client"),
    }
)

# What a client can act on comes first; what only the operator can, last.
_USEFULNESS: tuple[FailureClass, ...] = (
    "bad_request",
    "context_window",
    "content_filter",
    "rate_limit",
    "quota",
    "overloaded",
    "server_error",
    "model_not_found",
    "timeout",
    "connect",
    "auth",
)
_RANK: Mapping[str, int] = MappingProxyType({name: -index for index, name in enumerate(_USEFULNESS, -len(_USEFULNESS))})


def classify(
    *,
    dialect: str,
    status: int,
    type: str | None,  # noqa: A002 - the name the providers give it
    code: str | None,
    message: str | None,
    status_text: str | None = None,
) -> FailureClass | None:
    """The class of an upstream's answer; None if it succeeded.

    `type`, `code` and `status_text` (Google's canonical status) are the machine-readable words of an error, `message`
    its text. A status below 400 with such a word or message is an error inside a stream, or one wrapped in a 200.
    """
    words = {word for word in (type, code, status_text) if word}
    if 200 <= status < 300:
        if not words and not message:
            return None
        # Some put the status that would have been in the code.
        status = next((int(word) for word in words if word.isdecimal() and len(word) == 3 and word[0] in "45"), 200)
    for rule in _rules(dialect):
        if _fits(rule, status=status, words=words, message=message or ""):
            return rule.failure
    return "bad_request" if 400 <= status < 500 else "server_error"


def classify_exception(error: UpstreamError) -> FailureClass:
    """The class of a call that brought no answer, or half of one.

    A connection that was made and then lost without a reply is a `server_error`: the upstream may have acted on it.
    """
    match error:
        case ConnectError():
            return "connect"
        case UpstreamTimeout(stage="connect"):
            return "connect"
        case UpstreamTimeout():
            return "timeout"
        case ConnectionLost() | BadReply():
            return "server_error"
        case _:
            return "server_error"


def remedy(failure: FailureClass) -> Remedy:
    """What may help against a class of failure."""
    return REMEDIES[failure]


def usefulness(failure: FailureClass) -> int:
    """How useful it is to the client to see this failure when all attempts failed; the highest is shown."""
    return _RANK[failure]


@lru_cache(maxsize=64)
def _rules(dialect: str) -> tuple[Rule, ...]:
    return tuple(rule for rule in RULES if not rule.dialects or dialect in rule.dialects)


def _fits(rule: Rule, *, status: int, words: set[str], message: str) -> bool:
    return (
        (not rule.statuses or status in rule.statuses)
        and (rule.word is None or rule.word in words)
        and (rule.message is None or rule.message.match(message) is not None)
    )
