from __future__ import annotations

import inspect
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.errors import ClientError
from ccx.protocols.body import MAX_DEPTH, MISSING, Member, open_body
from ccx.protocols.nesting import deeper_than

SPACE = st.text(" \t\n\r", max_size=2).map(str.encode)
KEYS = st.sampled_from(["model", "stream_options", "a", "b", "é", 'quo"te', "back\\slash", "mo\ndel", ""]) | st.text(
    max_size=4
)


@st.composite
def strings(draw: st.DrawFn, text: st.SearchStrategy[str]) -> bytes:
    """A JSON string with each character spelled in any legal way."""
    out = b'"'
    for char in draw(text):
        units = char.encode("utf-16-be", "surrogatepass")
        escaped = "".join(f"\\u{units[i]:02x}{units[i + 1]:02X}" for i in range(0, len(units), 2)).encode()
        plain = json.dumps(char, ensure_ascii="\ud800" <= char <= "\udfff")[1:-1].encode()
        out += escaped if draw(st.booleans()) else plain
    return out + b'"'


@st.composite
def containers(draw: st.DrawFn, inner: st.SearchStrategy[bytes]) -> bytes:
    named = draw(st.booleans())
    parts = []
    for item in draw(st.lists(inner, max_size=3)):
        name = draw(strings(KEYS)) + draw(SPACE) + b":" if named else b""
        parts.append(draw(SPACE) + name + draw(SPACE) + item + draw(SPACE))
    return (b"{%s}" if named else b"[%s]") % b",".join(parts)


SCALARS = st.sampled_from(
    [b"null", b"true", b"false", b"0", b"-0", b"1e400", b"12", b"1", b"1.50", b"1" * 30, b"1" * 5000, b'"\\ud800"']
)
TEXTS = strings(st.text(max_size=8) | st.sampled_from(['"model":"x"', "model", '{"model"', "\ud83d", "\\", '\\"']))
VALUES = st.recursive(SCALARS | TEXTS, containers, max_leaves=6)


def readable(text: str) -> str:
    """Without lone surrogates."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A JSON object and, from the generator itself, its members: decoded key and exact value bytes."""
    space = st.just(b"") if draw(st.booleans()) else SPACE
    members: list[tuple[str, bytes]] = []
    texts: list[bytes] = []
    for _ in range(draw(st.integers(0, 5))):
        literal = draw(strings(KEYS))
        key = readable(json.loads(literal))
        value = draw(TEXTS if key == "model" else VALUES)
        texts.append(draw(space) + literal + draw(space) + b":" + draw(space) + value + draw(space))
        members.append((key, value))
    inside = b",".join(texts) if texts else draw(space)
    return draw(space) + b"{" + inside + b"}" + draw(space), members


def pairs(raw: bytes) -> list[tuple[str, object]]:
    """The oracle: the top-level pairs as the standard library reads them, duplicates kept, integers as text."""
    found: list[tuple[str, object]] = json.loads(raw, parse_int=str, object_pairs_hook=lambda items: items)
    return found


@given(bodies())
def test_members_are_exact(case: tuple[bytes, list[tuple[str, bytes]]]) -> None:
    raw, members = case
    body = open_body(raw)
    assert [(m.key, raw[m.value : m.end]) for m in body.members()] == members
    assert body.raw is raw
    models = [readable(json.loads(value)) for key, value in members if key == "model"]
    assert body.model == (models[-1] if models else None)


@given(bodies(), st.text())
def test_with_model_changes_only_the_model(case: tuple[bytes, list[tuple[str, bytes]]], new: str) -> None:
    raw, members = case
    out = b"".join(open_body(raw).with_model(new))
    models = [readable(json.loads(value)) for key, value in members if key == "model"]
    expected = [(key, new if readable(key) == "model" else value) for key, value in pairs(raw)]
    if not models:
        assert pairs(out) == [*expected, ("model", new)]
        assert out.startswith(raw[: raw.rindex(b"}")].rstrip())
    elif set(models) == {new}:
        assert out == raw
    else:
        assert pairs(out) == expected
        changed = open_body(out).members()
        assert around(out, changed) == around(raw, open_body(raw).members())


def around(raw: bytes, members: list[Member]) -> list[bytes]:
    """Everything outside the values of the key `model`."""
    rest, at = [], 0
    for member in members:
        if member.key == "model":
            rest.append(raw[at : member.value])
            at = member.end
    return [*rest, raw[at:]]


@given(
    bodies(),
    st.dictionaries(KEYS.filter(lambda key: key != "model"), st.none() | st.integers(0, 9) | st.text("ab"), max_size=3),
    st.sets(KEYS, max_size=3),
)
def test_with_fields(case: tuple[bytes, list[tuple[str, bytes]]], given_set: dict[str, object], drop: set[str]) -> None:
    raw, members = case
    out = b"".join(open_body(raw).with_fields(given_set, drop))
    expected = [
        (key, json.dumps(given_set[key]).encode() if key in given_set else value)
        for key, value in members
        if key in given_set or key not in drop
    ]
    present = {key for key, _ in members}
    expected += [(key, json.dumps(value).encode()) for key, value in given_set.items() if key not in present]
    assert [(m.key, out[m.value : m.end]) for m in open_body(out).members()] == expected
    if not given_set and not drop & present:
        assert out == raw


@pytest.mark.parametrize(
    ("raw", "drop", "expected"),
    [
        (b'{ "a" : 1 , "b" : 2 , "c" : 3 }', {"a"}, b'{ "b" : 2 , "c" : 3 }'),
        (b'{ "a" : 1 , "b" : 2 , "c" : 3 }', {"b"}, b'{ "a" : 1 , "c" : 3 }'),
        (b'{ "a" : 1 , "b" : 2 , "c" : 3 }', {"c"}, b'{ "a" : 1 , "b" : 2 }'),
        (b'{ "a" : 1 , "b" : 2 , "c" : 3 }', {"a", "b"}, b'{ "c" : 3 }'),
        (b'{ "a" : 1 , "b" : 2 , "c" : 3 }', {"a", "b", "c"}, b"{  }"),
        (b'{"a":1,"a":2,"b":3}', {"a"}, b'{"b":3}'),
        (b"{}", {"a"}, b"{}"),
    ],
)
def test_drop_takes_one_comma(raw: bytes, drop: set[str], expected: bytes) -> None:
    assert b"".join(open_body(raw).with_fields({}, drop)) == expected


def test_every_duplicate_model_is_replaced() -> None:
    raw = b'{"model":"big","x":{"model":"y"},"mod\\u0065l":"small" }'
    body = open_body(raw)
    assert body.model == "small"
    assert b"".join(body.with_model("new")) == b'{"model":"new","x":{"model":"y"},"mod\\u0065l":"new" }'
    # Unchanged for who reads the last one, but a parser that reads the first must not see "big".
    assert b"".join(body.with_model("small")) == b'{"model":"small","x":{"model":"y"},"mod\\u0065l":"small" }'


def test_the_same_model_is_the_same_body() -> None:
    for raw in (b'{"model":"m","a":1}', b'{"a": "model", "model": "m"}', b'{"model":"\\u006d"}'):
        body = open_body(raw)
        [piece] = body.with_model("m")
        assert piece is raw


def test_a_model_is_inserted_where_there_is_none() -> None:
    assert b"".join(open_body(b" { } ").with_model("m")) == b' { "model":"m"} '
    assert b"".join(open_body(b'{"a":1}').with_model("m")) == b'{"a":1,"model":"m"}'


def test_values_and_fields() -> None:
    body = open_body(b'{"a":{"b":{"c":[1,null]}},"n":null,"x":1,"x":2,"e":"\\ud800!"}')
    assert body.value("a") == {"b": {"c": [1, None]}}
    assert body.value("a") is body.value("a")
    assert body.value("n") is None
    assert body.value("nope") is None
    assert body.value("x") == 2
    assert body.value("e") == "\ufffd!"
    assert body.field(("a", "b", "c")) == [1, None]
    assert body.field(("n",)) is None
    assert body.field(("a", "z")) is MISSING
    assert body.field(("a", "b", "c", "0")) is MISSING
    assert body.field(("zz",)) is MISSING
    assert body.field(()) is MISSING


def test_stream() -> None:
    assert open_body(b'{"stream":true}').stream is True
    assert open_body(b'{"stream":false}').stream is False
    assert open_body(b'{"stream":null}').stream is False
    assert open_body(b"{}").stream is False
    assert open_body(b"{}").model is None


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "empty (at byte 0)"),
        (b"{", "ends too early (at byte 1)"),
        (b'{"a":1', "ends too early (at byte 6)"),
        (b"nope", "not valid JSON"),
        (b'{"a":1}}', "trailing characters (at byte 8)"),
        (b'{"a":01}', "invalid number (at byte 6)"),
        (b'{"a":NaN}', "(at byte 5)"),
        (b'{"a":"\t"}', "(at byte 6)"),
        (b'{"a":"\\ud8zz"}', "not valid JSON"),
        (b'{"a":"\\ud800","b":}', "(at byte 18)"),
        (b'{"a":"\\ud800"', "ends too early (at byte 13)"),
        (b'\xef\xbb\xbf{"a":1}', "(at byte 0)"),
        (b'{"a":"\xff"}', "not UTF-8: invalid start byte (at byte 6)"),
        (b'{"a":{"b":["\xed\xa0\x80"]}}', "not UTF-8"),
        (b" [1]", "must be a JSON object: Expected `object`, got `array` (at byte 1)"),
        (b'"text"', "must be a JSON object"),
        (b'{"model":1}', "'model' must be a string, not 1 (at byte 9)"),
        (b'{"model": null}', "'model' must be a string, not null (at byte 10)"),
        (b'{"a":1,"stream":"true"}', "'stream' must be a boolean, not \"true\" (at byte 16)"),
        (b'{"stream":1}', "'stream' must be a boolean"),
    ],
)
def test_refusals_say_what_and_where(raw: bytes, message: str) -> None:
    with pytest.raises(ClientError) as caught:
        open_body(raw)
    assert (caught.value.status, caught.value.kind) == (400, "invalid_request")
    assert message in caught.value.message


def test_an_unreadable_number_is_refused_only_when_asked_for() -> None:
    body = open_body(b'{"model":"m","temperature":1e999}')
    assert b"1e999" in b"".join(body.with_model("n"))
    with pytest.raises(ClientError, match=r"'temperature' cannot be read.*at byte 27"):
        body.value("temperature")


def nested(levels: int, kind: str) -> bytes:
    match kind:
        case "arrays":
            return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"
        case "objects":
            return b'{"a":' * levels + b"1" + b"}" * levels
        case "messages":
            deep = b'{"content":' + b"[" * (levels - 3) + b"]" * (levels - 3) + b"}"
            return b'{"messages":[' + b'{"content":"[[[{{{"},' * 300 + deep + b"]}"
        case "strings":
            return b'{"a":[["' + b'[{\\"\\\\' * 400 + b'"],' + b"[" * (levels - 2) + b"1" + b"]" * (levels - 2) + b"]}"
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", ["arrays", "objects", "messages", "strings"])
def test_the_depth_limit_is_exact(kind: str) -> None:
    assert open_body(nested(MAX_DEPTH, kind)).top
    with pytest.raises(ClientError, match="nested deeper than 512 levels"):
        open_body(nested(MAX_DEPTH + 1, kind))


@pytest.mark.parametrize(
    "raw",
    [
        nested(100_000, "arrays"),
        nested(100_000, "objects"),
        b'{"a":' + b"[" * 5_000_000,
        b'{"a":' * 1_000_000,
        b"[" * 50_000_000,
        b"{" * 50_000_000,
    ],
    ids=["arrays", "objects", "unclosed", "unclosed objects", "50 MB of [", "50 MB of {"],
)
def test_bottomless_bodies_are_refused(raw: bytes) -> None:
    with pytest.raises(ClientError):
        open_body(raw)


def test_many_shallow_values_are_not_deep() -> None:
    raw = b'{"a":[' + b"[]," * 700_000 + b"[]]}"
    assert open_body(raw).top
    raw = b'{"a":[' + b"[]," * 700_000 + b"[" * 600 + b"]" * 600 + b"]}"
    with pytest.raises(ClientError, match=r"nested deeper than 512 levels$"):
        open_body(raw)


@given(VALUES, st.integers(1, 6))
def test_depth_against_a_naive_count(value: bytes, limit: int) -> None:
    def depth(found: object) -> int:
        if isinstance(found, dict):
            return 1 + max(map(depth, found.values()), default=0)
        return 1 + max(map(depth, found), default=0) if isinstance(found, list) else 0

    # Long enough that the bounds cannot decide, and no deeper.
    well_formed = bytes(open_body(b'{"v":' + value + b"}").top["v"])
    padded = b'["' + b"[{" * 50 + b'",' + well_formed + b"]"
    unique: object = json.loads(padded, parse_int=str, object_pairs_hook=lambda items: [v for _, v in items])
    assert deeper_than(limit, padded) == (depth(unique) > limit)


def test_a_nearly_exhausted_stack_is_a_refusal_not_a_crash() -> None:
    raw = nested(MAX_DEPTH, "arrays")

    def at_depth(remaining: int) -> str:
        if remaining:
            return at_depth(remaining - 1)
        try:
            open_body(raw)
        except ClientError as error:
            return error.message
        return "opened"

    used = len(inspect.stack(0))
    assert "nested deeper" in at_depth(sys.getrecursionlimit() - used - 100)
