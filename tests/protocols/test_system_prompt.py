"""A declared system prompt goes where each protocol has it, and every other byte stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.protocols.body import open_body
from ccx.protocols.names import Protocol
from ccx.protocols.system_prompt import with_system

MESSAGES, CHAT, RESPONSES, GEMINI = Protocol.MESSAGES, Protocol.CHAT, Protocol.RESPONSES, Protocol.GEMINI


def changed(protocol: Protocol, raw: bytes, *, prefix: str = "", replace: str | None = None) -> bytes:
    body = open_body(raw)
    found = with_system(protocol, body, prefix=prefix, replace=replace, write={}, drop=())
    if found is None:
        return raw
    field, value = found
    return b"".join(body.with_fields({}, {field}) if value is None else body.with_fields({field: value}, ()))


@pytest.mark.parametrize(
    ("protocol", "before", "after"),
    [
        (MESSAGES, b'{"a":1}', b'{"a":1,"system":"P"}'),
        (MESSAGES, b'{"system":null}', b'{"system":"P"}'),
        (MESSAGES, b'{ "system" : "S \\u00e9" , "a" : 1.0 }', b'{ "system" : "P\\n\\nS \\u00e9" , "a" : 1.0 }'),
        (
            MESSAGES,
            b'{"system": [ {"type":"text", "text":"S","cache_control":{"type":"ephemeral"}} ]}',
            b'{"system": [{"type":"text","text":"P"}, '
            b'{"type":"text", "text":"S","cache_control":{"type":"ephemeral"}} ]}',
        ),
        (MESSAGES, b'{"system":[ ]}', b'{"system":[{"type":"text","text":"P"} ]}'),
        (MESSAGES, b'{"system":7}', b'{"system":7}'),
        (RESPONSES, b'{"input":"x"}', b'{"input":"x","instructions":"P"}'),
        (RESPONSES, b'{"instructions":"I"}', b'{"instructions":"P\\n\\nI"}'),
        (CHAT, b'{"messages":[]}', b'{"messages":[{"role":"system","content":"P"}]}'),
        (
            CHAT,
            b'{"messages":[ {"role":"user","content":"u"}]}',
            b'{"messages":[{"role":"system","content":"P"}, {"role":"user","content":"u"}]}',
        ),
        (
            CHAT,
            b'{"messages":[ {"content" : "S", "role":"developer"} , {"role":"user","content":"u"}]}',
            b'{"messages":[ {"content" : "P\\n\\nS", "role":"developer"} , {"role":"user","content":"u"}]}',
        ),
        (
            CHAT,
            b'{"messages":[{"role":"system","content":[{"type":"text","text":"S"}]}]}',
            b'{"messages":[{"role":"system","content":[{"type":"text","text":"P"},{"type":"text","text":"S"}]}]}',
        ),
        (CHAT, b'{"messages":[{"role":"system"}]}', b'{"messages":[{"role":"system","content":"P"}]}'),
        (CHAT, b'{"messages":[{"role":"system","content":4}]}', b'{"messages":[{"role":"system","content":4}]}'),
        (CHAT, b'{"messages":["odd"]}', b'{"messages":[{"role":"system","content":"P"},"odd"]}'),
        (CHAT, b'{"messages":"odd"}', b'{"messages":"odd"}'),
        (CHAT, b"{}", b"{}"),
        (GEMINI, b'{"contents":[]}', b'{"contents":[],"systemInstruction":{"parts":[{"text":"P"}]}}'),
        (
            GEMINI,
            b'{"systemInstruction":{"role":"user", "parts":[ {"text":"S"}]}}',
            b'{"systemInstruction":{"role":"user", "parts":[{"text":"P"}, {"text":"S"}]}}',
        ),
        (
            GEMINI,
            b'{"system_instruction":{"parts":[{"text":"S"}]}}',
            b'{"system_instruction":{"parts":[{"text":"P"},{"text":"S"}]}}',
        ),
        (GEMINI, b'{"systemInstruction":{}}', b'{"systemInstruction":{"parts":[{"text":"P"}]}}'),
        (GEMINI, b'{"systemInstruction":"S"}', b'{"systemInstruction":"P\\n\\nS"}'),
        (GEMINI, b'{"systemInstruction":{"parts":"S"}}', b'{"systemInstruction":{"parts":"S"}}'),
        (GEMINI, b'{"systemInstruction":[1]}', b'{"systemInstruction":[1]}'),
        (Protocol.EMBEDDINGS, b'{"input":"x"}', b'{"input":"x"}'),
        (Protocol.IMAGES, b'{"prompt":"x"}', b'{"prompt":"x"}'),
    ],
)
def test_a_prefix_stands_before_what_is_there(protocol: Protocol, before: bytes, after: bytes) -> None:
    assert changed(protocol, before, prefix="P") == after


@pytest.mark.parametrize(
    ("protocol", "before", "after"),
    [
        (MESSAGES, b'{"system":[{"type":"text","text":"S"}],"a":1}', b'{"system":"R","a":1}'),
        (MESSAGES, b"{}", b'{"system":"R"}'),
        (RESPONSES, b'{"instructions":"I","input":"x"}', b'{"instructions":"R","input":"x"}'),
        (
            CHAT,
            b'{"messages":[{"role":"system","name":"n","content":"S"},\n{"role":"developer","content":"D"} ,'
            b'{"role":"user","content":"u"},{"role":"system","content":"later"}]}',
            b'{"messages":[{"role":"system","name":"n","content":"R"} ,'
            b'{"role":"user","content":"u"},{"role":"system","content":"later"}]}',
        ),
        (CHAT, b'{"messages":[{"role":"user"}]}', b'{"messages":[{"role":"system","content":"R"},{"role":"user"}]}'),
        (GEMINI, b'{"system_instruction":{"parts":[]}}', b'{"system_instruction":{"parts":[{"text":"R"}]}}'),
    ],
)
def test_a_replacement_stands_alone(protocol: Protocol, before: bytes, after: bytes) -> None:
    assert changed(protocol, before, replace="R") == after


def test_both_together() -> None:
    assert changed(MESSAGES, b'{"system":"S"}', prefix="P", replace="R") == b'{"system":"P\\n\\nR"}'
    assert changed(MESSAGES, b'{"system":"S"}', prefix="P", replace="") == b'{"system":"P"}'


@pytest.mark.parametrize(
    ("protocol", "before", "after"),
    [
        (MESSAGES, b'{"system":"S","a":1}', b'{"a":1}'),
        (MESSAGES, b'{"a":1}', b'{"a":1}'),
        (RESPONSES, b'{"instructions":"S"}', b"{}"),
        (GEMINI, b'{"systemInstruction":{}}', b"{}"),
        (CHAT, b'{"messages":[{"role":"system","content":"S"} , {"role":"user"}]}', b'{"messages":[{"role":"user"}]}'),
        (CHAT, b'{"messages":[ {"role":"system","content":"S"} ]}', b'{"messages":[  ]}'),
        (CHAT, b'{"messages":[{"role":"user"}]}', b'{"messages":[{"role":"user"}]}'),
    ],
)
def test_an_empty_replacement_takes_the_prompt_away(protocol: Protocol, before: bytes, after: bytes) -> None:
    assert changed(protocol, before, replace="") == after


def test_what_was_set_before_is_what_the_prefix_stands_before() -> None:
    body = open_body(b'{"system":"old"}')
    found = with_system(MESSAGES, body, prefix="P", replace=None, write={"system": "new"}, drop=())
    assert found is not None
    assert bytes(found[1] or b"") == b'"P\\n\\nnew"'
    found = with_system(MESSAGES, body, prefix="P", replace=None, write={}, drop={"system"})
    assert found is not None
    assert bytes(found[1] or b"") == b'"P"'
    found = with_system(MESSAGES, body, prefix="P", replace=None, write={"system": None}, drop=())
    assert found is not None
    assert bytes(found[1] or b"") == b'"P"'


def test_halves_of_an_emoji_elsewhere_stay_as_they_came() -> None:
    raw = b'{"messages":[{"role":"system","content":"S \\ud83d"},{"role":"user","content":"u \\ude00"}]}'
    out = changed(CHAT, raw, prefix="P")
    assert out == b'{"messages":[{"role":"system","content":"P\\n\\nS \\ud83d"},{"role":"user","content":"u \\ude00"}]}'
    gemini = b'{"systemInstruction":{"parts":[{"text":"\\ud83d"}]}}'
    assert changed(GEMINI, gemini, prefix="P") == (b'{"systemInstruction":{"parts":[{"text":"P"},{"text":"\\ud83d"}]}}')


def test_of_a_duplicated_field_no_other_value_is_left() -> None:
    assert changed(MESSAGES, b'{"system":"a","system":"b"}', prefix="P") == b'{"system":"P\\n\\nb","system":"P\\n\\nb"}'


_role = st.sampled_from(["system", "developer", "user", "assistant"])
_content = st.one_of(st.text(max_size=8), st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": st.text()})))
_message = st.fixed_dictionaries({"role": _role, "content": _content}, optional={"name": st.text(max_size=3)})


@given(st.lists(_message, max_size=5), st.text(min_size=1), st.one_of(st.none(), st.text()), st.sampled_from([None, 1]))
def test_chat_against_the_obvious_way(
    messages: list[dict[str, object]], prefix: str, replace: str | None, indent: int | None
) -> None:
    raw = json.dumps({"model": "m", "messages": messages, "n": 1}, indent=indent).encode()
    result = json.loads(changed(CHAT, raw, prefix=prefix, replace=replace))
    head = 0
    while head < len(messages) and messages[head]["role"] in ("system", "developer"):
        head += 1
    if replace is not None:
        whole = f"{prefix}\n\n{replace}" if replace else prefix
        first = {**messages[0], "content": whole} if head else {"role": "system", "content": whole}
        expected = [first, *messages[head:]]
    elif not head:
        expected = [{"role": "system", "content": prefix}, *messages]
    else:
        content = messages[0]["content"]
        if isinstance(content, str):
            new: object = f"{prefix}\n\n{content}"
        else:
            assert isinstance(content, list)
            new = [{"type": "text", "text": prefix}, *content]
        expected = [{**messages[0], "content": new}, *messages[1:]]
    assert result == {"model": "m", "messages": expected, "n": 1}
