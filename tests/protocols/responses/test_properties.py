"""Laws of the codec over all values: legality, round trips, equal folds, and errors that are the right ones."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ccx.errors import BadReply, ClientError
from ccx.protocols import ir
from ccx.protocols.codec import Context
from ccx.protocols.names import Protocol
from ccx.protocols.residue import BOOKKEEPING
from ccx.protocols.responses import codec
from ccx.protocols.sse import Event
from ccx.protocols.stream import events
from tests.protocols import strategies as some
from tests.protocols.responses import kit, legal

DIALECTS = ("openai", "azure", "generic", "deepseek", "xai", "vllm")
THINKING = st.sampled_from([None, True, False])


@given(name=st.sampled_from(DIALECTS), request=some.requests(), thinking=THINKING)
@settings(max_examples=150)
def test_any_request_becomes_a_legal_one(name: str, request: ir.Request, thinking: bool | None) -> None:
    encoded = kit.write(replace(request, native=()), name, thinking=thinking, max_output_tokens=64_000)
    payload = {"store": False, **encoded.payload}
    legal.check(payload)
    assert all(loss.what and loss.path for loss in encoded.losses)
    assert msgspec.json.decode(msgspec.json.encode(payload)) == payload


@given(request=some.requests())
def test_what_was_sent_is_read_as_what_is_sent_again(request: ir.Request) -> None:
    """Once of this protocol, a request passes through both directions unchanged and without a loss."""
    first = kit.write(replace(request, native=()))
    read = codec.decode_request(first.payload, model="the-model", stream=request.stream)
    second = kit.write(read)
    assert second.payload == first.payload
    assert second.losses == ()
    assert codec.decode_request(second.payload, model="the-model", stream=request.stream) == read


OWN = some.natives(Protocol.RESPONSES, issuers=("openai",), keys=("x_hint",))


def told(response: ir.Response, losses: tuple[ir.Loss, ...]) -> list[ir.Part]:
    """The parts that come back: all but those that the losses name."""
    lost = {loss.path: loss.what for loss in losses if not loss.approximate}
    near = {loss.path for loss in losses if loss.approximate}
    found: list[ir.Part] = []
    for at, part in enumerate(response.parts):
        if lost.get(f"parts[{at}]") in ("image", "document", "audio", "video"):
            continue
        if isinstance(part, ir.Text):
            kept = tuple(
                replace(
                    one,
                    title=one.title or None,
                    quote=None if f"parts[{at}].citations[{index}]" in near else one.quote or None,
                    start=0,
                    end=len(part.text),
                )
                for index, one in enumerate(part.citations)
                if f"parts[{at}].citations[{index}]" not in lost
            )
            part = replace(part, citations=kept)
        found.append(part)
    return found


def bare(part: ir.Part) -> ir.Part:
    """A part without the ids that were minted for it."""
    if isinstance(part, ir.Opaque):
        return part
    kept = tuple(one for one in part.native if not one.data.keys() <= BOOKKEEPING)
    kept = tuple(replace(one, data={key: one.data[key] for key in one.data if key != "id"}) for one in kept)
    if isinstance(part, ir.ToolCall) and part.kind == "function" and not part.arguments.strip():
        part = replace(part, arguments="{}")
    return replace(part, native=kept)


def plain(response: ir.Response) -> ir.Response:
    """A response without what has no way back: of messages, one item may hold several parts, so residue of the part
    only is compared; calls of other providers' servers are sealed, which the tests of residue are for."""
    kept: list[ir.Part] = []
    for part in response.parts:
        if isinstance(part, ir.ToolCall):
            part = replace(part, server=False)
        if isinstance(part, ir.Text):
            part = replace(part, native=tuple(replace(one, data={"x_hint": "x"}) for one in part.native))
        if isinstance(part, ir.Media):
            part = replace(part, name=None, detail=None, native=())
        if isinstance(part, ir.Opaque):
            continue
        kept.append(part)
    return replace(response, parts=tuple(kept))


def image(part: ir.Part) -> ir.Part:
    """An image comes back as one of the types that the item can say."""
    if isinstance(part, ir.Media) and isinstance(part.source, ir.Inline):
        return replace(part, source=ir.Inline(part.source.data, "image/png"))
    return part


@given(response=some.responses(OWN))
def test_an_answer_comes_back_but_for_its_declared_losses(response: ir.Response) -> None:
    response = plain(response)
    encoded = kit.shown(response)
    back = codec.decode_response(encoded.payload, Context("openai", "the-model"))
    expected = told(response, encoded.losses)
    assert [bare(part) for part in back.parts] == [bare(image(part)) for part in expected]
    assert (back.usage.input_tokens, back.usage.output_tokens) == (
        response.usage.input_tokens,
        response.usage.output_tokens,
    )


@given(response=some.responses(some.anyones()), summary=st.sampled_from([None, "auto"]))
def test_a_streamed_answer_folds_to_the_one_that_is_not_streamed(response: ir.Response, summary: str | None) -> None:
    body: dict[str, Any] = {"reasoning": {"summary": summary}}
    whole = codec.decode_response(kit.shown(response, **body).payload, Context("openai", "the-model"))
    fold = kit.folded(kit.decoded(kit.raw_stream(response, **body))).response
    assert fold is not None
    # Residue that is known late travels behind its part instead of before it.
    assert [bare(part) for part in fold.parts if not envelope(part)] == [
        bare(part) for part in whole.parts if not envelope(part)
    ]
    assert fold.finish == whole.finish
    assert fold.usage == whole.usage
    assert sum(map(envelope, fold.parts)) == sum(map(envelope, whole.parts))


def envelope(part: ir.Part) -> bool:
    return isinstance(part, ir.Reasoning) and any("encrypted_content" in one.data for one in part.native)


@given(response=some.responses(some.anyones()), size=st.integers(1, 40))
def test_chunks_do_not_matter(response: ir.Response, size: int) -> None:
    raw = kit.raw_stream(response)
    assert kit.decoded(raw, size=size) == kit.decoded(raw)


@given(response=some.responses(some.anyones()))
def test_a_stream_is_numbered_and_its_items_are_those_of_the_end(response: ir.Response) -> None:
    found, _ = kit.streamed(response)
    assert [one["sequence_number"] for one in found] == list(range(len(found)))
    done = [one["item"] for one in found if one["type"] == "response.output_item.done"]
    added = [one["item"] for one in found if one["type"] == "response.output_item.added"]
    assert [one["output_index"] for one in found if one["type"] == "response.output_item.done"] == list(
        range(len(done))
    )
    assert [(one["type"], one.get("id")) for one in added] == [(one["type"], one.get("id")) for one in done]
    assert done == found[-1]["response"]["output"]


FOREIGN = some.natives(Protocol.GEMINI, issuers=("gemini",), keys=("thoughtSignature",))


@given(
    parts=st.lists(
        st.builds(ir.ToolCall, some.names, some.names, st.just("{}"), native=FOREIGN)
        | st.builds(ir.Text, some.words, native=FOREIGN)
        | st.builds(ir.Refusal, some.words, FOREIGN)
        | st.builds(ir.Reasoning, some.words, st.booleans(), FOREIGN.filter(bool)),
        max_size=5,
        unique_by=lambda part: part.id if isinstance(part, ir.ToolCall) else object(),
    ),
    through_stream=st.booleans(),
)
def test_residue_of_others_travels_through_a_client(parts: list[ir.Part], through_stream: bool) -> None:
    """The client returns the items it was given; every piece of residue is on its own part again."""
    response = kit.said(*parts)
    output = kit.streamed(response)[0][-1]["response"]["output"] if through_stream else kit.items(kit.shown(response))
    back = kit.read({"input": output}).messages
    found = back[0].parts if back else ()
    assert [gemini(part) for part in found] == [gemini(part) for part in parts]


def gemini(part: ir.Part) -> ir.Part:
    assert not isinstance(part, ir.Opaque)
    if isinstance(part, ir.Reasoning) and not part.text:
        part = replace(part, summary=False)
    return replace(part, native=tuple(one for one in part.native if one.protocol is Protocol.GEMINI))


@given(body=some.json_objects, kind=st.sampled_from(["input", "tools", "reasoning", "text", "metadata", "tool_choice"]))
def test_garbage_in_a_request_is_the_clients_fault_or_none(body: dict[str, Any], kind: str) -> None:
    with suppress(ClientError):
        codec.decode_request({"input": [], kind: [body], **body}, model="m", stream=False)
    with suppress(ClientError):
        codec.decode_request({"input": [], kind: body}, model="m", stream=False)
    items: list[Any] = [
        {**body, "type": one} for one in ("message", "reasoning", "function_call", "additional_tools", "x")
    ]
    with suppress(ClientError):
        kit.write(codec.decode_request({"input": items}, model="m", stream=False))
    for odd in body.values():
        odds: list[Any] = [
            {"type": odd, "role": odd, "content": [{"type": odd}]},
            {"role": "user", "content": [{"type": odd}]},
        ]
        with suppress(ClientError):
            kit.write(
                codec.decode_request({"input": odds, "tools": [{"type": odd, "name": odd}]}, model="m", stream=False)
            )


ITEM_KINDS = st.sampled_from(
    [
        "message",
        "reasoning",
        "function_call",
        "custom_tool_call",
        "image_generation_call",
        "web_search_call",
        "tool_search_call",
        "compaction",
    ]
)


@given(bodies=st.lists(some.json_objects, max_size=3), kind=ITEM_KINDS, data=st.binary(max_size=40))
def test_garbage_of_an_upstream_is_a_bad_reply_or_none(bodies: list[dict[str, Any]], kind: str, data: bytes) -> None:
    context = Context("openai", "m")
    for body in bodies:
        with suppress(BadReply):
            codec.decode_response({"output": [{**body, "type": kind}], **body}, context)
        for odd in body.values():
            content: Any = [{"type": odd, "text": odd, "annotations": odd}]
            output: Any = [{"type": odd}, {"type": kind, "content": content, "status": odd, "id": odd, "summary": odd}]
            with suppress(BadReply):
                codec.decode_response({"output": output, "status": odd, "usage": odd, "error": odd}, context)
    decoder = codec.stream_decoder(context)
    kinds = ("response.output_item.added", "response.output_text.delta", "response.output_item.done", "x", "error")
    with suppress(BadReply):
        for body in bodies:
            for event in kinds:
                told = {"type": event, "item": {"type": kind, **body}, "output_index": 0, "delta": "x", **body}
                decoder.feed(Event(event, msgspec.json.encode(told)))
        decoder.feed(Event("message", data))
    decoder.end()


@given(response=some.responses(OWN))
def test_the_events_of_an_answer_are_those_of_the_stream(response: ir.Response) -> None:
    """An answer of this protocol that was not streamed folds from its events, whatever is in it."""
    encoded = kit.shown(plain(response))
    own = codec.decode_response(encoded.payload, Context("openai", "the-model"))
    assert kit.folded(events(own)).response == own
