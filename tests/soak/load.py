"""The soak's load, a process of its own: `python -m tests.soak.load '{"port": …}'`.

So many clients ask one after the other, each for something else every time; some leave before the end. Every answer is
checked against its request as it comes, and every one that is not good is written down. Beside them somebody asks for
`/health` at a steady pace: what waits there waits for the event loop.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any, Final

from ccx.protocols.names import Protocol
from tests.soak.tables import CAPPED, FAMILIES, MAIN, NOMAD
from tests.soak.wire import FRONTS, Asked, Connection, judged, marker, request

PING_EVERY: Final = 0.05
LARGE: Final = 200 * 1024
PATIENCE: Final = 30.0
_NAMES: Final = {MAIN: "main", CAPPED: "capped", NOMAD: "nomad"}


class Load:
    def __init__(self, job: dict[str, Any], record: Any) -> None:
        self._port: int = job["port"]
        self._rng = random.Random(job["seed"])
        self._pause: float = job["clients"] / job["rate"]
        self._record = record
        self._ends = time.monotonic() + job["seconds"]
        self.turning: str = job["turning"]
        self.verdicts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.pings: list[tuple[float, float]] = []
        self.late: list[float] = []
        self._questions: deque[str] = deque((marker(self._rng) for _ in range(5)), maxlen=5)

    async def client(self) -> None:
        """One client, to the end of the soak."""
        connection, rng = Connection(self._port), self._rng
        while time.monotonic() < self._ends:
            begun = time.monotonic()
            await self._one(connection)
            if rng.random() < 0.02:
                connection.close()
            await asyncio.sleep(max(0.0, rng.uniform(0.0, 2.0) * self._pause - (time.monotonic() - begun)))
        connection.close()

    async def _one(self, connection: Connection) -> None:
        rng = self._rng
        family = rng.choice(FAMILIES)
        front = rng.choice(FRONTS if family != "kept" else FRONTS[:2])
        stream = rng.random() < 0.5
        key = rng.choices((MAIN, self.turning, NOMAD, CAPPED), (5, 2, 2, 1))[0]
        large = rng.random() < 0.04
        if family == "kept":
            if rng.random() < 0.15:
                self._questions.append(marker(rng))
            asked = Asked(rng.choice(self._questions))
        else:
            asked = Asked(marker(rng))
        sent = request(
            front,
            model=f"{family}-{rng.randint(1, 5)}" if family != "kept" else "kept-1",
            key=key,
            marker=asked.marker,
            stream=stream,
            size=LARGE if large else 200,
            session=f"s{rng.randint(1, 200)}",
        )
        leaves = rng.expovariate(8.0) if rng.random() < 0.05 else None
        about = {"family": family, "front": front.value, "stream": stream, "client": _NAMES.get(key, "turning")}
        asking = [self._asked(connection, sent, asked, front=front, stream=stream, leaves=leaves)]
        if family == "kept" and rng.random() < 0.4:
            # The same at the same time: one call upstream for both.
            twin, beside = Asked(asked.marker), Connection(self._port)
            asking.append(self._asked(beside, sent, twin, front=front, stream=stream, leaves=None))
        await asyncio.gather(*asking)
        kind = f"{family} {front} {'stream' if stream else 'whole'}{' large' if large else ''}"
        self._count(asked, kind, about)
        if len(asking) > 1:
            beside.close()
            self._count(twin, kind, about)

    def _count(self, asked: Asked, kind: str, about: dict[str, Any]) -> None:
        self.kinds[kind] += 1
        self.verdicts[asked.verdict] += 1
        if asked.verdict not in ("good", "left"):
            said = {name: getattr(asked, name) for name in ("marker", "verdict", "status", "request_id", "why")}
            self._record.write(json.dumps({"t": time.time(), "digest": asked.digest, **about, **said}) + "\n")

    async def _asked(
        self, connection: Connection, sent: bytes, asked: Asked, *, front: Protocol, stream: bool, leaves: float | None
    ) -> None:
        whole = False
        try:
            async with asyncio.timeout(PATIENCE if leaves is None else leaves):
                await connection.ask(sent, asked)
            whole = True
        except TimeoutError:
            connection.close(rudely=self._rng.random() < 0.5)
            if leaves is not None:
                asked.verdict = "left"
                return
            asked.why = f"no end within {PATIENCE:g} s"
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            connection.close()
            asked.why = repr(error)
        if asked.status:
            asked.verdict = judged(front, asked, stream=stream, whole=whole)

    async def ping(self) -> None:
        """Ask for the gateway's health; the time counts from when a ping was due. How late this process itself was is
        noted beside it: on a machine that is busy with other things nobody is on time."""
        connection, due = Connection(self._port), time.monotonic()
        while due < self._ends:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.late.append(time.monotonic() - due)
            asked = Asked("")
            try:
                await connection.ask(b"GET /health HTTP/1.1\r\nhost: gateway\r\n\r\n", asked)
                self.pings.append((time.time(), time.monotonic() - due))
                due = max(due, time.monotonic() - PING_EVERY)
            except (OSError, asyncio.IncompleteReadError):
                connection.close()
                self.verdicts["ping lost"] += 1
            due += PING_EVERY
        connection.close()

    async def obey(self) -> None:
        """What the soak says: the key that the client whose keys turn has from now on."""
        loop = asyncio.get_running_loop()
        orders = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        while line := await orders.readline():
            self.turning = json.loads(line)["turning"]


async def _main(job: dict[str, Any]) -> None:
    folder = Path(job["folder"])
    with (folder / "complaints.jsonl").open("w", buffering=1) as record:
        load = Load(job, record)
        obeying = asyncio.create_task(load.obey())
        await asyncio.gather(load.ping(), *(load.client() for _ in range(job["clients"])))
        obeying.cancel()
    done = {"verdicts": load.verdicts, "kinds": load.kinds, "pings": load.pings, "late": load.late}
    (folder / "load.json").write_text(json.dumps(done))


if __name__ == "__main__":
    asyncio.run(_main(json.loads(sys.argv[1])))
