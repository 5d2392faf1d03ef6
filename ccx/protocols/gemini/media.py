"""Images, documents, sounds and films in Gemini's two forms: bytes in the part, and a URI.

Law: bytes are base64 of the standard alphabet in the neutral form, whichever alphabet they came in. A URI of Google's
own stores is a reference that means something to Google only; any other is a URL. What the target cannot take becomes a
note in its place, so that no turn is left empty, and a loss.

Source: https://ai.google.dev/api/caching#Blob, https://ai.google.dev/gemini-api/docs/file-input-methods
"""

from __future__ import annotations

import re
from typing import Final, Literal

from ccx.protocols.gemini.models import Traits
from ccx.protocols.gemini.natives import made
from ccx.protocols.gemini.spelling import Malformed
from ccx.protocols.ir import FileRef, Inline, Json, JsonObject, Loss, Media, Remote

Kind = Literal["image", "document", "audio", "video"]

_STORED = re.compile(r"gs://|files/|https://[a-z0-9.-]*generativelanguage\.googleapis\.com/[a-z0-9]+/files/")
_YOUTUBE = re.compile(r"https?://(?:www\.|m\.)?(?:youtube\.com|youtu\.be)/")
_RESOLUTIONS: Final[dict[str, Literal["low", "high"]]] = {
    "MEDIA_RESOLUTION_LOW": "low",
    "MEDIA_RESOLUTION_HIGH": "high",
}
_WORDS: Final = {"low": "MEDIA_RESOLUTION_LOW", "high": "MEDIA_RESOLUTION_HIGH"}
_TYPES: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "bmp": "image/bmp",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
}
_LIKELY: Final = {"image": "image/jpeg", "document": "application/pdf", "audio": "audio/mpeg", "video": "video/mp4"}
_EXTENSION = re.compile(r"\.([A-Za-z0-9]{2,4})(?:[?#].*)?$")
# https://ai.google.dev/gemini-api/docs/function-calling#multimodal
_IN_RESULTS: Final = frozenset({"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"})


def decode_blob(blob: Json, rest: JsonObject, path: str, issuer: str | None) -> Media:
    """`inlineData`, with the other fields of its part. Raises Malformed."""
    if not isinstance(blob, dict) or not isinstance(data := blob.get("data"), str):
        raise Malformed(f"{path}.inlineData.data", "A value is required")
    if "-" in data or "_" in data:
        data = data.replace("-", "+").replace("_", "/")
    if len(data) % 4 and not data.endswith("="):
        data += "=" * (-len(data) % 4)
    type_ = blob.get("mimeType")
    type_ = type_ if isinstance(type_, str) and type_ else "application/octet-stream"
    return _media(_kind(type_), Inline(data, type_), blob, rest, key="inlineData", issuer=issuer)


def decode_file(file: Json, rest: JsonObject, path: str, issuer: str | None) -> Media:
    """`fileData`, with the other fields of its part. Raises Malformed."""
    if not isinstance(file, dict) or not isinstance(uri := file.get("fileUri"), str):
        raise Malformed(f"{path}.fileData.fileUri", "A value is required")
    type_ = file.get("mimeType")
    type_ = type_ if isinstance(type_, str) and type_ else None
    guessed = type_ or ("video/mp4" if _YOUTUBE.match(uri) else media_type(uri))
    source = FileRef(uri, type_) if _STORED.match(uri) else Remote(uri, type_)
    return _media(_kind(guessed or ""), source, file, rest, key="fileData", issuer=issuer)


def _media(
    kind: Kind, source: Inline | Remote | FileRef, blob: JsonObject, rest: JsonObject, *, key: str, issuer: str | None
) -> Media:
    name, resolution = blob.get("displayName"), rest.get("mediaResolution")
    name = name if isinstance(name, str) and name else None
    extra: JsonObject = {
        one: value
        for one, value in blob.items()
        if one not in ("data", "fileUri", "mimeType") and not (one == "displayName" and name is not None)
    }
    detail = None
    if isinstance(resolution, dict) and len(resolution) == 1:
        detail = _RESOLUTIONS.get(str(resolution.get("level")))
    native: JsonObject = {one: value for one, value in rest.items() if one != "mediaResolution" or detail is None}
    if extra:
        native[key] = extra
    return Media(kind, source, name=name, detail=detail, native=made(native, issuer))


def _kind(type_: str) -> Kind:
    match type_.partition("/")[0]:
        case "image":
            return "image"
        case "audio":
            return "audio"
        case "video":
            return "video"
        case _:
            return "document"


def media_type(url: str) -> str | None:
    """What the end of a URL says about the media behind it."""
    found = _EXTENSION.search(url)
    return None if found is None else _TYPES.get(found[1].lower())


# --- writing ----------------------------------------------------------------------------------------------------------


def data_of(part: Media) -> JsonObject:
    """The data field of a part for a client, who is given every source as it is."""
    match part.source:
        case Inline(data, type_):
            return {"inlineData": {"mimeType": type_, "data": data}}
        case Remote(url, type_) | FileRef(url, type_):
            guessed = type_ or media_type(url)
            return {"fileData": {"fileUri": url, **({} if guessed is None else {"mimeType": guessed})}}


def encode_media(part: Media, fields: JsonObject, path: str, losses: list[Loss], *, traits: Traits) -> JsonObject:
    """A part for an upstream. `fields`: residue that it understands."""
    match part.source:
        case Inline(data, type_):
            key, blob = "inlineData", dict[str, Json](mimeType=type_, data=data)
        case Remote(url, type_):
            if not (traits.remote or _YOUTUBE.match(url)):
                return _note(part, path, losses, what="remote_url")
            key, blob = "fileData", dict[str, Json](fileUri=url)
            if (known := type_ or (None if _YOUTUBE.match(url) else media_type(url) or _LIKELY[part.kind])) is not None:
                blob["mimeType"] = known
        case FileRef(id_, type_):
            if not _STORED.match(id_):
                return _note(part, path, losses, what="file_id")
            key, blob = "fileData", dict[str, Json](fileUri=id_)
            if type_ is not None:
                blob["mimeType"] = type_
    extra = fields.get(key)
    found: JsonObject = {**fields, key: {**blob, **extra} if isinstance(extra, dict) else blob}
    if part.name is not None:
        # Only Vertex AI knows names of media; the Gemini API refuses them outside results.
        losses.append(Loss(path, "name"))
    if part.detail in _WORDS and "mediaResolution" not in fields:
        if traits.resolution:
            found["mediaResolution"] = {"level": _WORDS[part.detail]}
        else:
            losses.append(Loss(path, "detail"))
    return found


def fits_result(part: Media, traits: Traits) -> bool:
    """Whether a function's result may hold this."""
    if not traits.media_results:
        return False
    match part.source:
        case Inline(_, type_):
            return type_ in _IN_RESULTS
        case Remote(url, type_):
            return (type_ or media_type(url)) in _IN_RESULTS
        case FileRef(id_, type_):
            return type_ in _IN_RESULTS and _STORED.match(id_) is not None


def left_out(kind: str) -> JsonObject:
    """What stands for media that cannot be sent."""
    return {"text": f"[{kind} left out]"}


def _note(part: Media, path: str, losses: list[Loss], *, what: str) -> JsonObject:
    losses.append(Loss(path, what))
    return left_out(part.kind)
