"""Laws of the codec over all values: legality, round trips, equal folds, and errors that are the right ones."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ccx.errors import BadReply, ClientError
from ccx.protocols import ir
from ccx.protocols.codec import Asked, Context, Target
from ccx.protocols.dialects import dialect
from ccx.protocols.messages import codec
from ccx.protocols.messages.naming import legal_id, original_id, tool_names
from ccx.protocols.names import Protocol
from ccx.protocols.sse import Event, SseDecoder
from ccx.protocols.stream import Assembler, events
from tests.protocols import strategies as some
from tests.protocols.messages import legal

ANTHROPIC = dialect("anthropic")
CONTEXT = Context("anthropic", "model")
ASKED = Asked("model", {}, True, 0)
OWN = some.natives(Protocol.MESSAGES, issuers=("anthropic",))


def mint(prefix: str) -> str:
    return f"{prefix}minted"


def folded(chunks: Iterable[bytes]) -> Assembler:
    reader, decoder, assembler = SseDecoder(), codec.stream_decoder(CONTEXT), Assembler()
    read = [event for chunk in chunks for event in reader.feed(chunk)]
    for event in [*read, *reader.end()]:
        for said in decoder.feed(event):
            assembler.feed(said)
    for said in decoder.end():
        assembler.feed(said)
    return assembler


def streamed(response: ir.Response) -> tuple[bytes, list[ir.Loss]]:
    encoder = codec.stream_encoder(ASKED, new_id=mint)
    return b"".join(encoder.encode(event) for event in events(response)), encoder.losses


MODELS = {
    "claude-3-5-haiku-20241022": {"system_turns": False, "prefill": True, "adaptive_only": False},
    "claude-sonnet-4-5": {"system_turns": False, "prefill": True, "adaptive_only": False},
    "claude-opus-4-6": {"system_turns": False, "prefill": False, "adaptive_only": False},
    "claude-opus-4-8": {"system_turns": True, "prefill": False, "adaptive_only": True},
    "claude-sonnet-5-5": {"system_turns": True, "prefill": False, "adaptive_only": True},
    "claude-fable-5-1": {"system_turns": True, "prefill": False, "adaptive_only": True},
}


@given(model=st.sampled_from(sorted(MODELS)), request=some.requests())
def test_any_request_becomes_a_legal_one(model: str, request: ir.Request) -> None:
    target = Target("anthropic", model, ANTHROPIC, max_output_tokens=64_000)
    encoded = codec.encode_request(request, target, new_id=mint)
    legal.check(encoded.payload, **MODELS[model])
    assert all(loss.what and loss.path for loss in encoded.losses)
    assert msgspec.json.decode(msgspec.json.encode(encoded.payload)) == encoded.payload


@given(request=some.requests())
@settings(max_examples=settings.default.max_examples // 2)
def test_what_was_sent_is_read_as_what_is_sent_again(request: ir.Request) -> None:
    """Once legal, a request passes through both directions unchanged and without a loss."""
    target = Target("anthropic", "claude-opus-4-8", ANTHROPIC, max_output_tokens=64_000)
    first = codec.encode_request(request, target, new_id=mint)
    read = codec.decode_request(first.payload, model=target.model, stream=request.stream)
    second = codec.encode_request(read, target, new_id=mint)
    assert second.payload == first.payload
    assert second.losses == ()
    assert codec.decode_request(second.payload, model=target.model, stream=request.stream) == read


def told(part: ir.Part) -> Iterable[ir.Part]:
    """What a client of Messages is told of a part that Messages lacks; each of these is a declared loss."""
    match part:
        case ir.Text(text="", citations=()):
            return
        case ir.Text():
            cited = tuple(ir.Citation(one.url, one.title, one.quote) for one in part.citations if one.url is not None)
            if part.text or part.citations:
                yield replace(part, citations=cited)
        case ir.Refusal(text):
            if text:
                yield ir.Text(text)
        case ir.Media(kind):
            yield ir.Text(f"[{kind} left out: it cannot be shown here]")
        case ir.Reasoning(text=""):
            # It has no signature here, so nothing would make it a thought.
            return
        case _:
            yield part


def plain(response: ir.Response) -> ir.Response:
    """A response without what has no way back: bookkeeping, and calls in forms that a client of Messages lacks."""
    kept: list[ir.Part] = []
    for part in response.parts:
        if isinstance(part, ir.ToolCall):
            part = replace(part, kind="function", namespace=None, server=False, arguments="{}", native=())
        if isinstance(part, ir.Refusal | ir.Media):
            part = replace(part, native=())
        kept.append(part)
    return replace(response, parts=tuple(kept))


def shown(response: ir.Response) -> list[ir.Part]:
    return [one for part in response.parts for one in told(part)]


@given(response=some.responses(OWN))
def test_an_answer_comes_back_but_for_its_declared_losses(response: ir.Response) -> None:
    response = plain(response)
    encoded = codec.encode_response(response, ASKED, new_id=mint)
    back = codec.decode_response(encoded.payload, CONTEXT)
    expected = shown(response)
    if not any(isinstance(part, ir.Opaque) for part in expected):
        ids = {part.id: legal_id(part.id) for part in expected if isinstance(part, ir.ToolCall)}
        expected = [replace(one, id=ids[one.id]) if isinstance(one, ir.ToolCall) else one for one in expected]
        assert list(back.parts) == expected
    lossy = [part for part in response.parts if isinstance(part, ir.Refusal | ir.Media)]
    assert len(
        [loss for loss in encoded.losses if loss.what in ("refusal", "image", "document", "audio", "video")]
    ) == (len(lossy))
    assert (back.usage.input_tokens, back.usage.output_tokens) == (
        response.usage.input_tokens,
        response.usage.output_tokens,
    )


@given(response=some.responses(some.anyones()))
def test_a_streamed_answer_folds_to_the_one_that_is_not_streamed(response: ir.Response) -> None:
    whole = codec.encode_response(response, ASKED, new_id=mint)
    stream, _ = streamed(response)
    fold = folded([stream]).response
    assert fold is not None
    direct = codec.decode_response(whole.payload, CONTEXT)
    assert [normal(part) for part in fold.parts] == [normal(part) for part in direct.parts]
    assert fold.finish == direct.finish
    assert fold.usage == direct.usage


def normal(part: ir.Part) -> ir.Part:
    """Arguments are compared as JSON: a stream keeps the model's own spelling, and garbage as it is."""
    if isinstance(part, ir.Reasoning):
        # A field that is no signature is known too late for a stream, which declares it.
        kept = [replace(one, data={key: one.data[key] for key in one.data if key != "x_hint"}) for one in part.native]
        return replace(part, native=tuple(one for one in kept if one.data))
    if not isinstance(part, ir.ToolCall):
        return part
    try:
        value = msgspec.json.decode(part.arguments)
    except msgspec.DecodeError:
        value = None
    if not isinstance(value, dict) or set(value) == {"arguments"}:
        return replace(part, arguments="")
    return replace(part, arguments=repr(value))


@given(response=some.responses(some.anyones()), size=st.integers(1, 40))
def test_chunks_do_not_matter(response: ir.Response, size: int) -> None:
    stream, _ = streamed(response)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert folded(pieces).response == folded([stream]).response


FOREIGN = some.natives(Protocol.GEMINI, issuers=("gemini",), keys=("thoughtSignature",))


@given(
    parts=st.lists(
        st.builds(ir.ToolCall, some.names, some.names, st.just("{}"), native=FOREIGN)
        | st.builds(ir.Text, some.words.filter(bool), native=FOREIGN)
        | st.builds(ir.Reasoning, some.words, native=FOREIGN.filter(bool)),
        max_size=5,
        unique_by=lambda part: part.id if isinstance(part, ir.ToolCall) else object(),
    ),
    through_stream=st.booleans(),
)
def test_residue_of_others_travels_through_a_client(parts: list[ir.Part], through_stream: bool) -> None:
    """The client returns the content it was given; every piece of residue is on its own part again."""
    response = ir.Response("msg_1", "model", tuple(parts), ir.Finish("stop"))
    if through_stream:
        stream, losses = streamed(response)
        content = contents(stream)
    else:
        encoded = codec.encode_response(response, ASKED, new_id=mint)
        content, losses = encoded.payload["content"], list(encoded.losses)
    assert not losses
    body: ir.JsonObject = {"messages": [{"role": "assistant", "content": content}]}
    read = codec.decode_request(body, model="model", stream=False)
    assert list(read.messages[0].parts) == parts


def contents(stream: bytes) -> Any:
    """The content of a streamed message, put together as a client does it."""
    found: list[dict[str, Any]] = []
    said: dict[int, str] = {}
    for event in SseDecoder().feed(stream):
        data = msgspec.json.decode(event.data)
        match data["type"]:
            case "content_block_start":
                assert data["index"] == len(found), "indexes have a gap"
                found.append(data["content_block"])
            case "content_block_delta":
                block, delta = found[data["index"]], data["delta"]
                match delta["type"]:
                    case "text_delta":
                        block["text"] += delta["text"]
                    case "thinking_delta":
                        block["thinking"] += delta["thinking"]
                    case "signature_delta":
                        block["signature"] = delta["signature"]
                    case "citations_delta":
                        block.setdefault("citations", []).append(delta["citation"])
                    case "input_json_delta":
                        said[data["index"]] = said.get(data["index"], "") + delta["partial_json"]
    for at, text in said.items():
        found[at]["input"] = msgspec.json.decode(text)
    return found


@given(
    body=st.dictionaries(
        st.sampled_from(["messages", "system", "tools", "tool_choice", "max_tokens"]), some.json_values
    )
)
def test_a_garbled_request_is_the_clients_error(body: dict[str, Any]) -> None:
    with suppress(ClientError):
        codec.decode_request(body, model="m", stream=False)


BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "thinking", "tool_use", "tool_result", "image", "x_tool_result", "odd"])},
    optional=dict.fromkeys(("text", "id", "name", "input", "content", "tool_use_id", "source"), some.json_values),
)


@given(content=st.lists(BLOCK | some.json_values, max_size=4), sealed=st.booleans())
def test_garbled_blocks_are_declared(content: list[Any], sealed: bool) -> None:
    try:
        if sealed:
            body: Any = {"messages": [{"role": "user", "content": content}]}
            codec.decode_request(body, model="m", stream=False)
        else:
            codec.decode_response({"content": content}, CONTEXT)
    except ClientError:
        assert sealed
    except BadReply:
        assert not sealed


EVENT = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                "message_start",
                "content_block_start",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop",
                "ping",
                "odd",
            ]
        )
    },
    optional={
        "index": st.integers(0, 3),
        "message": st.just({"id": "msg_1", "model": "m", "usage": {"input_tokens": 1}}),
        "content_block": BLOCK,
        "delta": st.fixed_dictionaries(
            {"type": st.sampled_from(["text_delta", "thinking_delta", "input_json_delta", "signature_delta", "odd"])},
            optional=dict.fromkeys(("text", "thinking", "partial_json", "signature", "stop_reason"), some.words),
        ),
        "usage": some.json_values,
    },
)


@given(data=st.lists(EVENT.map(msgspec.json.encode) | st.binary(max_size=8), max_size=12))
def test_a_garbled_stream_is_the_upstreams_error_and_never_breaks_the_grammar(data: list[bytes]) -> None:
    decoder, assembler = codec.stream_decoder(CONTEXT), Assembler()
    try:
        for one in data:
            for said in decoder.feed(Event("message", one)):
                assembler.feed(said)
        for said in decoder.end():
            assembler.feed(said)
    except BadReply:
        return
    assert (assembler.response is None) == (assembler.failed is not None)


@given(id_=some.words)
def test_ids_are_legal_and_reversible(id_: str) -> None:
    assert legal.ID.fullmatch(legal_id(id_))
    assert original_id(legal_id(id_)) == id_


@given(id_=st.text("abz0_-", min_size=1))
def test_legal_ids_stay(id_: str) -> None:
    assert legal_id(id_) == id_
    assert original_id(id_) == id_


@given(request=some.requests())
@settings(max_examples=settings.default.max_examples // 2)
def test_names_of_tools_are_legal_distinct_and_mapped_back(request: ir.Request) -> None:
    names = tool_names(request)
    back = names.back()
    seen: dict[str, tuple[str | None, str]] = {}
    for tool in request.tools:
        if isinstance(tool, ir.Tool):
            upstream = names.upstream(tool.namespace, tool.name)
            assert legal.NAME.fullmatch(upstream)
            assert seen.setdefault(upstream, (tool.namespace, tool.name)) == (tool.namespace, tool.name)
            if upstream in back:
                assert (back[upstream].namespace, back[upstream].name) == (tool.namespace, tool.name)
            else:
                assert (None, upstream) == (tool.namespace, tool.name)
