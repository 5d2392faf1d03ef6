"""The items of a Responses conversation: what a request brings, by id, and what it refers to.

Law: pure; items are the protocol's own JSON, and what is not understood of one stays as it is. An item that is kept has
an id, because the API gives every item one and clients refer to items by it.

Source: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input,
https://platform.openai.com/docs/api-reference/responses/input-items
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ccx.protocols.codec import NewId
from ccx.protocols.ir import Json, JsonObject

_PREFIXES: Final = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctco_",
    "compaction": "cmp_",
}


def read_input(given: Json) -> list[JsonObject]:
    """The items of an `input`: a string is one message of the user. What is no item is left out."""
    if isinstance(given, str):
        return [message("user", given)]
    return [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []


def message(role: str, text: str) -> JsonObject:
    """A message of one text."""
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


def is_message(item: JsonObject, role: str) -> bool:
    """Whether an item is a message of this role. Clients may leave the type out."""
    return item.get("type", "message") == "message" and item.get("role") == role


def identified(item: JsonObject, new_id: NewId) -> JsonObject:
    """An item in the form in which the API gives items back: with its type, an id, and its content in parts."""
    kind = str(item.get("type") or "message")
    ident = item.get("id")
    found: JsonObject = {"id": ident if isinstance(ident, str) and ident else new_id(_PREFIXES.get(kind, "item_"))}
    found.update((key, value) for key, value in item.items() if key != "id")
    found["type"] = kind
    if kind == "message":
        content = item.get("content")
        if isinstance(content, str):
            said = "output_text" if item.get("role") == "assistant" else "input_text"
            part: JsonObject = {"type": said, "text": content}
            found["content"] = [{**part, "annotations": []} if said == "output_text" else part]
        found.setdefault("status", "completed")
    return found


def referred(items: Iterable[JsonObject]) -> list[str]:
    """The ids of the items that are only referred to."""
    return [str(item["id"]) for item in items if _is_reference(item)]


def resolved(items: Iterable[JsonObject], known: Mapping[str, JsonObject]) -> list[JsonObject]:
    """The items, with those that are known in place of references to them."""
    return [known.get(str(item["id"]), item) if _is_reference(item) else item for item in items]


def _is_reference(item: JsonObject) -> bool:
    if not isinstance(item.get("id"), str):
        return False
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and item.keys() <= {"id", "type"})
