"""OpenAI Images in front of a Gemini image model: a request one way, an answer the other.

Law: pure, and no codec: an image is not a conversation. What Gemini cannot be told is a named `Loss`, never dropped in
silence; what it answers without an image is an error, in its own words. A size is told by the nearest aspect ratio and,
from 2048 pixels on, by a step of resolution: smaller ones are what a model gives by itself, and not every model takes
the step. Gemini makes one image for a request, whole, and chooses its file format.

An edit is the same request with its pictures behind the prompt. Gemini edits by words alone (its guide's "semantic
masking"): a mask is lost, which `on_loss: reject` refuses; sent as one more picture it would be taken for content.
Variations are not converted: they have no prompt, and Gemini makes nothing without one. A prompt of ours would be an
edit that nobody asked for, and OpenAI has retired the endpoint.

Sources: https://platform.openai.com/docs/api-reference/images, …/images-streaming,
https://ai.google.dev/gemini-api/docs/image-generation, https://ai.google.dev/api/generate-content#ImageConfig,
https://ai.google.dev/gemini-api/docs/file-input-methods
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, assert_never

import msgspec

from ccx.errors import BadReply, ClientError
from ccx.protocols.gemini.ending import blocked, decode_finish
from ccx.protocols.gemini.media import media_type
from ccx.protocols.image_edits import Edit
from ccx.protocols.ir import Inline, Json, JsonObject, Loss, Remote
from ccx.protocols.sse import encode
from ccx.protocols.usage import gemini_usage

RATIOS: Final[tuple[tuple[int, int], ...]] = (
    *((1, 1), (2, 3), (3, 2), (3, 4), (4, 3)),
    *((4, 5), (5, 4), (9, 16), (16, 9), (21, 9)),
)
"""The aspect ratios, width to height, that every Gemini image model takes."""

STEPS: Final[tuple[tuple[int, str], ...]] = ((3840, "4K"), (2048, "2K"))
"""From how many pixels of the longer side on which `imageSize` is asked for. Below, none: a model's own is 1K."""

_SQUARES: Final = frozenset({1024, 2048, 4096})  # what 1K, 2K and 4K are at 1:1, to the pixel
_SIZE: Final = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_SAID: Final = frozenset({"model", "prompt", "size", "n", "stream", "response_format"})
# Values that ask for what Gemini does anyway: nothing is lost by not saying them.
_USUAL: Final[dict[str, tuple[Json, ...]]] = {
    "quality": ("auto",),
    "background": ("auto", "opaque"),
    "moderation": ("auto",),
    "partial_images": (0,),
    "input_fidelity": ("low",),
}
# Fields that OpenAI documents; any other is `unknown_field:NAME`, as in conversations.
_DOCUMENTED: Final = frozenset(
    {"quality", "style", "background", "moderation", "output_format", "output_compression", "partial_images"}
    | {"user", "safety_identifier", "frame_count", "frame_duration_ms", "complexity", "svg", "input_fidelity"}
)
_REMOTE_TYPE: Final = "image/jpeg"  # of a picture whose URL does not tell; Gemini wants one
_FORMATS: Final = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp"}
_json = msgspec.json.Encoder().encode


# --- requests ---------------------------------------------------------------------------------------------------------


def to_gemini(body: JsonObject) -> tuple[JsonObject, tuple[Loss, ...]]:
    """The generateContent request for a request for images, and what it cannot say.

    Raises ClientError 400 for a prompt, size or number that is none.
    """
    return _request(body, ())


def edit_to_gemini(edit: Edit) -> tuple[JsonObject, tuple[Loss, ...]]:
    """The same for an edit of images."""
    payload, losses = _request(edit.fields, tuple(map(_picture, edit.pictures)))
    lost = (_loss(name, detail="Gemini edits by words alone") for name in edit.overlays)
    return payload, (*losses, *lost)


def _picture(source: Inline | Remote) -> Json:
    match source:
        case Inline(data, kind):
            return {"inlineData": {"mimeType": kind, "data": data}}
        case Remote(url, said):
            return {"fileData": {"fileUri": url, "mimeType": said or media_type(url) or _REMOTE_TYPE}}
        case _:
            assert_never(source)


def _request(body: JsonObject, pictures: tuple[Json, ...]) -> tuple[JsonObject, tuple[Loss, ...]]:
    losses: list[Loss] = []
    config: JsonObject = {"responseModalities": ["IMAGE"]}
    if image := _image_config(body.get("size"), losses):
        config["imageConfig"] = image
    if _number(body.get("n")) > 1:
        losses.append(_loss("n", detail="Gemini makes one image for a request"))
    if body.get("stream") is True:
        losses.append(_loss("stream", approximate=True, detail="the image comes whole, in one event"))
    if body.get("response_format") == "url":
        losses.append(_loss("response_format", approximate=True, detail="the URL is a data: URL"))
    for name, value in body.items():
        if name not in _SAID and value is not None and value not in _USUAL.get(name, ()):
            losses.append(_loss(name if name in _DOCUMENTED else f"unknown_field:{name}"))
    contents: Json = [{"role": "user", "parts": [{"text": _prompt(body.get("prompt"))}, *pictures]}]
    return {"contents": contents, "generationConfig": config}, tuple(losses)


def _prompt(prompt: Json) -> str:
    if not isinstance(prompt, str) or not prompt:
        raise ClientError(400, "invalid_request", "`prompt` must be a text that is not empty.", param="prompt")
    return prompt


def _number(n: Json) -> int:
    if n is None:
        return 1
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ClientError(400, "invalid_request", f"`n` must be a number of images, not {n!r}.", param="n")
    return n


def _image_config(size: Json, losses: list[Loss]) -> JsonObject:
    if size is None or size == "auto":
        return {}
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if found is None:
        shown = f"`size` must be `auto` or WIDTHxHEIGHT, not {size!r:.40}."
        raise ClientError(400, "invalid_request", shown, param="size")
    width, height = int(found[1]), int(found[2])
    wanted = math.log(width / height)
    across, down = min(RATIOS, key=lambda ratio: abs(math.log(ratio[0] / ratio[1]) - wanted))
    config: JsonObject = {"aspectRatio": f"{across}:{down}"}
    step = next((name for least, name in STEPS if max(width, height) >= least), None)
    if step is not None:
        config["imageSize"] = step
    if width != height or width not in _SQUARES:
        told = f"{across}:{down}" if step is None else f"{across}:{down} at {step}"
        losses.append(_loss("size", approximate=True, detail=f"{size} became {told}"))
    return config


def _loss(what: str, *, approximate: bool = False, detail: str | None = None) -> Loss:
    return Loss(what, what, approximate=approximate, detail=detail)


# --- answers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a client of Images is given: the images as (media type, base64), the usage in OpenAI's names if Gemini told
    it, and what of Gemini's answer has no place in it."""

    images: tuple[tuple[str, str], ...]
    usage: JsonObject | None
    losses: tuple[Loss, ...] = ()


def from_gemini(body: JsonObject, *, edited: bool = False) -> Drawn:
    """The images of a whole generateContent answer. `edited`: to an edit, whose prompt had pictures.

    Raises ClientError 400, with Gemini's words, where the prompt or the image was blocked; BadReply for an answer that
    is none, or has no image.
    """
    if isinstance(error := body.get("error"), dict):
        raise BadReply(f"the answer is an error: {error.get('message')}", stage="body")
    candidates = list(_objects(body.get("candidates")))
    parts = [part for candidate in candidates for part in _objects(_object(candidate.get("content")).get("parts"))]
    # An image that is thought is a draft of the one that follows.
    shown = [part for part in parts if part.get("thought") is not True]
    images = tuple(image for part in shown if (image := _image(part)) is not None)
    texts = "\n".join(text for part in shown if isinstance(text := part.get("text"), str) and text)
    if not images:
        raise _without_image(body, candidates, texts)
    losses = [_loss("text", detail="words beside the image")] if texts else []
    if len(shown) < len(parts):
        losses.append(_loss("reasoning"))
    return Drawn(images, _usage(body.get("usageMetadata"), pictured=edited), tuple(losses))


def whole(drawn: Drawn, asked: JsonObject, *, created: int) -> JsonObject:
    """The answer to a request that was not to be streamed. `created` is unix seconds."""
    as_url = asked.get("response_format") == "url"
    data: list[Json] = [
        {"url": f"data:{kind};base64,{data}"} if as_url else {"b64_json": data} for kind, data in drawn.images
    ]
    answer: JsonObject = {"created": created, "data": data}
    if (name := _FORMATS.get(drawn.images[0][0])) is not None:
        answer["output_format"] = name
    if drawn.usage is not None:
        answer["usage"] = drawn.usage
    return answer


Made = Literal["image_generation", "image_edit"]
"""What a streamed image came of, as OpenAI names its events."""


def streamed(drawn: Drawn, *, created: int, made: Made = "image_generation") -> bytes:
    """The answer to a request that was: the end of each image's stream, without partial ones before it."""
    events: list[bytes] = []
    for kind, data in drawn.images:
        event: JsonObject = {
            "type": f"{made}.completed",
            "b64_json": data,
            "created_at": created,
            # What was chosen is not told.
            "size": "auto",
            "quality": "auto",
            "background": "auto",
            "output_format": _FORMATS.get(kind, "png"),
        }
        if drawn.usage is not None:
            event["usage"] = drawn.usage
        events.append(encode(f"{made}.completed", _json(event)))
    return b"".join(events)


def _image(part: JsonObject) -> tuple[str, str] | None:
    blob = _object(part.get("inlineData", part.get("inline_data")))
    kind, data = blob.get("mimeType", blob.get("mime_type")), blob.get("data")
    if isinstance(kind, str) and kind.startswith("image/") and isinstance(data, str) and data:
        return kind, data
    return None


def _without_image(body: JsonObject, candidates: list[JsonObject], texts: str) -> ClientError | BadReply:
    feedback = _object(body.get("promptFeedback"))
    if (reason := blocked(feedback)) is not None:
        said = _text(feedback.get("blockReasonMessage")) or f"The prompt was blocked by Gemini: {reason}."
        return _declined(said)
    for candidate in candidates:
        finish = decode_finish(candidate.get("finishReason"), ())
        if finish.reason == "content_filter":
            words = _text(candidate.get("finishMessage")) or texts
            return _declined(words or f"The image was blocked by Gemini: {finish.raw}.")
    if not candidates:
        return BadReply("the answer is not one of Gemini: it has no candidates", stage="body")
    why = _text(candidates[0].get("finishMessage")) or texts or str(candidates[0].get("finishReason"))
    return BadReply(f"the model made no image: {why}", stage="body")


def _declined(words: str) -> ClientError:
    return ClientError(400, "invalid_request", words)


def _usage(metadata: Json, *, pictured: bool) -> JsonObject | None:
    found = gemini_usage(metadata)
    if found.input_tokens is None or found.output_tokens is None:
        return None
    usage: JsonObject = {
        "input_tokens": found.input_tokens,
        "output_tokens": found.output_tokens,
        "total_tokens": found.input_tokens + found.output_tokens,
    }
    # Without pictures nothing but the prompt went; with them only Gemini knows which part was theirs.
    of_pictures = _image_tokens(metadata, "promptTokensDetails", most=found.input_tokens) if pictured else 0
    if of_pictures is not None:
        rest = found.input_tokens - of_pictures
        usage["input_tokens_details"] = {"image_tokens": of_pictures, "text_tokens": rest}
    made = _image_tokens(metadata, "candidatesTokensDetails", most=found.output_tokens)
    if made is not None:
        usage["output_tokens_details"] = {"image_tokens": made, "text_tokens": found.output_tokens - made}
    return usage


def _image_tokens(metadata: Json, field: str, *, most: int) -> int | None:
    """How many tokens were of images; None where that is not told, or cannot be."""
    told = [one.get("tokenCount") for one in _objects(_object(metadata).get(field)) if one.get("modality") == "IMAGE"]
    counts = [count for count in told if isinstance(count, int) and not isinstance(count, bool) and count >= 0]
    return sum(counts) if counts and sum(counts) <= most else None


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _objects(value: Json) -> Iterator[JsonObject]:
    items: Iterable[Json] = value if isinstance(value, list) else ()
    return (one for one in items if isinstance(one, dict))
