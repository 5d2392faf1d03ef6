"""What an edit of images asks for, read from either of its two forms: JSON, and multipart/form-data.

Law: pure. Both forms become one JSON object of plain fields (what was written in a text field as a number or a switch
is one), and the pictures to edit, in the order in which they were given. A picture's type is what its bytes say; what
its sender says counts only where they say nothing that is known here, since a wrong type is refused upstream. A picture
that only OpenAI can reach (a file id) is an error, never left out: the edit would be one of something else.

Sources: https://platform.openai.com/docs/api-reference/images/createEdit,
https://ai.google.dev/gemini-api/docs/image-understanding#supported-formats
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from ccx.errors import ClientError
from ccx.protocols.ir import Inline, Json, JsonObject, Remote
from ccx.protocols.multipart import Form, Part

PICTURES: Final = ("image", "images")
OVERLAYS: Final = ("mask", "markup")
"""Further pictures, which say where to edit."""

MOST_PICTURES: Final = 16
"""Pictures that one edit may have."""

_SIGNATURES: Final = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    # https://nokiatech.github.io/heif/technical.html: the brand that follows the box `ftyp`.
    (re.compile(rb"....ftyp(?:heic|heix|hevc|hevx|heim|heis)", re.DOTALL), "image/heic"),
    (re.compile(rb"....ftyp(?:mif1|msf1)", re.DOTALL), "image/heif"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "image/avif"),
)
_HEAD: Final = 64
_NUMBERS: Final = frozenset({"n", "partial_images", "output_compression", "frame_count", "frame_duration_ms"})
_NUMBER: Final = re.compile(r"-?\d{1,9}")
_ITEM: Final = re.compile(r"([^\[\]]*)\[[^\[\]]*\].*")
_DATA_URL: Final = re.compile(r"data:([^;,]*)((?:;[^;,]*)*?);base64,", re.IGNORECASE)
_BASE64_HEAD: Final = _HEAD // 3 * 4


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit: its fields but for the pictures, and the pictures. `overlays` names those that say where to edit."""

    fields: JsonObject
    pictures: tuple[Inline | Remote, ...]
    overlays: tuple[str, ...] = ()


def edit_of_json(body: JsonObject) -> Edit:
    """The edit that a JSON body asks for. Raises ClientError 400 for pictures that are none."""
    pictures: list[Inline | Remote] = []
    for name in PICTURES:
        given = body.get(name)
        items = given if isinstance(given, list) else [] if given is None else [given]
        for at, item in enumerate(items):
            pictures.append(_referred(item, f"{name}[{at}]" if isinstance(given, list) else name))
    overlays = tuple(name for name in OVERLAYS if body.get(name) is not None)
    fields = {key: value for key, value in body.items() if key not in PICTURES and key not in OVERLAYS}
    return _checked(Edit(fields, tuple(pictures), overlays))


def edit_of_form(form: Form) -> Edit:
    """The edit that a form asks for. Raises ClientError 400 for pictures that are none, and text that is none."""
    pictures: list[Inline | Remote] = []
    overlays: list[str] = []
    fields: JsonObject = {}
    for part in form.parts:
        item = _ITEM.fullmatch(part.name)  # `image[]` is one of several, `svg[model]` a field of an object
        name = part.name if item is None else item[1]
        if name in PICTURES:
            pictures.append(_attached(form, part))
        elif name in OVERLAYS:
            overlays.append(name)
        else:
            fields[name] = _plain(name, form.field(part.name))
    return _checked(Edit(fields, tuple(pictures), tuple(dict.fromkeys(overlays))))


def picture_type(head: bytes) -> str | None:
    """The media type of the picture that begins with these bytes; None if they are of none that is known here."""
    return next((kind for signature, kind in _SIGNATURES if signature.match(head)), None)


def _checked(edit: Edit) -> Edit:
    if not edit.pictures:
        raise _refused("An edit needs at least one picture, in `image` or `images`.", "image")
    if len(edit.pictures) > MOST_PICTURES:
        raise _refused(f"An edit may have {MOST_PICTURES} pictures, not {len(edit.pictures)}.", "image")
    return edit


def _attached(form: Form, part: Part) -> Inline:
    data = memoryview(form.raw)[part.start : part.end]
    if not data:
        raise _refused(f"The picture in {part.name!r} is empty.", part.name)
    kind = _kind(bytes(data[:_HEAD]), part.content_type, part.name)
    return Inline(base64.b64encode(data).decode("ascii"), kind)


def _referred(item: Json, path: str) -> Inline | Remote:
    url: Json = item
    if isinstance(item, dict):
        if isinstance(item.get("file_id"), str):
            text = f"The file that {path!r} names is kept by OpenAI, and the model that is asked is not theirs."
            raise _refused(text, path)
        url = item.get("image_url")
        if isinstance(url, dict):
            url = url.get("url")
    if not isinstance(url, str) or not url:
        raise _refused(f"{path!r} must be an object with `image_url`.", path)
    if url.startswith(("https://", "http://")):
        return Remote(url)
    found = _DATA_URL.match(url)
    if found is None:
        raise _refused(f"The `image_url` of {path!r} must be a URL of https or a data: URL in base64.", path)
    data = url[found.end() :]
    try:
        head = base64.b64decode(data[:_BASE64_HEAD], validate=True)
    except (binascii.Error, ValueError):
        raise _refused(f"The data: URL of {path!r} is not base64.", path) from None
    if not head:
        raise _refused(f"The picture in {path!r} is empty.", path)
    return Inline(data, _kind(head, found[1].lower(), path))


def _kind(head: bytes, said: str | None, path: str) -> str:
    if (known := picture_type(head)) is not None:
        return known
    if said is not None and said.startswith("image/") and said != "image/":
        return "image/jpeg" if said == "image/jpg" else said
    raise _refused(f"{path!r} is no picture of a known format; send PNG, JPEG or WebP.", path)


def _plain(name: str, text: str | None) -> Json:
    """What a text field says, as its JSON form would. An empty one says nothing."""
    if not text:
        return None
    if name in _NUMBERS and _NUMBER.fullmatch(text):
        return int(text)
    if name == "stream":
        return text.lower() == "true"
    return text


def _refused(message: str, param: str) -> ClientError:
    return ClientError(400, "invalid_request", message, param=param)
