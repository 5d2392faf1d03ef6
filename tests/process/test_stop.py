"""How `ccx serve` stops: what is under way is finished, for as long as it may, and nothing is left behind."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.process.serving import DEMO, SLOW, WITHIN, Serving, serving, until, written

pytestmark = pytest.mark.slow


def posted(ccx: Serving, body: object) -> socket.socket:
    """A connection on which a request has been sent and is being served."""
    raw = msgspec.json.encode(body)
    sock = ccx.connect()
    sock.sendall(b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(raw) + raw)
    # On a new connection each time: of several workers any may be the one that serves it.
    until(lambda: ccx.status(connection="close")["in_flight"] == 1, "the request is served")
    return sock


def rest(sock: socket.socket) -> bytes:
    """All that still comes, until the other side closes."""
    pieces = []
    with sock:
        while piece := sock.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


def test_a_stop_waits_for_what_is_under_way(tmp_path: Path) -> None:
    with serving(written(tmp_path, DEMO)) as ccx:
        slow = posted(ccx, SLOW)
        told = time.monotonic()
        ccx.send(signal.SIGTERM)
        assert ccx.event("draining")["in_flight"] == 1
        # A balancer that asks, on a new connection or an old one, learns that it should send nothing more here.
        for client in (ccx.client, httpx.Client(base_url=ccx.client.base_url, trust_env=False)):
            ready = client.get("/ready")
            assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
            assert client.get("/health").status_code == 200
            refused = client.post("/v1/messages", json=SLOW)
            assert refused.status_code == 503
            assert refused.json()["error"]["type"] == "overloaded_error"
            assert refused.headers["retry-after"] == "1"
            assert refused.headers["connection"] == "close"
            client.close()
        answer = rest(slow)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"event: message_stop" in answer
        assert answer.endswith(b"0\r\n\r\n")
        assert ccx.wait() == 0
        assert 1.5 < time.monotonic() - told < 10
        with pytest.raises(OSError, match="refused"):
            ccx.connect()
    assert [line["status"] for line in ccx.out.objects()] == [503, 503, 200]


def test_a_stop_with_nothing_under_way_is_quick(tmp_path: Path) -> None:
    with serving(written(tmp_path, DEMO)) as ccx:
        assert ccx.ask().status_code == 200  # leaves a kept-alive connection
        told = time.monotonic()
        ccx.send(signal.SIGTERM)
        assert ccx.wait() == 0
        assert time.monotonic() - told < 3


def test_the_drain_time_is_kept(tmp_path: Path) -> None:
    spec = DEMO.replace("channels:", "server: {drain: 1s}\nchannels:", 1)
    with serving(written(tmp_path, spec)) as ccx:
        stalled = posted(ccx, {**SLOW, "model": "demo-stall-midstream"})
        assert stalled.recv(65536).startswith(b"HTTP/1.1 200 ")
        told = time.monotonic()
        ccx.send(signal.SIGTERM)
        cut = rest(stalled)
        assert not cut.endswith(b"0\r\n\r\n"), "an end was invented"
        assert ccx.wait() == 0
        assert 0.9 < time.monotonic() - told < 5
        assert ccx.event("stopped")
        assert "Traceback" not in ccx.err.text
    [line] = ccx.out.objects()
    assert (line["status"], line["error"]) == (503, "drained")


def test_a_new_drain_time_counts_at_once(tmp_path: Path) -> None:
    long, short = (DEMO.replace("channels:", f"server: {{drain: {n}}}\nchannels:", 1) for n in ("1h", "1s"))
    with serving(written(tmp_path, long)) as ccx:
        stalled = posted(ccx, {**SLOW, "model": "demo-stall-midstream"})
        written(tmp_path, short)
        assert ccx.event("reload_applied")["restart_needed"] == []
        ccx.send(signal.SIGTERM)
        rest(stalled)
        assert ccx.wait(WITHIN) == 0


def test_a_request_without_an_answer_yet_is_told_that_the_drain_is_over(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        channel = f"{{protocol: messages, base_url: 'http://127.0.0.1:{deaf.getsockname()[1]}', keys: none}}"
        spec = DEMO.replace("channels:", "server: {drain: 1s}\nchannels:", 1).replace("{provider: demo}", channel)
        with serving(written(tmp_path, spec)) as ccx:
            waiting = posted(ccx, SLOW)
            ccx.send(signal.SIGTERM)
            answer = rest(waiting)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"overloaded_error" in answer
            assert b"retry-after: 1" in answer
            assert ccx.wait() == 0
            assert "Traceback" not in ccx.err.text
    [line] = ccx.out.objects()
    assert (line["status"], line["error"]) == (503, "drained")
    assert [attempt["outcome"] for attempt in line["attempts"]] == ["cancelled"]


def test_a_client_that_leaves_during_the_drain_is_one_that_left(tmp_path: Path) -> None:
    with serving(written(tmp_path, DEMO)) as ccx:
        stalled = posted(ccx, {**SLOW, "model": "demo-stall-midstream"})
        ccx.send(signal.SIGTERM)
        ccx.event("draining")
        stalled.close()
        assert ccx.wait() == 0
    [line] = ccx.out.objects()
    assert (line["status"], line["error"]) == (499, "client_gone")


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    with serving(written(tmp_path, DEMO)) as ccx:
        stalled = posted(ccx, {**SLOW, "model": "demo-stall-midstream"})
        ccx.send(signal.SIGINT)
        ccx.event("draining")
        with pytest.raises(Exception, match="timed out"):
            ccx.wait(0.3)
        ccx.send(signal.SIGINT)
        ccx.wait(WITHIN)
        stalled.close()


def test_a_stop_during_the_start(tmp_path: Path) -> None:
    """The first thing said is that it serves; a signal right after it is a stop like any other."""
    for sig in (signal.SIGINT, signal.SIGTERM):
        with serving(written(tmp_path, DEMO)) as ccx:
            ccx.send(sig)
            assert ccx.wait() == 0
            assert "Traceback" not in ccx.err.text
