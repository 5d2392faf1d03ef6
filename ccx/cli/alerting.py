"""Alerts of budgets, wired: from the meters of a gateway to the log, the metrics and a webhook; and their gauges."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from ccx.runtime.alerts import Alert, Alerts
from ccx.runtime.budgets import Budgets
from ccx.runtime.commands import SecretCommands
from ccx.runtime.gateway import Gateway
from ccx.runtime.hook import Delivery, Hook
from ccx.secrets import SecretRef, read_file, resolve
from ccx.telemetry.hub import Telemetry
from ccx.upstream.engine import DirectEngine

Work = Callable[[], Coroutine[Any, Any, None]]


def alerting(
    gateway: Gateway, telemetry: Telemetry, *, folder: Path, environ: Mapping[str, str], commands: SecretCommands
) -> Sequence[Work]:
    """Have a gateway tell of its budgets; after `share`, for it is its meters that are listened to. Returns the work to
    be done in the background."""
    metrics = telemetry.metrics

    async def address() -> str | None:
        url = gateway.newest.table.telemetry.alerts
        if not isinstance(url, SecretRef):
            return url

        def look() -> str:
            return resolve(url, environ=environ, read=lambda name: read_file(str(folder / name)), run=commands.read)

        return await asyncio.to_thread(look)

    def done(result: Delivery, why: str) -> None:
        metrics.alerts_delivered.labelled(result).inc()
        if result != "ok":
            telemetry.log_event("warning", what="an alert was not delivered", result=result, why=why)

    hook = Hook(DirectEngine(), address, done=done)

    def told(alert: Alert) -> None:
        metrics.budget_alerts.labelled(alert.budget, alert.share).inc()
        telemetry.log_event(
            "budget_alert",
            budget=alert.budget,
            period=alert.period,
            share=alert.share,
            spent_usd=float(alert.spent_usd),
            limit_usd=float(alert.limit_usd),
            refused=alert.refused,
        )
        if gateway.newest.table.telemetry.alerts is not None:
            hook.submit(alert)

    gateway.alerts = alerts = Alerts(gateway.meters, tell=told, clock=time.time)
    gateway.budgets = budgets = Budgets(gateway.meters, lambda: gateway.newest.metering.purses, clock=time.time)
    metrics.registry.on_read(
        lambda: metrics.set_budgets(
            (one.budget, one.per, float(one.used_usd), float(one.limit_usd)) for one in budgets.current()
        )
    )
    return (alerts.run, budgets.run, hook.run)
