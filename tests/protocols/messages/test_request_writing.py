"""Neutral requests, as an upstream of Messages takes them: order, names, thinking, and what is lost."""

from __future__ import annotations

from typing import Any

import pytest

from ccx.protocols import ir
from ccx.protocols.codec import Encoded, Target, ToolName
from ccx.protocols.dialects import GENERIC, Dialect
from ccx.protocols.messages import codec
from ccx.protocols.names import Protocol

OPUS_48 = "claude-opus-4-8"
SONNET_45 = "claude-sonnet-4-5"


def encoded(
    *messages: ir.Message,
    model: str = SONNET_45,
    issuer: str = "anthropic",
    limit: int | None = None,
    vision: bool | None = None,
    row: Dialect = GENERIC,
    **settings: Any,
) -> Encoded:
    request = ir.Request("client", messages or (user("Hi"),), **settings)
    target = Target(issuer, model, row, max_output_tokens=limit, vision=vision)
    return codec.encode_request(request, target, new_id=lambda prefix: f"{prefix}1")


def user(*parts: str | ir.Part) -> ir.Message:
    return ir.Message("user", tuple(ir.Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: str | ir.Part) -> ir.Message:
    return ir.Message("assistant", tuple(ir.Text(part) if isinstance(part, str) else part for part in parts))


def system(*parts: str | ir.Part) -> ir.Message:
    return ir.Message("system", tuple(ir.Text(part) if isinstance(part, str) else part for part in parts))


def call(id_: str, name: str = "f", arguments: str = "{}") -> ir.ToolCall:
    return ir.ToolCall(id_, name, arguments)


def result(id_: str, text: str = "ok") -> ir.ToolResult:
    return ir.ToolResult(id_, (ir.Text(text),))


def use(id_: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": id_, "name": "f", "input": {}}


def gave(id_: str, text: str = "ok") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id_, "content": text}


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def turns(found: Encoded) -> list[tuple[Any, Any]]:
    messages = found.payload["messages"]
    assert isinstance(messages, list)
    return [(one["role"], one["content"]) for one in messages if isinstance(one, dict)]


def whats(found: Encoded) -> list[tuple[str, bool]]:
    return [(loss.what, loss.approximate) for loss in found.losses]


MADE_UP = {"type": "tool_result", "tool_use_id": "a", "content": "There is no result of this call.", "is_error": True}

ORDER: list[tuple[str, list[ir.Message], list[tuple[str, Any]], list[str]]] = [
    ("one turn", [user("Hi")], [("user", "Hi")], []),
    ("merged", [user("a"), user("b")], [("user", [said("a"), said("b")])], []),
    ("blank", [user("a", "", " \n")], [("user", "a")], []),
    (
        "results first",
        [user("q"), assistant(call("a"), call("b")), user("and"), user(result("b"), result("a"))],
        [("user", "q"), ("assistant", [use("a"), use("b")]), ("user", [gave("a"), gave("b"), said("and")])],
        [],
    ),
    (
        "result of no call",
        [user("q", result("x", "42"))],
        [("user", [said("q"), said("Result of the tool call x:\n42")])],
        ["tool_result"],
    ),
    (
        "call without result",
        [user("q"), assistant(call("a")), user("next")],
        [("user", "q"), ("assistant", [use("a")]), ("user", [MADE_UP, said("next")])],
        ["tool_result"],
    ),
    ("call at the end", [assistant(call("a"))], [("assistant", [use("a")]), ("user", [MADE_UP])], ["tool_result"]),
    (
        "late result",
        [assistant(call("a")), user("hm"), assistant("wait"), user(result("a"))],
        [("assistant", [use("a")]), ("user", [gave("a"), said("hm")]), ("assistant", "wait")],
        ["tool_result"],
    ),
    (
        "an id used twice",
        [assistant(call("a")), user(result("a")), assistant(call("a")), user(result("a", "2"))],
        [
            ("assistant", [use("a")]),
            ("user", [gave("a")]),
            ("assistant", [use("a_2")]),
            ("user", [gave("a_2", "2")]),
        ],
        ["tool_call_id"],
    ),
    (
        "two results of one call",
        [assistant(call("a")), user(result("a"), result("a", "again"))],
        [("assistant", [use("a")]), ("user", [gave("a"), said("Result of the tool call a:\nagain")])],
        ["tool_result"],
    ),
    (
        "a thought alone",
        [user("a"), assistant(ir.Reasoning("hm", native=(ir.Native(Protocol.MESSAGES, None, {"signature": "s"}),)))],
        [("user", "a")],
        ["reasoning"],
    ),
    ("only system", [system("This.")], [("user", "<system>\nThis.\n</system>")], ["system_position"]),
    ("prefill", [user("a"), assistant("{ ")], [("user", "a"), ("assistant", "{")], ["prefill"]),
    (
        "system in between",
        [user("a"), system("b"), user("c")],
        [("user", [said("a"), said("<system>\nb\n</system>"), said("c")])],
        ["system_position"],
    ),
]


@pytest.mark.parametrize(("messages", "expected", "lost"), [row[1:] for row in ORDER], ids=[row[0] for row in ORDER])
def test_order(messages: list[ir.Message], expected: list[Any], lost: list[str]) -> None:
    found = encoded(*messages)
    assert turns(found) == expected
    assert [what for what, _ in whats(found)] == lost


def test_no_message_at_all() -> None:
    request = ir.Request("client", ())
    found = codec.encode_request(request, Target("anthropic", SONNET_45, GENERIC), new_id=str)
    assert turns(found) == [("user", "Continue.")]
    assert whats(found) == [("turn_order", True)]


def test_system_messages_stay_where_the_model_takes_them() -> None:
    found = encoded(
        system("first"),
        user("a"),
        system("second"),
        assistant(call("a")),
        system("third"),
        user(result("a")),
        model=OPUS_48,
    )
    assert found.payload["system"] == "first"
    assert turns(found) == [
        ("user", "a"),
        ("system", "second"),
        ("assistant", [use("a")]),
        ("user", [gave("a")]),
        ("system", "third"),
    ]
    assert whats(found) == [("system_position", True)]


def test_a_directive_of_effort_needs_a_model_that_takes_system_messages() -> None:
    directive = ir.Message("system", (), (ir.Native(Protocol.MESSAGES, None, {"output_config": {"effort": "low"}}),))
    found = encoded(user("a"), directive, model=OPUS_48)
    assert found.payload["messages"] == [
        {"role": "user", "content": "a"},
        {"role": "system", "content": [], "output_config": {"effort": "low"}},
    ]
    older = encoded(user("a"), directive)
    assert turns(older) == [("user", "a")]
    assert whats(older) == [("effort", False)]


def test_a_model_without_prefill_is_asked_to_continue() -> None:
    found = encoded(user("a"), assistant("b"), model=OPUS_48)
    assert turns(found)[-1] == ("user", "Continue.")
    assert whats(found) == [("prefill", True)]


def test_a_paused_turn_is_continued_as_it_is() -> None:
    search = (ir.Native(Protocol.MESSAGES, None, {"type": "server_tool_use"}),)
    found = encoded(
        user("a"), assistant(ir.ToolCall("s", "web_search", "{}", server=True, native=search)), model=OPUS_48
    )
    assert turns(found)[-1][0] == "assistant"
    assert found.losses == ()


# --- names and tools --------------------------------------------------------------------------------------------------


def test_names_kinds_and_namespaces_come_back() -> None:
    found = encoded(
        assistant(
            ir.ToolCall("functions.f:0", "a.b", '{"x":1}'), ir.ToolCall("c2", "patch", "*** text", "custom", "fs")
        ),
        user(result("functions.f:0"), result("c2")),
        tools=(
            ir.Tool("a.b", schema={"type": "object"}),
            ir.Tool("a_b"),
            ir.Tool("patch", "Apply.", kind="custom", grammar=("lark", "start: x"), namespace="fs"),
        ),
    )
    tools = found.payload["tools"]
    assert isinstance(tools, list)
    names = [tool["name"] for tool in tools if isinstance(tool, dict)]
    assert names[1:] == ["a_b", "fs__patch"]
    assert names[0] != "a_b"
    assert names[0].startswith("a_b_")
    assert found.context is not None
    assert found.context.tools == {
        names[0]: ToolName("a.b"),
        "fs__patch": ToolName("patch", "fs", "custom"),
    }
    first = turns(found)[0][1]
    assert first[0]["name"] == names[0]
    assert first[0]["id"].startswith("ccxid_")
    assert first[1]["input"] == {"input": "*** text"}
    assert "start: x" in tools[2]["description"]
    assert whats(found) == [("custom_tool_grammar", True)]


def test_answers_are_read_with_the_names_that_went_out() -> None:
    sent = encoded(tools=(ir.Tool("patch", kind="custom", namespace="fs"),))
    assert sent.context is not None
    body: ir.JsonObject = {
        "content": [{"type": "tool_use", "id": "t", "name": "fs__patch", "input": {"input": "*** text"}}],
        "stop_reason": "tool_use",
    }
    response = codec.decode_response(body, sent.context)
    assert response.parts == (ir.ToolCall("t", "patch", "*** text", "custom", "fs"),)


@pytest.mark.parametrize(
    ("model", "choice", "expected", "names", "lost"),
    [
        (SONNET_45, ir.ToolChoice("auto"), {"type": "auto"}, ["f", "g", "h"], []),
        (SONNET_45, ir.ToolChoice("none"), {"type": "none"}, ["f", "g", "h"], []),
        (SONNET_45, ir.ToolChoice("required"), {"type": "any"}, ["f", "g", "h"], []),
        (SONNET_45, ir.ToolChoice("named", ("g",)), {"type": "tool", "name": "g"}, ["f", "g", "h"], []),
        (SONNET_45, ir.ToolChoice("named", ("f", "h")), {"type": "any"}, ["f", "h"], ["tool_choice_subset"]),
        (SONNET_45, ir.ToolChoice("named", ("x",)), None, ["f", "g", "h"], ["tool_choice"]),
        ("claude-opus-5-5", ir.ToolChoice("required"), {"type": "auto"}, ["f", "g", "h"], ["tool_choice"]),
        (
            "claude-opus-5-5",
            ir.ToolChoice("named", ("g",)),
            {"type": "auto"},
            ["g"],
            ["tool_choice", "tool_choice_subset", "tool_choice_subset"],
        ),
        (SONNET_45, ir.ToolChoice("named", ("f", "g", "h")), {"type": "any"}, ["f", "g", "h"], []),
        (
            SONNET_45,
            ir.ToolChoice("named", ("f", "h", "x")),
            {"type": "any"},
            ["f", "h"],
            ["tool_choice", "tool_choice_subset"],
        ),
    ],
)
def test_tool_choice(model: str, choice: ir.ToolChoice, expected: Any, names: list[str], lost: list[str]) -> None:
    found = encoded(model=model, tools=tuple(ir.Tool(name) for name in "fgh"), tool_choice=choice)
    assert found.payload.get("tool_choice") == expected
    tools = found.payload["tools"]
    assert isinstance(tools, list)
    assert [tool["name"] for tool in tools if isinstance(tool, dict)] == names
    assert [what for what, _ in whats(found)] == lost


def test_each_tool_that_is_withheld_is_named() -> None:
    tools = tuple(ir.Tool(name) for name in "fgh")
    found = encoded(model=SONNET_45, tools=tools, tool_choice=ir.ToolChoice("named", ("f", "h")))
    assert [(loss.path, loss.approximate) for loss in found.losses] == [("tools[1]", True)]


def test_parallel_calls() -> None:
    found = encoded(tools=(ir.Tool("f"),), parallel_tool_calls=False)
    assert found.payload["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert "tool_choice" not in encoded(parallel_tool_calls=False).payload


def test_tools_of_other_providers_and_their_calls_are_losses() -> None:
    theirs = ir.Native(Protocol.RESPONSES, None, {"type": "web_search"})
    found = encoded(
        user("a"),
        assistant(ir.ToolCall("w", "web_search", "{}", server=True, native=(theirs,)), "b"),
        user("c"),
        tools=(ir.ServerTool("web_search", theirs), ir.Tool("f")),
    )
    assert [tool["name"] for tool in found.payload["tools"]] == ["f"]  # type: ignore[union-attr, index, call-overload]  # a list of objects
    assert whats(found) == [("server_tool", False), ("server_tool", False)]


@pytest.mark.parametrize(
    ("schema", "expected", "lost"),
    [
        (None, {"type": "object", "properties": {}}, []),
        ({"properties": {}}, {"properties": {}, "type": "object"}, []),
        ({"anyOf": [{"type": "object"}]}, {"type": "object"}, ["json_schema"]),
        ({"type": "string"}, {"type": "object"}, ["json_schema"]),
    ],
)
def test_schemas_of_tools_are_objects(schema: Any, expected: Any, lost: list[str]) -> None:
    found = encoded(tools=(ir.Tool("f", schema=schema),))
    assert found.payload["tools"] == [{"name": "f", "input_schema": expected}]
    assert [what for what, _ in whats(found)] == lost


def test_strict_tools_need_a_model_that_has_them() -> None:
    tool = ir.Tool("f", strict=True)
    assert encoded(tools=(tool,)).payload["tools"][0]["strict"] is True  # type: ignore[index, call-overload]  # a list of objects
    assert whats(encoded(tools=(tool,), model="claude-sonnet-4-0")) == [("strict", False)]


@pytest.mark.parametrize(
    ("arguments", "expected", "lost"),
    [
        ("", {}, []),
        ('{"a": [1]}', {"a": [1]}, []),
        ("[1]", {"arguments": "[1]"}, ["arguments"]),
        ('{"a": ', {"arguments": '{"a": '}, ["arguments"]),
    ],
)
def test_arguments_are_an_object(arguments: str, expected: Any, lost: list[str]) -> None:
    found = encoded(assistant(call("a", arguments=arguments)), user(result("a")))
    assert turns(found)[0][1][0]["input"] == expected
    assert [what for what, _ in whats(found)] == lost


# --- residue ----------------------------------------------------------------------------------------------------------


def test_residue_goes_to_its_issuer_only() -> None:
    def thought(protocol: Protocol, issuer: str | None) -> ir.Message:
        return assistant(ir.Reasoning("hm", native=(ir.Native(protocol, issuer, {"signature": "s"}),)), "b")

    kept = [{"signature": "s", "type": "thinking", "thinking": "hm"}, said("b")]
    for issuer in (None, "anthropic"):
        found = encoded(user("a"), thought(Protocol.MESSAGES, issuer), user("c"))
        assert turns(found)[1] == ("assistant", kept)
        assert found.losses == ()
    for protocol, issuer in ((Protocol.MESSAGES, "deepseek"), (Protocol.GEMINI, "gemini")):
        found = encoded(user("a"), thought(protocol, issuer), user("c"))
        assert turns(found)[1] == ("assistant", "b")
        assert whats(found) == [("signature", False), ("reasoning", False)]


def test_vendors_that_want_thoughts_back_get_them_unsigned() -> None:
    row = Dialect("vendor", reasoning_back="tool_turns")
    spoken = (user("a"), assistant(ir.Reasoning("hm"), call("a")), user(result("a")))
    found = encoded(*spoken, issuer="vendor", model="vendor-1", row=row)
    assert turns(found)[1][1][0] == {"type": "thinking", "thinking": "hm", "signature": ""}
    assert whats(encoded(*spoken)) == [("reasoning", False)]


def test_media_that_cannot_be_taken_leaves_a_note() -> None:
    found = encoded(
        user(
            ir.Media("audio", ir.Inline("QQ==", "audio/wav")),
            ir.Media("image", ir.Inline("QQ==", "image/svg+xml")),
            ir.Media("image", ir.FileRef("file-1")),
            ir.Media("document", ir.Inline("QQ==", "application/zip"), name="a.zip"),
            ir.Media("document", ir.Inline("YSxi", "text/csv"), name="a.csv"),
            ir.Media("image", ir.Remote("data:image/png;base64,QQ=="), detail="high"),
        )
    )
    content = turns(found)[0][1]
    assert [block["type"] for block in content] == ["text", "text", "text", "text", "document", "image"]
    assert content[3]["text"] == "[document (application/zip) 'a.zip' left out: this model cannot be given it]"
    assert content[4]["source"] == {"type": "text", "media_type": "text/plain", "data": "a,b"}
    assert content[5]["source"] == {"type": "base64", "media_type": "image/png", "data": "QQ=="}
    assert whats(found) == [
        ("audio", False),
        ("image", False),
        ("file_id", False),
        ("document", False),
        ("document", True),
        ("detail", False),
    ]


def test_a_model_that_sees_nothing_is_shown_nothing() -> None:
    found = encoded(user(ir.Media("image", ir.Inline("QQ==", "image/png"))), vision=False)
    assert turns(found)[0][1].startswith("[image (image/png) left out")
    assert whats(found) == [("image", False)]


# --- thinking, output, sampling ---------------------------------------------------------------------------------------

THINKING: list[tuple[str, ir.Thinking, int | None, Any, Any, list[str]]] = [
    # model, asked, max_output_tokens; thinking, effort, losses
    (OPUS_48, ir.Thinking(), None, None, None, []),
    (OPUS_48, ir.Thinking(effort="high"), None, {"type": "adaptive"}, "high", []),
    (
        OPUS_48,
        ir.Thinking(True, adaptive=True, summary=True),
        None,
        {"type": "adaptive", "display": "summarized"},
        None,
        [],
    ),
    (OPUS_48, ir.Thinking(True, None, 20_000), None, {"type": "adaptive"}, "high", ["budget"]),
    (OPUS_48, ir.Thinking(effort="minimal"), None, {"type": "adaptive"}, "low", ["effort"]),
    (OPUS_48, ir.Thinking(effort="none"), None, {"type": "disabled"}, None, []),
    (OPUS_48, ir.Thinking(False), None, {"type": "disabled"}, None, []),
    ("claude-opus-4-6", ir.Thinking(True, None, 2000), None, {"type": "enabled", "budget_tokens": 2000}, None, []),
    ("claude-opus-4-6", ir.Thinking(effort="xhigh"), None, {"type": "adaptive"}, "max", ["effort"]),
    ("claude-opus-5", ir.Thinking(False, "max"), None, {"type": "disabled"}, "high", ["effort"]),
    ("claude-opus-5-5", ir.Thinking(False), None, None, None, ["reasoning"]),
    ("claude-sonnet-5-5", ir.Thinking(False), None, {"type": "between_tools"}, None, ["reasoning"]),
    (SONNET_45, ir.Thinking(effort="low"), None, {"type": "enabled", "budget_tokens": 2048}, None, ["effort"]),
    (SONNET_45, ir.Thinking(True, adaptive=True), None, {"type": "enabled", "budget_tokens": 6553}, None, ["effort"]),
    (SONNET_45, ir.Thinking(True, None, 5000), 4096, {"type": "enabled", "budget_tokens": 3276}, None, ["budget"]),
    (SONNET_45, ir.Thinking(True, None, 100), 4096, {"type": "enabled", "budget_tokens": 1024}, None, ["budget"]),
    (SONNET_45, ir.Thinking(True, None, 2000), 1000, None, None, ["reasoning"]),
    (
        "claude-opus-4-5",
        ir.Thinking(effort="high"),
        32_000,
        {"type": "enabled", "budget_tokens": 16_384},
        "high",
        ["effort"],
    ),
    ("claude-3-5-haiku-20241022", ir.Thinking(effort="high"), None, None, None, ["reasoning"]),
    (
        "vendor-model",
        ir.Thinking(effort="high"),
        32_000,
        {"type": "enabled", "budget_tokens": 16_384},
        None,
        ["effort"],
    ),
]


@pytest.mark.parametrize(("model", "asked", "limit", "thinking", "effort", "lost"), THINKING)
def test_thinking(
    model: str, asked: ir.Thinking, limit: int | None, thinking: Any, effort: Any, lost: list[str]
) -> None:
    found = encoded(model=model, thinking=asked, max_output_tokens=limit)
    assert found.payload.get("thinking") == thinking
    config = found.payload.get("output_config")
    assert (config.get("effort") if isinstance(config, dict) else None) == effort
    assert [what for what, _ in whats(found)] == lost


def test_effort_of_a_client_of_messages_does_not_turn_thinking_on() -> None:
    own = (ir.Native(Protocol.MESSAGES, None, {"output_config": {}}),)
    found = encoded(model=OPUS_48, thinking=ir.Thinking(effort="low"), native=own)
    assert "thinking" not in found.payload
    assert found.payload["output_config"] == {"effort": "low"}


def test_effort_alone_needs_a_model_that_has_it() -> None:
    own = (ir.Native(Protocol.MESSAGES, None, {"output_config": {}}),)
    for asked in (ir.Thinking(effort="low"), ir.Thinking(True, "low", 2000)):
        found = encoded(thinking=asked, native=own)
        assert "output_config" not in found.payload
        assert whats(found) == [("effort", False)]


def test_thinking_yields_to_a_forced_tool_and_to_a_loop_that_began_without_it() -> None:
    asked = ir.Thinking(True, None, 2000)
    forced = encoded(tools=(ir.Tool("f"),), tool_choice=ir.ToolChoice("required"), thinking=asked)
    assert "thinking" not in forced.payload
    assert whats(forced) == [("reasoning", False)]
    loop = encoded(user("a"), assistant(call("a")), user(result("a")), thinking=asked)
    assert "thinking" not in loop.payload
    assert whats(loop) == [("reasoning", False)]


@pytest.mark.parametrize(
    ("asked", "limit", "expected", "lost"),
    [
        (None, None, 8192, []),
        (None, 4000, 4000, []),
        (None, 128_000, 32_000, []),
        (500, 4000, 500, []),
        (5000, 4000, 4000, ["max_output_tokens"]),
    ],
)
def test_max_tokens(asked: int | None, limit: int | None, expected: int, lost: list[str]) -> None:
    found = encoded(max_output_tokens=asked, limit=limit)
    assert found.payload["max_tokens"] == expected
    assert [what for what, _ in whats(found)] == lost


SAMPLING: list[tuple[str, ir.Sampling, ir.Thinking, dict[str, Any], list[str]]] = [
    (
        "claude-3-opus-20240229",
        ir.Sampling(0.2, 0.3, 4),
        ir.Thinking(),
        {"temperature": 0.2, "top_p": 0.3, "top_k": 4},
        [],
    ),
    (SONNET_45, ir.Sampling(0.2, 0.3), ir.Thinking(), {"temperature": 0.2}, ["top_p"]),
    (SONNET_45, ir.Sampling(1.6), ir.Thinking(), {"temperature": 1.0}, ["temperature"]),
    (SONNET_45, ir.Sampling(0.2, top_k=4), ir.Thinking(True, None, 2000), {}, ["temperature", "top_k"]),
    (SONNET_45, ir.Sampling(top_p=0.96), ir.Thinking(True, None, 2000), {"top_p": 0.96}, []),
    (OPUS_48, ir.Sampling(0.2, 0.3, 4), ir.Thinking(), {}, ["temperature", "top_p", "top_k"]),
    (OPUS_48, ir.Sampling(1), ir.Thinking(), {"temperature": 1}, []),
    (SONNET_45, ir.Sampling(stop=("END", "\n")), ir.Thinking(), {"stop_sequences": ["END"]}, ["stop"]),
    (
        SONNET_45,
        ir.Sampling(seed=0, presence_penalty=0.0, frequency_penalty=0.5, candidates=2, logprobs=0),
        ir.Thinking(),
        {},
        ["seed", "penalties", "logprobs", "candidates"],
    ),
]


@pytest.mark.parametrize(("model", "sampling", "thinking", "expected", "lost"), SAMPLING)
def test_sampling(
    model: str, sampling: ir.Sampling, thinking: ir.Thinking, expected: dict[str, Any], lost: list[str]
) -> None:
    found = encoded(model=model, sampling=sampling, thinking=thinking)
    keys = ("temperature", "top_p", "top_k", "stop_sequences")
    assert {key: found.payload[key] for key in keys if key in found.payload} == expected
    assert [what for what, _ in whats(found)] == lost


SCHEMA: ir.JsonObject = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1}},
    "required": ["n"],
}


def test_structured_output_by_schema() -> None:
    found = encoded(output=ir.OutputFormat("json_schema", SCHEMA, "answer"))
    assert found.payload["output_config"] == {
        "format": {
            "type": "json_schema",
            "schema": {
                "title": "answer",
                "type": "object",
                "properties": {"n": {"type": "integer", "description": "(minimum: 1)"}},
                "required": ["n"],
                "additionalProperties": False,
            },
        }
    }
    assert whats(found) == [("json_schema", True)]


def test_structured_output_by_a_tool_that_stands_in() -> None:
    found = encoded(model="claude-sonnet-4-0", output=ir.OutputFormat("json_schema", SCHEMA))
    assert found.payload["tool_choice"] == {"type": "tool", "name": "json_output"}
    assert found.losses == ()
    assert found.context is not None
    body: ir.JsonObject = {
        "content": [{"type": "tool_use", "id": "t", "name": "json_output", "input": {"n": 2}}],
        "stop_reason": "tool_use",
    }
    response = codec.decode_response(body, found.context)
    assert response.parts == (ir.Text('{"n":2}'),)
    assert response.finish == ir.Finish("stop", "tool_use")


def test_structured_output_in_words() -> None:
    found = encoded(output=ir.OutputFormat("json"))
    assert "JSON" in str(found.payload["system"])
    assert whats(found) == [("json_schema", True)]
    tools = encoded(model="claude-sonnet-4-0", tools=(ir.Tool("f"),), output=ir.OutputFormat("json_schema", SCHEMA))
    assert '"minimum":1' in str(tools.payload["system"])
    assert whats(tools) == [("json_schema", True)]


def test_who_asks_and_how() -> None:
    theirs = ir.Native(Protocol.RESPONSES, None, {"store": True, "id": "x"})
    found = encoded(user="u", metadata={"a": "b"}, service_tier="flex", verbosity="low", native=(theirs,), stream=True)
    assert found.payload["metadata"] == {"user_id": "u"}
    assert found.payload["stream"] is True
    assert [what for what, _ in whats(found)] == ["unknown_field:store", "metadata", "service_tier", "verbosity"]
    assert encoded(service_tier="default").payload["service_tier"] == "standard_only"
    priority = encoded(service_tier="priority")
    assert priority.payload["service_tier"] == "auto"
    assert whats(priority) == [("service_tier", True)]


def test_a_format_that_is_no_word_is_told_in_the_description() -> None:
    schema: Any = {"type": "object", "properties": {"a": {"type": "string", "format": {"odd": 1}}}}
    found = encoded(output=ir.OutputFormat("json_schema", schema))
    assert whats(found) == [("json_schema", True)]
    assert "odd" in str(found.payload["output_config"])


def test_thinking_of_a_type_that_is_no_word_is_left_out() -> None:
    theirs = ir.Native(Protocol.MESSAGES, None, {"thinking": {"type": ["odd"]}})
    assert whats(encoded(native=(theirs,))) == [("reasoning", True)]
