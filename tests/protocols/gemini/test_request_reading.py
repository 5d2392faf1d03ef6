"""Requests of clients of Gemini, read: tables of what each field becomes."""

from __future__ import annotations

from typing import Any

import pytest

from ccx.errors import ClientError
from ccx.protocols import ir
from ccx.protocols.gemini import codec
from ccx.protocols.names import Protocol
from tests.protocols.gemini.kit import native, parts, read

PNG = {"mimeType": "image/png", "data": "iVBORw0="}


def client(**data: Any) -> tuple[ir.Native, ...]:
    return native(None, **data)


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        ({"text": "hi"}, ir.Text("hi")),
        ({"text": "hi", "thought": False}, ir.Text("hi")),
        ({"text": "hm", "thought": True}, ir.Reasoning("hm", True, client(thought=True))),
        (
            {"text": "hm", "thought": True, "thoughtSignature": "c2ln"},
            ir.Reasoning("hm", True, client(thought=True, thoughtSignature="c2ln")),
        ),
        ({"text": "", "thoughtSignature": "c2ln"}, ir.Text("", native=client(thoughtSignature="c2ln"))),
        ({"thoughtSignature": "c2ln"}, ir.Text("", native=client(thoughtSignature="c2ln"))),
        ({"inlineData": PNG}, ir.Media("image", ir.Inline("iVBORw0=", "image/png"))),
        (
            {"inlineData": {"mimeType": "image/jpeg", "data": "_9j-4A"}},
            ir.Media("image", ir.Inline("/9j+4A==", "image/jpeg")),
        ),
        (
            {"inlineData": {"mimeType": "application/pdf", "data": "AAAA", "displayName": "a.pdf"}},
            ir.Media("document", ir.Inline("AAAA", "application/pdf"), name="a.pdf"),
        ),
        (
            {"inlineData": PNG, "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"}},
            ir.Media("image", ir.Inline("iVBORw0=", "image/png"), detail="high"),
        ),
        (
            {"inlineData": PNG, "mediaResolution": {"level": "MEDIA_RESOLUTION_ULTRA_HIGH"}},
            ir.Media(
                "image",
                ir.Inline("iVBORw0=", "image/png"),
                native=client(mediaResolution={"level": "MEDIA_RESOLUTION_ULTRA_HIGH"}),
            ),
        ),
        (
            {"fileData": {"fileUri": "gs://b/film.mp4", "mimeType": "video/mp4"}, "videoMetadata": {"fps": 2}},
            ir.Media("video", ir.FileRef("gs://b/film.mp4", "video/mp4"), native=client(videoMetadata={"fps": 2})),
        ),
        (
            {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x1", "mimeType": "a/b"}},
            ir.Media("document", ir.FileRef("https://generativelanguage.googleapis.com/v1beta/files/x1", "a/b")),
        ),
        (
            {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}},
            ir.Media("video", ir.Remote("https://www.youtube.com/watch?v=1")),
        ),
        (
            {"fileData": {"fileUri": "https://example.com/a.JPG?x=1"}},
            ir.Media("image", ir.Remote("https://example.com/a.JPG?x=1")),
        ),
        (
            {"functionCall": {"name": "f", "args": {"a": [1]}, "id": "c1"}, "thoughtSignature": "c2ln"},
            ir.ToolCall("c1", "f", '{"a":[1]}', native=client(thoughtSignature="c2ln")),
        ),
        ({"functionCall": {"name": "f"}}, ir.ToolCall("gemcall_0", "f", "{}")),
        (
            {"executableCode": {"language": "PYTHON", "code": "1", "id": "e1"}},
            ir.ToolCall(
                "e1",
                "code_execution",
                '{"code":"1"}',
                server=True,
                native=client(executableCode={"language": "PYTHON", "code": "1", "id": "e1"}),
            ),
        ),
        (
            {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "args": {"queries": ["q"]}, "id": "t1"}},
            ir.ToolCall(
                "t1",
                "web_search",
                '{"queries":["q"]}',
                server=True,
                native=client(toolCall={"toolType": "GOOGLE_SEARCH_WEB", "args": {"queries": ["q"]}, "id": "t1"}),
            ),
        ),
        (
            {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "no", "id": "e1"}},
            ir.ToolResult(
                "e1",
                (),
                name="code_execution",
                is_error=True,
                server=True,
                native=client(codeExecutionResult={"outcome": "OUTCOME_FAILED", "output": "no", "id": "e1"}),
            ),
        ),
        (
            {"hologram": {"x": 1}, "thought": False},
            ir.Opaque("hologram", ir.Native(Protocol.GEMINI, None, {"hologram": {"x": 1}, "thought": False})),
        ),
    ],
)
def test_each_part(raw: dict[str, Any], part: ir.Part) -> None:
    assert parts(raw, role="model") == (part,)


@pytest.mark.parametrize(
    ("response", "content", "is_error"),
    [
        ({"output": "sunny"}, (ir.Text("sunny"),), False),
        ({"error": "no such city"}, (ir.Text("no such city"),), True),
        ({"error": {"code": 5}}, (ir.Text('{"code":5}'),), True),
        ({"temperature": 5, "sky": "blue"}, (ir.Text('{"temperature":5,"sky":"blue"}'),), False),
        ({"output": {"a": 1}}, (ir.Text('{"output":{"a":1}}'),), False),
        ({}, (), False),
        ({"output": ""}, (ir.Text(""),), False),
    ],
)
def test_the_response_of_a_function_is_text(
    response: dict[str, Any], content: tuple[ir.Text, ...], is_error: bool
) -> None:
    found = parts({"functionResponse": {"name": "f", "id": "c1", "response": response}})
    assert found == (ir.ToolResult("c1", content, name="f", is_error=is_error),)


def test_media_of_a_result_inside_it_and_beside_it() -> None:
    inside = {"functionResponse": {"name": "f", "id": "c1", "response": {}, "parts": [{"inlineData": PNG}]}}
    image = ir.Media("image", ir.Inline("iVBORw0=", "image/png"))
    assert parts(inside, {"inlineData": PNG}) == (ir.ToolResult("c1", (image,), name="f"), image)


def test_fields_of_a_call_and_a_result_that_are_not_known_stay_with_them() -> None:
    (call,) = parts({"functionCall": {"name": "f", "args": {}, "id": "c", "later": 1}}, role="model")
    assert isinstance(call, ir.ToolCall)
    assert call.native == client(functionCall={"later": 1})
    (result,) = parts({"functionResponse": {"name": "f", "id": "c", "response": {}, "scheduling": "SILENT"}})
    assert isinstance(result, ir.ToolResult)
    assert result.native == client(functionResponse={"scheduling": "SILENT"})


def call(name: str, **fields: str) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": {}, **fields}}


def result(name: str, **fields: str) -> dict[str, Any]:
    return {"functionResponse": {"name": name, "response": {"output": name}, **fields}}


@pytest.mark.parametrize(
    ("calls", "results", "pairs"),
    [
        # Without ids, by name, and among the same name in order.
        ([call("f"), call("g"), call("f")], [result("g"), result("f"), result("f")], [1, 0, 2]),
        # Ids on one side only.
        ([call("f"), call("f")], [result("f", id="x"), result("f", id="y")], [0, 1]),
        ([call("f", id="a"), call("f", id="b")], [result("f"), result("f")], [0, 1]),
        # Ids win over order.
        ([call("f", id="a"), call("f", id="b")], [result("f", id="b"), result("f", id="a")], [1, 0]),
    ],
)
def test_results_find_their_calls(calls: list[dict[str, Any]], results: list[dict[str, Any]], pairs: list[int]) -> None:
    found = read({"contents": [{"role": "model", "parts": calls}, {"role": "user", "parts": results}]}).messages
    ids = [part.id for part in found[0].parts if isinstance(part, ir.ToolCall)]
    assert len(set(ids)) == len(ids)
    assert [part.call_id for part in found[1].parts if isinstance(part, ir.ToolResult)] == [ids[at] for at in pairs]


def test_a_result_of_another_call_keeps_its_own_id() -> None:
    found = read({"contents": [{"role": "model", "parts": [call("f", id="a")]}, {"parts": [result("f", id="z")]}]})
    (part,) = found.messages[1].parts
    assert isinstance(part, ir.ToolResult)
    assert part.call_id == "z"


@pytest.mark.parametrize(
    ("role", "neutral"),
    [("user", "user"), ("model", "assistant"), ("function", "user"), (None, "user"), ("system", "system")],
)
def test_roles(role: str | None, neutral: str) -> None:
    content = {"parts": [{"text": "x"}], **({} if role is None else {"role": role})}
    assert [message.role for message in read({"contents": content}).messages] == [neutral]


@pytest.mark.parametrize(
    "body",
    [
        {"system_instruction": {"parts": [{"text": "be kind"}]}},
        {"systemInstruction": {"role": "user", "parts": {"text": "be kind"}}},
        {"systemInstruction": "be kind"},
    ],
)
def test_system_instructions(body: dict[str, Any]) -> None:
    assert read(body).messages == (ir.Message("system", (ir.Text("be kind"),)),)


def test_both_spellings_of_every_level_mean_the_same() -> None:
    camel = {
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"inlineData": PNG},
                    {
                        "fileData": {"fileUri": "gs://b/x", "mimeType": "image/png"},
                        "videoMetadata": {"startOffset": "1s"},
                    },
                    {"functionResponse": {"name": "f", "response": {"snake_key": {"inner_key": 1}}}},
                ],
            },
            {
                "role": "model",
                "parts": [{"functionCall": {"name": "f", "args": {"a_b": 1}}, "thoughtSignature": "c2ln"}],
            },
        ],
        "generationConfig": {
            "maxOutputTokens": 5,
            "stopSequences": ["x"],
            "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 7},
            "responseMimeType": "application/json",
            "responseSchema": {"type": "ARRAY", "items": {"type": "STRING"}, "minItems": "1"},
        },
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "tools": [
            {"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {"a_b": {}}}}]},
            {"googleSearch": {}},
        ],
        "safetySettings": [{"category": "X", "threshold": "OFF"}],
    }
    snake = {
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"inline_data": {"mime_type": "image/png", "data": PNG["data"]}},
                    {
                        "file_data": {"file_uri": "gs://b/x", "mime_type": "image/png"},
                        "video_metadata": {"start_offset": "1s"},
                    },
                    {"function_response": {"name": "f", "response": {"snake_key": {"inner_key": 1}}}},
                ],
            },
            {
                "role": "model",
                "parts": [{"function_call": {"name": "f", "args": {"a_b": 1}}, "thought_signature": "c2ln"}],
            },
        ],
        "generation_config": {
            "max_output_tokens": 5,
            "stop_sequences": ["x"],
            "thinking_config": {"include_thoughts": True, "thinking_budget": 7},
            "response_mime_type": "application/json",
            "response_schema": {"type": "ARRAY", "items": {"type": "STRING"}, "min_items": 1},
        },
        "tool_config": {"function_calling_config": {"mode": 2, "allowed_function_names": ["f"]}},
        "tools": [
            {"function_declarations": [{"name": "f", "parameters": {"type": 6, "properties": {"a_b": {}}}}]},
            {"google_search": {}},
        ],
        "safety_settings": [{"category": "X", "threshold": "OFF"}],
    }
    found = read(snake)
    assert found == read(camel)
    (message,) = (one for one in found.messages if one.role == "assistant")
    (said,) = message.parts
    assert isinstance(said, ir.ToolCall)
    assert said.arguments == '{"a_b":1}'


def test_sampling_and_length() -> None:
    found = read(
        {
            "generationConfig": {
                "maxOutputTokens": "100",
                "temperature": 0.5,
                "topP": 1,
                "topK": 40.0,
                "seed": 7,
                "stopSequences": "END",
                "candidateCount": 2,
                "presencePenalty": 0.1,
                "frequencyPenalty": -0.1,
            }
        }
    )
    assert found.max_output_tokens == 100
    assert found.sampling == ir.Sampling(0.5, 1, 40, 7, 0.1, -0.1, ("END",), 2)
    assert found.native == ()


@pytest.mark.parametrize(
    ("config", "thinking"),
    [
        ({}, ir.Thinking(summary=False)),
        ({"includeThoughts": True}, ir.Thinking(True, summary=True)),
        ({"thinkingBudget": 0}, ir.Thinking(False, summary=False)),
        ({"thinkingBudget": -1, "includeThoughts": True}, ir.Thinking(True, adaptive=True, summary=True)),
        ({"thinkingBudget": "2048"}, ir.Thinking(True, budget=2048, summary=False)),
        ({"thinkingLevel": "HIGH"}, ir.Thinking(True, effort="high", summary=False)),
        ({"thinking_level": "minimal"}, ir.Thinking(True, effort="minimal", summary=False)),
        ({"thinkingLevel": 1}, ir.Thinking(True, effort="low", summary=False)),
    ],
)
def test_thinking(config: dict[str, Any], thinking: ir.Thinking) -> None:
    assert read({"generationConfig": {"thinkingConfig": config}}).thinking == thinking


SCHEMA: ir.JsonObject = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("config", "output", "residue"),
    [
        ({"responseMimeType": "text/plain"}, None, ()),
        ({"responseMimeType": "application/json"}, ir.OutputFormat("json"), ()),
        (
            {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
            ir.OutputFormat("json_schema", SCHEMA),
            (),
        ),
        ({"_responseJsonSchema": SCHEMA}, ir.OutputFormat("json_schema", SCHEMA), ()),
        ({"_response_json_schema": SCHEMA}, ir.OutputFormat("json_schema", SCHEMA), ()),
        (
            {"response_schema": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}},
            ir.OutputFormat("json_schema", SCHEMA),
            (),
        ),
        (
            {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a"]}},
            None,
            client(responseMimeType="text/x.enum", responseSchema={"type": "STRING", "enum": ["a"]}),
        ),
    ],
)
def test_structured_output(
    config: dict[str, Any], output: ir.OutputFormat | None, residue: tuple[ir.Native, ...]
) -> None:
    found = read({"generationConfig": config})
    assert (found.output, found.native) == (output, residue)


def test_fields_that_only_gemini_knows_stay_under_their_names() -> None:
    found = read(
        {
            "generationConfig": {
                "responseModalities": ["TEXT", "IMAGE"],
                "imageConfig": {"aspectRatio": "1:1"},
                "responseLogprobs": True,
                "logprobs": 3,
                "brandNew": 1,
                "thinkingConfig": {"thinkingBudget": 5, "novel": 2},
            },
            "cachedContent": "cachedContents/1",
            "labels": {"team_name": "a"},
            "toolConfig": {"retrievalConfig": {"languageCode": "de"}},
            "modelArmorConfig": {"prompt_template_name": "x"},
        }
    )
    assert found.native == client(
        thinkingConfig={"novel": 2},
        responseModalities=["TEXT", "IMAGE"],
        imageConfig={"aspectRatio": "1:1"},
        responseLogprobs=True,
        logprobs=3,
        generationConfig={"brandNew": 1},
        toolConfig={"retrievalConfig": {"languageCode": "de"}},
        cachedContent="cachedContents/1",
        labels={"team_name": "a"},
        modelArmorConfig={"promptTemplateName": "x"},
    )


@pytest.mark.parametrize(
    ("config", "choice", "kept"),
    [
        ({"mode": "AUTO"}, ir.ToolChoice("auto"), False),
        ({"mode": "ANY"}, ir.ToolChoice("required"), False),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ir.ToolChoice("named", ("f",)), False),
        ({"mode": "NONE"}, ir.ToolChoice("none"), False),
        ({"mode": 3}, ir.ToolChoice("none"), False),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, ir.ToolChoice("auto"), True),
        ({"mode": "AUTO", "streamFunctionCallArguments": True}, ir.ToolChoice("auto"), True),
        ({"mode": "MODE_UNSPECIFIED"}, None, True),
        ({}, None, False),
    ],
)
def test_the_choice_of_tools(config: dict[str, Any], choice: ir.ToolChoice | None, kept: bool) -> None:
    found = read({"toolConfig": {"functionCallingConfig": config}})
    assert found.tool_choice == choice
    assert found.native == (client(toolConfig={"functionCallingConfig": config}) if kept else ())


def test_tools() -> None:
    found = read(
        {
            "tools": [
                {
                    "functionDeclarations": [
                        {
                            "name": "f",
                            "description": "d",
                            "parameters": {
                                "type": "OBJECT",
                                "properties": {"a": {"type": "STRING", "nullable": True, "example": "x"}},
                                "propertyOrdering": ["a"],
                            },
                        },
                        {"name": "g", "parametersJsonSchema": {"type": "object"}, "behavior": "BLOCKING"},
                        {"name": "h", "response": {"type": "STRING"}},
                    ],
                    "codeExecution": {},
                },
                {"googleSearchRetrieval": {"dynamicRetrievalConfig": {"mode": "MODE_DYNAMIC"}}},
                {"urlContext": {}},
                {"fileSearch": {"fileSearchStoreNames": ["s"]}},
            ]
        }
    ).tools
    assert found[:3] == (
        ir.Tool(
            "f",
            "d",
            {
                "type": "object",
                "properties": {"a": {"type": ["string", "null"], "examples": ["x"]}},
                "propertyOrdering": ["a"],
            },
        ),
        ir.Tool("g", None, {"type": "object"}, native=client(behavior="BLOCKING")),
        ir.Tool("h", native=client(response={"type": "STRING"})),
    )
    assert [(tool.name, tool.native.data) for tool in found if isinstance(tool, ir.ServerTool)] == [
        ("code_execution", {"codeExecution": {}}),
        ("web_search", {"googleSearchRetrieval": {"dynamicRetrievalConfig": {"mode": "MODE_DYNAMIC"}}}),
        ("url_context", {"urlContext": {}}),
        ("file_search", {"fileSearch": {"fileSearchStoreNames": ["s"]}}),
    ]


@pytest.mark.parametrize(
    ("tier", "neutral", "residue"),
    [
        ("standard", "default", ()),
        ("FLEX", "flex", ()),
        ("priority", "priority", ()),
        ("unspecified", None, ()),
        ("gold", None, client(serviceTier="gold")),
    ],
)
def test_service_tiers(tier: str, neutral: str | None, residue: tuple[ir.Native, ...]) -> None:
    found = read({"serviceTier": tier})
    assert (found.service_tier, found.native) == (neutral, residue)


@pytest.mark.parametrize("token", ["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"])
def test_a_signature_that_says_there_is_none_is_none(token: str) -> None:
    (found,) = parts({"functionCall": {"name": "f", "id": "c"}, "thoughtSignature": token}, role="model")
    assert found == ir.ToolCall("c", "f", "{}")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "contents is not specified"),
        ({"contents": "hi"}, "contents is not specified"),
        ({"contents": [5]}, "contents[0]"),
        ({"contents": [{"role": "robot", "parts": []}]}, "Please use a valid role: user, model. at 'contents[0].role'"),
        ({"contents": [{"parts": "x"}]}, "contents[0].parts"),
        ({"contents": [{"parts": [{"text": 5}]}]}, "contents[0].parts[0].text"),
        ({"contents": [{"parts": ["x"]}]}, "contents[0].parts[0]"),
        ({"contents": [{"parts": [{"functionCall": {"args": {}}}]}]}, "contents[0].parts[0].functionCall.name"),
        ({"contents": [{"parts": [{"functionCall": {"name": "f", "args": []}}]}]}, "functionCall.args"),
        ({"contents": [{"parts": [{"functionResponse": {"response": {}}}]}]}, "functionResponse.name"),
        (
            {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": "x"}}]}]},
            "functionResponse.response",
        ),
        (
            {"contents": [{"parts": [{"functionResponse": {"name": "f", "parts": [1]}}]}]},
            "functionResponse.parts[0]",
        ),
        ({"contents": [{"parts": [{"inlineData": {"mimeType": "a/b"}}]}]}, "inlineData.data"),
        ({"contents": [{"parts": [{"fileData": {}}]}]}, "fileData.fileUri"),
        ({"contents": [{"parts": [{"toolCall": 1}]}]}, "contents[0].parts[0].toolCall"),
        ({"contents": [], "systemInstruction": {"parts": 1}}, "system_instruction.parts"),
        ({"contents": [], "tools": "x"}, "tools"),
        ({"contents": [], "tools": [1]}, "tools[0]"),
        ({"contents": [], "tools": [{"functionDeclarations": 1}]}, "tools[0].functionDeclarations"),
        ({"contents": [], "tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        ({"contents": [], "toolConfig": 1}, "tool_config"),
        ({"contents": [], "generationConfig": 1}, "generation_config"),
        ({"contents": [], "generationConfig": {"temperature": "hot"}}, "generation_config.temperature"),
        ({"contents": [], "generationConfig": {"maxOutputTokens": 1.5}}, "generation_config.maxOutputTokens"),
        ({"contents": [], "generationConfig": {"stopSequences": [1]}}, "generation_config.stopSequences"),
    ],
)
def test_what_has_no_meaning_is_refused_with_its_place(body: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError) as caught:
        codec.decode_request(body, model="m", stream=False)
    assert caught.value.status == 400
    assert caught.value.kind == "invalid_request"
    assert message in caught.value.message


def test_the_model_and_the_stream_are_those_of_the_path() -> None:
    found = codec.decode_request({"contents": [], "model": "models/other"}, model="m", stream=True)
    assert (found.model, found.stream, found.native) == ("m", True, ())
