"""State that several processes share, as a table declares it: made, reported on, and put into a gateway."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from ccx.errors import SecretError, UsageError
from ccx.routing.table import RoutingTable
from ccx.runtime.budgets import EVERY
from ccx.runtime.caching import Caching, look
from ccx.runtime.commands import SecretCommands
from ccx.runtime.gateway import Gateway
from ccx.secrets import SecretRef, read_file, resolve
from ccx.state.link import WireError
from ccx.state.workers.meters import WorkersState
from ccx.telemetry.hub import Telemetry
from ccx.telemetry.metrics import Metrics


def require_client(table: RoutingTable) -> None:
    """Raises UsageError where a table wants Redis and there is no client library for it."""
    if table.redis is not None and importlib.util.find_spec("redis") is None:
        raise UsageError(
            "the spec keeps state in Redis, and its client is not installed", hint="pip install 'ccx[redis]'"
        )


def share(
    gateway: Gateway,
    *,
    folder: Path,
    environ: Mapping[str, str],
    commands: SecretCommands,
    telemetry: Telemetry,
    socket: Path | None = None,
) -> None:
    """Have a gateway share its state as its table says: in Redis, or with the other workers of its port, whose parent
    answers at `socket`. Nothing for a process alone."""
    redis = gateway.live.table.redis
    if redis is None:
        if socket is not None:
            _share_with_workers(gateway, socket, telemetry)
        return
    from ccx.state.redis.store import RedisStore  # noqa: PLC0415 - an extra: most run without it

    def changed(up: bool, why: str) -> None:
        if up:
            telemetry.log_event("state_back", store="redis", replicas=store.meters.sharing)
        else:
            telemetry.log_event("state_lost", store="redis", why=why, mode=store.meters.mode)

    metrics = telemetry.metrics
    store = RedisStore(
        _address(redis.url, folder=folder, environ=environ, commands=commands),
        health=gateway.health,
        prefix=redis.prefix,
        ca=str(folder / redis.ca) if redis.ca is not None else None,
        timeout=redis.timeout / 1000,
        closed=redis.on_failure == "closed",
        observe=metrics.state_seconds.labelled("redis").observe,
        changed=changed,
    )
    gateway.meters = store.meters
    gateway.marks = store.marks
    gateway.responses = store.responses
    gateway.caching = Caching(store.answers)
    gateway.caching.configure(gateway.live.table)
    gateway.shared = store

    def read() -> None:
        record = store.link.record
        metrics.set_state("redis", up=record.up, replicas=store.meters.sharing, errors=record.errors)

    metrics.registry.on_read(read)


def looking(gateway: Gateway, metrics: Metrics) -> Sequence[Callable[[], Coroutine[Any, Any, None]]]:
    """The work that keeps the gauges of what all processes share fresh where nobody asks this one for them: done by one
    worker of several."""
    if gateway.live.table.redis is None or not metrics.first:
        return ()

    async def look_now_and_then() -> None:
        while True:
            if any(route.cache is not None for route in gateway.live.table.routes):
                await look(gateway.caching)
            await asyncio.sleep(EVERY)

    return (look_now_and_then,)


def _share_with_workers(gateway: Gateway, socket: Path, telemetry: Telemetry) -> None:
    def changed(up: bool, why: str) -> None:
        if not up:
            telemetry.log_event("state_lost", store="workers", why=why, mode=state.meters.mode)

    metrics = telemetry.metrics
    state = WorkersState(socket, observe=metrics.state_seconds.labelled("workers").observe, changed=changed)
    gateway.meters = state.meters
    gateway.marks = state.marks
    gateway.shared = state

    def read() -> None:
        record = state.link.record
        metrics.set_state("workers", up=record.up, replicas=state.meters.sharing, errors=record.errors)

    metrics.registry.on_read(read)


def _address(
    url: str | SecretRef, *, folder: Path, environ: Mapping[str, str], commands: SecretCommands
) -> Callable[[], Awaitable[str]]:
    async def address() -> str:
        if isinstance(url, str):
            return url

        def look() -> str:
            return resolve(url, environ=environ, read=lambda name: read_file(str(folder / name)), run=commands.read)

        try:
            return await asyncio.to_thread(look)
        except SecretError as error:
            raise WireError("url", str(error)) from error

    return address
