"""Clients that send anything but what they should."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ccx.runtime import admission
from ccx.runtime import http as bounds
from tests.hostile.conftest import ASK, GOOD, KEY, SPEC, Attacked, attacked, eventually

STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
TLS_HELLO = bytes.fromhex("16030100c8010000c40303") + b"\x00" * 200


def statuses(answer: bytes) -> list[int]:
    """Of all answers on a connection."""
    return [int(found) for found in STATUS.findall(answer)]


async def test_heads_that_are_none(target: Attacked) -> None:
    whole = target.head() + GOOD
    cases: dict[str, tuple[bytes, set[int]]] = {
        "nothing but line ends": (b"\r\n" * 1000 + whole, {200}),
        "zeros": (b"\0" * 1000, {400}),
        "TLS": (TLS_HELLO, {400}),
        "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400}),
        "HTTP/0.9": (b"GET /\r\n\r\n", {200, 400}),
        "HTTP/9.9": (whole.replace(b"HTTP/1.1", b"HTTP/9.9"), {400}),
        "no version": (whole.replace(b" HTTP/1.1", b""), {200, 400}),
        "an unknown method": (whole.replace(b"POST", b"FOO"), {400}),
        "a method in small letters": (whole.replace(b"POST", b"post"), {400}),
        "a header without colon": (target.head("POST /v1/messages HTTP/1.1", "nothing") + GOOD, {400}),
        "a header with a space before its colon": (target.head("POST /v1/messages HTTP/1.1", "x-a : b") + GOOD, {400}),
        "zero in a header": (target.head("POST /v1/messages HTTP/1.1", "x-a: a\0b") + GOOD, {400}),
        "a folded header": (target.head("POST /v1/messages HTTP/1.1", "x-a: a\r\n b") + GOOD, {400}),
        "a bare line end in a header": (target.head("POST /v1/messages HTTP/1.1", "x-a: a\nx-b: c") + GOOD, {400}),
        "a tunnel": (b"CONNECT evil.example:443 HTTP/1.1\r\nhost: localhost\r\n\r\n", {400, 404}),
        "all of the server": (b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n", {400, 404}),
        "a long path": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n", {414}),
        "long headers": (target.head("POST /v1/messages HTTP/1.1", "x-a: " + "a" * 70_000) + GOOD, {431}),
        "many headers": (target.head("POST /v1/messages HTTP/1.1", *["x-a: b"] * 10_000) + GOOD, {431}),
        "headers without end": (b"GET / HTTP/1.1\r\n" + b"x-a: b\r\n" * 20_000, {431}),
        "raw bytes in the path": (whole.replace(b"/v1/messages", b"/v1/m\xff\xfe"), {400, 404}),
        "a path that is none": (whole.replace(b"/v1/messages", b"v1/messages"), {400, 404}),
        "a fragment": (whole.replace(b"/v1/messages", b"/v1/messages#x"), {200, 400}),
    }  # fmt: skip
    for name, (sent, expected) in cases.items():
        answer = await target.raw(sent, wait=0.6)
        found = statuses(answer)
        assert found, (name, answer)
        assert found[0] in expected, (name, answer)
        assert answer.count(b"HTTP/1.1") == len(found), (name, answer)
    await target.unharmed()


async def test_bodies_that_are_not_as_declared(target: Attacked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "DRAIN_SECONDS", 0.5)
    line = "POST /v1/messages HTTP/1.1"
    chunked = target.head(line, "transfer-encoding: chunked", "connection: close", length=None)
    good = b"%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD)
    cases: dict[str, tuple[bytes, int | None]] = {
        "well": (chunked + good, 200),
        "trailers": (chunked + good[:-2] + b"x-trailer: x\r\nx-api-key: other\r\n\r\n", 200),
        "shorter than declared": (target.head(length=len(GOOD) + 9) + GOOD, 408),
        "longer than declared": (target.head(length=9) + GOOD, 400),
        "nothing at all": (target.head(line, "connection: close", length=0), 400),
        "a negative length": (target.head(line, "content-length: -5", length=None) + GOOD, 400),
        "a length with a sign": (target.head(line, "content-length: +5", length=None) + GOOD, 400),
        "two lengths": (target.head(line, "content-length: 5") + GOOD, 400),
        "an endless length": (target.head(line, "content-length: " + "9" * 40, length=None) + GOOD, 400),
        "length and chunks": (target.head(line, "transfer-encoding: chunked") + good, 400),
        "an unknown coding": (target.head(line, "transfer-encoding: chunked, rot13", length=None) + good, 400),
        "no chunk size": (chunked + b"zz\r\nabc\r\n0\r\n\r\n", 400),
        "an endless chunk size": (chunked + b"f" * 30 + b"\r\nabc", 400),
        "a chunk that is longer": (chunked + b"3\r\nabcdef\r\n0\r\n\r\n", 400),
        "no last chunk": (chunked + good[:-5], 408),
        "an endless chunk extension": (chunked + b"5;" + b"a" * 200_000, 408),
        "200 MB declared": (target.head(length=200 * 2**20) + GOOD, 413),
        "2 MB sent": (target.head(length=2**21) + b" " * 2**21, 413),
        "2 MB in chunks": (chunked + b"8000\r\n%b\r\n" % (b" " * 0x8000) * 64 + b"0\r\n\r\n", 413),
    }
    begun = time.monotonic()
    found = await asyncio.gather(*(target.raw(sent, wait=8) for sent, _ in cases.values()))
    for (name, (_, expected)), answer in zip(cases.items(), found, strict=True):
        first = statuses(answer)
        assert first, (name, answer)
        assert first[0] == expected, (name, answer)
        assert KEY.encode() not in answer
    assert time.monotonic() - begun < 10
    await target.unharmed()


async def test_large_bodies_are_refused_before_they_are_sent(target: Attacked) -> None:
    line = "POST /v1/messages HTTP/1.1"
    answer = await target.raw(target.head(line, "expect: 100-continue", length=200 * 2**20), wait=2)
    assert statuses(answer) == [413]
    reader, writer = await asyncio.open_connection("127.0.0.1", target.gw.port)
    writer.write(target.head(line, "expect: 100-continue", "connection: close"))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
    writer.write(GOOD)
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()
    await writer.wait_closed()


async def test_pipelined_requests(target: Attacked) -> None:
    one = target.head() + GOOD
    last = target.head("POST /v1/messages HTTP/1.1", "connection: close") + GOOD
    answer = await target.raw(one * 20 + last)
    assert statuses(answer) == [200] * 21
    # What follows a refused request is not taken for its rest, nor its rest for a request.
    smuggled = target.head("POST /admin/reload HTTP/1.1", length=0)
    answer = await target.raw(target.head(length=len(smuggled)) + smuggled + last)
    assert statuses(answer) == [400, 200]
    answer = await target.raw(one + b"garbage\r\n\r\n")
    assert statuses(answer)[0] in (200, 400)
    await target.unharmed()


async def test_a_client_that_pipelines_and_leaves(target: Attacked) -> None:
    """The request that is being served must end with its client although another waits behind it."""
    stall = json.dumps({**ASK, "model": "demo-stall"}).encode()
    slow = target.head(length=len(stall)) + stall
    _, writer = await asyncio.open_connection("127.0.0.1", target.gw.port)
    writer.write(slow + target.head() + GOOD)
    await eventually(lambda: target.gw.gateway.in_flight == 1, "it is being served")
    await asyncio.sleep(0.05)
    writer.close()
    await writer.wait_closed()
    await eventually(lambda: target.gw.gateway.in_flight == 0, "it has not ended with its client")


async def test_slow_clients(target: Attacked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HEADER_SECONDS", 0.3)
    begun = time.monotonic()
    drip = [bytes([byte]) for byte in target.head()[:40]]
    keep = target.head() + GOOD
    answers = await asyncio.gather(
        target.raw(b"POST /v1/messages HTTP/1.1\r\nhost: a\r\n"),
        target.raw(*drip),
        target.raw(keep, b"POST /v1"),
        target.raw(keep, *[b"\r\n"] * 20),
        target.raw(),
        target.raw(target.head(), GOOD[:10]),
    )
    assert time.monotonic() - begun < 3
    head, dripped, second, empty_lines, silent, body = map(statuses, answers)
    assert head == [408]
    assert dripped == [408]
    assert second == [200, 408]
    assert empty_lines == [200]
    assert silent == [], "who has asked nothing gets no answer"
    assert body == [408]
    await target.unharmed()


async def test_nothing_is_said_into_an_answer(target: Attacked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Garbage or a slow head behind a request that is being answered ends the connection, but not in its answer's
    middle."""
    monkeypatch.setattr(bounds, "HEADER_SECONDS", 0.2)
    streamed = json.dumps({**ASK, "model": "demo-stall-midstream", "stream": True, "max_tokens": 500}).encode()
    for more in (
        b"garbage\r\n\r\n",
        b"POST /v1",
        b"GET /" + b"a" * 20_000,
        b"GET / HTTP/1.1\r\n" + b"x-a: b\r\n" * 20_000,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", target.gw.port)
        writer.write(target.head(length=len(streamed)) + streamed)
        answer = await reader.readuntil(b"content_block_delta")
        writer.write(more)
        async with asyncio.timeout(3):
            answer += await reader.read()
        assert statuses(answer) == [200], answer
        writer.close()
        await writer.wait_closed()
    await target.unharmed()


PATHS = {
    "/v1/../admin/reload": 404,
    "/v1/%2e%2e/admin/reload": 404,
    "/%2e%2e/%2e%2e/etc/passwd": 404,
    "//v1/messages": 404,
    "/v1//messages": 404,
    "/v1/messages/../messages": 404,
    "/v1/messages/..%2f..%2fadmin%2freload": 404,
    "/v1/messages%00": 404,
    "/v1/messages%0d%0ax-injected:%20yes": 404,
    "/v1/messages;a=b": 404,
    "/v1/messages\\..\\admin": 404,
    "/v1/messages%": 404,
    "/v1/messages%zz": 404,
    "/v1/%ff%fe": 404,
    "/V1/MESSAGES": 404,
    "/v1/v1/v1/messages": 404,
    "/v1beta/models/..%2f..:generateContent": 404,
    "/v1beta/models/%2e%2e/%2e%2e/v1/files:generateContent": 404,
    "/v1beta/models/a/../../b:generateContent": 404,
    "/v1beta/models/:generateContent": 404,
    "/v1beta/models/x:generateContent:delete": 404,
    "/v1beta/models/x:deleteModel": 404,
    "/admin/reload": 403,
    "/%61dmin/reload": 403,
    "/admin/reload/": 404,
    "/status": 405,
}


async def test_paths(tmp_path: Path) -> None:
    """With an admin key, so that whoever gets past the client's check would show."""
    spec = SPEC + "admin: {key: {env: UPSTREAM_KEY}}\n"
    async with attacked(spec, tmp_path) as target:
        for path, expected in PATHS.items():
            sent = target.head(f"POST {path} HTTP/1.1", "connection: close") + GOOD
            answer = await target.raw(sent, wait=1)
            wanted = 401 if expected == 403 else expected
            assert statuses(answer) in ([wanted], [400]), (path, answer)
            assert b"\r\nx-injected" not in answer.lower()
            assert not any(exchange.status == 200 for exchange in target.gw.exchanges), path


async def test_queries(target: Attacked) -> None:
    for query in (
        "%ff",
        "key=%ff",
        "key=%00",
        "key=" + "a" * 15_000,
        "%",
        "&&&&=",
        "key=a&key=b",
        "a=%0d%0ax-injected:1",
    ):
        for path in ("/v1/messages", "/v1/models", "/v1/models/claude-x", "/v1beta/models/gemini-x:generateContent"):
            method = "GET" if "models" in path and ":" not in path else "POST"
            answer = await target.raw(target.head(f"{method} {path}?{query} HTTP/1.1", "connection: close") + GOOD)
            found = statuses(answer)
            assert found, (path, query)
            assert found[0] < 500, (path, query, answer)
            assert b"\r\nx-injected" not in answer
    for listed in ("limit=abc", "limit=-1", "limit=" + "9" * 5000, "after_id=%ff", "pageSize=1e9", "pageToken=x"):
        answer = await target.raw(target.head(f"GET /v1/models?{listed} HTTP/1.1", "connection: close", length=None))
        assert statuses(answer)[0] < 500, (listed, answer)
    await target.unharmed()


@pytest.mark.parametrize(
    "header",
    ["x-api-key: \xff\xfe", "authorization: Bearer \xff", "authorization: Bearer", "authorization: ", "x-api-key: "],
)
async def test_keys_that_are_none(target: Attacked, header: str) -> None:
    sent = (
        f"POST /v1/messages HTTP/1.1\r\nhost: a\r\n{header}\r\nconnection: close\r\ncontent-length: {len(GOOD)}\r\n\r\n"
    )
    assert statuses(await target.raw(sent.encode("latin-1") + GOOD)) == [401]


async def test_headers_with_any_bytes_are_passed_or_refused(target: Attacked) -> None:
    for value in ("\xff\xfe", "\x7f", "\x01", "a\tb", "é", "a" * 60_000):
        head = target.head("POST /v1/messages HTTP/1.1", f"anthropic-beta: {value}", "connection: close")
        assert statuses(await target.raw(head + GOOD))[0] in (200, 400), value
    for name in (
        "content-type: \xff",
        "content-encoding: \xff",
        "content-type: multipart/form-data; boundary=",
        "expect: \xff",
    ):
        head = target.head("POST /v1/messages HTTP/1.1", name, "connection: close")
        found = statuses(await target.raw(head + GOOD))
        assert found, name
        assert found[0] < 500, name


async def test_web_sockets_and_upgrades(target: Attacked) -> None:
    upgrade = ("connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13", "sec-websocket-key: x" * 2)
    # Codex asks so, and falls back at 426; its next request may come on the same connection.
    asked = target.head("GET /v1/responses HTTP/1.1", *upgrade, length=None)
    answer = await target.raw(asked, target.head("POST /v1/messages HTTP/1.1", "connection: close") + GOOD)
    assert statuses(answer)[0] == 426
    assert statuses(answer) in ([426], [426, 200]), answer
    assert (
        statuses(await target.raw(target.head("GET /v1/messages HTTP/1.1", *upgrade, length=None), wait=0.5))[0] == 405
    )
    # Some HTTP clients offer HTTP/2 with every first request; the offer may be ignored, the request may not.
    h2c = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQAAP__")
    answer = await target.raw(target.head("POST /v1/messages HTTP/1.1", *h2c) + GOOD, wait=0.5)
    assert statuses(answer) == [200]
    assert b"101" not in answer.partition(b"\r\n")[0]


async def test_compressed_bombs(target: Attacked) -> None:
    bomb = gzip.compress(b" " * (50 * 2**20))
    begun = time.monotonic()
    answer = await target.post(content=bomb, **{"content-encoding": "gzip"})
    assert answer.status_code == 413
    assert time.monotonic() - begun < 2
    for coding, body in (
        ("gzip", bomb[:100]),
        ("gzip", b"garbage"),
        ("zstd", b"garbage"),
        ("br", GOOD),
        ("gzip, gzip", bomb),
    ):
        answer = await target.post(content=body, **{"content-encoding": coding})
        assert answer.status_code in (400, 413, 415), (coding, answer.text)
    await target.unharmed()


ENDPOINTS = {
    "/v1/messages": ("messages", "system", "tools"),
    "/v1/messages/count_tokens": ("messages",),
    "/v1/chat/completions": ("messages", "tools"),
    "/v1/responses": ("input", "tools", "instructions"),
    "/v1/responses/compact": ("input",),
    "/v1/responses/input_tokens": ("input",),
    "/v1beta/models/gemini-x:generateContent": ("contents", "tools", "systemInstruction", "generationConfig"),
    "/v1beta/models/gemini-x:streamGenerateContent": ("contents",),
    "/v1beta/models/gemini-x:countTokens": ("contents",),
    "/v1beta/models/gemini-x:embedContent": ("content",),
    "/v1/images/generations": ("prompt",),
    "/v1/embeddings": ("input",),
}
CURIOUS = """
defaults: {failover: {attempts: 1}}
routes:
  - {name: long, when: {input_tokens: "> 60k"}, to: [demo]}
  - {name: tools, when: {tools: true, server_tools: [web_search]}, to: [demo]}
  - {name: pictures, when: {images: true, thinking: true, body: {metadata.user_id: "x*"}}, to: [demo]}
  - {name: rest, to: [demo]}
"""


@pytest.fixture
async def curious(tmp_path: Path) -> AsyncIterator[Attacked]:
    """A gateway whose routes ask for every fact of a body."""
    async with attacked(SPEC + CURIOUS, tmp_path) as made:
        yield made


async def test_json_nested_without_measure(curious: Attacked) -> None:
    for path, fields in ENDPOINTS.items():
        for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
            deep = opened * 100_000 + b"1" + closed * 100_000
            for field in fields:
                answer = await curious.post(path, b'{"model":"m","%b":%b}' % (field.encode(), deep))
                assert answer.status_code == 400, (path, field, answer.text[:200])
                assert "512 levels" in answer.text
            assert (await curious.post(path, deep)).status_code == 400
            assert (await curious.post(path, opened * 100_000)).status_code == 400
    await curious.unharmed()


BODIES = (
    b"", b"null", b"[]", b"1", b'"text"', b"{", b"{}", b'{"model":1}', b'{"model":null}', b'{"model":{}}',
    b'{"model":""}',
    b'{"model":"m","stream":"yes"}', b'{"model":"m","model":"n","stream":1}', b"\xef\xbb\xbf{}", b'{"model":"\xff"}',
    b'{"model":"m","x":"\xff\xfe"}', b'{"model":"m\\u0000"}', b'{"model":"m\\ud800"}', b'{"model":"m","n":1e999}',
    b'{"model":"m","n":' + b"9" * 5000 + b"}", b'{"model":"m"}{"model":"n"}', b'{"model":"m",}', b'\0{"model":"m"}',
    b'{"model":"a\\r\\nx-injected: yes"}', "{\"model\":\"m\"}".encode("utf-16"), b'{"\\u006dodel":"m"}',
    b'{"model":"' + b"m" * 900_000 + b'"}',
)  # fmt: skip


async def test_json_that_is_no_request(curious: Attacked) -> None:
    for path in ENDPOINTS:
        for body in BODIES:
            answer = await curious.post(path, body)
            assert answer.status_code < 500, (path, body[:80], answer.text[:200])
            assert "x-injected" not in answer.headers
            # Whatever it is, it is said in the protocol asked; a stream of events has its own form.
            if "json" in answer.headers["content-type"]:
                answer.json()
    await curious.unharmed()


async def test_values_of_the_wrong_kind(curious: Attacked) -> None:
    """Each known field with each kind of value: a fact that cannot be read is no fact, and never an error of ours."""
    values: tuple[object, ...] = (
        None,
        True,
        -1,
        1.5,
        "x",
        [],
        [None],
        [[]],
        ["x"],
        [{}],
        {},
        {"x": None},
        [{"type": 1}],
    )
    fields = (
        "messages", "system", "tools", "input", "contents", "content", "thinking", "reasoning", "metadata",
        "max_tokens", "instructions", "prompt", "generationConfig", "systemInstruction", "image",
        "stream_options", "tool_choice",
    )  # fmt: skip
    for path in ENDPOINTS:
        for field in fields:
            bodies = [json.dumps({"model": "m", field: value}).encode() for value in values]
            for answer in await asyncio.gather(*(curious.post(path, body) for body in bodies)):
                assert answer.status_code < 500, (path, field, answer.text)
    await curious.unharmed()


async def test_models_that_would_inject_headers(curious: Attacked) -> None:
    for model in (
        "a\r\nx-injected: yes",
        "a\nb",
        "a\0b",
        "é",
        "日本",
        "a b",
        "a?b=c",
        "a#b",
        "../../x",
        "a/../b",
        "a%2f..%2fb",
    ):
        answer = await curious.post(content=json.dumps({**ASK, "model": model}).encode())
        assert answer.status_code < 500
        assert "x-injected" not in answer.headers
        quoted = "".join(f"%{byte:02x}" for byte in model.encode())
        answer = await curious.post(f"/v1beta/models/{quoted}:generateContent", b'{"contents":[]}')
        assert answer.status_code < 500, (model, answer.text)
        assert "x-injected" not in answer.headers


FORMS = (
    (b"--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b--\r\n", "b"),
    (b"--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nm\r\n", "b"),
    (b"--b--\r\n", "b"),
    (b"", "b"),
    (b"garbage", "b"),
    (b"--b\r\n" * 1000, "b"),
    (b"--b\r\nx: " + b"a" * 100_000 + b"\r\n\r\n\r\n--b--\r\n", "b"),
    (b"--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\na\r\nx-injected: yes\r\n--b--\r\n", "b"),
    (b"--b\r\ncontent-disposition: form-data; name=\"\xff\"\r\n\r\n\xff\r\n--b--\r\n", "b"),
    (b"--b--\r\n", "\"\r\nx-injected"),
    (b"--" + b"b" * 100 + b"--\r\n", "b" * 100),
)  # fmt: skip


async def test_forms(curious: Attacked) -> None:
    for path in ("/v1/images/edits", "/v1/images/variations", "/v1/messages", "/v1/embeddings"):
        for body, boundary in FORMS:
            kind = f"multipart/form-data; boundary={boundary}".replace("\r\n", "")
            answer = await curious.post(path, body, **{"content-type": kind})
            assert answer.status_code < 500, (path, body[:80], answer.text)


HOSTS = {
    "localhost": True, "localhost:3000": True, "127.0.0.1": True, "[::1]:80": True, "127.1.2.3": True,
    "evil.example": False, "localhost.evil.example": False, "127.0.0.1.nip.io": False, "": False, "2130706433": False,
    "0x7f.1": False, "0.0.0.0": False, "[::]": False, "localhost@evil.example": False, "evil.example#localhost": False,
    "[::ffff:7f00:1]": True, "169.254.169.254": False, "\xff": False, "evil.example, localhost": False,
}  # fmt: skip


async def test_only_names_of_this_machine_where_no_client_is_declared(tmp_path: Path) -> None:
    spec = "version: ccx/v1\nchannels: {demo: {provider: demo}}\n"
    async with attacked(spec, tmp_path) as target:
        for host, own in HOSTS.items():
            for line in (
                "POST /v1/messages HTTP/1.1",
                "GET /status HTTP/1.1",
                "GET /v1/models HTTP/1.1",
                "POST /admin/reload HTTP/1.1",
            ):
                head = f"{line}\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {len(GOOD)}\r\n\r\n"
                found = statuses(await target.raw(head.encode("latin-1") + GOOD))
                assert found == [200 if own else 403], (host, line)
        for origin in (
            "https://evil.example",
            "null",
            "http://localhost.evil.example",
            "file://",
            "http://127.0.0.1.nip.io",
        ):
            answer = await target.gw.client.post("/v1/messages", content=GOOD, headers={"origin": origin})
            assert answer.status_code == 403, origin
            assert "access-control-allow-origin" not in answer.headers
        evil = b"POST http://evil.example/v1/messages HTTP/1.1\r\nhost: evil.example\r\ncontent-length: %d\r\n\r\n"
        assert statuses(await target.raw(evil % len(GOOD) + GOOD, wait=0.3)) == [403]
