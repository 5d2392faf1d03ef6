"""Changes told as one: fewer words for the same requests."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from ccx.analysis.compare import compare
from ccx.analysis.difference import Change
from ccx.analysis.instances import folded
from ccx.analysis.wording import say
from ccx.protocols.names import Protocol
from ccx.routing.compile import compile_spec
from ccx.routing.facts import Facts
from ccx.routing.table import RoutingTable
from ccx.spec.validate import load

SPEC = """
version: ccx/v1
channels:
  main: {provider: demo}
  other: {provider: demo, models: {"gpt-*": null, "*": big}}
  third: {provider: demo}
routes:
  - name: long
    when: {protocol: messages, input_tokens: "> 100"}
    to: [{channel: other}, {channel: third, model: huge}]
  - {name: rest, to: [main]}
"""


def table(text: str, folder: Path) -> RoutingTable:
    path = folder / "ccx.yaml"
    path.write_text(text)
    loaded = load(path)
    assert loaded.spec is not None, loaded.diagnostics
    return compile_spec(loaded.spec).table


def within(changes: tuple[Change, ...], facts: Facts) -> int:
    return sum(any(region.when.holds(facts) for region in change.regions) for change in changes)


EDITS = {
    "threshold": ("> 100", "> 50"),
    "target": ("{channel: third, model: huge}", "{channel: third, model: big}"),
    "rename": ('"*": big', '"*": huge'),
    "named at last": ("to: [main]", "to: [{channel: main, model: big}]"),
}


@pytest.mark.parametrize("name", EDITS)
def test_the_same_requests_are_told_of(name: str, tmp_path: Path) -> None:
    old, new = table(SPEC, tmp_path), table(SPEC.replace(*EDITS[name]), tmp_path)
    changes = compare(old, new).changes
    fewer = folded(changes)
    assert len(fewer) <= len(changes)
    models = ("big", "huge", "gpt-5", "x", "main/x", "main/", "other,big", "third/huge", None)
    for model, protocol, tokens in product(models, (Protocol.MESSAGES, Protocol.CHAT), (0, 50, 51, 100, 101, None)):
        facts = Facts(protocol, model, input_tokens=tokens, direct=True)
        assert (within(changes, facts) > 0) == (within(fewer, facts) > 0), facts


def test_a_model_by_the_name_it_gets_is_told_with_the_others(tmp_path: Path) -> None:
    """`huge` is not renamed to `huge`: exactly seen another outcome, and for a reader none."""
    old, new = table(SPEC, tmp_path), table(SPEC.replace(*EDITS["threshold"]), tmp_path)
    assert len(compare(old, new).changes) == 3
    said = [[say(region.when) for region in change.regions] for change in folded(compare(old, new).changes)]
    assert said == [
        ["big, gpt-*, messages, 51 to 100 tokens", "no model, messages, 51 to 100 tokens"],
        ["any model except big, gpt-*, channel/model, messages, 51 to 100 tokens"],
    ]


def test_a_model_that_is_asked_for_as_before_is_no_instance(tmp_path: Path) -> None:
    """`big` went to `main` as `big` before and does so now: of it alone nothing is told."""
    old, new = table(SPEC, tmp_path), table(SPEC.replace(*EDITS["named at last"]), tmp_path)
    changes = folded(compare(old, new).changes)
    assert within(changes, Facts(Protocol.CHAT, "x", input_tokens=0, direct=True)) == 1
    assert within(changes, Facts(Protocol.CHAT, "big", input_tokens=0, direct=True)) == 0
