"""What the codecs share: names of tools, stand-ins of custom tools, whole parts as residue, lenient values, media."""

from __future__ import annotations

import re

import pytest

from ccx.protocols import ir
from ccx.protocols.codec import ToolName
from ccx.protocols.custom_tools import call_object, described, stand_in
from ccx.protocols.media_words import missing, plain_text, source, url_of
from ccx.protocols.names import Protocol
from ccx.protocols.tool_names import GivenNames, NameRule, ToolNames
from ccx.protocols.values import integer, rest
from ccx.protocols.whole_parts import note_of, packed, unpacked

RULE = NameRule(re.compile(r"[a-z_][a-z_]{0,19}"), re.compile(r"[^a-z_]"), 20, letter_first=True)


def test_names_known_at_once() -> None:
    tools = (ir.Tool("a.b"), ir.Tool("run", namespace="box"), ir.Tool("a_b"), ir.Tool("x" * 30), ir.Tool("taken"))
    names = ToolNames(ir.Request("m", (), tools), RULE, ["taken_by_them"])
    assert names.upstream(None, "a_b") == "a_b"
    changed = names.upstream(None, "a.b")
    assert re.fullmatch(r"a_b_[0-9a-f]{8}", changed)
    assert names.upstream("box", "run") == names.find("run") == names.find("box__run") == "box__run"
    assert len(names.upstream(None, "x" * 30)) <= 20
    assert names.find("taken_by_them") == "taken_by_them"
    assert names.find("nobody") is None
    assert names.legal("9 lives") == "__lives"
    assert names.back().keys() == {changed, "box__run", names.upstream(None, "x" * 30)}
    assert names.back()[changed] == ToolName("a.b")


@pytest.mark.parametrize(("namespaces", "written"), [(False, "box__run"), (True, "run")])
def test_names_known_one_by_one(namespaces: bool, written: str) -> None:
    names = GivenNames(custom=False, namespaces=namespaces)
    assert names.of("run", "box", "function") == names.of("run", "box", "function") == written
    assert names.of("run", None, "function") == "run"
    assert names.of("patch", None, "custom") == "patch"
    assert names.back["patch"] == ToolName("patch", None, "custom")
    assert ("box__run" in names.back) is not namespaces
    assert names.find("box__run") == written
    assert names.find("nobody") is None
    assert re.fullmatch(r"a_b_[0-9a-f]{8}", names.of("a b", None, "function"))


def test_custom_tools_stand_in_as_functions() -> None:
    tool = ir.Tool("patch", "Patches.", kind="custom", grammar=("lark", "start: X"))
    losses: list[ir.Loss] = []
    words, schema = stand_in(tool, "tools[0]", losses)
    assert words is not None
    assert words.startswith("Patches.")
    assert "start: X" in words
    assert "start: X" in described(tool)
    assert schema["required"] == ["input"]
    assert [loss.what for loss in losses] == ["custom_tool_grammar"]
    assert stand_in(ir.Tool("p", kind="custom"), "tools[0]", losses)[0] is None


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (ir.ToolCall("c", "f", "free", "custom"), ({"input": "free"}, True)),
        (ir.ToolCall("c", "f", '{"a":1}'), ({"a": 1}, True)),
        (ir.ToolCall("c", "f", " "), ({}, True)),
        (ir.ToolCall("c", "f", "[1]"), ({"arguments": "[1]"}, False)),
        (ir.ToolCall("c", "f", "{"), ({"arguments": "{"}, False)),
        (ir.ToolCall("c", "f", "[" * 100_000), ({"arguments": "[" * 100_000}, False)),
    ],
)
def test_arguments_are_an_object(call: ir.ToolCall, expected: tuple[ir.JsonObject, bool]) -> None:
    assert call_object(call) == expected


@pytest.mark.parametrize("protocol", [Protocol.MESSAGES, Protocol.CHAT, Protocol.RESPONSES, Protocol.GEMINI])
@pytest.mark.parametrize(
    "part",
    [
        ir.ToolCall("c", "web_search", "{}", server=True, native=(ir.Native(Protocol.CHAT, "x", {"a": 1}),)),
        ir.ToolCall("c", "run", "x", "custom", "box", server=True),
        ir.ToolResult("c", (), name="f", is_error=True, server=True),
        ir.Opaque("odd", ir.Native(Protocol.GEMINI, None, {"odd": 1})),
    ],
)
def test_whole_parts_come_back(part: ir.ToolCall | ir.ToolResult | ir.Opaque, protocol: Protocol) -> None:
    natives = packed(protocol, part)
    note = note_of(protocol, natives)
    assert note is not None
    assert unpacked(note, natives[1:]) == part


def test_what_is_no_note() -> None:
    theirs = (ir.Native(Protocol.CHAT, "openai", {"part": "call"}),)
    assert note_of(Protocol.CHAT, ()) is None
    assert note_of(Protocol.CHAT, theirs) is None
    assert note_of(Protocol.GEMINI, packed(Protocol.CHAT, ir.ToolCall("c", "f", "{}"))) is None
    assert unpacked({"part": "opaque"}, ()) is None
    assert unpacked({"part": ["odd"]}, ()) is None


def test_media_by_url() -> None:
    inline = ir.Inline("QQ==", "text/plain;charset=utf-8")
    assert source(url_of(inline)) == inline
    assert source("https://e.com/a") == ir.Remote("https://e.com/a")
    assert missing(ir.Media("image", ir.Remote("https://e.com/a"))) == "[image: https://e.com/a]"
    assert missing(ir.Media("image", ir.Remote("data:x"))) == "[image: not shown]"
    assert missing(ir.Media("document", ir.FileRef("f"))) == "[document: f]"
    assert missing(ir.Media("document", inline, "a.txt")) == "[document: a.txt]"
    assert plain_text(ir.Media("document", inline)) == "A"
    assert plain_text(ir.Media("document", ir.Inline("?", "text/plain"))) is None
    assert plain_text(ir.Media("document", ir.Inline("QQ==", "application/pdf"))) is None


def test_lenient_values() -> None:
    assert [integer(one) for one in (2, 2.0, 2.5, True, "2", None)] == [2, 2, None, None, None, None]
    assert rest({"a": 1, "b": None, "c": 2}, ("c",)) == {"a": 1}
