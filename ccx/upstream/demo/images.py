"""OpenAI Images. Sources: https://platform.openai.com/docs/api-reference/images and .../images-streaming."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256

from ccx.upstream.demo.answer import encode, event
from ccx.upstream.demo.ask import CREATED, Request
from ccx.upstream.demo.failures import OPENAI, refusal
from ccx.upstream.demo.fields import Json, integer, string, words
from ccx.upstream.demo.multipart import form
from ccx.upstream.demo.png import png
from ccx.upstream.demo.script import SSE_TYPE, Script

MAX_IMAGES = 10
MAX_SIDE = 4096
MAX_PARTIALS = 3
_MODEL = "gpt-image-1"


def generation(request: Request) -> Script:
    """POST /v1/images/generations."""
    return _drawn(request, request.json(), kind="image_generation", prompted=True)


def edit(request: Request) -> Script:
    """POST /v1/images/edits, as a form or as JSON."""
    body, names = _form(request)
    if not names & {"image", "image[]", "images"}:
        raise refusal("Missing required parameter: 'image'.", param="image", code="missing_required_parameter")
    return _drawn(request, body, kind="image_edit", prompted=True)


def variation(request: Request) -> Script:
    """POST /v1/images/variations, as a form."""
    body, names = _form(request)
    if "image" not in names:
        raise refusal("Missing required parameter: 'image'.", param="image", code="missing_required_parameter")
    return _drawn(request, body, kind="image_variation", prompted=False)


def _form(request: Request) -> tuple[Json, frozenset[str]]:
    """The members of a body, and the names of those that are not empty, files among them."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("application/json"):
        body = request.json()
        return body, frozenset(name for name, value in body.items() if value)
    try:
        fields, files = form(kind, request.body)
    except ValueError as error:
        raise refusal(f"Invalid form: {error}.") from error
    typed: dict[str, object] = dict(fields)
    for name in ("n", "partial_images"):
        if name in fields and fields[name].isascii() and fields[name].isdigit() and len(fields[name]) < 10:
            typed[name] = int(fields[name])
    typed["stream"] = fields.get("stream", "").lower() == "true"
    return typed, frozenset(name for name, data in files.items() if any(data))


def _count(body: Json, name: str, *, default: int, least: int, most: int) -> int:
    wanted = body.get(name)
    count = default if wanted is None else integer(wanted)
    if count is None or not least <= count <= most:
        raise refusal(
            f"Invalid '{name}': {least} to {most} expected, not {wanted!r}.", param=name, code="invalid_value"
        )
    return count


def _size(body: Json) -> tuple[int, int]:
    wanted = body.get("size")
    if wanted in (None, "auto"):
        return 1024, 1024
    sides = [int(side) for side in string(wanted).split("x") if side.isascii() and side.isdigit() and len(side) < 6]
    if len(sides) != 2 or not all(1 <= side <= MAX_SIDE for side in sides):
        raise refusal(f"Invalid size {wanted!r}: WIDTHxHEIGHT expected.", param="size", code="invalid_value")
    return sides[0], sides[1]


def _drawn(request: Request, body: Json, *, kind: str, prompted: bool) -> Script:
    prompt, model = string(body.get("prompt")), string(body.get("model")) or _MODEL
    if prompted and not prompt:
        raise refusal("Missing required parameter: 'prompt'.", param="prompt", code="missing_required_parameter")
    number = _count(body, "n", default=1, least=1, most=MAX_IMAGES)
    partials = _count(body, "partial_images", default=0, least=0, most=MAX_PARTIALS)
    width, height = _size(body)

    def picture(*which: object) -> str:
        seed = sha256(request.digest + repr(which).encode()).digest()
        return b64encode(png(width, height, seed[:3])).decode()

    usage: Json = {
        "input_tokens": words(prompt),
        "input_tokens_details": {"text_tokens": words(prompt), "image_tokens": 0},
        "output_tokens": 16 * number,
        "total_tokens": words(prompt) + 16 * number,
    }
    drawn: Json = {
        "background": "opaque",
        "output_format": "png",
        "quality": "low",
        "size": f"{width}x{height}",
    }
    if body.get("stream") is True:
        return Script(
            model,
            prompt,
            tuple(
                event(data, name=string(data["type"]))
                for data in _events(
                    kind, partials, [picture(index) for index in range(number)], usage=usage, drawn=drawn
                )
            ),
            content_type=SSE_TYPE,
            broken=lambda failure, before: event({"type": "error", **OPENAI.body(failure)}, name="error"),
        )
    # The gpt-image models always send the picture itself; the older ones a URL unless asked otherwise.
    wanted = body.get("response_format") or ("b64_json" if model.startswith("gpt-image") else "url")
    if wanted not in ("url", "b64_json"):
        message = f"Invalid 'response_format': 'url' or 'b64_json' expected, not {wanted!r}."
        raise refusal(message, param="response_format", code="invalid_value")
    data: list[Mapping[str, str]] = [
        {"url": "data:image/png;base64," + picture(index)} if wanted == "url" else {"b64_json": picture(index)}
        for index in range(number)
    ]
    return Script(model, prompt, (encode({"created": CREATED, **drawn, "data": data, "usage": usage}),))


def _events(kind: str, partials: int, pictures: list[str], *, usage: Json, drawn: Json) -> Iterator[Json]:
    for picture in pictures:
        common: Json = {"b64_json": picture, "created_at": CREATED, **drawn}
        for index in range(partials):
            yield {"type": f"{kind}.partial_image", "partial_image_index": index, **common}
        yield {"type": f"{kind}.completed", **common, "usage": usage}
