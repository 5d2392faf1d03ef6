"""Items of a Responses conversation: read, given ids, referred to."""

from __future__ import annotations

from itertools import count

import pytest

from ccx.protocols.conversation import (
    identified,
    is_message,
    message,
    read_input,
    referred,
    resolved,
)
from ccx.protocols.ir import Json, JsonObject


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("hi", [message("user", "hi")]),
        ([{"role": "user", "content": "hi"}, 7], [{"role": "user", "content": "hi"}]),
        (None, []),
        (4, []),
    ],
)
def test_input(given: Json, expected: list[JsonObject]) -> None:
    assert read_input(given) == expected


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (
            {"role": "user", "content": "hi"},
            {
                "id": "msg_1",
                "type": "message",
                "role": "user",
                "status": "completed",
                "content": [{"type": "input_text", "text": "hi"}],
            },
        ),
        (
            {"role": "assistant", "content": "hi", "id": "mine", "status": "incomplete"},
            {
                "id": "mine",
                "type": "message",
                "role": "assistant",
                "status": "incomplete",
                "content": [{"type": "output_text", "text": "hi", "annotations": []}],
            },
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "u"}], "id": None},
            {
                "id": "msg_1",
                "type": "message",
                "role": "user",
                "status": "completed",
                "content": [{"type": "input_image", "image_url": "u"}],
            },
        ),
        (
            {"type": "function_call_output", "call_id": "c", "output": "o"},
            {"id": "fco_1", "type": "function_call_output", "call_id": "c", "output": "o"},
        ),
        ({"type": "new_kind", "x": 1}, {"id": "item_1", "type": "new_kind", "x": 1}),
    ],
)
def test_every_item_has_an_id_and_its_content_in_parts(item: JsonObject, expected: JsonObject) -> None:
    before = dict(item)
    numbers = count(1)
    assert identified(item, lambda prefix: f"{prefix}{next(numbers)}") == expected
    assert item == before


def test_references() -> None:
    items: list[JsonObject] = [
        {"type": "item_reference", "id": "a"},
        {"id": "b"},
        {"id": "c", "role": "user", "content": "x"},
        {"type": "item_reference"},
    ]
    assert referred(items) == ["a", "b"]
    known: JsonObject = {"type": "message", "id": "a"}
    assert resolved(items, {"a": known}) == [known, *items[1:]]


def test_roles() -> None:
    assert is_message({"role": "user"}, "user")
    assert not is_message({"role": "user", "type": "other"}, "user")
    assert not is_message({"role": "assistant"}, "user")
