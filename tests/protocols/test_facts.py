from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.protocols.body import Body, open_body
from ccx.protocols.facts import has_images, has_tools, server_tools, thinking_enabled
from ccx.protocols.multipart import open_form
from ccx.protocols.names import Operation, Protocol

M, C, R, G = Protocol.MESSAGES, Protocol.CHAT, Protocol.RESPONSES, Protocol.GEMINI


def body(value: object) -> Body:
    return open_body(json.dumps(value).encode())


FUNCTION = {"type": "function", "function": {"name": "web_search"}}
CODEX = {
    "input": [
        {"type": "message"},
        {
            "type": "additional_tools",
            "role": "developer",
            "tools": [
                {
                    "type": "namespace",
                    "name": "functions",
                    "tools": [{"type": "custom", "name": "exec"}, {"type": "web_search"}],
                }
            ],
        },
    ]
}


@pytest.mark.parametrize(
    ("protocol", "value", "tools", "server"),
    [
        (M, {}, False, set()),
        (M, {"tools": []}, False, set()),
        (M, {"tools": None}, False, set()),
        (M, {"tools": [{"name": "web_search", "input_schema": {"type": "web_fetch_20250910"}}]}, True, set()),
        (M, {"tools": [{"type": "custom", "name": "x"}]}, True, set()),
        (
            M,
            {"tools": [{"type": "web_search_20250305"}, {"type": "web_fetch_20260209"}]},
            True,
            {"web_search", "web_fetch"},
        ),
        (
            M,
            {"tools": [{"type": "code_execution_20260120"}, {"type": "computer_20251124"}]},
            True,
            {"code_execution", "computer_use"},
        ),
        (
            M,
            {"tools": [{"type": "tool_search_tool_bm25_20251119"}, {"type": "bash_20250124"}]},
            True,
            {"tool_search", "bash"},
        ),
        (M, {"tools": [{"type": "mcp_toolset"}]}, True, {"mcp"}),
        (M, {"mcp_servers": [{"url": "x"}]}, True, {"mcp"}),
        (M, {"tools": "nonsense"}, False, set()),
        (M, {"tools": [1, {"type": 2}]}, True, set()),
        (C, {"tools": [FUNCTION]}, True, set()),
        (C, {"functions": [{"name": "f"}]}, True, set()),
        (C, {"tools": [{"type": "custom", "custom": {}}]}, True, set()),
        (C, {"web_search_options": {}}, True, {"web_search"}),
        (C, {"tools": [{"type": "openrouter:web_search"}]}, True, {"web_search"}),
        (C, {"tools": [{"type": "builtin_function", "function": {"name": "$web_search"}}]}, True, {"web_search"}),
        (C, {"tools": [{"type": "builtin_function"}]}, True, set()),
        (C, {"tools": [{"type": "builtin_function", "function": 1}]}, True, set()),
        (C, {"search_parameters": {"mode": "off"}}, False, set()),
        (C, {"search_parameters": {"mode": "auto"}}, True, {"web_search"}),
        (C, {"plugins": [{"id": "web"}, {"id": "file-parser"}]}, True, {"web_search"}),
        (C, {"enable_search": True}, True, {"web_search"}),
        (C, {"messages": [{"content": "web_search_options tools"}]}, False, set()),
        (R, {"tools": [{"type": "function"}, {"type": "web_search_preview_2025_03_11"}]}, True, {"web_search"}),
        (
            R,
            {"tools": [{"type": "web_search_2025_08_26"}, {"type": "file_search"}]},
            True,
            {"web_search", "file_search"},
        ),
        (
            R,
            {"tools": [{"type": "computer_use_preview"}, {"type": "code_interpreter"}]},
            True,
            {"computer_use", "code_execution"},
        ),
        (
            R,
            {"tools": [{"type": "image_generation"}, {"type": "mcp"}, {"type": "local_shell"}]},
            True,
            {"image_generation", "mcp", "local_shell"},
        ),
        (
            R,
            {"tools": [{"type": "namespace", "tools": [{"type": "namespace", "tools": [{"type": "mcp"}]}]}]},
            True,
            {"mcp"},
        ),
        (R, {"tools": [{"type": "namespace", "tools": 3}]}, True, set()),
        (R, CODEX, True, {"web_search"}),
        (R, {"input": "additional_tools"}, False, set()),
        (R, {"input": [{"type": "message", "content": "additional_tools"}]}, False, set()),
        (G, {"tools": [{"functionDeclarations": [{"name": "f"}]}]}, True, set()),
        (G, {"tools": [{"functionDeclarations": []}]}, False, set()),
        (G, {"tools": [{"googleSearch": {}}, {"urlContext": {}}]}, True, {"web_search", "url_context"}),
        (G, {"tools": [{"google_search_retrieval": {}, "code_execution": {}}]}, True, {"web_search", "code_execution"}),
        (
            G,
            {"tools": {"computerUse": {}, "fileSearch": {}, "googleMaps": {}}},
            True,
            {"computer_use", "file_search", "google_maps"},
        ),
        (G, {"generateContentRequest": {"tools": [{"codeExecution": {}}]}}, True, {"code_execution"}),
        (G, {"tools": [{"googleSearch": None}]}, False, set()),
        (Protocol.IMAGES, {"tools": [FUNCTION]}, False, set()),
        (Protocol.EMBEDDINGS, {"tools": [FUNCTION]}, False, set()),
    ],
)
def test_tools(protocol: Protocol, value: object, tools: bool, server: set[str]) -> None:
    assert has_tools(protocol, body(value)) is tools
    assert server_tools(protocol, body(value)) == server


@pytest.mark.parametrize(
    ("protocol", "value", "expected"),
    [
        (M, {}, False),
        (M, {"thinking": {"type": "enabled", "budget_tokens": 1024}}, True),
        (M, {"thinking": {"type": "adaptive"}}, True),
        (M, {"thinking": {"type": "disabled"}}, False),
        (M, {"thinking": True}, False),
        (M, {"thinking": {"type": ["enabled"]}}, False),
        (C, {"reasoning_effort": "low"}, True),
        (C, {"reasoning_effort": "none"}, False),
        (C, {"reasoning_effort": None}, False),
        (C, {"reasoning": {"effort": "high"}}, True),
        (C, {"reasoning": {"max_tokens": 2000}}, True),
        (C, {"reasoning": {"max_tokens": 0}}, False),
        (C, {"reasoning": {"enabled": True}}, True),
        (C, {"reasoning": {"enabled": False, "effort": "high"}}, False),
        (C, {"reasoning": {"effort": "none"}}, False),
        (C, {"reasoning": {"exclude": True}}, False),
        (C, {"reasoning": {}}, False),
        (C, {"thinking": {"type": "enabled"}}, True),
        (C, {"enable_thinking": True}, True),
        (C, {"enable_thinking": False}, False),
        (R, {"reasoning": {"effort": "medium"}}, True),
        (R, {"reasoning": {"effort": "none"}}, False),
        (R, {"reasoning": {"summary": "auto"}}, False),
        (R, {"reasoning": None}, False),
        (G, {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0, "includeThoughts": True}}}, False),
        (G, {"generationConfig": {"thinkingConfig": {"thinkingBudget": -1}}}, True),
        (G, {"generationConfig": {"thinkingConfig": {"thinkingLevel": "low"}}}, True),
        (G, {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}, True),
        (G, {"generation_config": {"thinking_config": {"thinking_budget": 512}}}, True),
        (G, {"generationConfig": {"thinkingConfig": {}}}, False),
        (G, {"generationConfig": 5}, False),
        (Protocol.IMAGES, {"reasoning_effort": "high"}, False),
        (Protocol.EMBEDDINGS, {"thinking": {"type": "enabled"}}, False),
    ],
)
def test_thinking(protocol: Protocol, value: object, expected: bool) -> None:
    assert thinking_enabled(protocol, body(value)) is expected


IMAGE = {"type": "image", "source": {"type": "base64", "data": "aGk="}}


def said(content: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": "an image"}, {"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("protocol", "value", "expected"),
    [
        (M, said("image"), False),
        (M, said([{"type": "text", "text": '"image"'}]), False),
        (M, said([IMAGE]), True),
        (M, said([{"type": "tool_result", "content": [{"type": "text"}, IMAGE]}]), True),
        (M, said([{"type": "tool_result", "content": "x"}]), False),
        (M, said([{"type": "tool_use", "input": {"content": [IMAGE], "type": "image"}}]), False),
        (M, said([{"type": "document", "source": {"type": "content", "content": [IMAGE]}}]), True),
        (M, said([{"type": "document", "source": "image", "title": "image"}]), False),
        (M, {"messages": "image", "x": "image"}, False),
        (C, said([{"type": "image_url", "image_url": {"url": "https://x"}}]), True),
        (C, said([{"type": "text", "text": "image_url"}]), False),
        (C, {"messages": [{"role": "tool", "content": [{"type": "image_url"}]}]}, True),
        (R, {"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, True),
        (R, {"input": [{"type": "function_call_output", "output": [{"type": "input_image"}]}]}, True),
        (R, {"input": [{"type": "computer_call_output", "output": {"type": "computer_screenshot"}}]}, True),
        (R, {"input": [{"type": "image_generation_call", "result": "aGk="}]}, True),
        (R, {"input": [{"type": "image_generation_call", "result": None}]}, False),
        (R, {"input": "input_image"}, False),
        (R, {"prompt": {"id": "p", "variables": {"a": "x", "b": {"type": "input_image"}}}}, True),
        (R, {"prompt": {"id": "input_image", "variables": {"b": {"type": "input_file"}}}}, False),
        (R, {"input": [{"content": [{"type": ["input_image"]}]}]}, False),
        (C, {"messages": [{"content": [{"type": {"image": 1}}]}]}, False),
        (R, {"tools": [{"type": "image_generation"}], "input": []}, False),
        (G, {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png"}}]}]}, True),
        (G, {"contents": {"parts": {"inline_data": {"mime_type": "IMAGE/PNG"}}}, "x": "image/"}, True),
        (G, {"contents": [{"parts": [{"fileData": {"mimeType": "image/jpeg"}}]}]}, True),
        (G, {"contents": [{"parts": [{"fileData": {"mimeType": "application/pdf"}}, {"text": "image/"}]}]}, False),
        (
            G,
            {"contents": [{"parts": [{"functionResponse": {"parts": [{"inlineData": {"mimeType": "image/png"}}]}}]}]},
            True,
        ),
        (G, {"requests": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png"}}]}}]}, True),
        (G, {"systemInstruction": {"parts": [{"text": "image/"}]}}, False),
        (Protocol.IMAGES, {"prompt": 'an image/ "image"'}, False),
        (Protocol.EMBEDDINGS, {"input": "image"}, False),
    ],
)
def test_images(protocol: Protocol, value: object, expected: bool) -> None:
    assert has_images(protocol, body(value)) is expected


def test_an_escaped_spelling_does_not_hide_an_image() -> None:
    raw = b'{"messages":[{"content":[{"type":"im\\u0061ge"}]}]}'
    assert has_images(M, open_body(raw))


def test_forms() -> None:
    form = open_form(
        b'--X\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--X--', "multipart/form-data; boundary=X"
    )
    assert has_images(Protocol.IMAGES, form, operation=Operation.EDIT)
    assert has_images(Protocol.IMAGES, form, operation=Operation.VARIATION)
    assert not has_images(Protocol.IMAGES, form)
    assert not has_tools(Protocol.IMAGES, form)
    assert not thinking_enabled(Protocol.IMAGES, form)
    assert server_tools(Protocol.IMAGES, form) == frozenset()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["image", "enabled", "mcp", "additional_tools"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "content", "tools", "parts", "inlineData", "output", "source", "function", "contents"]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "messages",
                "tools",
                "input",
                "contents",
                "thinking",
                "reasoning",
                "generationConfig",
                "requests",
                "plugins",
                "generateContentRequest",
            ]
        ),
        JSON,
    ),
    st.sampled_from(list(Protocol)),
)
def test_malformed_fields_are_no_facts_and_no_errors(value: dict[str, object], protocol: Protocol) -> None:
    opened = body({**value, "x": "image image/ \u00e9"})
    assert isinstance(has_tools(protocol, opened), bool)
    assert isinstance(has_images(protocol, opened), bool)
    assert isinstance(thinking_enabled(protocol, opened), bool)
    assert all(isinstance(name, str) for name in server_tools(protocol, opened))
