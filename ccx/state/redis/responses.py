"""Responses in Redis: a client comes back to any replica and finds its conversation.

Law: the content of a response is a node, named by the digest of all that is in it and of the node it goes on from; so
one is kept once, however often it is put, and a conversation stays whole when a name in it is forgotten. A name points
to its node and to those before. What is kept is bounded by number, bytes and age over all replicas, the least recently
used going first. The values are what clients and models have said: whoever reads this Redis reads that.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from ccx.errors import GatewayError
from ccx.protocols.ir import JsonObject
from ccx.state.link import Link, UnreachableError
from ccx.state.redis.keys import Keys
from ccx.state.redis.wire import Reply, Script, Word, call, script
from ccx.state.responses import BYTES_KEPT, SECONDS_KEPT, SHARE, MemoryResponses, ResponseStore, StoredResponse

ENTRIES_SHARED: Final = 100_000
BYTES_SHARED: Final = 4 * BYTES_KEPT
BYTES_BESIDE: Final = BYTES_KEPT // 4
"""Bytes of the newest responses that a replica keeps itself, for when Redis is away."""
RESPONSES_OF_AN_ITEM: Final = 4

KEEP: Final[Script] = script("keep")


class _Node(msgspec.Struct, array_like=True):
    id: str
    client: str
    model: str
    input: bytes
    response: bytes
    item_ids: tuple[str, ...]


_encode = msgspec.msgpack.Encoder().encode
_node = msgspec.msgpack.Decoder(_Node).decode
_names = msgspec.msgpack.Decoder(list[str]).decode


class RedisResponses:
    """Responses of all replicas with one prefix (`ccx.state.responses.ResponseStore`). Raises UnreachableError."""

    def __init__(
        self,
        link: Link[tuple[Word, ...], Reply],
        keys: Keys,
        *,
        entries: int = ENTRIES_SHARED,
        size: int = BYTES_SHARED,
        seconds: float = SECONDS_KEPT,
        share: int = SHARE,
    ) -> None:
        self._link = link
        self._keys = keys
        self._entries = entries
        self._size = size
        self._seconds = seconds
        self._largest = BYTES_KEPT // share if size > BYTES_KEPT else size // share
        self._latest = 0.0

    async def get(self, client: str, response_id: str, *, now: float) -> StoredResponse | None:
        """See `ResponseStore`."""
        named = await self._link.ask(("GET", self._name(client, response_id)))
        if named is None:
            return None
        nodes = _names(named)
        contents = await self._link.ask(("MGET", *nodes))
        if None in contents:
            return None  # forgotten, or a part of what it goes on from
        found: StoredResponse | None = None
        for content in reversed(contents):
            one = _node(content)
            found = StoredResponse(one.id, one.client, one.model, one.input, one.response, found, one.item_ids)
        places: list[Word] = []
        for place, node in enumerate(nodes):
            places += [now + place * 0.000001, node]
        self._link.submit(("ZADD", self._keys.of("responses", "index"), "XX", *places))
        return found

    async def item(self, client: str, item_id: str, *, now: float) -> JsonObject | None:
        """See `ResponseStore`."""
        ids = await self._link.ask(("ZREVRANGE", self._item(client, item_id), 0, RESPONSES_OF_AN_ITEM - 1))
        for response_id in ids:
            response = await self.get(client, response_id.decode(), now=now)
            item = response.item(item_id) if response is not None else None
            if item is not None:
                return item
        return None

    async def put(self, response: StoredResponse, *, now: float) -> bool:
        """See `ResponseStore`."""
        name = self._name(response.client, response.id)
        if response.size > self._largest:
            await self._link.ask(("DEL", name))
            return False
        chain: list[StoredResponse] = []
        one: StoredResponse | None = response
        while one is not None:
            chain.append(one)
            one = one.previous
        nodes, contents = self._nodes(chain)
        missing = await self._keep(nodes, [contents[0], *[b""] * (len(nodes) - 1)], now=now)
        if missing:
            await self._keep(nodes, contents, now=now)
        self._latest = max(now, self._latest + 0.000001)  # of two kept at once the second is the last
        seconds = int(self._seconds) or 1
        asked: list[tuple[Word, ...]] = []
        for item_id in response.item_ids:
            key = self._item(response.client, item_id)
            asked += [("ZADD", key, self._latest, response.id), ("EXPIRE", key, seconds)]
            asked.append(("ZREMRANGEBYRANK", key, 0, -RESPONSES_OF_AN_ITEM - 1))
        asked.append(("SET", name, _encode(nodes), "EX", seconds))
        for future in [self._link.submit(one) for one in asked]:
            await future
        return True

    async def delete(self, client: str, response_id: str, *, now: float) -> bool:
        """See `ResponseStore`."""
        return bool(await self._link.ask(("DEL", self._name(client, response_id))))

    def _nodes(self, chain: list[StoredResponse]) -> tuple[list[str], list[bytes]]:
        names, contents, before = list[str](), list[bytes](), b""
        for one in reversed(chain):
            content = _encode(_Node(one.id, one.client, one.model, one.input, one.response, one.item_ids))
            before = hashlib.blake2b(before + content, digest_size=16).digest()
            names.append(self._keys.of("node", before.hex()))
            contents.append(content)
        return names[::-1], contents[::-1]

    async def _keep(self, nodes: list[str], contents: list[bytes], *, now: float) -> list[int]:
        of = self._keys.of
        keys = (of("responses", "index"), of("responses", "sizes"), of("responses", "bytes"), *nodes)
        found: list[int] = await self._link.ask(
            call(KEEP, keys, repr(now), repr(self._seconds), self._entries, self._size, *contents)
        )
        return found

    def _name(self, client: str, response_id: str) -> str:
        return self._keys.of("response", client, response_id)

    def _item(self, client: str, item_id: str) -> str:
        return self._keys.of("item", client, item_id)


class FailsafeResponses:
    """Responses in Redis, and the newest of this process beside it for when Redis is away. `closed`: then those that
    ask for one are refused instead."""

    def __init__(self, shared: ResponseStore, *, closed: bool = False, size: int = BYTES_BESIDE) -> None:
        self._shared = shared
        self._beside = MemoryResponses(size=size)
        self._closed = closed

    async def get(self, client: str, response_id: str, *, now: float) -> StoredResponse | None:
        """See `ResponseStore`. Raises GatewayError 503 where Redis is away and nothing is to be done without it."""
        try:
            return await self._shared.get(client, response_id, now=now)
        except UnreachableError:
            return await self._without().get(client, response_id, now=now)

    async def item(self, client: str, item_id: str, *, now: float) -> JsonObject | None:
        """See `ResponseStore`, and `get`."""
        try:
            return await self._shared.item(client, item_id, now=now)
        except UnreachableError:
            return await self._without().item(client, item_id, now=now)

    async def put(self, response: StoredResponse, *, now: float) -> bool:
        """See `ResponseStore`. Never raises: the answer is made."""
        beside = await self._beside.put(response, now=now)
        try:
            return await self._shared.put(response, now=now)
        except UnreachableError:
            return beside

    async def delete(self, client: str, response_id: str, *, now: float) -> bool:
        """See `ResponseStore`. Raises GatewayError 503 while Redis is away: what is not forgotten must not be said to
        be."""
        await self._beside.delete(client, response_id, now=now)
        try:
            return await self._shared.delete(client, response_id, now=now)
        except UnreachableError:
            raise _away() from None

    def _without(self) -> ResponseStore:
        if self._closed:
            raise _away()
        return self._beside


def _away() -> GatewayError:
    message = "The store of responses is away; ask again in a moment."
    return GatewayError(503, "overloaded", message, headers=((b"retry-after", b"5"),))
