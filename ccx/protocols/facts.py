"""What routing may know of a request's body, each fact read only when a rule asks for it.

Law: a fact describes what the client asked for, by documented fields only; text that merely mentions them never
counts. A malformed field is not a fact and not an error here: it is the upstream's to refuse. Nothing is decoded
that the fact does not need.

Sources
- Messages: https://docs.anthropic.com/en/api/messages, tool types
  https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview, thinking
  https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking
- Chat: https://platform.openai.com/docs/api-reference/chat/create; vendors' additions: OpenRouter
  https://openrouter.ai/docs/use-cases/reasoning-tokens, DeepSeek https://api-docs.deepseek.com/guides/thinking_mode,
  Qwen https://help.aliyun.com/zh/model-studio/deep-thinking, xAI https://docs.x.ai/docs/guides/live-search,
  Kimi https://platform.moonshot.ai/docs/guide/use-web-search
- Responses: https://platform.openai.com/docs/api-reference/responses/create
- Gemini: https://ai.google.dev/api/caching#Tool, https://ai.google.dev/gemini-api/docs/thinking
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import assert_never

import msgspec

from ccx.protocols.body import Body
from ccx.protocols.multipart import Form
from ccx.protocols.names import Operation, Protocol

_Tool = dict[str, msgspec.Raw]
_tools = msgspec.json.Decoder(list[_Tool]).decode
_tool = msgspec.json.Decoder(_Tool).decode
_text = msgspec.json.Decoder(str).decode

# A tool of these types is the client's own; every other type is one that the upstream must know.
_OWN_TOOLS = frozenset({"function", "custom", "namespace", "additional_tools"})
_DATE = re.compile(r"(?:_preview)?(?:_\d{8}|_\d{4}_\d{2}_\d{2})?$")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
# One name for what different providers, or different times, call differently.
_SYNONYMS = {
    "computer": "computer_use",
    "code_interpreter": "code_execution",
    "google_search": "web_search",
    "google_search_retrieval": "web_search",
    "enterprise_web_search": "web_search",
    "browser_search": "web_search",
    "live_search": "web_search",
    "mcp_toolset": "mcp",
    "mcp_servers": "mcp",
    "tool_search_tool_bm25": "tool_search",
    "tool_search_tool_regex": "tool_search",
    "str_replace_editor": "text_editor",
}


def has_tools(protocol: Protocol, body: Body | Form) -> bool:
    """Whether any tool is declared: the client's own, or one the upstream runs."""
    if isinstance(body, Form):
        return False
    match protocol:
        case Protocol.MESSAGES:
            return _is_filled(body, "tools") or _is_filled(body, "mcp_servers")
        case Protocol.CHAT:
            return _is_filled(body, "tools") or _is_filled(body, "functions") or any(_chat_options(body))
        case Protocol.RESPONSES:
            return _is_filled(body, "tools") or any(True for _ in _additional_tools(body))
        case Protocol.GEMINI:
            return any(_gemini_tools(body))
        case Protocol.IMAGES | Protocol.EMBEDDINGS:
            return False
    assert_never(protocol)


def server_tools(protocol: Protocol, body: Body | Form) -> frozenset[str]:
    """The declared tools that the upstream must know by their type, under one name whatever the provider calls them:
    web_search, web_fetch, url_context, code_execution, computer_use, file_search, image_generation, mcp, bash,
    text_editor, memory, tool_search, shell and so on. Versions and dates are taken off."""
    if isinstance(body, Form):
        return frozenset()
    match protocol:
        case Protocol.MESSAGES:
            mcp = ("mcp_servers",) if _is_filled(body, "mcp_servers") else ()
            names: Iterable[str] = (*_types(_declared(body)), *mcp)
        case Protocol.CHAT:
            names = (*_types(_declared(body)), *_chat_options(body))
        case Protocol.RESPONSES:
            names = (*_types(_declared(body)), *_types(_additional_tools(body)))
        case Protocol.GEMINI:
            names = (name for name in _gemini_tools(body) if name != "function_declarations")
        case Protocol.IMAGES | Protocol.EMBEDDINGS:
            names = ()
        case _:
            assert_never(protocol)
    return frozenset(_normal(name) for name in names if name not in _OWN_TOOLS)


def thinking_enabled(protocol: Protocol, body: Body | Form) -> bool:
    """Whether the request turns reasoning on; that a field is present is not enough."""
    if isinstance(body, Form):
        return False
    match protocol:
        case Protocol.MESSAGES:
            return _thinking_type(body)
        case Protocol.CHAT:
            return (
                _is_effort(_small(body, "reasoning_effort"))
                or _is_reasoning(_small(body, "reasoning"))
                or _thinking_type(body)
                or _small(body, "enable_thinking") is True
            )
        case Protocol.RESPONSES:
            reasoning = _small(body, "reasoning")
            return isinstance(reasoning, dict) and _is_effort(reasoning.get("effort"))
        case Protocol.GEMINI:
            config = _either(_gemini(body, "generationConfig", "generation_config"), "thinkingConfig")
            budget, level = _either(config, "thinkingBudget"), _either(config, "thinkingLevel")
            if isinstance(budget, int):
                return budget != 0
            return (isinstance(level, str) and level != "") or _either(config, "includeThoughts") is True
        case Protocol.IMAGES | Protocol.EMBEDDINGS:
            return False
    assert_never(protocol)


def has_images(protocol: Protocol, body: Body | Form, *, operation: Operation = Operation.GENERATE) -> bool:
    """Whether any image is part of the input, those in tool results included."""
    if operation in {Operation.EDIT, Operation.VARIATION}:
        return True
    if isinstance(body, Form):
        return False
    match protocol:
        case Protocol.MESSAGES:
            return _mentions(body.raw, b'"image"') and _in_messages(body)
        case Protocol.CHAT:
            return _mentions(body.raw, b"image") and _in_chat(body)
        case Protocol.RESPONSES:
            return _mentions(body.raw, b"image", b"screenshot") and _in_responses(body)
        case Protocol.GEMINI:
            return _mentions(body.raw, b"image/", b"image\\/") and _in_gemini(body)
        case Protocol.IMAGES | Protocol.EMBEDDINGS:
            return False
    assert_never(protocol)


def _normal(name: str) -> str:
    name = name.rpartition(":")[2].removeprefix("$")
    name = _DATE.sub("", name)
    return _SYNONYMS.get(name, name)


def _is_filled(body: Body, key: str) -> bool:
    """Whether a top-level value is an array or object with something in it."""
    raw = body.top.get(key)
    if raw is None:
        return False
    value = bytes(raw)
    return value[:1] in {b"[", b"{"} and value[1:].lstrip(b" \t\r\n") not in {b"]", b"}"}


def _declared(body: Body) -> Iterator[_Tool]:
    return _listed(body.top.get("tools"))


def _listed(raw: msgspec.Raw | None) -> Iterator[_Tool]:
    """The tools of an array, those within namespaces included. Bodies are at most `MAX_DEPTH` deep, so this ends."""
    pending = [raw]
    while pending:
        value = pending.pop()
        if value is None:
            continue
        try:
            tools = _tools(value)
        except (msgspec.DecodeError, RecursionError):
            continue
        for tool in tools:
            yield tool
            if _type(tool) == "namespace":
                pending.append(tool.get("tools"))


def _additional_tools(body: Body) -> Iterator[_Tool]:
    """Codex declares the tools of newer models as an input item; see the README of openai/codex."""
    if b"additional_tools" not in body.raw:
        return
    for item in _listed(body.top.get("input")):
        if _type(item) == "additional_tools":
            yield from _listed(item.get("tools"))


def _types(tools: Iterable[_Tool]) -> Iterator[str]:
    for tool in tools:
        kind = _type(tool)
        if kind == "builtin_function":
            kind = _builtin(tool)
        if kind is not None:
            yield kind


def _type(tool: _Tool) -> str | None:
    return _string(tool.get("type"))


def _builtin(tool: _Tool) -> str | None:
    try:
        return _string(_tool(tool["function"]).get("name"))
    except (KeyError, msgspec.DecodeError):
        return None


def _string(raw: msgspec.Raw | None) -> str | None:
    try:
        return None if raw is None else _text(raw)
    except msgspec.DecodeError:
        return None


def _chat_options(body: Body) -> Iterator[str]:
    """Tools that Chat and its vendors turn on by an option of their own."""
    if isinstance(_small(body, "web_search_options"), dict) or _small(body, "enable_search") is True:
        yield "web_search"
    search = _small(body, "search_parameters")
    if isinstance(search, dict) and search.get("mode") != "off":
        yield "web_search"
    for plugin in _dicts(_small(body, "plugins")):
        if plugin.get("id") == "web":
            yield "web_search"


def _gemini(body: Body, *names: str) -> object:
    """A field in either spelling; countTokens wraps a whole request."""
    for name in names:
        if name in body.top:
            return body.value(name)
    for wrapper in ("generateContentRequest", "generate_content_request"):
        if wrapper in body.top and isinstance(inner := body.value(wrapper), dict):
            return next((inner[name] for name in names if name in inner), None)
    return None


def _gemini_tools(body: Body) -> Iterator[str]:
    """The kinds of tools, in snake case; declarations only if there is one."""
    tools = _gemini(body, "tools")
    for tool in _dicts([tools] if isinstance(tools, dict) else tools):
        for key, value in tool.items():
            name = _HUMP.sub("_", key).lower()
            if value is not None and (value or name not in {"function_declarations", "mcp_servers"}):
                yield name


def _either(found: object, name: str) -> object:
    if not isinstance(found, dict):
        return None
    return found.get(name, found.get(_HUMP.sub("_", name).lower()))


def _small(body: Body, key: str) -> object:
    return body.value(key) if key in body.top else None


def _is_effort(value: object) -> bool:
    return isinstance(value, str) and value not in {"", "none"}


def _is_reasoning(value: object) -> bool:
    """OpenRouter's object: an effort, a budget or a switch, where any may also say no."""
    if not isinstance(value, dict) or value.get("enabled") is False or value.get("effort") == "none":
        return False
    budget = value.get("max_tokens")
    if isinstance(budget, int) and budget == 0:
        return False
    return value.get("enabled") is True or _is_effort(value.get("effort")) or isinstance(budget, int)


def _thinking_type(body: Body) -> bool:
    thinking = _small(body, "thinking")
    return isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")


def _mentions(raw: bytes, *needles: bytes) -> bool:
    # A needle spelled with escapes would hide from the search, and nobody but a test writes one.
    return any(needle in raw for needle in needles) or b"\\u00" in raw


# What a client put into `type` may be unhashable, so it is looked up in tuples, not in sets.
def _dicts(found: object) -> Iterator[dict[str, object]]:
    if isinstance(found, list):
        for item in found:
            if isinstance(item, dict):
                yield item


def _in_messages(body: Body) -> bool:
    pending: list[object] = [message.get("content") for message in _dicts(body.value("messages"))]
    while pending:
        for block in _dicts(pending.pop()):
            match block.get("type"):
                case "image":
                    return True
                case "tool_result":
                    pending.append(block.get("content"))
                case "document":
                    source = block.get("source")
                    pending.append(source.get("content") if isinstance(source, dict) else None)
    return False


def _in_chat(body: Body) -> bool:
    return any(
        part.get("type") in ("image_url", "input_image", "image")
        for message in _dicts(body.value("messages"))
        for part in _dicts(message.get("content"))
    )


def _in_responses(body: Body) -> bool:
    variables = _either(_small(body, "prompt"), "variables")
    if isinstance(variables, dict) and any(
        value.get("type") == "input_image" for value in _dicts(list(variables.values()))
    ):
        return True
    for item in _dicts(body.value("input")):
        if item.get("type") == "image_generation_call" and item.get("result"):
            return True
        for content in (item.get("content"), item.get("output")):
            parts = [content] if isinstance(content, dict) else content
            if any(part.get("type") in ("input_image", "computer_screenshot") for part in _dicts(parts)):
                return True
    return False


def _in_gemini(body: Body) -> bool:
    contents = [_gemini(body, "contents"), _gemini(body, "content"), _gemini(body, "systemInstruction")]
    contents += [request.get("content") for request in _dicts(_gemini(body, "requests"))]
    pending: list[object] = []
    for content in contents:
        pending += [entry.get("parts") for entry in _dicts([content] if isinstance(content, dict) else content)]
    while pending:
        parts = pending.pop()
        for part in _dicts([parts] if isinstance(parts, dict) else parts):
            for name in ("inlineData", "fileData"):
                mime = _either(_either(part, name), "mimeType")
                if isinstance(mime, str) and mime.lower().startswith("image/"):
                    return True
            pending.append(_either(_either(part, "functionResponse"), "parts"))
    return False
