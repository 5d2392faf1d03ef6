"""The benchmarks' own parts speak right. Nothing here measures time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.bench import bodies, mock, specs
from tests.bench.__main__ import choose, parser
from tests.bench.budget import goals
from tests.bench.cells import CELLS, Sample, summarise
from tests.bench.client import Connection, Job, pings, request_bytes, streams
from tests.bench.report import Report
from tests.bench.swap import check_receipts


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    server = await mock.serve("127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def exchange(port: int, request: bytes, *, pieces: int = 1) -> tuple[bytes, bytes]:
    """Head and body of the answer to a request sent in so many pieces."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    size = -(-len(request) // pieces)
    for start in range(0, len(request), size):
        writer.write(request[start : start + size])
        await writer.drain()
        await asyncio.sleep(0)
    head = await reader.readuntil(b"\r\n\r\n")
    if b"chunked" in head:
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
    else:
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
        body = await reader.readexactly(int(length.split(b":")[1]))
    writer.close()
    await writer.wait_closed()
    return head, body


def post(body: bytes, path: str = "/v1/messages") -> bytes:
    return request_bytes(path, body, specs.headers())


@pytest.mark.parametrize("pieces", [1, 2, 7])
@pytest.mark.parametrize("size", [1024, 200_000])
async def test_mock_answers_in_json_and_repeats_the_model(port: int, pieces: int, size: int) -> None:
    body = bodies.small("mock-json-a") if size == 1024 else bodies.agent("mock-json-a", size)
    head, answer = await exchange(port, post(body), pieces=pieces)
    assert head.startswith(b"HTTP/1.1 200 ")
    said = json.loads(answer)
    assert (said["type"], said["model"], said["stop_reason"]) == ("message", "mock-json-a", "end_turn")
    assert 900 < len(answer) < 1300


@pytest.mark.parametrize("model", ["mock-burst", "mock-paced-1"])
async def test_mock_streams_fifty_deltas(port: int, model: str) -> None:
    head, answer = await exchange(port, post(bodies.small(model, stream=True)))
    assert b"text/event-stream" in head
    events = [json.loads(line[6:]) for line in answer.decode().splitlines() if line.startswith("data: ")]
    kinds = [event["type"] for event in events]
    assert kinds.count("content_block_delta") == mock.EVENTS
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"


async def test_mock_speaks_chat(port: int) -> None:
    path = "/v1/chat/completions"
    _, answer = await exchange(port, post(bodies.small("gpt-json", protocol="chat"), path))
    assert json.loads(answer)["choices"][0]["finish_reason"] == "stop"
    _, answer = await exchange(port, post(bodies.small("gpt-burst", protocol="chat", stream=True), path))
    lines = [line for line in answer.decode().split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    assert sum("about twenty bytes" in line for line in lines) == mock.EVENTS


async def test_mock_reads_chunked_bodies_with_the_model_at_the_end(port: int) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "x" * 5000}], "model": "mock-burst"}).encode()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:4000], body[4000:])) + b"0\r\n\r\n"
    request = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    for pieces in (1, 5):
        head, _ = await exchange(port, request, pieces=pieces)
        assert b"text/event-stream" in head


async def test_mock_keeps_the_connection_and_answers_pipelined_requests_in_order(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(post(bodies.small("mock-wait-1-first")) + post(bodies.small("mock-json-second")))
    for name in ("first", "second"):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        assert json.loads(await reader.readexactly(length))["model"].endswith(name)
    writer.close()
    await writer.wait_closed()


async def test_mock_refuses_what_is_not_a_chunk(port: int) -> None:
    head, _ = await exchange(port, b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("size", [20_000, 200_000, 1_000_000])
def test_agent_bodies_have_the_shape_and_size_asked_for(size: int) -> None:
    body = bodies.agent("claude-bench-json", size)
    said = json.loads(body)
    assert size <= len(body) < size * 1.25
    assert (len(said["tools"]), len(said["messages"])) == ((20, 39) if size >= 100_000 else (6, 9))
    calls = {part["id"] for m in said["messages"] for part in m["content"] if part["type"] == "tool_use"}
    results = {part["tool_use_id"] for m in said["messages"] for part in m["content"] if part["type"] == "tool_result"}
    assert calls == results
    bodies.agent.cache_clear()
    assert bodies.agent("claude-bench-json", size) == body
    assert bodies.agent("claude-bench-json", size, seed="other") != body


def job(port: int, kind: str, body: bytes, folder: Path, **more: object) -> Job:
    path = folder / "body.json"
    path.write_bytes(body)
    said = {"kind": kind, "port": port, "path": "/v1/messages", "body": str(path), "headers": specs.headers()}
    return Job(**{**said, **more})  # type: ignore[arg-type]  # the fields are named by the tests


async def test_client_sees_a_stall(port: int, tmp_path: Path) -> None:
    body = bodies.small("mock-paced-30-3", stream=True)
    calm = await streams(job(port, "streams", body, tmp_path, connections=2, rounds=1, pace=0.03))
    assert (calm["whole"], calm["failed"], calm["stalled"]) == (2, 0, 0)
    # The same stream, held against a pace it does not keep.
    late = await streams(job(port, "streams", body, tmp_path, connections=2, rounds=1, pace=0.001))
    assert (late["whole"], late["stalled"]) == (2, 2)


async def test_client_counts_a_cut_stream_as_failed(tmp_path: Path) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        writer.close()

    async with await asyncio.start_server(cut, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        said = await streams(job(port, "streams", b"{}", tmp_path, connections=1, rounds=1))
    assert (said["whole"], said["failed"]) == (0, 1)
    assert said["complaints"] == ["the connection was lost"]


async def test_pings_write_a_trace(port: int, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    said = await pings(
        job(port, "pings", bodies.small("mock-json-b"), tmp_path, rate=100, seconds=0.1, trace=str(trace))
    )
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    assert said["n"] == len(lines) == 10
    assert {(status, model) for _, _, status, _, model, _, _ in lines} == {(200, "mock-json-b")}


async def test_a_connection_that_was_lost_answers_at_once(port: int) -> None:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
    connection.close()
    assert (await connection.ask(b"")).broken == "not connected"


def test_receipts_that_disagree_are_found(tmp_path: Path) -> None:
    known = ["aa" * 32, "bb" * 32]
    trace, log = tmp_path / "trace", tmp_path / "log"
    rows = [
        (200, known[0][:12], "mock-json-a", "r1", ""),
        (200, known[0][:12], "mock-json-b", "r2", ""),
        (200, known[1][:12], "mock-json-b", "r3", ""),
        (200, "cc" * 6, "mock-json-b", "r4", ""),
        (503, "", "", "r5", ""),
        (200, known[1][:12], "mock-json-b", "r6", ""),
    ]
    trace.write_text("".join(json.dumps([0, 0, *row]) + "\n" for row in rows))
    booked = {"r1": known[0], "r2": known[0], "r3": known[0]}
    log.write_text("".join(json.dumps({"request_id": r, "digest": d}) + "\n" for r, d in booked.items()))
    found = check_receipts(trace, log, known)
    assert found == {"mixed_digests": 2, "unknown_digests": 1, "unlogged": 1, "changes_seen": 2}


def sample(rate: int, foreign: float = 0.0) -> Sample:
    return Sample(rate, 1.0, 0, 0.1, 0.5, 0.5, foreign, 0.0, 1.0, 2.0, 3.0)


def test_disturbed_rounds_are_left_out_where_a_quiet_one_exists() -> None:
    result = summarise("1k-c64", "ccx-full", [sample(7000), sample(1000, 0.9), sample(1100, 0.8)])
    assert (result.figures["per_second"], result.disturbed) == (7000, 2)
    result = summarise("1k-c64", "ccx-full", [sample(1000, 0.9), sample(1100, 0.8)])
    assert (result.figures["per_second"], result.disturbed) == (1050, 2)


def test_the_report_says_what_is_met_missed_and_not_measured() -> None:
    report = Report(
        [summarise("1k-c64", "ccx-full", [sample(3000)])], {"swap": {"failed": 0}}, {"skipped": ["nginx: gone"]}
    )
    verdicts = {goal.name: goal.verdict for goal in report.goals()}
    assert verdicts["1 KB passthrough, full gateway, 64 connections"] == "missed by 2.00x"
    assert verdicts["1 KB passthrough, full gateway, CPU"] == "met"
    assert verdicts["swaps: failed requests"] == "met"
    assert verdicts["start to first answer"] == "not measured"
    for markdown in (False, True):
        text = report.render(markdown=markdown)
        assert "nginx: gone" in text
        assert "missed by 2.00x" in text
    assert json.loads(json.dumps(report.as_json()))["budget"]


def test_goals_name_cells_that_exist() -> None:
    asked: set[tuple[str, str]] = set()

    def figure(cell: str, contender: str, name: str) -> None:
        asked.add((cell, contender))

    goals(figure, {})
    # nginx converts nothing; everything else must be a cell that is measured.
    assert all(contender in CELLS[cell].contenders or contender == "nginx" for cell, contender in asked)


def test_the_command_line_chooses() -> None:
    assert choose(parser().parse_args(["--only", "1k-c1,swap"])) == (["1k-c1"], ["swap"])
    assert set(choose(parser().parse_args(["--quick"]))[0]) < set(CELLS)
    with pytest.raises(SystemExit, match="no such cell"):
        choose(parser().parse_args(["--only", "nothing"]))


def test_the_specs_compile(tmp_path: Path) -> None:
    from ccx.routing.compile import compile_spec
    from ccx.spec.validate import load

    texts = {kind: specs.ccx(kind, 1, suffix="-a") for kind in ("plain", "full", "tokens")}
    texts |= {kind: specs.ccx(kind, 1, redis=1) for kind in specs.GUARDS}
    texts["many"] = specs.many_routes(50, 1)
    digests = set()
    for name, text in texts.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        loaded = load(path, environ={"CCX_BENCH_KEY": "x"})
        assert loaded.spec is not None, (name, loaded.diagnostics)
        compiled = compile_spec(loaded.spec, locations=loaded.locations)
        assert compiled.servable, (name, compiled.diagnostics)
        digests.add(compiled.digest)
    assert len(digests) == len(texts)
