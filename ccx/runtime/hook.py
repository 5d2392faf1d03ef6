"""Posting alerts to a webhook, one after the other.

Law: nobody waits for it. What cannot be delivered is tried a few times and then given up, which is logged and counted;
so many wait at most, the latest being dropped. The address is asked for anew each time, so that it may be rotated, and
is in no log: that of a chat is a secret. Redirects are not followed, for they would carry the alert elsewhere.

The body is a JSON object: `event` (budget_alert), `budget` (group/core, client/ci), `period` (2026-11-21, 2026-11 or
total), `share` (80%), `spent_usd` and `limit_usd` (numbers), `refused` (whether it is told because a request was
refused for want of the rest), `at` (RFC 3339), and `text`, all of it in a sentence, which chats show.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from ccx import __version__
from ccx.errors import SecretError, UpstreamError
from ccx.runtime.alerts import Alert
from ccx.upstream.reply import Call, Engine, Origin, Timeouts

WAITING: Final = 100
PAUSES: Final = (1.0, 5.0, 25.0)
"""Seconds before each further try."""
_TIMEOUTS: Final = Timeouts(connect=5.0, first_byte=10.0, idle=5.0, total=15.0)
_LONGEST_ANSWER: Final = 64 * 1024
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

Delivery = Literal["ok", "failed", "dropped"]


@dataclass(frozen=True, slots=True)
class Address:
    """A webhook's URL, taken apart. Not shown: it may hold a token."""

    origin: Origin
    target: bytes

    def __repr__(self) -> str:
        return "Address(…)"


def hook_of(url: str) -> Address | None:
    """The address that a URL is; None if it is none of HTTP."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if parts.scheme not in ("http", "https") or not host or parts.username is not None:
            return None
        origin = Origin(parts.scheme == "https", host, port or (443 if parts.scheme == "https" else 80))
        origin.authority  # noqa: B018 - a host that has no form on the wire is none
        return Address(origin, target.encode("ascii"))
    except ValueError:
        return None


class Hook:
    """Delivers alerts. `address` gives the URL, None where there is none now; it raises SecretError. `done` is told
    what became of each, and why not; it neither waits nor raises."""

    def __init__(
        self,
        engine: Engine,
        address: Callable[[], Awaitable[str | None]],
        *,
        done: Callable[[Delivery, str], None],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._engine = engine
        self._address = address
        self._done = done
        self._sleep = sleep
        self._queue: asyncio.Queue[Alert] = asyncio.Queue(WAITING)

    def submit(self, alert: Alert) -> None:
        """Have an alert delivered."""
        try:
            self._queue.put_nowait(alert)
        except asyncio.QueueFull:
            self._done("dropped", f"{WAITING} others wait")

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                alert = await self._queue.get()
                try:
                    await self._deliver(alert)
                except Exception as error:  # noqa: BLE001 - whatever it is, the next alert is to be tried
                    self._done("failed", type(error).__name__)
        finally:
            await self._engine.aclose()

    async def _deliver(self, alert: Alert) -> None:
        body, why = payload(alert), ""
        for pause in (0.0, *PAUSES):
            if pause:
                await self._sleep(pause)
            try:
                url = await self._address()
            except SecretError as error:
                why = str(error)  # it names the reference, not the value
                continue
            if url is None:
                return
            address = hook_of(url)
            if address is None:
                self._done("failed", "the URL of the webhook is not valid")
                return
            try:
                status = await self._post(address, body)
            except UpstreamError as error:
                why = type(error).__name__
                continue
            if status < 300:
                self._done("ok", "")
                return
            why = f"status {status}"
            if status not in _AGAIN:
                break
        self._done("failed", why)

    async def _post(self, address: Address, body: bytes) -> int:
        headers = ((b"content-type", b"application/json"), (b"user-agent", f"ccx/{__version__}".encode()))
        call = Call(b"POST", address.origin, address.target, headers, (body,), _TIMEOUTS)
        reply = await self._engine.send(call)
        try:
            await reply.read(_LONGEST_ANSWER)
        except UpstreamError:
            pass  # it has the alert; what it has to say of it nobody reads
        finally:
            reply.abort()
        return reply.status


def payload(alert: Alert) -> bytes:
    """The body that is posted."""
    return msgspec.json.encode(
        {
            "event": "budget_alert",
            "budget": alert.budget,
            "period": alert.period,
            "share": alert.share,
            "spent_usd": float(alert.spent_usd),
            "limit_usd": float(alert.limit_usd),
            "refused": alert.refused,
            "at": datetime.fromtimestamp(alert.at, UTC).isoformat(timespec="seconds"),
            "text": sentence(alert),
        }
    )


def sentence(alert: Alert) -> str:
    """An alert in words: `Budget of group/core: 401.20 of 500.00 USD for 2026-11 are spent (80%).`"""
    amounts = f"{alert.spent_usd:,.2f} of {alert.limit_usd:,.2f} USD for {alert.period}"
    if alert.refused:
        return f"Budget of {alert.budget}: {amounts} are spent, and a request was refused for want of the rest."
    return f"Budget of {alert.budget}: {amounts} are spent ({alert.share})."
