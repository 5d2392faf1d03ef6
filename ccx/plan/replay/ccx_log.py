"""ccx's own request log: the JSON lines that `ccx.telemetry.lines.ExchangeLine` documents."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, DecodeError, Meta, Raw, Struct, UnsetType, ValidationError, field, json

from ccx.plan.replay.logged import REFUSED, UNCOUNTABLE, Request, Row, Unreadable
from ccx.protocols.names import Protocol
from ccx.telemetry.lines import MAX_TEXT

_Count = Annotated[int, Meta(ge=0)]
_PROTOCOLS: Final = frozenset(protocol.value for protocol in Protocol)
_GIVEN: Final = frozenset({"hit", "joined"})
_NO_TAGS: Final = Raw(b"{}")


class _Tokens(Struct, gc=False):
    input: _Count | None = field(name="in", default=None)
    output: _Count | None = field(name="out", default=None)
    cache_read: _Count | None = None
    cache_write: _Count | None = None
    counted: _Count | None = None


class _Facts(Struct, gc=False):
    tokens_at_most: _Count | UnsetType | None = UNSET
    tools: bool | None = None
    thinking: bool | None = None
    images: bool | None = None
    server_tools: Raw | UnsetType = UNSET
    headers: Raw | UnsetType = UNSET
    body: Raw | UnsetType = UNSET


class _Line(Struct, gc=False):
    protocol: str
    model: str | None
    stream: bool
    tokens: _Tokens
    client: str | None = None
    tags: Raw = _NO_TAGS
    prefix: str | None = None
    route: str | None = None
    facts: _Facts | None = None
    sticky_tokens: _Count | None = None
    cache: str | None = None


_decode = json.Decoder(_Line).decode
_NO_FACTS: Final = _Facts()


def read(line: bytes) -> Row:
    """The request of a line. Raises Unreadable."""
    try:
        x = _decode(line)
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8") from None
    except ValidationError:
        raise Unreadable("not a line of ccx's request log") from None
    except (DecodeError, RecursionError):
        raise Unreadable("not JSON") from None
    if x.protocol not in _PROTOCOLS:
        raise Unreadable("a protocol that this ccx does not know")
    model, facts, tokens = x.model, x.facts, x.tokens
    if facts is None:
        if model is None and x.route is None:
            raise Unreadable(REFUSED)
        facts = _NO_FACTS
    if model is not None and len(model) == MAX_TEXT and model[-1] == "…":
        raise Unreadable("the model's name is cut off in the log")
    prompt, cached, written = tokens.input, tokens.cache_read or 0, tokens.cache_write or 0
    if prompt is not None and cached + written > prompt:
        prompt = None  # impossible counts are no counts
    at_most = facts.tokens_at_most
    counted = tokens.counted
    if at_most is None:
        counted = UNCOUNTABLE if counted is None else counted
    return Row(
        Request(
            x.protocol,
            model,
            x.client,
            True,
            bytes(x.tags),
            x.prefix,
            x.route,
            x.stream,
            facts.tools,
            facts.thinking,
            facts.images,
            _bytes(facts.server_tools),
            _bytes(facts.headers),
            _bytes(facts.body),
        ),
        counted,
        None if at_most is UNSET else at_most,
        prompt,
        tokens.output,
        cached,
        written,
        sticky=x.sticky_tokens,
        given=x.cache in _GIVEN,
    )


def _bytes(raw: Raw | UnsetType) -> bytes | None:
    return None if raw is UNSET else bytes(raw)
