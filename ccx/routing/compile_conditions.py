"""`when:` to a condition, and what a condition says of protocols."""

from __future__ import annotations

from ccx.protocols.names import Protocol
from ccx.routing.conditions import (
    ALWAYS,
    All,
    AnyOf,
    BodyField,
    ClientIn,
    Condition,
    Constant,
    Flag,
    FlagName,
    HeaderMatches,
    ModelMatches,
    Not,
    PrefixIn,
    ProtocolIn,
    ServerTool,
    TagMatches,
    TokensIn,
)
from ccx.routing.globs import Globs
from ccx.routing.normal import normal
from ccx.spec.conditions import FieldValue, When
from ccx.spec.groups import Member

_FLAGS: tuple[FlagName, ...] = ("stream", "tools", "thinking", "images")


def compile_when(when: When) -> Condition:
    """The condition of a `when:`, in its normal form."""
    return normal(_condition(when))


def compile_member(member: Member) -> Condition:
    """The condition that clients of a group meet, in its normal form."""
    return compile_when(When(client=member.client, tag=member.tag))


def _condition(when: When) -> Condition:
    parts: list[Condition] = []
    if when.protocol is not None:
        parts.append(ProtocolIn(frozenset(Protocol(name) for name in when.protocol)))
    if when.model is not None:
        parts.append(ModelMatches(Globs.of(when.model)))
    if when.input_tokens is not None:
        parts.append(AnyOf(tuple(TokensIn(low, high) for low, high in when.input_tokens)))
    flags: dict[FlagName, bool | None] = {
        "stream": when.stream,
        "tools": when.tools,
        "thinking": when.thinking,
        "images": when.images,
    }
    parts += [Flag(name, value) for name in _FLAGS if (value := flags[name]) is not None]
    if when.server_tools is not None:
        parts.append(ServerTool(Globs.of(when.server_tools)))
    if when.client is not None:
        parts.append(ClientIn(Globs.of(when.client)))
    parts += [TagMatches(name, Globs.of(globs)) for name, globs in (when.tag or {}).items()]
    parts += [HeaderMatches(name, Globs.of(globs)) for name, globs in (when.header or {}).items()]
    if when.prefix is not None:
        parts.append(PrefixIn(Globs.of(when.prefix)))
    parts += [_body_field(path, values) for path, values in (when.body or {}).items()]
    if when.any is not None:
        parts.append(AnyOf(tuple(_condition(part) for part in when.any)))
    if when.not_ is not None:
        parts.append(Not(_condition(when.not_)))
    return All(tuple(parts)) if parts else ALWAYS


def _body_field(path: str, values: tuple[FieldValue, ...]) -> BodyField:
    texts = tuple(value for value in values if isinstance(value, str))
    return BodyField(
        path,
        Globs.of(texts) if texts else None,
        integers=frozenset(value for value in values if isinstance(value, int) and not isinstance(value, bool)),
        booleans=frozenset(value for value in values if isinstance(value, bool)),
    )


def admitted(condition: Condition) -> frozenset[Protocol]:
    """The protocols for which the condition may hold, whatever the other facts are."""
    return frozenset(protocol for protocol in Protocol if _knowing(condition, protocol) is not False)


def _knowing(condition: Condition, protocol: Protocol) -> bool | None:
    """The condition when only the protocol is known; None where it hangs on the rest."""
    match condition:
        case Constant(value):
            return value
        case ProtocolIn(protocols):
            return protocol in protocols
        case Not(part):
            held = _knowing(part, protocol)
            return None if held is None else not held
        case All(parts):
            known = [_knowing(part, protocol) for part in parts]
            return False if False in known else None if None in known else True
        case AnyOf(parts):
            known = [_knowing(part, protocol) for part in parts]
            return True if True in known else None if None in known else False
        case _:
            return None


def asked_for(when: When) -> frozenset[Protocol]:
    """The protocols that a `when:` names to let them in; one that stands under `not` is named to keep it out."""
    return _named(when, wanted=True)


def _named(when: When, *, wanted: bool) -> frozenset[Protocol]:
    here = frozenset(Protocol(name) for name in when.protocol or ()) if wanted else frozenset[Protocol]()
    inside = [_named(part, wanted=wanted) for part in when.any or ()]
    if when.not_ is not None:
        inside.append(_named(when.not_, wanted=not wanted))
    return here.union(*inside)
