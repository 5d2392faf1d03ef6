"""Keys that change while requests are served: no request fails, none is sent with a key that never was."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.faults import FaultUpstream, Reply
from tests.gateway import running
from tests.runtime.streams import MESSAGE

GOOD = Reply(200, headers={"content-type": "application/json"}, body=MESSAGE)
ASK = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


async def test_a_commands_key_rotates_under_load(tmp_path: Path) -> None:
    (tmp_path / "vault").write_text("key-1")
    async with FaultUpstream([GOOD]) as upstream:
        spec = f"""
        version: ccx/v1
        channels:
          up:
            protocol: messages
            base_url: {upstream.url}
            keys: {{command: ["{sys.executable}", -c, "print(open('vault').read())"], refresh: 1s}}
        """
        async with running(spec, tmp_path) as gw:
            statuses: list[int] = []
            stop = asyncio.Event()

            async def load() -> None:
                while not stop.is_set():
                    statuses.append((await gw.client.post("/v1/messages", json=ASK)).status_code)

            callers = [asyncio.create_task(load()) for _ in range(4)]
            await asyncio.sleep(0.2)
            (tmp_path / "vault").write_text("key-2")
            await asyncio.sleep(1.0)
            assert await gw.reconciler.reconcile("timer") == "applied"
            await asyncio.sleep(0.2)
            stop.set()
            await asyncio.gather(*callers)
            assert set(statuses) == {200}
            sent = [request.header("x-api-key") for request in upstream.requests]
            assert set(sent) == {"key-1", "key-2"}
            assert sent == sorted(sent, key=lambda key: key or "")
            assert await gw.reconciler.reconcile("timer") == "unchanged"


async def test_a_vault_that_is_down_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "vault").write_text("key-1")
    async with FaultUpstream([GOOD]) as upstream:
        spec = f"""
        version: ccx/v1
        channels:
          up:
            protocol: messages
            base_url: {upstream.url}
            keys: {{command: ["{sys.executable}", -c, "print(open('vault').read())"], refresh: 1s}}
        """
        async with running(spec, tmp_path) as gw:
            (tmp_path / "vault").unlink()
            await asyncio.sleep(1.0)
            assert await gw.reconciler.reconcile("timer") == "unchanged"
            assert (await gw.client.post("/v1/messages", json=ASK)).status_code == 200
