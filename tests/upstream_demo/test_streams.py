"""The raw structure of each protocol's stream, and that it says what the whole answer says."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

import pytest

from tests.upstream_demo.asking import (
    ARGUMENTS,
    CHAT,
    DIALECTS,
    GEMINI,
    MESSAGES,
    RESPONSES,
    Dialect,
    body,
    events,
    header,
    post,
    raw,
)

THINKING: dict[str, dict[str, Any]] = {
    "messages": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    "chat": {"reasoning_effort": "high"},
    "responses": {"reasoning": {"effort": "high", "summary": "auto"}},
    "gemini": {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}},
}
CASES = [("hello", ()), ("call weather", ("weather",)), ("call weather and clock", ("weather", "clock"))]


def kinds(found: list[tuple[str | None, Any]]) -> list[str]:
    """The event types with repetitions made one."""
    return [kind for kind, _ in groupby(data["type"] for _, data in found)]


def folded(dialect: Dialect, found: list[tuple[str | None, Any]]) -> Any:
    """The whole answer that a stream amounts to, written for each protocol once more."""
    match dialect.name:
        case "messages":
            message = found[0][1]["message"]
            for _, data in found:
                match data["type"]:
                    case "content_block_start":
                        message["content"].append(data["content_block"] | {"json": ""})
                    case "content_block_delta":
                        block, delta = message["content"][data["index"]], data["delta"]
                        name = {"input_json_delta": "json"}.get(delta["type"], delta["type"].removesuffix("_delta"))
                        block[name] += delta.get(delta["type"].removesuffix("_delta"), delta.get("partial_json"))
                    case "message_delta":
                        message |= data["delta"]
                        message["usage"] |= data["usage"]
            for block in message["content"]:
                if (given := block.pop("json")) or block["type"] == "tool_use":
                    block["input"] = json.loads(given)
            return message
        case "chat":
            made: dict[str, Any] = {"content": None, "calls": {}, "thought": ""}
            for _, data in found[:-1]:
                for choice in data["choices"]:
                    delta = choice["delta"]
                    if delta.get("content") is not None:
                        made["content"] = (made["content"] or "") + delta["content"]
                    made["thought"] += delta.get("reasoning_content", "")
                    for call in delta.get("tool_calls", ()):
                        kept = made["calls"].setdefault(call["index"], {"function": {"arguments": ""}})
                        kept |= {name: call[name] for name in ("id", "type") if name in call}
                        kept["function"]["name"] = call["function"].get("name", kept["function"].get("name"))
                        kept["function"]["arguments"] += call["function"]["arguments"]
                    made["finish"] = choice["finish_reason"]
            return made
        case "responses":
            return found[-1][1]["response"]
        case _:
            parts: list[Any] = []
            for _, data in found:
                for part in data["candidates"][0]["content"]["parts"]:
                    if (
                        parts
                        and "text" in part
                        and part.get("thought") == parts[-1].get("thought")
                        and "text" in parts[-1]
                    ):
                        parts[-1] = {**parts[-1], "text": parts[-1]["text"] + part["text"]}
                    elif part != {"text": ""}:
                        parts.append(part)
            return {
                "parts": parts,
                "finish": found[-1][1]["candidates"][0]["finishReason"],
                "usage": found[-1][1]["usageMetadata"],
            }


def whole(dialect: Dialect, answer: Any) -> Any:
    match dialect.name:
        case "chat":
            (choice,) = answer["choices"]
            message = choice["message"]
            calls = dict(enumerate(message.get("tool_calls", ())))
            thought = message.get("reasoning_content", "")
            return {
                "content": message["content"],
                "calls": calls,
                "thought": thought,
                "finish": choice["finish_reason"],
            }
        case "gemini":
            (candidate,) = answer["candidates"]
            return {
                "parts": candidate["content"]["parts"],
                "finish": candidate["finishReason"],
                "usage": answer["usageMetadata"],
            }
        case _:
            return answer


def without_ids(value: Any) -> Any:
    """Without what depends on the bytes of the request, which say whether to stream."""
    if isinstance(value, dict):
        return {name: without_ids(item) for name, item in value.items() if name not in ("id", "call_id", "item_id")}
    return [without_ids(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(("text", "tools"), CASES)
@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize("limit", [None, 20])
def test_a_stream_says_what_the_whole_says(
    dialect: Dialect, text: str, tools: tuple[str, ...], thinking: bool, limit: int | None
) -> None:
    extra: dict[str, Any] = dict(THINKING[dialect.name]) if thinking else {}
    if limit is not None:
        match dialect.name:
            case "messages":
                extra["max_tokens"] = limit
                if thinking:
                    extra["thinking"] = {"type": "adaptive"}
            case "chat":
                extra["max_completion_tokens"] = limit
            case "responses":
                extra["max_output_tokens"] = limit
            case _:
                extra["generationConfig"] = {**extra.get("generationConfig", {}), "maxOutputTokens": limit}
    streamed = folded(dialect, events(dialect.ask(text, functions=tools, stream=True, **extra)))
    answer = whole(dialect, body(dialect.ask(text, functions=tools, **extra)))
    assert without_ids(streamed) == without_ids(answer)


def test_messages() -> None:
    answer = MESSAGES.ask("call weather", functions=("weather",), stream=True, **THINKING["messages"])
    found = events(answer)
    assert header(answer, "content-type") == "text/event-stream; charset=utf-8"
    assert header(answer, "content-length") is None
    assert (header(answer, "request-id") or "").startswith("req_")
    assert all(name == data["type"] for name, data in found)
    assert kinds(found) == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    start = found[0][1]["message"]
    assert (start["content"], start["stop_reason"], start["role"]) == ([], None, "assistant")
    assert start["usage"]["input_tokens"] > 0
    deltas = [data for _, data in found if data["type"] == "content_block_delta"]
    assert [kind for kind, _ in groupby((data["index"], data["delta"]["type"]) for data in deltas)] == [
        (0, "thinking_delta"),
        (0, "signature_delta"),
        (1, "input_json_delta"),
    ]
    starts = [data["content_block"] for _, data in found if data["type"] == "content_block_start"]
    assert starts[0] == {"type": "thinking", "thinking": "", "signature": ""}
    assert (starts[1]["type"], starts[1]["name"], starts[1]["input"]) == ("tool_use", "weather", {})
    assert found[-2][1]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert found[-2][1]["usage"]["cache_read_input_tokens"] == 0


def test_messages_with_hidden_thoughts() -> None:
    thinking = {"type": "adaptive", "display": "omitted"}
    found = events(MESSAGES.ask("hi", stream=True, thinking=thinking))
    deltas = [data["delta"] for _, data in found if data["type"] == "content_block_delta" and data["index"] == 0]
    assert [delta["type"] for delta in deltas] == ["signature_delta"]
    block = body(MESSAGES.ask("hi", thinking=thinking))["content"][0]
    assert (block["thinking"], bool(block["signature"])) == ("", True)


def test_chat() -> None:
    found = events(CHAT.ask("call weather", functions=("weather",), stream=True))
    assert found[-1] == (None, "[DONE]")
    chunks = [data for _, data in found[:-1]]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert all("usage" not in chunk for chunk in chunks)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": None, "refusal": None}
    first = deltas[1]["tool_calls"][0]
    assert (first["index"], first["type"], first["function"]) == (0, "function", {"name": "weather", "arguments": ""})
    assert first["id"].startswith("call_")
    assert all(set(delta["tool_calls"][0]) == {"index", "function"} for delta in deltas[2:-1])
    assert deltas[-1] == {}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["tool_calls"]


def test_chat_with_usage_and_choices() -> None:
    found = events(CHAT.ask("hi", stream=True, n=2, stream_options={"include_usage": True}))
    chunks = [data for _, data in found[:-1]]
    assert chunks[-1]["choices"] == []
    usage = chunks[-1]["usage"]
    assert usage == body(CHAT.ask("hi", n=2))["usage"]
    assert usage["completion_tokens"] % 2 == 0
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    finished = [choice["index"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert finished == [0, 1]


def test_responses() -> None:
    found = events(RESPONSES.ask("hello", stream=True, **THINKING["responses"]))
    assert all(name == data["type"] for name, data in found)
    assert [data["sequence_number"] for _, data in found] == list(range(len(found)))
    assert kinds(found) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    done = [data["item"] for _, data in found if data["type"] == "response.output_item.done"]
    added = [data["item"] for _, data in found if data["type"] == "response.output_item.added"]
    final = found[-1][1]["response"]
    assert final["output"] == done
    assert [item["id"] for item in added] == [item["id"] for item in done]
    assert (added[1]["content"], added[1]["status"]) == ([], "in_progress")
    text = "".join(data["delta"] for _, data in found if data["type"] == "response.output_text.delta")
    assert text == done[1]["content"][0]["text"]
    assert "encrypted_content" not in done[0]


def test_responses_calls() -> None:
    tools = [
        {"type": "custom", "name": "patch", "format": {"type": "text"}},
        {"type": "namespace", "name": "box", "tools": [{"type": "function", "name": "look", "parameters": None}]},
        {"type": "web_search"},
    ]
    found = events(RESPONSES.ask("call patch and look", stream=True, tools=tools))
    assert kinds(found)[2:-1] == [
        "response.output_item.added",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
    ]
    patch, look = found[-1][1]["response"]["output"]
    assert (patch["type"], patch["name"], patch["input"]) == ("custom_tool_call", "patch", "demo")
    assert (look["type"], look["name"], look["namespace"], look["arguments"]) == ("function_call", "look", "box", "{}")


def test_responses_tools_in_the_input() -> None:
    """Codex sends its tools as an item of the input, and no `tools`."""
    given = [
        {"type": "additional_tools", "role": "developer", "tools": [{"type": "custom", "name": "exec"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "call exec"}]},
    ]
    (call,) = body(post("/v1/responses", {"model": "m", "input": given}))["output"]
    assert (call["type"], call["name"]) == ("custom_tool_call", "exec")


@pytest.mark.parametrize("stream", [False, True])
def test_responses_compaction(stream: bool) -> None:
    given = [{"role": "user", "content": "hi"}, {"type": "compaction_trigger"}]
    answer = post("/v1/responses", {"model": "m", "input": given, "stream": stream})
    response = events(answer)[-1][1]["response"] if stream else body(answer)
    assert [item["type"] for item in response["output"]] == ["compaction"]
    assert response["status"] == "completed"


def test_responses_incomplete() -> None:
    found = events(RESPONSES.ask("hello", stream=True, max_output_tokens=16))
    assert found[-1][1]["type"] == "response.incomplete"
    assert found[-1][1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert found[-1][1]["response"]["output"][0]["status"] == "incomplete"


def test_gemini() -> None:
    replies = [data for _, data in events(GEMINI.ask("call weather", functions=("weather",), stream=True))]
    assert len({reply["responseId"] for reply in replies}) == 1
    call = replies[0]["candidates"][0]["content"]["parts"][0]
    assert call["functionCall"] == {"name": "weather", "args": ARGUMENTS}
    assert call["thoughtSignature"]
    assert ["finishReason" in reply["candidates"][0] for reply in replies] == [False, True]


def test_gemini_as_an_array() -> None:
    sent = {"contents": [{"parts": [{"text": "hello"}]}]}
    answer = post("/v1/models/m:streamGenerateContent", sent)
    assert header(answer, "content-type") == "application/json"
    assert len(answer.pieces) > 10
    streamed = [data for _, data in events(post("/v1/models/m:streamGenerateContent?alt=sse", sent))]
    assert body(answer) == streamed
    broken = body(post("/v1/models/demo-error-midstream:streamGenerateContent", sent))
    assert "candidates" in broken[0]
    assert broken[-1]["error"]["status"] == "INTERNAL"
    assert json.loads(raw(post("/v1/models/demo-content-filter:streamGenerateContent", sent)))[0]["promptFeedback"]


def test_gemini_in_snake_case() -> None:
    sent = {
        "system_instruction": {"parts": [{"text": "be brief"}]},
        "contents": [{"parts": [{"text": "hello"}]}],
        "generation_config": {"max_output_tokens": 3, "stop_sequences": ["zzz"]},
    }
    reply = body(post("/models/m:generateContent", sent))
    assert reply["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert reply["usageMetadata"] | {"promptTokensDetails": None} == {
        "promptTokenCount": 3,
        "candidatesTokenCount": 3,
        "totalTokenCount": 6,
        "promptTokensDetails": None,
    }
