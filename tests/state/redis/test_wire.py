"""The connection to a real Redis: encrypted, with a user of its own, in a cluster, and slower than is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ccx.state.link import WireError
from ccx.state.meters import Charge, Held, Rate, Short, Sum, Taken
from ccx.state.redis.store import RedisStore
from ccx.state.redis.wire import HOPS, RedisWire
from tests.certificates import Certificates, issued
from tests.redis_server import PROGRAM, WHY_NOT, RedisServer, free_port, redis_server
from tests.replicas.proxy import network

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)
RATE = Rate("client 'a'/requests/3600", 3, 3600.0)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issued(tmp_path_factory.mktemp("tls"))


@contextlib.contextmanager
def encrypted(certificates: Certificates, *options: str) -> Iterator[int]:
    """A server that speaks TLS on the port given."""
    port = free_port()
    tls = ("--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", certificates.ca)
    pair = ("--tls-cert-file", certificates.server, "--tls-key-file", certificates.server)
    try:
        context = redis_server(*tls, *pair, *options)
        context.__enter__()
    except AssertionError:
        pytest.skip("this redis-server was built without TLS")
    try:
        yield port
    finally:
        context.__exit__(None, None, None)


@contextlib.asynccontextmanager
async def store(url: str, *, ca: str | None = None, closed: bool = False, **more: object) -> AsyncIterator[RedisStore]:
    async def where() -> str:
        return url

    found = RedisStore(where, ca=ca, closed=closed, **more)  # type: ignore[arg-type]  # whatever else it takes
    running = asyncio.create_task(found.run())
    await found.ready()
    try:
        yield found
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_state_travels_encrypted(certificates: Certificates) -> None:
    with encrypted(certificates) as port:
        async with store(f"rediss://127.0.0.1:{port}/0", ca=certificates.ca) as one:
            assert one.describe()["up"], one.describe()
            found = [await one.meters.take((Charge(RATE),), now=0.0) for _ in range(4)]
            assert [type(answer) for answer in found] == [Taken, Taken, Taken, Short]


async def test_a_server_that_nobody_vouches_for_is_not_spoken_to(certificates: Certificates, tmp_path: Path) -> None:
    other = issued(tmp_path)
    with encrypted(certificates, "--requirepass", "correct-horse") as port:
        for ca in (other.ca, None):
            for closed in (False, True):
                url = f"rediss://:correct-horse@127.0.0.1:{port}/0"
                async with store(url, ca=ca, closed=closed) as one:
                    said = one.describe()
                    assert (said["up"], said["mode"]) == (False, "closed" if closed else "local")
                    assert "certificate verify failed" in said["why"].lower()
                    assert "horse" not in str(said)
        async with store(f"rediss://127.0.0.2:{port}/0", ca=certificates.ca) as one:
            assert not one.describe()["up"], "the certificate is for another address"


async def test_a_server_without_tls_and_a_client_that_wants_it(certificates: Certificates, redis: RedisServer) -> None:
    async with store(redis.url.replace("redis:", "rediss:"), ca=certificates.ca) as one:
        said = one.describe()
        assert (said["up"], said["mode"]) == (False, "local")
        assert said["why"]
    with encrypted(certificates) as port:
        async with store(f"redis://127.0.0.1:{port}/0") as one:
            assert not one.describe()["up"]


async def test_a_user_that_may_do_just_what_is_needed() -> None:
    """The rule in the documentation is enough, and what is not allowed is told without the password."""
    with redis_server() as server:
        rules = "~{ccx}:* +@read +@write +@scripting +@connection +time -@dangerous"
        assert server.said(f"ACL SETUSER gateway on >correct-horse {rules}") == b"+OK\r\n"
        url = f"redis://gateway:correct-horse@127.0.0.1:{server.port}/0"
        async with store(url) as one:
            assert isinstance(await one.meters.take((Charge(RATE), Charge(Held("h", 2))), now=0.0), Taken)
            assert one.describe()["errors"] == {}, one.describe()
        server.said("ACL SETUSER gateway -@scripting")
        for refused in (url, url.replace("correct", "wrong"), url.replace("gateway", "nobody")):
            async with store(refused) as one:
                said = one.describe()
                assert not said["up"]
                assert "horse" not in str(said)
                assert any(word in said["why"] for word in ("permissions", "username-password")), said


async def test_a_redis_that_is_slower_than_is_waited_for_counts_as_away(redis: RedisServer) -> None:
    """Else each request that meets it between two connections would wait in vain."""
    async with network(redis.port) as between:
        between.delay = 0.04
        async with store(f"redis://127.0.0.1:{between.port}/0", timeout=0.05) as one:
            changes: list[bool] = []
            one.link.changed.append(lambda up, why: changes.append(up))
            longest = 0.0
            for _ in range(30):
                begun = time.perf_counter()
                assert isinstance(await one.meters.take((Charge(Rate("r", 1000, 60.0)),), now=0.0), Taken)
                longest = max(longest, time.perf_counter() - begun)
                await asyncio.sleep(0.02)
            said = one.describe()
            assert changes == []
            assert (said["up"], said["mode"]) == (False, "local")
            assert "50 ms" in said["why"], said
            assert longest < 0.04
            between.delay = 0.0
            async with asyncio.timeout(5):
                while not one.link.up:
                    await asyncio.sleep(0.01)


class Cluster:
    """Two nodes, the slots split in the middle."""

    def __init__(self, low: RedisServer, high: RedisServer) -> None:
        self.low = low
        self.high = high

    def ids(self) -> tuple[str, str]:
        return tuple(one.said("CLUSTER MYID").split(b"\r\n")[1].decode() for one in (self.low, self.high))  # type: ignore[return-value]  # of two

    def give(self, slot: int, to: RedisServer) -> None:
        name = self.ids()[0 if to is self.low else 1]
        for one in (to, self.low, self.high):
            assert one.said(f"CLUSTER SETSLOT {slot} NODE {name}") == b"+OK\r\n"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with contextlib.ExitStack() as stack:
        nodes = []
        for _ in range(2):
            server = RedisServer(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="node-"))))
            bus = str(free_port())
            server.start("--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-require-full-coverage", "no")
            stack.callback(server.kill)
            nodes.append((server, bus))
        (low, _), (high, bus) = nodes
        assert low.said("CLUSTER ADDSLOTSRANGE 0 8191") == b"+OK\r\n"
        assert high.said("CLUSTER ADDSLOTSRANGE 8192 16383") == b"+OK\r\n"
        assert low.said(f"CLUSTER MEET 127.0.0.1 {high.port} {bus}") == b"+OK\r\n"
        for _ in range(600):
            if all(b"cluster_slots_assigned:16384" in one.said("CLUSTER INFO") for one in (low, high)) and all(
                b"cluster_state:ok" in one.said("CLUSTER INFO") for one in (low, high)
            ):
                break
            time.sleep(0.01)
        yield Cluster(low, high)


async def test_a_cluster_is_found_from_any_node(cluster: Cluster) -> None:
    """All keys of a prefix are in one slot, so that one node decides; whichever is asked first says which."""
    slots = {prefix: int(cluster.low.said(f"CLUSTER KEYSLOT {{{prefix}}}:x")[1:]) for prefix in ("ccx", "gw")}
    for prefix in slots:
        for node in (cluster.low, cluster.high):
            node.flush()
        rate, spent = Rate("r", 4, 3600.0), Sum("s", 10)
        async with store(cluster.low.url, prefix=prefix) as one, store(cluster.high.url, prefix=prefix) as other:
            for each in (one, other) * 2:
                assert each.describe()["up"], each.describe()
                assert isinstance(await each.meters.take((Charge(rate), Charge(spent)), now=0.0), Taken)
            assert isinstance(await one.meters.take((Charge(rate),), now=0.0), Short)
            assert not await one.answers.holdings()
            assert await other.responses.get("a", "resp", now=0.0) is None
            assert other._content.up


async def test_a_slot_that_moves_is_followed(cluster: Cluster) -> None:
    slot = int(cluster.low.said("CLUSTER KEYSLOT {moving}:x")[1:])
    owner, heir = (cluster.low, cluster.high) if slot < 8192 else (cluster.high, cluster.low)
    async with store(owner.url, prefix="moving") as one:
        rate = Rate("r", 1000, 3600.0)
        assert isinstance(await one.meters.take((Charge(rate),), now=0.0), Taken)
        owner.flush()
        cluster.give(slot, heir)
        assert isinstance(await one.meters.take((Charge(rate),), now=0.0), Taken), "by itself, for a moment"
        async with asyncio.timeout(5):
            while not one.link.up:
                await asyncio.sleep(0.01)
        assert isinstance(await one.meters.take((Charge(rate),), now=0.0), Taken)
        assert b"{moving}:meter:r" in heir.said("KEYS *")
        assert one.describe()["errors"] == {"moved": 1}


async def test_a_cluster_that_sends_in_circles_is_given_up() -> None:
    serving: set[asyncio.Task[None]] = set()

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            while head := await reader.readline():
                words = []
                for _ in range(int(head[1:])):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                writer.write(f"-MOVED 1 :{port}\r\n".encode() if words[0] == b"EVALSHA" else b"+OK\r\n")
                await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(answers, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def where() -> str:
        return f"redis://127.0.0.1:{port}/0"

    wire = RedisWire(where, greeting=("EVALSHA", "x", 0))
    async with asyncio.timeout(2):
        with pytest.raises(WireError, match="from node to node"):
            await wire.connect()
    await wire.close()
    server.close()
    await server.wait_closed()
    await asyncio.gather(*serving)
    assert len(serving) == HOPS
