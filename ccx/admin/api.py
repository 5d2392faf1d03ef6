"""The management API: status, metrics, the live table, reload. Apart from the clients' keys.

Law: with an admin key, that key and nothing else opens these; without one, only a caller on this machine. Nothing here
changes the spec: what runs is what the files say. Of several workers on one port, one answers: it speaks for itself,
and `workers` in the status tells what each of them serves.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ccx import __version__
from ccx.admin.canary import describe_canary
from ccx.admin.canary import handlers as canary_handlers
from ccx.admin.channels import describe_channel
from ccx.admin.channels import handlers as channel_handlers
from ccx.routing.canonical import table_json
from ccx.runtime.admission import credential, from_this_machine, read_headers
from ccx.runtime.budgets import describe as describe_budgets
from ccx.runtime.caching import Tally
from ccx.runtime.caching import look as look_at_cache
from ccx.runtime.gateway import Gateway
from ccx.runtime.live import Live
from ccx.runtime.orders import Orders
from ccx.runtime.reload import Reconciler
from ccx.state.cache import Holding
from ccx.telemetry.hub import Telemetry

Handler = Callable[[Request], Awaitable[Response]]
STARTED = time.time()


def routes(
    gateway: Gateway,
    reconciler: Reconciler,
    telemetry: Telemetry,
    *,
    spec: Path,
    tell_others: Callable[[], None] = lambda: None,
    orders: Orders | None = None,
) -> list[BaseRoute]:
    """The routes to mount beside the gateway. `tell_others` asks the other workers to reconcile too, and to obey the
    `orders` that they share."""
    orders = orders or Orders(gateway.health)
    canary, canary_order = canary_handlers(gateway, reconciler, telemetry)
    channels, order = channel_handlers(gateway, orders, telemetry, tell_others=tell_others)

    async def status(request: Request) -> Response:
        workers = await asyncio.to_thread(telemetry.tables)
        cache = await describe_cache(gateway)
        budgets = describe_budgets(await gateway.budgets.look()) if gateway.budgets is not None else []
        described = describe(gateway, reconciler, orders, spec=spec, workers=workers)
        return JSONResponse({**described, "cache": cache, "budgets": budgets})

    async def table(request: Request) -> Response:
        live = gateway.live
        headers = {"etag": f'"{live.digest}"', "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        data = await asyncio.to_thread(table_json, live.table)
        return Response(data, media_type="application/json", headers=headers)

    async def metrics(request: Request) -> Response:
        if not gateway.live.table.telemetry.metrics:
            return JSONResponse({"error": {"message": "telemetry.metrics is none"}}, status_code=404)
        if gateway.budgets is not None:
            await gateway.budgets.look()
        if telemetry.metrics.first:
            await look_at_cache(gateway.caching)
        body = await asyncio.to_thread(telemetry.render_metrics)
        return Response(body, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def reload(request: Request) -> Response:
        tell_others()
        result = await reconciler.reconcile("admin")
        said = reconciler.status
        body = {
            "result": result,
            "digest": gateway.live.digest,
            "canary": describe_canary(gateway),
            "problems": list(said.problems),
        }
        return JSONResponse(body, status_code=409 if result == "rejected" or said.result == "rejected" else 200)

    async def cache(request: Request) -> Response:
        if request.method == "DELETE":
            route = request.query_params.get("route")
            if route is not None and not any(one.name == route and one.cache for one in gateway.live.table.routes):
                message = f"No route {route!r} with a cache is in service."
                return JSONResponse({"error": {"type": "not_found", "message": message}}, status_code=404)
            return JSONResponse({"cleared": await gateway.caching.answers.clear(route)})
        return JSONResponse(await describe_cache(gateway))

    return [
        Route("/status", _guarded(gateway, status), methods=["GET"]),
        Route("/metrics", _guarded(gateway, metrics), methods=["GET"]),
        Route("/admin/table", _guarded(gateway, table), methods=["GET"]),
        Route("/admin/cache", _guarded(gateway, cache), methods=["GET", "DELETE"]),
        Route("/admin/channels", _guarded(gateway, channels), methods=["GET"]),
        Route("/admin/channels/{name}/{order}", _guarded(gateway, order), methods=["POST"]),
        Route("/admin/canary", _guarded(gateway, canary), methods=["GET"]),
        Route("/admin/canary/{order}", _guarded(gateway, canary_order), methods=["POST"]),
        Route("/admin/reload", _guarded(gateway, reload), methods=["POST"]),
    ]


def _guarded(gateway: Gateway, handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        refusal = refuse(gateway.newest, request)
        return refusal if refusal is not None else await handler(request)

    return guarded


def refuse(live: Live, request: Request) -> Response | None:
    """The answer to a caller who may not manage; None for one who may."""
    inbound = read_headers(request.scope["headers"])
    if live.admin_key is None:
        if from_this_machine(request.scope, inbound):
            return None
        message = "Without admin.key the management API answers callers on this machine only."
        return JSONResponse({"error": {"type": "permission", "message": message}}, status_code=403)
    key = credential(inbound, b"")
    digest = hashlib.sha256((key or "").encode("utf-8", "surrogateescape")).digest()
    if key is not None and hmac.compare_digest(digest, live.admin_key):
        return None
    message = "The management API needs the admin key, as Authorization: Bearer."
    headers = {"www-authenticate": 'Bearer realm="ccx admin"'}
    return JSONResponse({"error": {"type": "authentication", "message": message}}, status_code=401, headers=headers)


def connections(lives: Sequence[Live]) -> dict[str, int]:
    """Upstream connections of all engines, by state."""
    found = {"open": 0, "idle": 0}
    engines = {id(upstream.engine): upstream.engine for live in lives for upstream in live.upstreams.values()}
    for engine in engines.values():
        found["open"] += getattr(engine, "open_connections", 0)
        found["idle"] += getattr(engine, "idle_connections", 0)
    return found


def describe(
    gateway: Gateway,
    reconciler: Reconciler,
    orders: Orders,
    *,
    spec: Path,
    workers: Mapping[str, tuple[str | None, bool]] | None = None,
) -> dict[str, Any]:
    """What runs here, and how the last reload went. `workers` is what each of several serves, and whether its last
    reload was good."""
    live, said = gateway.live, reconciler.status
    table = live.table
    good = said.result != "rejected"
    return {
        "version": __version__,
        "pid": os.getpid(),
        "uptime_seconds": round(time.time() - STARTED, 1),
        "config": {
            "file": str(spec),
            "digest": live.digest,
            "generation": live.number,
            "source": said.source,
            "applied_at": _when(said.applied_at),
            "last_reload": {"result": said.result, "at": _when(said.at), "problems": list(said.problems)},
            "restart_needed": list(said.restart_needed),
            "canary": describe_canary(gateway),
        },
        "workers": [
            {"worker": name, "digest": digest, "last_reload_good": good}
            for name, (digest, good) in (workers or {"0": (live.digest, good)}).items()
        ],
        "state": gateway.shared.describe() if gateway.shared is not None else {"kind": "memory"},
        "in_flight": gateway.in_flight,
        "overload": gateway.guard.describe(),
        "draining": gateway.draining,
        "routes": [route.name for route in table.routes],
        "channels": {channel.name: describe_channel(gateway, channel, orders) for channel in table.channels},
        "clients": [client.name for client in table.clients],
    }


async def describe_cache(gateway: Gateway) -> dict[str, Any]:
    """What this process has kept of answers, and what became of the requests of each route with a cache. Numbers of
    requests are since its start, or since the route was given a cache."""
    caching, table = gateway.caching, gateway.live.table
    holdings = await caching.answers.holdings()
    none = Holding(0, 0, 0)
    routes = {}
    for route in table.routes:
        if route.cache is None:
            continue
        held, tally = holdings.get(route.name, none), caching.tallies.get(route.name, Tally())
        routes[route.name] = {
            "ttl_seconds": route.cache.ttl / 1000,
            "scope": route.cache.scope,
            "when": route.cache.when,
            "entries": held.entries,
            "bytes": held.bytes,
            "evictions": held.evictions,
            "hits": tally.hits,
            "misses": tally.misses,
            "joins": tally.joins,
            "bypasses": tally.bypasses,
        }
    return {
        "max_bytes": table.server.cache_size,
        "bytes": sum(held.bytes for held in holdings.values()),
        "entries": sum(held.entries for held in holdings.values()),
        "under_way": caching.under_way,
        "routes": routes,
    }


def _when(at: float) -> str | None:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds") if at else None
