"""Where an answer's words come from: grounding and citation metadata as citations, and back.

Law: the metadata itself stays residue of the answer and is what a client of this protocol is given; the citations are
what other protocols can show of it. Gemini counts bytes of UTF-8, the neutral form characters; a segment that is not
where it says it is has no offsets.

Source: https://ai.google.dev/api/generate-content#GroundingMetadata, …#CitationMetadata
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ccx.protocols.gemini.natives import foreign
from ccx.protocols.gemini.spelling import integer
from ccx.protocols.ir import Citation, Json, JsonObject, Loss


def citations(grounding: Json, cited: Json, text: str) -> tuple[Citation, ...]:
    """The citations of a text."""
    return (*_grounded(grounding, text), *_recited(cited, text))


def _grounded(metadata: Json, text: str) -> Iterator[Citation]:
    if not isinstance(metadata, dict):
        return
    chunks, supports = metadata.get("groundingChunks"), metadata.get("groundingSupports")
    if not isinstance(chunks, list) or not isinstance(supports, list):
        return
    for support in supports:
        if not isinstance(support, dict) or not isinstance(at := support.get("groundingChunkIndices"), list):
            continue
        place = _place(support.get("segment"), text)
        if place is None:
            continue
        for index in at:
            if isinstance(index, int) and 0 <= index < len(chunks) and (source := _source(chunks[index])) is not None:
                url, title, quote = source
                yield Citation(url, title, quote, *place)


def _source(chunk: Json) -> tuple[str | None, str | None, str | None] | None:
    """URL, title and text of whatever kind of source this is."""
    if not isinstance(chunk, dict):
        return None
    found = next((one for one in chunk.values() if isinstance(one, dict)), None)
    if found is None:
        return None
    url, title, text = found.get("uri"), found.get("title"), found.get("text")
    if not any(isinstance(one, str) and one for one in (url, title, text)):
        return None
    return _word(url), _word(title), _word(text)


def _place(segment: Json, text: str) -> tuple[int | None, int | None] | None:
    """Characters of a segment in the text, unknown ones where it does not say; None if it is of another text."""
    if not isinstance(segment, dict):
        return None, None
    start, end, said = integer(segment.get("startIndex")) or 0, integer(segment.get("endIndex")), segment.get("text")
    if end is not None and 0 <= start <= end:
        place = _characters(text, start, end)
        if place is not None and (not isinstance(said, str) or text[place[0] : place[1]] == said):
            return place
    if isinstance(said, str) and said:
        at = text.find(said)
        return None if at < 0 else (at, at + len(said))
    return None, None


def _characters(text: str, start: int, end: int) -> tuple[int, int] | None:
    if text.isascii():
        return (start, end) if end <= len(text) else None
    raw = text.encode("utf-8", "surrogatepass")
    if end > len(raw):
        return None
    try:
        first = len(raw[:start].decode("utf-8"))
        return first, first + len(raw[start:end].decode("utf-8"))
    except UnicodeDecodeError:
        return None


def _recited(metadata: Json, text: str) -> Iterator[Citation]:
    if not isinstance(metadata, dict):
        return
    sources = metadata.get("citationSources", metadata.get("citations"))
    for source in sources if isinstance(sources, list) else ():
        if isinstance(source, dict):
            start, end = _place({key: source.get(key) for key in ("startIndex", "endIndex")}, text) or (None, None)
            yield Citation(_word(source.get("uri")), _word(source.get("title")), None, start, end)


def _word(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


# --- writing ----------------------------------------------------------------------------------------------------------


class Grounds:
    """Gathers the citations of an answer into one grounding metadata."""

    def __init__(self) -> None:
        self._chunks: list[Json] = []
        self._supports: list[Json] = []
        self._known: dict[tuple[str | None, str | None], int] = {}

    def add(self, found: Sequence[Citation], text: str, *, index: int, path: str, losses: list[Loss]) -> None:
        """Take the citations of the text that is the part `index` of the answer."""
        for at, citation in enumerate(found):
            here = f"{path}.citations[{at}]"
            if foreign(citation.native):
                # What another provider wants back of a citation has no slot here.
                losses.append(Loss(f"{here}.native", "citations", approximate=True))
            if citation.url is None and citation.title is None and citation.quote is None:
                losses.append(Loss(here, "citations"))
                continue
            support: JsonObject = {"groundingChunkIndices": [self._chunk(citation)]}
            if citation.start is not None and citation.end is not None:
                support["segment"] = _segment(text, citation.start, citation.end, index)
            self._supports.append(support)

    @property
    def metadata(self) -> JsonObject | None:
        """The metadata; None if there is nothing to cite."""
        if not self._chunks:
            return None
        return {"groundingChunks": self._chunks, "groundingSupports": self._supports}

    def _chunk(self, citation: Citation) -> int:
        if citation.quote is None:
            key = (citation.url, citation.title)
            if key not in self._known:
                self._known[key] = len(self._chunks)
                self._chunks.append({"web": _present(uri=citation.url, title=citation.title)})
            return self._known[key]
        self._chunks.append({"retrievedContext": _present(uri=citation.url, title=citation.title, text=citation.quote)})
        return len(self._chunks) - 1


def _segment(text: str, start: int, end: int, index: int) -> JsonObject:
    before = len(text[:start].encode("utf-8", "surrogatepass"))
    said = text[start:end]
    found: JsonObject = {"startIndex": before, "endIndex": before + len(said.encode("utf-8", "surrogatepass"))}
    if index:
        found["partIndex"] = index
    return {**found, "text": said}


def _present(**fields: str | None) -> JsonObject:
    return {key: value for key, value in fields.items() if value is not None}
