"""Parts of content: text, images, sound, films and files, read and written.

Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages; films as `video_url`:
https://openrouter.ai/docs/guides/overview/multimodal/videos and
https://www.alibabacloud.com/help/en/model-studio/qwen-api-via-openai-chat-completions.
"""

from __future__ import annotations

from typing import Literal, assert_never

from ccx.protocols.cache_control import parted
from ccx.protocols.cache_control import written as breakpoint_field
from ccx.protocols.chat import reasoning
from ccx.protocols.chat.reading import Origin, Reader, lost, merged
from ccx.protocols.dialects import Dialect
from ccx.protocols.ir import (
    FileRef,
    Inline,
    Json,
    JsonObject,
    Loss,
    Media,
    Native,
    Opaque,
    Reasoning,
    Refusal,
    Remote,
    Text,
)
from ccx.protocols.media_words import missing, plain_text, source, url_of
from ccx.protocols.names import Protocol
from ccx.protocols.values import record, rest, text

Content = Text | Media | Refusal | Reasoning | Opaque
"""What content may be made of."""

_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg", "pcm16": "audio/pcm", "opus": "audio/ogg"}
_AUDIO_FORMATS = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}
_DETAILS: dict[str, Literal["low", "high", "auto"]] = {"low": "low", "high": "high", "auto": "auto"}


def read_content(content: Json, origin: Origin) -> list[Content]:
    """The parts of a message's content, a string or a list."""
    if isinstance(content, str):
        return [Text(content)] if content else []
    return [read_part(part, origin) for part in content] if isinstance(content, list) else []


def read_part(part: Json, origin: Origin) -> Content:
    if not isinstance(part, dict):
        return Text(part) if isinstance(part, str) else Opaque("unknown", Native(Protocol.CHAT, origin.issuer, {}))
    match part.get("type"):
        case "text" if isinstance(words := part.get("text"), str):
            extra, cache = parted(rest(part, ("type", "text")))
            return Text(words, native=origin.native(extra), cache=cache)
        case "refusal" if isinstance(words := part.get("refusal"), str):
            return Refusal(words, native=origin.native(rest(part, ("type", "refusal"))))
        case "thinking" if "thinking" in part:
            return Reasoning(reasoning.thinking_text(part), native=origin.native(reasoning.thinking_residue(part)))
        case "image_url" | "video_url" as kind if part.get(kind):
            return _linked(part, kind, origin)
        case "input_audio" if text(record(part.get("input_audio")).get("data")):
            return _audio(part, origin)
        case "file" if isinstance(part.get("file"), dict):
            return _file(part, origin)
        case kind:
            return Opaque(text(kind) or "unknown", Native(Protocol.CHAT, origin.issuer, part))


def _linked(part: JsonObject, kind: Literal["image_url", "video_url"], origin: Origin) -> Content:
    linked = part[kind]
    inner = record(linked)
    url = linked if isinstance(linked, str) else text(inner.get("url"))
    if not url:
        return Opaque(kind, Native(Protocol.CHAT, origin.issuer, part))
    detail = _DETAILS.get(text(inner.get("detail")))
    extra = rest(part, ("type", kind))
    if inside := rest(inner, ("url", "detail") if detail else ("url",)):
        extra[kind] = inside
    return Media("image" if kind == "image_url" else "video", source(url), detail=detail, native=origin.native(extra))


def _audio(part: JsonObject, origin: Origin) -> Media:
    inner = record(part["input_audio"])
    spelled = text(inner.get("format"))
    data = text(inner.get("data"))
    media_type = _AUDIO_TYPES.get(spelled, f"audio/{spelled or 'wav'}")
    # Qwen takes a data URL or an address where OpenAI takes base64.
    place = source(data) if data.startswith(("data:", "http://", "https://")) else Inline(data, media_type)
    extra = rest(part, ("type", "input_audio"))
    if inside := rest(inner, ("data", "format")):
        extra["input_audio"] = inside
    return Media("audio", place, native=origin.native(extra))


def _file(part: JsonObject, origin: Origin) -> Content:
    inner = record(part["file"])
    name = text(inner.get("filename")) or None
    extra = rest(part, ("type", "file"))
    if data := text(inner.get("file_data")):
        if inside := rest(inner, ("file_data", "filename")):
            extra["file"] = inside
        place = source(data) if ":" in data[:16] else Inline(data, "application/pdf")
        return Media("document", place, name=name, native=origin.native(extra))
    if ident := text(inner.get("file_id")):
        # That the id is one of this protocol's is residue: other protocols have ids of their own files.
        extra["file"] = rest(inner, ("filename",))
        return Media("document", FileRef(ident), name=name, native=origin.native(extra))
    return Opaque("file", Native(Protocol.CHAT, origin.issuer, part))


def write_media(
    media: Media, *, path: str, dialect: Dialect, reader: Reader, vision: bool | None, losses: list[Loss]
) -> JsonObject:
    """A part of a user's message; where the vendor cannot take it, words that say what is missing."""
    if media.kind == "document" and (words := plain_text(media)) is not None and "document" not in dialect.media:
        losses.append(Loss(path, "document", approximate=True, detail="sent as text"))
        return {"type": "text", "text": words}
    if media.kind not in dialect.media or (media.kind == "image" and vision is False):
        losses.append(Loss(path, media.kind))
        return {"type": "text", "text": missing(media)}
    place = media.source
    if isinstance(place, Remote) and (not dialect.remote_media or media.kind in ("document", "audio")):
        losses.append(Loss(path, "remote_url", approximate=True, detail="named in words"))
        return {"type": "text", "text": missing(media)}
    part: JsonObject
    match media.kind:
        case "image" | "video":
            if isinstance(place, FileRef):
                losses.append(Loss(path, "file_id"))
                return {"type": "text", "text": missing(media)}
            key = "image_url" if media.kind == "image" else "video_url"
            inner: JsonObject = {"url": url_of(place)}
            if media.detail is not None and media.kind == "image":
                inner["detail"] = media.detail
            part = {"type": key, key: inner}
        case "audio":
            spelled = _AUDIO_FORMATS.get(place.media_type.partition(";")[0]) if isinstance(place, Inline) else None
            if spelled is None or not isinstance(place, Inline):
                losses.append(Loss(path, "audio"))
                return {"type": "text", "text": missing(media)}
            part = {"type": "input_audio", "input_audio": {"data": place.data, "format": spelled}}
        case "document":
            held: JsonObject = {}
            if isinstance(place, FileRef):
                if "file" not in reader.own(media.native):
                    losses.append(Loss(path, "file_id"))
                    return {"type": "text", "text": missing(media)}
                held["file_id"] = place.id
            else:
                held["filename"] = media.name or "document.pdf"
                held["file_data"] = url_of(place)
            part = {"type": "file", "file": held}
        case _:
            assert_never(media.kind)
    losses += reader.foreign(media.native, path)
    return merged(part, reader.own(media.native))


def write_text(part: Text, *, path: str, dialect: Dialect, reader: Reader, losses: list[Loss]) -> JsonObject:
    """A part of text, with the hints that the vendor takes."""
    written: JsonObject = {"type": "text", "text": part.text}
    if "text" in dialect.cache_control:
        written.update(breakpoint_field(part.cache, ttl="ttl" in dialect.cache_control))
    if part.citations:
        losses.append(Loss(f"{path}.citations", "citations"))
    if not part.native:
        return written
    losses += reader.foreign(part.native, path)
    own = reader.own(part.native)
    if dialect.content_parts:
        return merged(written, own)
    losses += [lost(path, key) for key in own]
    return written


def flattened(parts: list[JsonObject], dialect: Dialect, *, by: str = "\n\n") -> Json:
    """Content in its simplest form: a string where there is nothing but text without hints. Joining texts is no loss,
    for where one part ends has no meaning to these vendors."""
    if any(part.get("type") != "text" or not isinstance(part.get("text"), str) for part in parts):
        return list[Json](parts)
    if (len(parts) <= 1 or not dialect.content_parts) and all(len(part) == 2 for part in parts):
        return by.join(text(part["text"]) for part in parts)
    return list[Json](parts)


def sound_type(data: str) -> str:
    """The media type of base64 sound by its first bytes, as answers do not name theirs."""
    for start, media_type in (
        ("UklGR", "audio/wav"),
        ("T2dnUw", "audio/ogg"),
        ("ZkxhQ", "audio/flac"),
        ("SUQz", "audio/mpeg"),
        ("//", "audio/mpeg"),
    ):
        if data.startswith(start):
            return media_type
    return "audio/pcm"
