"""One Responses request in its conversation: what it goes on from, what it asks for, and what is kept of the answer.

Law
- What only this gateway knows is said in full before anything is decided: the conversation behind a
  `previous_response_id` that it has kept, items that are referred to, summaries that it made. So conditions, counts and
  upstreams of every protocol see the whole request. `instructions` and tools are not inherited, as the API documents.
- What it does not know goes unchanged to an upstream that speaks Responses, which may know it. A request that has to be
  converted must be whole: there it is the API's own error.
- Only answers that were converted are kept, and only for their client; `store: false` keeps nothing.

Sources: https://platform.openai.com/docs/guides/conversation-state, https://platform.openai.com/docs/guides/compaction
"""

from __future__ import annotations

from typing import Final

import msgspec

from ccx.errors import ClientError
from ccx.protocols.body import Body
from ccx.protocols.codec import NewId
from ccx.protocols.compaction import (
    Compacting,
    compacted,
    compaction,
    is_triggered,
    opened,
    since_last,
    summary_request,
)
from ccx.protocols.conversation import identified, read_input, referred, resolved
from ccx.protocols.ir import Json, JsonObject, Loss, Response
from ccx.protocols.names import Operation
from ccx.protocols.residue import MARK
from ccx.protocols.sse import parse_events
from ccx.routing.table import Client
from ccx.state.responses import ResponseStore, StoredResponse

_ENDS: Final = ("response.completed", "response.incomplete")
_MARK: Final = MARK.encode()
_encode = msgspec.json.Encoder().encode


class _Item(msgspec.Struct):
    id: object = None


class _Answer(msgspec.Struct):
    id: str
    model: str = ""
    output: list[_Item] = []


class _Ending(msgspec.Struct):
    response: msgspec.Raw


_answer = msgspec.json.Decoder(_Answer).decode
_ending = msgspec.json.Decoder(_Ending).decode


def dialogue_scope(client: Client | None) -> str:
    """Whose responses a caller may see: a declared client its own; callers without a key, on this machine, theirs."""
    return "" if client is None else client.name


class Dialogue:
    """A request's place in its conversation. `client` is whose responses may be seen; `now` unix seconds."""

    def __init__(self, store: ResponseStore, client: str, operation: Operation, *, now: float, new_id: NewId) -> None:
        self._store = store
        self._client = client
        self._operation = operation
        self._now = now
        self._new_id = new_id
        self._previous: StoredResponse | None = None
        self._asked_for: str | None = None  # the previous_response_id, where it was resolved
        self._before = 0  # items of the input that come from the previous response
        self._items: list[JsonObject] = []
        self._stores = False
        self.summarises = operation is Operation.COMPACT

    async def recalled(self, body: Body) -> bytes | None:
        """The request with everything said in full that only ccx knows; None where that is nothing."""
        named = body.value("previous_response_id")
        if isinstance(named, str):
            self._previous = await self._store.get(self._client, named, now=self._now)
        raw = body.raw
        sealed = b'"compaction' in raw and _MARK in raw
        if self._previous is None and not sealed and b'"item_reference"' not in raw:
            return None
        items: list[JsonObject] = []
        dropped: tuple[str, ...] = ()
        if self._previous is not None:
            self._asked_for = self._previous.id
            items = opened(since_last(self._previous.items()))
            self._before = len(items)
            dropped = ("previous_response_id",)
        given: Json = body.value("input")  # type: ignore[assignment]  # decoded JSON
        brought = read_input(given)
        told = opened(await self._resolved(brought))
        if self._previous is None and told == brought:
            return None
        items += told
        return b"".join(body.with_fields({"input": items}, dropped))

    async def _resolved(self, items: list[JsonObject]) -> list[JsonObject]:
        known: dict[str, JsonObject] = {}
        for ident in referred(items):
            found = await self._store.item(self._client, ident, now=self._now)
            if found is not None:
                known[ident] = found
        return resolved(items, known) if known else items

    async def meant(self, body: JsonObject) -> JsonObject:
        """The request as it is to be converted, of one that was recalled.

        Raises ClientError: 400 for a previous response that is not known, 404 for an item that is not.
        """
        if (named := body.get("previous_response_id")) is not None:
            message = f"Previous response with id {str(named)!r} not found."
            code, param = "previous_response_not_found", "previous_response_id"
            raise ClientError(400, "invalid_request", message, code=code, param=param)
        items = await self._resolved(read_input(body.get("input")))
        if missing := referred(items):
            message = (
                f"Item with id {missing[0]!r} not found. Items are not persisted when `store` is set to false. "
                "Try again with `store` set to true, or remove this item from your input."
            )
            raise ClientError(404, "not_found", message, param="input")
        self._items = items
        self._stores = self._operation is Operation.GENERATE and body.get("store") is not False
        self.summarises = self.summarises or is_triggered(body)
        meant: JsonObject = {key: value for key, value in body.items() if key != "store"}
        if isinstance(meant.get("input"), list):
            meant["input"] = [*items]
        return summary_request(meant) if self.summarises else meant

    async def to_summarise(self, body: JsonObject) -> JsonObject:
        """A request for a compaction as one for a summary, for an upstream of the client's own protocol: what it may
        know itself stays a reference."""
        self._items = await self._resolved(read_input(body.get("input")))
        # Nobody is told of the response that the summary is in: it need not be kept.
        return summary_request({**body, "input": [*self._items], "store": False})

    def asked(self, body: JsonObject) -> JsonObject:
        """The request as the client made it, of which answers repeat parts."""
        return body if self._asked_for is None else {**body, "previous_response_id": self._asked_for}

    def told(self, response: Response) -> tuple[Response, tuple[Loss, ...]]:
        """The answer that the client is told, and what was lost. Raises BadReply for a summary that is none."""
        return compacted(response, new_id=self._new_id) if self.summarises else (response, ())

    def rewriting(self) -> Compacting | None:
        """What makes of a stream the one that the client is told; None where it is the same."""
        return Compacting(self._new_id) if self.summarises else None

    def shown(self, response: JsonObject) -> JsonObject:
        """The body that the client gets for this response object."""
        return compaction(response, self._items, self._new_id) if self._operation is Operation.COMPACT else response

    async def keep(self, shown: bytes, *, stream: bool) -> None:
        """Keep the answer that is in what the client is about to get: a body, or the end of a stream."""
        response = _last(shown) if stream else shown
        if not self._stores or response is None:
            return
        answer = _answer(response)
        brought = [identified(item, self._new_id) for item in self._items[self._before :]]
        ids = [str(item["id"]) for item in brought] + [item.id for item in answer.output if isinstance(item.id, str)]
        await self._store.put(
            StoredResponse(
                answer.id,
                self._client,
                answer.model,
                _encode(brought),
                response,
                # A summary stands for all before it.
                None if self.summarises else self._previous,
                tuple(dict.fromkeys(ids)),
            ),
            now=self._now,
        )


def _last(stream: bytes) -> bytes | None:
    """The whole response in the last event of a stream; None if it did not end well."""
    # Data holds no line end, so this cannot be inside of it.
    start = stream.rfind(b"\nevent: response.") + 1
    return next((bytes(_ending(one.data).response) for one in parse_events(stream[start:]) if one.event in _ENDS), None)
