"""Tests written into a file that people keep: what was there stays byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ccx.spec.appending import CannotAppend, appended, block, flow
from ccx.spec.compose import compose

NEW: list[dict[str, Any]] = [
    {"name": "one: more", "request": {"model": "a/b", "stream": True}, "expect": {"target": "main"}},
    {"name": "two", "request": {"model": "yes"}, "attempts": [429, "stall"], "expect": {"attempts": 2}},
]
FILES = {
    "no tests": "version: ccx/v1 # the version\nchannels: {}\n",
    "no end of line": "version: ccx/v1\nchannels: {}",
    "tests last": "version: ccx/v1\ntests: # promises\n  - name: a # first\n    expect: {x: 1} # said\n",
    "tests before others": "tests:\n  - name: a\n    expect: {x: 1}\n\n# now the channels\nchannels: {a: b} # all\n",
    "not indented": "tests:\n- name: a\n  expect:\n    x: 1\n    # of the test\n\nother: 1\n",
    "deeper": "tests:\n      - {name: a}\n      - {name: b,\n         expect: {}}\nother: 1\n",
    "a flow": "tests: [{name: a}, {name: b}] # both\nother: 1\n",
    "a flow over lines": "tests: [\n  {name: a}, # first\n  {name: b}, # and last\n]\nother: 1\n",
    "text in a block": "tests:\n  - name: |\n      long\n      text\nother: 1\n",
    "text at the end": "tests:\n  - name: |\n      long\n      text\n",
    "windows": "version: x\r\ntests:\r\n  - {name: a} # first\r\nother: 1\r\n",
    "comments only after": "tests:\n  - {name: a}\n\n# the end\n",
}


@pytest.mark.parametrize("name", FILES)
def test_what_was_there_stays(name: str) -> None:
    before = FILES[name]
    after = appended(before.encode(), NEW, file="f.yaml").decode()
    rest = list(after)
    for sign in before:  # what was there is there, in its order: only insertions
        while rest.pop(0) != sign:
            pass
    assert after.count("#") == before.count("#")
    value = YAML(typ="safe", pure=True).load(after)
    assert value["tests"][-2:] == NEW
    assert [one["name"] for one in value["tests"][-2:]] == ["one: more", "two"]
    if "\r\n" in before:
        assert "\n" not in after.replace("\r\n", "")


def test_twice_is_both() -> None:
    once = appended(FILES["tests last"].encode(), NEW[:1], file="f")
    twice = appended(once, NEW[1:], file="f")
    assert twice == appended(FILES["tests last"].encode(), NEW, file="f")


@pytest.mark.parametrize("text", ["", "- a\n", "tests: {}\n", "tests: []\n", "a: [", "tests: &t\n  - *t\n", "\xff"])
def test_a_file_without_a_place_is_refused(text: str) -> None:
    with pytest.raises(CannotAppend):
        appended(text.encode("latin-1"), NEW, file="f.yaml")


SCALARS = st.one_of(
    st.text(max_size=30), st.integers(), st.booleans(), st.sampled_from(["null", "1e3", "0x1", "~", "a: b"])
)


@given(st.dictionaries(st.text(min_size=1, max_size=9), st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), max_size=4))
def test_what_is_written_is_read(value: dict[str, Any]) -> None:
    tree, found = compose("x: " + flow(value), file="f")
    assert found == ()
    assert tree is not None
    assert tree.value() == {"x": value}


def test_a_block_has_a_line_for_each_part() -> None:
    assert block(NEW[1]) == [
        "- name: two",
        '  request: {model: "yes"}',
        "  attempts: [429, stall]",
        "  expect: {attempts: 2}",
    ]
