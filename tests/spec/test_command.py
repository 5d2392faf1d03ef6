"""`ccx validate` and `ccx schema`: outputs, destinations and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as Xml

import click
import pytest

from ccx.cli.destination import wanted
from ccx.cli.validate import app, check
from ccx.errors import Exit, UsageError
from ccx.spec.schema import embedded_text

VALID = "version: ccx/v1\nchannels: {main: {provider: demo}}\n"
WARNING = VALID + "lint: {rules: {CCX999: error}}\n"
INVALID = VALID + "rotues: []\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("ccx", VALID), ("warning", WARNING), ("invalid", INVALID)):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def run(*arguments: str) -> int:
    try:
        code = app(args=list(arguments), standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    return int(code or 0)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), Exit.OK),
        (("ccx.yaml",), Exit.OK),
        (("warning.yaml",), Exit.OK),
        (("warning.yaml", "--strict"), Exit.FINDINGS),
        (("invalid.yaml",), Exit.FINDINGS),
        (("ccx.yaml", "invalid.yaml"), Exit.FINDINGS),
        (("no-such.yaml",), Exit.FINDINGS),
        *(
            (("invalid.yaml", "-o", name), Exit.FINDINGS)
            for name in ("text", "json", "github", "gitlab", "sarif", "junit")
        ),
        *((("ccx.yaml", "-o", name), Exit.OK) for name in ("text", "json", "github", "gitlab", "sarif", "junit")),
    ],
)
def test_exit_codes(arguments: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("validate", *arguments) == code
    assert capsys.readouterr().err == ""


def test_each_spec_has_a_summary_line(capsys: pytest.CaptureFixture[str]) -> None:
    run("validate", "ccx.yaml", "warning.yaml", "invalid.yaml")
    lines = capsys.readouterr().out.splitlines()
    assert "ccx.yaml: valid" in lines
    assert "warning.yaml: valid, 1 warning" in lines
    assert lines[-1] == "invalid.yaml: invalid, 1 error"


def test_several_outputs_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = ("-o", "text", "-o", "sarif=out.sarif", "-o", "junit=out.xml", "-o", "json=out.json", "-o", "github=out")
    assert run("validate", "invalid.yaml", *outputs) == Exit.FINDINGS
    assert "did you mean `routes`?" in capsys.readouterr().out
    assert json.loads((folder / "out.sarif").read_text())["version"] == "2.1.0"
    assert Xml.parse(folder / "out.xml").getroot().get("failures") == "1"
    assert json.loads((folder / "out.json").read_text())["reports"][0]["errors"] == 1
    assert (folder / "out").read_text().startswith("::error ")


def test_with_files_only_the_summary_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    run("validate", "invalid.yaml", "-o", "sarif=out.sarif")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "invalid.yaml: invalid, 1 error\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "xml"), "there is no output 'xml'"),
        (("-o", "json="), "'json=' names no file"),
        (("-o", "json", "-o", "text"), "only one output can go to standard output"),
        (("-o", "json=no/such/folder"), "cannot write 'no/such/folder': No such file or directory"),
    ],
)
def test_usage_mistakes(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        run("validate", *arguments)
    assert str(caught.value) == message


def test_what_the_compiler_finds_is_part_of_it(folder: Path) -> None:
    (folder / "ccx.yaml").write_text(
        "version: ccx/v1\n"
        "channels: {a: {provider: anthropic, keys: none}}\n"
        "routes: [{name: r, when: {protocol: images}, to: [a]}]\n"
    )
    one = check(Path("ccx.yaml"), environ={})
    assert [found.code for found in one.diagnostics] == ["CCX208"]
    assert one.counts.errors == 1


def test_what_the_linter_finds_to_be_an_error_fails_too_and_its_warnings_stay_away(folder: Path) -> None:
    text = "routes: [{name: all, to: [main, main]}, {name: late, when: {model: m}, to: [main]}]\n"
    (folder / "ccx.yaml").write_text(f"version: ccx/v1\nchannels: {{main: {{provider: demo}}}}\n{text}")
    one = check(Path("ccx.yaml"), environ={})
    assert [found.code for found in one.diagnostics] == ["CCX207"]


def test_output_survives_a_narrow_encoding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    wanted("text", legal=["text"]).write("é → ok\n")
    stream.flush()
    assert stream.buffer.getvalue() == b"\\xe9 \\u2192 ok\n"  # type: ignore[attr-defined]  # it is a BytesIO


def test_schema(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("schema") == Exit.OK
    assert capsys.readouterr().out == embedded_text()
    assert run("schema", "-o", "s.json") == Exit.OK
    assert (folder / "s.json").read_text() == embedded_text()
