"""What clients feel of each fault of a fleet: `python -m tests.replicas.faults --seconds 20` prints the figures.

Each fault gives its figures; what they must be, `test_faults` says.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from tests.redis_server import redis_server
from tests.replicas.fleet import COST, Figures, Fleet, fleet
from tests.replicas.proxy import Network, network


async def replica_killed(them: Fleet, *, seconds: float, lease: float, number: int = 0) -> Figures:
    """One of them is gone in the middle of the load, and with it what it had under way."""
    before, sent = await them.spent(), len(them.upstream.requests)
    async with them.load() as figures:
        await asyncio.sleep(seconds / 2)
        while not await them.held():
            await asyncio.sleep(0)
        them.kill(number)
        died = time.monotonic()
        await asyncio.sleep(seconds / 2)
    stands = await them.spent()
    while await them.held():
        assert time.monotonic() - died < 3 * lease + seconds, "its places did not come back"
        await asyncio.sleep(0.02)
    figures.notes["places free after (s)"] = round(time.monotonic() - died, 1)
    figures.notes["charged for what it took along (USD/1e6)"] = round(stands - before - COST * figures.statuses["200"])
    figures.notes["sent upstream"] = len(them.upstream.requests) - sent
    figures.notes["steady"] = await them.spent() == stands
    return figures


async def redis_killed(them: Fleet, *, seconds: float) -> Figures:
    """It loses everything, and comes back empty."""
    async with them.load() as figures:
        await asyncio.sleep(seconds / 3)
        them.redis.kill()
        figures.notes["seen as away after (s)"] = round(await them.all_say(up=False, within=10), 2)
        figures.notes["metric"] = await them.metric(len(them.replicas) - 1, 'ccx_state_up{store="redis"} 0')
        await asyncio.sleep(seconds / 3)
        await asyncio.to_thread(them.redis.start)
        figures.notes["back after (s)"] = round(await them.all_say(up=True, within=15), 2)
        await asyncio.sleep(seconds / 3)
    return figures


async def redis_frozen(them: Fleet, *, seconds: float) -> Figures:
    """It answers nothing, and every connection stays open."""
    async with them.load() as figures:
        await asyncio.sleep(seconds / 3)
        them.redis.freeze()
        try:
            figures.notes["seen as away after (s)"] = round(await them.all_say(up=False, within=10), 2)
            await asyncio.sleep(seconds / 3)
        finally:
            them.redis.thaw()
        figures.notes["back after (s)"] = round(await them.all_say(up=True, within=15), 2)
        await asyncio.sleep(seconds / 3)
    return figures


async def slow(them: Fleet, between: Network, *, round_trip: float, seconds: float) -> Figures:
    """The way to Redis and back takes so long."""
    between.delay = round_trip / 2
    async with them.load() as figures:
        await asyncio.sleep(seconds)
        states = await them.states()
        figures.notes["modes"] = sorted({str(state["mode"]) for state in states})
        figures.notes["why"] = sorted({str(state["why"]) for state in states})
    between.delay = 0.0
    figures.notes["back after (s)"] = round(await them.all_say(up=True, within=15), 2)
    return figures


async def _all(seconds: float) -> None:
    for on_failure in ("local", "closed"):
        print(f"on_failure: {on_failure}; three gateways, a scripted upstream of 20 ms, 9 clients, {seconds:g} s each")
        with redis_server() as redis, tempfile.TemporaryDirectory() as folder:
            async with (
                network(redis.port) as between,
                fleet(redis, Path(folder), port=between.port, on_failure=on_failure, brisk=False) as them,
            ):
                async with them.load() as figures:
                    await asyncio.sleep(seconds)
                print("  no fault:           ", figures.said())
                print("  Redis at 50 ms:     ", (await slow(them, between, round_trip=0.05, seconds=seconds)).said())
                print("  Redis at 300 ms:    ", (await slow(them, between, round_trip=0.3, seconds=seconds)).said())
                print("  Redis frozen:       ", (await redis_frozen(them, seconds=seconds)).said())
                print("  Redis killed:       ", (await redis_killed(them, seconds=seconds)).said())
                print("  one gateway killed: ", (await replica_killed(them, seconds=seconds, lease=15)).said())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20, help="of load in each fault")
    asyncio.run(_all(parser.parse_args().seconds))


if __name__ == "__main__":
    main()
