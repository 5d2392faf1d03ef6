"""The management API of channels: how they fare, and what an operator orders for them.

Law: an order needs an end and may have a reason; giving it twice is giving it once, with the later end. It is told in
the log, the status and the metrics as long as it holds, and never written to the spec.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ccx.routing.table import Channel
from ccx.runtime.gateway import Gateway
from ccx.runtime.orders import LONGEST, MAX_REASON, Orders
from ccx.runtime.selecting import latency_id
from ccx.spec.scalars import parse_duration
from ccx.state.health import Order, Override, TargetId
from ccx.telemetry.hub import Telemetry
from ccx.telemetry.metrics import Metrics

MAX_BODY: Final = 16 * 1024
_ORDERS: Final[dict[str, Order | None]] = {"drain": "drain", "promote": "promote", "resume": None}


class OrderBody(msgspec.Struct, forbid_unknown_fields=True):
    """What is sent with an order: `{"for": "30m", "reason": "maintenance"}`. `for` is needed but to resume."""

    duration: str | None = msgspec.field(name="for", default=None)
    reason: str = ""


def handlers(
    gateway: Gateway, orders: Orders, telemetry: Telemetry, *, tell_others: Callable[[], None]
) -> tuple[Callable[[Request], Any], Callable[[Request], Any]]:
    """What answers `GET /admin/channels` and `POST /admin/channels/{name}/{order}`."""

    async def listed(request: Request) -> Response:
        table = gateway.live.table
        return JSONResponse({"channels": {one.name: describe_channel(gateway, one, orders) for one in table.channels}})

    async def ordered(request: Request) -> Response:
        name, word = request.path_params["name"], request.path_params["order"]
        channel = next((one for one in gateway.live.table.channels if one.name == name), None)
        if channel is None:
            legal = ", ".join(one.name for one in gateway.live.table.channels)
            return refusal(404, "not_found", f"There is no channel {name!r}; there are {legal}.")
        if word not in _ORDERS:
            return refusal(404, "not_found", f"{word!r} is no order; there are {', '.join(_ORDERS)}.")
        order = _ORDERS[word]
        raw = await read_body(request)
        if raw is None:
            return refusal(413, "too_large", f"An order has at most {MAX_BODY} bytes.")
        try:
            said = msgspec.json.decode(raw, type=OrderBody) if raw else OrderBody()
            seconds = _seconds(said, order)
        except (msgspec.DecodeError, ValueError) as error:
            return refusal(400, "invalid_request", f"{error}")
        try:
            await orders.give(name, order, seconds=seconds, reason=said.reason)
        except KeyError:
            return refusal(409, "conflict", f"The channel {name!r} has just left the table.")
        except OSError as error:
            return refusal(503, "overloaded", f"The workers cannot be told: {error.strerror}.")
        tell_others()
        telemetry.log_event("channel_ordered", channel=name, order=word, seconds=seconds, reason=said.reason)
        return JSONResponse({"channel": name, "override": describe_channel(gateway, channel, orders)["override"]})

    return listed, ordered


async def read_body(request: Request) -> bytes | None:
    """The body of an order; None for one that is too large."""
    raw = b""
    async for piece in request.stream():
        raw += piece
        if len(raw) > MAX_BODY:
            return None
    return raw


def _seconds(said: OrderBody, order: Order | None) -> float:
    """How long the order lasts. Raises ValueError."""
    if len(said.reason) > MAX_REASON:
        raise ValueError(f"`reason` has at most {MAX_REASON} characters")
    if order is None:
        return 0.0
    if said.duration is None:
        raise ValueError('an order needs an end: {"for": "30m"}')
    seconds = parse_duration(said.duration) / 1000
    if not 0 < seconds <= LONGEST:
        raise ValueError(f"`for` is {said.duration!r}; an order lasts up to {LONGEST / 3600:g} hours")
    return seconds


def describe_channel(gateway: Gateway, channel: Channel, orders: Orders) -> dict[str, Any]:
    """How a channel fares in this process, with all its targets."""
    now = asyncio.get_running_loop().time()
    override = gateway.health.override(channel.name, now)
    upstream = gateway.live.upstreams.get(channel.name)
    keys = [key.fingerprint for key in upstream.keys] if upstream is not None else []
    used: list[str | None] = [*keys] or [None]
    return {
        "provider": channel.provider,
        "protocols": [surface.protocol.value for surface in channel.surfaces],
        "enabled": channel.enabled,
        "keys": keys,
        "in_flight": gateway.state.inflight(channel.name),
        "queue": _queue(gateway, channel),
        "override": _override(override, orders),
        "targets": [
            _target(gateway, TargetId(channel.name, surface.protocol.value, key), orders, now)
            for surface in channel.surfaces
            for key in used
            if upstream is not None
        ],
    }


def _override(override: Override | None, orders: Orders) -> dict[str, Any] | None:
    if override is None:
        return None
    return {
        "order": override.order,
        "until": when(orders.unix(override.until)),
        "reason": override.reason,
        "source": override.source,
    }


def _queue(gateway: Gateway, channel: Channel) -> dict[str, Any] | None:
    if channel.queue is None:
        return None
    waiting = gateway.queueing.clients(channel.name)
    return {
        "size": channel.queue.size,
        "wait_ms": channel.queue.wait,
        "waiting": sum(waiting.values()),
        "clients": waiting,
    }


def _target(gateway: Gateway, target: TargetId, orders: Orders, now: float) -> dict[str, Any]:
    report = gateway.health.report(target, now)
    cooling, until = report.cooling, report.open_until
    counted = target.channel if target.key is None else f"{target.channel}/{target.key}"
    latencies = {
        kind: gateway.state.latency(latency_id(target.channel, target.protocol, stream=kind == "stream"), now)
        for kind in ("stream", "whole")
    }
    return {
        "protocol": target.protocol,
        "key": target.key,
        "breaker": report.breaker or "off",
        "open_until": when(orders.unix(until)) if until is not None else None,
        "cooling": {"cause": cooling.cause, "until": when(orders.unix(cooling.until))} if cooling else None,
        "in_flight": gateway.state.inflight(counted),
        "latency_ms": {kind: round(seconds * 1000, 1) for kind, seconds in latencies.items() if seconds},
    }


def measure(gateway: Gateway, metrics: Metrics, *, now: float) -> None:
    """Bring the gauges of health up to date. `now` is of the clock of `gateway.health`."""
    metrics.set_health(
        [
            (report.target.channel, report.target.protocol, report.target.key or "", state)
            for report in gateway.health.reports(now)
            for state in (report.breaker, "cooling" if report.cooling is not None else None)
            if state is not None
        ],
        {channel: order.order for channel, order in gateway.health.overrides(now).items()},
        transitions={(channel, state): n for (channel, state), n in gateway.health.transitions.items()},
        refused=gateway.retries.refused,
    )


def measure_waiting(gateway: Gateway, metrics: Metrics) -> None:
    """Bring what is known of waiting and of shed requests up to date."""
    metrics.set_queues(gateway.queueing.waiting(), refused=gateway.queueing.refused)
    guard = gateway.guard
    metrics.set_overload(guard.state.limit, lag=guard.state.standing, shed=guard.shed)


def refusal(status: int, kind: str, message: str) -> Response:
    """The answer to an order that is not obeyed."""
    return JSONResponse({"error": {"type": kind, "message": message}}, status_code=status)


def when(at: float) -> str:
    """Unix time as people write it, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
