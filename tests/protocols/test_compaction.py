"""Compaction by a summary: what is asked, how the summary travels, and what is no summary."""

from __future__ import annotations

import re
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.errors import BadReply, ClientError
from ccx.protocols.codec import NewId
from ccx.protocols.compaction import (
    INSTRUCTION,
    OPENED,
    Compacting,
    compacted,
    compaction,
    is_triggered,
    opened,
    sealed,
    since_last,
    summary_request,
)
from ccx.protocols.ir import (
    Begin,
    End,
    Event,
    Failed,
    Finish,
    JsonObject,
    Native,
    Opaque,
    Part,
    PartBegin,
    PartDelta,
    PartEnd,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
    Usage,
)
from ccx.protocols.names import Protocol
from ccx.protocols.residue import seal
from ccx.protocols.stream import Assembler, events

USAGE = Usage(input_tokens=9, output_tokens=3)
STOPPED = Finish("stop", "stop")


def ids() -> NewId:
    numbers = count(1)
    return lambda prefix: f"{prefix}{next(numbers)}"


def answer(*parts: Part, finish: Finish = STOPPED) -> Response:
    return Response("chatcmpl-1", "m", parts, finish, USAGE, 7, (Native(Protocol.CHAT, "openai", {"x": 1}),))


def streamed(response: Response) -> tuple[list[Event], Compacting]:
    rewriting = Compacting(ids())
    return [new for event in events(response) for new in rewriting.feed(event)], rewriting


def test_trigger() -> None:
    assert not is_triggered({"input": "hi"})
    assert not is_triggered({})
    assert is_triggered({"input": [{"role": "user", "content": "hi"}, {"type": "compaction_trigger"}]})
    with pytest.raises(ClientError, match="must be the last item") as caught:
        is_triggered({"input": [{"type": "compaction_trigger"}, {"role": "user", "content": "hi"}]})
    assert (caught.value.status, caught.value.param) == (400, "input[0]")


def test_the_request_keeps_what_bears_on_the_conversation_only() -> None:
    body: JsonObject = {
        "model": "m",
        "instructions": "i",
        "input": [{"role": "user", "content": "hi"}, {"type": "compaction_trigger"}],
        "text": {"format": {"type": "json_object"}},
        "max_output_tokens": 3,
        "include": ["reasoning.encrypted_content"],
        "tools": [{"type": "function", "name": "f"}],
        "tool_choice": "required",
        "user": "u",
    }
    assert summary_request(body) == {
        "model": "m",
        "instructions": "i",
        "user": "u",
        "tools": [{"type": "function", "name": "f"}],
        "tool_choice": "none",
        "input": [
            {"role": "user", "content": "hi"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": INSTRUCTION}]},
        ],
    }
    assert "tool_choice" not in summary_request({"input": "hi", "tools": []})
    assert summary_request({"input": [{"type": "additional_tools", "tools": []}]})["tool_choice"] == "none"


@given(st.text(), st.lists(st.sampled_from([{"role": "user", "content": "hi"}, {"type": "reasoning"}]), max_size=3))
def test_a_summary_opens_to_its_text(text: str, others: list[JsonObject]) -> None:
    item = sealed(text, ids())
    assert item.keys() == {"id", "type", "encrypted_content"}
    assert item["type"] == "compaction"
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": OPENED + text}]}
    assert opened([*others, item]) == [*others, message]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "compaction", "encrypted_content": "gAAAAABo"},
        {"type": "compaction"},
        {"type": "compaction", "encrypted_content": "ccx1.damaged"},
        {"type": "compaction", "encrypted_content": seal((Native(Protocol.MESSAGES, "anthropic", {"summary": "s"}),))},
        {"type": "reasoning", "encrypted_content": sealed("s", ids())["encrypted_content"]},
    ],
)
def test_nothing_else_is_opened(item: JsonObject) -> None:
    assert opened([item]) == [item]


def test_what_a_summary_replaced_is_left_out() -> None:
    old, new = sealed("old", ids()), sealed("new", ids())
    word: JsonObject = {"role": "user", "content": "hi"}
    theirs: JsonObject = {"type": "compaction", "encrypted_content": "gAAAA"}
    assert since_last([word, old, word, new, theirs, word]) == [new, theirs, word]
    assert since_last([word, theirs]) == [word, theirs]
    assert since_last([]) == []


def test_codex_may_name_it_otherwise() -> None:
    assert opened([{**sealed("s", ids()), "type": "compaction_summary"}])[0]["role"] == "user"


def test_an_answer_becomes_one_item() -> None:
    made, losses = compacted(
        answer(Reasoning("hm"), Text(" The "), ToolCall("c", "f", "{}"), Text("summary. ")), new_id=ids()
    )
    assert losses == ()
    assert (made.id, made.model, made.created, made.usage, made.finish) == (
        "chatcmpl-1",
        "m",
        7,
        USAGE,
        Finish("stop"),
    )
    (part,) = made.parts
    assert isinstance(part, Opaque)
    assert opened([part.native.data])[0]["content"] == [{"type": "input_text", "text": OPENED + "The summary."}]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((), "no summary"),
        ((Text(" \n"), Reasoning("thought")), "no summary"),
        ((Refusal("I will not."),), "declined to summarise: I will not."),
    ],
)
def test_an_answer_without_words_is_a_failure(parts: tuple[Part, ...], words: str) -> None:
    with pytest.raises(BadReply, match=words):
        compacted(answer(*parts), new_id=ids())
    found, _ = streamed(answer(*parts))
    assert isinstance(found[0], Begin)
    assert isinstance(found[1], Failed)
    assert words in found[1].message
    assert len(found) == 2


def test_a_cut_summary_is_a_named_loss() -> None:
    cut = answer(Text("half"), finish=Finish("length", "length"))
    _, losses = compacted(cut, new_id=ids())
    assert [loss.what for loss in losses] == ["summary_cut"]
    _, rewriting = streamed(cut)
    assert rewriting.losses == losses


_parts = st.one_of(
    st.builds(Text, st.text(max_size=5)), st.builds(Reasoning, st.text(max_size=5)), st.builds(Refusal, st.text())
)


@given(st.lists(_parts, max_size=5))
def test_a_stream_folds_to_the_same(parts: list[Part]) -> None:
    response = answer(*parts)
    found, _ = streamed(response)
    assembler = Assembler()
    for event in found:
        assembler.feed(event)
    if assembler.failed is not None:
        with pytest.raises(BadReply, match=re.escape(assembler.failed.message)):
            compacted(response, new_id=ids())
    else:
        assert assembler.response == compacted(response, new_id=ids())[0]


def test_a_broken_stream_stays_broken() -> None:
    rewriting = Compacting(ids())
    failed = Failed("api_error", "cut")
    found = [
        new
        for event in (Begin("i", "m"), PartBegin(0, Text("")), PartDelta(0, "x"), PartEnd(0), failed)
        for new in rewriting.feed(event)
    ]
    assert found == [Begin("i", "m"), failed]
    assert isinstance(Compacting(ids()).feed(End(Finish("stop")))[0], Failed)


def test_the_endpoints_answer_keeps_the_users_messages() -> None:
    items: list[JsonObject] = [
        {"role": "developer", "content": "d"},
        {"role": "user", "content": "hi"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "message", "role": "user", "id": "msg_x", "content": [{"type": "input_text", "text": "more"}]},
    ]
    item = sealed("s", ids())
    made = compaction(
        {"id": "resp_1", "created_at": 5, "output": [item], "usage": {"x": 1}, "status": "completed"}, items, ids()
    )
    assert made == {
        "id": "resp_1",
        "object": "response.compaction",
        "created_at": 5,
        "usage": {"x": 1},
        "output": [
            {
                "id": "msg_1",
                "type": "message",
                "role": "user",
                "status": "completed",
                "content": [{"type": "input_text", "text": "hi"}],
            },
            {**items[3], "status": "completed"},
            item,
        ],
    }
