"""The httpx seam: our engine behind httpx's interface, compared with httpx's own; and httpx behind ours."""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
from collections.abc import Callable

import httpx
import pytest

from ccx.errors import BadReply, ConnectError, ConnectionLost, GatewayError, SecretError, UpstreamTimeout, UsageError
from ccx.upstream import transport
from ccx.upstream.engine import DirectEngine, PoolLimits, TlsSettings
from ccx.upstream.reply import Call, Engine, Origin, Timeouts
from ccx.upstream.transport import EngineTransport, HttpxEngine, make_engine
from tests.faults import (
    Action,
    Drop,
    FaultUpstream,
    Gzip,
    Malformed,
    Reply,
    Reset,
    Respond,
    Sse,
    Stall,
    WrongLength,
    encode,
    one_meg_line,
)
from tests.upstream.conftest import QUICK, Certificates, call_to, drained
from tests.upstream.proxies import http2_server, http_proxy, socks_proxy

PLAIN = TlsSettings()

ORACLE: dict[str, list[Action]] = {
    "length": [Reply(body=b"hello")],
    "empty": [Reply()],
    "no content": [Reply(204)],
    "not modified": [Reply(304, headers={"etag": '"x"'})],
    "chunked": [Reply(body=b"hello" * 1000, chunked=True)],
    "headers": [Reply(headers=[("X-One", " 1 "), ("x-two", "a"), ("X-Two", "b"), ("x-empty", "")])],
    "error": [Reply(529, headers={"retry-after": "3"}, body=b'{"error": {}}')],
    "until close": [Malformed([encode(200, {"x": "y"}), b"one", b"two"])],
    "interim": [Malformed(encode(100, {}) + encode(103, {}) + Reply(body=b"ok").raw())],
    "trailers": [Malformed(encode(200, {"transfer-encoding": "chunked"}) + b"2\r\nok\r\n0\r\nx: y\r\n\r\n")],
    "extensions": [Malformed(encode(200, {"transfer-encoding": "chunked"}) + b"2;a=b\r\nok\r\n0\r\n\r\n")],
    "http/1.0": [Malformed(b"HTTP/1.0 200 OK\r\n\r\nold")],
    "no reason": [Malformed(b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok")],
    "gzip": [Gzip()],
    "sse": [Sse(["event: a\ndata: 1", "data: 2"])],
    "long line": [one_meg_line(300_000)],
    "close": [Reply(body=b"bye", close=True)],
    "dropped": [Drop()],
    "dropped in the head": [Drop(after=12)],
    "dropped in the body": [Drop(after=120)],
    "reset": [Reset()],
    "reset in the body": [Reset(after=120)],
    "too short": [WrongLength(200)],
    "cut stream": [Sse(["data: 1"], cut=True)],
    "not http": [Malformed(b"SSH-2.0-OpenSSH\r\n\r\n")],
    "bad header": [Malformed(b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n")],
    "bad length": [Malformed(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n")],
    "two lengths": [Malformed(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab")],
    "bad chunk": [Malformed(encode(200, {"transfer-encoding": "chunked"}) + b"zz\r\n")],
    "big head": [Malformed(encode(200, {"x": "y" * 200_000, "content-length": "0"}))],
    "silent": [Stall()],
    "silent in the body": [Stall(after=120)],
}


async def observe(base: httpx.AsyncBaseTransport, script: list[Action], *, method: str = "POST") -> tuple[object, ...]:
    """What an httpx client sees of a script: status, headers and raw body, or the class of the exception."""
    async with (
        FaultUpstream(script) as upstream,
        httpx.AsyncClient(transport=base, timeout=httpx.Timeout(0.1, connect=1)) as client,
    ):
        try:
            async with client.stream(method, upstream.url + "/v1/x?y=%20z", content=b"body" * 10) as response:
                body = b"".join([piece async for piece in response.aiter_raw()])
        except httpx.HTTPError as error:
            return (type(error),)
        headers = [(name.lower(), value) for name, value in response.headers.raw]
        sent = upstream.requests[0]
        return response.status_code, headers, body, (sent.method, sent.target, sent.body)


@pytest.mark.parametrize("case", ORACLE)
async def test_httpx_sees_the_same_over_our_engine_as_over_its_own(case: str) -> None:
    ours = await observe(EngineTransport(DirectEngine()), ORACLE[case])
    theirs = await observe(httpx.AsyncHTTPTransport(verify=False), ORACLE[case])
    assert ours == theirs


async def test_head_and_get_over_both() -> None:
    for method in ("HEAD", "GET"):
        script: list[Action] = [Reply(body=b"hello", headers={"x": "y"})]
        ours = await observe(EngineTransport(DirectEngine()), script, method=method)
        assert ours == await observe(httpx.AsyncHTTPTransport(verify=False), script, method=method)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "https://127.0.0.1:1/"])
async def test_a_refused_connection_over_both(url: str) -> None:
    for base in (EngineTransport(DirectEngine()), httpx.AsyncHTTPTransport(verify=False)):
        async with httpx.AsyncClient(transport=base) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(url)


async def test_a_full_pool_is_a_connect_timeout_to_httpx() -> None:
    base = EngineTransport(DirectEngine(limits=PoolLimits(connections=1)))
    async with FaultUpstream([Stall()]) as upstream, httpx.AsyncClient(transport=base, timeout=0.05) as client:
        first = asyncio.ensure_future(client.get(upstream.url, timeout=5))
        await upstream.received(1)
        with pytest.raises(httpx.ConnectTimeout):
            await client.get(upstream.url)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_httpx_decodes_over_our_engine_and_leaves_early() -> None:
    engine = DirectEngine()
    async with (
        FaultUpstream([Gzip(b"[]"), Sse(["data: 1"], stall=True)]) as upstream,
        httpx.AsyncClient(transport=EngineTransport(engine)) as client,
    ):
        assert (await client.get(upstream.url)).json() == []
        async with client.stream("GET", upstream.url) as response:
            async for _ in response.aiter_raw():
                break
        await upstream.all_closed()


async def test_a_request_that_is_none_is_httpxs_local_error() -> None:
    async with httpx.AsyncClient(transport=EngineTransport(DirectEngine())) as client:
        with pytest.raises(httpx.LocalProtocolError):
            await client.get("http://127.0.0.1:1/", headers=[(b"x", b"a\r\nb: c")])


# httpx behind our interface.


@pytest.fixture(params=["direct", "proxied"])
def which(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_the_engine_is_chosen_by_what_the_channel_needs(certificates: Certificates) -> None:
    assert isinstance(make_engine(proxy=None, http2=False, tls=PLAIN), DirectEngine)
    assert isinstance(make_engine(proxy=None, http2=False, tls=TlsSettings(certificates.ca)), DirectEngine)
    for engine in (
        make_engine(proxy=None, http2=True, tls=PLAIN),
        make_engine(proxy="http://127.0.0.1:1", http2=False, tls=PLAIN),
        make_engine(proxy="socks5://127.0.0.1:1", http2=False, tls=PLAIN),
    ):
        assert isinstance(engine, HttpxEngine)
        await engine.aclose()


async def test_a_call_over_httpx_says_the_same() -> None:
    async with FaultUpstream([Reply(201, headers={"X-Id": "7"}, body=b"made")]) as upstream, http_proxy() as proxy:
        engine = make_engine(proxy=f"http://127.0.0.1:{proxy.port}", http2=False, tls=PLAIN)
        headers = ((b"authorization", b"Bearer k"), (b"x-twice", b"1"), (b"x-twice", b"2"))
        reply = await engine.send(call_to(upstream, b"one", b"two", target=b"/v1/a:b?c=d%20e", headers=headers))
        assert (reply.status, await reply.read(100), await reply.next()) == (201, b"made", b"")
        assert (b"x-id", b"7") in reply.headers
        [request] = upstream.requests
        assert (request.method, request.target, request.body) == ("POST", "/v1/a:b?c=d%20e", b"onetwo")
        assert dict(request.headers) == {
            "host": f"127.0.0.1:{upstream.port}",
            "authorization": "Bearer k",
            "x-twice": "2",
            "content-length": "6",
        }
        await engine.aclose()


async def test_a_compressed_body_stays_compressed() -> None:
    async with FaultUpstream([Gzip(b"text")]) as upstream, http_proxy() as proxy:
        engine = make_engine(proxy=f"http://127.0.0.1:{proxy.port}", http2=False, tls=PLAIN)
        reply = await engine.send(call_to(upstream))
        assert gzip.decompress(await reply.read(1000)) == b"text"
        await engine.aclose()


PROXIED_FAULTS: list[tuple[Action, Timeouts, type[Exception], str]] = [
    (Drop(), QUICK, ConnectionLost, "first_byte"),
    (Reset(), QUICK, ConnectionLost, "first_byte"),
    (Malformed(b"junk\r\n\r\n"), QUICK, BadReply, "first_byte"),
    (Stall(), Timeouts(first_byte=0.05), UpstreamTimeout, "first_byte"),
    (Stall(), Timeouts(total=0.05), UpstreamTimeout, "total"),
    (Drop(after=120), QUICK, ConnectionLost, "body"),
    (Stall(after=120), Timeouts(idle=0.05), UpstreamTimeout, "idle"),
    (Stall(after=120), Timeouts(total=0.05), UpstreamTimeout, "total"),
    (Malformed(encode(200, {"transfer-encoding": "chunked"}) + b"2\r\nok\r\nzz\r\n"), QUICK, BadReply, "body"),
]


@pytest.mark.parametrize(("action", "limits", "kind", "stage"), PROXIED_FAULTS)
@pytest.mark.parametrize("tunnel", ["socks5", "direct"])
async def test_each_fault_has_our_name(
    action: Action, limits: Timeouts, kind: type[Exception], stage: str, tunnel: str
) -> None:
    async with FaultUpstream([action]) as upstream, socks_proxy() as proxy:
        if tunnel == "socks5":
            engine: Engine = HttpxEngine(proxy=f"socks5://127.0.0.1:{proxy.port}", http2=False, tls=PLAIN)
        else:
            engine = DirectEngine()
        error: Exception | None
        try:
            reply = await engine.send(call_to(upstream, timeouts=limits))
        except (UpstreamTimeout, ConnectionLost, BadReply) as caught:
            error = caught
        else:
            _, error = await drained(reply)
            assert await drained(reply) == (b"", error)
        assert type(error) is kind
        assert getattr(error, "stage", None) == stage
        await upstream.all_closed()
        await engine.aclose()


async def test_a_big_body_each_way_through_a_tunnel(certificates: Certificates) -> None:
    body = os.urandom(1_000_000)
    echo = Respond(lambda request: Reply(body=request.body))
    async with FaultUpstream([echo], ssl=certificates.server_context()) as upstream, http_proxy() as proxy:
        engine = make_engine(
            proxy=f"http://user:pass@127.0.0.1:{proxy.port}", http2=False, tls=TlsSettings(certificates.ca)
        )
        for _ in range(2):
            assert await (await engine.send(call_to(upstream, body))).read(2_000_000) == body
        assert proxy.asked == [f"CONNECT 127.0.0.1:{upstream.port} HTTP/1.1"]
        assert proxy.credentials == ["Basic dXNlcjpwYXNz"]
        assert upstream.requests[0].header("proxy-authorization") is None
        await engine.aclose()


SECRET = "hunter2-very-secret"


@pytest.mark.parametrize("scheme", ["http", "socks5", "ftp"])
async def test_a_proxys_credentials_never_show(scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    texts: list[str] = []
    async with (
        FaultUpstream() as upstream,
        http_proxy(refuse=True) as refusing,
        socks_proxy(answer=b"\x05\xff") as garbling,
        socks_proxy() as working,
    ):
        for port in (refusing.port, garbling.port, working.port, 1):
            proxy = f"{scheme}://{SECRET}:{SECRET}@127.0.0.1:{port}"
            try:
                engine = make_engine(proxy=proxy, http2=False, tls=PLAIN)
                reply = await engine.send(call_to(upstream, timeouts=Timeouts(connect=0.5, first_byte=0.5)))
                await reply.read(1000)
                await engine.aclose()
            except (ConnectError, BadReply, ConnectionLost, SecretError, UpstreamTimeout) as error:
                cause = error.__cause__
                texts += [str(error), repr(error), str(cause), repr(cause)]
    assert texts
    assert SECRET not in "".join(texts)
    assert SECRET not in caplog.text


async def test_a_proxy_that_refuses_is_a_connect_error(certificates: Certificates) -> None:
    async with http_proxy(refuse=True) as proxy:
        engine = make_engine(proxy=f"http://127.0.0.1:{proxy.port}", http2=False, tls=TlsSettings(certificates.ca))
        with pytest.raises(ConnectError, match="407"):
            await engine.send(Call(b"GET", Origin(True, "127.0.0.1", 9), b"/", (), (), QUICK))
        await engine.aclose()


@pytest.mark.parametrize("answer", [b"\x05\xff", b"\x04\x00", b"garbage" * 9, b""])
async def test_a_socks_proxy_that_talks_nonsense_is_a_connect_error(answer: bytes) -> None:
    async with socks_proxy(answer=answer) as proxy:
        engine = make_engine(proxy=f"socks5://127.0.0.1:{proxy.port}", http2=False, tls=PLAIN)
        with pytest.raises(ConnectError):
            await engine.send(Call(b"GET", Origin(False, "127.0.0.1", 9), b"/", (), (), QUICK))
        await engine.aclose()


async def test_connecting_through_a_proxy_takes_too_long() -> None:
    async with FaultUpstream([Stall()]) as silent:
        engine = make_engine(proxy=silent.url, http2=False, tls=PLAIN)
        call = Call(b"GET", Origin(True, "127.0.0.1", 9), b"/", (), (), Timeouts(connect=0.05))
        with pytest.raises(UpstreamTimeout) as caught:
            await engine.send(call)
        assert caught.value.stage == "connect"
        await engine.aclose()


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (f"ftp://{SECRET}@h", "ftp"),
        (f"{SECRET}", "must begin with"),
        (f"http://{SECRET}:{SECRET}@", "no host"),
        (f"http://{SECRET}@h:port", "cannot be read"),
    ],
)
def test_a_proxy_url_that_cannot_be_used(url: str, text: str) -> None:
    with pytest.raises(SecretError, match=text) as caught:
        make_engine(proxy=url, http2=False, tls=PLAIN)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("missing", "make"),
    [
        ("h2", lambda: make_engine(proxy=None, http2=True, tls=PLAIN)),
        ("socksio", lambda: make_engine(proxy="socks5://127.0.0.1:1", http2=False, tls=PLAIN)),
    ],
)
def test_a_missing_package_is_named(missing: str, make: Callable[[], Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(UsageError, match=missing) as caught:
        make()
    assert caught.value.hint
    assert "pip install" in caught.value.hint


@pytest.mark.parametrize("content", [None, "no certificate here"])
def test_a_ca_bundle_that_cannot_be_used(content: str | None, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    if content is not None:
        path.write_text(content)
    for http2 in (False, True):
        with pytest.raises(SecretError, match=r"ca\.pem"):
            make_engine(proxy=None, http2=http2, tls=TlsSettings(str(path)))


async def test_a_call_that_is_not_one_request_is_refused_as_by_our_own() -> None:
    engine = make_engine(proxy="http://127.0.0.1:1", http2=False, tls=PLAIN)
    with pytest.raises(GatewayError):
        await engine.send(Call(b"GET", Origin(False, "127.0.0.1", 9), b"/", ((b"x", b"a\r\nb"),), (), QUICK))
    await engine.aclose()


async def test_giving_up_and_cancelling_close_the_connection() -> None:
    async with FaultUpstream([Sse(["data: 1"], stall=True)]) as upstream, http_proxy() as proxy:
        engine = make_engine(proxy=f"http://127.0.0.1:{proxy.port}", http2=False, tls=PLAIN)
        given_up = await engine.send(call_to(upstream))
        assert await given_up.next()
        given_up.abort()
        given_up.abort()
        with pytest.raises(ConnectionLost):
            await given_up.next()
        await upstream.all_closed()
        reading = await engine.send(call_to(upstream))
        await reading.next()
        task = asyncio.ensure_future(reading.next())
        await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await upstream.all_closed()
        upstream.script = [Stall()]
        waiting = asyncio.ensure_future(engine.send(call_to(upstream)))
        await upstream.received(3)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await upstream.all_closed()
        await engine.aclose()


async def test_closing_lets_a_busy_reply_end() -> None:
    async with FaultUpstream([Sse(["data: 1", "data: 2"], pause=0.01)]) as upstream, http_proxy() as proxy:
        engine = make_engine(proxy=f"http://127.0.0.1:{proxy.port}", http2=False, tls=PLAIN)
        busy = await engine.send(call_to(upstream))
        await engine.aclose()
        assert await busy.read(1000) == b"data: 1\n\ndata: 2\n\n"
        await upstream.all_closed()


async def test_a_body_larger_than_the_reader_allows_over_httpx() -> None:
    async with FaultUpstream([Reply(body=b"x" * 101)]) as upstream, http_proxy() as proxy:
        engine = make_engine(proxy=f"http://127.0.0.1:{proxy.port}", http2=False, tls=PLAIN)
        with pytest.raises(BadReply, match="larger than 100 bytes"):
            await (await engine.send(call_to(upstream))).read(100)
        await upstream.all_closed()
        await engine.aclose()


async def test_http2(certificates: Certificates) -> None:
    async with http2_server(certificates.server_context()) as server:
        engine = make_engine(proxy=None, http2=True, tls=TlsSettings(certificates.ca))
        origin = Origin(True, "127.0.0.1", server.port)
        reply = await engine.send(Call(b"POST", origin, b"/v1/x", ((b"x", b"y"),), (b"to ", b"and fro"), QUICK))
        assert (reply.status, await reply.read(100)) == (200, b"to and fro")
        assert (b"x-over", b"h2") in reply.headers
        assert server.asked == ["POST /v1/x"]
        with pytest.raises(UpstreamTimeout) as caught:
            await engine.send(Call(b"GET", origin, b"/stall", (), (), Timeouts(first_byte=0.05)))
        assert caught.value.stage == "first_byte"
        await engine.aclose()
