"""`DirectEngine`: calls over pooled HTTP/1.1 connections of our own, with or without TLS.

Law
- Every failure of an upstream is an `errors.UpstreamError`; nothing of a socket, of TLS or of the parser gets through.
- No message names the target or a header: either may hold a key.
- No timer per request. One timer serves the earliest deadline known; when it fires, every connection is looked at once
  and it is set again. Deadlines mostly move away, so it fires rarely, and short ones are still kept to some ms.
- A call that is cancelled, at whatever point, takes its connection with it.

When a connection dies before a byte of the reply, the call is sent once more, on another connection, if the one that
died had been kept alive and one of these holds (`may_resend`):
- the request was not written to its end, so that no server can have acted on it;
- the call says it is idempotent;
- the connection died within `STALE_WINDOW` of the last byte written. That is how a server's idle close that crossed our
  request on the way looks. A server or balancer that gives up on a generation in progress closes later than that, and
  sending such a POST again would pay for it twice.
Browsers resend in all three cases whatever the delay (RFC 9110, 9.2.2 warns against it); nginx without
`proxy_next_upstream non_idempotent` and Go's net/http never resend a POST that was written. The window is the middle:
without it, every idle close would be a failed request of a client that did nothing wrong. A new connection that dies is
never retried here: that is for the failover policy to decide.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from math import inf

from ccx.errors import ConnectError, ConnectionLost, UpstreamTimeout
from ccx.upstream.connection import Connection
from ccx.upstream.head import encode_head
from ccx.upstream.incoming import IncomingReply
from ccx.upstream.pool import Pool, PoolLimits
from ccx.upstream.reply import Call, Origin
from ccx.upstream.tls import TlsSettings

__all__ = ["BATCH", "STALE_WINDOW", "DirectEngine", "PoolLimits", "TlsSettings", "may_resend"]

STALE_WINDOW = 1.0
"""Seconds after writing within which the death of a kept-alive connection is taken for an idle close."""
BATCH = 256 * 1024
"""Bytes of a request handed to the transport before looking whether it is congested."""
_TICK = 0.005  # seconds between two sweeps at least


def may_resend(*, reused: bool, began: bool, elapsed: float | None, idempotent: bool) -> bool:
    """Whether a call whose connection died may be sent once more, as explained above.

    `reused`: the connection had served a call before; `began`: a byte of the reply had come; `elapsed`: seconds since
    the request was written whole, None if it never was.
    """
    return reused and not began and (elapsed is None or idempotent or elapsed <= STALE_WINDOW)


class DirectEngine:
    """Implements `reply.Engine`. Bound to the event loop of its first call.

    After `aclose` calls are still served, so that a request on a table that was just replaced does not fail; but no
    connection is kept. Raises SecretError if the CA bundle of `tls` is unusable.
    """

    def __init__(self, *, tls: TlsSettings | None = None, limits: PoolLimits | None = None) -> None:
        self._tls = tls or TlsSettings()
        self._limits = limits or PoolLimits()
        # A bad bundle is an error now and not at the first request; the system's store is read only if needed.
        self._context = self._tls.context() if self._tls.ca is not None else None
        self._pools: dict[Origin, Pool] = {}
        self._connections: set[Connection] = set()
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._sweep_at = inf

    @property
    def open_connections(self) -> int:
        """Established connections, busy and idle."""
        return len(self._connections)

    @property
    def idle_connections(self) -> int:
        """Connections kept for reuse."""
        return sum(len(pool.idle) for pool in self._pools.values())

    async def send(self, call: Call) -> IncomingReply:
        """See `reply.Engine.send`. Raises GatewayError for a call that cannot be written as one request."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        total_ends = inf if call.timeouts.total is None else now + call.timeouts.total
        pool = self._pools.get(call.origin) or self._add_pool(call.origin)
        size = sum(map(len, call.body))
        head = encode_head(call, pool.authority, size=size)
        connection = pool.checkout(now)
        resent = False
        while True:
            if connection is None:
                connection = await self._connect(pool, call, total_ends=total_ends, fresh=resent)
                now = loop.time()
            reused = connection.used
            reply = IncomingReply(connection, call, now=now, total_ends=total_ends)
            try:
                await reply.send(_batches(head, call.body, size=size))
            except ConnectionLost:
                took = None if reply.sent_at is None else loop.time() - reply.sent_at
                if resent or not may_resend(reused=reused, began=reply.began, elapsed=took, idempotent=call.idempotent):
                    raise
                resent, connection = True, None
            else:
                return reply

    async def aclose(self) -> None:
        """See `reply.Engine.aclose`."""
        self._closed = True
        idle = [connection for pool in self._pools.values() for connection in pool.idle]
        for pool in self._pools.values():
            pool.close()
        while not self._connections.isdisjoint(idle):  # noqa: ASYNC110 - their ends are reported in the loop's next turn
            await asyncio.sleep(0)
        if self._timer is not None and not self._connections:
            self._timer.cancel()
            self._timer, self._sweep_at = None, inf

    def _add_pool(self, origin: Origin) -> Pool:
        if origin.tls and self._context is None:
            self._context = self._tls.context()
        try:
            pool = Pool(
                origin,
                tls=self._context if origin.tls else None,
                limits=self._limits,
                connections=self._connections,
                watch=self._watch,
            )
        except UnicodeError as error:
            raise ConnectError(f"cannot connect to {origin.host!r}: not a host name") from error
        if self._closed:
            pool.close()
        self._pools[origin] = pool
        return pool

    async def _connect(self, pool: Pool, call: Call, *, total_ends: float, fresh: bool) -> Connection:
        """A connection within the connect limit, which includes the wait for a place in a full pool."""
        limit = call.timeouts.connect
        connect_ends = inf if limit is None else asyncio.get_running_loop().time() + limit
        ends = min(connect_ends, total_ends)
        where = pool.authority.decode()
        busy = f", all {self._limits.connections} being busy" if pool.is_full else ""
        try:
            async with asyncio.timeout_at(None if ends == inf else ends) as clock:
                return await pool.acquire(fresh=fresh)
        except TimeoutError as error:
            if not clock.expired():  # the operating system's own limit
                raise ConnectError(f"cannot connect to {where}: timed out") from error
            if total_ends < connect_ends:
                raise UpstreamTimeout(
                    f"no connection to {where} within the total limit{busy}", stage="total"
                ) from error
            raise UpstreamTimeout(f"no connection to {where} within {limit:g} s{busy}", stage="connect") from error
        except ssl.SSLCertVerificationError as error:
            raise ConnectError(f"cannot trust {where}: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise ConnectError(f"no TLS with {where}: {error.reason or 'the handshake failed'}") from error
        except (OSError, UnicodeError) as error:
            raise ConnectError(f"cannot connect to {where}: {error}") from error

    def _watch(self, deadline: float) -> None:
        if deadline < self._sweep_at:
            if self._timer is not None:
                self._timer.cancel()
            self._sweep_at = deadline
            self._timer = asyncio.get_running_loop().call_at(deadline, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        self._sweep_at = inf
        now = asyncio.get_running_loop().time()
        nearest = inf
        for connection in tuple(self._connections):
            if connection.deadline <= now:
                connection.expire(now)
            else:
                nearest = min(nearest, connection.deadline)
        if nearest < inf:
            self._watch(max(nearest, now + _TICK))


def _batches(head: bytes, body: Sequence[bytes], *, size: int) -> list[list[bytes | memoryview]]:
    """The request in the pieces in which it is written, none much larger than `BATCH`. The body is not copied."""
    if size <= BATCH:
        return [[head, *body]]
    batches: list[list[bytes | memoryview]] = []
    batch: list[bytes | memoryview] = [head]
    room = BATCH
    for part in body:
        view = memoryview(part)
        while view:
            batch.append(view[:room])
            view, room = view[room:], room - min(room, len(view))
            if not room:
                batches.append(batch)
                batch, room = [], BATCH
    if batch:
        batches.append(batch)
    return batches
