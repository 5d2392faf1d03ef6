"""The five outputs: golden for one spec with many mistakes, and each format's own rules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from ccx import __version__
from ccx.spec.diagnostics import Diagnostic, Related, Span, diagnostic
from ccx.spec.excerpts import Excerpts
from ccx.spec.locations import Locations
from ccx.spec.render.github import CAP, render_github
from ccx.spec.render.gitlab import render_gitlab
from ccx.spec.render.json import render_json
from ccx.spec.render.junit import render_junit
from ccx.spec.render.report import Report, name_pointer, report, summary
from ccx.spec.render.sarif import FINGERPRINT, render_sarif
from ccx.spec.render.text import MIN_WIDTH, render_findings, render_text
from ccx.spec.validate import load

MANY = """\
version: ccx/v1
server: {max-body: 10MiB}
channels:
  main: {provider: demo, keys: sk-ant-api03-notARealKey0123456789}
  lab: {provider: demo}
telemetry: {traces: {otlp: "http://127.0.0.1:4318"}}
routes:
  - {name: coding, when: {model: "claude-*"}, to: [mian, {channel: lab}]}
  - {name: coding, to: [lab]}
"""


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "ccx.yaml").write_text(MANY)
    return report(load(Path("specs/ccx.yaml"), environ={}))


def made(code: str = "CCX110", message: str = "wrong", **fields: Any) -> Diagnostic:
    place = {"file": "f.yaml", "span": Span(1, 1, 1, 2), **fields}
    return diagnostic(code, message, **place)


def reported(*found: Diagnostic, text: str = "abc\n") -> Report:
    return Report("f.yaml", found, Excerpts({"f.yaml": text.encode()}), Locations(None))


def test_text(many: Report, snapshot: SnapshotAssertion) -> None:
    assert render_text([many]) == snapshot
    assert render_text([many], width=60) == snapshot


def test_json(many: Report, snapshot: SnapshotAssertion) -> None:
    text = render_json([many])
    assert text == snapshot
    document = json.loads(text)
    assert document["format_version"] == "1.0"
    assert document["reports"][0]["errors"] == many.counts.errors == 4


def test_github(many: Report, snapshot: SnapshotAssertion) -> None:
    assert render_github([many]) == snapshot


def test_sarif(many: Report, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    text = render_sarif([many], base=tmp_path).replace(f'"version": "{__version__}"', '"version": "X.Y.Z"')
    assert text == snapshot


def test_junit(many: Report, snapshot: SnapshotAssertion) -> None:
    assert render_junit([many]) == snapshot


def test_no_output_shows_the_secret(many: Report, tmp_path: Path) -> None:
    outputs = [
        render_text([many]),
        render_json([many]),
        render_github([many]),
        render_gitlab([many]),
        render_sarif([many], base=tmp_path),
        render_junit([many]),
    ]
    assert not any("notARealKey" in text for text in outputs)


# -- text ---------------------------------------------------------------------------------------------------------


def test_colour_only_when_asked(many: Report) -> None:
    plain, coloured = render_text([many]), render_text([many], colour=True)
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain


def test_the_summary_counts() -> None:
    warning = made("CCX402")
    assert summary(reported()) == "f.yaml: valid"
    assert summary(reported(warning)) == "f.yaml: valid, 1 warning"
    assert summary(reported(warning), strict=True) == "f.yaml: invalid, 1 warning"
    assert summary(reported(warning, warning, made())) == "f.yaml: invalid, 1 error, 2 warnings"


@pytest.mark.parametrize(
    ("text", "span", "expected"),
    [
        ("ab: cd", Span(1, 5, 1, 7), ["   1 | ab: cd", "     |     ^^"]),
        ("\ta: b", Span(1, 5, 1, 6), ["   1 |     a: b", "     |        ^"]),
        ("名: 値", Span(1, 4, 1, 5), ["   1 | 名: 値", "     |     ^^"]),
        ("ab: cd", Span(1, 7, 1, 7), ["   1 | ab: cd", "     |       ^"]),
        ("ab: [\n 1]", Span(1, 5, 2, 3), ["   1 | ab: [", "     |     ^"]),
        ("x", Span(1, 1, 1, 2), ["   1 | x", "     | ^"]),
    ],
)
def test_carets_stand_under_what_they_mean(text: str, span: Span, expected: list[str]) -> None:
    lines = render_findings([made(span=span)], excerpts=Excerpts({"f.yaml": text.encode()})).splitlines()
    assert lines[1:] == expected


@given(
    before=st.text("ab 名é\t", max_size=200),
    marked=st.text("xyz値", min_size=1, max_size=30),
    after=st.text("ab 名", max_size=200),
    width=st.integers(0, 120),
)
def test_long_lines_are_cut_around_the_caret(before: str, marked: str, after: str, width: int) -> None:
    text = before + marked + after
    span = Span(1, len(before) + 1, 1, len(before) + len(marked) + 1)
    lines = render_findings([made(span=span)], excerpts=Excerpts({"f.yaml": text.encode()}), width=width).splitlines()
    if not text.strip():
        return
    _, source, caret = lines
    assert cells(source) <= max(width, MIN_WIDTH)
    start = caret.index("^")
    under = at_cell(source, start)
    assert under == marked[0]
    assert set(caret[start:]) == {"^"}


def cells(text: str) -> int:
    return sum(2 if sign in "名値" else 1 for sign in text)


def at_cell(text: str, cell: int) -> str:
    used = 0
    for sign in text:
        if used >= cell:
            return sign
        used += 2 if sign in "名値" else 1
    return ""


def test_a_place_outside_the_file_has_no_excerpt() -> None:
    text = render_findings([made(span=Span(9, 9, 9, 9))], excerpts=Excerpts({"f.yaml": b"a"}))
    assert text == "f.yaml:9:9: error: wrong [CCX110 bad-value]\n"


# -- github -------------------------------------------------------------------------------------------------------


def test_github_escapes() -> None:
    found = made(message="50%\nis, a: b\r", file="a,b:c%.yaml")
    line = render_github([reported(found)])
    assert "file=a%2Cb%3Ac%25.yaml," in line
    assert line.endswith("::50%25%0Ais, a: b%0D\n")
    assert line.count("\n") == 1


def test_github_is_capped_by_kind_and_says_so() -> None:
    found = [made(message=str(n)) for n in range(15)] + [made("CCX402", message=str(n)) for n in range(3)]
    lines = render_github([reported(*found)]).splitlines()
    assert sum(line.startswith("::error") for line in lines) == CAP
    assert sum(line.startswith("::warning") for line in lines) == 3
    assert lines[-1] == "::notice title=ccx::5 more findings are not shown here; run ccx validate to see all"


@pytest.mark.parametrize("total", [9, 10, 11, 25])
def test_github_notices_keep_a_place_for_the_closing_one(total: int) -> None:
    found = [made("CCX110", severity="info", message=str(n)) for n in range(total)]
    lines = render_github([reported(*found)]).splitlines()
    assert len(lines) <= CAP
    assert ("more findings" in lines[-1]) == (total >= CAP)


def test_github_columns_only_within_one_line() -> None:
    assert "col=" not in render_github([reported(made(span=Span(1, 1, 2, 1)))])
    assert "col=3,endColumn=4:" in render_github([reported(made(span=Span(1, 3, 1, 5)))])


# -- sarif --------------------------------------------------------------------------------------------------------


def test_sarif_is_complete_and_consistent(many: Report, tmp_path: Path) -> None:
    document = json.loads(render_sarif([many], base=tmp_path))
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len(run["results"]) == len(many.diagnostics)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning", "note"}
        assert result["message"]["text"]
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        assert physical["artifactLocation"]["uri"] == "specs/ccx.yaml"
        region = physical["region"]
        assert 1 <= region["startLine"] <= region["endLine"]
        assert min(region["startColumn"], region["endColumn"]) >= 1
    for one in rules:
        assert one["name"].isalnum()
        assert one["help"]["markdown"]
    fixes = {result["ruleId"]: result["fixes"] for result in run["results"] if "fixes" in result}
    replacement = fixes["CCX103"][0]["artifactChanges"][0]["replacements"][0]
    assert replacement["insertedContent"]["text"] == "main"


def test_sarif_fingerprints_survive_moving_lines_and_routes(tmp_path: Path) -> None:
    def fingerprints(text: str) -> set[str]:
        (tmp_path / "ccx.yaml").write_text(text)
        document = json.loads(render_sarif([report(load(tmp_path / "ccx.yaml"))], base=tmp_path))
        return {result["partialFingerprints"][FINGERPRINT] for result in document["runs"][0]["results"]}

    head = "version: ccx/v1\nchannels: {a: {provider: demo}}\nroutes:\n"
    first, second = "  - {name: x, to: [b]}\n", "  - {name: y, to: [a]}\n"
    before = fingerprints(head + first + second)
    assert len(before) == 1
    assert fingerprints("# a comment\n" + head + second + first) == before
    assert fingerprints(head + first.replace("x", "z") + second) != before


def test_gitlab_names_findings_by_what_they_are_about(many: Report, tmp_path: Path) -> None:
    found = json.loads(render_gitlab([many]))
    assert [one["check_name"] for one in found] == [f"{one.code} {one.name}" for one in many.diagnostics]
    assert {one["severity"] for one in found} <= {"info", "minor", "critical"}
    assert all(one["location"]["path"] == "specs/ccx.yaml" and one["location"]["lines"]["begin"] > 0 for one in found)
    marks = {one["fingerprint"] for one in found}
    assert len(marks) == len(found)
    (tmp_path / "specs" / "ccx.yaml").write_text(f"# a line more\n{MANY}")
    moved = json.loads(render_gitlab([report(load(Path("specs/ccx.yaml"), environ={}))]))
    assert {one["fingerprint"] for one in moved} == marks
    assert json.loads(render_gitlab([reported(made(file="./f.yaml"))]))[0]["location"]["path"] == "f.yaml"


def test_sarif_names_files_outside_the_base_absolutely(tmp_path: Path) -> None:
    found = made(file=str(tmp_path / "other dir" / "f.yaml"))
    document = json.loads(render_sarif([reported(found)], base=tmp_path / "base"))
    location = document["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert location["uri"].startswith("file:///")
    assert location["uri"].endswith("/other%20dir/f.yaml")


def test_name_pointer_uses_names(tmp_path: Path) -> None:
    (tmp_path / "ccx.yaml").write_text(MANY)
    places = load(tmp_path / "ccx.yaml").locations
    assert name_pointer("/routes/0/to/1/channel", places) == "routes[name=coding].to[channel=lab].channel"
    assert name_pointer("/routes/0/to/0", places) == "routes[name=coding].to[=mian]"
    assert name_pointer("/routes/9/x", places) == "routes[9].x"
    assert name_pointer("/a~1b/c~0d", places) == "a/b.c~d"
    assert name_pointer("", places) == ""


# -- junit --------------------------------------------------------------------------------------------------------


def test_junit_counts_and_strictness() -> None:
    one = reported(made(), made(message="again"), made("CCX402"))
    for strict, failures in ((False, 1), (True, 2)):
        root = Xml.fromstring(render_junit([one, reported()], strict=strict))
        suites = root.findall("testsuite")
        assert [suite.get("tests") for suite in suites] == ["2", "1"]
        assert root.get("failures") == str(failures) == str(len(root.findall(".//failure")))
        assert root.get("tests") == str(len(root.findall(".//testcase"))) == "3"


@given(message=st.text(max_size=20), file=st.text(min_size=1, max_size=10))
def test_any_text_is_rendered_by_all(message: str, file: str) -> None:
    message = message.encode("utf-8", "replace").decode()
    file = file.encode("utf-8", "replace").decode()
    related = (Related(Span(1, 1, 1, 1), file, message),)
    one = reported(made(message=message, file=file, help=message, related=related))
    Xml.fromstring(render_junit([one]))
    json.loads(render_json([one]))
    json.loads(render_sarif([one], base=Path("/base")))
    assert render_github([one]).count("\n") == 1
    assert render_text([one])
