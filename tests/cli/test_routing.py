"""`ccx compile` and `ccx explain`, as a user runs them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from typer.testing import CliRunner, Result

from ccx.cli.explained import ASCII, as_text
from ccx.cli.routing import app
from ccx.errors import UsageError
from ccx.protocols.names import Protocol
from ccx.routing.compile import compile_spec
from ccx.routing.decide import Decider, NeedsTokens
from ccx.routing.facts import Facts
from ccx.routing.trace import check, explain
from ccx.spec.document import Spec

SPEC = """\
version: ccx/v1
clients:
  interns: {key: {sha256: "1111111111111111111111111111111111111111111111111111111111111111"}, tags: {team: guests}}
  team-a:
    key: {sha256: "2222222222222222222222222222222222222222222222222222222222222222"}
    tags: {team: core}
    direct: true
channels:
  anthropic: {provider: anthropic, keys: {env: KEY}, models: {claude-*: claude-sonnet-4-5}}
  demo: {provider: demo, prefix: try}
  lab: {protocol: chat, base_url: "http://127.0.0.1:8000", keys: none}
routes:
  - name: no-images
    when: {client: interns, protocol: images}
    deny: {message: "Images are not for interns."}
  - name: long
    when:
      model: claude-*
      input_tokens: "> 60k"
      any: [{stream: true}, {header: {x-tier: gold}}]
      not: {tag: {team: guests}}
    to: [anthropic, demo]
  - name: web
    when: {server_tools: web_*, body: {metadata.tier: [gold, 3]}}
    to: [lab]
  - name: mixed
    when: {model: "claude-*", thinking: false, images: false, tools: true}
    to:
      - {balance: weighted, targets: [{channel: demo, weight: 3}, {channel: anthropic, model: claude-haiku-4-5}]}
      - lab
  - name: rest
    when: {model: "!nothing", prefix: "!x"}
    to: [demo]
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example as the ccx.yaml of the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ccx.yaml"
    path.write_text(SPEC)
    return path


def run(*arguments: str, stdin: str | None = None) -> Result:
    """Run a command; its own errors are raised, for `ccx.cli.main` to turn into exit codes."""
    return CliRunner().invoke(app, arguments, input=stdin, catch_exceptions=False)


LONG = ("--model", "claude-opus-4-1", "--tokens", "90k")


@pytest.mark.parametrize(
    "arguments",
    [
        (*LONG, "--stream"),
        (*LONG, "--header", "X-Tier=gold", "--client", "team-a"),
        (*LONG, "--stream", "--client", "interns"),
        ("--model", "claude-opus-4-1", "--tools"),
        ("--model", "claude-opus-4-1", "--thinking", "--images"),
        ("--model", "gpt-5", "--protocol", "chat", "--server-tool", "web_search", "--body-field", "metadata.tier=3"),
        ("--model", "gpt-5", "--server-tool", "web_search", "--body-field", "metadata.tier=gold"),
        ("--model", "x", "--prefix", "try"),
        ("--model", "lab/qwen", "--protocol", "chat", "--client", "team-a"),
        ("--model", "lab/qwen", "--protocol", "chat", "--client", "interns"),
        ("--protocol", "images", "--client", "interns"),
        ("--protocol", "images"),
        ("--model", "nothing"),
    ],
)
def test_explain(arguments: tuple[str, ...], spec: Path, snapshot: SnapshotAssertion) -> None:
    result = run("explain", *arguments)
    assert result.exit_code == 0
    # Another digest is another golden of the compiler, not of this command.
    digest = run("compile", "--digest").stdout.strip()[:12]
    assert result.stdout.replace(digest, "DIGEST") == snapshot
    assert result.stderr == ""


def test_explain_as_json(spec: Path) -> None:
    shown = json.loads(run("explain", str(spec), *LONG, "--stream", "--output", "json").stdout)
    assert shown["route"] == "long"
    assert shown["digest"] == run("compile", "--digest").stdout.strip()
    assert [target["channel"] for step in shown["steps"] for target in step["targets"]] == ["anthropic", "demo"]
    assert [target["model"] for step in shown["steps"] for target in step["targets"]] == [
        "claude-sonnet-4-5",
        "claude-opus-4-1",
    ]
    assert {step["max_ejection"] for step in shown["steps"]} == {"100%"}
    assert shown["request"]["input_tokens"] == 90_000
    assert shown["hidden"] == []
    rules = {rule["route"]: rule for rule in shown["rules"]}
    assert rules["long"]["holds"] is True
    assert rules["no-images"]["holds"] is False
    assert rules["long"]["place"]["line"] == 1 + SPEC[: SPEC.index("- name: long")].count("\n")
    assert any("parts" in check for check in rules["long"]["checks"])


def test_a_denial_as_json(spec: Path) -> None:
    result = run("explain", "--protocol", "images", "--client", "interns", "--output", "json")
    shown = json.loads(result.stdout)
    assert shown["deny"] == {"status": 403, "message": "Images are not for interns."}
    assert shown["steps"] == []


BODY: dict[str, Any] = {
    "model": "claude-opus-4-1",
    "max_tokens": 10,
    "stream": True,
    "metadata": {"tier": "gold", "list": [1]},
    "tools": [{"type": "web_search_20250305", "name": "web_search"}],
    "messages": [{"role": "user", "content": "one two three four five"}],
}


def test_explain_a_body(spec: Path, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text(json.dumps(BODY))
    shown = json.loads(run("explain", "--request", "body.json", "--output", "json").stdout)
    request = shown["request"]
    assert (request["protocol"], request["model"], request["stream"]) == ("messages", "claude-opus-4-1", True)
    assert (request["tools"], request["server_tools"]) == (True, ["web_search"])
    assert request["body"] == {"metadata.tier": "gold"}
    assert 5 <= request["input_tokens"] < 100
    assert shown["route"] == "web"


def test_explain_a_long_body_from_standard_input(spec: Path) -> None:
    body = {**BODY, "messages": [{"role": "user", "content": "word " * 70_000}]}
    shown = json.loads(run("explain", "--request", "-", "--output", "json", stdin=json.dumps(body)).stdout)
    assert shown["request"]["input_tokens"] > 60_000
    assert shown["route"] == "long"


@pytest.mark.parametrize(
    ("arguments", "protocol", "model", "stream"),
    [
        (("--path", "/v1/chat/completions"), "chat", "claude-opus-4-1", True),
        (("--protocol", "responses"), "responses", "claude-opus-4-1", True),
        (("--path", "/try/v1/messages"), "messages", "claude-opus-4-1", True),
        (("--path", "/v1beta/models/gemini-x:generateContent"), "gemini", "gemini-x", False),
        (("--protocol", "gemini", "--model", "gemini-y"), "gemini", "gemini-y", False),
    ],
)
def test_the_path_says_protocol_and_model(
    arguments: tuple[str, ...], protocol: str, model: str, stream: bool, spec: Path, tmp_path: Path
) -> None:
    (tmp_path / "body.json").write_text(json.dumps(BODY))
    result = run("explain", "--request", "body.json", "--output", "json", *arguments)
    request = json.loads(result.stdout)["request"]
    assert (request["protocol"], request["model"], request["stream"]) == (protocol, model, stream)
    assert request["prefix"] == ("try" if "/try/" in "".join(arguments) else None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "which model"),
        (("--model", "m", "--client", "nobody"), "there is no client 'nobody'; declared: interns, team-a"),
        (("--model", "m", "--tokens", "many"), "--tokens: 'many' is not a count"),
        (("--model", "m", "--header", "x-tier"), "--header 'x-tier' has no name and value"),
        (("--model", "m", "--body-field", "=1"), "--body-field '=1' has no name and value"),
        (("--model", "m", "--path", "/v1/messages"), "--path goes with --request"),
        (("--request", "body.json", "--tokens", "5", "--stream"), "--tokens, --stream: --request already says that"),
        (("--request", "body.json", "--model", "m"), "--request says the model"),
        (("--request", "body.json", "--protocol", "gemini"), "Gemini names the model in the path"),
        (("--request", "body.json", "--path", "/v2/else"), "'/v2/else' is not the path of a request"),
        (("--request", "body.json", "--path", "/v1/messages", "--protocol", "chat"), "--path says the protocol"),
        (("--request", "missing.json"), "cannot read 'missing.json': No such file or directory"),
        (("CCX000",), "there is no rule CCX000"),
    ],
)
def test_usage_mistakes(arguments: tuple[str, ...], words: str, spec: Path, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text(json.dumps(BODY))
    with pytest.raises(UsageError) as refused:
        run("explain", *arguments)
    assert words in str(refused.value)


def test_explain_a_rule(snapshot: SnapshotAssertion) -> None:
    assert run("explain", "CCX208").stdout == run("explain", "ccx208").stdout == snapshot


def test_compile_is_deterministic_and_holds_no_secret(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "sk-very-secret")
    first = run("compile", "-o", "one.json")
    digest = run("compile", "-o", "two.json", "--digest").stdout.strip()
    assert first.stdout == f"{digest}  3 channels, 6 routes\n"
    one, two = (tmp_path / "one.json").read_bytes(), (tmp_path / "two.json").read_bytes()
    assert one == two
    assert one.endswith(b"}\n")
    assert b"sk-very-secret" not in one
    assert json.loads(one)["version"] == "ccx/v1"
    assert run("compile", "-o", "-").stdout_bytes == one


def test_compile_mistakes(spec: Path) -> None:
    with pytest.raises(UsageError, match="both write to standard output"):
        run("compile", "-o", "-", "--digest")
    with pytest.raises(UsageError, match="cannot write 'no/such/folder': No such file"):
        run("compile", "-o", "no/such/folder")


@pytest.mark.parametrize("command", ["compile", "explain"])
@pytest.mark.parametrize(
    ("change", "code"),
    [(("to: [lab]", "to: [ghost]"), "CCX103"), (("client: interns, protocol", "protocol"), None)],
)
def test_what_does_not_load_or_compile_is_shown(
    command: str, change: tuple[str, str], code: str | None, spec: Path
) -> None:
    broken = SPEC.replace(*change)
    if code is None:
        # It loads, and only the compiler sees that the target cannot answer.
        broken = broken.replace("when: {server_tools: web_*,", "when: {protocol: images, server_tools: web_*,")
        code = "CCX208"
    spec.write_text(broken)
    result = run(command)
    assert result.exit_code == 1
    assert result.stdout == ""
    line = 1 + broken[: broken.index("to: [lab]" if code == "CCX208" else "to: [ghost]")].count("\n")
    assert code in result.stderr
    assert f"ccx.yaml:{line}:" in result.stderr
    assert "ccx.yaml is not valid" in result.stderr


def test_signs_of_a_terminal_without_unicode(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    with pytest.raises(SystemExit):
        app(["explain", "--model", "modèle", "--prefix", "y"])
    screen.flush()
    shown = screen.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]  # the buffer is the BytesIO above
    assert "no long " in shown
    assert "ok rest " in shown
    assert "mod\\xe8le" in shown


def test_what_waits_for_a_count_says_so() -> None:
    decider = Decider(compile_spec(Spec.model_validate(_plain())).table)
    trace = explain(decider, Facts(Protocol.MESSAGES, "m", tokens_at_most=100))
    assert isinstance(trace.decision, NeedsTokens)
    text = as_text(trace, digest="0" * 64, signs=ASCII)
    assert text.splitlines()[1].startswith("?? big")
    assert "input_tokens (not counted, at most 100) >= 11" in text
    assert "the token count decides" in text


def test_facts_that_are_lacking_are_named() -> None:
    condition = compile_spec(Spec.model_validate(_plain())).table.routes[0].when
    assert check(condition, Facts(Protocol.MESSAGES, None)).words == "input_tokens (none) >= 11"


def _plain() -> dict[str, Any]:
    return {
        "version": "ccx/v1",
        "channels": {"demo": {"provider": "demo"}},
        "routes": [{"name": "big", "when": {"input_tokens": "> 10"}, "to": ["demo"]}],
    }


STICKY = """\
version: ccx/v1
tokens: {sticky: 1h}
channels:
  small: {provider: demo}
  large: {provider: demo}
routes:
  - {name: chores, when: {model: tiny}, to: [small]}
  - {name: too-long, when: {input_tokens: "> 900k"}, deny: {status: 413, message: too long}}
  - {name: long, when: {input_tokens: "> 180k"}, to: [large]}
  - {name: rest, to: [small]}
"""


def _sticky(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    path = tmp_path / "ccx.yaml"
    path.write_text(STICKY)
    result = CliRunner().invoke(app, ["explain", str(path), "--output", "json", *arguments])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    ("arguments", "route", "tokens", "words"),
    [
        (("--model", "m", "--tokens", "20k"), "rest", None, "in a session, its highest count of the last 1h decides"),
        (("--model", "m", "--tokens", "20k", "--sticky-tokens", "200k"), "long", 200_000, "decides instead of its own"),
        (("--model", "m", "--tokens", "300k", "--sticky-tokens", "200k"), "long", None, "its own 300,000 tokens"),
        (("--model", "m", "--tokens", "20k", "--sticky-tokens", "1M"), "rest", None, "leads to no target"),
        (("--model", "tiny", "--tokens", "20k", "--sticky-tokens", "200k"), "chores", None, None),
        (("--model", "m", "--tokens", "none"), "rest", None, None),
    ],
)
def test_a_session_is_explained_by_its_highest_count(
    tmp_path: Path, arguments: tuple[str, ...], route: str, tokens: int | None, words: str | None
) -> None:
    found = _sticky(tmp_path, *arguments)
    assert (found["route"], found["sticky_tokens"]) == (route, tokens)
    assert len(found["notes"]) == (words is not None)
    assert words is None or words in found["notes"][0]


def test_sticky_tokens_need_a_spec_that_remembers(spec: Path) -> None:
    result = CliRunner().invoke(app, ["explain", str(spec), "--model", "m", "--sticky-tokens", "1k"])
    assert isinstance(result.exception, UsageError)
    result = CliRunner().invoke(app, ["explain", str(spec), "--model", "m"])
    assert "note:" not in result.output


PROMOTED = """\
version: ccx/v1
channels:
  a: {provider: demo}
  b: {provider: demo, promote: {from: 2026-12-01T00:00Z, until: 2026-12-15T00:00Z}}
  c: {provider: demo}
routes:
  - {name: chores, when: {model: tiny}, to: [a, c]}
  - {name: rest, to: [a, {balance: weighted, targets: [c, b]}]}
"""


@pytest.mark.parametrize(
    ("at", "model", "steps", "promoted"),
    [
        ("2026-11-30T23:59:59.999Z", "m", [["a"], ["c", "b"]], False),
        ("2026-12-01T01:00+01:00", "m", [["b"], ["a"], ["c"]], True),
        ("2026-12-14T23:59Z", "m", [["b"], ["a"], ["c"]], True),
        ("2026-12-15T00:00Z", "m", [["a"], ["c", "b"]], False),
        ("2026-12-02T00:00Z", "tiny", [["a"], ["c"]], False),
    ],
)
def test_a_promotion_is_explained_for_its_time(
    tmp_path: Path, at: str, model: str, steps: list[list[str]], promoted: bool
) -> None:
    path = tmp_path / "ccx.yaml"
    path.write_text(PROMOTED)
    arguments = ["explain", str(path), "--model", model, "--at", at]
    found = json.loads(CliRunner().invoke(app, [*arguments, "--output", "json"]).stdout)
    assert [[target["channel"] for target in step["targets"]] for step in found["steps"]] == steps
    assert found["promoted"] == ([{"channel": "b", "until": "2026-12-15T00:00Z"}] if promoted else [])
    said = "note: channel b goes first until 2026-12-15T00:00Z (promote)"
    assert (said in CliRunner().invoke(app, arguments).stdout) is promoted


@pytest.mark.parametrize("at", ["yesterday", "2026-12-01", "2026-12-01T00:00", "2026-13-01T00:00Z"])
def test_a_time_needs_its_offset(spec: Path, at: str) -> None:
    result = CliRunner().invoke(app, ["explain", str(spec), "--model", "m", "--at", at])
    assert isinstance(result.exception, UsageError)
    assert "--at" in str(result.exception)
