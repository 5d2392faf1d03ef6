"""How a prepared table comes into force, at once or tried as a canary first, and how it goes again.

Law: what is done to the gateway is done between two awaits, so that no request sees half of it. A table takes all at
once unless it declares `server.canary`; then it does so when its time is over, or an operator promotes it. It goes at
once when it does worse than the one that served before or beside it, or an operator aborts it, and it is not taken
again until its files say something else. Of tables that come while one is tried, the newest takes its place; the one
in force stays. Only a table that took all is kept as the last good one: a restart in between begins the canary anew.

Not tried, but taken at once, is a table that is the present one but for what a running process cannot take over
(`restart_needed`): nothing of it would show.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Final, Literal, Protocol

from ccx.routing.canonical import digest
from ccx.routing.table import RoutingTable
from ccx.runtime.canary import Canary, terms
from ccx.runtime.gateway import Gateway
from ccx.runtime.live import Live, PrepareError
from ccx.runtime.verdicts import Verdicts
from ccx.runtime.watch import tolerance_of

GIVEN_UP_KEPT: Final = 100

Result = Literal["applied", "canary", "unchanged", "rejected"]
"""What became of a reload; `canary`: the new table serves a share."""
Keep = Callable[[], Awaitable[None]]
Again = Callable[[RoutingTable, str, Live], Awaitable[Live]]
End = Literal["promoted", "aborted", "breached", "replaced", "reverted"]


class Done(Protocol):
    """Takes note of what has been done, and why; returns the result."""

    def __call__(self, result: Result, reason: str, *, problems: tuple[str, ...] = ()) -> Result:
        """See the class."""


class NoCanaryError(Exception):
    """No such table is being tried. The text says what is."""


class Rollout:
    """Brings tables into force, one at a time under `lock`.

    `again` prepares a table anew, off the loop; `done` is told of each result; `verdicts` are shared with the other
    workers.
    """

    def __init__(self, gateway: Gateway, *, lock: asyncio.Lock, again: Again, done: Done, verdicts: Verdicts) -> None:
        self._gateway = gateway
        self._lock = lock
        self._again = again
        self._done = done
        self._verdicts = verdicts
        self._before: RoutingTable | None = None
        self._keep: Keep | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.given_up: dict[str, str] = {}
        self.ended: Counter[End] = Counter()
        gateway.on_breach = self._breached
        gateway.on_canary_breach = self._canary_breached

    async def enter(self, live: Live, reason: str, *, keep: Keep) -> Result:
        """Bring a prepared table into force, or try it first; the caller holds the lock. `keep` keeps its source as
        the last good one, once it has taken all."""
        gateway, old = self._gateway, self._gateway.live
        verdict = (await self._verdicts.read()).get(live.digest)
        if verdict is not None and verdict.word == "withdrawn":
            return self._done("rejected", reason, problems=(self._give_up(live.digest, verdict.why),))
        wanted = terms(live.table.server) if live.digest != old.digest else None
        self._stop_trying("replaced" if live.digest != old.digest else "reverted")
        if wanted is None or verdict is not None or not tellable(old.table, live.table):
            return await self._take_all(live, reason, keep)
        now = asyncio.get_running_loop().time()
        canary = Canary(live, wanted, now=now, since=time.time())
        gateway.commit(gateway.live, canary)
        self._keep = keep
        self._timer = asyncio.get_running_loop().call_at(canary.until, self._over, canary)
        return self._done("canary", reason)

    def revert(self) -> None:
        """The files say what is in force again: nothing is tried any more. The caller holds the lock."""
        if self._stop_trying("reverted"):
            self._gateway.commit(self._gateway.live)

    def renew(self, present: Live, newest: Live, canary: Canary) -> bool:
        """Put both tables in place of those with the same digests whose secrets are others by now; False if the canary
        has ended meanwhile."""
        if self._gateway.canary is not canary:
            return False
        canary.live = newest
        self._gateway.commit(present, canary)
        return True

    async def promote(self, reason: str, *, prefix: str = "", why: str) -> None:
        """Let the canary whose digest begins so take all now, in each worker. Raises NoCanaryError; OSError where the
        other workers cannot be told: nothing is done then."""
        async with self._lock:
            canary = self._tried(prefix)
            await self._verdicts.give(canary.live.digest, "promoted", why)
            await self._promote(canary, reason)

    async def abort(self, reason: str, *, prefix: str = "", why: str) -> None:
        """Withdraw the canary whose digest begins so, in each worker. Raises as `promote` does."""
        async with self._lock:
            canary = self._tried(prefix)
            await self._verdicts.give(canary.live.digest, "withdrawn", why)
            self._withdraw(canary, why, end="aborted", reason=reason)

    async def obey(self) -> None:
        """Do what the other workers' verdicts say of the canary here."""
        async with self._lock:
            canary = self._gateway.canary
            verdict = (await self._verdicts.read()).get(canary.live.digest) if canary is not None else None
            if canary is None or verdict is None or canary is not self._gateway.canary:
                return
            match verdict.word:
                case "promoted":
                    await self._promote(canary, "canary")
                case "withdrawn":
                    self._withdraw(canary, verdict.why, end="aborted", reason="canary")

    def _tried(self, prefix: str) -> Canary:
        canary = self._gateway.canary
        if canary is None:
            raise NoCanaryError("no table is being tried")
        if not canary.live.digest.startswith(prefix):
            raise NoCanaryError(f"the table being tried is {canary.live.digest[:12]}, not {prefix[:12]}")
        return canary

    def _stop_trying(self, end: End) -> bool:
        """Forget the canary; what comes next puts another table in its place."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._keep = None
        if self._gateway.canary is None:
            return False
        self.ended[end] += 1
        return True

    async def _take_all(self, live: Live, reason: str, keep: Keep | None) -> Result:
        old = self._gateway.live
        self._gateway.commit(live)
        tolerance = tolerance_of(live.table.server) if live.digest != old.digest else None
        if tolerance is not None:
            self._before = old.table
        self._gateway.watch.begin(live.digest, tolerance, now=asyncio.get_running_loop().time())
        result = self._done("applied", reason)
        if keep is not None:
            await keep()
        return result

    async def _promote(self, canary: Canary, reason: str) -> None:
        if self._gateway.canary is not canary:
            return  # it has ended meanwhile
        keep = self._keep
        self._stop_trying("promoted")
        await self._take_all(canary.live, reason, keep)

    def _withdraw(self, canary: Canary, why: str, *, end: End, reason: str) -> None:
        if self._gateway.canary is not canary:
            return
        self._stop_trying(end)
        self._gateway.commit(self._gateway.live)
        self._done("rejected", reason, problems=(self._give_up(canary.live.digest, why),))

    def _give_up(self, digest: str, why: str) -> str:
        problem = f"table {digest[:12]} was withdrawn: {why} (server.canary)"
        return self._forbid(digest, problem)

    def _forbid(self, digest: str, problem: str) -> str:
        self.given_up[digest] = problem
        if len(self.given_up) > GIVEN_UP_KEPT:
            del self.given_up[next(iter(self.given_up))]
        return problem

    def _over(self, canary: Canary) -> None:
        """A canary's time is over."""

        async def take_all() -> None:
            async with self._lock:
                await self._promote(canary, "canary")

        self._begin(take_all())

    def _canary_breached(self, canary: Canary, why: str) -> None:
        """The table being tried does worse than the present one: not one more request is given to it."""
        self._withdraw(canary, why, end="breached", reason="canary")

        async def tell() -> None:
            try:
                await self._verdicts.give(canary.live.digest, "withdrawn", why)
            except OSError:
                return  # each of the others will see for itself

        self._begin(tell())

    def _breached(self, why: str) -> None:
        """The table in force does worse than the one before it."""
        self._begin(self._roll_back(self._gateway.live, why))

    async def _roll_back(self, bad: Live, why: str) -> None:
        """Serve the table before it again, and that one no more until its files say something else. A table that is
        being tried goes on: it may be the repair."""
        async with self._lock:
            if self._gateway.live is not bad or self._before is None:
                return  # replaced meanwhile
            problem = f"table {bad.digest[:12]} was given up: {why}; the one before it serves again (server.rollback)"
            self._forbid(bad.digest, problem)
            table, self._before = self._before, None
            try:
                live = await self._again(table, digest(table), bad)
            except PrepareError as error:
                self._done("rejected", "rollback", problems=(problem, *error.problems))
                return
            self._gateway.commit(live, self._gateway.canary)
            self._gateway.watch.begin(live.digest, None, now=asyncio.get_running_loop().time())
            self._done("rejected", "rollback", problems=(problem,))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def restart_needed(old: RoutingTable, new: RoutingTable) -> tuple[str, ...]:
    """Settings that changed and that a running process cannot take over."""
    changed = []
    if (old.server.host, old.server.port) != (new.server.host, new.server.port):
        changed.append("server.listen")
    if replace(old.telemetry, alerts=None) != replace(new.telemetry, alerts=None):
        changed.append("telemetry")
    if old.redis != new.redis:
        changed.append("state")
    return tuple(changed)


def tellable(old: RoutingTable, new: RoutingTable) -> bool:
    """Whether a running process serves one table otherwise than the other."""
    server = replace(new.server, host=old.server.host, port=old.server.port)
    return replace(new, server=server, telemetry=old.telemetry, redis=old.redis) != old
