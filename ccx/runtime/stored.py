"""Responses that were answered before, read and deleted by id: those kept here, of the client that asks.

Law: what is not kept here is not found, whoever else may have it; upstreams that keep responses are not asked, because
nothing in such a request says which one.

Source: https://platform.openai.com/docs/api-reference/responses/get, .../delete and .../input-items
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

import msgspec

from ccx.errors import ClientError
from ccx.protocols.endpoints import StoredRequest
from ccx.protocols.ir import JsonObject
from ccx.state.responses import ResponseStore, StoredResponse

PAGE: Final = 20
LONGEST_PAGE: Final = 100

_encode = msgspec.json.Encoder().encode


async def stored_answer(store: ResponseStore, asked: StoredRequest, *, client: str, query: str, now: float) -> bytes:
    """The JSON body of the answer. `client` is whose responses are looked at, `now` unix seconds.

    Raises ClientError 404 for a response that is not kept, 400 for parameters that make no sense.
    """
    ident = asked.response_id
    if asked.what == "delete":
        if not await store.delete(client, ident, now=now):
            raise _unknown(ident)
        return _encode({"id": ident, "object": "response", "deleted": True})
    found = await store.get(client, ident, now=now)
    if found is None:
        raise _unknown(ident)
    given = {name: values[-1] for name, values in parse_qs(query).items()}
    if asked.what == "input_items":
        return _encode(_page(found, given))
    if given.get("stream") == "true":
        # Only responses that were made in the background can be, and there are none here.
        raise _invalid("stream", "This response cannot be streamed again.")
    return found.response


def _page(found: StoredResponse, given: dict[str, str]) -> JsonObject:
    order, after, limit = given.get("order", "desc"), given.get("after"), given.get("limit", str(PAGE))
    if order not in ("asc", "desc"):
        raise _invalid("order", f"Invalid value: {order!r}. Supported values are: 'asc' and 'desc'.")
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= LONGEST_PAGE:
        raise _invalid("limit", f"Invalid value: {limit!r}. Expected an integer from 1 to {LONGEST_PAGE}.")
    items = found.input_items()
    if order == "desc":
        items.reverse()
    ids = [item.get("id") for item in items]
    if after is not None:
        if after not in ids:
            raise _invalid("after", f"No item with id {after!r} is among the input items of this response.")
        start = ids.index(after) + 1
        items, ids = items[start:], ids[start:]
    page = int(limit[:9])
    shown = ids[:page]
    return {
        "object": "list",
        "data": [*items[:page]],
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
        "has_more": len(items) > page,
    }


def _unknown(ident: str) -> ClientError:
    return ClientError(404, "not_found", f"Response with id {ident!r} not found.")


def _invalid(param: str, message: str) -> ClientError:
    return ClientError(400, "invalid_request", message, param=param)
