"""The application: the hot path as a plain ASGI callable, Starlette for everything else.

Law: the live table is read once per request, here, and handed down. What is not a proxy endpoint (models lists, health,
what `admin` mounts, 404s) goes to Starlette. Background work runs in one task group that the lifespan owns.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from ccx import __version__
from ccx.errors import ClientError, HttpError
from ccx.protocols.endpoints import (
    Endpoint,
    MethodNotAllowed,
    ModelsRequest,
    NoSuchEndpoint,
    StoredRequest,
    UpgradeRefused,
    resolve,
)
from ccx.protocols.failures import render_error
from ccx.protocols.listing import asking_protocol, render_list, render_one
from ccx.protocols.names import Protocol
from ccx.routing.table import Client
from ccx.runtime.admission import Receive, Scope, Send, admit, read_headers
from ccx.runtime.cors import Cors
from ccx.runtime.dialogue import dialogue_scope
from ccx.runtime.gateway import Gateway
from ccx.runtime.live import Live
from ccx.runtime.models import Shape, cards, find
from ccx.runtime.proxy import Proxy
from ccx.runtime.splitting import Split
from ccx.runtime.stored import stored_answer

Worker = Callable[[], Coroutine[Any, Any, None]]
_SHAPES: dict[Shape, Protocol] = {
    "anthropic": Protocol.MESSAGES,
    "openai": Protocol.CHAT,
    "codex": Protocol.RESPONSES,
    "gemini": Protocol.GEMINI,
}
# Nothing useful to say, but clients probe these before they start: https://code.claude.com/docs/en/llm-gateway
_PROBES = frozenset({"/", "/api/hello"})
# A path that is no endpoint but belongs to the API is refused in the shape of a protocol.
_API = ("/v1", "/messages", "/chat", "/responses", "/models", "/images", "/embeddings")


class App:
    """The gateway as an ASGI application."""

    def __init__(
        self,
        gateway: Gateway,
        proxy: Proxy,
        *,
        admin: Sequence[BaseRoute] = (),
        background: Sequence[Worker] = (),
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        self._gateway = gateway
        self._proxy = proxy
        self._background = tuple(background)
        self._on_stop = on_stop
        edge = Starlette(
            routes=[
                Route("/", self._root, methods=["GET"]),
                Route("/health", self._health, methods=["GET"]),
                Route("/ready", self._ready, methods=["GET"]),
                *admin,
            ],
            lifespan=self._lifespan,
        )
        # A path is what it spells, and a redirect would send callers to whatever the Host header says.
        edge.router.redirect_slashes = False
        self._edge: ASGIApp = edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._edge(scope, receive, send)
            elif scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        live, split = self._gateway.live, self._gateway.split
        origins = live.table.server.cors if split is None else split.server.cors
        if origins:
            cors = Cors(origins, scope, send)
            if await cors.preflight():
                return
            send = cors.send
        path: str = scope["raw_path"].decode("latin-1") if "raw_path" in scope else scope["path"]
        prefixes = live.decider.prefixes if split is None else split.prefixes
        found = resolve(scope["method"], path, prefixes=prefixes)
        if isinstance(found, Endpoint):
            await self._proxy(live, found, scope, receive, send, split)
        else:
            await self._beside(live, found, scope, receive, send, split=split)

    async def _beside(
        self, live: Live, found: object, scope: Scope, receive: Receive, send: Send, *, split: Split | None
    ) -> None:
        """Everything that is not proxied."""
        path, method = scope["path"], scope["method"]
        response: Response
        match found:
            case ModelsRequest():
                response = self._models(live, found, scope, split=split)
            case StoredRequest():
                response = await self._stored(live, found, scope, split=split)
            case UpgradeRefused():
                # 426 makes Codex fall back to POST at once; any other status costs it seconds of retries.
                message = "This gateway does not speak WebSocket here; POST the request instead."
                response = _refusal(Protocol.RESPONSES, ClientError(426, "not_supported", message))
                response.headers["upgrade"] = "HTTP/1.1"
            case MethodNotAllowed():
                response = _refusal(_SHAPES[_shape(scope)], ClientError(405, "invalid_request", found.message))
                response.headers["allow"] = ", ".join(found.allow)
            case _ if method == "HEAD" and path in _PROBES:
                response = Response(status_code=200)
            case NoSuchEndpoint() if path.startswith(_API):
                response = _refusal(_SHAPES[_shape(scope)], ClientError(404, "not_found", found.message))
            case _:
                await self._edge(scope, receive, send)
                return
        await response(scope, receive, send)

    def _models(self, live: Live, asked: ModelsRequest, scope: Scope, *, split: Split | None) -> Response:
        shape = _shape(scope)
        try:
            today = datetime.now(UTC).date()
            live, client = _admitted(live, scope, split, today=today)
            if asked.model is None:
                query = scope["query_string"].decode("latin-1")
                body = render_list(shape, cards(live, shape, client=client, today=today), query=query)
            else:
                card = find(live, asked.model, shape, client=client)
                if card is None:
                    message = f"The model {asked.model!r} is not served here; GET /v1/models lists those that are."
                    raise ClientError(404, "not_found", message)
                body = render_one(shape, card)
        except HttpError as error:
            return _refusal(_SHAPES[shape], error)
        return Response(body, media_type="application/json", headers={"x-ccx-digest": live.digest[:12]})

    async def _stored(self, live: Live, asked: StoredRequest, scope: Scope, *, split: Split | None) -> Response:
        try:
            live, client = _admitted(live, scope, split, today=datetime.now(UTC).date())
            query = scope["query_string"].decode("latin-1")
            body = await stored_answer(
                self._gateway.responses,
                asked,
                client=dialogue_scope(client),
                query=query,
                now=time.time(),
            )
        except HttpError as error:
            return _refusal(Protocol.RESPONSES, error)
        return Response(body, media_type="application/json", headers={"x-ccx-digest": live.digest[:12]})

    async def _root(self, request: object) -> Response:
        return PlainTextResponse(
            f"ccx {__version__}\n\n"
            "POST /v1/messages, /v1/chat/completions, /v1/responses, /v1/images/generations, /v1/embeddings\n"
            "POST /v1beta/models/{model}:generateContent\n"
            "GET  /v1/models, /health, /ready, /status, /metrics\n",
        )

    async def _health(self, request: object) -> Response:
        return JSONResponse({"status": "ok"})

    async def _ready(self, request: object) -> Response:
        if self._gateway.draining:
            return JSONResponse({"status": "draining"}, status_code=503)
        # Shedding is said and no reason to be taken out: the others would get the load that is too much for this one.
        shedding = self._gateway.guard.state.reason
        return JSONResponse({"status": "ready", "digest": self._gateway.live.digest, "shedding": shedding})

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work()) for work in (*self._background, self._gateway.guard.run)]
        shared = self._gateway.shared
        if shared is not None:
            tasks.append(asyncio.create_task(shared.run()))
            await shared.ready()
        try:
            yield
        finally:
            self._gateway.draining = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._gateway.aclose()
            if self._on_stop is not None:
                self._on_stop()


def _admitted(live: Live, scope: Scope, split: Split | None, *, today: date) -> tuple[Live, Client | None]:
    """The table for a request without a body, and who calls. Raises ClientError."""
    inbound = read_headers(scope["headers"])
    if split is not None:
        return split.beside(scope, inbound, today=today)
    return live, admit(live, scope, inbound, today=today)


def _shape(scope: Scope) -> Shape:
    return asking_protocol(scope["headers"], scope["query_string"].decode("latin-1"))


def _refusal(protocol: Protocol, error: HttpError) -> Response:
    body = render_error(
        protocol,
        status=error.status,
        kind=error.kind,
        message=error.message,
        request_id=None,
        code=error.code,
        param=error.param,
    )
    headers = {name.decode(): value.decode() for name, value in error.headers}
    return Response(body, status_code=error.status, media_type="application/json", headers=headers)
