"""The definition of `input_tokens`: what counts, equally in four protocols, bounded from above, whatever the bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.protocols.names import Protocol
from ccx.tokens import blocks, cut
from ccx.tokens.blocks import IMAGE, IMAGE_LOW, LARGE
from ccx.tokens.counter import TokenCounter
from ccx.tokens.encoding import count_text

PNG = "iVBORw0KGgo" * 400
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SYSTEM, QUESTION, THOUGHT, ANSWER = "You are terse.", "Weather in Oslo?", "I should look.", "Rain, 7 degrees."
DESCRIPTION = "Looks up the weather of a city."

CONVERSATION: dict[Protocol, dict[str, Any]] = {
    Protocol.MESSAGES: {
        "model": "m",
        "max_tokens": 9,
        "system": [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "weather", "description": DESCRIPTION, "input_schema": SCHEMA}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": QUESTION},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": THOUGHT, "signature": PNG},
                    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": ANSWER}]},
        ],
    },
    Protocol.CHAT: {
        "model": "m",
        "tools": [
            {"type": "function", "function": {"name": "weather", "description": DESCRIPTION, "parameters": SCHEMA}}
        ],
        "messages": [
            {"role": "system", "content": SYSTEM},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": QUESTION},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                ],
            },
            {
                "role": "assistant",
                "reasoning_content": THOUGHT,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": ANSWER},
        ],
    },
    Protocol.RESPONSES: {
        "model": "m",
        "instructions": SYSTEM,
        "tools": [
            {"type": "function", "name": "weather", "description": DESCRIPTION, "parameters": SCHEMA, "strict": True}
        ],
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": QUESTION},
                    {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PNG}"},
                ],
            },
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": THOUGHT}],
                "encrypted_content": PNG,
            },
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Oslo"}'},
            {"type": "function_call_output", "call_id": "c1", "output": ANSWER},
        ],
    },
    Protocol.GEMINI: {
        "systemInstruction": {"parts": [{"text": SYSTEM}]},
        "tools": [
            {"functionDeclarations": [{"name": "weather", "description": DESCRIPTION, "parametersJsonSchema": SCHEMA}]}
        ],
        "contents": [
            {"role": "user", "parts": [{"text": QUESTION}, {"inlineData": {"mimeType": "image/png", "data": PNG}}]},
            {
                "role": "model",
                "parts": [
                    {"text": THOUGHT, "thought": True, "thoughtSignature": PNG},
                    {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}},
                ],
            },
            {
                "role": "user",
                "parts": [{"functionResponse": {"name": "weather", "id": "x", "response": {"output": ANSWER}}}],
            },
        ],
    },
}


def encoded(body: object) -> bytes:
    return json.dumps(body).encode()


def counted(protocol: Protocol, body: object) -> int:
    return TokenCounter().count_now(protocol, body if isinstance(body, bytes) else encoded(body))


def in_message(content: object) -> int:
    return counted(Protocol.MESSAGES, {"messages": [{"role": "user", "content": content}]})


@pytest.mark.parametrize("protocol", CONVERSATION)
def test_one_conversation_counts_the_same_in_every_protocol(protocol: Protocol) -> None:
    compact_schema = json.dumps(SCHEMA, separators=(",", ":"))
    texts = [SYSTEM, "weather", DESCRIPTION, compact_schema, QUESTION, THOUGHT, "weather", '{"city":"Oslo"}', ANSWER]
    found = blocks.blocks(protocol, encoded(CONVERSATION[protocol]))
    assert sorted(found.texts) == sorted(texts)
    assert found.media_tokens == IMAGE
    assert counted(protocol, CONVERSATION[protocol]) == sum(map(count_text, texts)) + IMAGE


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ([{"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}}], IMAGE_LOW),
        ([{"type": "input_image", "image_url": "https://x/y.png", "detail": "low"}], IMAGE_LOW),
        ([{"type": "input_image", "file_id": "file-1", "detail": "high"}], IMAGE),
        ([{"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}] * 3, 3 * IMAGE),
        ([{"fileData": {"mimeType": "image/webp", "fileUri": "gs://b/c"}}], IMAGE),
        ([{"type": "image_generation_call", "result": "A" * 90_000}], IMAGE),
        (
            [{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "A" * 4000}}],
            100,
        ),
        ([{"type": "input_file", "file_data": "A" * 400_000, "file_id": "f"}], 10_000),
        ([{"inlineData": {"mimeType": "text/plain", "data": "A" * 160}}], 30),
        ([{"inlineData": {"mimeType": "audio/wav", "data": "A" * 5120}}], 10),
        ([{"type": "input_audio", "input_audio": {"data": "A" * 512_000, "format": "wav"}}], 1000),
        ([{"type": "video_url", "video_url": {"url": "data:video/mp4;base64," + "A" * 5098}}], 10),
        ([{"type": "redacted_thinking", "data": "A" * 4000}], 0),
        ([{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hello world"}}], 2),
        ([{"type": "text", "text": "hello world", "citations": [{"cited_text": "much text"}]}], 2),
        ([{"type": "never_heard_of", "stuff": {"deep": ["hello world", {"x": "hello world"}]}}], 4),
        ([{"functionResponse": {"name": "f", "response": {"a": 1, "b": "x"}}}], count_text('{"a":1,"b":"x"}')),
        ([{"functionResponse": "hello world"}], 2),
        (
            [{"type": "tool_use", "name": "x", "input": {"n": 1.50, "m": 1e20}}],
            count_text("x") + count_text('{"n":1.5,"m":1e+20}'),
        ),
        ("<|endoftext|>", count_text("<|endoftext|>")),
        ([1, 2, 3, 4.5, True, None], 4),
        (None, 0),
    ],
)
def test_rules(content: object, tokens: int) -> None:
    assert in_message(content) == tokens


def test_white_space_between_json_does_not_count() -> None:
    body = CONVERSATION[Protocol.MESSAGES]
    assert counted(Protocol.MESSAGES, json.dumps(body, indent=2).encode()) == counted(Protocol.MESSAGES, body)


@pytest.mark.parametrize(
    ("protocol", "body", "tokens"),
    [
        (Protocol.RESPONSES, {"input": "hello world"}, 2),
        (Protocol.MESSAGES, {"system": "hello world", "messages": {"content": "hello world"}}, 4),
        (Protocol.CHAT, {"functions": [{"name": "hello world", "parameters": {}}], "messages": None}, 3),
        (Protocol.GEMINI, {"generateContentRequest": {"contents": [{"parts": [{"text": "hello world"}]}]}}, 2),
        (Protocol.GEMINI, {"requests": [{"model": "m", "content": {"parts": [{"text": "hello world"}]}}] * 2}, 4),
        (Protocol.GEMINI, {"system_instruction": {"parts": {"text": "hello world"}}}, 2),
        (Protocol.IMAGES, {"prompt": "hello world", "size": "large"}, 2),
        (Protocol.EMBEDDINGS, {"input": ["hello world", "hello world"]}, 4),
        (Protocol.EMBEDDINGS, {"input": [[1, 2, 3], [4]]}, 4),
        (Protocol.MESSAGES, [1, 2], 0),
        (Protocol.MESSAGES, b"", 0),
        (Protocol.MESSAGES, b"\xff\xfe", 0),
        (Protocol.MESSAGES, rb'{"messages":[{"content":"a\ud800"},{"content":"hello world"}]}', 2 + 6),
        (Protocol.MESSAGES, b'{"messages":["hello world","cut', 2 + 1),
        (Protocol.MESSAGES, b'{"messages":[' + b"[" * 20_000 + b"]" * 20_000 + b"]}", 10_000),
        (
            Protocol.MESSAGES,
            b'{"messages":[' + b"[" * 50_000 + b"]" * 50_000 + b"]}",
            (100_000 - 2 * blocks.LEVELS) // 4,
        ),
    ],
)
def test_shapes(protocol: Protocol, body: object, tokens: int) -> None:
    assert counted(protocol, body) == tokens


def test_a_giant_counts_what_its_parts_count() -> None:
    text = "The quick brown fox. " * (LARGE // 10)
    schema = {
        "type": "object",
        "properties": {f"p{n}": {"type": "string", "description": text[:99]} for n in range(900)},
    }
    tool = {"name": "t", "description": text, "input_schema": schema}
    body = {"tools": [tool], "messages": [{"role": "user", "content": text}] * 60}
    whole = json.dumps(schema, separators=(",", ":"))
    assert len(encoded(body)) > cut.AT_ONCE
    expected = count_text("t") + 61 * count_text(text) + count_text(whole)
    assert counted(Protocol.MESSAGES, body) == pytest.approx(expected, rel=1e-3)


keys = st.sampled_from(
    [
        "type",
        "text",
        "content",
        "image_url",
        "source",
        "data",
        "input",
        "arguments",
        "response",
        "functionResponse",
        "url",
        "detail",
        "media_type",
        "mimeType",
        "inlineData",
        "file_data",
        "format",
        "parameters",
        "x",
        "id",
    ],
)
strings = st.text() | st.sampled_from(["image", "input_image", "image/png", "low", "text", "data:image/png;base64,AA"])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | strings
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=30)
bodies = st.dictionaries(st.sampled_from(["system", "tools", "messages", "input", "contents", "requests"]), values)


@given(st.sampled_from(list(Protocol)), bodies, st.booleans(), st.booleans(), st.integers(0, 20_000))
def test_the_upper_bound_is_one(
    protocol: Protocol, body: dict[str, object], hide: bool, ascii_only: bool, below: int
) -> None:
    raw = json.dumps(body, separators=(",", ":"), ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    if hide:
        raw = raw.replace(b"image", rb"im\u0061ge")
    closest, enough = blocks.upper_bound(raw), blocks.upper_bound(raw, below=below)
    assert counted(protocol, raw) <= closest <= enough
    # Whoever compares with `below` learns the same from both.
    assert (closest < below) == (enough < below)


def test_words_about_images_are_no_images() -> None:
    text = b'{"messages":[{"role":"user","content":"an image of images, imagine"}]}'
    assert blocks.upper_bound(text) == len(text)
    shown = b'{"messages":[{"role":"user","content":[{"type":"image"},{"type":"input_image"},{"text":"image"}]}]}'
    assert counted(Protocol.MESSAGES, shown) == 2 * blocks.IMAGE + 1
    assert blocks.upper_bound(shown) == len(shown) + 3 * blocks.IMAGE


@given(st.sampled_from(list(Protocol)), bodies)
def test_the_bound_and_the_sum_hold_for_giants_too(protocol: Protocol, body: dict[str, object]) -> None:
    raw = encoded(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "LARGE", 24)
        patch.setattr(cut, "AT_ONCE", 0)
        found = blocks.blocks(protocol, raw)
        tokens = sum(map(count_text, found.texts)) + found.media_tokens
        assert counted(protocol, raw) == tokens <= blocks.upper_bound(raw)


@given(st.sampled_from(list(Protocol)), bodies, st.sampled_from([None, 1]))
def test_scanning_and_decoding_cut_alike(protocol: Protocol, body: dict[str, object], indent: int | None) -> None:
    raw = json.dumps(body, indent=indent).encode()
    at_once = cut.cut_at_once(protocol, raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cut, "AT_ONCE", 0)
        scanned = list(cut.cut(protocol, raw))
    assert at_once is None or sorted(at_once) == sorted(scanned)


@given(st.sampled_from(list(Protocol)), st.binary() | st.text(st.sampled_from('{}[]",:\\u06 imagest')).map(str.encode))
def test_anything_at_all_gets_a_count(protocol: Protocol, junk: bytes) -> None:
    for raw in (junk, b'{"messages":[' + junk, b'{"messages":[' + junk + b"]}"):
        assert 0 <= counted(protocol, raw) <= blocks.upper_bound(raw)
