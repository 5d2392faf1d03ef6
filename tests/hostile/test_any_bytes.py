"""Any bytes at all as a request, and clients that leave at any moment."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.faults import FaultUpstream, Respond
from tests.gateway import Running, running
from tests.hostile.conftest import (
    ASK,
    GOOD,
    KEY,
    SPEC,
    UPSTREAM_KEY,
    Attack,
    Attacked,
    eventually,
    upstream_spec,
    usual,
)
from tests.hostile.test_requests import CURIOUS, ENDPOINTS

TOKENS = (
    b"POST ", b"GET ", b"HEAD ", b"OPTIONS ", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\0",
    b"\xff", b"host: localhost\r\n", b"x-api-key: " + KEY.encode() + b"\r\n", b"content-length: 5\r\n",
    b"content-length: 81\r\n",
    b"transfer-encoding: chunked\r\n", b"connection: close\r\n", b"connection: upgrade\r\nupgrade: websocket\r\n",
    b"expect: 100-continue\r\n", b"content-encoding: gzip\r\n", b"content-type: multipart/form-data; boundary=b\r\n",
    b"5\r\nabcde\r\n", b"0\r\n\r\n", GOOD, b"{", b"}", b"[", b'"model":', b'"\\ud800"', b"%00", b"%ff", b"..", b"?key=",
    *(path.encode() for path in ENDPOINTS),
)  # fmt: skip


class Threaded:
    """A gateway in a loop of its own, so that hypothesis may ask from outside."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ready = threading.Event()
        self._stop: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self.error: BaseException | None = None
        self.gw: Running
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self.error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        spec = SPEC.replace("body_timeout: 400ms", "body_timeout: 30ms") + CURIOUS
        async with running(spec, self._folder, environ={"UPSTREAM_KEY": UPSTREAM_KEY}) as self.gw:
            self._ready.set()
            await self._stop.wait()

    def start(self) -> None:
        self._thread.start()
        self._ready.wait(10)
        assert self.error is None, self.error

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error

    def send(self, sent: bytes, *, patience: float = 5.0) -> bytes:
        """What comes back until the gateway closes; when it has been silent for `patience` seconds we hang up."""
        pieces = []
        with socket.create_connection(("127.0.0.1", self.gw.port), timeout=patience) as sock, suppress(OSError):
            sock.sendall(sent)
            while piece := sock.recv(65536):
                pieces.append(piece)
        return b"".join(pieces)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Threaded]:
    made = Threaded(tmp_path_factory.mktemp("any"))
    made.start()
    yield made
    made.stop()  # which asserts that nothing is under way and that no error was one of ours


def closed(sent: bytes) -> bytes:
    """A good request that ends its connection."""
    head = f"POST /v1/messages HTTP/1.1\r\nhost: a\r\nx-api-key: {KEY}\r\nconnection: close\r\n"
    return f"{head}content-length: {len(sent)}\r\n\r\n".encode() + sent


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from(TOKENS) | st.binary(max_size=8), max_size=24).map(b"".join)
    | st.builds(
        lambda path, body: b"POST " + path.encode() + closed(body)[17:],
        st.sampled_from(sorted(ENDPOINTS)),
        st.binary(max_size=80),
    )
)
@example(closed(GOOD))
@settings(max_examples=300, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate))
def test_any_bytes_are_answered_or_refused(gateway: Threaded, sent: bytes) -> None:
    answer = gateway.send(sent, patience=0.04)
    assert not answer or answer.startswith(b"HTTP/1."), answer[:80]
    assert b" 500 " not in answer.partition(b"\r\n")[0], answer
    assert not gateway.gw.troubles, gateway.gw.troubles
    assert KEY.encode() not in answer
    assert b" 200 " in gateway.send(closed(GOOD)).partition(b"\r\n")[0]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["text", "image", "user"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "content", "role", "text", "name", "parts", "source"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)
FIELDS = (
    "messages",
    "system",
    "tools",
    "input",
    "contents",
    "thinking",
    "reasoning",
    "stream",
    "metadata",
    "max_tokens",
    "prompt",
)


@given(st.sampled_from(sorted(ENDPOINTS)), st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4))
@settings(max_examples=300, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate))
def test_any_json_is_answered_or_refused(gateway: Threaded, path: str, fields: dict[str, object]) -> None:
    body = json.dumps({"model": "m", **fields}).encode()
    answer = gateway.send(b"POST " + path.encode() + closed(body)[17:])
    status = int(answer.split(b" ", 2)[1])
    assert status < 500, (path, body, answer)
    assert not gateway.gw.troubles, gateway.gw.troubles


async def test_clients_that_leave_at_any_moment(facing: Attack) -> None:
    """A few hundred, some of them staying: whoever leaves takes its upstream call along, and nobody else's."""
    target = await facing([Respond(usual)])
    assert target.upstream is not None
    gw, chance = target.gw, random.Random(7)
    streamed = json.dumps({**ASK, "stream": True}).encode()
    stayed = 0

    async def one(number: int) -> None:
        nonlocal stayed
        content = streamed if number % 2 else GOOD
        asking = asyncio.create_task(target.post(content=content))
        if number % 3:
            await asyncio.sleep(chance.random() * 0.03)
            asking.cancel()
        with suppress(asyncio.CancelledError):
            answer = await asking
            assert answer.status_code == 200
            stayed += 1

    for start in range(0, 240, 24):
        await asyncio.gather(*(one(number) for number in range(start, start + 24)))
    assert stayed >= 80
    await eventually(lambda: gw.gateway.in_flight == 0, "somebody is still served")
    await target.unharmed()
    with warnings.catch_warnings():
        # A client library that is cancelled while it connects may leave the socket to the collector: the test's own.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


async def test_clients_that_leave_a_stalled_upstream(target: Attacked) -> None:
    """Leaving ends the call at once, long before any limit of time."""
    gw = target.gw
    for model in ("demo-stall", "demo-stall-midstream", "demo-slow"):
        body = json.dumps({**ASK, "model": model, "stream": True, "max_tokens": 500}).encode()
        writers = []
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", gw.port)
            writer.write(target.head(length=len(body)) + body)
            writers.append(writer)
        await eventually(lambda: gw.gateway.in_flight == 20, "they are served")
        for writer in writers:
            writer.transport.abort()
        await eventually(
            lambda: gw.gateway.in_flight == 0, f"{model}: they have not ended with their clients", within=1
        )
    assert {exchange.status for exchange in gw.exchanges} == {499}


async def test_a_stop_under_load_leaves_nothing(tmp_path: Path) -> None:
    """The gateway is told to stop while it serves: `running` asserts that nothing is under way afterwards."""
    async with FaultUpstream([Respond(usual)]) as upstream:
        async with running(upstream_spec(upstream.url), tmp_path, environ={"UPSTREAM_KEY": UPSTREAM_KEY}) as gw:
            asking = [
                asyncio.create_task(gw.client.post("/v1/messages", content=GOOD, headers={"x-api-key": KEY}))
                for _ in range(50)
            ]
            await asyncio.sleep(0.02)
        results = await asyncio.gather(*asking, return_exceptions=True)
        assert len(results) == 50
        await upstream.all_closed()
