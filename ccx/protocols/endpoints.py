"""Which protocol and operation a request's method and path name. Pure; knows nothing of headers, bodies or channels.

Law: a path resolves to exactly what it spells or to nothing. An unknown Gemini action is never another action, a model
name that could climb out of its path (`..`) is no endpoint, and every miss says what would have been legal.

`path` is the path as sent: percent-encoded, without its query. Sources:
https://docs.anthropic.com/en/api/messages, https://platform.openai.com/docs/api-reference,
https://ai.google.dev/api/generate-content (the `{model=models/*}:action` form).
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import quote, unquote

from ccx.protocols.names import Operation, Protocol


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of one protocol.

    `model` and `stream` are given only where the path decides them (Gemini). `prefix` is the first path segment when
    it is a declared one. `path` is the upstream path without version; for Gemini it is the action, see `gemini_path`.
    """

    protocol: Protocol
    operation: Operation
    model: str | None
    stream: bool | None
    prefix: str | None
    path: str


@dataclass(frozen=True, slots=True)
class ModelsRequest:
    """A list of models, or with `model` the card of one."""

    model: str | None
    prefix: str | None


@dataclass(frozen=True, slots=True)
class UpgradeRefused:
    """GET on Responses: a client trying a WebSocket. 426 makes it fall back to POST at once."""

    prefix: str | None


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """Something about one response that was answered before: the response itself, its input items, or its deletion.

    https://platform.openai.com/docs/api-reference/responses/get
    """

    response_id: str
    what: Literal["response", "input_items", "delete"]
    prefix: str | None


@dataclass(frozen=True, slots=True)
class NoSuchEndpoint:
    """Nothing is served here. `legal` lists the alternatives: Gemini actions, or the paths of this server."""

    path: str
    reason: str
    legal: tuple[str, ...]

    @property
    def message(self) -> str:
        """For a person: what was asked, why it is nothing, and what would be served."""
        return f"{self.path!r} is not served: {self.reason}; known: {', '.join(self.legal)}"


@dataclass(frozen=True, slots=True)
class MethodNotAllowed:
    """The path is served, by other methods. `allow` is the value of the Allow header."""

    path: str
    method: str
    allow: tuple[str, ...]

    @property
    def message(self) -> str:
        """For a person: what was asked and which methods would do."""
        return f"{self.method} is not allowed on {self.path!r}; use {' or '.join(self.allow)}"


Resolution = Endpoint | ModelsRequest | UpgradeRefused | StoredRequest | NoSuchEndpoint | MethodNotAllowed

_FIXED: dict[str, Endpoint] = {
    path: Endpoint(protocol, operation, None, None, None, path)
    for path, protocol, operation in (
        ("/messages", Protocol.MESSAGES, Operation.GENERATE),
        ("/messages/count_tokens", Protocol.MESSAGES, Operation.COUNT_TOKENS),
        ("/chat/completions", Protocol.CHAT, Operation.GENERATE),
        ("/responses", Protocol.RESPONSES, Operation.GENERATE),
        ("/responses/compact", Protocol.RESPONSES, Operation.COMPACT),
        ("/responses/input_tokens", Protocol.RESPONSES, Operation.COUNT_TOKENS),
        ("/images/generations", Protocol.IMAGES, Operation.GENERATE),
        ("/images/edits", Protocol.IMAGES, Operation.EDIT),
        ("/images/variations", Protocol.IMAGES, Operation.VARIATION),
        ("/embeddings", Protocol.EMBEDDINGS, Operation.EMBED),
    )
}
_EXACT: dict[str, Endpoint] = {**_FIXED, **{f"/v1{path}": endpoint for path, endpoint in _FIXED.items()}}

GEMINI_ACTIONS: dict[str, tuple[Operation, bool]] = {
    "generateContent": (Operation.GENERATE, False),
    "streamGenerateContent": (Operation.GENERATE, True),
    "countTokens": (Operation.COUNT_TOKENS, False),
    "embedContent": (Operation.EMBED, False),
    "batchEmbedContents": (Operation.BATCH_EMBED, False),
}
_LEGAL_PATHS = (
    *(f"/v1{path}" for path in _FIXED),
    "/v1/responses/{id}",
    "/v1/models",
    "/v1beta/models/{model}:{action}",
)
_RESPONSE = re.compile(r"/responses/([^/]+)(/input_items)?")
_VERSIONS = frozenset({"v1", "v1beta", "v1alpha"})
# A Gemini resource name says its collection itself; https://ai.google.dev/api/tuning
_COLLECTIONS = ("models/", "tunedModels/")


def resolve(method: str, path: str, *, prefixes: Container[str]) -> Resolution:
    """The endpoint that `method` and `path` (as sent, without query) name.

    `prefixes` are the declared first segments; one of them is taken off and reported. A trailing slash, a missing
    version and a doubled one (`/v1/v1/…`, a base URL that already had it) are forgiven.
    """
    endpoint = _EXACT.get(path)
    if endpoint is not None and method == "POST":
        return endpoint
    rest, prefix = _without_prefix(path.rstrip("/"), prefixes)
    rest = _without_version(rest)
    endpoint = _FIXED.get(rest)
    if endpoint is not None:
        if method == "POST":
            return endpoint if prefix is None else replace(endpoint, prefix=prefix)
        if method == "GET" and rest == "/responses":
            return UpgradeRefused(prefix)
        return MethodNotAllowed(path, method, ("POST",))
    if rest == "/models":
        return _listing(method, path, model=None, prefix=prefix)
    if rest.startswith("/models/"):
        return _model(method, path, name=unquote(rest[len("/models/") :]), prefix=prefix)
    if rest.startswith("/tunedModels/"):
        return _model(method, path, name=unquote(rest[1:]), prefix=prefix)
    if (stored := _RESPONSE.fullmatch(rest)) is not None:
        return _stored(method, path, response_id=unquote(stored[1]), items=stored[2] is not None, prefix=prefix)
    return NoSuchEndpoint(path, "no such path", _LEGAL_PATHS)


def gemini_path(model: str, action: str) -> str:
    """The version-relative upstream path of a Gemini action, percent-encoded: `/models/gemini-x:countTokens`.

    A model that names its collection (`models/…`, `tunedModels/…`) keeps it. Raises ValueError for a model that is
    empty or has an empty, `.` or `..` segment, which would name another path than the one meant.
    """
    if not _is_plain(model):
        raise ValueError(f"{model!r} cannot be a model name in a path")
    name = model if model.startswith(_COLLECTIONS) else f"models/{model}"
    return f"/{quote(name, safe='/@+,')}:{action}"


def _without_prefix(path: str, prefixes: Container[str]) -> tuple[str, str | None]:
    slash = path.find("/", 1)
    if slash > 0:
        first = unquote(path[1:slash])
        if first in prefixes:
            return path[slash:], first
    return path, None


def _without_version(path: str) -> str:
    for _ in range(2):
        slash = path.find("/", 1)
        if slash < 0 or path[1:slash] not in _VERSIONS:
            break
        path = path[slash:]
    return path


def _model(method: str, path: str, *, name: str, prefix: str | None) -> Resolution:
    """What is below `/models/`: a card when read, a Gemini action when posted to. Model names may hold `/` and `:`."""
    model, colon, action = name.rpartition(":")
    known = GEMINI_ACTIONS.get(action) if colon else None
    if method != "POST":
        if known is not None:
            return MethodNotAllowed(path, method, ("POST",))
        return _listing(method, path, model=name, prefix=prefix)
    if not colon:
        return MethodNotAllowed(path, method, ("GET",))
    if known is None:
        return NoSuchEndpoint(path, f"unknown action {action!r}", tuple(GEMINI_ACTIONS))
    if not _is_plain(model):
        return NoSuchEndpoint(path, f"{model!r} is not a model name", tuple(GEMINI_ACTIONS))
    operation, stream = known
    return Endpoint(Protocol.GEMINI, operation, model, stream, prefix, action)


def _stored(method: str, path: str, *, response_id: str, items: bool, prefix: str | None) -> Resolution:
    match method, items:
        case "GET", False:
            return StoredRequest(response_id, "response", prefix)
        case "DELETE", False:
            return StoredRequest(response_id, "delete", prefix)
        case "GET", True:
            return StoredRequest(response_id, "input_items", prefix)
        case _:
            return MethodNotAllowed(path, method, ("GET",) if items else ("GET", "DELETE"))


def _listing(method: str, path: str, *, model: str | None, prefix: str | None) -> Resolution:
    if method not in {"GET", "HEAD"}:
        return MethodNotAllowed(path, method, ("GET",))
    if model is not None and not _is_plain(model):
        return NoSuchEndpoint(path, f"{model!r} is not a model name", _LEGAL_PATHS)
    return ModelsRequest(model, prefix)


def _is_plain(model: str) -> bool:
    return all(segment not in {"", ".", ".."} for segment in model.split("/"))
