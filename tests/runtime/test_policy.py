"""Declared request policies: what is written and dropped, in each protocol's own names."""

from __future__ import annotations

import json

import pytest

from ccx.protocols.body import open_body
from ccx.protocols.names import Protocol
from ccx.routing.table import RequestPolicy
from ccx.runtime.policy import edits


def changed(policy: RequestPolicy, protocol: Protocol, body: dict[str, object]) -> dict[str, object]:
    opened = open_body(json.dumps(body).encode())
    found = edits(policy, protocol, opened)
    result: dict[str, object] = json.loads(b"".join(opened.with_fields(found.write, found.drop)))
    return result


@pytest.mark.parametrize(
    ("protocol", "before", "after"),
    [
        (Protocol.MESSAGES, {"max_tokens": 50}, {"max_tokens": 10}),
        (Protocol.MESSAGES, {"max_tokens": 5}, {"max_tokens": 5}),
        (Protocol.MESSAGES, {}, {"max_tokens": 10}),
        (Protocol.CHAT, {"max_tokens": 50}, {"max_tokens": 10}),
        (Protocol.CHAT, {"max_completion_tokens": 50}, {"max_completion_tokens": 10}),
        (Protocol.CHAT, {}, {"max_completion_tokens": 10}),
        (Protocol.RESPONSES, {"max_output_tokens": 50}, {"max_output_tokens": 10}),
        (
            Protocol.GEMINI,
            {"generationConfig": {"maxOutputTokens": 50, "topK": 1}},
            {"generationConfig": {"maxOutputTokens": 10, "topK": 1}},
        ),
        (Protocol.GEMINI, {}, {"generationConfig": {"maxOutputTokens": 10}}),
        (Protocol.IMAGES, {"n": 1}, {"n": 1}),
    ],
)
def test_cap(protocol: Protocol, before: dict[str, object], after: dict[str, object]) -> None:
    assert changed(RequestPolicy(max_output_tokens=10), protocol, before) == after


def test_default_set_and_drop() -> None:
    policy = RequestPolicy(default=(("temperature", "0.2"), ("top_p", "1")), set=(("seed", "7"),), drop=("user",))
    chat = changed(policy, Protocol.CHAT, {"temperature": 1, "user": "u", "seed": 1, "x": None})
    assert chat == {"temperature": 1, "top_p": 1, "seed": 7, "x": None}
    gemini = changed(policy, Protocol.GEMINI, {"generationConfig": {"temperature": 1}, "user": "u"})
    assert gemini == {"generationConfig": {"temperature": 1, "topP": 1, "seed": 7}}


def test_drop_of_a_nested_field_keeps_its_siblings() -> None:
    policy = RequestPolicy(drop=("temperature", "absent"))
    body: dict[str, object] = {"generationConfig": {"temperature": 1, "topK": 2}, "contents": []}
    assert changed(policy, Protocol.GEMINI, body) == {"generationConfig": {"topK": 2}, "contents": []}


def test_no_policy_changes_nothing() -> None:
    assert not edits(RequestPolicy(), Protocol.CHAT, open_body(b"{}"))


@pytest.mark.parametrize(
    ("protocol", "before", "after"),
    [
        (Protocol.MESSAGES, {"system": "s"}, {"system": "Be brief.\n\ns"}),
        (Protocol.RESPONSES, {"input": "x"}, {"input": "x", "instructions": "Be brief."}),
        (
            Protocol.CHAT,
            {"messages": [{"role": "user", "content": "u"}]},
            {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "u"}]},
        ),
        (Protocol.GEMINI, {}, {"systemInstruction": {"parts": [{"text": "Be brief."}]}}),
        (Protocol.EMBEDDINGS, {"input": "x"}, {"input": "x"}),
    ],
)
def test_system_prefix(protocol: Protocol, before: dict[str, object], after: dict[str, object]) -> None:
    assert changed(RequestPolicy(system_prefix="Be brief."), protocol, before) == after


def test_system_comes_after_set_and_drop() -> None:
    policy = RequestPolicy(set=(("system", '"set"'),), system_prefix="p")
    assert changed(policy, Protocol.MESSAGES, {"system": "s"}) == {"system": "p\n\nset"}
    policy = RequestPolicy(drop=("system",), system_prefix="p")
    assert changed(policy, Protocol.MESSAGES, {"system": "s"}) == {"system": "p"}
    policy = RequestPolicy(set=(("system", '"set"'),), system_replace="")
    assert changed(policy, Protocol.MESSAGES, {"system": "s", "n": 1}) == {"n": 1}
    policy = RequestPolicy(system_replace="r")
    assert changed(policy, Protocol.MESSAGES, {"system": "s"}) == {"system": "r"}
