"""Laws of the codec over all values: legality, round trips, equal folds, and errors that are the right ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.errors import BadReply, ClientError
from ccx.protocols import ir
from ccx.protocols.codec import Target
from ccx.protocols.dialects import dialect
from ccx.protocols.gemini import codec
from ccx.protocols.gemini.schemas import cleaned, cleaned_parameters, json_schema
from ccx.protocols.gemini.spelling import camel
from ccx.protocols.names import Protocol
from ccx.protocols.sse import Event
from ccx.protocols.stream import Assembler
from tests.protocols import strategies as some
from tests.protocols.gemini import legal
from tests.protocols.gemini.kit import ASKED, CONTEXT, fold, mint, streamed, target, whole

MODELS: dict[str, dict[str, Any]] = {
    "gemini-2.0-flash": {},
    "gemini-2.5-pro": {},
    "gemini-2.5-flash-lite": {},
    "gemini-3-pro-preview": {"levels": {"LOW", "HIGH"}, "signed": True},
    "gemini-3.5-flash": {"levels": {"MINIMAL", "LOW", "MEDIUM", "HIGH"}, "signed": True},
    "another-model": {},
}


def in_our_terms(request: ir.Request) -> ir.Request:
    """Server tools of Gemini, declared as Gemini declares them."""
    tools = (
        ir.ServerTool(tool.name, replace(tool.native, data={"googleSearch": {}}))
        if isinstance(tool, ir.ServerTool) and tool.native.protocol is Protocol.GEMINI
        else tool
        for tool in request.tools
    )
    return replace(request, tools=tuple(tools))


REQUESTS = some.requests().map(in_our_terms)


@given(model=st.sampled_from(sorted(MODELS)), request=REQUESTS)
def test_any_request_becomes_a_legal_one(model: str, request: ir.Request) -> None:
    encoded = codec.encode_request(request, target(model, max_output_tokens=64_000), new_id=mint)
    # A part of Gemini's own that is not known here, and residue of it, goes as its client wrote it.
    legal.check(encoded.payload, **MODELS[model], known=False)
    assert all(loss.what and loss.path for loss in encoded.losses)
    assert msgspec.json.decode(msgspec.json.encode(encoded.payload)) == encoded.payload


@given(request=REQUESTS)
def test_what_was_sent_is_read_as_what_is_sent_again(request: ir.Request) -> None:
    """Once legal, a request passes through both directions unchanged, and with no loss but of what was lost before."""
    to = target("gemini-3.5-flash", max_output_tokens=64_000)
    first = codec.encode_request(request, to, new_id=mint)
    read = codec.decode_request(first.payload, model=to.model, stream=request.stream)
    second = codec.encode_request(read, to, new_id=mint)
    assert second.payload == camel(first.payload)
    assert {loss.what for loss in second.losses} <= {"signature"}


OWN = st.just(()) | some.base64s.filter(bool).map(
    lambda token: (ir.Native(Protocol.GEMINI, "gemini", {"thoughtSignature": token}),)
)


def thought(text: str, natives: tuple[ir.Native, ...]) -> ir.Reasoning:
    data = {"thought": True, **(natives[0].data if natives else {})}
    return ir.Reasoning(text, True, (ir.Native(Protocol.GEMINI, "gemini", data),))


SPOKEN = (
    st.builds(ir.Text, some.words.filter(bool), native=OWN)
    | st.builds(thought, some.words.filter(bool), OWN)
    | st.builds(ir.ToolCall, some.names, some.names, some.arguments, native=OWN)
    | st.builds(ir.Media, st.just("image"), st.builds(ir.Inline, some.base64s, st.just("image/png")), native=OWN)
)
USAGE = st.builds(ir.Usage, st.integers(0, 9), st.integers(0, 9))


@st.composite
def answers(draw: st.DrawFn) -> ir.Response:
    """Answers that Gemini itself may give: texts that follow each other are one, unless a signature ends the first."""
    parts: list[ir.Part] = []
    for part in draw(st.lists(SPOKEN, max_size=5)):
        before = parts[-1] if parts else None
        if isinstance(part, ir.Text | ir.Reasoning) and type(part) is type(before):
            assert isinstance(before, ir.Text | ir.Reasoning)
            if not any("thoughtSignature" in one.data for one in before.native):
                continue
        parts.append(part)
    calls = any(isinstance(part, ir.ToolCall) for part in parts)
    finish = ir.Finish("tool_calls" if calls else "stop", "STOP")
    return ir.Response("r1", "model", tuple(parts), finish, draw(USAGE), draw(st.none() | st.integers(0, 2**31)))


def arguments_as_sent(response: ir.Response) -> ir.Response:
    parts = [
        replace(part, arguments=msgspec.json.encode(msgspec.json.decode(part.arguments)).decode())
        if isinstance(part, ir.ToolCall)
        else part
        for part in response.parts
    ]
    return replace(response, parts=tuple(parts), usage=replace(response.usage, raw=None))


@given(response=answers())
def test_an_answer_comes_back_whole(response: ir.Response) -> None:
    encoded = codec.encode_response(response, ASKED, new_id=mint)
    assert encoded.losses == ()
    assert arguments_as_sent(codec.decode_response(encoded.payload, CONTEXT)) == arguments_as_sent(response)


@given(response=answers())
def test_an_answer_comes_back_through_a_stream(response: ir.Response) -> None:
    stream, losses = streamed(response)
    assert losses == []
    assert arguments_as_sent(whole([stream])) == arguments_as_sent(response)


@given(response=some.responses(some.anyones()))
def test_a_streamed_answer_folds_to_the_one_that_is_not_streamed(response: ir.Response) -> None:
    encoded = codec.encode_response(response, ASKED, new_id=mint)
    stream, losses = streamed(response)
    direct, folded = codec.decode_response(encoded.payload, CONTEXT), whole([stream])
    assert folded.parts == direct.parts
    assert folded.finish == direct.finish
    assert folded.usage == direct.usage
    assert sorted(loss.what for loss in losses) == sorted(loss.what for loss in encoded.losses)


@given(response=some.responses(some.anyones()), size=st.integers(1, 40))
def test_chunks_do_not_matter(response: ir.Response, size: int) -> None:
    stream, _ = streamed(response)
    assert whole(stream[at : at + size] for at in range(0, len(stream), size)) == whole([stream])


@given(response=some.responses(some.anyones()))
def test_an_array_holds_the_same_chunks(response: ir.Response) -> None:
    stream, _ = streamed(response)
    array, _ = streamed(response, array=True)
    events = [msgspec.json.decode(one.removeprefix(b"data: ")) for one in stream.split(b"\n\n") if one]
    assert msgspec.json.decode(array) == events


FOREIGN = some.natives(Protocol.MESSAGES, issuers=("anthropic",), keys=("signature", "data"))


@given(
    parts=st.lists(
        st.builds(ir.ToolCall, some.names, some.names, st.just("{}"), native=FOREIGN)
        | st.builds(ir.Text, some.words.filter(bool), native=FOREIGN.filter(bool))
        | st.builds(ir.Reasoning, some.words.filter(bool), st.just(True), FOREIGN.filter(bool)),
        max_size=5,
        unique_by=lambda part: part.id if isinstance(part, ir.ToolCall) else object(),
    ),
    through_stream=st.booleans(),
    drops_thoughts=st.booleans(),
)
def test_residue_of_others_travels_through_a_client(
    parts: list[ir.Part], through_stream: bool, drops_thoughts: bool
) -> None:
    """The client returns what it was given, but for thoughts if it drops them; each piece is on its own part again, and
    thoughts before a call come back with it."""
    answer = ir.Response("r1", "model", tuple(parts), ir.Finish("stop"))
    if through_stream:
        stream, losses = streamed(answer)
        content = put_together(stream)
    else:
        encoded = codec.encode_response(answer, ASKED, new_id=mint)
        payload: Any = encoded.payload
        content, losses = payload["candidates"][0]["content"]["parts"], list(encoded.losses)
    assert not losses
    if drops_thoughts:
        content = [part for part in content if not part.get("thought")]
    body: Any = {"contents": [{"role": "model", "parts": content}]}
    read = codec.decode_request(body, model="m", stream=False)
    expected = list(parts)
    if drops_thoughts:
        last = max((at for at, part in enumerate(parts) if isinstance(part, ir.ToolCall)), default=-1)
        before = moved_to_calls(parts[: last + 1])
        expected = [*before, *(part for part in parts[last + 1 :] if not isinstance(part, ir.Reasoning))]
    assert list(read.messages[0].parts) == expected


def moved_to_calls(parts: list[ir.Part]) -> list[ir.Part]:
    found: list[ir.Part] = []
    waiting: list[ir.Part] = []
    for part in parts:
        if isinstance(part, ir.Reasoning):
            waiting.append(part)
            continue
        if isinstance(part, ir.ToolCall):
            found.extend(waiting)
            waiting = []
        found.append(part)
    return found


def put_together(stream: bytes) -> list[dict[str, Any]]:
    """The parts of a streamed content, put together as a client does it: what says nothing new is its end."""
    found: list[dict[str, Any]] = []
    for line in stream.split(b"\n\n"):
        if not line:
            continue
        for candidate in msgspec.json.decode(line.removeprefix(b"data: "))["candidates"]:
            for part in candidate["content"]["parts"]:
                if part == {"text": ""}:
                    continue
                if part.get("text") == "" and found and "text" in found[-1]:
                    found[-1].update({key: value for key, value in part.items() if key != "text"})
                else:
                    found.append(part)
    return found


# --- garbage ----------------------------------------------------------------------------------------------------------

KEYS = ["text", "thought", "functionCall", "functionResponse", "inlineData", "file_data", "toolCall", "odd"]
PART = st.dictionaries(st.sampled_from([*KEYS, "thoughtSignature", "executableCode"]), some.json_values, max_size=3)
CALL = st.fixed_dictionaries(
    {},
    optional={
        "name": some.names,
        "willContinue": st.booleans(),
        "args": some.json_values,
        "partialArgs": st.lists(
            st.fixed_dictionaries(
                {"jsonPath": st.sampled_from(["$.a", "$.a[0]", "$.a[9].b", "$", "$['x y']", "b", "$..c"]) | some.words},
                optional={"stringValue": some.words, "numberValue": st.floats(), "willContinue": st.booleans()},
            ),
            max_size=3,
        ),
    },
)


@given(
    body=st.dictionaries(
        st.sampled_from(
            ["contents", "systemInstruction", "tools", "tool_config", "generationConfig", "serviceTier", "labels"]
        ),
        some.json_values,
    )
)
def test_a_garbled_request_is_the_clients_error(body: dict[str, Any]) -> None:
    try:
        found = codec.decode_request(body, model="m", stream=False)
    except ClientError:
        return
    codec.encode_request(found, target(), new_id=mint)


@given(
    content=st.lists(PART | some.json_values, max_size=4),
    config=st.dictionaries(
        st.sampled_from(["topK", "temperature", "stopSequences", "thinkingConfig", "responseSchema"]), some.json_values
    ),
)
def test_garbled_parts_are_the_clients_error(content: list[Any], config: dict[str, Any]) -> None:
    body: Any = {"contents": [{"role": "user", "parts": content}], "generationConfig": config}
    try:
        found = codec.decode_request(body, model="m", stream=False)
    except ClientError:
        return
    codec.encode_request(found, Target("x", "gemini-2.5-pro", dialect("x")), new_id=mint)


@given(
    body=st.dictionaries(st.sampled_from(["candidates", "promptFeedback", "usageMetadata", "error"]), some.json_values)
)
def test_a_garbled_answer_is_the_upstreams_error(body: dict[str, Any]) -> None:
    try:
        found = codec.decode_response(body, CONTEXT)
    except BadReply:
        return
    codec.encode_response(found, ASKED, new_id=mint)


@given(
    chunks=st.lists(
        st.lists(PART | st.builds(lambda call: {"functionCall": call}, CALL), max_size=3).map(
            lambda parts: msgspec.json.encode({"candidates": [{"content": {"parts": parts}}]})
        )
        | st.binary(max_size=8)
        | some.json_values.map(msgspec.json.encode),
        max_size=6,
    ),
    finish=st.sampled_from(["STOP", None, 3, "NEW_WORD"]),
)
def test_a_garbled_stream_is_the_upstreams_error_and_never_breaks_the_grammar(
    chunks: list[bytes], finish: str | int | None
) -> None:
    decoder, assembler = codec.stream_decoder(CONTEXT), Assembler()
    last = msgspec.json.encode({"candidates": [{"finishReason": finish}]})
    try:
        for one in (*chunks, last):
            for said in decoder.feed(Event("message", one)):
                assembler.feed(said)
        for said in decoder.end():
            assembler.feed(said)
    except BadReply:
        return
    if assembler.failed is None and finish is not None:
        assert assembler.response is not None


# --- schemas ----------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["a", "b", "c d"])
LEAF = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "STRING", "OBJECT", "array", ["string", "null"], 3]),
        "enum": st.lists(some.scalars, max_size=3),
        "const": some.scalars,
        "format": st.sampled_from(["date-time", "enum", "uri"]),
        "description": some.words,
        "minItems": st.sampled_from(["2", 2]),
        "exclusiveMinimum": st.integers(0, 3) | st.booleans(),
        "pattern": some.words,
        "nullable": st.booleans(),
        "$ref": st.sampled_from(["#", "#/$defs/a", "#/properties/a", "#/$defs/b/items", "https://x.example/y", "#/zz"]),
        "$schema": some.words,
        "x-note": some.words,
        "required": st.lists(WORDS, max_size=2),
        "default": some.json_values,
    },
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    listed, mapped = st.lists(inner, max_size=2), st.dictionaries(WORDS, inner, max_size=2)
    return st.builds(
        lambda *layers: {key: value for layer in layers for key, value in layer.items()},
        LEAF,
        st.fixed_dictionaries(
            {},
            optional={
                "properties": mapped,
                "$defs": mapped,
                "items": inner | listed,
                "anyOf": listed,
                "oneOf": listed,
                "allOf": listed,
                "not": inner,
                "additionalProperties": inner | st.booleans(),
                "any_of": listed,
            },
        ),
    )


SCHEMAS = st.recursive(LEAF | st.booleans(), nested, max_leaves=8).filter(lambda schema: isinstance(schema, dict))


@given(schema=SCHEMAS)
def test_any_schema_is_brought_into_the_subset_and_stays_there(schema: dict[str, Any]) -> None:
    once, _ = cleaned_parameters(json_schema(schema))
    legal.check_schema(once)
    again, told = cleaned_parameters(once)
    legal.check_schema(again)
    # Only what the API unrolls, and a list of what is required without its declaration, are named again.
    assert set(told) <= {"$ref"}
    if "$ref" not in told:
        assert again == once


def test_references_that_double_at_every_level_stay_small() -> None:
    levels: dict[str, Any] = {
        f"l{at}": {"type": "object", "properties": {side: {"$ref": f"#/$defs/l{at + 1}"} for side in "ab"}}
        for at in range(40)
    }
    levels["l40"] = {"type": "string"}
    found, told = cleaned({"$ref": "#/$defs/l0", "$defs": levels})
    assert told == ()
    assert len(msgspec.json.encode(found)) < 200_000
    legal.check_schema(found)


def test_a_failed_stream_stays_failed() -> None:
    folded = fold([b'data: {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}\n\n'])
    assert folded.failed == ir.Failed("rate_limit", "slow down", "RESOURCE_EXHAUSTED")
    with pytest.raises(BadReply, match="slow down"):
        codec.decode_response({"error": {"message": "slow down"}}, CONTEXT)
