"""Where requests go, what is refused, and that nothing raises."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.upstream.demo import respond as core
from ccx.upstream.demo.respond import respond, too_large
from tests.upstream_demo.asking import (
    CHAT,
    DIALECTS,
    GEMINI,
    MESSAGES,
    RESPONSES,
    Dialect,
    body,
    get,
    post,
    raw,
)

PATHS = (
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/responses/input_tokens",
    "/v1/responses/compact",
    "/v1/embeddings",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/images/variations",
    "/v1beta/models/m:generateContent",
    "/v1beta/models/m:streamGenerateContent",
    "/v1beta/models/m:countTokens",
    "/v1beta/models/m:embedContent",
    "/v1beta/models/m:batchEmbedContents",
)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("stream", [False, True])
def test_the_same_request_gives_the_same_bytes(dialect: Dialect, stream: bool) -> None:
    one, same, other = (dialect.ask(text, stream=stream, functions=("a",)) for text in ("call a", "call a", "call a!"))
    assert one == same
    assert raw(one) != raw(other)


@pytest.mark.parametrize("prefix", ["", "/v1", "/v1beta", "/v1alpha"])
def test_versions(prefix: str) -> None:
    assert post(f"{prefix}/models/m:generateContent", {"contents": [{"parts": [{"text": "a"}]}]}).status == 200
    assert post(f"{prefix}/messages?beta=true", MESSAGES.request("hi")[1]).status == 200


def test_model_lists() -> None:
    openai, claude, gemini = (
        get("/v1/models"),
        get("/v1/models?limit=9", anthropic_version="2023-06-01"),
        get("/v1beta/models"),
    )
    assert body(openai)["object"] == "list"
    assert body(claude)["first_id"] == "demo"
    assert body(gemini)["models"][0]["name"] == "models/demo"
    assert body(get("/v1/models", x_goog_api_key="k")) == body(gemini)
    assert body(get("/models/a%2Fb"))["id"] == "a/b"
    assert get("/v1/models/demo-fail-404").status == 404


def test_small_things() -> None:
    for target in ("/", "/health", "/api/hello"):
        assert b"ccx demo" in raw(get(target))
        answer = respond("HEAD", target, [], b"")
        assert (answer.status, answer.pieces) == (200, ())
    assert respond("GET", "", [], b"").status == 200
    assert get("/v1/responses", upgrade="websocket").status == 426
    assert get("/v1/responses").status == 405
    assert respond("PUT", "/v1beta/models/m:generateContent", [], b"{}").status == 405
    assert get("//v1//x").status == 404


@pytest.mark.parametrize(
    "target", ["/v1/nothing", "/v2x/messages", "/v1beta/models/m:destroy", "/v1/models/m", "/v1/completions", "*"]
)
def test_nothing_there(target: str) -> None:
    answer = post(target, {"model": "m"})
    assert answer.status == 404
    assert body(answer)["error"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":NaN}',
        b'{"a":1e999}',
        b"{}",
    ],
    ids=lambda sent: repr(sent[:9]),
)
def test_bad_bodies(path: str, sent: bytes) -> None:
    answer = post(path, sent, content_type="application/json")
    assert answer.status == 400
    error = body(answer)
    if path.startswith("/v1/messages"):
        assert error["type"] == "error"
        assert error["error"]["type"] == "invalid_request_error"
    elif "beta" in path:
        assert error["error"]["status"] == "INVALID_ARGUMENT"
    else:
        assert error["error"]["type"] == "invalid_request_error"


USE = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "w", "input": {}}]}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": None}, "model: Field required"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"messages": None}, "messages: at least one"),
        ({"messages": []}, "messages: at least one"),
        ({"messages": ["a"]}, "messages.0.role"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages.0.content"),
        ({"messages": [user("a"), USE]}, None),
        ({"messages": [user("a"), USE, RESULT]}, None),
        ({"messages": [user("a"), USE, user("b")]}, "without `tool_result` blocks immediately after: t1"),
        ({"messages": [user("a"), RESULT]}, "unexpected `tool_use_id` found in `tool_result` blocks: t1"),
        ({"messages": [user("a"), {"role": "system", "content": "x"}, user("b")]}, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "must be greater than"),
        ({"tools": [{"name": "a"}]}, "tools.0.custom.input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.custom.name"),
        ({"tool_choice": {"type": "tool", "name": "no"}}, "'no' not found"),
    ],
)
def test_messages_validation(change: dict[str, Any], words: str | None) -> None:
    answer = MESSAGES.changed(change)
    assert answer.status == (200 if words is None else 400)
    if words is not None:
        assert words in body(answer)["error"]["message"]


def test_missing_members_are_named() -> None:
    assert (
        body(post("/v1/messages", {"model": "m", "messages": [user("a")]}))["error"]["message"]
        == "max_tokens: Field required"
    )
    assert body(post("/v1/messages", {"model": "m", "max_tokens": 5}))["error"]["message"] == "messages: Field required"
    assert body(post("/v1/chat/completions", {"model": "m"}))["error"]["param"] == "messages"
    assert body(post("/v1/chat/completions", {}))["error"]["param"] == "model"
    assert body(post("/v1/responses", {"model": "m"}))["error"]["param"] == "input"
    assert body(post("/v1/embeddings", {"model": "m"}))["error"]["param"] == "input"
    assert body(post("/v1/images/generations", {}))["error"]["param"] == "prompt"


CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{}"}}],
}
TOLD = {"role": "tool", "tool_call_id": "c1", "content": "ok"}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "x", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [user("a"), CALL, TOLD]}, None),
        ({"messages": [user("a"), TOLD]}, "messages[1].role"),
        ({"messages": [user("a"), CALL, user("b")]}, "messages[2].role"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": "9"}, "max_completion_tokens"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "oven", "oven": {"name": "a"}}]}, "tools[0].oven"),
        ({"tool_choice": {"type": "function", "function": {"name": "no"}}}, "tool_choice"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"response_format": {"type": "json_object"}}, None),
    ],
)
def test_chat_validation(change: dict[str, Any], param: str | None) -> None:
    answer = CHAT.changed(change)
    assert answer.status == (200 if param is None else 400)
    if param is not None:
        assert body(answer)["error"]["param"] == param


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": 5}, "input"),
        ({"input": None, "previous_response_id": "resp_1"}, None),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "a"}]}, "input[0]"),
        (
            {"input": [{"type": "function_call_output", "call_id": "c", "output": "a"}], "previous_response_id": "r"},
            None,
        ),
        ({"input": [{"type": "something_new", "x": 1}]}, None),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "something_new"}]}, None),
        ({"tool_choice": {"type": "function", "name": "no"}}, "tool_choice"),
    ],
)
def test_responses_validation(change: dict[str, Any], param: str | None) -> None:
    answer = RESPONSES.changed(change)
    assert answer.status == (200 if param is None else 400)
    if param is not None:
        assert body(answer)["error"]["param"] == param


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"contents": []}, 400),
        ({"contents": ["a"]}, 400),
        ({"contents": [{"role": "system", "parts": [{"text": "a"}]}]}, 400),
        ({"contents": [{"role": "user", "parts": []}]}, 400),
        ({"generationConfig": {"maxOutputTokens": 0}}, 400),
        ({"tools": [{"functionDeclarations": [{"description": "nameless"}]}]}, 400),
        ({"tools": [{"googleSearch": {}}]}, 200),
    ],
)
def test_gemini_validation(change: dict[str, Any], status: int) -> None:
    assert GEMINI.changed(change).status == status


def test_tool_choices_of_each_protocol() -> None:
    def names(found: Any) -> list[str]:
        if isinstance(found, dict):
            inner = [name for value in found.values() for name in names(value)]
            return [found["name"], *inner] if "name" in found and "tools" not in found else inner
        return [name for value in found for name in names(value)] if isinstance(found, list) else []

    tools = ("weather", "clock")
    forced: list[tuple[Dialect, dict[str, Any]]] = [
        (MESSAGES, {"tool_choice": {"type": "tool", "name": "clock"}}),
        (CHAT, {"tool_choice": {"type": "function", "function": {"name": "clock"}}}),
        (
            CHAT,
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "required",
                        "tools": [{"type": "function", "function": {"name": "clock"}}],
                    },
                }
            },
        ),
        (GEMINI, {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["clock"]}}}),
    ]
    for dialect, extra in forced:
        assert names(body(dialect.ask("hi", functions=tools, **extra))) == ["clock"], dialect.name
    choices: tuple[dict[str, Any], ...] = (
        {"type": "function", "name": "clock"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "clock"}]},
    )
    for choice in choices:
        assert [item["name"] for item in body(RESPONSES.ask("hi", functions=tools, tool_choice=choice))["output"]] == [
            "clock"
        ]
    silenced: list[tuple[Dialect, dict[str, Any]]] = [
        (MESSAGES, {"tool_choice": {"type": "none"}}),
        (CHAT, {"tool_choice": "none"}),
        (GEMINI, {"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}),
    ]
    for dialect, extra in silenced:
        assert names(body(dialect.ask("call clock", functions=tools, **extra))) == []
    one = MESSAGES.ask(
        "call weather and clock", functions=tools, tool_choice={"type": "auto", "disable_parallel_tool_use": True}
    )
    assert names(body(one)) == ["weather"]
    assert names(body(MESSAGES.ask("hi", functions=tools, tool_choice={"type": "any"}))) == ["weather"]


def test_built_in_client_tools() -> None:
    tools = [{"type": "bash_20250124", "name": "bash"}, {"type": "web_search_20250305", "name": "web_search"}]
    block = body(MESSAGES.ask("call web_search and bash", tools=tools))["content"]
    assert [(call["name"], call["input"]) for call in block] == [("bash", {"command": "echo demo"})]


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = post("/v1/messages", gzip.compress(b"{}"), content_encoding="gzip")
    assert packed.status == 415
    monkeypatch.setattr(core, "MAX_BODY", 10)
    refused = post("/v1/messages", {"model": "a" * 20})
    assert refused.status == 413
    assert body(refused)["error"]["type"] == "request_too_large"
    assert body(too_large("POST", "/v1/messages", []))["error"]["type"] == "request_too_large"
    assert body(too_large("POST", "/v1beta/models/m:generateContent", []))["error"]["code"] == 413


def test_counts_agree_with_usage() -> None:
    tools = ("weather",)
    path, sent = MESSAGES.request("one two three", functions=tools)
    counted = body(
        post("/v1/messages/count_tokens", {name: value for name, value in sent.items() if name != "max_tokens"})
    )
    assert counted["input_tokens"] == body(post(path, sent))["usage"]["input_tokens"]
    path, sent = GEMINI.request("one two three", functions=tools)
    inner = {"generateContentRequest": {"model": "models/m", **sent}}
    assert (
        body(post("/v1beta/models/m:countTokens", inner))["totalTokens"]
        == body(post(path, sent))["usageMetadata"]["promptTokenCount"]
    )
    path, sent = RESPONSES.request("one two three", functions=tools)
    assert (
        body(post("/v1/responses/input_tokens", sent))["input_tokens"]
        == body(post(path, sent))["usage"]["input_tokens"]
    )


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 3),
        st.text(max_size=8),
        st.sampled_from(["user", "tool", "function", "demo", "text", "required"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "content",
                    "type",
                    "text",
                    "name",
                    "parts",
                    "function",
                    "parameters",
                    "input_schema",
                    "id",
                    "tool_calls",
                    "call_id",
                    "schema",
                    "functionDeclarations",
                    "tools",
                    "json_schema",
                    "enum",
                    "required",
                    "properties",
                    "items",
                    "$ref",
                    "output",
                    "format",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=10,
)
MEMBERS = [
    "model",
    "messages",
    "input",
    "contents",
    "prompt",
    "tools",
    "tool_choice",
    "thinking",
    "stream",
    "max_tokens",
    "n",
    "size",
    "stop",
    "response_format",
    "text",
    "reasoning",
    "generationConfig",
    "toolConfig",
    "dimensions",
    "encoding_format",
    "requests",
    "content",
    "image",
    "include",
    "metadata",
    "instructions",
    "system",
    "output_config",
    "stream_options",
    "partial_images",
    "reasoning_effort",
]


@given(
    st.sampled_from(PATHS),
    st.sampled_from(["call demo and demo", "hi", "use a tool", "demo-cut", "demo-fail-500"]),
    st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=5),
)
def test_no_body_raises(path: str, text: str, change: dict[str, Any]) -> None:
    sent = {
        "model": "demo",
        "max_tokens": 99,
        "messages": [user(text)],
        "input": text,
        "prompt": text,
        "contents": [{"parts": [{"text": text}]}],
        **change,
    }
    answer = post(path, sent, content_type="application/json")
    assert answer.status in (200, 400, 500)
    if answer.status == 400:
        assert json.loads(raw(answer))["error"]["message"]


@given(st.text(max_size=40), st.sampled_from(["GET", "POST", "HEAD", "DELETE"]), st.binary(max_size=40))
def test_no_target_raises(target: str, method: str, sent: bytes) -> None:
    assert respond(method, "/" + target, [], sent).status < 600
