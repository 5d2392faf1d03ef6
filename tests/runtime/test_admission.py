"""Who gets in, and with what."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import socket
import zlib
from pathlib import Path

import pytest
import zstandard

from ccx.errors import ClientError
from ccx.runtime.admission import credential, decompress, host_of, is_loopback, read_headers, without_key
from tests.gateway import Running, running

KEY = "ccx-client-key-of-team-a"
HASH = hashlib.sha256(KEY.encode()).hexdigest()
OPEN = """
version: ccx/v1
server: {max_body: 64KiB, body_timeout: 300ms}
channels: {demo: {provider: demo}}
"""
CLOSED = f"""
version: ccx/v1
channels: {{demo: {{provider: demo}}}}
clients:
  team-a: {{key: {{sha256: "{HASH}"}}, models: ["claude-*"], tags: {{team: core}}}}
  old: {{key: {{sha256: "{"0" * 64}"}}, expires: 2020-01-01}}
  expired: {{key: {{sha256: "{hashlib.sha256(b"expired-key").hexdigest()}"}}, expires: 2020-01-01}}
  off: {{key: {{sha256: "{hashlib.sha256(b"disabled-key").hexdigest()}"}}, enabled: false}}
"""
ASK = {"model": "claude-x", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"x-api-key": KEY}, ""),
        ({"authorization": f"Bearer {KEY}"}, ""),
        ({"authorization": f"bearer   {KEY}"}, ""),
        ({"x-goog-api-key": KEY}, ""),
        ({}, f"?key={KEY}"),
        ({}, f"?beta=true&key={KEY}"),
    ],
)
async def test_every_way_of_presenting_a_key(tmp_path: Path, headers: dict[str, str], query: str) -> None:
    async with running(CLOSED, tmp_path) as gw:
        answer = await gw.client.post(f"/v1/messages{query}", json=ASK, headers=headers)
        assert answer.status_code == 200, answer.text
        exchange = await gw.exchange()
        assert exchange.client == "team-a"
        assert exchange.tags == {"team": "core"}


@pytest.mark.parametrize(
    "headers",
    [{}, {"x-api-key": "wrong"}, {"x-api-key": "expired-key"}, {"x-api-key": "disabled-key"}, {"authorization": KEY}],
    ids=["none", "wrong", "expired", "disabled", "no scheme"],
)
async def test_refused_without_a_good_key(tmp_path: Path, headers: dict[str, str]) -> None:
    async with running(CLOSED, tmp_path) as gw:
        answer = await gw.client.post("/v1/messages", json=ASK, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "authentication_error"
        assert answer.headers["x-should-retry"] == "false"
        assert (await gw.exchange()).client is None
        models = await gw.client.get("/v1/models", headers=headers)
        assert models.status_code == 401


async def test_a_model_that_is_not_allowed(tmp_path: Path) -> None:
    async with running(CLOSED, tmp_path) as gw:
        answer = await gw.client.post("/v1/messages", json={**ASK, "model": "gpt-5"}, headers={"x-api-key": KEY})
        assert answer.status_code == 403
        assert "gpt-5" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"origin": "https://evil.example"},
        {"x-forwarded-for": "127.0.0.1"},
        {"forwarded": "for=10.0.0.1"},
        {"host": "evil.example:3000", "origin": "http://evil.example:3000"},
    ],
    ids=["foreign host", "foreign page", "through a proxy", "through another", "rebound name"],
)
async def test_without_clients_a_web_page_cannot_reach_in(tmp_path: Path, headers: dict[str, str]) -> None:
    async with running(OPEN, tmp_path) as gw:
        assert (await gw.client.post("/v1/messages", json=ASK, headers=headers)).status_code == 403
        assert (await gw.client.get("/status", headers=headers)).status_code == 403
        assert (await gw.client.post("/admin/reload", headers=headers)).status_code == 403


async def test_the_admin_key_is_apart(tmp_path: Path) -> None:
    spec = CLOSED + "admin: {key: {env: ADMIN}}\n"
    async with running(spec, tmp_path, environ={"ADMIN": "admin-key"}) as gw:
        assert (await gw.client.get("/status")).status_code == 401
        assert (await gw.client.get("/status", headers={"x-api-key": KEY})).status_code == 401
        answer = await gw.client.get("/status", headers={"authorization": "Bearer admin-key"})
        assert answer.status_code == 200
        assert "admin-key" not in answer.text
        assert (await gw.client.post("/v1/messages", json=ASK, headers={"x-api-key": "admin-key"})).status_code == 401
        assert (await gw.client.get("/health")).json() == {"status": "ok"}


async def test_a_body_that_is_too_large(tmp_path: Path) -> None:
    async with running(OPEN, tmp_path) as gw:
        big = b'{"model":"m","x":"' + b"a" * 70_000 + b'"}'
        assert (await gw.client.post("/v1/messages", content=big)).status_code == 413

        async def pieces():  # type: ignore[no-untyped-def]  # an async generator of bytes
            for _ in range(20):
                yield b"a" * 8192

        chunked = await gw.client.post("/v1/messages", content=pieces())
        assert chunked.status_code == 413
        assert chunked.json()["error"]["type"] == "request_too_large"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
async def test_compressed_bodies(tmp_path: Path, coding: str) -> None:
    raw = b'{"model":"claude-x","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'
    packed = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.ZstdCompressor().compress}[coding](raw)
    async with running(OPEN, tmp_path) as gw:
        answer = await gw.client.post("/v1/messages", content=packed, headers={"content-encoding": coding})
        assert answer.status_code == 200, answer.text
        bomb = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.ZstdCompressor().compress}[coding](
            b"a" * 10_000_000
        )
        assert len(bomb) < 64 * 1024
        answer = await gw.client.post("/v1/messages", content=bomb, headers={"content-encoding": coding})
        assert answer.status_code == 413
        answer = await gw.client.post("/v1/messages", content=packed[:-4], headers={"content-encoding": coding})
        assert answer.status_code == 400


def test_decompress_refuses_what_it_cannot_read() -> None:
    for coding, status in (("gzip", 400), ("br", 415), ("zstd", 400)):
        with pytest.raises(ClientError) as caught:
            decompress(b"not compressed at all", coding, limit=1000)
        assert caught.value.status == status


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"model":1}', b"\xff\xfe", b'{"model":"m","x":"\xff"}', b"[" * 100_000],
    ids=["empty", "torn", "list", "null", "model", "bom", "utf-8", "deep"],
)
async def test_bodies_that_cannot_be_read(tmp_path: Path, body: bytes) -> None:
    async with running(OPEN.replace("64KiB", "50MiB"), tmp_path) as gw:
        for path in ("/v1/messages", "/v1/chat/completions", "/v1/responses", "/v1beta/models/g:generateContent"):
            answer = await gw.client.post(path, content=body)
            assert answer.status_code == 400, (path, answer.text)
            assert answer.json()["error"]["message"]


async def test_a_client_that_does_not_send_its_body(tmp_path: Path) -> None:
    async with running(OPEN, tmp_path) as gw:
        reader, writer = await asyncio.open_connection("127.0.0.1", gw.port)
        writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
        answer = await asyncio.wait_for(reader.read(), 3)
        assert answer.startswith(b"HTTP/1.1 408")
        writer.close()


async def test_headers_without_end(tmp_path: Path) -> None:
    async with running(OPEN, tmp_path) as gw:
        for head in (b"GET / HTTP/1.1\r\n" + b"x: " + b"a" * 100_000, b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n"):
            sock = socket.create_connection(("127.0.0.1", gw.port))
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(sock, head)
            if head.startswith(b"GET / "):
                await loop.sock_sendall(sock, b"\r\ny: 1\r\n\r\n")
            answer = await asyncio.wait_for(loop.sock_recv(sock, 4096), 3)
            sock.close()
            assert answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 414"))


async def ask_models(gw: Running, headers: dict[str, str]) -> dict[str, object]:
    answer = await gw.client.get("/v1/models", headers=headers)
    assert answer.status_code == 200
    found: dict[str, object] = answer.json()
    return found


async def test_models_in_the_shape_of_the_asker(tmp_path: Path) -> None:
    spec = """
    version: ccx/v1
    channels:
      demo: {provider: demo, models: {claude-a: null, "gpt-*": null}}
    routes:
      - {name: one, when: {model: [claude-a, claude-b]}, to: [demo]}
    """
    async with running(spec, tmp_path) as gw:
        openai = await ask_models(gw, {})
        assert [m["id"] for m in openai["data"]] == ["claude-a"]  # type: ignore[attr-defined]  # JSON
        assert openai["object"] == "list"
        anthropic = await ask_models(gw, {"anthropic-version": "2023-06-01"})
        assert anthropic["data"][0]["type"] == "model"  # type: ignore[index]  # JSON
        gemini = await ask_models(gw, {"x-goog-api-key": "k"})
        assert gemini["models"][0]["name"] == "models/claude-a"  # type: ignore[index]  # JSON
        assert (await gw.client.get("/v1/models/claude-a")).json()["id"] == "claude-a"
        assert (await gw.client.get("/v1/models/claude-b")).status_code == 404


async def test_beside_the_endpoints(tmp_path: Path) -> None:
    async with running(OPEN, tmp_path) as gw:
        assert (await gw.client.head("/")).status_code == 200
        assert (await gw.client.head("/api/hello")).status_code == 200
        assert (await gw.client.get("/")).status_code == 200
        assert (await gw.client.get("/ready")).json()["status"] == "ready"
        assert (await gw.client.get("/v1/responses")).status_code == 426
        assert (await gw.client.get("/v1/messages")).status_code == 405
        unknown = await gw.client.post("/v1beta/models/g:fooContent", json={})
        assert unknown.status_code == 404
        assert "generateContent" in unknown.json()["error"]["message"]
        assert (await gw.client.get("/nothing/here")).status_code == 404


async def test_cors_only_where_declared(tmp_path: Path) -> None:
    spec = OPEN.replace("server: {", "server: {cors: ['https://app.example'], ")
    async with running(spec, tmp_path) as gw:
        ask = {"origin": "https://app.example", "access-control-request-method": "POST"}
        allowed = await gw.client.options("/v1/messages", headers=ask)
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        other = await gw.client.options("/v1/messages", headers={**ask, "origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
        answer = await gw.client.post("/v1/messages", json=ASK, headers={"origin": "https://app.example"})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://app.example"


def test_reading_headers() -> None:
    inbound = read_headers(
        [(b"connection", b"close, X-Hop"), (b"x-hop", b"1"), (b"te", b"x"), (b"x-ccx-route", b"r"), (b"x-a", b"1")],
    )
    assert inbound.forward == [(b"x-a", b"1")]
    assert credential(read_headers([(b"authorization", b"Basic abc")]), b"") is None
    assert without_key(b"a=1&key=s&b=2") == b"a=1&b=2"
    assert without_key(b"monkey=1") == b"monkey=1"


@pytest.mark.parametrize(
    ("host", "own"),
    [
        *((name, True) for name in ("127.0.0.1", "::1", "localhost", "a.localhost", "::ffff:127.0.0.1")),
        *((name, False) for name in ("10.0.0.1", "localhost.evil.example", "127.0.0.1.evil.example", "")),
    ],
)
def test_names_of_this_machine(host: str, own: bool) -> None:
    assert is_loopback(host) is own


def test_hosts_of_headers() -> None:
    assert host_of(b"[::1]:3000") == "::1"
    assert host_of(b"http://LOCALHOST:80") == "localhost"
    assert host_of(b"127.0.0.1") == "127.0.0.1"
