"""What holds for all values, not only for those one thinks of."""

from __future__ import annotations

import base64
import re
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from ccx.errors import BadReply, ClientError
from ccx.protocols import ir
from ccx.protocols.chat import codec
from ccx.protocols.codec import Context, Target
from ccx.protocols.dialects import _ROWS, dialect
from ccx.protocols.names import Protocol
from ccx.protocols.sse import Event as SseEvent
from ccx.protocols.sse import SseDecoder
from ccx.protocols.stream import events
from tests.protocols import strategies
from tests.protocols.chat.kit import answer, asked, counting, decoded, folded, read, sse, streamed, write

ISSUERS = ("openai", "deepseek", "openrouter", "mistral", "vllm")
words = st.text("abc <>é😀\n", min_size=1, max_size=12)
names = st.text("abcXYZ019_-", min_size=1, max_size=12)
arguments = st.dictionaries(names, st.integers(0, 9) | words, max_size=3).map(
    lambda found: msgspec.json.encode(found).decode()
)


# --- answers as upstreams send them -----------------------------------------------------------------------------------


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """The message of a whole answer, as a vendor might send it."""
    made: dict[str, Any] = {"role": "assistant"}
    match draw(st.sampled_from(["none", "text", "details"])):
        case "text":
            made[draw(st.sampled_from(["reasoning_content", "reasoning"]))] = draw(words)
        case "details":
            count = draw(st.integers(1, 3))
            made["reasoning_details"] = [
                {
                    "type": "reasoning.text",
                    "text": draw(words),
                    "index": index,
                    **draw(st.fixed_dictionaries({}, optional={"signature": words})),
                }
                for index in range(count)
            ]
    if draw(st.booleans()):
        made["content"] = draw(words.filter(lambda text: "<" not in text))
    if draw(st.integers(0, 3)) == 0:
        made["refusal"] = draw(words)
    if calls := draw(st.lists(st.tuples(names, arguments), max_size=3)):
        made["tool_calls"] = [
            {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": given}}
            for index, (name, given) in enumerate(calls)
        ]
    if draw(st.booleans()):
        made["mood"] = draw(words)
    return made


def body_of(message: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 5,
        "model": "the-model",
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        "system_fingerprint": "fp",
    }


def pieces(draw: st.DrawFn, said: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(said)), max_size=4)))
    places = [0, *cuts, len(said)]
    return [said[start:end] for start, end in pairwise(places)]


@st.composite
def answers(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A whole answer, and chunks that tell the same: cut anywhere, calls interleaved."""
    message = draw(messages())
    body = body_of(message)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for key in ("reasoning_content", "reasoning"):
        deltas += [{key: piece} for piece in pieces(draw, message.get(key, ""))]
    for item in message.get("reasoning_details", []):
        kept = {key: value for key, value in item.items() if key not in ("text", "signature")}
        deltas += [{"reasoning_details": [{**kept, "text": piece}]} for piece in pieces(draw, item["text"])]
        if "signature" in item:
            deltas.append({"reasoning_details": [{**kept, "signature": item["signature"]}]})
    for key in ("content", "refusal"):
        deltas += [{key: piece} for piece in pieces(draw, message.get(key, ""))]
    lanes: list[list[dict[str, Any]]] = []
    for index, call in enumerate(message.get("tool_calls", [])):
        function = call["function"]
        lane = [
            {
                "index": index,
                "id": call["id"],
                "type": "function",
                "function": {"name": function["name"], "arguments": ""},
            }
        ]
        lane += [{"index": index, "function": {"arguments": piece}} for piece in pieces(draw, function["arguments"])]
        lanes.append(lane)
    # Calls begin in their order; their arguments may come in any.
    started = 0
    while any(lanes):
        open_lanes = [at for at, lane in enumerate(lanes) if lane and at <= started]
        at = draw(st.sampled_from(open_lanes))
        deltas.append({"tool_calls": [lanes[at].pop(0)]})
        started = max(started, at + 1)
    if "mood" in message:
        deltas.append({"mood": message["mood"]})
    head = {key: body[key] for key in ("id", "created", "model", "system_fingerprint")}
    chunks = [
        {**head, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    finish = body["choices"][0]["finish_reason"]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    chunks.append({**head, "choices": [], "usage": body["usage"]})
    return body, chunks


@given(answers(), st.sampled_from(ISSUERS))
def test_a_stream_folds_to_the_answer_that_is_not_streamed(
    told: tuple[dict[str, Any], list[dict[str, Any]]], issuer: str
) -> None:
    body, chunks = told
    assert folded(decoded(sse(chunks), issuer)).response == answer(body, issuer)


@given(answers(), st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_chunking_makes_no_difference(told: tuple[dict[str, Any], list[dict[str, Any]]], sizes: list[int]) -> None:
    raw = sse(told[1])
    decoder, reader = codec.stream_decoder(Context("openai", "the-model")), SseDecoder()
    found: list[ir.Event] = []
    at = turn = 0
    while at < len(raw):
        size = sizes[turn % len(sizes)]
        for event in reader.feed(raw[at : at + size]):
            found += decoder.feed(event)
        at, turn = at + size, turn + 1
    assert found + decoder.end() == decoded(raw)


@given(answers(), st.integers(0, 10_000))
def test_a_cut_stream_is_never_whole(told: tuple[dict[str, Any], list[dict[str, Any]]], cut: int) -> None:
    raw = sse(told[1])
    # Up to the chunk that tells why the answer ended.
    end = raw.index(b'"delta":{},"finish_reason"')
    raw = raw[: cut % end]
    events_before: list[ir.Event] = []
    decoder, reader = codec.stream_decoder(Context("openai", "the-model")), SseDecoder()
    for event in reader.feed(raw):
        events_before += decoder.feed(event)
    assembler = folded([*events_before, *decoder.end()])
    assert assembler.response is None
    assert assembler.failed is not None


@given(messages(), st.sampled_from(ISSUERS))
def test_an_answer_comes_through_a_client_and_back(message: dict[str, Any], issuer: str) -> None:
    came = answer(body_of(message), issuer)
    encoded = codec.encode_response(came, asked(), new_id=counting())
    assert encoded.losses == ()
    again = codec.decode_response({**encoded.payload, "model": "the-model"}, Context(issuer, "the-model"))
    assert again == came


@given(messages(), st.sampled_from(ISSUERS))
def test_events_of_an_answer_are_a_stream_that_tells_it(message: dict[str, Any], issuer: str) -> None:
    came = answer(body_of(message), issuer)
    assume(sum(isinstance(part, ir.Reasoning) for part in came.parts) <= 1)
    raw, losses = streamed(events(came), stream_options={"include_usage": True})
    assert losses == []
    again = folded(decoded(raw.replace(b'"asked-model"', b'"the-model"'), issuer)).response
    assert again == came


@given(messages(), st.sampled_from(["openrouter", "deepseek", "moonshot"]))
def test_an_answer_goes_back_upstream_as_it_came(message: dict[str, Any], issuer: str) -> None:
    """Client and upstream both speak Chat: what the vendor demands back arrives, whatever is between."""
    message.pop("mood", None)
    came = answer(body_of(message), issuer)
    encoded = codec.encode_response(came, asked(), new_id=counting())
    returned = encoded.payload["choices"][0]["message"]  # type: ignore[index, call-overload]  # JSON
    upstream: Any = write(read({"messages": [returned]}), issuer).payload["messages"]
    for key in ("tool_calls", "reasoning_details"):
        if key in message and (key != "reasoning_details" or issuer == "openrouter"):
            assert upstream[0][key] == message[key]
    if issuer == "deepseek" and "tool_calls" in message:
        thoughts = [part.text for part in came.parts if isinstance(part, ir.Reasoning)]
        assert upstream[0]["reasoning_content"] == "".join(thoughts)


# --- requests ---------------------------------------------------------------------------------------------------------

png = st.binary(max_size=6).map(lambda data: ir.Inline(base64.b64encode(data).decode(), "image/png"))
residue = st.just(()) | strategies.natives(Protocol.CHAT, keys=("cache_control", "hint"))
texts = st.builds(ir.Text, words, native=residue)
images = st.builds(ir.Media, st.just("image"), png, detail=st.sampled_from([None, "low", "high"]))
spoken = st.lists(texts | images, min_size=1, max_size=3).map(tuple)
systems = st.builds(
    lambda parts, developer: ir.Message(
        "system", tuple(parts), (ir.Native(Protocol.CHAT, None, {"role": "developer"}),) if developer else ()
    ),
    st.lists(texts, min_size=1, max_size=2),
    st.booleans(),
)


@st.composite
def turns(draw: st.DrawFn) -> list[ir.Message]:
    """A user speaks, the assistant answers and may call tools, whose results follow."""
    made = [ir.Message("user", draw(spoken))]
    calls = [
        ir.ToolCall(f"call_{draw(st.integers(0, 9999))}_{index}", name, given)
        for index, (name, given) in enumerate(draw(st.lists(st.tuples(names, arguments), max_size=3)))
    ]
    answered: tuple[ir.Part, ...] = draw(st.lists(texts, max_size=2).map(tuple))
    made.append(ir.Message("assistant", (*answered, *calls)))
    made += [
        ir.Message("user", (ir.ToolResult(call.id, draw(st.lists(texts, max_size=2).map(tuple))),)) for call in calls
    ]
    return made


tools = st.lists(
    st.builds(
        ir.Tool,
        names,
        st.none() | words,
        st.just({"type": "object"}) | st.none(),
        st.sampled_from([None, True, False]),
    )
    | st.builds(
        ir.Tool, names, st.none() | words, kind=st.just("custom"), grammar=st.sampled_from([None, ("lark", "x")])
    ),
    unique_by=lambda tool: tool.name,
    max_size=3,
).map(tuple)


@st.composite
def requests(draw: st.DrawFn) -> ir.Request:
    """What a Chat client can say and OpenAI understands."""
    offered = draw(tools)
    choices: list[ir.ToolChoice | None] = [None]
    if offered:
        choices += [ir.ToolChoice("auto"), ir.ToolChoice("none"), ir.ToolChoice("required")]
        choices += [ir.ToolChoice("named", (offered[0].name,)), ir.ToolChoice("named", tuple(t.name for t in offered))]
    said = [message for turn in draw(st.lists(turns(), max_size=3)) for message in turn]
    return ir.Request(
        model="asked-model",
        messages=(*draw(st.lists(systems, max_size=1)), *said, *draw(st.lists(systems, max_size=1))),
        tools=offered,
        tool_choice=draw(st.sampled_from(choices)),
        parallel_tool_calls=draw(st.sampled_from([None, True, False])) if offered else None,
        max_output_tokens=draw(st.none() | st.integers(1, 9)),
        sampling=ir.Sampling(
            temperature=draw(st.none() | st.floats(0, 2)),
            seed=draw(st.none() | st.integers(0, 9)),
            stop=draw(st.sampled_from([(), ("a",), ("a", "b")])),
            logprobs=draw(st.sampled_from([None, 0, 5])),
        ),
        thinking=draw(st.sampled_from([ir.Thinking(), ir.Thinking(True, "low"), ir.Thinking(False, "none")])),
        output=draw(st.sampled_from([None, ir.OutputFormat("json"), ir.OutputFormat("json_schema", {"a": 1}, "n")])),
        verbosity=draw(st.sampled_from([None, "low"])),
        user=draw(st.none() | words),
        native=draw(st.just(()) | strategies.natives(Protocol.CHAT, keys=("logit_bias", "prompt_cache_key"))),
    )


@given(requests())
def test_a_request_comes_back_as_it_went(request: ir.Request) -> None:
    encoded = write(request)
    assert encoded.losses == ()
    assert read(encoded.payload) == request  # type: ignore[arg-type]  # JSON


@given(strategies.requests(), st.sampled_from(sorted(_ROWS)), st.sampled_from([None, True, False]))
def test_any_request_can_be_written_for_any_vendor(request: ir.Request, name: str, thinking: bool | None) -> None:
    target = Target(name, "the-model", dialect(name), 4096, thinking, thinking)
    encoded = codec.encode_request(request, target, new_id=counting())
    msgspec.json.encode(encoded.payload)
    row = target.dialect
    assert not encoded.payload.keys() & row.unsupported
    assert all(loss.what and loss.path for loss in encoded.losses)
    written: Any = encoded.payload["messages"]
    ids: set[str] = set()
    for at, message in enumerate(written):
        assert message["role"] in ("system", "developer", "user", "assistant", "tool")
        assert message["role"] != "developer" or row.developer_role
        if message["role"] == "system" and not row.system_anywhere:
            assert at == 0
        for call in message.get("tool_calls", ()):
            ids.add(call["id"])
            assert row.custom_tools or call["type"] == "function"
            if row.tool_id == "nine":
                assert len(call["id"]) == 9
    for tool in encoded.payload.get("tools", []):  # type: ignore[union-attr]  # JSON
        assert isinstance(tool, dict)
    # What was written is what a client may send.
    assert codec.decode_request(encoded.payload, model="m", stream=False).messages is not None


@given(strategies.responses(strategies.anyones()))
def test_any_answer_can_be_written_whole_and_as_a_stream(response: ir.Response) -> None:
    encoded = codec.encode_response(response, asked(), new_id=counting())
    msgspec.json.encode(encoded.payload)
    whole = codec.decode_response(encoded.payload, Context("openai", "m"))
    raw, losses = streamed(events(response))
    streamed_back = folded(decoded(raw)).response
    assert streamed_back is not None
    for kind in (ir.Text, ir.Refusal):
        assert _said(streamed_back, kind) == _said(whole, kind)
    assert {loss.what for loss in losses} == {loss.what for loss in encoded.losses}


def _said(response: ir.Response, kind: type[ir.Text] | type[ir.Refusal]) -> str:
    return "".join(part.text for part in response.parts if isinstance(part, kind))


# --- garbage ----------------------------------------------------------------------------------------------------------

VOCABULARY = st.sampled_from(
    re.findall(
        r"\w+",
        """messages choices message delta role content tool_calls function custom name arguments id index type text
        input reasoning_details reasoning_content reasoning data finish_reason usage prompt_tokens image_url url file
        thinking input_audio annotations url_citation audio images error tools tool_choice allowed_tools format grammar
        function_call functions response_format json_schema stop metadata logprobs stream_options x_groq refusal""",
    )
)
ROLES = st.sampled_from(["assistant", "user", "tool", "system", "developer", "function"])
KINDS = st.sampled_from(
    re.findall(
        r"\S+",
        """custom text image_url input_audio file thinking refusal url_citation reasoning.text reasoning.encrypted
        reasoning.summary grammar json_schema allowed_tools required stop data:x;base64,""",
    )
)
garbage = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats(allow_nan=False) | ROLES | KINDS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(VOCABULARY, inner, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(VOCABULARY, garbage, max_size=6)
items = st.lists(objects, min_size=1, max_size=3)


@given(
    objects,
    st.none() | st.lists(st.builds(lambda role, found: {**found, "role": role}, ROLES, objects)),
)
def test_any_json_is_a_request_or_refused(body: dict[str, Any], said: list[Any] | None) -> None:
    if said is not None:
        body["messages"] = said
    try:
        request = codec.decode_request(body, model="m", stream=True)
    except ClientError:
        return
    for name in ("openai", "mistral", "generic"):
        encoded = codec.encode_request(request, Target(name, "m", dialect(name)), new_id=counting())
        msgspec.json.encode(encoded.payload)


@given(objects, st.none() | st.builds(lambda found, message: [{**found, "message": message}], objects, objects))
def test_any_json_is_an_answer_or_none(body: dict[str, Any], choices: list[Any] | None) -> None:
    if choices is not None:
        body["choices"] = choices
    try:
        response = codec.decode_response(body, Context("generic", "m"))
    except BadReply:
        return
    codec.encode_response(response, asked(), new_id=counting())


@given(
    st.lists(
        objects | st.builds(lambda found, delta: {"choices": [{**found, "delta": delta}]}, objects, objects), max_size=5
    )
)
def test_any_events_obey_the_grammar(chunks: list[dict[str, Any]]) -> None:
    try:
        folded(decoded(sse(chunks), "generic"))
    except BadReply:
        return


@given(st.binary(max_size=40))
def test_any_bytes_are_an_event_or_none(data: bytes) -> None:
    decoder = codec.stream_decoder(Context("openai", "m"))
    try:
        found = decoder.feed(SseEvent("message", data))
    except BadReply:
        return
    assert found == [] or isinstance(found[0], ir.Begin | ir.Failed)
