"""Counting requests on an event loop that must not feel it.

The law: a block counts the same wherever it is met, so its count is kept under a fingerprint of its bytes, and a
conversation that comes back one turn longer is decoded nowhere but in its new block. On the loop runs only what is
bounded to well under a millisecond: cutting a small body and looking its blocks up. Everything else happens in one of
two threads, one for bodies of up to `cut.AT_ONCE` bytes and one for larger ones, so that a giant never delays the
ordinary, and so that never two threads at once run Python at length: the loop would wait a switch interval for each.

It knows nothing of routes, clients or limits. The sync `count_now` and the async `count` are the same sum.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeAlias

from ccx.errors import GatewayError
from ccx.protocols.names import Protocol
from ccx.tokens import blocks, cut, encoding

ON_LOOP: Final = 524_288  # bytes of a body; about 0.4 ms when warm
ENTRY: Final = 256  # bytes of memory that a cached block takes, generously
_HASH_AT_ONCE: Final = 262_144
_JOIN: Final = 4_194_304

_Key: TypeAlias = tuple[Protocol, bytes | int]


class _Stopped(Exception):
    """Nobody waits for this count any more. Never leaves this module."""


class _Job:
    """One count under way, and how many wait for it."""

    __slots__ = ("future", "raw", "stopped", "waiting")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw  # keeps id(raw) from being used again while it is a key
        self.waiting = 0
        self.stopped = False
        self.future: Future[int] = Future()


def fingerprint(block: bytes) -> int | bytes:
    """128 bits that stand for the block.

    Python's own hash of bytes: SipHash under a secret of the process, three times as fast as SHA-256 with hardware
    help. Unlike hashlib above 2 KB it never gives up the GIL, so the loop never waits 5 ms to get it back. It has
    64 bits, so it is taken twice, the second time of the block and one byte more. A giant is hashed in a thread, where
    giving up the GIL is what one wants: BLAKE2b.
    """
    if len(block) > _HASH_AT_ONCE:
        return hashlib.blake2b(block, digest_size=16).digest()
    return hash(block) << 64 ^ hash(block + b"\0")


class TokenCounter:
    """Counts requests by the definition in `blocks`, through a cache of at most `cache_bytes`.

    At most `queue` counts wait or run; a further one raises GatewayError 503. Belongs to one event loop; `count_now`
    may be called from any thread.
    """

    def __init__(self, *, cache_bytes: int = 16 * 1_048_576, queue: int = 256) -> None:
        self._entries = max(1, cache_bytes // ENTRY)
        self._cache: OrderedDict[int | bytes, int] = OrderedDict()
        self._queue = queue
        self._jobs: dict[_Key, _Job] = {}
        self._ordinary = ThreadPoolExecutor(1, thread_name_prefix="ccx-tokens")
        self._giant = ThreadPoolExecutor(1, thread_name_prefix="ccx-tokens-giant")
        self._closed = False

    def upper_bound(self, raw: bytes, *, below: int = 0) -> int:
        """Never below the count, in tokens; see `blocks.upper_bound`."""
        return blocks.upper_bound(raw, below=below)

    async def prepare(self) -> None:
        """Load the vocabulary, off the loop but for some 70 ms in which it stalls: call it before serving."""
        await asyncio.get_running_loop().run_in_executor(self._ordinary, encoding.load)

    def try_count(self, protocol: Protocol, raw: bytes) -> int | None:
        """The count if it is cheap: a small body, all its blocks known. Else None, and `count` has to be awaited."""
        if len(raw) > ON_LOOP:
            return None
        found = cut.cut_at_once(protocol, raw)
        if found is None:
            return None
        total = 0
        for block in found:
            tokens = self._known(fingerprint(block)) if len(block) <= _HASH_AT_ONCE else None
            if tokens is None:
                return None
            total += tokens
        return total

    async def count(self, protocol: Protocol, raw: bytes) -> int:
        """The count, in tokens, without stalling the loop.

        Raises GatewayError (503, overloaded) if too many counts wait, or the counter is closed.
        """
        tokens = self.try_count(protocol, raw)
        if tokens is not None:
            return tokens
        # A giant is not hashed on the loop: it joins a count of the very same object only.
        key: _Key = (protocol, raw if len(raw) <= _JOIN else id(raw))
        job = self._jobs.get(key) or self._start(key, raw)
        job.waiting += 1
        try:
            return await asyncio.shield(asyncio.wrap_future(job.future))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and job.future.cancelled() and not (task and task.cancelling()):
                raise _closing() from None
            raise
        finally:
            job.waiting -= 1
            if not job.waiting:
                job.stopped = True
                job.future.cancel()
                if self._jobs.get(key) is job:
                    del self._jobs[key]

    def count_now(self, protocol: Protocol, raw: bytes) -> int:
        """The count, in tokens, on this thread, however long it takes."""
        return self._sum(protocol, raw, None)

    def close(self) -> None:
        """Stop counting. Counts under way end with GatewayError, and so do new ones that are not cached."""
        self._closed = True
        for job in self._jobs.values():
            job.stopped = True
        self._ordinary.shutdown(wait=False, cancel_futures=True)
        self._giant.shutdown(wait=False, cancel_futures=True)

    def _start(self, key: _Key, raw: bytes) -> _Job:
        if self._closed:
            raise _closing()
        if len(self._jobs) >= self._queue:
            raise GatewayError(
                503, "overloaded", f"{self._queue} requests already wait for their tokens to be counted."
            )
        job = _Job(raw)
        lane = self._ordinary if len(raw) <= cut.AT_ONCE else self._giant
        job.future = lane.submit(self._run, key[0], job)
        self._jobs[key] = job
        return job

    def _run(self, protocol: Protocol, job: _Job) -> int:
        try:
            return self._sum(protocol, job.raw, job)
        except _Stopped:
            raise _closing() from None

    def _sum(self, protocol: Protocol, raw: bytes, job: _Job | None) -> int:
        total = 0
        for block in cut.cut(protocol, raw):
            key = fingerprint(block)
            tokens = self._known(key)
            if tokens is None:
                tokens = _block_tokens(block, job)
                self._keep(key, tokens)
            elif job is not None and job.stopped:
                raise _Stopped
            total += tokens
        return total

    def _known(self, key: int | bytes) -> int | None:
        tokens = self._cache.get(key)
        if tokens is not None:
            try:  # noqa: SIM105  # suppress() costs more than the look-up, on the hottest line there is
                self._cache.move_to_end(key)
            except KeyError:
                pass  # evicted meanwhile by another thread: each step here is atomic, and the number stays right
        return tokens

    def _keep(self, key: int | bytes, tokens: int) -> None:
        self._cache[key] = tokens
        while len(self._cache) > self._entries:
            try:
                self._cache.popitem(last=False)
            except KeyError:
                break  # another thread was faster


def _closing() -> GatewayError:
    return GatewayError(503, "overloaded", "The gateway is shutting down.")


def _block_tokens(block: bytes, job: _Job | None) -> int:
    total = 0
    for leaf in blocks.leaves(block):
        if isinstance(leaf, int):
            total += leaf
            continue
        parts: Iterable[str] = (leaf,) if isinstance(leaf, str) else leaf.pieces()
        for segment in encoding.segments(parts):
            if job is not None and job.stopped:
                raise _Stopped
            total += encoding.count_text(segment)
    return total
