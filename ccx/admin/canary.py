"""The management API of a canary: a table that is tried on a share of the sessions.

Law: promoting and aborting may name the digest that is meant, so that no other is hit by mistake. Either is told in the
log and holds for all workers; neither changes the spec. An aborted table is not taken again until it changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ccx.admin.channels import read_body, refusal, when
from ccx.runtime.gateway import Gateway
from ccx.runtime.orders import MAX_REASON
from ccx.runtime.reload import Reconciler
from ccx.runtime.rollout import NoCanaryError, Rollout
from ccx.telemetry.exchange import ACTIVE, CANARY
from ccx.telemetry.hub import Telemetry
from ccx.telemetry.metrics import Metrics

ORDERS: Final = ("promote", "abort")


class CanaryBody(msgspec.Struct, forbid_unknown_fields=True):
    """What may be sent: `{"digest": "3f2a91", "reason": "looks good"}`. `digest` is the beginning of one."""

    digest: str = ""
    reason: str = ""


def handlers(
    gateway: Gateway, reconciler: Reconciler, telemetry: Telemetry
) -> tuple[Callable[[Request], Any], Callable[[Request], Any]]:
    """What answers `GET /admin/canary` and `POST /admin/canary/{order}`."""

    async def shown(request: Request) -> Response:
        return JSONResponse(_described(gateway))

    async def ordered(request: Request) -> Response:
        word = request.path_params["order"]
        if word not in ORDERS:
            return refusal(404, "not_found", f"{word!r} is no order; there are {', '.join(ORDERS)}.")
        raw = await read_body(request)
        if raw is None:
            return refusal(413, "too_large", "An order is short.")
        try:
            said = msgspec.json.decode(raw, type=CanaryBody) if raw else CanaryBody()
        except msgspec.DecodeError as error:
            return refusal(400, "invalid_request", f"{error}")
        if len(said.reason) > MAX_REASON:
            return refusal(400, "invalid_request", f"`reason` has at most {MAX_REASON} characters")
        why = f"an operator's order{f': {said.reason}' if said.reason else ''}"
        tried = gateway.newest.digest
        rollout = reconciler.rollout
        try:
            await (rollout.promote if word == "promote" else rollout.abort)("admin", prefix=said.digest, why=why)
        except NoCanaryError as error:
            return refusal(409, "conflict", f"{error}".capitalize() + ".")
        except OSError as error:
            return refusal(503, "overloaded", f"The workers cannot be told: {error.strerror}.")
        telemetry.log_event("canary_ordered", order=word, digest=tried[:12], reason=said.reason)
        return JSONResponse(_described(gateway))

    return shown, ordered


def _described(gateway: Gateway) -> dict[str, Any]:
    return {"digest": gateway.live.digest, "canary": describe_canary(gateway)}


def describe_canary(gateway: Gateway) -> dict[str, Any] | None:
    """The table that is tried in this process: its share, since when and until when, and how both tables have done."""
    canary = gateway.canary
    if canary is None:
        return None
    counts = canary.counts()
    return {
        "digest": canary.live.digest,
        "generation": canary.live.number,
        "share": float(canary.terms.share),
        "since": when(canary.since),
        "until": when(canary.ends),
        "left_seconds": round(max(0.0, canary.until - asyncio.get_running_loop().time()), 3),
        **{
            role: {"requests": requests, "errors": errors}
            for role, (requests, errors) in ((role, counts[role]) for role in (ACTIVE, CANARY))
        },
    }


def measure_tables(gateway: Gateway, rollout: Rollout, metrics: Metrics) -> None:
    """Bring the gauges of the tables that serve up to date."""
    canary = gateway.canary
    digests = {ACTIVE: gateway.live.digest, **({CANARY: canary.live.digest} if canary is not None else {})}
    share = float(canary.terms.share) if canary is not None else None
    metrics.set_tables(digests, share=share, ended=rollout.ended.items())
