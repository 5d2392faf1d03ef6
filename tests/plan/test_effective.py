"""`ccx show`: what is shown is the same spec, nothing is left to look up, and every origin is true."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from typer.testing import CliRunner, Result

from ccx.catalog.providers import providers
from ccx.cli.main import app
from ccx.plan.effective import Shown, effective, written
from ccx.plan.render.resolved import as_data, render_json, render_text, render_yaml
from ccx.routing.compile import compile_spec
from ccx.spec.format import formatted
from ccx.spec.validate import load
from tests.plan.specs import SPEC

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted([*ROOT.glob("examples/configs/*.yaml"), *ROOT.glob("examples/configs/*/ccx.yaml")])

RICH = """\
version: ccx/v1
server:
  listen: 127.0.0.1:4000
  rollback: {window: 1m}
channels:
  own:
    provider: openai
    base_url: https://mirror.example.com
    keys: [{env: A}, {env: B, weight: 2}]
    timeouts: {connect: 1s}
    headers: {set: {X-A: mine}, remove: [x-c]}
    breaker: {window: 10s}
    tags: {region: eu}
    proxy: {env: PROXY}
    models: {gpt-*: null, "!*-mini": null}
  plain: {provider: anthropic, keys: {env: C}}
  bare: {provider: demo, breaker: off, prefix: try}
  lab: {protocol: [chat, messages], base_url: "http://127.0.0.1:8000", keys: none, limits: {concurrency: 2}}
clients:
  team: {key: {sha256: "2222222222222222222222222222222222222222222222222222222222222222"}, expires: 2030-01-01}
models:
  gpt-x: {context_window: 64k, price: {input: 0.10, output: 0.40, above: {200k: {input: 1}}}}
routes:
  - name: a
    when: {model: gpt-*, not: {stream: true}}
    to: [own, {channel: lab, model: m}]
    failover: {attempts: 5, backoff: {max: 9s}}
    request:
      cap: {max_output_tokens: 4k}
      set: {user: x}
      drop: [seed]
    on_loss: reject
  - name: b
    when: {client: team}
    deny: {message: "No."}
  - name: c
    to: [plain, bare]
    request: {system: {prefix: Hello}}
defaults:
  channel:
    timeouts: {first_byte: 30s, connect: 2s}
    headers: {set: {x-a: theirs, x-b: theirs, x-c: theirs}, remove: [x-d]}
    breaker: {window: 20s, probes: 3}
    limits: {requests: 100/min}
    tags: {region: us, team: core}
    http2: true
    key_strategy: in_order
  failover: {attempts: 2, deadline: 30s}
  request:
    set: {metadata: {a: 1}, seed: 3}
    default: {temperature: 0.5, user: y}
    drop: [logprobs]
telemetry: {logs: {format: text}}
"""


def laid_open(path: Path) -> tuple[str, tuple[Shown, ...]]:
    loaded = load(path)
    assert loaded.spec is not None, [one.message for one in loaded.diagnostics]
    compiled = compile_spec(loaded.spec, locations=loaded.locations)
    return compiled.digest, effective(loaded.spec, compiled, loaded.locations)


def same_table(text: str, folder: Path) -> None:
    """What is shown compiles to the table that it shows, and shown again it is itself."""
    path = folder / "ccx.yaml"
    path.write_text(text)
    digest, shown = laid_open(path)
    for provenance in (False, True):
        again = folder / "again.yaml"
        again.write_text(render_yaml(shown, provenance=provenance))
        other, reshown = laid_open(again)
        assert other == digest, again.read_text()
        assert {one.path: one.value for one in reshown} == {one.path: one.value for one in shown}
        (folder / "again.json").write_text(json.dumps(as_data(shown)))
        assert laid_open(folder / "again.json")[0] == digest


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_an_example_laid_open_is_the_same_table(path: Path, tmp_path: Path) -> None:
    digest, shown = laid_open(path)
    (tmp_path / "ccx.yaml").write_text(render_yaml(shown, provenance=True))
    assert laid_open(tmp_path / "ccx.yaml")[0] == digest
    assert formatted((tmp_path / "ccx.yaml").read_bytes(), file="f")


def test_everything_that_can_be_inherited(tmp_path: Path) -> None:
    same_table(RICH, tmp_path)
    same_table(SPEC, tmp_path)


@pytest.mark.parametrize("preset", [preset.name for preset in providers()])
def test_every_provider_preset(preset: str, tmp_path: Path) -> None:
    row = next(one for one in providers() if one.name == preset)
    base = f", base_url: {row.base_url_example or 'https://x.example.com'}" if row.needs_base_url else ""
    same_table(f"version: ccx/v1\nchannels: {{a: {{provider: {preset}, keys: {{env: KEY}}{base}}}}}\n", tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_parts_left_out_at_random(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Any part that may be missing, missing: what then is inherited or built in is the same as shown."""
    draw = random.Random(seed)
    folder = tmp_path_factory.mktemp("spec")
    (folder / "rich.yaml").write_text(RICH)
    document = load(folder / "rich.yaml").locations.root
    assert document is not None
    needed = {
        "version",
        "channels",
        "provider",
        "protocol",
        "base_url",
        "keys",
        "name",
        "to",
        "key",
        "message",
        "sha256",
    }
    needed |= {"window", "input", "output", "deny", "env", "channel", "sha256"}

    def thinned(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: thinned(v) for k, v in value.items() if k in needed or draw.random() < 0.7}
        return [thinned(one) for one in value] if isinstance(value, list) else value

    value = thinned(document.value())
    value["channels"] = {**document.value()["channels"], **value["channels"]}
    if "clients" not in value or "team" not in value["clients"]:
        value["clients"] = document.value()["clients"]
    same_table(json.dumps(value), folder)


def test_golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ccx.yaml").write_text(RICH)
    _, shown = laid_open(Path("ccx.yaml"))
    assert render_yaml(shown, provenance=True) == snapshot
    assert render_text([one for one in shown if one.path[:2] == ("routes", 0)], provenance=True) == snapshot
    assert render_json([one for one in shown if one.path[:2] == ("channels", "bare")], provenance=True) == snapshot
    assert render_yaml(written(load(Path("ccx.yaml")).locations), provenance=False) == snapshot


def test_a_part_that_does_something_once_written_has_its_defaults_shown(tmp_path: Path) -> None:
    path = tmp_path / "ccx.yaml"
    path.write_text("version: ccx/v1\nserver: {canary: {for: 5m}}\nchannels: {a: {provider: demo}}\n")
    _, shown = laid_open(path)
    found = {one.path[2:]: one for one in shown if one.path[:2] == ("server", "canary")}
    assert {path: (one.value, one.origin.kind) for path, one in found.items()} == {
        ("share",): ("10%", "built-in"),
        ("for",): ("5m", "file"),
    }


def test_origins_are_true(tmp_path: Path) -> None:
    """The line that is named has the value; what is inherited names the default that it is."""
    path = tmp_path / "ccx.yaml"
    path.write_text(RICH)
    lines = RICH.split("\n")
    _, shown = laid_open(path)
    for one in shown:
        if one.origin.kind in ("file", "defaults") and not one.note:
            number = int(one.origin.text.rsplit(":", 1)[1].rstrip(")"))
            name = str(one.path[-1]) if isinstance(one.path[-1], str) else ""
            assert name.lower() in lines[number - 1].lower(), (one, lines[number - 1])
        if one.origin.kind == "defaults":
            assert one.origin.text.startswith("defaults.")
    found = {one.path: (one.value, one.origin.kind) for one in shown}
    own = ("channels", "own")
    assert found[*own, "timeouts", "connect"] == ("1s", "file")
    assert found[*own, "timeouts", "first_byte"] == ("30s", "defaults")
    assert found[*own, "timeouts", "idle"] == ("2m", "built-in")
    assert found[*own, "headers", "set", "x-a"] == ("mine", "file")
    assert found[*own, "headers", "set", "x-b"] == ("theirs", "defaults")
    assert (*own, "headers", "set", "x-c") not in found
    assert found[*own, "protocol"][1] == "preset"
    assert found["routes", 0, "request", "set", "metadata"] == ({"a": 1}, "defaults")
    assert ("routes", 0, "request", "set", "seed") not in found
    assert found["channels", "bare", "breaker"] == ("off", "file")


def ccx(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["show", *map(str, arguments)])


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ccx.yaml").write_text(RICH)
    assert ccx().stdout.startswith("version: ccx/v1\n\nserver:\n")
    assert "first_byte" not in ccx("--channel", "own").stdout
    one = ccx("ccx.yaml", "--effective", "--channel", "own", "--provenance").stdout
    assert "first_byte: 30s # defaults.channel.timeouts.first_byte (ccx.yaml:" in one
    assert "# chat: https://mirror.example.com/v1, key as bearer (ccx.yaml:8)" in one
    assert "plain" not in one
    route = json.loads(ccx("--effective", "--route", "c", "-o", "json").stdout)
    assert [each["name"] for each in route["spec"]["routes"]] == ["c"]
    assert route["spec"]["routes"][0]["failover"]["attempts"] == 2
    for arguments, name in (("--route", "aa"), "routes"), (("--channel", "owm"), "own"):
        wrong = ccx(*arguments)
        assert wrong.exit_code != 0
        assert name[:3] in str(wrong.exception) + str(getattr(wrong.exception, "hint", ""))
    assert "nothing.yaml" in str(ccx("nothing.yaml").exception)


def test_a_spec_that_is_not_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ccx.yaml").write_text(
        "version: ccx/v1\nchannels: {a: {provider: demo, keys: sk-ant-api03-" + "x" * 40 + "}}\n"
    )
    result = ccx("--effective")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "CCX401" in result.stderr
    assert "x" * 40 not in result.stderr


def test_an_older_version_is_shown_as_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ccx.yaml").write_text(
        "version: ccx/v1alpha1\nupstreams: {a: {provider: demo}}\nrules: [{name: r, target: a}]\n"
    )
    text = ccx("--provenance").stdout
    assert "channels:\n  a:\n    provider: demo # ccx.yaml:2\n" in text
    assert "to: [a] # ccx.yaml:3" in text
