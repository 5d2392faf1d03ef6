"""Cross-origin requests of declared web pages, and of no others. https://fetch.spec.whatwg.org/#http-cors-protocol"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from ccx.runtime.admission import Scope, Send
from ccx.upstream.reply import Header


class Cors:
    """One request of a page. Used only where the table declares origins."""

    def __init__(self, allowed: tuple[str, ...], scope: Scope, send: Send) -> None:
        headers = dict(scope["headers"])
        self._scope = scope
        self._send = send
        self._asked: bytes | None = headers.get(b"access-control-request-headers")
        self._preflight = scope["method"] == "OPTIONS" and b"access-control-request-method" in headers
        origin = headers.get(b"origin")
        allowed_here = origin is not None and ("*" in allowed or origin.decode("latin-1") in allowed)
        self._origin = origin if allowed_here else None

    def _headers(self) -> list[Header]:
        headers: list[Header] = [(b"vary", b"origin")]
        if self._origin is not None:
            headers.append((b"access-control-allow-origin", self._origin))
            headers.append((b"access-control-expose-headers", b"*"))
        return headers

    async def preflight(self) -> bool:
        """Answer a preflight; False if this is none."""
        if not self._preflight:
            return False
        headers = self._headers()
        if self._origin is not None:
            headers.append((b"access-control-allow-methods", b"GET, POST, DELETE, HEAD, OPTIONS"))
            headers.append((b"access-control-allow-headers", self._asked or b"*"))
            headers.append((b"access-control-max-age", b"600"))
        await self._send({"type": "http.response.start", "status": 204, "headers": headers})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        return True

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Pass an answer on, with leave for the page to read it."""
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *self._headers()]
        await self._send(message)
