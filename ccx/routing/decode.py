"""A routing table from its canonical JSON: the exact inverse of `canonical.table_json`.

Law: what is decoded encodes to the very bytes it came from, so that its digest is theirs; anything else is refused. A
field, a condition or a word that this ccx does not know is refused too, never passed over: the table of a newer ccx may
mean something that this one cannot see. Fields left out have their defaults. A decoded table is as sound as a compiled
one: it names no channel that it does not have.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from fractions import Fraction
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from ccx.errors import CcxError
from ccx.routing import conditions
from ccx.routing.canonical import table_json
from ccx.routing.table import RoutingTable

VERSIONS: Final = ("ccx/v1",)
"""Versions of the spec language whose tables this ccx reads."""
MAX_DEPTH: Final = 200

_Decode = Callable[[Any, str, int], Any]
_NEWER: Final = "it was perhaps made by a newer ccx"


class TableError(CcxError):
    """Bytes that are no routing table, or not one that this ccx can read. The message says where and why."""


def table_of(data: bytes) -> RoutingTable:
    """The table with these canonical bytes. Raises TableError for anything else."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TableError(f"this is not the JSON of a routing table: {error}") from None
    if not isinstance(tree, dict) or not isinstance(version := tree.get("version"), str):
        raise TableError("this is not a routing table: it has no version")
    if version not in VERSIONS:
        raise TableError(f"the table has the version {version!r}; this ccx reads {', '.join(VERSIONS)}")
    table: RoutingTable = _decoder(RoutingTable)(tree, "", 0)
    if table_json(table) != data:
        raise TableError("the table is not in its canonical form, so its digest cannot be told")
    _check(table)
    return table


def _check(table: RoutingTable) -> None:
    for kind, names in (
        ("channels", [channel.name for channel in table.channels]),
        ("clients", [client.name for client in table.clients]),
        ("groups", [group.name for group in table.groups]),
        ("models", [model.name for model in table.models]),
    ):
        if names != sorted(set(names)):
            raise TableError(f"{kind}: the names are not sorted, or one is there twice")
    channels = {channel.name for channel in table.channels}
    for place, route in enumerate(table.routes):
        for tier in route.tiers:
            for target in tier.targets:
                if target.channel not in channels:
                    raise TableError(f"routes[{place}] names the channel {target.channel!r}, which does not exist")
    if len({route.name for route in table.routes}) != len(table.routes):
        raise TableError("routes: a name is there twice")


@cache
def _decoder(kind: Any) -> _Decode:
    """How to read a value of a type: the types are those that the table's fields are declared with."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _literal(arguments)
    if origin in (Union, UnionType):
        return _union(arguments)
    if origin is tuple:
        return _sequence(arguments[0]) if arguments[1:] == (...,) else _fixed(arguments)
    if origin is frozenset:
        items = _sequence(arguments[0])
        return lambda value, at, depth: frozenset(items(value, at, depth))
    if is_dataclass(kind):
        return _record(kind)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _parsed(kind)
    match kind:
        case _ if kind in (bool, int, str, NoneType):
            return _plain(kind)
        case _ if kind is date:
            return _parsed(date.fromisoformat)
        case _ if kind in (Decimal, Fraction):
            return _parsed(kind)
        case _:
            raise TypeError(f"a table field of type {kind!r} cannot be decoded")


def _plain(kind: type) -> _Decode:
    def decode(value: Any, at: str, _depth: int) -> Any:
        if type(value) is not kind:
            raise TableError(f"{at}: {_shown(value)} is not {_article(kind)}; {_NEWER}")
        return value

    return decode


def _parsed(parse: Callable[[str], Any]) -> _Decode:
    def decode(value: Any, at: str, _depth: int) -> Any:
        if isinstance(value, str):
            try:
                return parse(value)
            except (ValueError, ArithmeticError, InvalidOperation):
                pass
        raise TableError(f"{at}: {_shown(value)} is not known here; {_NEWER}")

    return decode


def _literal(words: tuple[Any, ...]) -> _Decode:
    def decode(value: Any, at: str, _depth: int) -> Any:
        if isinstance(value, str) and value in words:
            return value
        raise TableError(f"{at}: {_shown(value)} is none of {', '.join(map(str, words))}; {_NEWER}")

    return decode


def _sequence(item: Any) -> _Decode:
    def decode(value: Any, at: str, depth: int) -> Any:
        if not isinstance(value, list):
            raise TableError(f"{at}: {_shown(value)} is not a list; {_NEWER}")
        one = _decoder(item)
        return tuple(one(part, f"{at}[{place}]", depth) for place, part in enumerate(value))

    return decode


def _fixed(items: tuple[Any, ...]) -> _Decode:
    def decode(value: Any, at: str, depth: int) -> Any:
        if not isinstance(value, list) or len(value) != len(items):
            raise TableError(f"{at}: {_shown(value)} is not a list of {len(items)}; {_NEWER}")
        pairs = zip(items, value, strict=True)
        return tuple(_decoder(item)(part, f"{at}[{place}]", depth) for place, (item, part) in enumerate(pairs))

    return decode


def _union(kinds: tuple[Any, ...]) -> _Decode:
    """One of several types, told by the JSON value: a condition by its `is`, another record by being an object."""
    records: dict[Any, Any] = {kind.__name__: kind for kind in kinds if isinstance(kind, type) and is_dataclass(kind)}
    named = any(kind.__module__ == conditions.__name__ for kind in records.values())
    others = tuple(kind for kind in kinds if kind not in records.values() and kind is not NoneType)
    nullable = NoneType in kinds

    def decode(value: Any, at: str, depth: int) -> Any:
        if value is None and nullable:
            return None
        if isinstance(value, dict) and records:
            if not named:
                return _decoder(next(iter(records.values())))(value, at, depth)
            word = value.get("is")
            if word not in records:
                raise TableError(f"{at}: the condition {_shown(word)} is not known here; {_NEWER}")
            return _decoder(records[word])(value, at, depth)
        if not others:
            raise TableError(f"{at}: {_shown(value)} is not an object; {_NEWER}")
        return _decoder(others[0])(value, at, depth)

    return decode


def _record(kind: Any) -> _Decode:
    hints = get_type_hints(kind)
    declared = {field.name: field for field in fields(kind)}
    required = {name for name, field in declared.items() if field.default is MISSING}
    marked = {"is"} if kind.__module__ == conditions.__name__ else set()

    def decode(value: Any, at: str, depth: int) -> Any:
        if not isinstance(value, dict):
            raise TableError(f"{at}: {_shown(value)} is not an object; {_NEWER}")
        if depth > MAX_DEPTH:
            raise TableError(f"{at[:80]}…: nested deeper than {MAX_DEPTH}")
        if unknown := sorted(value.keys() - declared.keys() - marked):
            raise TableError(f"{at or 'the table'}: the field {_shown(unknown[0])} is not known here; {_NEWER}")
        if missing := sorted(required - value.keys()):
            raise TableError(f"{at or 'the table'}: the field {missing[0]!r} is missing")
        if marked and value.get("is") != kind.__name__:
            raise TableError(f"{at}: the condition {_shown(value.get('is'))} does not belong here; {_NEWER}")
        read = {
            name: _decoder(hints[name])(value[name], f"{at}.{name}" if at else name, depth + 1)
            for name in value
            if name in declared
        }
        return kind(**read)

    return decode


def _article(kind: type) -> str:
    return {bool: "true or false", int: "an integer", str: "a text", NoneType: "null"}[kind]


def _shown(value: object) -> str:
    """A value of the input in a few characters, safe to print."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
