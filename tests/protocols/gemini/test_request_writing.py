"""Requests for upstreams of Gemini, written: tables of what each neutral thing becomes, and its losses."""

from __future__ import annotations

from typing import Any

import pytest

from ccx.protocols import ir
from ccx.protocols.codec import Encoded, Target
from ccx.protocols.dialects import Dialect, dialect
from ccx.protocols.gemini import codec
from ccx.protocols.names import Protocol
from tests.protocols.gemini import legal
from tests.protocols.gemini.kit import mint, model, native, target, user, whats, write

IMAGE = ir.Media("image", ir.Inline("AAAA", "image/png"))
ANTHROPIC = (ir.Native(Protocol.MESSAGES, "anthropic", {"signature": "sig"}),)
CALL = ir.ToolCall("c1", "f", '{"a":1}')


def contents(*messages: ir.Message, **fields: Any) -> Any:
    return write(*messages, **fields).payload["contents"]


def result(*content: ir.Text | ir.Media | ir.Opaque, id_: str = "c1", **fields: Any) -> ir.ToolResult:
    return ir.ToolResult(id_, content, **fields)


def sent(encoded: Encoded) -> Any:
    """The payload, to be looked into."""
    return encoded.payload


def turn(*parts: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"role": role, "parts": list(parts)}


# --- conversations ----------------------------------------------------------------------------------------------------


def test_turns_alternate_and_instructions_lead() -> None:
    found = write(
        ir.Message("system", (ir.Text("one"),)),
        ir.Message("system", (ir.Text("two"),)),
        user("a"),
        user("b"),
        model("c"),
        model(ir.Text("d")),
    )
    assert found.payload == {
        "contents": [turn({"text": "a"}, {"text": "b"}), turn({"text": "c"}, {"text": "d"}, role="model")],
        "systemInstruction": {"parts": [{"text": "one"}, {"text": "two"}]},
    }
    assert found.losses == ()


def test_later_instructions_are_told_by_the_user() -> None:
    found = write(user("a"), model("b"), ir.Message("system", (ir.Text("be brief"),)), user("c"))
    assert sent(found)["contents"][-1] == turn({"text": "<system>\nbe brief\n</system>"}, {"text": "c"})
    assert [(loss.what, loss.approximate) for loss in found.losses] == [("system_position", True)]


def test_nothing_but_instructions_is_what_is_asked() -> None:
    found = write(ir.Message("system", (ir.Text("one"),)), ir.Message("system", (ir.Text("two"),)))
    assert sent(found)["contents"] == [turn({"text": "two"})]
    assert found.payload["systemInstruction"] == {"parts": [{"text": "one"}]}
    assert whats(found) == ["system_position"]


def test_what_is_not_text_is_no_instruction() -> None:
    found = write(ir.Message("system", (ir.Text("see"), IMAGE)), user("a"))
    assert sent(found)["contents"] == [turn({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, {"text": "a"})]
    assert whats(found) == ["system_position"]


def test_results_follow_their_calls_and_bear_their_names() -> None:
    found = contents(user("a"), model(CALL), user(result(ir.Text("ok"), name="other")), model="gemini-2.5-pro")
    assert found[1:] == [
        turn({"functionCall": {"name": "f", "args": {"a": 1}, "id": "c1"}}, role="model"),
        turn({"functionResponse": {"name": "f", "id": "c1", "response": {"output": "ok"}}}),
    ]


def test_a_late_result_moves_to_its_call_and_a_lost_one_is_made_up() -> None:
    found = write(
        user("a"),
        model(CALL, ir.ToolCall("c2", "g", "{}")),
        user("wait"),
        model("yes"),
        user(result(ir.Text("late")), "more"),
        model="gemini-2.5-pro",
    )
    assert sent(found)["contents"][2:] == [
        turn(
            {"functionResponse": {"name": "f", "id": "c1", "response": {"output": "late"}}},
            {
                "functionResponse": {
                    "name": "g",
                    "id": "c2",
                    "response": {"error": "There is no result of this call."},
                }
            },
            {"text": "wait"},
        ),
        turn({"text": "yes"}, role="model"),
        turn({"text": "more"}),
    ]
    assert whats(found) == ["tool_result", "tool_result"]
    legal.check(found.payload)


def test_a_result_goes_before_the_words_of_its_turn_though_a_moved_one_stood_there() -> None:
    second = ir.ToolCall("c2", "g", "{}")
    found = write(
        user("a"),
        model(CALL),
        user("wait"),
        model(second),
        user(result(ir.Text("late")), "words", result(ir.Text("own"), id_="c2")),
        model="gemini-2.5-pro",
    )
    own = {"functionResponse": {"name": "g", "id": "c2", "response": {"output": "own"}}}
    assert sent(found)["contents"][-1] == turn(own, {"text": "words"})
    legal.check(found.payload)


def test_a_call_that_awaits_its_result_is_left_alone() -> None:
    found = write(user("a"), model(CALL), model="gemini-2.5-pro")
    assert len(sent(found)["contents"]) == 2
    assert found.losses == ()


def test_a_result_of_no_call_becomes_text() -> None:
    found = write(user("a", result(ir.Text("ok"), name="f")), model="gemini-2.5-pro")
    assert sent(found)["contents"] == [turn({"text": "a"}, {"text": "Result of the tool call f:\nok"})]
    assert [(loss.what, loss.approximate) for loss in found.losses] == [("tool_result", True)]


def test_a_conversation_does_not_begin_with_a_call() -> None:
    found = write(model(CALL), user(result(ir.Text("ok"))), model="gemini-2.5-pro")
    assert sent(found)["contents"][0] == turn({"text": "Continue."})
    assert whats(found) == ["turn_order"]


# --- parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "is_error", "response"),
    [
        ("sunny", False, {"output": "sunny"}),
        ("", False, {"output": ""}),
        (None, False, {}),
        ('{"a":1}', False, {"a": 1}),
        ('{"a": 1}', False, {"output": '{"a": 1}'}),  # a space would be lost
        ('{"output":"x"}', False, {"output": '{"output":"x"}'}),  # it would read as x
        ('{"error":"x"}', False, {"output": '{"error":"x"}'}),  # it would read as an error
        ('{"error":{"a":1}}', False, {"output": '{"error":{"a":1}}'}),
        ("[1]", False, {"output": "[1]"}),
        ("{broken}", False, {"output": "{broken}"}),
        ("{}", False, {"output": "{}"}),
        ("boom", True, {"error": "boom"}),
        ('{"code":5}', True, {"error": {"code": 5}}),
        (None, True, {"error": ""}),
    ],
)
def test_what_a_function_gave_is_an_object(said: str | None, is_error: bool, response: dict[str, Any]) -> None:
    given = result(*(() if said is None else (ir.Text(said),)), is_error=is_error)
    found = contents(user("a"), model(CALL), user(given))
    assert found[2]["parts"][0]["functionResponse"]["response"] == response


def test_texts_of_a_result_are_put_together() -> None:
    found = contents(user("a"), model(CALL), user(result(ir.Text("a"), ir.Text("b"))))
    assert found[2]["parts"][0]["functionResponse"]["response"] == {"output": "a\nb"}


PDF = ir.Media("document", ir.Inline("AAAA", "application/pdf"), name="a.pdf")
GIF = ir.Media("image", ir.Inline("AAAA", "image/gif"))
LINK = ir.Media("image", ir.Remote("https://example.com/a.png"))


@pytest.mark.parametrize(
    ("media", "to", "inside"),
    [
        (IMAGE, "gemini-3-flash-preview", {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}),
        (
            PDF,
            "gemini-3-flash-preview",
            {"inlineData": {"mimeType": "application/pdf", "data": "AAAA", "displayName": "a.pdf"}},
        ),
        (
            LINK,
            "gemini-3-flash-preview",
            {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png"}},
        ),
        (IMAGE, "gemini-2.5-pro", None),
        (GIF, "gemini-3-flash-preview", None),
    ],
)
def test_media_in_results(media: ir.Media, to: str, inside: dict[str, Any] | None) -> None:
    encoded = write(user("a"), model(CALL), user(result(ir.Text("see"), media), "more"), model=to)
    parts: Any = sent(encoded)["contents"][2]["parts"]
    if inside is not None:
        assert parts[0]["functionResponse"]["parts"] == [inside]
        assert parts[1:] == [{"text": "more"}]
        assert set(whats(encoded)) <= {"signature"}
    else:
        assert "parts" not in parts[0]["functionResponse"]
        assert list(parts[1]) == ["inlineData"]
        assert parts[2] == {"text": "more"}
        assert "media_in_tool_result" in whats(encoded)


def test_media_beside_results_come_after_the_last_of_them() -> None:
    calls = model(CALL, ir.ToolCall("c2", "g", "{}"))
    found = contents(user("a"), calls, user(result(IMAGE), result(ir.Text("ok"), id_="c2")), model="gemini-2.5-pro")
    assert [next(iter(part)) for part in found[2]["parts"]] == ["functionResponse", "functionResponse", "inlineData"]


@pytest.mark.parametrize(
    ("part", "written", "losses"),
    [
        (ir.Text(""), None, []),
        (
            ir.Text("a", native=(ir.Native(Protocol.MESSAGES, None, {"cache_control": {}, "x": 1}),)),
            {"text": "a"},
            ["unknown_field:x"],
        ),
        (
            ir.Text("a", native=(ir.Native(Protocol.MESSAGES, None, {"cache_control": {"type": "ephemeral"}}),)),
            {"text": "a"},
            ["cache_control"],
        ),
        (ir.Text("a", (ir.Citation("https://x.example"),)), {"text": "a"}, ["citations"]),
        (ir.Refusal("no"), {"text": "no"}, ["refusal"]),
        (IMAGE, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, []),
        (
            ir.Media("image", ir.Inline("AAAA", "image/png"), name="n", detail="low"),
            {
                "inlineData": {"mimeType": "image/png", "data": "AAAA"},
                "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"},
            },
            ["name"],
        ),
        (LINK, {"fileData": {"fileUri": "https://example.com/a.png", "mimeType": "image/png"}}, []),
        (
            ir.Media("document", ir.Remote("https://example.com/doc")),
            {"fileData": {"fileUri": "https://example.com/doc", "mimeType": "application/pdf"}},
            [],
        ),
        (
            ir.Media("video", ir.Remote("https://youtu.be/1")),
            {"fileData": {"fileUri": "https://youtu.be/1"}},
            [],
        ),
        (
            ir.Media("video", ir.FileRef("gs://b/x", "video/mp4")),
            {"fileData": {"fileUri": "gs://b/x", "mimeType": "video/mp4"}},
            [],
        ),
        (ir.Media("document", ir.FileRef("file-abc")), {"text": "[document left out]"}, ["file_id"]),
        (
            ir.Opaque("hologram", ir.Native(Protocol.GEMINI, None, {"hologram": {}})),
            {"hologram": {}},
            [],
        ),
        (
            ir.Opaque("container", ir.Native(Protocol.MESSAGES, None, {"type": "container"})),
            None,
            ["unknown_part:container"],
        ),
    ],
)
def test_each_part_of_a_user(part: ir.Part, written: dict[str, Any] | None, losses: list[str]) -> None:
    found = write(user("before", part))
    assert sent(found)["contents"] == [turn({"text": "before"}, *([] if written is None else [written]))]
    assert whats(found) == losses


def test_older_models_fetch_nothing_and_some_do_not_see() -> None:
    found = write(user(LINK), model="gemini-2.0-flash")
    assert sent(found)["contents"] == [turn({"text": "[image left out]"})]
    assert whats(found) == ["remote_url"]
    blind = codec.encode_request(ir.Request("m", (user(IMAGE),)), target(vision=False), new_id=mint)
    assert whats(blind) == ["image"]
    assert whats(write(user(ir.Media("image", IMAGE.source, detail="high")), model="gemini-2.5-pro")) == ["detail"]


@pytest.mark.parametrize(
    ("part", "to", "written", "losses"),
    [
        (ir.Reasoning("hm"), dialect("gemini"), None, ["reasoning"]),
        (ir.Reasoning("hm"), Dialect("x", reasoning_back="always"), {"text": "hm", "thought": True}, []),
        (ir.Reasoning("hm", native=ANTHROPIC), dialect("gemini"), None, ["signature", "reasoning"]),
        (ir.Reasoning("hm", native=native(thought=True)), dialect("gemini"), {"text": "hm", "thought": True}, []),
        (
            ir.Reasoning("", native=native(thought=True, thoughtSignature="s")),
            dialect("gemini"),
            {"text": "", "thought": True, "thoughtSignature": "s"},
            [],
        ),
        (
            ir.Reasoning("hm", native=native("vertex", thought=True)),
            dialect("gemini"),
            None,
            ["reasoning", "reasoning"],
        ),
        (
            ir.Text("a", native=native(thoughtSignature="s")),
            dialect("gemini"),
            {"text": "a", "thoughtSignature": "s"},
            [],
        ),
        (
            ir.Text("", native=native(thoughtSignature="s")),
            dialect("gemini"),
            {"text": "", "thoughtSignature": "s"},
            [],
        ),
        (ir.Text("a", native=native("vertex", thoughtSignature="s")), dialect("gemini"), {"text": "a"}, ["signature"]),
        (
            ir.ToolCall("e", "code_execution", "{}", server=True, native=native(executableCode={"code": "1"})),
            dialect("gemini"),
            {"executableCode": {"code": "1"}},
            [],
        ),
        (ir.ToolCall("e", "web_search", "{}", server=True, native=ANTHROPIC), dialect("gemini"), None, ["server_tool"]),
        (
            ir.ToolResult("e", (), server=True, native=native(codeExecutionResult={"outcome": "OUTCOME_OK"})),
            dialect("gemini"),
            {"codeExecutionResult": {"outcome": "OUTCOME_OK"}},
            [],
        ),
        (ir.ToolResult("e", (), server=True), dialect("gemini"), None, ["server_tool"]),
    ],
)
def test_each_part_of_the_model(part: ir.Part, to: Dialect, written: dict[str, Any] | None, losses: list[str]) -> None:
    request = ir.Request("m", (user("a"), model(part, "after")))
    found = codec.encode_request(request, Target("gemini", "gemini-2.5-pro", to), new_id=mint)
    assert sent(found)["contents"][1]["parts"] == [*([] if written is None else [written]), {"text": "after"}]
    assert whats(found) == losses


def test_thoughts_of_others_than_the_model_are_none() -> None:
    assert whats(write(user("a", ir.Reasoning("hm")))) == ["reasoning"]


@pytest.mark.parametrize(
    ("arguments", "args", "losses"),
    [
        ("", {}, []),
        ("{}", {}, []),
        ('{"a": 1}', {"a": 1}, []),
        ("[1]", {"arguments": "[1]"}, ["arguments"]),
        ('{"a":', {"arguments": '{"a":'}, ["arguments"]),
    ],
)
def test_arguments(arguments: str, args: dict[str, Any], losses: list[str]) -> None:
    found = write(user("a"), model(ir.ToolCall("c1", "f", arguments)), model="gemini-2.5-pro")
    assert sent(found)["contents"][1]["parts"][0]["functionCall"]["args"] == args
    assert whats(found) == losses


def test_ids_that_were_made_for_want_of_one_do_not_go_back() -> None:
    body: Any = {
        "contents": [
            turn({"text": "a"}),
            turn({"functionCall": {"name": "f", "args": {}}}, role="model"),
            turn({"functionResponse": {"name": "f", "response": {"output": "x"}}}),
        ]
    }
    read = codec.decode_request(body, model="m", stream=False)
    assert codec.encode_request(read, target("gemini-2.5-pro"), new_id=mint).payload == body


# --- signatures -------------------------------------------------------------------------------------------------------

SIGNED = ir.ToolCall("c0", "f", "{}", native=native(thoughtSignature="own"))
STAND_IN = "skip_thought_signature_validator"


def signatures(encoded: Any) -> list[str | None]:
    return [
        part.get("thoughtSignature")
        for content in sent(encoded)["contents"]
        for part in content["parts"]
        if "functionCall" in part
    ]


def test_the_first_call_of_each_step_of_the_turn_has_a_signature() -> None:
    steps = (
        model(ir.ToolCall("a", "f", "{}")),
        user(result(id_="a")),
        user("next"),
        model(CALL, ir.ToolCall("c2", "f", "{}")),
        user(result(), result(id_="c2")),
        model(SIGNED),
        user(result(id_="c0")),
        model(ir.ToolCall("c3", "f", "{}")),
        user(result(id_="c3")),
    )
    found = write(user("begin"), *steps[:2], model("done"), *steps[2:], model="gemini-3-pro-preview")
    # What belongs to a turn that is over is not checked; of calls made at once, the first speaks for all.
    assert signatures(found) == [None, STAND_IN, None, "own", STAND_IN]
    assert [(loss.what, loss.approximate) for loss in found.losses] == [("signature", True)] * 2


@pytest.mark.parametrize("to", ["gemini-2.5-pro", "gemini-3-pro-image-preview", "other"])
def test_who_does_not_insist_gets_no_stand_in(to: str) -> None:
    assert signatures(write(user("a"), model(CALL), user(result()), model=to)) == [None]


# --- tools ------------------------------------------------------------------------------------------------------------


def test_tools_and_their_names() -> None:
    long = "x" * 70
    tools = (
        ir.Tool("run", "d", {"type": "object", "properties": {}}),
        ir.Tool("1 bad name", None, None),
        ir.Tool("run", None, None, namespace="codex"),
        ir.Tool(long, None, None),
        ir.Tool("patch", "edit", None, kind="custom", grammar=("lark", "start: x")),
    )
    found = write(user("a"), tools=tools)
    (tool,) = sent(found)["tools"]
    declared = tool["functionDeclarations"]
    assert declared[0] == {
        "name": "run",
        "description": "d",
        "parametersJsonSchema": {"type": "object", "properties": {}},
    }
    assert [one["name"] for one in declared[1:3]] == ["_1_bad_name", "codex__run"]
    assert "parametersJsonSchema" not in declared[1]
    assert declared[4]["parametersJsonSchema"]["required"] == ["input"]
    assert "lark grammar:\nstart: x" in declared[4]["description"]
    assert whats(found) == ["custom_tool_grammar"]
    assert found.context is not None
    back = found.context.tools
    assert {name: (one.name, one.namespace, one.kind) for name, one in back.items()} == {
        "_1_bad_name": ("1 bad name", None, "function"),
        "codex__run": ("run", "codex", "function"),
        declared[3]["name"]: (long, None, "function"),
        "patch": ("patch", None, "custom"),
    }
    assert len(declared[3]["name"]) <= 64


def test_a_tool_that_is_declared_twice_is_sent_once() -> None:
    found = write(user("a"), tools=(ir.Tool("f"), ir.Tool("f", "again")))
    assert sent(found)["tools"] == [{"functionDeclarations": [{"name": "f"}]}]
    assert whats(found) == ["tool"]


def test_server_tools_go_to_who_declared_them() -> None:
    search = ir.ServerTool("web_search", ir.Native(Protocol.GEMINI, None, {"googleSearch": {}}))
    theirs = ir.ServerTool("web_search", ir.Native(Protocol.MESSAGES, None, {"type": "web_search_20250305"}))
    found = write(user("a"), tools=(search, theirs, ir.Tool("f", strict=True)))
    assert sent(found)["tools"] == [{"googleSearch": {}}, {"functionDeclarations": [{"name": "f"}]}]
    assert whats(found) == ["server_tool", "strict"]


@pytest.mark.parametrize(
    ("choice", "config", "losses"),
    [
        (None, None, []),
        (ir.ToolChoice("auto"), {"mode": "AUTO"}, []),
        (ir.ToolChoice("none"), {"mode": "NONE"}, []),
        (ir.ToolChoice("required"), {"mode": "ANY"}, []),
        (ir.ToolChoice("named", ("f",)), {"mode": "ANY", "allowedFunctionNames": ["f"]}, []),
        (ir.ToolChoice("named", ("f", "ns__g")), {"mode": "ANY", "allowedFunctionNames": ["f", "ns__g"]}, []),
        (ir.ToolChoice("named", ("f", "zz")), {"mode": "ANY", "allowedFunctionNames": ["f"]}, ["tool_choice"]),
        (ir.ToolChoice("named", ("zz",)), None, ["tool_choice"]),
    ],
)
def test_the_choice_of_tools(choice: ir.ToolChoice, config: dict[str, Any] | None, losses: list[str]) -> None:
    found = write(user("a"), tools=(ir.Tool("f"), ir.Tool("g", namespace="ns")), tool_choice=choice)
    assert found.payload.get("toolConfig") == (None if config is None else {"functionCallingConfig": config})
    assert whats(found) == losses


def test_a_choice_without_tools_and_calls_one_by_one() -> None:
    found = write(user("a"), tool_choice=ir.ToolChoice("required"), parallel_tool_calls=False)
    assert "toolConfig" not in found.payload
    assert whats(found) == ["parallel_tool_calls", "tool_choice"]


def test_a_choice_of_geminis_own_goes_as_it_was() -> None:
    config = {"functionCallingConfig": {"mode": "VALIDATED"}, "includeServerSideToolInvocations": True}
    found = write(
        user("a"), tools=(ir.Tool("f"),), tool_choice=ir.ToolChoice("auto"), native=native(None, toolConfig=config)
    )
    assert found.payload["toolConfig"] == config


# --- settings ---------------------------------------------------------------------------------------------------------


def test_sampling_and_length() -> None:
    sampling = ir.Sampling(0.5, 0.9, 40, 7, 0.1, 0.2, tuple("abcdefg"), 2, 3)
    found = codec.encode_request(
        ir.Request("m", (user("a"),), max_output_tokens=100_000, sampling=sampling),
        target(max_output_tokens=65_536),
        new_id=mint,
    )
    assert found.payload["generationConfig"] == {
        "maxOutputTokens": 65_536,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "candidateCount": 2,
        "stopSequences": ["a", "b", "c", "d", "e"],
    }
    assert [(loss.what, loss.approximate) for loss in found.losses] == [
        ("max_output_tokens", True),
        ("stop", False),
        ("logprobs", False),
    ]


def test_structured_output() -> None:
    schema: ir.JsonObject = {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}}
    found = write(user("a"), output=ir.OutputFormat("json_schema", schema, "answer", "what it is", True))
    assert found.payload["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": {
            "description": "what it is",
            "title": "answer",
            "type": "object",
            "properties": {"a": {"type": "string", "description": "(minLength: 2)"}},
        },
    }
    assert [(loss.what, loss.approximate) for loss in found.losses] == [("schema:minLength", True)]
    plain = write(user("a"), output=ir.OutputFormat("json"))
    assert plain.payload["generationConfig"] == {"responseMimeType": "application/json"}


@pytest.mark.parametrize(
    ("tier", "written", "losses"),
    [
        ("auto", None, []),
        ("default", "standard", []),
        ("flex", "flex", []),
        ("priority", "priority", []),
        ("scale", None, ["service_tier"]),
    ],
)
def test_service_tiers(tier: str, written: str | None, losses: list[str]) -> None:
    found = write(user("a"), service_tier=tier)
    assert (found.payload.get("serviceTier"), whats(found)) == (written, losses)


def test_what_has_no_place_is_named() -> None:
    found = write(
        user("a"),
        user="u",
        metadata={"k": "v"},
        verbosity="low",
        native=(
            ir.Native(Protocol.CHAT, None, {"prediction": {}, "logit_bias": {"1": 2}}),
            ir.Native(Protocol.GEMINI, "vertex", {"safetySettings": [1]}),
        ),
    )
    assert whats(found) == ["logit_bias", "safety_settings", "user", "metadata", "verbosity"]


def test_residue_of_a_message_is_named_but_for_how_a_system_message_was_called() -> None:
    message = ir.Message(
        "system", (ir.Text("a"),), (ir.Native(Protocol.CHAT, None, {"role": "developer", "name": "n"}),)
    )
    assert whats(write(message, user("b"))) == ["name"]


BODY: Any = {
    "contents": [
        turn({"text": "draw"}),
        turn(
            {"text": "hm", "thought": True},
            {"functionCall": {"name": "f", "args": {"a": 1}, "id": "c1"}, "thoughtSignature": "c2ln"},
            {"functionCall": {"name": "g", "args": {}, "id": "c2"}},
            role="model",
        ),
        turn(
            {"functionResponse": {"name": "f", "id": "c1", "response": {"a": 1}, "scheduling": "SILENT"}},
            {"functionResponse": {"name": "g", "id": "c2", "response": {"error": "no"}}},
            {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
            {"text": "go on"},
        ),
        turn({"text": "", "thoughtSignature": "c2ln"}, {"hologram": 1}, role="model"),
    ],
    "systemInstruction": {"parts": [{"text": "be kind"}]},
    "tools": [
        {"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}, {"name": "g"}]},
        {"codeExecution": {}},
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    "generationConfig": {
        "maxOutputTokens": 100,
        "temperature": 1.5,
        "candidateCount": 2,
        "thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": True},
        "responseModalities": ["TEXT", "IMAGE"],
        "imageConfig": {"aspectRatio": "16:9"},
        "responseLogprobs": True,
        "novel": 1,
    },
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
    "cachedContent": "cachedContents/1",
    "serviceTier": "flex",
    "store": True,
}


def test_a_request_of_geminis_own_goes_through_unchanged() -> None:
    read = codec.decode_request(BODY, model="gemini-3-flash-preview", stream=False)
    encoded = codec.encode_request(read, target(), new_id=mint)
    assert encoded.payload == BODY
    assert encoded.losses == ()
