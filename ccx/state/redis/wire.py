"""A connection to Redis or Valkey that carries scripts and commands in batches.

Law: what is sent in one batch is one write and one read, whatever it holds. Scripts are loaded when the connection is
made, and again when the server has forgotten them; a call that was refused for that reason has done nothing and is made
anew. The URL is asked for at each attempt to connect, so that a password may change; it is in no error.

Of a cluster one node is spoken to: all keys are in one slot (`ccx.state.redis.keys`), and whichever node the URL leads
to says whose that is. A slot that moves later costs a new connection.
Sources: https://redis.io/docs/latest/develop/reference/protocol-spec/
https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#moved-redirection
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from redis.asyncio.connection import Connection, parse_url
from redis.exceptions import MovedError, NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ccx.state.link import WireError

HOPS: Final = 4
"""Nodes of a cluster that are asked one after the other, at most, for the one that holds the keys."""

Word = bytes | str | int | float
Reply = Any
"""What the server answered: an integer, bytes, None, or a list of these."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, run as one step. https://redis.io/docs/latest/develop/programmability/eval-intro/"""

    name: str
    source: str
    sha: str


def script(name: str) -> Script:
    """The script of this name, from the folder beside."""
    source = resources.files(__package__).joinpath("scripts", f"{name}.lua").read_text("utf-8")
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


TAKE: Final = script("take")
SETTLE: Final = script("settle")
STANDING: Final = script("standing")
RENEW: Final = script("renew")
BEAT: Final = script("beat")
MARK: Final = script("mark")
SCRIPTS: Final = (TAKE, SETTLE, STANDING, RENEW, BEAT, MARK, script("keep"), script("clear"))


def call(what: Script, keys: Sequence[Word], *arguments: Word) -> tuple[Word, ...]:
    """The command that runs a script."""
    return ("EVALSHA", what.sha, len(keys), *keys, *arguments)


class RedisWire:
    """One connection. `url` gives the server's address, each time anew; `ca` is the path of a certificate bundle that
    vouches for it instead of the system's. `greeting` is asked before anything else, once scripts are loaded, and
    `greeted` is the answer. It has to come within `patience` seconds: a server that answers more slowly than requests
    wait for would else be there and away by turns, and each time a request would pay for it."""

    def __init__(
        self,
        url: Callable[[], Awaitable[str]],
        *,
        ca: str | None = None,
        scripts: Sequence[Script] = SCRIPTS,
        greeting: tuple[Word, ...] | None = None,
        patience: float | None = None,
    ) -> None:
        self.greeted: Reply = None
        self._url = url
        self._ca = ca
        self._scripts = scripts
        self._greeting = greeting
        self._patience = patience
        self._moved: tuple[str, int] | None = None  # where the node that was asked last has sent us
        self._connection: Any = None  # redis.asyncio.Connection or its TLS or Unix kin, which share no typed base

    async def connect(self) -> None:
        """See `Wire`."""
        for _ in range(HOPS):
            try:
                await self._open()
                return
            except WireError as error:
                if error.kind != "moved":
                    raise
        self._moved = None
        raise WireError("moved", "the nodes of Redis Cluster send from node to node")

    async def _open(self) -> None:
        await self.close()
        moved, self._moved = self._moved, None
        try:
            connection = _made(await self._url(), ca=self._ca, at=moved)
        except (ValueError, TypeError):
            raise WireError("url", "the URL of Redis is not valid") from None
        self._connection = connection
        try:
            await connection.connect()
        except RedisError as error:
            raise _lost(error) from error
        await self._load()
        if self._greeting is None:
            return
        try:
            async with asyncio.timeout(self._patience):
                (self.greeted,) = await self.exchange([self._greeting])
        except TimeoutError:
            assert self._patience is not None  # noqa: S101 - else nothing would have run out
            message = f"it answers, but not within the {self._patience * 1000:g} ms that requests wait"
            raise WireError("timeout", message) from None

    async def exchange(self, asked: Sequence[tuple[Word, ...]], /) -> Sequence[Reply]:
        """See `Wire`."""
        replies = await self._batch(asked)
        forgotten = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if forgotten:
            await self._load()
            for place, reply in zip(forgotten, await self._batch([asked[p] for p in forgotten]), strict=True):
                replies[place] = reply
        for reply in replies:
            if isinstance(reply, MovedError):
                self._moved = (reply.host, reply.port)
                raise WireError("moved", "another node of Redis Cluster holds the keys")
            if isinstance(reply, ResponseError):
                # A server that refuses: a replica that may not be written to, one without memory left.
                raise WireError("refused", str(reply)[:200])
        return replies

    async def close(self) -> None:
        """See `Wire`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def _load(self) -> None:
        for reply in await self._batch([("SCRIPT LOAD", one.source) for one in self._scripts]):
            if isinstance(reply, ResponseError):
                raise WireError("refused", str(reply)[:200])

    async def _batch(self, commands: Sequence[tuple[Word, ...]]) -> list[Reply]:
        connection, replies = self._connection, []
        try:
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            for _ in commands:
                try:
                    replies.append(await connection.read_response())
                except ResponseError as error:
                    replies.append(error)
        except RedisError as error:
            raise _lost(error) from error
        return replies


def _made(url: str, *, ca: str | None, at: tuple[str, int] | None) -> Any:
    options: dict[str, Any] = dict(parse_url(url))
    kind = options.pop("connection_class", Connection)
    if ca is not None and url.startswith("rediss://"):
        options["ssl_ca_certs"] = ca
    if at is not None:
        host, options["port"] = at
        options["host"] = host or options.get("host", "localhost")  # none is said where it is the same
    # Time is the link's business, and the old protocol's answers are plain.
    return kind(**{**options, "socket_timeout": None, "socket_connect_timeout": None, "protocol": 2})


def _lost(error: RedisError) -> WireError:
    kind = "timeout" if isinstance(error, RedisTimeoutError) else "lost"
    return WireError(kind, str(error)[:200] or type(error).__name__)
