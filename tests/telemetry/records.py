"""Exchanges to feed to the sinks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ccx.telemetry.exchange import OK, Attempt, Exchange

ATTEMPT = Attempt(
    channel="primary",
    protocol="messages",
    model="model-2025",
    key="0badcafe",
    outcome=OK,
    status=200,
    seconds=1.5,
)
FAILED = Attempt(
    channel="backup", protocol="chat", model="other-1", key=None, outcome="overloaded", status=529, seconds=0.25
)


async def until(condition: Callable[[], object]) -> None:
    """Let other tasks and threads work until `condition` holds; fail after seconds."""
    async with asyncio.timeout(5):
        while not condition():  # what is waited for happens in a thread or a file
            await asyncio.sleep(0.001)


def exchange(**changes: Any) -> Exchange:
    fields: dict[str, Any] = {
        "at": 1_767_225_600.25,
        "request_id": "req_1",
        "protocol": "messages",
        "operation": "generate",
        "digest": "d" * 64,
        "client": "team-a",
        "tags": {"team": "core"},
        "model_asked": "model",
        "route": "default",
        "stream": True,
        "status": 200,
        "attempts": (FAILED, ATTEMPT),
        "counted_tokens": 120,
        "input_tokens": 100,
        "output_tokens": 20,
        "cache_read_tokens": 7,
        "cache_write_tokens": 3,
        "reasoning_tokens": 2,
        "finish": "stop",
        "first_byte_seconds": 0.4,
        "total_seconds": 1.75,
        "bytes_in": 1000,
        "bytes_out": 2000,
    }
    return Exchange(**{**fields, **changes})
