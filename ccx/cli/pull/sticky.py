"""Which comment of a pull request is created, updated, or left alone.

Law: pure. Only a comment of one's own, that begins with the mark of the spec, is ever written over; nothing is deleted.
A run whose commit is no longer the pull request's last has nothing to say, and neither has one that began before the
run whose comment stands there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ccx.cli.pull.bundle import Told
from ccx.plan.render.github import marker_start

_AT: Final = re.compile(r" at=(\S+)")
_APART: Final = "\N{ZERO WIDTH SPACE}"


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment as the forge has it. `author` is the login."""

    id: int
    author: str
    body: str


@dataclass(frozen=True, slots=True)
class Create:
    """There is none yet."""


@dataclass(frozen=True, slots=True)
class Update:
    """Write over this one."""

    id: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Do nothing, and say why."""

    why: str


def decide(told: Told, at: str, existing: Iterable[Comment], *, author: str) -> Create | Update | Leave:
    """What to do with the comment of a spec, made at a time. `existing` are all comments, the oldest first."""
    start = f"{marker_start(told.spec)} "
    for one in existing:
        if one.author != author or not one.body.startswith(start):
            continue
        then = _AT.search(one.body.partition("\n")[0])
        # Times in this form sort as text.
        if then is not None and then[1] > at:
            return Leave(f"the comment is of a newer run, from {then[1]}")
        return Update(one.id)
    return Leave("it changes nothing, and there is no comment to correct") if told.quiet else Create()


def stale(head: str, now: str) -> Leave | None:
    """Whether the pull request has another last commit than the one that was looked at."""
    return None if head == now else Leave(f"the pull request is at {now[:12]} by now, and this was {head[:12]}")


def of_stranger(body: str, *, run: str) -> str:
    """A comment that a fork's own run wrote: it says so, and calls nobody."""
    first, _, rest = body.partition("\n")
    tame = rest.replace("@", f"@{_APART}")
    where = f"[its own run](<{run}>)" if run.startswith("https://") and not set("<>\n") & set(run) else "its own run"
    return (
        f"{first}\n> This pull request comes from a fork, and {where} wrote what follows; nobody checked it.\n\n{tame}"
    )
