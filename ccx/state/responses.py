"""Responses that clients may come back to by id: `previous_response_id`, item references, retrieval.

Law: a client finds its own responses and no other's. A response is kept with the one it went on from, so that its
conversation stays whole when that one is forgotten or deleted. What is kept is bounded by number, bytes and age, the
least recently used going first; a conversation that alone would take too much is not kept at all. Times are arguments,
in seconds on one clock. Single-threaded, as the event loop is.

Methods are coroutines, since another implementation may ask over the network.
Source: https://platform.openai.com/docs/guides/conversation-state
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from typing import Protocol as Interface

import msgspec

from ccx.protocols.ir import JsonObject

ENTRIES_KEPT: Final = 10_000
BYTES_KEPT: Final = 128 * 1024 * 1024
SECONDS_KEPT: Final = 24 * 60 * 60
SHARE: Final = 8
"""One conversation may take this part of the bytes, as a divisor."""

_OVERHEAD: Final = 512  # bytes of objects around each entry, roughly

_items = msgspec.json.Decoder(list[dict[str, object]]).decode
_response = msgspec.json.Decoder(dict[str, object]).decode


@dataclass(frozen=True, slots=True, eq=False)
class StoredResponse:
    """A response and what led to it. `client` is whose it is; `input` the JSON list of items that its request brought,
    `response` the JSON object that the client got, `previous` the response that the request went on from. `item_ids`
    are those of the items in both."""

    id: str
    client: str
    model: str
    input: bytes
    response: bytes
    previous: StoredResponse | None = None
    item_ids: tuple[str, ...] = ()
    size: int = field(init=False)
    """Bytes of the whole conversation."""

    def __post_init__(self) -> None:
        before = self.previous.size if self.previous is not None else 0
        object.__setattr__(self, "size", before + self.own_size)

    @property
    def own_size(self) -> int:
        """Bytes without those of the responses before."""
        return len(self.input) + len(self.response) + _OVERHEAD

    def input_items(self) -> list[JsonObject]:
        """What the model was given: the conversation before, and what the request brought."""
        before = self.previous.items() if self.previous is not None else []
        return before + self._brought()

    def output_items(self) -> list[JsonObject]:
        """The answer."""
        output = _response(self.response).get("output")
        return [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []

    def items(self) -> list[JsonObject]:
        """The conversation up to the end of the answer."""
        found: list[JsonObject] = []
        for one in reversed(list(self._chain())):
            found += one._brought() + one.output_items()
        return found

    def item(self, item_id: str) -> JsonObject | None:
        """The item of this id, of those that the request brought and those of the answer."""
        own = self._brought() + self.output_items()
        return next((item for item in own if item.get("id") == item_id), None)

    def _brought(self) -> list[JsonObject]:
        return _items(self.input)  # type: ignore[return-value]  # JSON values by construction

    def _chain(self) -> Iterator[StoredResponse]:
        one: StoredResponse | None = self
        while one is not None:
            yield one
            one = one.previous


class ResponseStore(Interface):
    """Where responses are kept."""

    async def get(self, client: str, response_id: str, *, now: float) -> StoredResponse | None:
        """The client's response of this id."""

    async def item(self, client: str, item_id: str, *, now: float) -> JsonObject | None:
        """The item of this id in the client's responses; of several the one kept last."""

    async def put(self, response: StoredResponse, *, now: float) -> bool:
        """Keep a response, in place of one of the same id. False if it is too large to be kept."""

    async def delete(self, client: str, response_id: str, *, now: float) -> bool:
        """Forget a response. False if there is none."""


_Key = tuple[str, str]


class MemoryResponses:
    """Responses in the memory of this process."""

    def __init__(
        self,
        *,
        entries: int = ENTRIES_KEPT,
        size: int = BYTES_KEPT,
        seconds: float = SECONDS_KEPT,
        share: int = SHARE,
    ) -> None:
        self._entries = entries
        self._limit = size
        self._seconds = seconds
        self._largest = size // share
        self._kept: OrderedDict[_Key, StoredResponse] = OrderedDict()  # least recently used first
        self._made: dict[_Key, float] = {}  # oldest first
        self._of_item: dict[_Key, dict[_Key, None]] = {}  # in which responses an item is, the latest last
        self._holders: Counter[StoredResponse] = Counter()  # compared by identity: how often each is held on to
        self._bytes = 0

    async def get(self, client: str, response_id: str, *, now: float) -> StoredResponse | None:
        """See `ResponseStore`."""
        self._expire(now)
        key = (client, response_id)
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    async def item(self, client: str, item_id: str, *, now: float) -> JsonObject | None:
        """See `ResponseStore`."""
        self._expire(now)
        keys = self._of_item.get((client, item_id))
        if not keys:
            return None
        key = next(reversed(keys))
        self._kept.move_to_end(key)
        return self._kept[key].item(item_id)

    async def put(self, response: StoredResponse, *, now: float) -> bool:
        """See `ResponseStore`."""
        self._expire(now)
        key = (response.client, response.id)
        if key in self._kept:
            self._forget(key)
        if response.size > self._largest:
            return False
        self._kept[key] = response
        self._made[key] = now
        for item_id in response.item_ids:
            self._of_item.setdefault((response.client, item_id), {})[key] = None
        self._hold(response)
        while len(self._kept) > self._entries or self._bytes > self._limit:
            self._forget(next(iter(self._kept)))
        return True

    async def delete(self, client: str, response_id: str, *, now: float) -> bool:
        """See `ResponseStore`."""
        self._expire(now)
        key = (client, response_id)
        if key not in self._kept:
            return False
        self._forget(key)
        return True

    def __len__(self) -> int:
        """How many responses can be found."""
        return len(self._kept)

    @property
    def bytes(self) -> int:
        """Bytes in use, those of forgotten responses included which later ones go on from."""
        return self._bytes

    def _expire(self, now: float) -> None:
        while self._made:
            key, made = next(iter(self._made.items()))
            if now - made <= self._seconds:
                break
            self._forget(key)

    def _forget(self, key: _Key) -> None:
        response = self._kept.pop(key)
        del self._made[key]
        for item_id in response.item_ids:
            holding = self._of_item.get((response.client, item_id))
            if holding is not None:
                holding.pop(key, None)
                if not holding:
                    del self._of_item[response.client, item_id]
        self._let_go(response)

    def _hold(self, response: StoredResponse) -> None:
        one: StoredResponse | None = response
        while one is not None:
            self._holders[one] += 1
            if self._holders[one] > 1:
                break  # held already, and so is all before it
            self._bytes += one.own_size
            one = one.previous

    def _let_go(self, response: StoredResponse) -> None:
        one: StoredResponse | None = response
        while one is not None:
            self._holders[one] -= 1
            if self._holders[one]:
                break
            del self._holders[one]
            self._bytes -= one.own_size
            one = one.previous
