"""Which of a name's addresses to connect to: RFC 8305 (Happy Eyeballs), since uvloop tries one after the other and a
broken IPv6 route would cost the whole connect limit each time.

Law: families alternate, the resolver's first one leads; an attempt gets a head start of `delay` seconds, or until it
fails; the first to connect wins and every other socket is closed, also when the caller gives up.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from itertools import chain, zip_longest

DELAY = 0.25
"""RFC 8305's recommended head start, in seconds."""

Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a name, in the order in which to try them. Raises OSError (gaierror), UnicodeError."""
    if (literal := _literal(host, port)) is not None:
        return [literal]  # nothing to look up: many connections at once would wait for the resolver's few threads
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return interleaved([(family, address) for family, _, _, _, address in found])


def _literal(host: str, port: int) -> Address | None:
    """A host that is an address already; one with a zone is left to the resolver."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    match address:
        case ipaddress.IPv4Address():
            return socket.AF_INET, (host, port)
        case ipaddress.IPv6Address(scope_id=None):
            return socket.AF_INET6, (host, port, 0, 0)
        case _:
            return None


def interleaved(addresses: Sequence[Address]) -> list[Address]:
    """The addresses with their families alternating, beginning with the first one's."""
    if not addresses:
        return []
    leading = [item for item in addresses if item[0] == addresses[0][0]]
    others = [item for item in addresses if item[0] != addresses[0][0]]
    return [item for item in chain.from_iterable(zip_longest(leading, others)) if item is not None]


async def race(addresses: Sequence[Address], *, delay: float = DELAY) -> socket.socket:
    """A connected socket to the first address that answers. Raises the first OSError if none does."""
    running: set[asyncio.Task[socket.socket]] = set()
    errors: list[OSError] = []
    left = list(addresses)
    try:
        while left or running:
            if left:
                running.add(asyncio.create_task(_connect(left.pop(0))))
            done, running = await asyncio.wait(
                running, timeout=delay if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            won = [task for task in done if not task.cancelled() and task.exception() is None]
            for task in won[1:]:
                task.result().close()
            if won:
                return won[0].result()
            errors += [error for task in done if isinstance(error := task.exception(), OSError)]
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_discard)
    raise errors[0] if errors else OSError("the name has no address")


async def _connect(address: Address) -> socket.socket:
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def _discard(task: asyncio.Task[socket.socket]) -> None:
    """A loser that connected in the very moment it was cancelled."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
