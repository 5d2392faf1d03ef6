"""Cache breakpoints: read, written, and named where they are lost."""

from __future__ import annotations

import pytest

from ccx.protocols import ir
from ccx.protocols.cache_control import breakpoints, lost, parted, written
from ccx.protocols.codec import Target
from ccx.protocols.conversion import CODECS
from ccx.protocols.dialects import dialect
from ccx.protocols.fidelity import REFERENCE
from ccx.protocols.names import Protocol

MARK = ir.CacheBreakpoint("1h")
EVERYWHERE = ir.Request(
    "m",
    (
        ir.Message("system", (ir.Text("s", cache=MARK),)),
        ir.Message("user", (ir.Text("u"), ir.Media("image", ir.Remote("https://e.com/a.png"), cache=MARK))),
        ir.Message("assistant", (ir.Reasoning("hm"), ir.ToolCall("c", "f", "{}", cache=MARK))),
        ir.Message("user", (ir.ToolResult("c", (ir.Text("r", cache=MARK),), cache=MARK),)),
    ),
    tools=(ir.Tool("f", schema={"type": "object"}, cache=MARK),),
)
PATHS = [
    "tools[0].cache",
    "messages[0].parts[0].cache",
    "messages[1].parts[1].cache",
    "messages[2].parts[1].cache",
    "messages[3].parts[0].cache",
    "messages[3].parts[0].content[0].cache",
]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"cache_control": {"type": "ephemeral"}, "x": 1}, ({"x": 1}, ir.CacheBreakpoint())),
        ({"cache_control": {"type": "ephemeral", "ttl": "5m"}}, ({}, ir.CacheBreakpoint("5m"))),
        ({"cache_control": {"type": "ephemeral", "ttl": 5}}, None),
        ({"cache_control": {"type": "ephemeral", "scope": "global"}}, None),
        ({"cache_control": {"type": ["odd"]}}, None),
        ({"cache_control": None}, None),
        ({"x": 1}, None),
    ],
)
def test_reading(fields: ir.JsonObject, expected: tuple[ir.JsonObject, ir.CacheBreakpoint] | None) -> None:
    assert parted(fields) == (expected or (fields, None))


def test_writing() -> None:
    assert written(None) == {}
    assert written(MARK) == {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert written(MARK, ttl=False) == written(ir.CacheBreakpoint()) == {"cache_control": {"type": "ephemeral"}}


def test_each_is_found() -> None:
    assert sorted(f"{path}.cache" for path, _, _ in breakpoints(EVERYWHERE)) == sorted(PATHS)
    assert [loss.what for loss in lost(EVERYWHERE)] == ["cache_control"] * len(PATHS)


@pytest.mark.parametrize("protocol", [Protocol.CHAT, Protocol.RESPONSES, Protocol.GEMINI])
def test_each_is_a_loss_where_none_are_known(protocol: Protocol) -> None:
    encoded = CODECS[protocol].encode_request(EVERYWHERE, REFERENCE[protocol], new_id=str)
    assert sorted(one.path for one in encoded.losses if one.what == "cache_control") == sorted(PATHS)
    assert "cache_control" not in str(encoded.payload)


def test_messages_has_them_all_and_reads_them_again() -> None:
    codec = CODECS[Protocol.MESSAGES]
    encoded = codec.encode_request(EVERYWHERE, REFERENCE[Protocol.MESSAGES], new_id=str)
    assert not [one for one in encoded.losses if one.what == "cache_control"]
    again = codec.decode_request(encoded.payload, model="m", stream=False)
    assert len(list(breakpoints(again))) == len(PATHS)
    assert {cache for _, _, cache in breakpoints(again)} == {MARK}


def test_from_one_vendor_to_the_other_and_back() -> None:
    """What Claude Code marks arrives at OpenRouter, and what an OpenRouter client marks at Anthropic."""
    target = Target("openrouter", "m", dialect("openrouter"))
    claude: ir.JsonObject = {
        "max_tokens": 9,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "u", "cache_control": {"type": "ephemeral"}}]}
        ],
        "tools": [
            {"name": "f", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
        ],
    }
    request = CODECS[Protocol.MESSAGES].decode_request(claude, model="m", stream=False)
    sent = CODECS[Protocol.CHAT].encode_request(request, target, new_id=str)
    assert sent.losses == ()
    back = CODECS[Protocol.CHAT].decode_request(sent.payload, model="m", stream=False)
    there = CODECS[Protocol.MESSAGES].encode_request(back, REFERENCE[Protocol.MESSAGES], new_id=str)
    assert [cache for _, _, cache in breakpoints(back)] == [cache for _, _, cache in breakpoints(request)]
    assert str(there.payload).count("cache_control") == 3
