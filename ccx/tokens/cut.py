"""A body cut into its blocks; `blocks` says which they are.

A block is handed on as the bytes of its JSON, not decoded: whoever has met these bytes before knows their count. A
body of a usual size is cut by one decode of its top level; a large or a broken one is scanned, which is slower and
never holds up another thread for long. For strict JSON both give the same blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import msgspec
from msgspec import Raw

from ccx.protocols.names import Protocol
from ccx.tokens import scan


class _Messages(msgspec.Struct):
    system: Raw = Raw()
    tools: list[Raw] = []
    messages: list[Raw] = []


class _Chat(msgspec.Struct):
    messages: list[Raw] = []
    tools: list[Raw] = []
    functions: list[Raw] = []


class _Responses(msgspec.Struct):
    instructions: Raw = Raw()
    input: list[Raw] = []
    tools: list[Raw] = []


class _Gemini(msgspec.Struct):
    systemInstruction: Raw = Raw()  # noqa: N815  # the wire's name
    system_instruction: Raw = Raw()
    content: Raw = Raw()
    contents: list[Raw] = []
    tools: list[Raw] = []
    generateContentRequest: Raw = Raw()  # noqa: N815  # the wire's name
    requests: list[Raw] = []


class _Images(msgspec.Struct):
    prompt: Raw = Raw()


class _Embeddings(msgspec.Struct):
    input: Raw = Raw()


_Shape: TypeAlias = type[_Messages | _Chat | _Responses | _Gemini | _Images | _Embeddings]
_SHAPES: Final[dict[Protocol, _Shape]] = {
    Protocol.MESSAGES: _Messages,
    Protocol.CHAT: _Chat,
    Protocol.RESPONSES: _Responses,
    Protocol.GEMINI: _Gemini,
    Protocol.IMAGES: _Images,
    Protocol.EMBEDDINGS: _Embeddings,
}
_DECODERS: Final = {protocol: msgspec.json.Decoder(shape) for protocol, shape in _SHAPES.items()}
_EACH: Final = {
    protocol: {field.encode_name: field.type is not Raw for field in msgspec.structs.fields(shape)}
    for protocol, shape in _SHAPES.items()
}
_ENVELOPES: Final = frozenset({"generateContentRequest", "requests"})
_object_decoder = msgspec.json.Decoder(dict[str, Raw])
_array_decoder = msgspec.json.Decoder(list[Raw])

# Up to AT_ONCE bytes one decode of the top level is well below a millisecond, unless the body is made of crumbs.
AT_ONCE: Final = 1_048_576
_CRUMBS_FROM: Final = 262_144
_CRUMBS: Final = 65_536


def cut(protocol: Protocol, raw: bytes) -> Iterable[bytes]:
    """The blocks of a body, each as the bytes of its JSON. Any bytes will do as a body."""
    found = cut_at_once(protocol, raw)
    return _scanned(protocol, raw, envelopes=True) if found is None else found


def cut_at_once(protocol: Protocol, raw: bytes) -> list[bytes] | None:
    """As `cut`, without a pause, at about 0.5 ms per MB.

    None for a body that has to be scanned: a large one, or one that is not strict JSON.
    """
    if len(raw) > AT_ONCE or (len(raw) > _CRUMBS_FROM and raw.count(b",") > _CRUMBS):
        return None
    return _decoded(protocol, raw, envelopes=True)


def _decoded(protocol: Protocol, raw: bytes, *, envelopes: bool) -> list[bytes] | None:
    values: list[tuple[str, Raw | list[Raw]]]
    try:
        try:
            shape = _DECODERS[protocol].decode(raw)
        except msgspec.ValidationError:
            # Valid JSON in an unusual shape, such as a string for a list.
            values = _loosely(protocol, raw)
        else:
            values = [(field, getattr(shape, field)) for field in _EACH[protocol]]
    except msgspec.ValidationError:
        return []  # no object
    except (ValueError, RecursionError):
        return None
    found: list[bytes] = []
    for field, value in values:
        parts = [part for part in map(bytes, value if isinstance(value, list) else (value,)) if part]
        if field not in _ENVELOPES:
            found += parts
        elif envelopes:
            for part in parts:
                found += _decoded(protocol, part, envelopes=False) or ()
    return found


def _loosely(protocol: Protocol, raw: bytes) -> list[tuple[str, Raw | list[Raw]]]:
    each = _EACH[protocol]
    return [
        (field, _array_decoder.decode(value) if each[field] and bytes(value).startswith(b"[") else value)
        for field, value in _object_decoder.decode(raw).items()
        if field in each
    ]


def _scanned(protocol: Protocol, raw: bytes, *, envelopes: bool) -> Iterator[bytes]:
    body = scan.document(raw)
    if body.kind != b"{":
        return
    each = _EACH[protocol]
    for field, value in {key: value for key, value in scan.members(body) if key in each}.items():
        spread = each[field] and value.kind == b"["
        for part in scan.elements(value) if spread else (value,):
            if field not in _ENVELOPES:
                yield part.tobytes()
            elif envelopes:
                yield from _scanned(protocol, part.tobytes(), envelopes=False)
