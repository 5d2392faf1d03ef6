"""Each rule's good and bad specs: what it finds, where, and that it stays silent on specs that resemble those."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from ccx.lint.registry import CHECKS
from ccx.spec.rules import RULES
from tests.lint.cases import FOLDER, examined, found_in

LINT = [code for code, info in RULES.items() if info.finder == "lint"]
NO_EXAMPLE = {"CCX507", "CCX903"}
"""A day near to today, and a proof without end, are in no example that is to hold for ever."""
FRAGMENT = re.compile(r"\*\*(Bad|Good)\*\*\n\n```yaml\n(.*?)\n```", re.DOTALL)


def case(code: str) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe", pure=True).load((FOLDER / f"{code}.yaml").read_text())
    return document


@pytest.mark.parametrize("code", [code for code in LINT if code != "CCX903"])
def test_bad_and_good_specs(code: str) -> None:
    cases = case(code)
    assert cases["bad"]
    assert cases["good"]
    for one in cases["bad"]:
        assert examined(one["spec"]).loaded.spec is not None
        found = found_in(one["spec"], code)
        assert found
        assert [path for path, _, _ in found] == one["finds"]
    for spec in cases["good"]:
        assert examined(spec).loaded.spec is not None, spec
        assert found_in(spec, code) == []


def test_every_file_is_of_a_rule() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(LINT) - {"CCX903"}


@pytest.mark.parametrize("code", LINT)
def test_the_examples_of_the_documentation_hold(code: str) -> None:
    fragments = dict(FRAGMENT.findall(RULES[code].doc))
    assert found_in(fragments["Good"], code) == []
    if code not in NO_EXAMPLE:
        assert found_in(fragments["Bad"], code) != []


def test_every_code_of_the_linter_is_found_by_one_check() -> None:
    checked = [code for rule in CHECKS for code in rule.codes]
    assert len(checked) == len(set(checked))
    of_comments = {code for code in LINT if code.startswith("CCX9")}
    assert set(checked) == set(LINT) - of_comments


def test_there_are_at_least_35_rules_beyond_the_language() -> None:
    assert len(LINT) >= 35
