"""The demo upstream: every protocol of ccx in one pure function from a request to an answer.

Law
- Nothing is performed here: no socket, no clock, no randomness. The same request gives the same bytes, ids included.
- Requests are validated the way the real providers do, and refused in the words of their protocol. No key is asked for.
- What it answers is decided by the newest message. `call NAME` (or several: `call a and b`) calls those of the declared
  tools, as do a forcing tool choice and the words `use a tool`; arguments are the simplest that the tool's schema
  admits. A tool result is quoted back. A JSON schema for the answer gets an instance of it. Anything else gets one
  sentence that says it comes from the demo, which model was asked, and how many messages came.
- Failures are asked for by a word in the model's name or in the newest message: see `behaviour`.
- It knows nothing of ccx but the types of `upstream.reply`: to it, ccx is a client like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from urllib.parse import parse_qsl, unquote, urlsplit

from ccx.upstream.demo import chat, embeddings, gemini, images, messages, responses
from ccx.upstream.demo.answer import Answer, encode
from ccx.upstream.demo.ask import CREATED, Request
from ccx.upstream.demo.behaviour import behaviour
from ccx.upstream.demo.failures import (
    GEMINI,
    MESSAGES,
    OPENAI,
    Failure,
    RefusedError,
    Shape,
    refusal,
)
from ccx.upstream.demo.fields import Json
from ccx.upstream.demo.script import Script, failed, perform, single
from ccx.upstream.reply import Header

MODELS = ("demo", "demo-slow", "demo-overloaded", "demo-cut")
"""The models that the lists name. Any other name is answered as well."""

MAX_BODY = 64 * 1024 * 1024
"""The largest body that is looked at, in bytes."""

LARGE_BODY = 128 * 1024
"""From this many bytes on a body takes longer to answer than an event loop should stand still."""


@dataclass(frozen=True, slots=True)
class _Endpoint:
    perform: Callable[[Request], Script]
    shape: Shape


_ENDPOINTS: Mapping[str, _Endpoint] = {
    "/messages": _Endpoint(messages.generate, MESSAGES),
    "/messages/count_tokens": _Endpoint(messages.count_tokens, MESSAGES),
    "/chat/completions": _Endpoint(chat.generate, OPENAI),
    "/responses": _Endpoint(responses.generate, OPENAI),
    "/responses/input_tokens": _Endpoint(responses.input_tokens, OPENAI),
    "/responses/compact": _Endpoint(responses.compact, OPENAI),
    "/embeddings": _Endpoint(embeddings.embed, OPENAI),
    "/images/generations": _Endpoint(images.generation, OPENAI),
    "/images/edits": _Endpoint(images.edit, OPENAI),
    "/images/variations": _Endpoint(images.variation, OPENAI),
}
_ACTIONS: Mapping[str, Callable[[Request, str], Script]] = {
    "generateContent": gemini.generate,
    "streamGenerateContent": gemini.stream,
    "countTokens": gemini.count_tokens,
    "embedContent": gemini.embed,
    "batchEmbedContents": gemini.batch_embed,
}
_VERSION = re.compile(r"/v\d+(?:alpha|beta)?\d*(?=/)")
_WELCOME = b"This is the ccx demo upstream. Point a client's base URL here; any key and any model will do.\n"


def respond(method: str, target: str, headers: Sequence[Header], body: bytes) -> Answer:
    """Answer a request. `target` is the raw path with its query; header names are in any case."""
    request = _taken_apart(method, target, headers, body)
    shape = shape_of(request)
    try:
        if len(body) > MAX_BODY:
            raise refusal(f"The request body is larger than {MAX_BODY} bytes.", status=413)
        if request.headers.get("content-encoding", "identity") != "identity":
            raise refusal("The demo upstream takes no compressed bodies.", status=415)
        answer = _answered(request, shape)
    except RefusedError as error:
        answer = failed(error.failure, shape)
    ident = b"request-id" if shape is MESSAGES else b"x-request-id"
    return Answer(
        answer.status,
        (*answer.headers, (ident, request.ident("req_").encode())),
        answer.pieces if method != "HEAD" else (),
        delay=answer.delay,
        end=answer.end,
    )


def too_large(method: str, target: str, headers: Sequence[Header]) -> Answer:
    """The answer to a request whose body was not read, for it is larger than `MAX_BODY`."""
    failure = Failure(413, f"The request body is larger than {MAX_BODY} bytes.")
    return failed(failure, shape_of(_taken_apart(method, target, headers, b"")))


def _taken_apart(method: str, target: str, headers: Sequence[Header], body: bytes) -> Request:
    parts = urlsplit(target if not target.startswith("//") else "/" + target.lstrip("/"))
    seed = sha256(parts.path.encode("utf-8", "surrogatepass") + b"\0")
    seed.update(body)
    return Request(
        method=method,
        path=parts.path,
        query=MappingProxyType(dict(parse_qsl(parts.query, keep_blank_values=True))),
        headers=MappingProxyType({name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}),
        body=body,
        digest=seed.digest(),
    )


def shape_of(request: Request) -> Shape:
    """The shape in which the client of this request understands errors."""
    if endpoint := _ENDPOINTS.get(_VERSION.sub("", request.path, count=1)):
        return endpoint.shape
    asked = request.headers
    if ":" in request.path or "v1beta" in request.path or "x-goog-api-key" in asked or "x-goog-api-client" in asked:
        return GEMINI
    return MESSAGES if "anthropic-version" in asked else OPENAI


def _answered(request: Request, shape: Shape) -> Answer:
    path = _VERSION.sub("", request.path, count=1)
    reading = request.method in ("GET", "HEAD")
    if reading and path in ("/", "", "/api/hello", "/health"):
        return single(_WELCOME, content_type=b"text/plain; charset=utf-8")
    if reading and path == "/models":
        return single(encode(_models(shape)))
    if path.startswith("/models/"):
        model, colon, action = unquote(path.removeprefix("/models/")).rpartition(":")
        if reading:
            return _model(unquote(path.removeprefix("/models/")), shape)
        if colon and action in _ACTIONS:
            _only_post(request)
            return perform(_ACTIONS[action](request, model), shape)
    if endpoint := _ENDPOINTS.get(path):
        if path == "/responses" and request.headers.get("upgrade", "").lower() == "websocket":
            raise refusal("The demo upstream has no WebSocket: use POST.", status=426)
        _only_post(request)
        return perform(endpoint.perform(request), shape)
    raise refusal(
        f"The demo upstream has nothing at {request.method} {request.path!r}.", status=404, code="unknown_url"
    )


def _only_post(request: Request) -> None:
    if request.method != "POST":
        raise refusal(f"{request.method} is not allowed here: use POST.", status=405, code="method_not_allowed")


def _models(shape: Shape) -> Json:
    if shape is GEMINI:
        return gemini.models(MODELS)
    if shape is MESSAGES:
        return messages.models(MODELS)
    return {"object": "list", "data": [_openai_model(name) for name in MODELS]}


def _model(name: str, shape: Shape) -> Answer:
    asked = behaviour(name, "")
    if asked.failure is not None:
        return failed(asked.failure, shape)
    if shape is GEMINI:
        return single(encode(gemini.model(name)))
    return single(encode(messages.model(name) if shape is MESSAGES else _openai_model(name)))


def _openai_model(name: str) -> Json:
    """GET /v1/models/{model} (https://platform.openai.com/docs/api-reference/models)."""
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "ccx"}
