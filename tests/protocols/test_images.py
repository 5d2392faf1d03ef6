"""Images by Gemini: the request, the answer, and every loss of them; then the whole gateway, with OpenAI's client."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import openai
import pytest

from ccx.errors import BadReply, ClientError
from ccx.protocols.images import RATIOS, Drawn, from_gemini, streamed, to_gemini, whole
from ccx.protocols.ir import Loss
from ccx.protocols.names import Protocol
from ccx.protocols.preference import answering
from ccx.protocols.sse import SseDecoder
from tests.faults import FaultUpstream, Reply
from tests.gateway import running

PICTURE = b"\x89PNG\r\n\x1a\n a picture"
PNG = base64.b64encode(PICTURE).decode()
METADATA: dict[str, Any] = {
    "promptTokenCount": 7,
    "candidatesTokenCount": 1290,
    "thoughtsTokenCount": 10,
    "totalTokenCount": 1307,
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
}


def image(data: str = PNG, media_type: str = "image/png", **more: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": media_type, "data": data}, **more}


def answered(*parts: dict[str, Any], finish: str = "STOP", **more: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": list(parts), "role": "model"}, "finishReason": finish, "index": 0, **more}
    return {"candidates": [candidate], "usageMetadata": METADATA, "modelVersion": "gemini-3-pro-image"}


DETAILED = [{"modality": "TEXT", "tokenCount": 2}, {"modality": "IMAGE", "tokenCount": 5}]
EDITED: dict[str, Any] = {**answered(image()), "usageMetadata": {**METADATA, "promptTokensDetails": DETAILED}}


def names(losses: tuple[Loss, ...]) -> dict[str, bool]:
    """Losses by name, with whether they are approximations."""
    return {loss.what: loss.approximate for loss in losses}


# --- requests ---------------------------------------------------------------------------------------------------------


def test_a_prompt_alone_loses_nothing() -> None:
    assert to_gemini({"model": "m", "prompt": "A sea otter"}) == (
        {
            "contents": [{"role": "user", "parts": [{"text": "A sea otter"}]}],
            "generationConfig": {"responseModalities": ["IMAGE"]},
        },
        (),
    )


@pytest.mark.parametrize(
    ("size", "config", "exact"),
    [
        ("1024x1024", {"aspectRatio": "1:1"}, True),
        ("2048x2048", {"aspectRatio": "1:1", "imageSize": "2K"}, True),
        ("4096x4096", {"aspectRatio": "1:1", "imageSize": "4K"}, True),
        ("256x256", {"aspectRatio": "1:1"}, False),
        ("512x512", {"aspectRatio": "1:1"}, False),
        ("1536x1024", {"aspectRatio": "3:2"}, False),
        ("1024x1536", {"aspectRatio": "2:3"}, False),
        ("1792x1024", {"aspectRatio": "16:9"}, False),
        ("1024x1792", {"aspectRatio": "9:16"}, False),
        ("2047x1536", {"aspectRatio": "4:3"}, False),
        ("2560x1440", {"aspectRatio": "16:9", "imageSize": "2K"}, False),
        ("3840x2160", {"aspectRatio": "16:9", "imageSize": "4K"}, False),
        ("3000x1000", {"aspectRatio": "21:9", "imageSize": "2K"}, False),
        ("1000x3000", {"aspectRatio": "9:16", "imageSize": "2K"}, False),
    ],
)
def test_sizes(size: str, config: dict[str, str], exact: bool) -> None:
    payload, losses = to_gemini({"prompt": "p", "size": size})
    assert payload["generationConfig"] == {"responseModalities": ["IMAGE"], "imageConfig": config}
    assert names(losses) == ({} if exact else {"size": True})


def test_every_ratio_is_reached_by_its_own_size() -> None:
    for across, down in RATIOS:
        payload, _ = to_gemini({"prompt": "p", "size": f"{across * 64}x{down * 64}"})
        config = payload["generationConfig"]
        assert isinstance(config, dict)
        assert config["imageConfig"] == {"aspectRatio": f"{across}:{down}"}


@pytest.mark.parametrize(
    ("field", "lost"),
    [
        ({"size": "auto"}, {}),
        ({"size": None, "n": None, "quality": None, "style": None}, {}),
        ({"n": 1}, {}),
        ({"n": 2}, {"n": False}),
        ({"quality": "auto"}, {}),
        ({"quality": "hd"}, {"quality": False}),
        ({"style": "vivid"}, {"style": False}),
        ({"background": "opaque"}, {}),
        ({"background": "transparent"}, {"background": False}),
        ({"moderation": "auto"}, {}),
        ({"moderation": "low"}, {"moderation": False}),
        ({"output_format": "webp", "output_compression": 50}, {"output_format": False, "output_compression": False}),
        ({"user": "u", "safety_identifier": "s"}, {"user": False, "safety_identifier": False}),
        ({"response_format": "b64_json"}, {}),
        ({"response_format": "url"}, {"response_format": True}),
        ({"stream": False, "partial_images": 0}, {}),
        ({"input_fidelity": "low"}, {}),
        ({"stream": True, "partial_images": 2}, {"stream": True, "partial_images": False}),
        ({"new_thing": 1}, {"unknown_field:new_thing": False}),
    ],
)
def test_each_loss_is_named(field: dict[str, Any], lost: dict[str, bool]) -> None:
    payload, losses = to_gemini({"prompt": "p", **field})
    assert names(losses) == lost
    assert payload == to_gemini({"prompt": "p"})[0]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["p"]}, "prompt"),
        *(({"prompt": "p", "n": n}, "n") for n in (0, -1, 1.5, "2", True)),
        *(({"prompt": "p", "size": s}, "size") for s in ("", "big", "0x5", "1024", "1024x", 1024, "1024x1024 ")),
    ],
)
def test_what_is_no_request_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(ClientError) as caught:
        to_gemini(body)
    assert (caught.value.status, caught.value.kind, caught.value.param) == (400, "invalid_request", param)


# --- answers ----------------------------------------------------------------------------------------------------------


def test_an_image() -> None:
    drawn = from_gemini(answered(image()))
    usage: dict[str, Any] = {
        "input_tokens": 7,
        "input_tokens_details": {"text_tokens": 7, "image_tokens": 0},
        "output_tokens": 1300,
        "total_tokens": 1307,
        "output_tokens_details": {"image_tokens": 1290, "text_tokens": 10},
    }
    assert drawn == Drawn((("image/png", PNG),), usage)
    assert whole(drawn, {"prompt": "p"}, created=5) == {
        "created": 5,
        "data": [{"b64_json": PNG}],
        "output_format": "png",
        "usage": usage,
    }


def test_an_image_as_url_and_of_a_format_without_a_name() -> None:
    drawn = from_gemini({"candidates": [{"content": {"parts": [image("YQ==", "image/heic")]}}]})
    assert whole(drawn, {"response_format": "url"}, created=5) == {
        "created": 5,
        "data": [{"url": "data:image/heic;base64,YQ=="}],
    }


def test_snake_case_and_several_images() -> None:
    snake = {"inline_data": {"mime_type": "image/jpeg", "data": "Yg=="}}
    assert from_gemini(answered(image(), snake)).images == (("image/png", PNG), ("image/jpeg", "Yg=="))


def test_drafts_are_not_shown_and_words_are_named() -> None:
    drawn = from_gemini(answered(image("ZHJhZnQ=", thought=True), {"text": "Here it is."}, image()))
    assert drawn.images == (("image/png", PNG),)
    assert names(drawn.losses) == {"text": False, "reasoning": False}


def test_the_stream_is_the_end_of_one() -> None:
    drawn = from_gemini(answered(image(), image("Yg==", "image/webp")))
    events = SseDecoder().feed(streamed(drawn, created=5))
    assert [event.event for event in events] == ["image_generation.completed"] * 2
    first, second = (json.loads(event.data) for event in events)
    assert first == {
        "type": "image_generation.completed",
        "b64_json": PNG,
        "created_at": 5,
        "size": "auto",
        "quality": "auto",
        "background": "auto",
        "output_format": "png",
        "usage": drawn.usage,
    }
    assert (second["b64_json"], second["output_format"]) == ("Yg==", "webp")


@pytest.mark.parametrize(
    "details", [None, [], "x", [{"modality": "IMAGE", "tokenCount": "9"}], [{"modality": "IMAGE", "tokenCount": 9999}]]
)
def test_details_that_cannot_be_are_left_out(details: Any) -> None:
    body = answered(image())
    drawn = from_gemini({**body, "usageMetadata": {**METADATA, "candidatesTokensDetails": details}})
    assert drawn.usage is not None
    assert "output_tokens_details" not in drawn.usage


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"promptFeedback": {"blockReason": "SAFETY"}}, "The prompt was blocked by Gemini: SAFETY."),
        (
            {"promptFeedback": {"blockReason": "OTHER", "blockReasonMessage": "Not that."}, "candidates": []},
            "Not that.",
        ),
        (answered(finish="IMAGE_SAFETY", finishMessage="Unable to show it."), "Unable to show it."),
        (answered({"text": "I would rather not."}, finish="PROHIBITED_CONTENT"), "I would rather not."),
        (answered(finish="SAFETY"), "The image was blocked by Gemini: SAFETY."),
    ],
)
def test_declined_in_the_providers_words(body: Any, words: str) -> None:
    with pytest.raises(ClientError) as caught:
        from_gemini(body)
    assert (caught.value.status, caught.value.message) == (400, words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "no candidates"),
        ({"candidates": []}, "no candidates"),
        ({"candidates": "x"}, "no candidates"),
        ({"error": {"message": "Down."}}, "Down"),
        (answered({"text": "A poem instead."}), "A poem instead"),
        (answered(finish="NO_IMAGE"), "NO_IMAGE"),
        (answered(image("ZHJhZnQ=", thought=True)), "STOP"),
        (answered(image(media_type="audio/wav")), "STOP"),
        (answered({"inlineData": {"mimeType": "image/png", "data": ""}}), "STOP"),
        (answered({"inlineData": "x"}), "STOP"),
        ({"candidates": [{"content": []}]}, "None"),
    ],
)
def test_an_answer_without_an_image_is_none(body: Any, words: str) -> None:
    with pytest.raises(BadReply, match=words):
        from_gemini(body)


def test_who_answers_images() -> None:
    assert answering(Protocol.IMAGES, {Protocol.GEMINI, Protocol.CHAT}) is Protocol.GEMINI
    assert answering(Protocol.IMAGES, {Protocol.GEMINI, Protocol.IMAGES}) is Protocol.IMAGES
    assert answering(Protocol.IMAGES, {Protocol.CHAT, Protocol.MESSAGES, Protocol.RESPONSES}) is None
    assert answering(Protocol.GEMINI, {Protocol.IMAGES}) is None


# --- the whole gateway ------------------------------------------------------------------------------------------------


def spec(url: str, *, route: str = "") -> str:
    return f"""
    version: ccx/v1
    channels:
      gem: {{protocol: gemini, base_url: {url}, keys: none}}
      open: {{protocol: images, base_url: {url}, keys: none}}
    routes:
      - {{name: named, when: {{model: draw-me}}, to: [{{channel: gem, model: any-name}}], on_loss: reject}}
      - {{name: both, when: {{model: both}}, to: [{{channel: gem, model: any-name}}, open]{route}}}
      - {{name: rest, to: [gem]}}
    """


def reply(body: dict[str, Any]) -> Reply:
    return Reply(200, headers={"content-type": "application/json"}, body=json.dumps(body).encode())


async def test_openais_client_is_given_an_image(tmp_path: Path) -> None:
    large = base64.b64encode(b"x" * 2_000_000).decode()  # more than is held back
    async with FaultUpstream([reply(answered(image(large)))]) as up, running(spec(up.url), tmp_path) as gw:
        client = openai.AsyncOpenAI(base_url=f"{gw.url}/v1", api_key="k", max_retries=0)
        async with client:
            found = await client.images.generate(
                model="gemini-3-pro-image", prompt="A sea otter", size="1536x1024", quality="high"
            )
        sent = up.requests[0]
        assert sent.target == "/v1beta/models/gemini-3-pro-image:generateContent"
        assert json.loads(sent.body) == {
            "contents": [{"role": "user", "parts": [{"text": "A sea otter"}]}],
            "generationConfig": {"responseModalities": ["IMAGE"], "imageConfig": {"aspectRatio": "3:2"}},
        }
        assert found.data is not None
        assert [one.b64_json for one in found.data] == [large]
        assert found.usage is not None
        assert found.usage.total_tokens == 1307
        exchange = await gw.exchange()
        assert exchange.losses == ("quality", "size")
        assert (exchange.input_tokens, exchange.output_tokens, exchange.finish) == (7, 1300, "STOP")


async def test_openais_client_is_given_a_stream(tmp_path: Path) -> None:
    async with FaultUpstream([reply(answered(image()))]) as up, running(spec(up.url), tmp_path) as gw:
        client = openai.AsyncOpenAI(base_url=f"{gw.url}/v1", api_key="k", max_retries=0)
        async with client:
            stream = await client.images.generate(model="draw-me", prompt="A sea otter", stream=True)
            events = [event async for event in stream]
        assert up.requests[0].target == "/v1beta/models/any-name:generateContent"
        assert [(event.type, event.b64_json) for event in events] == [("image_generation.completed", PNG)]
        # An image that comes whole is an approximation, so the route that rejects losses took it.
        assert (await gw.exchange()).losses == ("stream",)


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ({"model": "draw-me", "n": 2}, 400, "gem would lose n"),
        ({"model": "draw-me", "size": "huge"}, 400, "`size` must be"),
        ({"model": "gpt-image-2"}, 503, "'gpt-image-2' is not known to make images"),
        ({"model": "gemini-2.5-pro"}, 503, "'gemini-2.5-pro' is not known to make images"),
        ({}, 503, "None is not known to make images"),
    ],
)
async def test_what_is_not_sent(more: dict[str, Any], status: int, words: str, tmp_path: Path) -> None:
    async with FaultUpstream([reply(answered(image()))]) as up, running(spec(up.url), tmp_path) as gw:
        answer = await gw.client.post("/v1/images/generations", json={"prompt": "p", **more})
        assert answer.status_code == status
        assert words in answer.json()["error"]["message"]
        assert up.requests == []


FILES: list[tuple[str, Any]] = [
    ("model", (None, "draw-me")),
    ("prompt", (None, "p")),
    ("image[]", ("a.png", PICTURE, "application/octet-stream")),
    ("image[]", ("b.jpg", b"\xff\xd8\xff a photograph", "image/png")),
]


async def test_variations_and_forms_for_new_images_are_refused(tmp_path: Path) -> None:
    async with FaultUpstream([reply(answered(image()))]) as up, running(spec(up.url), tmp_path) as gw:
        answer = await gw.client.post("/v1/images/variations", files=FILES)
        assert answer.status_code == 501
        error = answer.json()["error"]
        assert error["message"].startswith("No target of route 'named' has variation of images. A variation has no")
        assert error["code"] == "not_supported"
        answer = await gw.client.post("/v1/images/generations", files=FILES)
        assert answer.status_code == 400
        assert "JSON, not a form" in answer.json()["error"]["message"]
        assert up.requests == []


async def test_openais_client_edits_images(tmp_path: Path) -> None:
    large = PICTURE + b"x" * 300_000
    async with FaultUpstream([reply(EDITED)]) as up, running(spec(up.url), tmp_path) as gw:
        client = openai.AsyncOpenAI(base_url=f"{gw.url}/v1", api_key="k", max_retries=0)
        async with client:
            found = await client.images.edit(
                model="gemini-3-pro-image",
                image=[("a", large), ("b.jpg", b"\xff\xd8\xff a photograph")],
                mask=("m.png", PICTURE),
                prompt="Gr\u00f6\u00dfer",
                n=2,
                size="1024x1024",
                input_fidelity="high",
            )
        sent = up.requests[0]
        assert sent.target == "/v1beta/models/gemini-3-pro-image:generateContent"
        assert sent.header("content-type") == "application/json"
        assert json.loads(sent.body) == {
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"text": "Gr\u00f6\u00dfer"},
                        image(base64.b64encode(large).decode()),
                        image(base64.b64encode(b"\xff\xd8\xff a photograph").decode(), "image/jpeg"),
                    ],
                }
            ],
            "generationConfig": {"responseModalities": ["IMAGE"], "imageConfig": {"aspectRatio": "1:1"}},
        }
        assert found.data is not None
        assert [one.b64_json for one in found.data] == [PNG]
        assert found.usage is not None
        assert (found.usage.input_tokens_details.image_tokens, found.usage.input_tokens_details.text_tokens) == (5, 2)
        exchange = await gw.exchange()
        assert exchange.losses == ("input_fidelity", "mask", "n")
        assert (exchange.operation, exchange.model_asked, exchange.status) == ("edit", "gemini-3-pro-image", 200)


async def test_openais_client_is_given_the_stream_of_an_edit(tmp_path: Path) -> None:
    async with FaultUpstream([reply(EDITED)]) as up, running(spec(up.url), tmp_path) as gw:
        client = openai.AsyncOpenAI(base_url=f"{gw.url}/v1", api_key="k", max_retries=0)
        async with client:
            stream = await client.images.edit(model="draw-me", image=PICTURE, prompt="p", stream=True)
            events = [event async for event in stream]
        assert up.requests[0].target == "/v1beta/models/any-name:generateContent"
        assert [(event.type, event.b64_json) for event in events] == [("image_edit.completed", PNG)]
        assert (await gw.exchange()).losses == ("stream",)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_edit_in_json(stream: bool, tmp_path: Path) -> None:
    async with FaultUpstream([reply(EDITED)]) as up, running(spec(up.url), tmp_path) as gw:
        body = {
            "model": "draw-me",
            "prompt": "p",
            "images": [
                {"image_url": f"data:image/png;base64,{PNG}"},
                {"image_url": "https://x.example/a.webp"},
                {"image_url": "https://x.example/a"},
            ],
            "stream": stream,
        }
        answer = await gw.client.post("/v1/images/edits", json=body)
        assert answer.status_code == 200
        assert json.loads(up.requests[0].body)["contents"][0]["parts"] == [
            {"text": "p"},
            image(),
            {"fileData": {"fileUri": "https://x.example/a.webp", "mimeType": "image/webp"}},
            {"fileData": {"fileUri": "https://x.example/a", "mimeType": "image/jpeg"}},
        ]
        if stream:
            [event] = SseDecoder().feed(answer.content)
            assert event.event == "image_edit.completed"
        else:
            assert answer.json()["data"] == [{"b64_json": PNG}]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([("mask", ("m.png", PICTURE, "image/png"))], "gem would lose mask"),
        ([("n", (None, "many"))], "`n` must be a number of images"),
        ([("image", ("c", b"text", "text/plain"))], "no picture of a known format"),
    ],
)
async def test_edits_that_are_not_sent(more: list[tuple[str, Any]], words: str, tmp_path: Path) -> None:
    async with FaultUpstream([reply(EDITED)]) as up, running(spec(up.url), tmp_path) as gw:
        answer = await gw.client.post("/v1/images/edits", files=[*FILES, *more])
        assert answer.status_code == 400
        assert words in answer.json()["error"]["message"]
        assert up.requests == []


async def test_an_edit_that_only_openai_understands_goes_there(tmp_path: Path) -> None:
    ours = reply({"created": 1, "data": [{"b64_json": "Yg=="}]})
    async with FaultUpstream([ours]) as up, running(spec(up.url), tmp_path) as gw:
        body = {"model": "both", "prompt": "p", "images": [{"file_id": "file-1"}]}
        answer = await gw.client.post("/v1/images/edits", json=body)
        assert answer.json()["data"] == [{"b64_json": "Yg=="}]
        assert [one.target for one in up.requests] == ["/v1/images/edits"]
        assert json.loads(up.requests[0].body) == body


async def test_a_declined_edit(tmp_path: Path) -> None:
    async with FaultUpstream([reply(BLOCKED)]) as up, running(spec(up.url), tmp_path) as gw:
        answer = await gw.client.post("/v1/images/edits", files=FILES)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == "Unable to show it."
        assert len(up.requests) == 1


def test_the_tokens_of_pictures_are_told_only_by_gemini() -> None:
    told = from_gemini(EDITED, edited=True).usage
    untold = from_gemini(answered(image()), edited=True).usage
    assert told is not None
    assert untold is not None
    assert told["input_tokens_details"] == {"image_tokens": 5, "text_tokens": 2}
    assert "input_tokens_details" not in untold


BLOCKED = answered(finish="IMAGE_SAFETY", finishMessage="Unable to show it.")


async def test_declined_is_a_400_with_the_words_of_the_provider(tmp_path: Path) -> None:
    async with FaultUpstream([reply(BLOCKED)]) as up, running(spec(up.url), tmp_path) as gw:
        answer = await gw.client.post("/v1/images/generations", json={"prompt": "p", "model": "both"})
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == "Unable to show it."
        assert [one.outcome for one in (await gw.exchange()).attempts] == ["content_filter"]
        assert len(up.requests) == 1


async def test_declined_may_be_tried_elsewhere(tmp_path: Path) -> None:
    ours = reply({"created": 1, "data": [{"b64_json": "Yg=="}]})
    route = ", failover: {on: [content_filter]}"
    async with FaultUpstream([reply(BLOCKED), ours]) as up, running(spec(up.url, route=route), tmp_path) as gw:
        answer = await gw.client.post("/v1/images/generations", json={"prompt": "p", "model": "both"})
        assert answer.json() == {"created": 1, "data": [{"b64_json": "Yg=="}]}
        assert [one.outcome for one in (await gw.exchange()).attempts] == ["content_filter", "ok"]
        assert up.requests[1].target == "/v1/images/generations"


@pytest.mark.parametrize("body", [b"no json", b"[]", b'{"candidates": [{"finishReason": "NO_IMAGE"}]}'])
async def test_an_answer_that_is_none_is_the_upstreams_failure(body: bytes, tmp_path: Path) -> None:
    scripted = Reply(200, headers={"content-type": "text/plain"}, body=body)
    async with FaultUpstream([scripted]) as up, running(spec(up.url), tmp_path) as gw:
        answer = await gw.client.post("/v1/images/generations", json={"prompt": "p", "model": "draw-me"})
        assert answer.status_code == 502
        assert {one.outcome for one in (await gw.exchange()).attempts} == {"server_error"}
