"""A TCP proxy that delays, goes dumb, or cuts: a network between a gateway and its store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Network:
    """`delay` is seconds that every piece takes each way; `black_hole` swallows everything."""

    def __init__(self, port: int) -> None:
        self.to = port
        self.port = 0
        self.delay = 0.0
        self.black_hole = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: set[asyncio.Task[None]] = set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._accepting.add(task)
        try:
            await self._between(reader, writer)
        except asyncio.CancelledError:
            writer.close()  # the test is over; asyncio would report the task as failed
        finally:
            self._accepting.discard(task)

    async def _between(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, thither = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.close()
            return
        pumps = [asyncio.create_task(self._pump(reader, thither)), asyncio.create_task(self._pump(there, writer))]
        self._tasks.update(pumps)
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            for one in (writer, thither):
                one.close()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._tasks.difference_update(pumps)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if not self.black_hole:
                    writer.write(piece)
                    await writer.drain()


@contextlib.asynccontextmanager
async def network(port: int) -> AsyncIterator[Network]:
    """A network to a port of this machine."""
    found = Network(port)
    server = await asyncio.start_server(found._accept, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        over = [*found._accepting, *found._tasks]
        for task in over:
            task.cancel()
        await asyncio.gather(*over, return_exceptions=True)
