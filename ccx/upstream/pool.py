"""The connections to one origin: lent last in first out, limited, waited for first come first served.

Law
- `open` counts every connection that exists or is being made; it never exceeds the limit, and whoever raised it lowers
  it (`_free`) exactly once.
- A connection is idle only if it may be lent: one that died or expired while idle is never lent.
- What comes free goes to the one who waited longest.
- Last in first out keeps a few connections warm and lets the surplus of a burst expire.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from ccx.upstream.connection import Connection
from ccx.upstream.dial import race, resolve
from ccx.upstream.reply import Origin

_MARGIN = 1.0  # seconds before the end of a server's promise after which its connection is not trusted


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Per origin: connections at most, idle ones at most, and seconds an idle one is kept.

    30 s is shorter than what common servers and load balancers allow (60 s and more): the race between their close and
    our next request is then rare.
    """

    connections: int = 1024
    idle: int = 512
    idle_expiry: float = 30.0


class Pool:
    """The connections to `origin`, their owner. `tls` is None for cleartext; `connections` is the engine's set of all
    that are established; `watch` is told of each new deadline. Raises UnicodeError for a host that cannot be one."""

    __slots__ = (
        "_connections",
        "_is_literal",
        "_limits",
        "_origin",
        "_tls",
        "_waiters",
        "authority",
        "closed",
        "idle",
        "open",
        "watch",
    )

    def __init__(
        self,
        origin: Origin,
        *,
        tls: ssl.SSLContext | None,
        limits: PoolLimits,
        connections: set[Connection],
        watch: Callable[[float], None],
    ) -> None:
        self.authority = origin.authority
        self.open = 0
        self.closed = False
        self.idle: dict[Connection, None] = {}  # ordered, and any member can be removed at once
        self.watch = watch
        self._origin = origin
        self._is_literal = _is_literal(origin.host)
        self._tls = tls
        self._limits = limits
        self._connections = connections
        # None is leave to make a connection. Ordered, and who gives up waiting leaves at once.
        self._waiters: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()

    @property
    def is_full(self) -> bool:
        """Another connection would exceed the limit."""
        return self.open >= self._limits.connections

    def checkout(self, now: float) -> Connection | None:
        """The connection used last, if it is still good; O(1) but for the dead ones met on the way."""
        while self.idle:
            connection, _ = self.idle.popitem()
            if connection.is_open and connection.deadline > now:
                connection.deadline = inf
                return connection
            connection.close()
        return None

    async def acquire(self, *, fresh: bool) -> Connection:
        """A new connection, or one that came free while this call waited for its turn.

        `fresh`: distrust the idle ones; if the pool is full, close one to make room. Raises OSError, and UnicodeError
        for a host name that cannot be one.
        """
        while self.is_full:
            if fresh and self.idle:
                oldest = next(iter(self.idle))
                del self.idle[oldest]
                oldest.close()  # its place comes free when it is lost
            connection = await self._wait()
            if connection is None:
                return await self._connect()
            if connection.is_open:
                return connection
        self.open += 1
        return await self._connect()

    def close(self) -> None:
        """Close what is idle and keep nothing from now on. Calls under way, and later ones, are still served."""
        self.closed = True
        for connection in tuple(self.idle):
            connection.close()
        self.idle.clear()

    # connection.Owner

    def opened(self, connection: Connection) -> None:
        """See `connection.Owner.opened`."""
        self._connections.add(connection)

    def released(self, connection: Connection, *, keep_alive: float | None) -> None:
        """See `connection.Owner.released`."""
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(connection)
                return
        expiry = self._limits.idle_expiry if keep_alive is None else min(self._limits.idle_expiry, keep_alive - _MARGIN)
        if self.closed or expiry <= 0 or len(self.idle) >= self._limits.idle:
            connection.close()
            return
        self.idle[connection] = None
        connection.set_deadline(asyncio.get_running_loop().time() + expiry)

    def lost(self, connection: Connection) -> None:
        """See `connection.Owner.lost`."""
        self._connections.discard(connection)
        self.idle.pop(connection, None)
        self._free()

    async def _wait(self) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            return await waiter
        except BaseException:
            self._waiters.pop(waiter, None)
            if waiter.done() and not waiter.cancelled():
                # Handed something in the very moment of giving up: pass it on.
                connection = waiter.result()
                if connection is None:
                    self._free()
                elif connection.is_open:
                    self.released(connection, keep_alive=None)
            raise

    async def _connect(self) -> Connection:
        """Make the connection that `open` already counts."""
        loop = asyncio.get_running_loop()
        connection = Connection(self)
        host, port = self._origin.host, self._origin.port
        try:
            if self._is_literal:
                await loop.create_connection(lambda: connection, host, port, ssl=self._tls)
            else:
                sock = await race(await resolve(host, port))
                name = host if self._tls is not None else None
                await loop.create_connection(lambda: connection, sock=sock, ssl=self._tls, server_hostname=name)
        except BaseException:
            if connection.was_made:
                connection.close()  # and `lost` follows
            else:
                self._free()
            raise
        return connection

    def _free(self) -> None:
        """A place came free: give it to the one who waited longest."""
        self.open -= 1
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                self.open += 1
                waiter.set_result(None)
                return


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
