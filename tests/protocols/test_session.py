"""Which conversation a request belongs to: every place clients say it, and what is none."""

from __future__ import annotations

import json

import pytest

from ccx.protocols.body import Body, open_body
from ccx.protocols.names import Protocol
from ccx.protocols.session import LONGEST, prompt_prefix, session_id


def body(**fields: object) -> Body:
    return open_body(json.dumps(fields).encode())


CLAUDE = json.dumps({"device_id": "d", "account_uuid": "", "session_id": "s-1"})


@pytest.mark.parametrize(
    ("protocol", "headers", "fields", "found"),
    [
        (Protocol.CHAT, {"x-ccx-session": "mine", "session-id": "theirs"}, {}, "mine"),
        (Protocol.MESSAGES, {"x-claude-code-session-id": "cc"}, {"metadata": {"user_id": CLAUDE}}, "cc"),
        (Protocol.RESPONSES, {"session-id": "codex"}, {"prompt_cache_key": "k"}, "codex"),
        (Protocol.MESSAGES, {}, {"metadata": {"user_id": CLAUDE}}, "s-1"),
        (Protocol.MESSAGES, {}, {"metadata": {"user_id": "user_ab_account__session_s-2"}}, "s-2"),
        (Protocol.RESPONSES, {}, {"conversation": "conv_1", "prompt_cache_key": "k"}, "conv_1"),
        (Protocol.RESPONSES, {}, {"conversation": {"id": "conv_2"}}, "conv_2"),
        (Protocol.RESPONSES, {}, {"prompt_cache_key": "k"}, "k"),
        (Protocol.CHAT, {}, {"prompt_cache_key": "k"}, "k"),
        (Protocol.CHAT, {"x-session-id": " "}, {"user": "alice"}, None),
        (Protocol.MESSAGES, {}, {"metadata": {"user_id": "alice"}}, None),
        (Protocol.MESSAGES, {}, {"metadata": {"user_id": "{broken"}}, None),
        (Protocol.MESSAGES, {}, {"metadata": {"user_id": '{"session_id": 7}'}}, None),
        (Protocol.MESSAGES, {}, {"metadata": "?"}, None),
        (Protocol.RESPONSES, {}, {"conversation": {"id": 5}}, None),
        (Protocol.GEMINI, {}, {"prompt_cache_key": "k"}, None),
    ],
)
def test_found(protocol: Protocol, headers: dict[str, str], fields: dict[str, object], found: str | None) -> None:
    assert session_id(protocol, headers, body(**fields)) == found


def test_an_id_has_a_length() -> None:
    assert session_id(Protocol.CHAT, {"x-ccx-session": "x" * 10_000}, None) == "x" * LONGEST


def test_a_prefix_stays_while_a_conversation_grows() -> None:
    turns = [{"role": "user", "content": "word " * 2000}]
    first = prompt_prefix(Protocol.CHAT, body(model="m", messages=turns))
    later = prompt_prefix(Protocol.CHAT, body(model="n", messages=[*turns, {"role": "assistant", "content": "hm"}]))
    assert first == later
    other = [{"role": "user", "content": "other " * 2000}]
    assert prompt_prefix(Protocol.CHAT, body(model="m", messages=other)) != first


def test_a_short_conversation_has_one_prefix_too() -> None:
    asked = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    later = [*asked, {"role": "assistant", "content": "ho"}, {"role": "user", "content": "and?"}]
    assert prompt_prefix(Protocol.CHAT, body(messages=asked)) == prompt_prefix(Protocol.CHAT, body(messages=later))
    other = [asked[0], {"role": "user", "content": "hello"}]
    assert prompt_prefix(Protocol.CHAT, body(messages=asked)) != prompt_prefix(Protocol.CHAT, body(messages=other))


@pytest.mark.parametrize("messages", [[], [1, None, {}], "text", {"a": 1}, None])
def test_what_is_no_list_of_messages_has_a_prefix_as_well(messages: object) -> None:
    assert len(prompt_prefix(Protocol.CHAT, body(messages=messages))) == 16
