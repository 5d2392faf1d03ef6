"""`ccx replay` and `ccx plan --replay`, as a user runs them."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ccx.cli.main import main
from ccx.cli.progress import Progress
from ccx.plan.saved import read_plan
from ccx.routing.compile import compile_spec
from ccx.routing.table import RoutingTable
from ccx.spec.validate import load
from tests.plan.replay.logs import claude, line

BEFORE = """\
version: ccx/v1
channels:
  anthropic: {provider: anthropic, keys: {env: KEY}}
  gemini: {provider: gemini, keys: {env: KEY}}
routes:
  - name: long
    when: {model: "claude-*", input_tokens: "> 60k"}
    to: [{channel: gemini, model: gemini-2.5-pro}]
  - name: claude
    when: {model: "claude-*"}
    to: [anthropic]
"""


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments], check=True)


def table(path: Path) -> RoutingTable:
    loaded = load(path)
    assert loaded.spec is not None
    return compile_spec(loaded.spec).table


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed spec, a threshold moved in the working tree, and a log of four requests, two of which it concerns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    path = tmp_path / "ccx.yaml"
    path.write_text(BEFORE)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    lines = [line(table(path), claude(tokens), route=None) for tokens in (10, 40_000, 50_000, 70_000)]
    (tmp_path / "access.jsonl").write_bytes(b"".join(lines))
    path.write_text(BEFORE.replace("60k", "30k"))
    return tmp_path


Capture = pytest.CaptureFixture[str]


def test_the_working_tree_against_the_last_commit(repository: Path, capsys: Capture) -> None:
    assert main(["replay", "access.jsonl"]) == 0
    shown = capsys.readouterr()
    assert "50.0 % of 4 requests go elsewhere (2)" in shown.out
    assert "anthropic  →  gemini (gemini-2.5-pro)   [claude → long]" in shown.out
    assert shown.err == ""


def test_outputs_and_exit_codes(repository: Path, capsys: Capture) -> None:
    outputs = ["--output", "json", "--output", "markdown=r.md", "--output", "text=r.txt"]
    assert main(["replay", "access.jsonl", *outputs, "--detailed-exitcode"]) == 2
    data = json.loads(capsys.readouterr().out)
    assert (data["format"], data["requests"], data["moved"], data["unchanged"]) == (1, 4, 2, 2)
    assert data["flows"][0]["before"]["targets"] == [[{"channel": "anthropic", "model": None, "share": "1"}]]
    assert (repository / "r.md").read_text().startswith("<details><summary>Traffic replay: 50.0 % of 4 requests")
    assert "50.0 %" in (repository / "r.txt").read_text()
    assert main(["replay", "access.jsonl", "--new", "HEAD", "--detailed-exitcode"]) == 0


def test_sides_may_be_files_and_revisions(repository: Path, capsys: Capture) -> None:
    (repository / "old.yaml").write_text(BEFORE)
    assert main(["replay", "access.jsonl", "--old", "old.yaml", "--new", "ccx.yaml", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["moved"] == 2
    git("commit", "-qam", "two")
    assert main(["replay", "access.jsonl", "--old", "HEAD~1", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["moved"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere.jsonl"], 64, "cannot read 'nowhere.jsonl'"),
        (["access.jsonl", "--log-format", "csv"], 64, "the CSV header has no column 'protocol'"),
        (["ccx.yaml"], 64, "'ccx.yaml' is in no format that ccx knows"),
        (["ccx.yaml", "--log-format", "ccx"], 1, "no line could be read"),
        (["access.jsonl", "--old", "gone"], 1, "there is no revision 'gone'"),
        (["access.jsonl", "--output", "html"], 64, "there is no output 'html'"),
        ([], 64, "LOG"),
    ],
)
def test_mistakes_are_said(repository: Path, capsys: Capture, arguments: list[str], code: int, said: str) -> None:
    assert main(["replay", *arguments]) == code
    assert said in capsys.readouterr().err.replace("ccx.yaml is", "'ccx.yaml' is")


def test_a_side_that_is_not_valid_is_told(repository: Path, capsys: Capture) -> None:
    (repository / "ccx.yaml").write_text(BEFORE.replace("[anthropic]", "[nobody]"))
    assert main(["replay", "access.jsonl"]) == 1
    said = capsys.readouterr().err
    assert "nobody" in said
    assert "the spec at working tree is not valid" in said


def test_plan_with_a_replay_has_it_in_every_output(repository: Path, capsys: Capture) -> None:
    outputs = [part for form in ("text", "markdown=p.md", "json=p.json") for part in ("--output", form)]
    assert main(["plan", "--replay", "access.jsonl", *outputs]) == 0
    assert "50.0 % of 4 requests go elsewhere (2)" in capsys.readouterr().out
    markdown = (repository / "p.md").read_text()
    assert "<summary>Traffic replay: 50.0 % of 4 requests go elsewhere" in markdown
    assert markdown.startswith("<!--")
    saved = (repository / "p.json").read_text()
    assert json.loads(saved)["replay"]["moved"] == 2
    assert main(["plan", "--output", "json=q.json"]) == 0
    # Traffic is an observation: the digest binds what the plan says of the specs.
    assert read_plan(saved).digest == read_plan((repository / "q.json").read_text()).digest


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def ticking(step: float) -> Callable[[], float]:
    now = iter(range(1_000_000))
    return lambda: next(now) * step


def test_progress_is_drawn_on_a_terminal_and_taken_away() -> None:
    screen = Terminal()
    with Progress(screen, clock=ticking(0.25)) as progress:
        for done in range(1, 5):
            progress.lines(done * 1000, done * 25, 100)
    frames = screen.getvalue().split("\r\x1b[K")
    assert frames[1].startswith("[############............]  50 %  2,000 lines  4,000/s")
    assert frames[-1] == ""


def test_progress_without_a_size_and_without_a_terminal() -> None:
    screen, pipe = Terminal(), io.StringIO()
    for stream in (screen, pipe):
        with Progress(stream, clock=ticking(1)) as progress:
            progress.lines(1000, 0, None)
            progress.say("2/3 replicas")
    assert "1,000 lines  1,000/s" in screen.getvalue()
    assert "2/3 replicas" in screen.getvalue()
    assert pipe.getvalue() == ""


def test_short_work_draws_nothing() -> None:
    screen = Terminal()
    with Progress(screen, clock=lambda: 0.0) as progress:
        progress.lines(1000, 50, 100)
    assert screen.getvalue() == ""
