"""What `input_tokens` means.

The law: the count of a request is the sum over its blocks, and the count of a block depends on the bytes of that block
alone: not on the protocol, not on its neighbours. A block is what a conversation sends again unchanged each turn: the
system prompt, one tool, one message.

    messages    system; each of tools, messages
    chat        each of messages, tools, functions
    responses   instructions; each of input, tools (an input that is one string is one block)
    gemini      systemInstruction, content; each of tools, contents; the same inside generateContentRequest and requests
    images      prompt
    embeddings  input

Within a block:
1.  A string is text and counts its o200k_base tokens, as `encoding` says: text, thinking, names, descriptions,
    refusals, results, and every string of a block type that nobody here has heard of.
2.  JSON that a model writes or reads as JSON (`input`, `args`, `arguments`, `action`, the schemas of tools) counts as
    one text, compact. A Gemini `response` counts likewise, or, if all it wraps is one string, as that string: the
    other protocols send it bare. JSON longer than LARGE counts in batches of members.
3.  An image is IMAGE tokens, or IMAGE_LOW if it asks for `detail: low`, however it is given. Its base64 is not text.
4.  Other base64 counts by its length: audio and video one token per 512 characters, text three per 16, anything else
    (PDF) one per 40, about what a page costs. What is only referred to is not in the request: an id counts nothing,
    a URL is text.
5.  Not counted: keys; roles, types, ids and what else SILENT lists; signatures and encrypted reasoning; citations;
    true, false, null and the numbers of objects. A number in an array is a token id and counts one.
6.  There is no overhead per message or tool: providers differ in it, and equal conversations shall count equal.
7.  A block that is not strict JSON (a lone surrogate, bytes that are no UTF-8), or nests too deep to decode, counts
    one token per four bytes. So does what is longer than LARGE and nests deeper than LEVELS. A body that is no JSON
    object has no blocks.

Every rule keeps a block's count at or below its length in bytes plus IMAGE per image, and each image leaves a
mark in the bytes: `upper_bound` rests on both. Nothing here raises, whatever the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec
from msgspec import Raw

from ccx.protocols.names import Protocol
from ccx.tokens import scan
from ccx.tokens.cut import cut
from ccx.tokens.scan import Slice

IMAGE: Final = 1_600
IMAGE_LOW: Final = 85
LARGE: Final = 65_536
LEVELS: Final = 8

SILENT: Final = frozenset(
    {"type", "role", "id", "status", "detail", "media_type", "mime_type", "mimeType", "strict", "phase", "index"}
    | {"cache_control", "signature", "thought_signature", "thoughtSignature", "encrypted_content"}
    | {"citations", "annotations", "logprobs"},
)
_JSON: Final = frozenset(
    {"input", "args", "arguments", "action", "input_schema", "parameters", "parameters_json_schema"}
    | {"parametersJsonSchema", "response", "response_json_schema", "responseJsonSchema"},
)
_FUNCTION_RESPONSE: Final = frozenset({"functionResponse", "function_response"})
_BASE64: Final = frozenset({"data", "file_data", "b64_json"})
_LINKS: Final = frozenset({"url", "uri", "file_url", "fileUri", "file_uri"})
_IMAGE_SOURCES: Final = frozenset({"image_url", "source", "result", "data", "b64_json", *_LINKS})
_MIME: Final = ("mimeType", "mime_type", "media_type")

# A float keeps its digits as they came, so that compact JSON is never longer than what it was made from.
_decoder = msgspec.json.Decoder(float_hook=lambda digits: Raw(digits.encode()))
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class LongText:
    """A text too long to decode at once; `pieces` reads it."""

    string: Slice

    def pieces(self) -> Iterator[str]:
        """The text, in pieces."""
        return scan.pieces(self.string)


Leaf: TypeAlias = str | LongText | int  # a text to count, or tokens already known


@dataclass(frozen=True, slots=True)
class Blocks:
    """A request as its countable parts: the texts in the order of their blocks, and the tokens that are not text."""

    texts: tuple[str, ...]
    media_tokens: int


def blocks(protocol: Protocol, raw: bytes) -> Blocks:
    """The definition, read aloud: everything at once, for tests and tools. A server counts block by block instead."""
    texts: list[str] = []
    media_tokens = 0
    for block in cut(protocol, raw):
        for leaf in leaves(block):
            match leaf:
                case str():
                    texts.append(leaf)
                case LongText():
                    texts.append("".join(leaf.pieces()))
                case int():
                    media_tokens += leaf
    return Blocks(tuple(texts), media_tokens)


def upper_bound(raw: bytes, *, below: int = 0) -> int:
    """Never below the count of the body, in tokens, in any protocol. As soon as a bound lies under `below` it is good
    enough, and the search for a closer one ends: 0.1 µs per KB if that is soon, up to 2 µs if it is not.

    A byte-level token is at least one byte of text. An image is an object, and names itself in a key, a type or a MIME
    type that starts or ends with `image`, unless one of these letters is written as an escape. Whoever only asks
    whether a body stays below a threshold compares `len(raw)` first: beyond it, so is the bound.
    """
    size = len(raw)
    # Deleting leaps from hit to hit, where bytes.count of CPython before 3.13 looks at every byte.
    objects = size - len(raw.replace(b"{", b""))
    if size + IMAGE * objects < below or not objects:
        return size + IMAGE * objects
    if b"\\u006" in raw:
        return size + IMAGE * objects
    marks = min(objects, raw.count(b"image"))
    if marks and size + IMAGE * marks >= below:
        marks = min(marks, raw.count(b'"image') + raw.count(b'image"'))
    return size + IMAGE * marks


def leaves(block: bytes) -> Iterator[Leaf]:
    """What a block counts, leaf by leaf, in no promised order."""
    stack: list[tuple[object, int]] = [(Slice(block, 0, len(block)), 0)]
    while stack:
        value, level = stack.pop()
        if isinstance(value, Slice):
            value, level = _opened(value, level)
        if isinstance(value, str | LongText):
            if value:
                yield value
        elif isinstance(value, _Tokens):
            yield value.count
        elif isinstance(value, dict):
            yield from _object(value, stack, level)
        elif isinstance(value, Iterator | list):
            stack.extend((item, level) for item in value)
        elif isinstance(value, Raw | int) and not isinstance(value, bool):
            yield 1


@dataclass(frozen=True, slots=True)
class _Tokens:
    count: int


def _guess(size: int) -> _Tokens:
    return _Tokens(-(-size // 4))


def _opened(value: Slice, level: int) -> tuple[object, int]:
    """The value decoded if it is small, else one level of it, its parts left as slices."""
    if value.size <= LARGE:
        try:
            return _decoder.decode(value.tobytes()), level
        except (ValueError, RecursionError):
            return _guess(value.size), level
    match value.kind:
        case b'"':
            return LongText(value), level
        case b"{" if level < LEVELS:
            return dict(scan.members(value)), level + 1
        case b"[" if level < LEVELS:
            return scan.elements(value), level + 1
        case _:
            return _guess(value.size), level


def _object(obj: dict[str, object], stack: list[tuple[object, int]], level: int) -> Iterator[Leaf]:
    kind, mime = _string(obj.get("type")), ""
    for name in _MIME:
        mime = mime or _string(obj.get(name))
    image = kind.startswith("image") or kind == "input_image" or "image_url" in obj or mime.startswith("image/")
    if image:
        yield IMAGE_LOW if _low_detail(obj) else IMAGE
    for key, value in obj.items():
        if key in SILENT or key.endswith(("_id", "Id")) or (image and key in _IMAGE_SOURCES):
            continue
        if isinstance(value, Slice) and value.size <= LARGE:
            value, _ = _opened(value, level)
        if isinstance(value, bool | int | Raw) or value is None:
            continue
        long = isinstance(value, Slice) and value.kind == b'"'
        if isinstance(value, str) or long:
            if key == "format" or (key == "data" and kind == "redacted_thinking"):
                continue
            if (key in _BASE64 and kind != "text") or (key in _LINKS and _head(value).startswith("data:")):
                yield _payload(value, mime, audio="format" in obj)
            else:
                stack.append((value, level))
        elif key in _FUNCTION_RESPONSE:
            stack.extend((part, level) for part in _without_envelope(value, level))
        elif key in _JSON:
            yield from _json(value, level)
        else:
            stack.append((value, level))


def _low_detail(obj: dict[str, object]) -> bool:
    source = obj.get("image_url")
    if isinstance(source, Slice):
        source, _ = _opened(source, 0)
    found = obj.get("detail") or (source.get("detail") if isinstance(source, dict) else None)
    return _string(found) == "low"


def _string(value: object) -> str:
    """A short string, decoded if need be; else the empty one."""
    if isinstance(value, Slice):
        value, _ = _opened(value, LEVELS)
    return value if isinstance(value, str) else ""


def _head(value: object) -> str:
    if isinstance(value, Slice):
        return next(scan.pieces(Slice(value.raw, value.start, min(value.end, value.start + 130))), "")
    return value[:128] if isinstance(value, str) else ""


def _payload(value: object, mime: str, *, audio: bool) -> int:
    """Rule 4. The length is that of the string: the prefix of a data URL is not worth telling apart."""
    size = (
        sum(map(len, scan.pieces(value))) if isinstance(value, Slice) else len(value) if isinstance(value, str) else 0
    )
    head = _head(value)
    mime = head[5:] if head.startswith("data:") else mime
    if audio or mime.startswith(("audio/", "video/")):
        return size // 512
    return size * 3 // 16 if mime.startswith("text/") else size // 40


def _without_envelope(value: object, level: int) -> Iterator[object]:
    """A Gemini function response: its `response` and other parts. Its name only refers to the call, as ids do."""
    if isinstance(value, Slice):
        value, level = _opened(value, level)
    if not isinstance(value, dict):
        yield value
        return
    for key, part in value.items():
        if key == "response":
            wrapped = _opened(part, level)[0] if isinstance(part, Slice) else part
            only = next(iter(wrapped.values())) if isinstance(wrapped, dict) and len(wrapped) == 1 else None
            if isinstance(only, str) or (isinstance(only, Slice) and only.kind == b'"'):
                yield only
            else:
                for leaf in _json(part, level):
                    yield _Tokens(leaf) if isinstance(leaf, int) else leaf
        elif key not in SILENT and key not in {"name", "id"}:
            yield part


def _json(value: object, level: int) -> Iterator[Leaf]:
    """Rule 2: compact JSON, in batches of members if it is large."""
    if not isinstance(value, Slice):
        yield _encode(value).decode()
        return
    if value.size <= LARGE or level >= LEVELS or value.kind not in {b"{", b"["}:
        opened, _ = _opened(value, LEVELS)
        match opened:
            case _Tokens():
                yield opened.count
            case LongText():
                yield opened
            case _:
                yield _encode(opened).decode()
        return
    batch: list[str] = []
    size = 0
    named = scan.members(value) if value.kind == b"{" else ((None, item) for item in scan.elements(value))
    for key, item in named:
        prefix = "" if key is None else _encode(key).decode() + ":"
        if item.size > LARGE:
            if prefix:
                yield prefix
            yield from _json(item, level + 1)
            continue
        opened, _ = _opened(item, LEVELS)
        if isinstance(opened, _Tokens):
            if prefix:
                yield prefix
            yield opened.count
            continue
        batch.append(prefix + _encode(opened).decode())
        size += item.size
        if size >= LARGE // 4:
            yield ",".join(batch)
            batch, size = [], 0
    if batch:
        yield ",".join(batch)
