"""Media by URL, as OpenAI's protocols name them, and the words that stand for media that cannot be sent."""

from __future__ import annotations

import base64
import binascii
import re

from ccx.protocols.ir import FileRef, Inline, Media, Remote

_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*?);base64,", re.IGNORECASE)


def source(url: str) -> Inline | Remote:
    """What a URL names: base64 in itself, or something elsewhere."""
    found = _DATA_URL.match(url)
    if found is None:
        return Remote(url)
    return Inline(url[found.end() :], (found[1] + found[2]) or "text/plain")


def url_of(place: Inline | Remote) -> str:
    """The URL of media; `source` reads it again."""
    return place.url if isinstance(place, Remote) else f"data:{place.media_type};base64,{place.data}"


def missing(media: Media) -> str:
    """The words that stand for media that cannot be sent."""
    match media.source:
        case Remote(url) if not url.startswith("data:"):
            what = url
        case FileRef(ident):
            what = media.name or ident
        case _:
            what = media.name or "not shown"
    return f"[{media.kind}: {what}]"


def plain_text(media: Media) -> str | None:
    """The words of a document that is nothing but text."""
    if not isinstance(media.source, Inline) or not media.source.media_type.startswith("text/"):
        return None
    try:
        return base64.b64decode(media.source.data, validate=True).decode()
    except (ValueError, binascii.Error):
        return None
