"""Clients that go away: watched by one timer, and not before it is worth it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ccx.runtime import departure as module
from ccx.runtime.departure import Departure, Departures


class Client:
    """A client that may go, and how often it was asked."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.asked = 0

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        await self.left.wait()
        return {"type": "http.disconnect"}


async def _request(departures: Departures, client: Client, seconds: float) -> bool:
    departure = Departure(client.receive)
    departure.watch(departures)
    try:
        await asyncio.sleep(seconds)
        return False
    except asyncio.CancelledError:
        return departure.gone
    finally:
        departure.stop()


async def test_a_request_that_is_over_by_then_is_never_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.005)
    departures, clients = Departures(), [Client() for _ in range(20)]
    assert not any(await asyncio.gather(*(_request(departures, client, 0) for client in clients)))
    await asyncio.sleep(0.02)
    assert [client.asked for client in clients] == [0] * 20


async def test_a_client_that_goes_ends_its_own_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.002)
    departures, clients = Departures(), [Client() for _ in range(3)]
    tasks = [asyncio.create_task(_request(departures, client, 0.1)) for client in clients]
    await asyncio.sleep(0.03)
    assert [client.asked for client in clients] == [1, 1, 1]
    clients[1].left.set()
    assert await asyncio.gather(*tasks) == [False, True, False]


async def test_later_requests_are_watched_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.005)
    departures, early, late = Departures(), Client(), Client()
    first = asyncio.create_task(_request(departures, early, 0.1))
    await asyncio.sleep(0.003)
    second = asyncio.create_task(_request(departures, late, 0.1))
    await asyncio.sleep(0.04)
    assert (early.asked, late.asked) == (1, 1)
    late.left.set()
    assert await second
    assert not await first
    third = asyncio.create_task(_request(departures, early, 0.1))
    early.left.set()
    assert await third
