"""Features of what is said and of tools, each with the smallest request of every protocol that has it.

Sources:
https://platform.claude.com/docs/en/api/messages, https://platform.openai.com/docs/api-reference/chat/create,
https://platform.openai.com/docs/api-reference/responses/create, https://ai.google.dev/api/generate-content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ccx.protocols.features.plain import PDF, PNG, SCHEMA, URL, WAV, C, G, M, R, Row, asked
from ccx.protocols.ir import Json, JsonObject
from ccx.protocols.names import Protocol

_TIME: Final[JsonObject] = {"type": "object", "properties": {}, "additionalProperties": False}
_ABOUT: Final = "The weather in a city."


def _said(parts: Mapping[Protocol, JsonObject]) -> dict[Protocol, JsonObject]:
    """A user's message that consists of a question and one part more."""
    found: dict[Protocol, JsonObject] = {}
    for protocol, part in parts.items():
        match protocol:
            case Protocol.MESSAGES | Protocol.CHAT:
                said: list[Json] = [{"type": "text", "text": "What is this?"}, part]
                found[protocol] = {"messages": [{"role": "user", "content": said}]}
            case Protocol.RESPONSES:
                said = [{"type": "input_text", "text": "What is this?"}, part]
                found[protocol] = {"input": [{"role": "user", "content": said}]}
            case _:
                found[protocol] = {"contents": [{"role": "user", "parts": [{"text": "What is this?"}, part]}]}
    return found


def _tools(**more: Mapping[Protocol, JsonObject]) -> dict[Protocol, JsonObject]:
    """Three tools, and what a request says more about them."""
    weather: JsonObject = {"name": "weather", "description": _ABOUT}
    time: JsonObject = {"name": "time", "description": "The time."}
    place: JsonObject = {"name": "place", "description": "Where the user is."}
    loose: JsonObject = {"strict": False}
    found: dict[Protocol, JsonObject] = {
        M: {
            "tools": [
                {**weather, "input_schema": SCHEMA},
                {**time, "input_schema": _TIME},
                {**place, "input_schema": _TIME},
            ]
        },
        C: {
            "tools": [
                {"type": "function", "function": {**weather, "parameters": SCHEMA}},
                {"type": "function", "function": {**time, "parameters": _TIME}},
                {"type": "function", "function": {**place, "parameters": _TIME}},
            ]
        },
        R: {
            "tools": [
                {"type": "function", **weather, "parameters": SCHEMA, **loose},
                {"type": "function", **time, "parameters": _TIME, **loose},
                {"type": "function", **place, "parameters": _TIME, **loose},
            ]
        },
        G: {
            "tools": [
                {
                    "functionDeclarations": [
                        {**weather, "parametersJsonSchema": SCHEMA},
                        {**time, "parametersJsonSchema": _TIME},
                        {**place, "parametersJsonSchema": _TIME},
                    ]
                }
            ]
        },
    }
    wanted = more.get("also")
    return found if wanted is None else {p: {**found[p], **fields} for p, fields in wanted.items()}


def _result(results: Mapping[Protocol, JsonObject]) -> dict[Protocol, JsonObject]:
    """A conversation in which a tool was called and gave this."""
    offered = _tools()
    turns: dict[Protocol, JsonObject] = {}
    for protocol, result in results.items():
        match protocol:
            case Protocol.MESSAGES:
                call: JsonObject = {"type": "tool_use", "id": "toolu_01", "name": "weather", "input": {"city": "Bern"}}
                last: JsonObject = {"type": "tool_result", "tool_use_id": "toolu_01", **result}
                messages: list[Json] = [
                    {"role": "user", "content": "Hello"},
                    {"role": "assistant", "content": [call]},
                    {"role": "user", "content": [last]},
                ]
                turns[protocol] = {"messages": messages}
            case Protocol.CHAT:
                call = {
                    "id": "call_01",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Bern"}'},
                }
                messages = [
                    {"role": "user", "content": "Hello"},
                    {"role": "assistant", "content": None, "tool_calls": [call]},
                    {"role": "tool", "tool_call_id": "call_01", **result},
                ]
                turns[protocol] = {"messages": messages}
            case Protocol.RESPONSES:
                call = {
                    "type": "function_call",
                    "call_id": "call_01",
                    "name": "weather",
                    "arguments": '{"city":"Bern"}',
                }
                last = {"type": "function_call_output", "call_id": "call_01", **result}
                turns[protocol] = {"input": [{"role": "user", "content": "Hello"}, call, last]}
            case _:
                contents: list[Json] = [
                    {"role": "user", "parts": [{"text": "Hello"}]},
                    {
                        "role": "model",
                        "parts": [{"functionCall": {"id": "call_01", "name": "weather", "args": {"city": "Bern"}}}],
                    },
                    {
                        "role": "user",
                        "parts": [{"functionResponse": {"id": "call_01", "name": "weather", **result}}],
                    },
                ]
                turns[protocol] = {"contents": contents}
    return {p: {**offered[p], **turn} for p, turn in turns.items()}


def _rows() -> Iterator[Row]:
    group = "conversation"
    first, later = "Be brief.", "From now on answer in French."
    yield (
        "system",
        "system prompt",
        group,
        "",
        {
            M: {"system": first},
            C: {"messages": [{"role": "system", "content": first}, {"role": "user", "content": "Hello"}]},
            R: {"instructions": first},
            G: {"systemInstruction": {"parts": [{"text": first}]}},
        },
    )
    talk: list[Json] = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "How are you?"},
        {"role": "system", "content": later},
    ]
    yield (
        "system_later",
        "system message in mid-conversation",
        group,
        "system_position effort",
        {
            M: {"messages": talk},
            C: {"messages": [*talk[:3], {"role": "developer", "content": later}, {"role": "user", "content": "Well?"}]},
            R: {"input": [*talk[:3], {"role": "developer", "content": later}, {"role": "user", "content": "Well?"}]},
        },
    )
    marked: list[Json] = [{"type": "text", "text": first, "cache_control": {"type": "ephemeral"}}]
    yield (
        "cache_control",
        "cache breakpoints",
        group,
        "cache_control",
        {
            M: {"system": marked},
            C: {"messages": [{"role": "system", "content": marked}, {"role": "user", "content": "Hello"}]},
        },
    )

    group = "media"
    data = f"data:image/png;base64,{PNG}"
    yield (
        "image",
        "image, in the message",
        group,
        "image",
        _said(
            {
                M: {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                C: {"type": "image_url", "image_url": {"url": data}},
                R: {"type": "input_image", "image_url": data, "detail": "auto"},
                G: {"inlineData": {"mimeType": "image/png", "data": PNG}},
            }
        ),
    )
    yield (
        "image_url",
        "image, by URL",
        group,
        "image remote_url",
        _said(
            {
                M: {"type": "image", "source": {"type": "url", "url": URL}},
                C: {"type": "image_url", "image_url": {"url": URL}},
                R: {"type": "input_image", "image_url": URL, "detail": "auto"},
                G: {"fileData": {"mimeType": "image/png", "fileUri": URL}},
            }
        ),
    )
    yield (
        "file_id",
        "file uploaded to the provider",
        group,
        "file_id remote_url",
        _said(
            {
                M: {"type": "document", "source": {"type": "file", "file_id": "file_011"}},
                C: {"type": "file", "file": {"file_id": "file-011"}},
                R: {"type": "input_file", "file_id": "file-011"},
                G: {
                    "fileData": {
                        "mimeType": "application/pdf",
                        "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/f011",
                    }
                },
            }
        ),
    )
    pdf = f"data:application/pdf;base64,{PDF}"
    yield (
        "pdf",
        "PDF, in the message",
        group,
        "document",
        _said(
            {
                M: {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
                C: {"type": "file", "file": {"filename": "a.pdf", "file_data": pdf}},
                R: {"type": "input_file", "filename": "a.pdf", "file_data": pdf},
                G: {"inlineData": {"mimeType": "application/pdf", "data": PDF}},
            }
        ),
    )
    yield (
        "audio",
        "audio",
        group,
        "audio",
        _said(
            {
                C: {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
                G: {"inlineData": {"mimeType": "audio/wav", "data": WAV}},
            }
        ),
    )
    yield (
        "video",
        "video",
        group,
        "video remote_url",
        _said({G: {"fileData": {"mimeType": "video/mp4", "fileUri": "https://example.com/a.mp4"}}}),
    )

    group = "tools"
    yield "tools", "functions", group, "", _tools()
    yield (
        "strict",
        "strict functions",
        group,
        "strict",
        {
            M: {"tools": [{"name": "weather", "description": _ABOUT, "input_schema": SCHEMA, "strict": True}]},
            C: {
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "weather",
                            "description": _ABOUT,
                            "parameters": SCHEMA,
                            "strict": True,
                        },
                    }
                ]
            },
            R: {
                "tools": [
                    {
                        "type": "function",
                        "name": "weather",
                        "description": _ABOUT,
                        "parameters": SCHEMA,
                        "strict": True,
                    }
                ]
            },
        },
    )
    yield (
        "choice_required",
        "choice: some tool",
        group,
        "tool_choice",
        _tools(
            also={
                M: {"tool_choice": {"type": "any"}},
                C: {"tool_choice": "required"},
                R: {"tool_choice": "required"},
                G: {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
            }
        ),
    )
    yield (
        "choice_none",
        "choice: no tool",
        group,
        "tool_choice",
        _tools(
            also={
                M: {"tool_choice": {"type": "none"}},
                C: {"tool_choice": "none"},
                R: {"tool_choice": "none"},
                G: {"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}},
            }
        ),
    )
    yield (
        "choice_one",
        "choice: this tool",
        group,
        "tool_choice",
        _tools(
            also={
                M: {"tool_choice": {"type": "tool", "name": "weather"}},
                C: {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
                R: {"tool_choice": {"type": "function", "name": "weather"}},
                G: {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}}},
            }
        ),
    )
    names: list[Json] = [{"type": "function", "name": "weather"}, {"type": "function", "name": "time"}]
    functions: list[Json] = [
        {"type": "function", "function": {"name": "weather"}},
        {"type": "function", "function": {"name": "time"}},
    ]
    yield (
        "choice_some",
        "choice: some of these tools",
        group,
        "tool_choice_subset tool_choice",
        _tools(
            also={
                C: {
                    "tool_choice": {
                        "type": "allowed_tools",
                        "allowed_tools": {"mode": "required", "tools": functions},
                    }
                },
                R: {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": names}},
                G: {
                    "toolConfig": {
                        "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather", "time"]}
                    }
                },
            }
        ),
    )
    yield (
        "one_call",
        "no parallel calls",
        group,
        "parallel_tool_calls",
        _tools(
            also={
                M: {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
                C: {"parallel_tool_calls": False},
                R: {"parallel_tool_calls": False},
            }
        ),
    )
    yield (
        "result",
        "result in text",
        group,
        "tool_result",
        _result(
            {
                M: {"content": "15 degrees"},
                C: {"content": "15 degrees"},
                R: {"output": "15 degrees"},
                G: {"response": {"output": "15 degrees"}},
            }
        ),
    )
    yield (
        "result_image",
        "result with an image",
        group,
        "media_in_tool_result image",
        _result(
            {
                M: {
                    "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}]
                },
                R: {"output": [{"type": "input_image", "image_url": data, "detail": "auto"}]},
                G: {
                    "response": {"output": "the map"},
                    "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}],
                },
            }
        ),
    )
    yield (
        "result_error",
        "result that is an error",
        group,
        "is_error",
        _result({M: {"content": "no such city", "is_error": True}, G: {"response": {"error": "no such city"}}}),
    )
    grammar: JsonObject = {"type": "grammar", "syntax": "regex", "definition": "[0-9+*]+"}
    yield (
        "custom",
        "custom tool, free text",
        group,
        "",
        {
            C: {"tools": [{"type": "custom", "custom": {"name": "patch", "description": "Edits."}}]},
            R: {"tools": [{"type": "custom", "name": "patch", "description": "Edits."}]},
        },
    )
    yield (
        "grammar",
        "custom tool with a grammar",
        group,
        "custom_tool_grammar",
        {
            C: {
                "tools": [
                    {
                        "type": "custom",
                        "custom": {
                            "name": "sum",
                            "format": {
                                "type": "grammar",
                                "grammar": {"syntax": grammar["syntax"], "definition": grammar["definition"]},
                            },
                        },
                    }
                ]
            },
            R: {"tools": [{"type": "custom", "name": "sum", "format": grammar}]},
        },
    )
    yield (
        "namespaces",
        "namespaces of tools",
        group,
        "namespace",
        {
            R: {
                "tools": [
                    {
                        "type": "namespace",
                        "name": "maps",
                        "description": "Maps.",
                        "tools": [{"type": "function", "name": "find", "description": "Finds.", "parameters": SCHEMA}],
                    }
                ]
            }
        },
    )
    yield (
        "web_search",
        "web search by the provider",
        group,
        "server_tool",
        {
            M: {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            C: {"web_search_options": {}},
            R: {"tools": [{"type": "web_search"}]},
            G: {"tools": [{"googleSearch": {}}]},
        },
    )


CONVERSATION: Final = asked(_rows())
