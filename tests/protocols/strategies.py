"""Hypothesis strategies for values of the neutral form, shared by the tests of the codecs."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from hypothesis import strategies as st

from ccx.protocols import ir
from ccx.protocols.names import Protocol

PROTOCOLS = (Protocol.MESSAGES, Protocol.CHAT, Protocol.RESPONSES, Protocol.GEMINI)

words = st.text(st.characters(codec="utf-8"), max_size=30)
names = st.text("abcXYZ019_-", min_size=1, max_size=12)
wild_names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
urls = names.map(lambda name: f"https://example.com/{name}")
base64s = st.binary(max_size=12).map(lambda data: base64.b64encode(data).decode())

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | words
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
json_objects = st.dictionaries(words, json_values, max_size=3)
arguments = json_objects.map(lambda value: msgspec.json.encode(value).decode())


def natives(
    protocol: Protocol, *, issuers: tuple[str | None, ...] = (None,), keys: tuple[str, ...] = ("x_hint", "x_note")
) -> st.SearchStrategy[tuple[ir.Native, ...]]:
    """No residue, or one piece of a protocol's."""
    data = st.dictionaries(st.sampled_from(keys), json_values.filter(lambda value: value is not None), min_size=1)
    one = st.builds(ir.Native, st.just(protocol), st.sampled_from(issuers), data)
    return st.just(()) | one.map(lambda native: (native,))


def anyones(keys: tuple[str, ...] = ("x_hint", "signature")) -> st.SearchStrategy[tuple[ir.Native, ...]]:
    """Residue of any protocols and issuers, at most two pieces."""
    pieces = st.sampled_from(PROTOCOLS).flatmap(lambda one: natives(one, issuers=(None, "anthropic", "x"), keys=keys))
    return st.lists(pieces, max_size=2).map(lambda found: tuple(one for piece in found for one in piece))


citations = st.builds(ir.Citation, url=st.none() | urls, title=st.none() | words, quote=st.none() | words.filter(bool))
sources: st.SearchStrategy[Any] = (
    st.builds(ir.Inline, base64s, st.sampled_from(["image/png", "application/pdf", "text/plain", "text/csv", "a/b"]))
    | st.builds(ir.Remote, urls)
    | st.builds(ir.FileRef, names)
)


def texts(residue: st.SearchStrategy[tuple[ir.Native, ...]]) -> st.SearchStrategy[ir.Text]:
    return st.builds(ir.Text, words, st.lists(citations, max_size=1).map(tuple), residue)


def media(residue: st.SearchStrategy[tuple[ir.Native, ...]]) -> st.SearchStrategy[ir.Media]:
    kinds = st.sampled_from(["image", "document", "audio", "video"])
    return st.builds(ir.Media, kinds, sources, st.none() | words, st.sampled_from([None, "low"]), residue)


def calls(residue: st.SearchStrategy[tuple[ir.Native, ...]], ids: Any = wild_names) -> st.SearchStrategy[ir.ToolCall]:
    functions = st.builds(
        ir.ToolCall,
        ids,
        wild_names,
        arguments | words,
        namespace=st.none() | names,
        server=st.booleans(),
        native=residue,
    )
    return functions | st.builds(ir.ToolCall, ids, names, words, st.just("custom"), native=residue)


def results(
    residue: st.SearchStrategy[tuple[ir.Native, ...]], ids: Any = wild_names
) -> st.SearchStrategy[ir.ToolResult]:
    content = st.lists(texts(residue) | media(residue) | opaques, max_size=2).map(tuple)
    return st.builds(ir.ToolResult, ids, content, is_error=st.booleans(), server=st.booleans(), native=residue)


opaques = st.builds(
    lambda protocol, kind, data: ir.Opaque(kind, ir.Native(protocol, None, {"type": kind, **data})),
    st.sampled_from(PROTOCOLS),
    st.sampled_from(["compaction", "container_upload", "computer_call"]),
    st.dictionaries(st.just("x"), words),
)


def parts(residue: st.SearchStrategy[tuple[ir.Native, ...]], ids: Any = wild_names) -> st.SearchStrategy[ir.Part]:
    """Parts of every kind."""
    return (
        texts(residue)
        | st.builds(ir.Reasoning, words, st.booleans(), residue)
        | calls(residue, ids)
        | results(residue, ids)
        | media(residue)
        | st.builds(ir.Refusal, words, residue)
        | opaques
    )


def tools(residue: st.SearchStrategy[tuple[ir.Native, ...]]) -> st.SearchStrategy[Any]:
    return st.builds(
        ir.Tool,
        wild_names,
        st.none() | words,
        st.none() | st.just({"type": "object", "properties": {}}) | st.just({"anyOf": [{"type": "string"}]}),
        st.sampled_from([None, True, False]),
        st.sampled_from(["function", "custom"]),
        st.none() | st.just(("lark", "start: /x/")),
        st.none() | names,
        residue,
    ) | st.builds(
        ir.ServerTool,
        st.just("web_search"),
        st.sampled_from(PROTOCOLS).map(
            lambda protocol: ir.Native(protocol, None, {"type": "web_search_20250305", "name": "web_search"})
        ),
    )


@st.composite
def requests(draw: st.DrawFn) -> ir.Request:
    """A request that no codec would have made: parts of every kind in turns of every role, in any order."""
    residue = anyones()
    ids = st.sampled_from(["a", "b", "call:1"])
    message = st.builds(
        ir.Message,
        st.sampled_from(["system", "user", "assistant"]),
        st.lists(parts(residue, ids), max_size=4).map(tuple),
        natives(Protocol.CHAT, keys=("name", "role")),
    )
    offered = draw(st.lists(tools(residue), max_size=3))
    wanted = tuple(tool.name for tool in offered)
    choices = [None, ir.ToolChoice("auto"), ir.ToolChoice("none"), ir.ToolChoice("required")]
    if wanted:
        choices += [ir.ToolChoice("named", wanted[:1]), ir.ToolChoice("named", wanted)]
    level = st.sampled_from([None, "none", "minimal", "low", "medium", "high", "xhigh", "max"])
    maybe = st.sampled_from([None, True, False])
    return ir.Request(
        model="client-model",
        messages=tuple(draw(st.lists(message, max_size=6))),
        tools=tuple(offered),
        tool_choice=draw(st.sampled_from(choices)),
        parallel_tool_calls=draw(maybe),
        max_output_tokens=draw(st.sampled_from([None, 1, 1024, 4096, 200_000])),
        sampling=draw(
            st.builds(
                ir.Sampling,
                temperature=st.sampled_from([None, 0.0, 1.0, 1.7]),
                top_p=st.sampled_from([None, 0.3, 0.99]),
                top_k=st.sampled_from([None, 5]),
                seed=st.sampled_from([None, 0]),
                stop=st.sampled_from([(), ("END", " ")]),
            )
        ),
        thinking=draw(
            st.builds(
                ir.Thinking,
                maybe,
                level,
                st.sampled_from([None, 0, 512, 5000, 100_000]),
                adaptive=st.booleans(),
                summary=maybe,
            )
        ),
        output=draw(
            st.sampled_from(
                [
                    None,
                    ir.OutputFormat("json"),
                    ir.OutputFormat("json_schema", {"type": "object", "properties": {}}, "n"),
                ]
            )
        ),
        stream=draw(st.booleans()),
        service_tier=draw(st.sampled_from([None, "auto", "priority", "flex"])),
        user=draw(st.none() | words),
        native=draw(natives(Protocol.RESPONSES, keys=("store", "include"))),
    )


finishes = st.builds(
    ir.Finish,
    st.sampled_from(["stop", "length", "tool_calls", "content_filter", "refusal", "pause", "context_window", "other"]),
)


def responses(residue: st.SearchStrategy[tuple[ir.Native, ...]]) -> st.SearchStrategy[ir.Response]:
    """Answers with parts of every kind that a model speaks."""
    spoken = (
        texts(residue)
        | st.builds(ir.Reasoning, words, st.just(False), residue)
        | calls(residue)
        | media(residue)
        | st.builds(ir.Refusal, words, residue)
        | opaques
    )
    return st.builds(
        ir.Response,
        names.map(lambda name: f"msg_{name}"),
        st.just("model"),
        st.lists(spoken, max_size=4).map(tuple),
        finishes,
        st.builds(ir.Usage, st.integers(0, 9), st.integers(0, 9)),
    )
