"""Bringing replicas to one table: asked to reload, then watched until each says that it serves it.

A replica that tries the new table as a canary first is on its way: it comes to it by itself, when the time is over.

Law: a gateway reads its own files; nothing is uploaded. A replica that serves neither the old table nor the new one is
not touched. Clock and pause are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Literal

from ccx.cli.remote import Remote, RemoteError, Serving, Tried
from ccx.errors import CcxError

POLL: Final = 0.5
"""Seconds between two looks at the replicas."""
AGAIN: Final = 5.0
"""Seconds after which a replica that lags is asked to reload again: its files may have arrived only now."""
_AT_ONCE: Final = 16

State = Literal["new", "canary", "old", "other", "unknown"]


@dataclass(slots=True)
class Replica:
    """One gateway as it was last seen. `problems` are those of its last reload, or why it could not be asked."""

    remote: Remote
    state: State = "unknown"
    digest: str = ""
    behind: int = 0
    problems: tuple[str, ...] = ()
    asked: float | None = field(default=None)
    canary: Tried | None = None
    """The new table, while it is tried there; kept when it was withdrawn."""

    @property
    def withdrew(self) -> bool:
        """Whether it tried the new table and does no more."""
        return self.state == "old" and self.canary is not None

    @property
    def name(self) -> str:
        """Its address."""
        return self.remote.url


def look(replicas: Sequence[Replica], *, old: str, new: str) -> None:
    """Ask each what it serves. Never raises for what they answer."""

    def one(replica: Replica) -> None:
        try:
            _seen(replica, replica.remote.serving(), old=old, new=new)
        except CcxError as error:
            replica.state, replica.problems = "unknown", (str(error),)

    _each(replicas, one)


def _seen(replica: Replica, serving: Serving, *, old: str, new: str) -> None:
    replica.digest, replica.problems = serving.digest, serving.problems
    replica.behind = serving.lagging(new)
    others = {digest for digest in serving.workers.values() if digest not in (None, old, new)}
    if others or serving.digest not in (old, new):
        replica.state = "other"
    elif not replica.behind:
        replica.state = "new"
    elif serving.canary is not None and serving.canary.digest == new:
        replica.state, replica.canary = "canary", serving.canary
    else:
        replica.state = "old"


def ask(replicas: Sequence[Replica], *, now: float) -> None:
    """Have those that lag reload, if they have not been asked of late."""

    def one(replica: Replica) -> None:
        replica.asked = now
        try:
            replica.problems = replica.remote.reload().problems
        except RemoteError as error:
            replica.problems = (str(error),)

    lagging = [replica for replica in replicas if replica.state in ("old", "unknown")]
    _each([one for one in lagging if one.asked is None or now - one.asked >= AGAIN], one)


def bring(
    replicas: Sequence[Replica],
    *,
    old: str,
    new: str,
    wait: float,
    clock: Callable[[], float],
    pause: Callable[[float], None],
    told: Callable[[int, int], None],
) -> bool:
    """Whether every replica serves the new table within `wait` seconds. `told` hears how many do, of how many.

    Ends early where one serves a table that is neither, where one has withdrawn the new table, and where all that do
    not serve it yet will not have tried it to the end by then.
    """
    ends = clock() + wait
    while True:
        ask(replicas, now=clock())
        look(replicas, old=old, new=new)
        told(sum(replica.state == "new" for replica in replicas), len(replicas))
        if all(replica.state == "new" for replica in replicas):
            return True
        left = ends - clock()
        if left <= 0 or any(replica.state == "other" or replica.withdrew for replica in replicas):
            return False
        if all(replica.state == "new" or (replica.canary and replica.canary.left > left) for replica in replicas):
            return False
        pause(min(POLL, max(ends - clock(), 0.0)))


def _each(replicas: Sequence[Replica], work: Callable[[Replica], None]) -> None:
    if replicas:
        with ThreadPoolExecutor(min(len(replicas), _AT_ONCE)) as pool:
            list(pool.map(work, replicas))
