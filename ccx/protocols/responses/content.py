"""The parts that messages and results of tools are made of.

Words are `input_text` or `output_text`, by who said them; images and files are named by URL, by the id of a file that
was uploaded, or hold base64 in a data URL. That an id of a file is one of this protocol's is residue, for other
protocols have ids of their own files.

Source: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input; annotations
https://platform.openai.com/docs/api-reference/responses/object#responses-object-output
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from ccx.protocols.ir import (
    Citation,
    FileRef,
    Inline,
    Json,
    JsonObject,
    Loss,
    Media,
    Native,
    Opaque,
    Refusal,
    Remote,
    Text,
)
from ccx.protocols.media_words import missing, plain_text, source
from ccx.protocols.names import Protocol
from ccx.protocols.responses.reading import Audience, made
from ccx.protocols.values import integer, record, records, rest, text

Content = Text | Media | Refusal | Opaque
"""What content may be made of."""

TEXTS: Final = frozenset({"input_text", "output_text", "text", "summary_text"})
# Residue of parts that belongs to the item around them.
_OF_ITEM: Final = frozenset({"id", "status", "phase", "item"})
_DETAILS: Final[dict[str, Literal["low", "high", "auto"]]] = {"low": "low", "high": "high", "auto": "auto"}
_AUDIO: Final = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_SUFFIXES: Final = {
    "application/pdf": "pdf",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/csv": "csv",
    "text/html": "html",
    "application/json": "json",
}


# --- reading ----------------------------------------------------------------------------------------------------------


def read_content(content: Json, issuer: str | None) -> list[Content]:
    """The parts of a content, a string or a list."""
    if isinstance(content, str):
        return [Text(content)]
    return [read_part(part, issuer) for part in content] if isinstance(content, list) else []


def read_part(part: Json, issuer: str | None) -> Content:
    """One part. What is not known is kept whole."""
    if isinstance(part, str):
        return Text(part)
    if not isinstance(part, dict):
        return Opaque("unknown", Native(Protocol.RESPONSES, issuer, {"content_part": part}))
    kind = text(part.get("type"))
    found: Content | None = None
    if kind in TEXTS and isinstance(words := part.get("text"), str):
        return read_text(part, words, issuer)
    if kind == "refusal" and isinstance(words := part.get("refusal"), str):
        return Refusal(words, made(rest(part, ("type", "refusal")), issuer))
    if kind == "input_image":
        found = _image(part, issuer)
    elif kind == "input_file":
        found = _file(part, issuer)
    elif kind == "input_audio":
        found = _audio(part, issuer)
    return found or Opaque(kind or "unknown", Native(Protocol.RESPONSES, issuer, {"content_part": part}))


def read_text(part: JsonObject, words: str, issuer: str | None) -> Text:
    """A part of words, with its citations."""
    if len(part) == 2:
        return Text(words)
    extra = rest(part, ("type", "text", "annotations"))
    if not extra.get("logprobs"):
        extra.pop("logprobs", None)
    cited = tuple(read_citation(one, issuer) for one in records(part.get("annotations")))
    return Text(words, cited, made(extra, issuer))


def read_citation(item: JsonObject, issuer: str | None) -> Citation:
    """An annotation. Of those that are not of a URL, the whole is residue."""
    start, end = integer(item.get("start_index")), integer(item.get("end_index"))
    if item.get("type") == "url_citation" and isinstance(url := item.get("url"), str):
        extra = rest(item, ("type", "url", "title", "start_index", "end_index"))
        return Citation(url, text(item.get("title")) or None, None, start, end, made(extra, issuer))
    return Citation(
        title=text(item.get("filename")) or None, start=start, end=end, native=made({"annotation": item}, issuer)
    )


def _image(part: JsonObject, issuer: str | None) -> Media | None:
    named = part.get("image_url")
    url = named if isinstance(named, str) else text(record(named).get("url"))
    word = text(part.get("detail"))
    detail = _DETAILS.get(word)
    extra = rest(part, ("type", "image_url", "file_id", "detail") if detail else ("type", "image_url", "file_id"))
    if url:
        return Media("image", source(url), detail=detail, native=made(extra, issuer))
    if ident := text(part.get("file_id")):
        extra["file_id"] = ident
        return Media("image", FileRef(ident), detail=detail, native=made(extra, issuer))
    return None


def _file(part: JsonObject, issuer: str | None) -> Media | None:
    name = text(part.get("filename")) or None
    extra = rest(part, ("type", "filename", "file_data", "file_url", "file_id"))
    if data := text(part.get("file_data")):
        place = source(data) if data[:5].lower() == "data:" else Inline(data, "application/pdf")
        return Media("document", place, name, native=made(extra, issuer))
    if url := text(part.get("file_url")):
        return Media("document", Remote(url), name, native=made(extra, issuer))
    if ident := text(part.get("file_id")):
        extra["file_id"] = ident
        return Media("document", FileRef(ident), name, native=made(extra, issuer))
    return None


def _audio(part: JsonObject, issuer: str | None) -> Media | None:
    sound = record(part.get("input_audio"))
    data, spelled = text(sound.get("data")), text(sound.get("format"))
    if not data:
        return None
    # OpenAI documents this part but takes it from few; that the client wrote it says that its upstream does.
    extra = rest(part, ("type", "input_audio"))
    extra["input_audio"] = {"format": spelled}
    return Media("audio", Inline(data, _AUDIO.get(spelled, f"audio/{spelled or 'wav'}")), native=made(extra, issuer))


# --- writing ----------------------------------------------------------------------------------------------------------


def of_part(fields: JsonObject) -> JsonObject:
    """The residue of a part without what belongs to its item."""
    return {key: value for key, value in fields.items() if key not in _OF_ITEM}


def of_item(fields: JsonObject) -> JsonObject:
    """The residue of a part that belongs to its item, but for the item's id."""
    found: JsonObject = {key: fields[key] for key in ("status", "phase") if key in fields}
    return {**found, **record(fields.get("item"))}


def write_text(part: Text, *, audience: Audience, path: str, losses: list[Loss]) -> JsonObject:
    """Words of the assistant."""
    cited: list[Json] = []
    for at, one in enumerate(part.citations):
        annotation = write_citation(one, len(part.text), audience)
        losses.extend(lost_citation(one, annotation, audience=audience, path=f"{path}.citations[{at}]"))
        if annotation is not None:
            cited.append(annotation)
    written: JsonObject = {"type": "output_text", "text": part.text, "annotations": cited}
    fields = audience.own(part.native)
    return {**written, **of_part(fields)} if fields else written


def write_citation(citation: Citation, length: int, audience: Audience) -> JsonObject | None:
    """An annotation; None for a citation that the protocol cannot say. Where it is of no certain stretch, it is of the
    whole text of this length, for the places are required."""
    own = audience.own(citation.native)
    if isinstance(whole := own.get("annotation"), dict):
        return whole
    if citation.url is None:
        return None
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title or "",
        "start_index": 0 if citation.start is None else citation.start,
        "end_index": length if citation.end is None else citation.end,
        **own,
    }


def lost_citation(
    citation: Citation, annotation: JsonObject | None, *, audience: Audience, path: str
) -> Iterator[Loss]:
    """What of a citation its annotation does not say: all of it, or what only its provider knows."""
    if annotation is None:
        yield Loss(path, "citations")
    elif any(True for _ in audience.refused(citation.native, path)):
        yield Loss(path, "citations", approximate=True)
    elif citation.quote and "annotation" not in audience.own(citation.native):
        yield Loss(path, "citations", approximate=True, detail="without the words that it quotes")


def write_media(
    media: Media, *, audience: Audience, kinds: frozenset[str], path: str, losses: list[Loss], remote: bool = True
) -> JsonObject:
    """An image or file of the user. `kinds` are those that the upstream takes, `remote` whether it fetches URLs. What
    cannot be sent becomes a line of text that says so, for content must not become empty."""
    losses.extend(audience.refused(media.native, path))
    own = audience.own(media.native)
    place = media.source
    if media.kind == "audio" and isinstance(sound := own.get("input_audio"), dict) and isinstance(place, Inline):
        return {"type": "input_audio", **own, "input_audio": {"data": place.data, **sound}}
    if media.kind in ("audio", "video") or media.kind not in kinds:
        if media.kind == "document" and (words := plain_text(media)) is not None:
            losses.append(Loss(path, "document", approximate=True, detail="sent as text"))
            return {"type": "input_text", "text": words}
        losses.append(Loss(path, media.kind))
        return {"type": "input_text", "text": missing(media)}
    if isinstance(place, FileRef) and own.pop("file_id", None) != place.id:
        losses.append(Loss(path, "file_id"))
        return {"type": "input_text", "text": missing(media)}
    if isinstance(place, Remote) and not remote:
        losses.append(Loss(path, "remote_url", approximate=True, detail="named in words"))
        return {"type": "input_text", "text": missing(media)}
    written: JsonObject = {"type": "input_image" if media.kind == "image" else "input_file"}
    match place:
        case FileRef(ident):
            written["file_id"] = ident
        case Remote(url):
            written["image_url" if media.kind == "image" else "file_url"] = url
        case Inline(data, media_type):
            written["image_url" if media.kind == "image" else "file_data"] = f"data:{media_type};base64,{data}"
    if media.kind == "image":
        if media.detail is not None:
            written["detail"] = media.detail
    elif isinstance(place, Inline):
        # A file in the request must have a name.
        written["filename"] = media.name or f"document.{_SUFFIXES.get(place.media_type.partition(';')[0], 'pdf')}"
    elif media.name is not None and "file_id" in written:
        written["filename"] = media.name
    elif media.name is not None:
        losses.append(Loss(path, "name"))
    return {**written, **own}
