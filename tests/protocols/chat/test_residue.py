"""Residue of other protocols, through a Chat client and back."""

from __future__ import annotations

import pytest

from ccx.protocols import ir
from ccx.protocols.chat import codec
from ccx.protocols.names import Protocol
from ccx.protocols.residue import MARK, seal
from ccx.protocols.stream import events
from tests.protocols.chat.kit import asked, counting, message, names, native, payloads, read, streamed, write

SIGNED = native({"signature": "sig+/="}, issuer="anthropic", protocol=Protocol.MESSAGES)
THOUGHT_SIGNATURE = native({"thoughtSignature": "ts"}, issuer="gemini", protocol=Protocol.GEMINI)
REDACTED = native({"redacted": "data"}, issuer="anthropic", protocol=Protocol.MESSAGES)

ANSWERS = {
    "a signed thought": (ir.Reasoning("hm", native=(SIGNED,)), ir.Text("hi")),
    "a thought without words": (ir.Reasoning("", native=(REDACTED,)), ir.Text("hi")),
    "several": (
        ir.Reasoning("one", native=(SIGNED,)),
        ir.Reasoning("two", native=(REDACTED,)),
        ir.Reasoning("three", native=(SIGNED, REDACTED)),
        ir.Text("hi"),
    ),
    "a summary": (ir.Reasoning("short", summary=True, native=(SIGNED,)), ir.Text("hi")),
    "of a text": (ir.Text("hi", native=(THOUGHT_SIGNATURE,)),),
    "of calls": (
        ir.Reasoning("hm", native=(SIGNED,)),
        ir.Text("hi", native=(THOUGHT_SIGNATURE,)),
        ir.ToolCall("c1", "f", "{}", native=(THOUGHT_SIGNATURE,)),
        ir.ToolCall("c2", "f", "{}"),
        ir.ToolCall("c3", "f", "{}", native=(THOUGHT_SIGNATURE, REDACTED)),
    ),
}


def response(parts: tuple[ir.Part, ...]) -> ir.Response:
    return ir.Response("msg_1", "m", parts, ir.Finish("stop"))


def folded_by_a_client(raw: bytes) -> dict[str, object]:
    """The message that a client which knows details makes of a stream: text goes on, details are collected."""
    made: dict[str, object] = {"role": "assistant"}
    details: list[object] = []
    calls: dict[int, dict[str, object]] = {}
    for payload in payloads(raw):
        for choice in payload["choices"]:  # type: ignore[attr-defined]  # JSON
            delta = choice["delta"]
            for key in ("content", "reasoning_content"):
                if delta.get(key):
                    made[key] = str(made.get(key, "")) + delta[key]
            details += delta.get("reasoning_details", [])
            for call in delta.get("tool_calls", []):
                if call["index"] not in calls:
                    calls[call["index"]] = dict(call)
                else:
                    function = calls[call["index"]]["function"]
                    function["arguments"] += call["function"]["arguments"]  # type: ignore[index, call-overload, operator]  # JSON
    if details:
        made["reasoning_details"] = details
    if calls:
        made["tool_calls"] = list(calls.values())
    return made


@pytest.mark.parametrize("parts", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("stream", [False, True])
def test_there_and_back(parts: tuple[ir.Part, ...], stream: bool) -> None:
    if stream:
        raw, losses = streamed(events(response(parts)))
        returned = folded_by_a_client(raw)
        assert losses == []
    else:
        encoded = codec.encode_response(response(parts), asked(), new_id=counting())
        returned = encoded.payload["choices"][0]["message"]  # type: ignore[index, call-overload, assignment]  # JSON
        assert encoded.losses == ()
    assert read({"messages": [returned]}).messages[0].parts == parts


@pytest.mark.parametrize("parts", ANSWERS.values(), ids=ANSWERS)
def test_never_goes_upstream_sealed(parts: tuple[ir.Part, ...]) -> None:
    encoded = codec.encode_response(response(parts), asked(), new_id=counting())
    returned = encoded.payload["choices"][0]["message"]  # type: ignore[index, call-overload]  # JSON
    for name in ("openai", "openrouter", "deepseek", "mistral", "generic"):
        upstream = write(read({"messages": [returned]}), name)
        assert MARK not in str(upstream.payload)
        lost = names(upstream.losses)
        assert "signature" in lost or "unknown_field:redacted" in lost


def test_clients_that_return_nothing_but_details_keep_words_and_residue_together() -> None:
    encoded = codec.encode_response(response(ANSWERS["several"]), asked(), new_id=counting())
    returned = dict(encoded.payload["choices"][0]["message"])  # type: ignore[index, call-overload, arg-type]  # JSON
    del returned["reasoning_content"]
    assert read({"messages": [returned]}).messages[0].parts == ANSWERS["several"]


def test_a_call_without_an_id_gets_one_that_its_residue_finds() -> None:
    parts = (ir.ToolCall("", "f", "{}", native=(THOUGHT_SIGNATURE,)),)
    encoded = codec.encode_response(response(parts), asked(), new_id=counting())
    returned = encoded.payload["choices"][0]["message"]  # type: ignore[index, call-overload]  # JSON
    assert read({"messages": [returned]}).messages[0].parts == (
        ir.ToolCall("call_1", "f", "{}", native=(THOUGHT_SIGNATURE,)),
    )
    raw, _ = streamed(events(response(parts)))
    assert read({"messages": [folded_by_a_client(raw)]}).messages[0].parts[0].native == (THOUGHT_SIGNATURE,)  # type: ignore[union-attr]  # a call


def test_residue_of_a_part_that_the_client_dropped_is_dropped() -> None:
    encoded = codec.encode_response(response(ANSWERS["of calls"]), asked(), new_id=counting())
    returned = dict(encoded.payload["choices"][0]["message"])  # type: ignore[index, call-overload, arg-type]  # JSON
    del returned["tool_calls"]
    assert read({"messages": [returned]}).messages[0].parts == ANSWERS["of calls"][:2]


def test_an_envelope_without_an_address_belongs_to_a_thought() -> None:
    item = {"type": "reasoning.encrypted", "data": seal((SIGNED,))}
    returned = {"role": "assistant", "reasoning_content": "hm", "reasoning_details": [item]}
    assert read({"messages": [returned]}).messages[0].parts == (ir.Reasoning("hm", native=(SIGNED,)),)


def test_an_upstream_cannot_pass_residue_off_as_anothers() -> None:
    item = {"type": "reasoning.encrypted", "data": seal((SIGNED,)), "index": 0}
    (thought,) = message("openrouter", reasoning_details=[item]).parts
    assert thought == ir.Reasoning("", native=(native({"reasoning_details": [item]}, issuer="openrouter"),))


def test_details_of_an_upstream_go_to_a_client_as_they_came() -> None:
    details = [
        {"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "x", "index": 1},
    ]
    came = message("openrouter", reasoning="hm", reasoning_details=details, content="hi")
    encoded = codec.encode_response(came, asked(), new_id=counting())
    returned = encoded.payload["choices"][0]["message"]  # type: ignore[index, call-overload]  # JSON
    assert returned["reasoning_details"] == details  # type: ignore[index, call-overload]  # JSON
    assert returned["reasoning_content"] == "hm"  # type: ignore[index, call-overload]  # JSON
    again = write(read({"messages": [returned]}), "openrouter")
    assert again.payload["messages"][0]["reasoning_details"] == details  # type: ignore[index, call-overload]  # JSON
    assert again.losses == ()
