"""A limit is one limit, however many processes serve the port, with Redis and without."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.process.serving import Serving, serving, until, written
from tests.redis_server import PROGRAM, WHY_NOT, redis_server

pytestmark = pytest.mark.slow
KEY = "ccx_" + "k" * 40
SPEC = f"""
version: ccx/v1
clients: {{a: {{key: {{sha256: {hashlib.sha256(KEY.encode()).hexdigest()}}}, limits: {{requests: 12/h}}}}}}
channels: {{main: {{provider: demo}}}}
"""
BODY = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}


def statuses(ccx: Serving, count: int) -> Counter[int]:
    """Each asked on a connection of its own, which any worker may take."""
    found: Counter[int] = Counter()
    for _ in range(count):
        with httpx.Client(base_url=ccx.client.base_url, trust_env=False, timeout=10) as client:
            found[client.post("/v1/messages", json=BODY, headers={"x-api-key": KEY}).status_code] += 1
    return found


def state(ccx: Serving) -> tuple[str, str, int]:
    said = ccx.client.get("/status").json()["state"]
    return said["kind"], said["mode"], said["replicas"]


def test_workers_share_a_limit_through_their_parent(tmp_path: Path) -> None:
    with serving(written(tmp_path, SPEC), "--workers", "2") as ccx:
        ccx.event("started", count=2)
        assert state(ccx) == ("workers", "shared", 2)
        assert statuses(ccx, 30) == {200: 12, 429: 18}


@pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)
def test_workers_share_a_limit_through_redis(tmp_path: Path) -> None:
    with redis_server() as redis:
        text = f"{SPEC}state: {{redis: {{url: '{redis.url}'}}}}\n"
        with serving(written(tmp_path, text), "--workers", "2") as ccx:
            ccx.event("started", count=2)
            until(lambda: state(ccx) == ("redis", "shared", 2), "both are there")
            assert statuses(ccx, 30) == {200: 12, 429: 18}
        with serving(written(tmp_path, text)) as again:
            assert statuses(again, 3) == {429: 3}


def test_workers_remember_a_session_together(tmp_path: Path) -> None:
    spec = """
version: ccx/v1
tokens: {sticky: 1h}
channels: {main: {provider: demo}}
routes:
  - {name: long, when: {input_tokens: "> 1k"}, to: [main]}
  - {name: rest, to: [main]}
"""

    def took(ccx: Serving, words: int, session: str = "s") -> str:
        body = {**BODY, "messages": [{"role": "user", "content": "word " * words}]}
        with httpx.Client(base_url=ccx.client.base_url, trust_env=False, timeout=10) as client:
            answer = client.post("/v1/messages", json=body, headers={"x-ccx-session": session})
            return str(answer.headers["x-ccx-route"])

    with serving(written(tmp_path, spec), "--workers", "2") as ccx:
        ccx.event("started", count=2)
        assert state(ccx) == ("workers", "shared", 2)
        assert took(ccx, 2000) == "long"
        assert {took(ccx, 10) for _ in range(12)} == {"long"}
        assert took(ccx, 10, "other") == "rest"
