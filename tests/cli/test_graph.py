"""`ccx graph`, as a user runs it."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest

from ccx.cli.main import main
from tests.plan.repository import Repo

SPEC = """\
version: ccx/v1
channels:
  one: {protocol: chat, base_url: "http://127.0.0.1:8000", keys: none}
  two: {protocol: chat, base_url: "http://127.0.0.1:8001", keys: none}
routes:
  - name: default
    to: [one]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ccx.yaml").write_text(SPEC)
    return tmp_path


@pytest.mark.usefixtures("here")
def test_mermaid_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("flowchart LR\n")
    assert '  r0 -->|"1"| c0\n' in shown.out
    assert shown.err == ""


def test_both_to_files(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "-o", "routes.svg", "-o", "mermaid=routes.mmd"]) == 0
    assert fromstring((here / "routes.svg").read_text()).tag.endswith("svg")
    assert (here / "routes.mmd").read_text().startswith("flowchart")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "wrote routes.svg\nwrote routes.mmd\n")


def test_against_a_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "old.yaml").write_text(SPEC.replace("[one]", "[two]"))
    assert main(["graph", "--against", "old.yaml"]) == 0
    assert ":::changed" in capsys.readouterr().out


def test_against_a_revision(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repo = Repo(here)
    repo.commit(ccx_yaml=SPEC.replace("[one]", "[two]"))
    (here / "ccx.yaml").write_text(SPEC)
    assert main(["graph", "--against", "HEAD"]) == 0
    assert ":::changed" in capsys.readouterr().out
    (here / "new.yaml").write_text(SPEC)
    assert main(["graph", "new.yaml", "--against", "HEAD"]) == 64
    assert "there is no 'new.yaml' at" in capsys.readouterr().err
    (here / "ccx.yaml").unlink()
    assert main(["graph", "--against", "HEAD"]) == 64
    assert "there is no 'ccx.yaml' here" in capsys.readouterr().err
    assert main(["graph", "--against", "nope"]) == 1
    assert "there is no revision 'nope'" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["-o", "png"], 64, "there is no output 'png'"),
        (["-o", "svg", "-o", "mermaid"], 64, "only one output can go to standard output"),
        (["nope.yaml"], 1, "ccx: nope.yaml is not valid, so there is no picture"),
        (["--against", "nope.yaml"], 1, "ccx: nope.yaml is not valid, so there is no picture"),
        (["-o", "svg=no/such/folder.svg"], 64, "cannot write"),
    ],
)
def test_mistakes(arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", *arguments]) == code
    assert said in capsys.readouterr().err


def test_a_spec_that_does_not_compile(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "ccx.yaml").write_text(SPEC.replace("[one]", "[three]"))
    assert main(["graph"]) == 1
    shown = capsys.readouterr()
    assert "three" in shown.err
    assert "no picture" in shown.err
    assert shown.out == ""
