"""How exactly replicas keep one limit over minutes: `python -m tests.replicas.soak --minutes 10`.

Three gateways over one Redis are asked three times what a limit allows. Half-way one of them dies without a word. What
was admitted is compared with what the limit says: its bucket, full at the start, and what flowed in since.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

from tests.gateway import Running
from tests.redis_server import redis_server
from tests.replicas.replica import post, replicas, spec


async def soak(minutes: float, *, rate: int, offered: float, patience: str) -> None:
    with redis_server() as redis, tempfile.TemporaryDirectory() as folder:
        text = spec(redis.url, limits=f"{{requests: {rate}/min}}", timeout=patience)
        async with replicas(text, Path(folder)) as them:
            statuses: Counter[str] = Counter()
            asking: set[asyncio.Task[None]] = set()
            alive = list(them)
            began, lost, last, seconds = time.monotonic(), False, 0.0, list[float]()

            async def ask(one: Running) -> None:
                nonlocal last
                try:
                    status, took = await post(one)
                except httpx.HTTPError as error:
                    statuses[type(error).__name__] += 1
                    return
                statuses[str(status)] += 1
                seconds.append(took)
                if status == 200:
                    last = time.monotonic()

            number, total = 0, minutes * 60
            while (now := time.monotonic() - began) < total:
                if not lost and now > total / 2:
                    lost = True
                    gone = alive.pop()
                    gone.gateway.shared.link._wire._connection._writer.transport.abort()  # type: ignore[union-attr]
                number += 1
                task = asyncio.create_task(ask(alive[number % len(alive)]))
                asking.add(task)
                task.add_done_callback(asking.discard)
                await asyncio.sleep(max(0.0, began + number / offered - time.monotonic()))
            await asyncio.gather(*asking)
            allowed = rate + (last - began) * rate / 60
            admitted = statuses["200"]
            seconds.sort()
            errors = [one.gateway.shared.describe()["errors"] for one in alive if one.gateway.shared is not None]
            print(f"limit {rate}/min over {minutes:g} minutes, {offered:g} requests/s offered to 3 replicas, then 2")
            print(f"answers: {dict(sorted(statuses.items()))}")
            print(f"admitted {admitted}, allowed {allowed:.1f}: error {100 * (admitted - allowed) / allowed:+.3f} %")
            print(f"times that a replica was without Redis, by cause: {errors}")
            print(f"seconds: p50 {seconds[len(seconds) // 2]:.4f}, p99 {seconds[int(len(seconds) * 0.99)]:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=int, default=600, help="requests a minute that the limit allows")
    parser.add_argument("--offered", type=float, default=30, help="requests a second")
    parser.add_argument("--patience", default="250ms", help="how long a request waits for Redis")
    args = parser.parse_args()
    asyncio.run(soak(args.minutes, rate=args.rate, offered=args.offered, patience=args.patience))


if __name__ == "__main__":
    main()
