"""Cache breakpoints: `cache_control` as Anthropic and the vendors of Chat that follow it spell it.

Law: `{"type": "ephemeral"}`, with or without a `ttl`, is a breakpoint, which is neutral; anything else under this name
is a field like any other, and stays where it is. A breakpoint is the client's alone: answers have none.

Sources: https://platform.claude.com/docs/en/build-with-claude/prompt-caching,
https://openrouter.ai/docs/guides/best-practices/prompt-caching,
https://www.alibabacloud.com/help/en/model-studio/context-cache
"""

from __future__ import annotations

from collections.abc import Iterator

from ccx.protocols.ir import (
    CacheBreakpoint,
    JsonObject,
    Loss,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

FIELD = "cache_control"

Holder = Text | Media | ToolCall | ToolResult | Tool
"""What a breakpoint may stand on."""


def parted(fields: JsonObject) -> tuple[JsonObject, CacheBreakpoint | None]:
    """The fields without a breakpoint, and the breakpoint among them."""
    match fields.get(FIELD):
        case {"type": "ephemeral", **rest} if not rest:
            found = CacheBreakpoint()
        case {"type": "ephemeral", "ttl": str(ttl), **rest} if not rest:
            found = CacheBreakpoint(ttl)
        case _:
            return fields, None
    return {key: value for key, value in fields.items() if key != FIELD}, found


def written(cache: CacheBreakpoint | None, *, ttl: bool = True) -> JsonObject:
    """The field for a breakpoint, if there is one. `ttl`: whether it may say for how long."""
    if cache is None:
        return {}
    return {FIELD: {"type": "ephemeral", "ttl": cache.ttl} if ttl and cache.ttl is not None else {"type": "ephemeral"}}


def breakpoints(request: Request) -> Iterator[tuple[str, Holder, CacheBreakpoint]]:
    """The breakpoints of a request: their paths, what they stand on, and they."""
    for at, tool in enumerate(request.tools):
        if isinstance(tool, Tool) and tool.cache is not None:
            yield f"tools[{at}]", tool, tool.cache
    for at, message in enumerate(request.messages):
        for index, part in enumerate(message.parts):
            if isinstance(part, Reasoning | Refusal | Opaque):
                continue
            if part.cache is not None:
                yield f"messages[{at}].parts[{index}]", part, part.cache
            if isinstance(part, ToolResult):
                for inner, one in enumerate(part.content):
                    if not isinstance(one, Opaque) and one.cache is not None:
                        yield f"messages[{at}].parts[{index}].content[{inner}]", one, one.cache


def lost(request: Request) -> Iterator[Loss]:
    """A loss for each breakpoint, for protocols that know none."""
    return (Loss(f"{path}.cache", FIELD) for path, _, _ in breakpoints(request))
