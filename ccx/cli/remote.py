"""A running gateway's management API, as the commands ask it. Only the standard library's HTTP client.

Law: the admin key is read from the environment, goes into one header and nowhere else: into no error, no output and no
redirect, for none is followed. Every answer has a bound in size and time, and what a stranger answered is shown, never
obeyed.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit

from ccx.errors import CcxError, UsageError
from ccx.plan.render.cells import visible
from ccx.routing.decode import table_of
from ccx.routing.table import RoutingTable
from ccx.secrets import SecretRef, resolve

KEY_VARIABLE: Final = "CCX_ADMIN_KEY"
TIMEOUT: Final = 10.0
"""Seconds for one question, from connecting to the last byte."""
MAX_TABLE: Final = 64 * 1024 * 1024
MAX_ANSWER: Final = 4 * 1024 * 1024
_PIECE: Final = 64 * 1024


class RemoteError(CcxError):
    """A gateway that did not answer, or not as a gateway does. The message names the address, never the key."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A table that a gateway tries on a share of the sessions; times as it tells them, in UTC. `counts` are requests
    and errors of the present table and of this one."""

    digest: str
    share: float
    since: str
    until: str
    left: float
    """Seconds until it takes all, as of the answer, by the gateway's own clock."""
    counts: tuple[tuple[int, int], tuple[int, int]]

    def __str__(self) -> str:
        return f"canary {self.digest[:12]} at {self.share * 100:g} % since {self.since} until {self.until}"


@dataclass(frozen=True, slots=True)
class Serving:
    """What a gateway says it serves. `workers` has the digest of each of its processes, None where one did not say;
    `problems` are those of the last reload, empty if it was good."""

    digest: str
    generation: int
    source: str
    workers: Mapping[str, str | None]
    problems: tuple[str, ...]
    orders: tuple[str, ...] = ()
    """What operators have ordered there, in words: what runs deviates from the table by that."""
    canary: Tried | None = None
    """The table that is tried there beside it."""

    def lagging(self, wanted: str) -> int:
        """How many of its processes serve another table than the one with this digest."""
        return sum(digest != wanted for digest in (self.workers or {"": self.digest}).values())


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The answer to a reload."""

    result: str
    digest: str
    problems: tuple[str, ...]


def admin_key(variable: str | None, environ: Mapping[str, str]) -> str | None:
    """The admin key from the environment; None if the usual variable is not set.

    Raises UsageError where the variable was named and is not set, SecretError where it holds no key.
    """
    name = variable or KEY_VARIABLE
    if name not in environ:
        if variable is None:
            return None
        raise UsageError(f"--admin-key-env: the environment variable {name!r} is not set")
    return resolve(SecretRef("env", name), environ=environ)


class Remote:
    """One gateway, by its address: `http://gateway:3000`, with a path in front of its own if there is one.

    Raises UsageError for what is no such address.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None,
        timeout: float = TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = visible(url)
        self._key = key
        self._timeout = timeout
        self._clock = clock
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError:
            parts, self._host, self._port = urlsplit(""), "", None
        if "@" in parts.netloc:
            raise UsageError(
                "an address has no user name and no password here",
                hint=f"the admin key comes from the environment: {KEY_VARIABLE}, or --admin-key-env NAME",
            )
        if parts.scheme not in ("http", "https") or not self._host or parts.query or parts.fragment:
            raise UsageError(f"{self.url!r} is not the address of a gateway", hint="http://gateway:3000")
        self._secure = parts.scheme == "https"
        self._path = parts.path.rstrip("/")

    def table(self) -> tuple[RoutingTable, str]:
        """The live table and its digest. Raises RemoteError, TableError."""
        data, headers = self._ask("GET", "/admin/table", limit=MAX_TABLE)
        digest = hashlib.sha256(data).hexdigest()
        tag = headers.get("etag")
        if tag != f'"{digest}"':
            raise RemoteError(f"{self.url}: the table does not have the digest that came with it")
        return table_of(data), digest

    def serving(self) -> Serving:
        """What it serves now. Raises RemoteError."""
        data = self._json("GET", "/status")
        try:
            config = data["config"]
            return Serving(
                _text(config["digest"]),
                int(config["generation"]),
                _text(config["source"]),
                {_text(w["worker"]): _optional(w["digest"]) for w in data.get("workers", ())},
                tuple(visible(_text(problem)) for problem in config["last_reload"]["problems"]),
                tuple(_orders(data.get("channels", {}))),
                _tried(config.get("canary")),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise RemoteError(f"{self.url}: /status is not that of a ccx gateway") from None

    def reload(self) -> Reloaded:
        """Have it read its own files now. Raises RemoteError; a rejected reload is an answer."""
        data = self._json("POST", "/admin/reload", good=(200, 409))
        try:
            problems = tuple(visible(_text(problem)) for problem in data["problems"])
            return Reloaded(_text(data["result"]), _text(data["digest"]), problems)
        except (KeyError, TypeError):
            raise RemoteError(f"{self.url}: /admin/reload did not answer as a ccx gateway does") from None

    def channels(self) -> dict[str, Any]:
        """How its channels fare, by name. Raises RemoteError."""
        found = self._json("GET", "/admin/channels").get("channels")
        if not isinstance(found, dict):
            raise RemoteError(f"{self.url}: /admin/channels did not answer as a ccx gateway does")
        return found

    def order(self, channel: str, order: str, *, lasting: str | None, reason: str) -> None:
        """Order something for a channel. Raises RemoteError, with the gateway's own words where it refuses."""
        said = {"reason": reason, **({"for": lasting} if lasting is not None else {})}
        self._ordered(f"/admin/channels/{quote(channel, safe='')}/{order}", said)

    def canary(self) -> tuple[str, Tried | None]:
        """The digest that it serves, and the table it tries beside it. Raises RemoteError."""
        return self._canary(self._json("GET", "/admin/canary"))

    def order_canary(self, order: str, *, digest: str, reason: str) -> tuple[str, Tried | None]:
        """Promote or abort a canary; the answer is as of `canary`. Raises RemoteError, with the gateway's own words
        where it refuses."""
        return self._canary(self._ordered(f"/admin/canary/{order}", {"digest": digest, "reason": reason}))

    def _canary(self, data: dict[str, Any]) -> tuple[str, Tried | None]:
        try:
            return visible(_text(data["digest"])), _tried(data["canary"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise RemoteError(f"{self.url}: /admin/canary did not answer as a ccx gateway does") from None

    def _ordered(self, path: str, said: Mapping[str, str]) -> dict[str, Any]:
        body = json.dumps(said).encode()
        data, _ = self._ask("POST", path, limit=MAX_ANSWER, good=(200, 400, 404, 409, 503), body=body)
        try:
            answer = json.loads(data)
            if "error" in answer:
                raise RemoteError(f"{self.url}: {visible(_text(answer['error']['message']))}")
            if not isinstance(answer, dict):
                raise TypeError(path)
        except (ValueError, RecursionError, TypeError, KeyError):
            raise RemoteError(f"{self.url}: {path} did not answer as a ccx gateway does") from None
        return answer

    def _json(self, method: Literal["GET", "POST"], path: str, *, good: tuple[int, ...] = (200,)) -> dict[str, Any]:
        data, _ = self._ask(method, path, limit=MAX_ANSWER, good=good)
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise RemoteError(f"{self.url}: {path} did not answer as a ccx gateway does")
        return answer

    def _ask(
        self, method: str, path: str, *, limit: int, good: tuple[int, ...] = (200,), body: bytes | None = None
    ) -> tuple[bytes, dict[str, str]]:
        ends = self._clock() + self._timeout
        connection = self._connection()
        headers = {"accept": "application/json", "connection": "close"}
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key}"
        try:
            if body is not None:
                headers["content-type"] = "application/json"
            connection.request(method, f"{self._path}{path}", body=body, headers=headers)
            response = connection.getresponse()
            data = self._read(response, limit=limit, ends=ends, path=path)
        except TimeoutError:
            raise self._late() from None
        except ssl.SSLError as error:
            raise RemoteError(f"{self.url}: TLS failed: {_ssl(error)}") from None
        except (OSError, socket.gaierror) as error:
            raise RemoteError(f"{self.url} cannot be reached: {error.strerror or type(error).__name__}") from None
        except (http.client.HTTPException, ValueError, UnicodeError) as error:
            raise RemoteError(f"{self.url} does not speak HTTP as a gateway does: {type(error).__name__}") from None
        finally:
            connection.close()
        if response.status not in good:
            raise self._refused(response.status, path)
        return data, {name.lower(): value for name, value in response.getheaders()}

    def _connection(self) -> http.client.HTTPConnection:
        if self._secure:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout, context=ssl.create_default_context()
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)

    def _read(self, response: http.client.HTTPResponse, *, limit: int, ends: float, path: str) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while piece := response.read1(_PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise RemoteError(f"{self.url}: {path} answers with more than {limit // 2**20} MiB")
            if self._clock() > ends:
                raise self._late()
        if response.length:
            raise RemoteError(f"{self.url}: the answer to {path} was cut off")
        return b"".join(pieces)

    def _late(self) -> RemoteError:
        return RemoteError(f"{self.url} did not answer within {self._timeout:g} s")

    def _refused(self, status: int, path: str) -> RemoteError:
        match status:
            case 401 if self._key is None:
                why = f"needs the admin key: set {KEY_VARIABLE}, or name a variable with --admin-key-env"
            case 401:
                why = "refuses this admin key"
            case 403:
                why = f"answers {path} to callers on its own machine only, since its spec has no admin.key"
            case 404:
                why = f"has no {path}: it is no ccx gateway, or an older one"
            case 301 | 302 | 303 | 307 | 308:
                why = "redirects elsewhere, where the admin key shall not go; name the address itself"
            case _:
                why = f"answers {path} with {status}"
        return RemoteError(f"{self.url} {why}")


def _orders(channels: Mapping[str, Any]) -> Iterator[str]:
    """The orders in a status, in words; what the spec itself declares is none."""
    for name, channel in channels.items():
        order = channel.get("override")
        if order is not None and order.get("source") != "spec":
            why = f" ({_text(order['reason'])})" if order.get("reason") else ""
            yield visible(f"{_text(name)}: {_text(order['order'])} until {_text(order['until'])}{why}")


def _tried(said: Any) -> Tried | None:
    """A canary in a status. Raises what a stranger's answer makes it raise: KeyError, TypeError, ValueError."""
    if said is None:
        return None
    active, canary = ((int(said[role]["requests"]), int(said[role]["errors"])) for role in ("active", "canary"))
    digest, since, until = (visible(_text(said[name])) for name in ("digest", "since", "until"))
    return Tried(digest, float(said["share"]), since, until, float(said["left_seconds"]), (active, canary))


def _ssl(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return visible(error.verify_message)
    return visible(error.reason or type(error).__name__)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(type(value).__name__)
    return value


def _optional(value: object) -> str | None:
    return None if value is None else _text(value)
