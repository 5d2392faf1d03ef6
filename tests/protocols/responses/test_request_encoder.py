"""Requests of other clients, written for an upstream of this protocol."""

from __future__ import annotations

from typing import Any

import pytest

from ccx.protocols import ir
from ccx.protocols.codec import Encoded, ToolName
from ccx.protocols.names import Protocol
from tests.protocols.responses.kit import foreign, listed, native, read, whats, write

M = Protocol.MESSAGES


def user(*parts: ir.Part) -> ir.Message:
    return ir.Message("user", parts or (ir.Text("hi"),))


def assistant(*parts: ir.Part) -> ir.Message:
    return ir.Message("assistant", parts)


def system(words: str) -> ir.Message:
    return ir.Message("system", (ir.Text(words),))


def items(encoded: Encoded) -> list[Any]:
    return listed(encoded, "input")


def words(role: str, content: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": "r"}


def test_nothing_is_stored_for_other_clients() -> None:
    encoded = write(foreign(user()))
    assert encoded.payload == {"model": "the-model", "input": [words("user", "hi")], "store": False}
    assert encoded.losses == ()


def test_leading_system_messages_are_instructions_and_later_ones_stay() -> None:
    encoded = write(foreign(system("a"), system("b"), user(), system("c"), user()))
    assert encoded.payload["instructions"] == "a\n\nb"
    assert [item["role"] for item in items(encoded)] == ["user", "developer", "user"]
    assert items(write(foreign(user(), system("c")), "deepseek"))[1]["role"] == "system"


def test_there_is_always_an_input() -> None:
    assert write(foreign(system("do it"))).payload["input"] == [words("developer", "do it")]
    encoded = write(foreign())
    assert items(encoded) == [words("user", "Continue.")]
    assert whats(encoded) == [("turn_order", True)]


def test_a_turn_with_calls_becomes_items_in_order() -> None:
    encoded = write(
        foreign(
            user(),
            assistant(ir.Text("I look."), ir.ToolCall("c", "f", "{}"), ir.Text("Wait.")),
            user(ir.ToolResult("c", (ir.Text("r"),)), ir.Text("go on")),
        )
    )
    assert items(encoded) == [
        words("user", "hi"),
        words("assistant", "I look."),
        CALL,
        words("assistant", "Wait."),
        RESULT,
        words("user", "go on"),
    ]
    assert encoded.losses == ()


def test_a_call_without_a_result_gets_one_that_says_so() -> None:
    encoded = write(foreign(user(), assistant(ir.ToolCall("c", "f", "{}")), user()))
    assert [item["type"] for item in items(encoded)] == ["message", "function_call", "function_call_output", "message"]
    assert whats(encoded) == [("tool_result", True)]


def test_a_result_of_no_call_is_told_as_text() -> None:
    encoded = write(foreign(user(ir.ToolResult("c", (ir.Text("r"),)))))
    assert items(encoded) == [words("user", "Result of the tool call c:\nr")]
    assert whats(encoded) == [("tool_result", True)]


def test_ids_of_calls_are_unique_short_and_there() -> None:
    long = "x" * 80
    encoded = write(
        foreign(
            assistant(ir.ToolCall("c", "f", ""), ir.ToolCall("c", "f", ""), ir.ToolCall(long, "f", "")),
            user(ir.ToolResult("c", ()), ir.ToolResult("c", ()), ir.ToolResult(long, ())),
            assistant(ir.ToolCall("", "g", "")),
            user(ir.ToolResult("", (), name="g")),
        )
    )
    calls = [item["call_id"] for item in items(encoded) if item["type"] == "function_call"]
    results = [item["call_id"] for item in items(encoded) if item["type"] == "function_call_output"]
    assert calls == results
    assert len(set(calls)) == 4
    assert max(map(len, calls)) <= 64
    assert whats(encoded) == [("tool_call_id", True)]


def test_a_conversation_of_this_protocols_client_is_left_as_it_is() -> None:
    """The calls of these results may be in a response that the upstream holds."""
    encoded = write(read({"input": [RESULT], "previous_response_id": "resp_1"}))
    assert items(encoded) == [RESULT]
    assert encoded.losses == ()


def test_results_with_images_errors_and_kinds() -> None:
    png = ir.Media("image", ir.Inline("aGk=", "image/png"))
    encoded = write(
        foreign(
            assistant(ir.ToolCall("a", "f", "{}"), ir.ToolCall("b", "x", "in", "custom")),
            user(
                ir.ToolResult("a", (ir.Text("see"), png), is_error=True),
                ir.ToolResult("b", (ir.Text("1"), ir.Text("2"))),
            ),
        )
    )
    image = {"type": "input_image", "image_url": "data:image/png;base64,aGk="}
    assert items(encoded)[2:] == [
        {
            "type": "function_call_output",
            "call_id": "a",
            "output": [{"type": "input_text", "text": "Error: see"}, image],
        },
        {
            "type": "custom_tool_call_output",
            "call_id": "b",
            "output": [{"type": "input_text", "text": "1"}, {"type": "input_text", "text": "2"}],
        },
    ]
    assert whats(encoded) == [("is_error", True)]
    blind = write(foreign(assistant(ir.ToolCall("a", "f", "{}")), user(ir.ToolResult("a", (png,)))), vision=False)
    assert items(blind)[1]["output"] == "[image: not shown]"
    assert whats(blind) == [("image", False)]


@pytest.mark.parametrize(
    ("media", "part", "losses"),
    [
        (
            ir.Media("image", ir.Remote("https://e.com/a.png"), detail="low"),
            {"type": "input_image", "image_url": "https://e.com/a.png", "detail": "low"},
            [],
        ),
        (
            ir.Media("document", ir.Inline("aGk=", "application/pdf")),
            {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "document.pdf"},
            [],
        ),
        (
            ir.Media("document", ir.Inline("aGk=", "text/plain"), name="a.txt"),
            {"type": "input_file", "file_data": "data:text/plain;base64,aGk=", "filename": "a.txt"},
            [],
        ),
        (
            ir.Media("document", ir.Remote("https://e.com/a.pdf"), name="A"),
            {"type": "input_file", "file_url": "https://e.com/a.pdf"},
            [("name", False)],
        ),
        (
            ir.Media("document", ir.FileRef("file_1"), name="A"),
            {"type": "input_text", "text": "[document: A]"},
            [("file_id", False)],
        ),
        (
            ir.Media("audio", ir.Inline("aGk=", "audio/wav")),
            {"type": "input_text", "text": "[audio: not shown]"},
            [("audio", False)],
        ),
        (
            ir.Media("video", ir.Remote("https://e.com/a.mp4")),
            {"type": "input_text", "text": "[video: https://e.com/a.mp4]"},
            [("video", False)],
        ),
    ],
)
def test_media(media: ir.Media, part: dict[str, Any], losses: list[Any]) -> None:
    encoded = write(foreign(user(ir.Text("x"), media)))
    assert items(encoded)[0]["content"][1] == part
    assert whats(encoded) == losses


def test_a_vendor_without_files_is_told_the_text_of_one() -> None:
    encoded = write(foreign(user(ir.Media("document", ir.Inline("aGk=", "text/plain")))), "xai")
    assert items(encoded) == [words("user", "hi")]
    assert whats(encoded) == [("document", True)]


def test_only_users_show_things() -> None:
    encoded = write(foreign(assistant(ir.Media("image", ir.Inline("aGk=", "image/png"))), user()))
    assert items(encoded)[0] == words("assistant", "[image: not shown]")
    assert whats(encoded) == [("image", False)]


# --- thoughts ---------------------------------------------------------------------------------------------------------

TOKEN = {"id": "rs_1", "encrypted_content": "gAAA"}


def test_encrypted_thoughts_go_back_to_their_issuer() -> None:
    thought = ir.Reasoning("hm", True, native(TOKEN, issuer="openai"))
    encoded = write(foreign(user(), assistant(thought, ir.Text("a")), user()))
    assert items(encoded)[1] == {
        "type": "reasoning",
        **TOKEN,
        "summary": [{"type": "summary_text", "text": "hm"}],
    }
    assert encoded.losses == ()


@pytest.mark.parametrize(
    "residue",
    [
        (),
        native(TOKEN, issuer="azure"),
        native({"signature": "S"}, protocol=M, issuer="anthropic"),
    ],
)
def test_thoughts_of_others_are_left_out(residue: tuple[ir.Native, ...]) -> None:
    encoded = write(foreign(user(), assistant(ir.Reasoning("hm", native=residue), ir.Text("a")), user()))
    assert [item["type"] for item in items(encoded)] == ["message"] * 3
    assert ("reasoning", False) in whats(encoded)
    assert (("signature", False) in whats(encoded)) == bool(residue)


def test_thoughts_go_as_text_where_the_vendor_wants_them_back() -> None:
    turn = assistant(ir.Reasoning("hm"), ir.ToolCall("c", "f", "{}"))
    encoded = write(foreign(turn, user(ir.ToolResult("c", ()))), "deepseek")
    assert items(encoded)[0] == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "hm"}],
    }


def test_a_thought_that_nothing_follows_is_left_out() -> None:
    thought = ir.Reasoning("", native=native(TOKEN, issuer="openai"))
    encoded = write(foreign(user(), assistant(thought), user()))
    assert [item["type"] for item in items(encoded)] == ["message", "message"]
    assert whats(encoded) == [("reasoning", False)]


@pytest.mark.parametrize(
    ("thinking", "known", "reasoning", "includes", "losses"),
    [
        (ir.Thinking(), {}, None, False, []),
        (ir.Thinking(), {"thinking": True}, None, True, []),
        (ir.Thinking(True), {}, {"effort": "medium", "summary": "auto"}, True, []),
        (ir.Thinking(True, adaptive=True), {}, {"summary": "auto"}, True, []),
        (ir.Thinking(True, "high", summary=False), {}, {"effort": "high"}, True, []),
        (ir.Thinking(True, "max"), {}, {"effort": "xhigh", "summary": "auto"}, True, [("effort", True)]),
        (ir.Thinking(True, budget=2000), {}, {"effort": "low", "summary": "auto"}, True, [("budget", True)]),
        (ir.Thinking(True, budget=31_999), {}, {"effort": "high", "summary": "auto"}, True, [("budget", True)]),
        (ir.Thinking(True, "low", 9), {}, {"effort": "low", "summary": "auto"}, True, [("budget", True)]),
        (ir.Thinking(True), {"thinking": False}, None, False, [("reasoning", False)]),
        (ir.Thinking(False), {"thinking": False}, None, False, []),
        (ir.Thinking(False), {"thinking": True}, None, True, [("reasoning", False)]),
        (ir.Thinking(False, "none"), {"thinking": True}, {"effort": "none"}, False, []),
    ],
)
def test_thinking(
    thinking: ir.Thinking, known: dict[str, Any], reasoning: Any, includes: bool, losses: list[Any]
) -> None:
    encoded = write(foreign(user(), thinking=thinking), **known)
    assert encoded.payload.get("reasoning") == reasoning
    assert ("include" in encoded.payload) == includes
    assert whats(encoded) == losses


# --- tools ------------------------------------------------------------------------------------------------------------


def test_functions_of_others_are_not_strict_unless_they_say_so() -> None:
    encoded = write(foreign(user(), tools=(ir.Tool("a"), ir.Tool("b", "d", {"type": "object"}, True))))
    assert encoded.payload["tools"] == [
        {"type": "function", "name": "a", "parameters": {"type": "object", "properties": {}}, "strict": False},
        {"type": "function", "name": "b", "description": "d", "parameters": {"type": "object"}, "strict": True},
    ]


def test_names_that_are_not_taken_are_changed_and_mapped_back() -> None:
    long, odd = "m" * 70, "a.b"
    tools = (ir.Tool(odd), ir.Tool(long))
    turn = assistant(ir.ToolCall("c", odd, "{}"))
    encoded = write(
        foreign(turn, user(ir.ToolResult("c", ())), tools=tools, tool_choice=ir.ToolChoice("named", (odd,)))
    )
    names = [tool["name"] for tool in listed(encoded, "tools")]
    assert items(encoded)[0]["name"] == names[0]
    assert encoded.payload["tool_choice"] == {"type": "function", "name": names[0]}
    assert encoded.context is not None
    assert encoded.context.tools == {names[0]: ToolName(odd), names[1]: ToolName(long)}
    assert max(map(len, names)) <= 64


def test_custom_tools_and_namespaces_are_flattened_for_vendors_without_them() -> None:
    """A request of Codex at a vendor that follows OpenAI less closely."""
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
    body = {
        "input": [
            {
                "type": "additional_tools",
                "role": "developer",
                "tools": [
                    {
                        "type": "namespace",
                        "name": "functions",
                        "tools": [{"type": "custom", "name": "exec", "format": grammar}],
                    }
                ],
            },
            {"type": "custom_tool_call", "call_id": "c", "name": "exec", "namespace": "functions", "input": "ls"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "a"},
        ]
    }
    encoded = write(read(body), "xai")
    (tool,) = listed(encoded, "tools")
    assert tool["name"] == "functions__exec"
    assert "start: /x/" in tool["description"]
    assert items(encoded) == [
        {"type": "function_call", "call_id": "c", "name": "functions__exec", "arguments": '{"input":"ls"}'},
        {"type": "function_call_output", "call_id": "c", "output": "a"},
    ]
    assert whats(encoded) == [("custom_tool_grammar", True)]
    assert encoded.context is not None
    assert encoded.context.tools == {"functions__exec": ToolName("exec", "functions", "custom")}


def test_a_search_for_tools_is_a_function_for_vendors_without_it() -> None:
    body = {
        "input": [
            {"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {"query": "x"}},
            {
                "type": "tool_search_output",
                "call_id": "c",
                "execution": "client",
                "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": False}],
            },
        ],
        "tools": [{"type": "tool_search", "execution": "client", "description": "d", "parameters": {"type": "object"}}],
    }
    encoded = write(read(body), "xai")
    assert [tool["name"] for tool in listed(encoded, "tools")] == ["tool_search", "f"]
    call, result = items(encoded)
    assert call == {"type": "function_call", "call_id": "c", "name": "tool_search", "arguments": '{"query":"x"}'}
    assert result["type"] == "function_call_output"
    assert '"name":"f"' in result["output"]


def test_tools_of_other_providers_are_lost() -> None:
    tool = ir.ServerTool("web_search", ir.Native(M, None, {"type": "web_search_20250305"}))
    encoded = write(foreign(user(), tools=(tool,), tool_choice=ir.ToolChoice("named", ("web_search",))))
    assert "tools" not in encoded.payload
    assert "tool_choice" not in encoded.payload
    assert whats(encoded) == [("server_tool", False), ("tool_choice", False)]


@pytest.mark.parametrize(
    ("choice", "written", "losses"),
    [
        (ir.ToolChoice("auto"), "auto", []),
        (ir.ToolChoice("required"), "required", []),
        (ir.ToolChoice("named", ("a",)), {"type": "function", "name": "a"}, []),
        (
            ir.ToolChoice("named", ("a", "c")),
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "a"}, {"type": "custom", "name": "c"}],
            },
            [],
        ),
        (
            ir.ToolChoice("named", ("a", "gone")),
            {"type": "function", "name": "a"},
            [("tool_choice_subset", True)],
        ),
        (ir.ToolChoice("named", ("gone",)), None, [("tool_choice", False)]),
    ],
)
def test_choices(choice: ir.ToolChoice, written: Any, losses: list[Any]) -> None:
    tools = (ir.Tool("a"), ir.Tool("c", kind="custom"))
    encoded = write(foreign(user(), tools=tools, tool_choice=choice))
    assert encoded.payload.get("tool_choice") == written
    assert whats(encoded) == losses


# --- fields -----------------------------------------------------------------------------------------------------------


def test_what_the_protocol_cannot_say_is_named() -> None:
    sampling = ir.Sampling(0.5, 0.9, 5, 7, 0.1, 0.2, ("END",), 2, 3)
    encoded = write(foreign(user(), sampling=sampling))
    assert whats(encoded) == [
        ("top_k", False),
        ("seed", False),
        ("penalties", False),
        ("penalties", False),
        ("stop", False),
        ("candidates", False),
    ]
    assert encoded.payload["temperature"] == 0.5
    assert encoded.payload["top_logprobs"] == 3
    assert encoded.payload["include"] == ["message.output_text.logprobs"]


def test_models_that_think_take_no_temperature() -> None:
    encoded = write(foreign(user(), sampling=ir.Sampling(temperature=0.5, top_p=1)), thinking=True)
    assert not {"temperature", "top_p"} & encoded.payload.keys()
    assert whats(encoded) == [("temperature", False)]


@pytest.mark.parametrize(
    ("wanted", "most", "sent", "losses"),
    [
        (None, 100, None, []),
        (50, None, 50, []),
        (500, 100, 100, [("max_output_tokens", True)]),
        (1, None, 16, [("max_output_tokens", True)]),
    ],
)
def test_length(wanted: int | None, most: int | None, sent: int | None, losses: list[Any]) -> None:
    encoded = write(foreign(user(), max_output_tokens=wanted), max_output_tokens=most)
    assert encoded.payload.get("max_output_tokens") == sent
    assert whats(encoded) == losses


def test_users_are_shortened_the_same_way_each_time() -> None:
    first, second = (write(foreign(user(), user="u" * 80)) for _ in range(2))
    assert first.payload["user"] == second.payload["user"] != "u" * 80
    assert whats(first) == [("user", True)]
    assert write(foreign(user(), user="u")).payload["user"] == "u"


def test_output_formats() -> None:
    output = ir.OutputFormat("json_schema", {"type": "object"}, "my name", "d", True)
    encoded = write(foreign(user(), output=output, verbosity="low"))
    assert encoded.payload["text"] == {
        "format": {
            "type": "json_schema",
            "name": "my_name",
            "description": "d",
            "schema": {"type": "object"},
            "strict": True,
        },
        "verbosity": "low",
    }
    assert whats(encoded) == [("name", True)]
    told = write(foreign(system("s"), user(), output=output), "deepseek")
    assert told.payload["text"] == {"format": {"type": "json_object"}}
    assert '{"type":"object"}' in str(told.payload["instructions"])
    assert whats(told) == [("json_schema", True)]


def test_other_fields() -> None:
    encoded = write(
        foreign(
            user(),
            metadata={"a": "b"},
            service_tier="flex",
            stream=True,
            tools=(ir.Tool("f"),),
            parallel_tool_calls=False,
        )
    )
    assert encoded.payload["metadata"] == {"a": "b"}
    assert encoded.payload["service_tier"] == "flex"
    assert encoded.payload["stream"] is True
    assert encoded.payload["parallel_tool_calls"] is False
    assert encoded.losses == ()
    refused = write(foreign(user(), metadata={"a": "b"}, user="u"), "deepseek")
    assert not {"metadata", "user", "store"} & refused.payload.keys()
    assert whats(refused) == [("metadata", False), ("user", False)]


def test_residue_of_others_is_named_wherever_it_is() -> None:
    hint = native({"cache_control": {"type": "ephemeral"}}, protocol=M)
    encoded = write(
        foreign(
            ir.Message("system", (ir.Text("s", native=hint),)),
            ir.Message("user", (ir.Text("u", native=hint),), native({"output_config": {"x": 1}}, protocol=M)),
            assistant(ir.ToolCall("c", "f", "{}", native=native({"thoughtSignature": "x"}, protocol=Protocol.GEMINI))),
            user(ir.ToolResult("c", (ir.Text("r", native=hint),), native=hint)),
            tools=(ir.Tool("f", native=hint),),
            native=native({"context_management": {"x": 1}}, protocol=M),
        )
    )
    assert sorted((loss.path, loss.what) for loss in encoded.losses) == [
        ("messages[0].parts[0].native", "cache_control"),
        ("messages[1].native", "unknown_field:output_config"),
        ("messages[1].parts[0].native", "cache_control"),
        ("messages[2].parts[0].native", "signature"),
        ("messages[3].parts[0].content[0].native", "cache_control"),
        ("messages[3].parts[0].native", "cache_control"),
        ("request.native", "context_management"),
        ("tools[0].native", "cache_control"),
    ]


def test_parts_of_others_are_lost_by_name() -> None:
    encoded = write(
        foreign(
            user(
                ir.Opaque("container_upload", ir.Native(M, None, {"type": "container_upload"})),
                ir.Text("x", (ir.Citation("https://e.com"),)),
            ),
            assistant(ir.ToolCall("s", "web_search", "{}", server=True), ir.ToolResult("s", (), server=True)),
            user(ir.ToolResult("c", (ir.Opaque("tool_reference", ir.Native(M, None, {"type": "x"})),))),
        )
    )
    assert whats(encoded) == [
        ("unknown_part:container_upload", False),
        ("citations", False),
        ("server_tool", False),
        ("server_tool", False),
        ("unknown_part:tool_reference", False),
        ("tool_result", True),
    ]


def test_a_turn_that_the_model_shall_go_on_with_begins_anew() -> None:
    encoded = write(foreign(user(), assistant(ir.Text("The answer is"))))
    assert items(encoded)[-1] == words("assistant", "The answer is")
    assert whats(encoded) == [("prefill", True)]


def test_a_part_of_words_without_words_goes_as_it_is() -> None:
    part: dict[str, Any] = {"type": "input_text", "odd": 1}
    encoded = write(read({"input": [{"role": "user", "content": [part]}]}))
    assert items(encoded)[0]["content"] == [part]
