"""Images and documents: blocks of Messages to neutral media and back.

Law: a source that only Messages has (a file, a list of blocks) is kept as it was and wins on the way back to Messages;
beside it stands the nearest thing that others understand. What Messages cannot take (sound, film, other file types) is
replaced by a line of text that says so, because a turn must not become empty, and is a declared loss.

Sources: https://platform.claude.com/docs/en/build-with-claude/vision, …/pdf-support, …/citations
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from ccx.protocols.ir import FileRef, Inline, Json, JsonObject, Loss, Media, Remote
from ccx.protocols.messages.natives import made

IMAGE_TYPES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_PDF: Final = "application/pdf"
_TEXT: Final = "text/plain"


def decode_media(block: JsonObject, issuer: str | None) -> Media | None:
    """An image or document block; None where its source is of no known kind."""
    kind = block.get("type")
    source = block.get("source")
    if not isinstance(source, dict):
        return None
    rest: JsonObject = {key: value for key, value in block.items() if key not in ("type", "source", "title")}
    found: Inline | Remote | FileRef | None = None
    match source:
        case {"type": "base64", "data": str(data), "media_type": str(media_type), **extra} if not extra:
            found = Inline(data, media_type)
        case {"type": "url", "url": str(url), **extra} if not extra:
            found = Remote(url)
        case {"type": "file", "file_id": str(file_id)}:
            # A file of another provider can have the same shape of id, so the source itself tells that it is ours.
            found = FileRef(file_id)
            rest["source"] = source
        case {"type": "text", "data": str(text), **extra} if kind == "document":
            found = Inline(_base64(text), _TEXT)
            if extra != {"media_type": _TEXT}:
                rest["source"] = source
        case {"type": "content", "content": content} if kind == "document":
            joined = _joined(content)
            if joined is not None:
                found = Inline(_base64(joined), _TEXT)
                rest["source"] = source
    if found is None:
        return None
    title = block.get("title")
    if kind == "image":
        return Media("image", found, native=made(rest, issuer)) if title is None else None
    return Media("document", found, name=title if isinstance(title, str) else None, native=made(rest, issuer))


def encode_media(media: Media, fields: JsonObject, path: str, losses: list[Loss], *, vision: bool = True) -> JsonObject:
    """The block for media. `fields` is its residue that may be sent. What cannot be sent becomes a text block."""
    if media.detail not in (None, "auto"):
        losses.append(Loss(path, "detail"))
    source = fields.pop("source", None)
    if not isinstance(source, dict):
        source = _source(media, path, losses) if vision or media.kind != "image" else None
        if source is None:
            what = {"image": "image", "document": "document", "audio": "audio", "video": "video"}[media.kind]
            if isinstance(media.source, FileRef) and media.kind in ("image", "document"):
                what = "file_id"
            losses.append(Loss(path, what, detail=_described(media)))
            return {"type": "text", "text": f"[{_described(media)} left out: this model cannot be given it]"}
    block: JsonObject = {"type": media.kind, "source": source}
    if media.name is not None and media.kind == "document":
        block["title"] = media.name
    block.update(fields)
    return block


def _source(media: Media, path: str, losses: list[Loss]) -> JsonObject | None:
    source = media.source
    if isinstance(source, Remote) and source.url.startswith("data:"):
        source = _data_url(source.url) or source
    match media.kind, source:
        case "image", Inline(data, media_type):
            media_type = "image/jpeg" if media_type == "image/jpg" else media_type
            return {"type": "base64", "media_type": media_type, "data": data} if media_type in IMAGE_TYPES else None
        case "image" | "document", Remote(url, media_type):
            if not url.startswith(("https://", "http://")):
                return None
            if media.kind == "document" and media_type not in (None, _PDF):
                return None
            return {"type": "url", "url": url}
        case "document", Inline(data, media_type):
            if media_type == _PDF:
                return {"type": "base64", "media_type": _PDF, "data": data}
            text = _text(data) if media_type.startswith("text/") or media_type == "application/json" else None
            if text is None:
                return None
            if media_type != _TEXT:
                losses.append(Loss(path, "document", approximate=True, detail=f"{media_type} sent as {_TEXT}"))
            return {"type": "text", "media_type": _TEXT, "data": text}
        case _:
            return None


def _described(media: Media) -> str:
    media_type = media.source.media_type
    said = media.kind if media_type is None else f"{media.kind} ({media_type})"
    return f"{said} {media.name!r}" if media.name else said


def _data_url(url: str) -> Inline | None:
    head, comma, data = url[5:].partition(",")
    if not comma or not head.endswith(";base64"):
        return None
    return Inline(data, head.split(";")[0] or _TEXT)


def _joined(content: Json) -> str | None:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts: list[str] = []
    for block in content:
        match block:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case _:
                return None
    return "\n\n".join(texts)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def _text(data: str) -> str | None:
    try:
        return base64.b64decode(data, validate=True).decode("utf-8", "surrogatepass")
    except (ValueError, binascii.Error):
        return None
