"""YAML to trees: what scalars mean, where everything stands, and that no text breaks it."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ccx.spec.compose import MAX_DEPTH, _Composer, compose, decode
from ccx.spec.diagnostics import Span
from ccx.spec.locations import Locations, Tree


def read(text: str) -> Tree:
    tree, found = compose(text, file="f")
    assert found == ()
    assert tree is not None
    return tree


def codes(text: str) -> list[str]:
    return [one.code for one in compose(text, file="f")[1]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("off", "off"),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("'true'", "true"),
        ("17", 17),
        ("-17", -17),
        ("+3", 3),
        ("0x1F", 31),
        ("0o17", 15),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("3.", 3.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("12:30", "12:30"),
        ("2027-06-30", "2027-06-30"),
        ("nope", "nope"),
        ("None", "None"),
        ("|\n  a\n  b\n", "a\nb\n"),
        (">-\n  a\n  b\n", "a b"),
        ('"\\u00e9"', "é"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    assert read(f"k: {text}").value() == {"k": value}
    assert type(read(f"k: {text}").value()["k"]) is type(value)


def test_keys_are_always_text() -> None:
    assert read("on: 1\n200000: 2\nnull: 3\ntrue: 4").value() == {"on": 1, "200000": 2, "null": 3, "true": 4}


def test_octal_looking_numbers_warn_only_where_the_versions_differ() -> None:
    assert codes("k: 012") == ["CCX106"]
    assert codes("k: 007") == []
    assert codes("k: 089") == []
    assert codes("k: '012'") == []


def test_merge_keys_give_way_to_what_is_written_and_keep_their_places() -> None:
    text = "base: &base {a: 1, b: 2}\nmore: &more {b: 3, c: 4}\nboth:\n  <<: [*base, *more]\n  a: 9\n"
    tree = read(text)
    assert tree.value()["both"] == {"a": 9, "b": 2, "c": 4}
    places = Locations(tree)
    assert places[("both", "b")].key == Span(1, 20, 1, 21)
    assert places[("both", "a")].value == Span(5, 6, 5, 7)


def test_an_alias_stands_where_its_anchor_is_written() -> None:
    places = Locations(read("a: &x [1, 2]\nb: *x\n"))
    assert places[("b", 1)] == places[("a", 1)]
    assert places[("b",)].key == Span(2, 1, 2, 2)


def test_block_collections_end_with_their_last_entry() -> None:
    places = Locations(read("a:\n  b: 1\n\n# comment\nc: 2\n"))
    assert places[("a",)].value == Span(2, 3, 2, 7)
    assert places[()].value == Span(1, 1, 5, 5)


def test_columns_count_characters() -> None:
    assert Locations(read('é𝄞: "𝄞𝄞"'))[("é𝄞",)].value == Span(1, 5, 1, 9)


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n"])
def test_nothing_is_no_tree(text: str) -> None:
    assert compose(text, file="f") == (None, ())


def test_depth_is_bounded_for_flow_block_and_aliases() -> None:
    assert codes("[" * MAX_DEPTH + "]" * MAX_DEPTH) == []
    assert codes("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)) == ["CCX115"]
    assert codes("[" * 100_000) == ["CCX115"]
    assert codes("\n".join(" " * n + "a:" for n in range(MAX_DEPTH + 1))) == ["CCX115"]
    half = MAX_DEPTH // 2
    nested = "a: &a " + "[" * half + "]" * half
    assert codes(f"{nested}\nb: " + "[" * half + "*a" + "]" * half) == ["CCX115"]


def test_a_number_of_absurd_length_is_refused() -> None:
    assert codes("k: " + "9" * 5000) == ["CCX110"]
    assert codes("k: 0x" + "f" * 5000) == []


@pytest.mark.parametrize(
    ("data", "line", "col"),
    [
        (b"\xef\xbb\xbfa: 1", 1, 1),
        (b"\xff\xfea\0", 1, 1),
        (b"a: 1\r\nb: \xe9\r\n", 2, 4),
        (b"a: 1\n\nb\0", 3, 2),
        ("a: é\x07".encode(), 1, 5),
        ("a: \ufffe".encode(), 1, 4),
    ],
)
def test_bytes_that_are_no_text_have_a_place(data: bytes, line: int, col: int) -> None:
    text, wrong = decode(data, file="f")
    assert text == ""
    assert wrong is not None
    assert (wrong.code, wrong.span.line, wrong.span.col) == ("CCX111", line, col)


# -- properties ---------------------------------------------------------------------------------------------------

words = st.text("abcxyz_-é𝄞 ", min_size=1, max_size=6).map(str.strip).filter(lambda w: w and w[0].isalpha())
scalars = words | st.integers(-999, 999) | st.booleans() | st.none()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


def written(value: Any, indent: int, flow: bool) -> str:
    """The value as YAML, in block or flow style."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return '"' + value + '"'
        case list() if flow or not value:
            return "[" + ", ".join(written(one, 0, True) for one in value) + "]"
        case dict() if flow or not value:
            return "{" + ", ".join(f'"{key}": {written(one, 0, True)}' for key, one in value.items()) + "}"
        case list():
            return "".join(f"\n{' ' * indent}- {written(one, indent + 2, flow)}" for one in value)
        case _:
            return "".join(f'\n{" " * indent}"{key}": {written(one, indent + 2, flow)}' for key, one in value.items())


@given(value=st.dictionaries(words, values, min_size=1, max_size=4), flow=st.booleans())
def test_values_come_back_and_every_place_holds_its_text(value: dict[str, Any], flow: bool) -> None:
    text = written(value, 0, flow)
    tree = read(text)
    assert tree.value() == value
    lines = text.split("\n")
    places = Locations(tree)
    assert len(list(places)) == len(places)
    for path, place in places.items():
        if place.key is not None:
            key = place.key
            assert key.line == key.end_line
            assert lines[key.line - 1][key.col - 1 : key.end_col - 1] == f'"{path[-1]}"'
        found = places.tree(path)
        assert found is not None
        if not isinstance(found.content, dict | tuple):
            span = place.value
            shown = lines[span.line - 1][span.col - 1 : span.end_col - 1]
            assert shown == written(found.content, 0, True)
        assert place == places.nearest((*path, "no such thing"))


yamlish = st.text(st.sampled_from("ab1: -\n{}[],&*!|>'\"#%@`?~\\.<=\t\r0xé\u2028\x85"), max_size=60)


@given(text=yamlish | st.text(max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    decoded, wrong = decode(text.encode("utf-8", "surrogatepass"), file="f")
    if wrong is None:
        tree, found = compose(decoded, file="f")
        assert tree is None or len(list(Locations(tree))) == tree.size
        lines = decoded.count("\n") + decoded.count("\r") + decoded.count("\x85") + decoded.count("\u2028") + 2
        assert all(one.span.end_line <= lines for one in found)


@given(data=st.binary(max_size=80))
def test_no_bytes_break_it(data: bytes) -> None:
    text, wrong = decode(data, file="f")
    if wrong is None:
        compose(text, file="f")


@pytest.mark.skipif(importlib.util.find_spec("_ruamel_yaml") is None, reason="ruamel.yaml.clib is not installed")
@given(text=yamlish)
def test_the_scanner_in_c_agrees_with_the_pure_one(text: str) -> None:
    decoded, wrong = decode(text.encode(), file="f")
    if wrong is not None:
        return
    try:
        pure = _Composer("f").run(YAML(typ="safe", pure=True).parse(decoded))
    except Exception:  # noqa: BLE001  # what the pure scanner refuses, in whatever way, has no tree
        pure = (None, ())
    tree, found = compose(decoded, file="f")
    if not found:
        assert (tree and repr(tree.value())) == (pure[0] and repr(pure[0].value()))
        assert dict(Locations(tree)) == dict(Locations(pure[0]))
