"""Files of tests: found beside their spec, read as strictly as a spec, checked against its names."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccx.spec.diagnostics import has_errors
from ccx.spec.render.text import render_findings
from ccx.spec.suite import Moment, parse_moment
from ccx.spec.suite_file import LoadedSuite, beside, load_suite, spec_of
from ccx.spec.validate import load

SPEC = """
version: ccx/v1
channels: {main: {provider: demo}, lab: {provider: demo}}
routes: [{name: default, to: [main]}]
tests: [{name: inline, request: {model: m}, expect: {target: main}}]
"""
GOOD = """
version: ccx/v1
spec: ccx.yaml
tests:
  - {name: by file, request: {like: inline, stream: true}, expect: {target: main}}
  - {name: again, request: {like: by file}, matrix: {model: [a, b]}, expect: {route: default}}
invariants: [{name: never lab, never: {target: lab}}]
coverage: {routes: 100}
"""


def suite(text: str, folder: Path) -> LoadedSuite:
    (folder / "ccx.yaml").write_text(SPEC)
    (folder / "a.test.yaml").write_text(text)
    loaded = load(folder / "ccx.yaml")
    assert not has_errors(loaded.diagnostics)
    return load_suite(folder / "a.test.yaml", loaded)


def test_a_file_of_tests(tmp_path: Path) -> None:
    found = suite(GOOD, tmp_path)
    assert found.diagnostics == ()
    assert found.suite is not None
    assert [one.name for one in found.suite.tests] == ["by file", "again"]
    assert found.suite.coverage.routes == 100
    assert found.locations[("tests", 0)].value.line == 5


WRONG = {
    "a channel of nobody": (GOOD.replace("target: lab", "target: laab"), "CCX103", "lab"),
    "a route of nobody": (GOOD.replace("route: default", "route: defaullt"), "CCX129", "default"),
    "like of nobody": (GOOD.replace("like: inline", "like: inlin"), "CCX130", "inline"),
    "a name of the spec's": (
        GOOD.replace("name: again, request: {like: by file}", "name: inline, request: {model: m}"),
        "CCX102",
        None,
    ),
    "an unknown key": (GOOD.replace("coverage:", "covrage:"), "CCX101", "coverage"),
    "a section of a spec": (GOOD + "channels: {}", "CCX101", None),
    "another version": (GOOD.replace("ccx/v1", "ccx/v9"), "CCX116", None),
    "no version": (GOOD.replace("version: ccx/v1", ""), "CCX117", None),
    "no spec": (GOOD.replace("spec: ccx.yaml", ""), "CCX108", None),
    "a bad value": (GOOD.replace("routes: 100", "routes: 101"), "CCX110", None),
    "empty": ("", "CCX109", None),
    "a list": ("- a", "CCX109", None),
    "no YAML": ("a: [", "CCX100", None),
    "a key in a header": (
        GOOD.replace("stream: true", "headers: {x-api-key: abcdefghijklmnopqrst}"),
        "CCX401",
        None,
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_at_its_place(tmp_path: Path, name: str) -> None:
    text, code, suggestion = WRONG[name]
    found = suite(text, tmp_path)
    shown = render_findings(found.diagnostics, excerpts=found.excerpts)
    assert {one.code for one in found.diagnostics if one.severity == "error"} | {
        one.code for one in found.diagnostics if one.code == code
    } == {code}, shown
    assert found.suite is None or code == "CCX117"
    assert all(one.file == str(tmp_path / "a.test.yaml") for one in found.diagnostics)
    if suggestion is not None:
        assert [one.suggestion for one in found.diagnostics] == [suggestion]
    assert "abcdefghijklmnopqrst" not in shown


def test_names_of_other_files_are_taken(tmp_path: Path) -> None:
    suite(GOOD, tmp_path)
    found = load_suite(tmp_path / "a.test.yaml", load(tmp_path / "ccx.yaml"), known=["again"])
    assert [one.code for one in found.diagnostics] == ["CCX102"]


def test_files_beside_a_spec_are_those_that_name_it(tmp_path: Path) -> None:
    suite(GOOD, tmp_path)
    (tmp_path / "other.test.yaml").write_text(GOOD.replace("ccx.yaml", "else.yaml"))
    (tmp_path / "broken.test.yaml").write_text("spec: [")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "d.test.yaml").write_text(GOOD.replace("ccx.yaml", "../ccx.yaml"))
    assert beside(tmp_path / "ccx.yaml") == (tmp_path / "a.test.yaml",)
    named = spec_of(tmp_path / "deep" / "d.test.yaml")
    assert named is not None
    assert named.resolve() == (tmp_path / "ccx.yaml").resolve()
    assert spec_of(tmp_path / "nowhere.test.yaml") is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("main 429", Moment("main", "429")),
        ("main 429 at 0s", Moment("main", "429", None, 0)),
        ("main stall 60s", Moment("main", "stall", 60_000)),
        ("a.b-c timeout 1.5s at 250ms", Moment("a.b-c", "stall", 1500, 250)),
        ("wait 2s", Moment(None, "wait", 2000)),
    ],
)
def test_lines_of_a_timeline(text: str, moment: Moment) -> None:
    assert parse_moment(text) == moment
    assert parse_moment(moment) is moment


@pytest.mark.parametrize("text", ["", "main", "main 99", "wait", "wait long", "main 200 at", "main 200 in 5s", 5])
def test_what_is_no_line_of_a_timeline(text: object) -> None:
    with pytest.raises(ValueError, match="no line of a timeline"):
        parse_moment(text)
