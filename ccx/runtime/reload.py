"""Reconciling the live table with the files: read, compile, prepare, commit; or keep what is good and say why.

Law: every hint (a change in a watched folder, SIGHUP, `POST /admin/reload`, a timer) calls the same `reconcile`, which
trusts no hint: it reads the whole closure of files once and compares contents. Nothing replaces a good table before the
new one has been compiled and prepared whole. A rejected content is remembered, so that it is reported once. Watching is
of folders, because editors and Kubernetes replace files by renaming.
"""

from __future__ import annotations

import asyncio
import hashlib
import stat
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from watchfiles import awatch

from ccx.errors import SecretError
from ccx.routing.table import RoutingTable
from ccx.runtime.canary import Canary
from ccx.runtime.commands import SecretCommands
from ccx.runtime.gateway import Gateway
from ccx.runtime.live import Live, PrepareError, prepare
from ccx.runtime.rollout import Result, Rollout, restart_needed
from ccx.runtime.verdicts import Verdicts
from ccx.secrets import SecretRef

TIMER = 15.0
TORN_WAIT = 0.25
DEBOUNCE_MS = 60
STEP_MS = 15
WATCH_CHECK_MS = 2000

# Reasons behind which somebody waits for a word.
ASKED = frozenset({"signal", "admin"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the files say now: a table, or why there is none. `stamp` identifies the contents read. `files` holds
    them by their real paths, `entry` being the spec's own."""

    stamp: str
    table: RoutingTable | None
    digest: str
    problems: tuple[str, ...]
    folders: tuple[Path, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    entry: str = ""


@dataclass(slots=True)
class Status:
    """How the last reload went, for status and metrics. Times are unix seconds."""

    source: Literal["file", "last_good"] = "file"
    result: Result = "applied"
    at: float = 0.0
    applied_at: float = 0.0
    problems: tuple[str, ...] = ()
    restart_needed: tuple[str, ...] = ()


class Approval(Protocol):
    """Who has a word in which table may follow which. Its methods read files, and run off the loop."""

    @property
    def folder(self) -> Path:
        """The folder in which a new word appears as a file."""

    def stamp(self) -> bytes:
        """Changes when there is a new word."""

    def refusal(self, running: str | None, wanted: str) -> str | None:
        """Why the table with this digest may not follow the running one; None if it may."""


class Reconciler:
    """Keeps the gateway's table what the files say.

    `look` reads the files and compiles them where they changed; it is slow and runs off the loop. `warm` makes
    ready what a table needs beside itself. `note` is told of every result; `persist` keeps the last good contents, in
    a thread. `written` are files that this process appends to: a change of theirs is no hint. `approval`, if there is
    one, is asked about each table that would be new. `verdicts` on tables that were tried are shared with the other
    workers.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        folder: Path,
        look: Callable[[], Awaitable[Candidate]],
        warm: Callable[[RoutingTable], Awaitable[None]],
        environ: Mapping[str, str],
        note: Callable[[Result, str, Live, Status], None],
        persist: Callable[[Candidate], None],
        written: Collection[Path] = (),
        approval: Approval | None = None,
        commands: SecretCommands | None = None,
        verdicts: Verdicts | None = None,
    ) -> None:
        self._commands = commands or SecretCommands(environ=environ, folder=folder)
        self._approval = approval
        self._gateway = gateway
        self._folder = folder
        self._look = look
        self._warm = warm
        self._environ = environ
        self._note = note
        self._persist = persist
        # As the watcher may spell them: folders of the closure are real paths, those of secrets are as declared.
        self._written = {str(path.parent / path.name) for path in written}
        self._written |= {str(path.parent.resolve() / path.name) for path in written}
        self._lock = asyncio.Lock()
        self._seen: str | None = None
        self._folders: tuple[Path, ...] = (folder,)
        self._woken = asyncio.Event()
        self._reason = "timer"
        self._started = gateway.live.table
        self._rollout = Rollout(
            gateway, lock=self._lock, again=self._prepare, done=self._done, verdicts=verdicts or Verdicts()
        )
        self.status = Status(applied_at=time.time())

    def accept(self, candidate: Candidate, *, source: Literal["file", "last_good"]) -> None:
        """Start from a table that is live already: what was read at the start of the process. The last good one without
        problems is where the canary of what the files say begins."""
        self._folders = candidate.folders
        self.status.source = source
        if source == "file":
            self._seen = self._stamp(candidate)
            self._persist(candidate)
        elif candidate.problems:
            self.status.result = "rejected"
            self.status.problems = candidate.problems

    @property
    def rollout(self) -> Rollout:
        """How tables come into force here."""
        return self._rollout

    async def reconcile(self, reason: str) -> Result:
        """Bring the live table in line with the files now. Never raises for what is in the files."""
        async with self._lock:
            candidate = await self._look()
            if candidate.table is None and await asyncio.to_thread(self._stamp, candidate) != self._seen:
                # A file is perhaps half written: look again before rejecting it.
                await asyncio.sleep(TORN_WAIT)
                candidate = await self._look()
            self._folders = candidate.folders
            stamp = await asyncio.to_thread(self._stamp, candidate)
            if stamp == self._seen:
                # Nothing new was read: worth a word only to who asked. Any file beside the spec gives hints.
                return self._done("unchanged", reason if reason in ASKED else "timer", problems=self.status.problems)
            self._seen = stamp
            if candidate.table is None:
                return self._done("rejected", reason, problems=candidate.problems)
            if (reason_given := self._rollout.given_up.get(candidate.digest)) is not None:
                return self._done("rejected", reason, problems=(reason_given,))
            if self._approval is not None:
                running = self._gateway.live.digest
                refusal = await asyncio.to_thread(self._approval.refusal, running, candidate.digest)
                if refusal is not None:
                    return self._done("rejected", reason, problems=(refusal,))
            await self._warm(candidate.table)
            return await self._apply(candidate, candidate.table, reason)

    async def _apply(self, candidate: Candidate, table: RoutingTable, reason: str) -> Result:
        gateway = self._gateway
        old, canary = gateway.live, gateway.canary
        try:
            if canary is not None and candidate.digest == canary.live.digest:
                return await self._renew(canary, reason)
            live = await self._prepare(table, candidate.digest, old)
        except PrepareError as error:
            return self._done("rejected", reason, problems=error.problems)
        self.status.source = "file"
        if _same(old, live):
            self._rollout.revert()
            return self._done("unchanged", reason)
        return await self._rollout.enter(live, reason, keep=lambda: asyncio.to_thread(self._persist, candidate))

    async def _renew(self, canary: Canary, reason: str) -> Result:
        """The table being tried is what the files say: whatever else has changed, secrets perhaps, changes for both
        tables. The present one keeps its own where it cannot have others. Raises PrepareError."""
        old = self._gateway.live
        newest = await self._prepare(canary.live.table, canary.live.digest, canary.live)
        try:
            present = await self._prepare(old.table, old.digest, old)
        except PrepareError:
            present = old
        if _same(old, present) and _same(canary.live, newest):
            return self._done("unchanged", reason)
        renewed = self._gateway.live is old and self._rollout.renew(present, newest, canary)
        return self._done("canary" if renewed else "unchanged", reason)

    async def _prepare(self, table: RoutingTable, digest: str, previous: Live) -> Live:
        return await asyncio.to_thread(
            prepare,
            table,
            digest,
            folder=self._folder,
            environ=self._environ,
            previous=previous,
            run=self._commands.read,
        )

    def _done(self, result: Result, reason: str, *, problems: tuple[str, ...] = ()) -> Result:
        status = self.status
        status.at = time.time()
        if result == "applied":
            status.applied_at = status.at
        status.restart_needed = restart_needed(self._started, self._gateway.newest.table)
        status.result = "rejected" if problems else result
        status.problems = problems
        self._note(result, reason, self._gateway.live, status)
        return result

    def _stamp(self, candidate: Candidate) -> str:
        """The stamp of the files together with the contents of the secret and certificate files that they name, and
        what the commands that they name print."""
        digest = hashlib.sha256(candidate.stamp.encode())
        for ref in sorted(_named(candidate.table or self._gateway.newest.table, "command"), key=str):
            try:
                printed = hashlib.sha256(self._commands.read(ref)).digest()
            except SecretError:
                printed = b"failed"
            digest.update(str(ref).encode() + b"\0" + printed)
        for name in sorted(_named_files(candidate.table or self._gateway.newest.table)):
            try:
                content = hashlib.sha256((self._folder / name).read_bytes()).digest()
            except OSError:
                content = b"unreadable"
            digest.update(name.encode() + b"\0" + content)
        if self._approval is not None:
            digest.update(self._approval.stamp())
        return digest.hexdigest()

    def wake(self, reason: str = "signal") -> None:
        """Ask for a reconciliation soon, as a signal handler may."""
        if self._reason not in ASKED:
            self._reason = reason
        self._woken.set()

    async def run(self) -> None:
        """Reconcile at every hint and every `TIMER` seconds, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            while True:
                try:
                    async with asyncio.timeout(TIMER):
                        await self._woken.wait()
                except TimeoutError:
                    self._reason = "timer"
                reason, self._reason = self._reason, "timer"
                self._woken.clear()
                try:
                    await self.reconcile(reason)
                except Exception as error:  # noqa: BLE001 - whatever it is, the next hint must be heard
                    self._done("rejected", reason, problems=(f"{type(error).__name__}: {error}",))

    async def _watch(self) -> None:
        """Hints from the file system, of all folders that hold a file of the closure."""
        while True:
            folders = self._watched()
            if not folders:
                await asyncio.sleep(1)
                continue
            # What changed before the watch stands has gone unnoticed: look once as soon as it does, which is when the
            # generator first waits.
            asyncio.get_running_loop().call_soon(self.wake, "change")
            try:
                async for changes in awatch(
                    *folders,
                    # The default filter goes by names, and also by those of the folders above: it is blind for a spec
                    # in a folder whose path has, say, a `.venv` in it.
                    watch_filter=None,
                    recursive=False,
                    debounce=DEBOUNCE_MS,
                    step=STEP_MS,
                    rust_timeout=WATCH_CHECK_MS,
                    yield_on_timeout=True,
                ):
                    # Anything else may matter, even by a name never seen: a new file may match a glob of includes.
                    if any(path not in self._written for _, path in changes):
                        self.wake("change")
                    if self._watched() != folders:
                        break
            except (OSError, RuntimeError):
                # The folder went away while it was watched; the timer still looks.
                await asyncio.sleep(1)

    def _watched(self) -> dict[Path, tuple[int, int]]:
        """The folders to watch that exist, each with its identity: one that was replaced has to be watched anew."""
        found = {}
        tables = [live.table for live in self._gateway.lives]
        named = {(self._folder / name).parent for table in tables for name in _named_files(table)}
        approved = () if self._approval is None else (self._approval.folder,)
        for path in (*self._folders, *named, *approved):
            try:
                status = path.stat()
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode):
                found[path] = (status.st_dev, status.st_ino)
        return found


def _named(table: RoutingTable, kind: str) -> set[SecretRef]:
    """The secrets of one kind that a table refers to."""
    refs: list[object] = [table.admin.key, table.redis.url if table.redis is not None else None]
    refs.append(table.telemetry.alerts)
    for channel in table.channels:
        refs += [key.secret for key in channel.keys]
        refs.append(channel.proxy)
    return {ref for ref in refs if isinstance(ref, SecretRef) and ref.kind == kind}


def _named_files(table: RoutingTable) -> set[str]:
    """Paths of secret and certificate files in a table."""
    authorities = [channel.ca for channel in table.channels]
    if table.redis is not None:
        authorities.append(table.redis.ca)
    return {ref.name for ref in _named(table, "file")} | {ca for ca in authorities if ca}


def _same(old: Live, new: Live) -> bool:
    """Whether a table that was prepared again is to be served as it was, with the same secrets."""
    if (old.digest, old.secrets, old.admin_key) != (new.digest, new.secrets, new.admin_key):
        return False
    return all(new.upstreams[name].settings == old.upstreams[name].settings for name in old.upstreams)
