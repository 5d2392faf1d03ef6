"""Loading: everything at once, nothing twice, never an exception, never a secret; cheap when little changed."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccx.spec.diagnostics import Diagnostic, Span, diagnostic
from ccx.spec.inline import mask_line
from ccx.spec.pending import PENDING
from ccx.spec.references import allows
from ccx.spec.render.json import render_json
from ccx.spec.render.report import report
from ccx.spec.render.sarif import render_sarif
from ccx.spec.render.text import render_text
from ccx.spec.rules import RULES
from ccx.spec.schema import embedded
from ccx.spec.validate import Loaded, extended, load

HEAD = "version: ccx/v1\nchannels: {main: {provider: demo}}\n"
EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "configs").rglob("*.yaml"))


def loaded(text: str, folder: Path, **options: Any) -> Loaded:
    path = folder / "ccx.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, **options)


def found(text: str, folder: Path, **options: Any) -> list[tuple[str, int]]:
    return [(one.code, one.span.line) for one in loaded(text, folder, **options).diagnostics]


def test_all_mistakes_show_at_once_in_order(tmp_path: Path) -> None:
    text = """\
version: ccx/v1
server: {listen: "0.0.0.0:1", max-body: 1MiB}
channels:
  a: {provider: nope, http2: yes}
  b: {provder: demo}
routes:
  - {name: x, when: {model: "a?", input_tokens: "9..1"}, to: [c]}
  - {name: x, to: []}
"""
    assert found(text, tmp_path) == [
        ("CCX404", 2),
        ("CCX101", 2),
        ("CCX119", 4),
        ("CCX106", 4),
        ("CCX101", 5),
        ("CCX105", 7),
        ("CCX104", 7),
        ("CCX103", 7),
        ("CCX102", 8),
        ("CCX222", 8),
    ]


def test_routes_of_included_files_come_before_the_files_own(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("routes: [{name: one, to: [main]}]")
    (tmp_path / "two.yaml").write_text("routes: [{name: two, to: [main]}]\nclients: {}")
    outcome = loaded("include: [two.yaml, one.yaml]\n" + HEAD + "routes: [{name: own, to: [main]}]", tmp_path)
    assert outcome.spec is not None
    assert [route.name for route in outcome.spec.routes] == ["two", "one", "own"]
    assert outcome.locations[("routes", 0, "name")].file == str(tmp_path / "two.yaml")


def test_names_are_not_missed_when_a_file_is(tmp_path: Path) -> None:
    text = "include: [gone.yaml]\n" + HEAD + "routes: [{name: r, to: [elsewhere]}]"
    assert found(text, tmp_path) == [("CCX113", 1)]


def test_a_spec_with_warnings_only_is_there(tmp_path: Path) -> None:
    outcome = loaded(HEAD + "state: {redis: {url: {env: R}}}", tmp_path, environ={})
    assert [one.code for one in outcome.diagnostics] == ["CCX407"]
    assert outcome.spec is not None


def test_secrets_are_looked_up_only_with_an_environment(tmp_path: Path) -> None:
    text = HEAD.replace("demo", "demo, keys: {env: K}")
    assert found(text, tmp_path) == []
    assert found(text, tmp_path, environ={}) == [("CCX407", 2)]
    assert found(text, tmp_path, environ={"K": "  "}) == [("CCX407", 2)]
    assert found(text, tmp_path, environ={"K": "v"}) == []


def test_where_alerts_go_is_checked(tmp_path: Path) -> None:
    text = HEAD + "telemetry: {alerts: {url: {env: HOOK}}}"
    assert [code for code, _ in found(text, tmp_path, environ={})] == ["CCX407"]
    assert found(text, tmp_path, environ={"HOOK": "https://h/x"}) == []
    plain = HEAD + "telemetry: {alerts: {url: 'http://alerts.example.com/x'}}"
    assert [code for code, _ in found(plain, tmp_path)] == ["CCX402"]
    assert found(plain.replace("http:", "https:"), tmp_path) == []


def test_a_key_of_a_disabled_channel_is_not_looked_up(tmp_path: Path) -> None:
    text = "version: ccx/v1\nchannels: {a: {provider: demo}, b: {provider: demo, enabled: false, keys: {env: K}}}"
    assert found(text, tmp_path, environ={}) == []


def test_secret_files_lie_beside_the_spec_and_are_for_their_owner(tmp_path: Path) -> None:
    text = HEAD.replace("demo", "demo, keys: {file: key}")
    key = tmp_path / "key"
    key.write_text("value")
    key.chmod(0o600)
    assert found(text, tmp_path, environ={}) == []
    key.chmod(0o644)
    (warning,) = loaded(text, tmp_path, environ={}).diagnostics
    assert (warning.code, warning.message) == ("CCX408", "every user of this machine may read 'key'")
    key.unlink()
    (warning,) = loaded(text, tmp_path, environ={}).diagnostics
    assert warning.code == "CCX407"
    assert str(tmp_path) not in warning.message


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "[::1]"])
def test_loopback_needs_no_client(tmp_path: Path, host: str) -> None:
    assert found(HEAD + f'server: {{listen: "{host}:3000"}}', tmp_path) == []
    text = f"version: ccx/v1\nchannels: {{a: {{protocol: chat, base_url: 'http://{host}:1/v1', keys: none}}}}"
    assert found(text, tmp_path) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "10.0.0.1", "gateway.example.com", "localhost.example.com"])
def test_any_other_address_needs_one(tmp_path: Path, host: str) -> None:
    assert found(HEAD + f'server: {{listen: "{host}:3000"}}', tmp_path) == [("CCX404", 3)]
    client = "\nclients: {a: {key: {sha256: '" + "1" * 64 + "'}}}"
    assert found(HEAD + f'server: {{listen: "{host}:3000"}}' + client, tmp_path) == []


@pytest.mark.parametrize(
    ("patterns", "model", "allowed"),
    [
        (["a-*"], "a-b", True),
        (["a-*"], "b", False),
        (["!a-*"], "b", True),
        (["!a-*"], "a-b", False),
        (["a-*", "!a-b"], "a-b", False),
        (["*/x"], "a/b/x", True),
        (["a.b"], "aXb", False),
        (["*"], "", True),
    ],
)
def test_allows(patterns: list[str], model: str, allowed: bool) -> None:
    assert allows(patterns, model) is allowed


def test_further_diagnostics_take_their_place(tmp_path: Path) -> None:
    outcome = loaded(HEAD + "lint: {rules: {CCX999: error}}", tmp_path)
    file = str(tmp_path / "ccx.yaml")
    more = [diagnostic("CCX110", "from the compiler", file=file, span=Span(1, 1, 1, 2))]
    joined = extended(outcome, more)
    assert outcome.spec is not None
    assert joined.spec is None
    assert [one.code for one in joined.diagnostics] == ["CCX110", "CCX127"]
    assert extended(joined, more).diagnostics == joined.diagnostics


def test_reloading_an_edited_file_gives_what_loading_it_afresh_gives(tmp_path: Path) -> None:
    routes = [f"  - {{name: r{n}, when: {{model: m{n}}}, to: [main]}}\n" for n in range(30)]
    before = loaded(HEAD + "routes:\n" + "".join(routes), tmp_path)
    assert before.spec is not None
    dice = random.Random(1)
    for broken in (
        "{name: r5, to: main}",
        "{name: r5, tp: [main]}",
        "{name: r5, to: [mian]}",
        "{name: r5, to: [main]}",
    ):
        edited = list(routes)
        edited[dice.randrange(30)] = f"  - {broken}\n"
        text = HEAD + "routes:\n" + "".join(edited)
        again = loaded(text, tmp_path, previous=before)
        fresh = loaded(text, tmp_path)
        assert (again.spec, again.diagnostics, again.good) == (fresh.spec, fresh.diagnostics, fresh.good)
        before = again


# -- parts without effect -----------------------------------------------------------------------------------------


def test_every_pending_part_exists_in_the_language() -> None:
    """Follow each path through the schema: a row for a part that was renamed would say nothing any more."""

    def below(node: dict[str, Any], part: str) -> list[dict[str, Any]]:
        if "$ref" in node:
            return below(embedded()["definitions"][node["$ref"].rsplit("/", 1)[-1]], part)
        here: list[dict[str, Any]] = []
        for branch in (*node.get("anyOf", ()), *node.get("allOf", ())):
            here += below(branch, part)
        if part == "*":
            here += [node[key] for key in ("items", "additionalProperties") if isinstance(node.get(key), dict)]
        elif part in node.get("properties", {}):
            here.append(node["properties"][part])
        return here

    for row in PENDING:
        nodes = [embedded()]
        for part in row.path:
            nodes = [child for node in nodes for child in below(node, part)]
        assert nodes, row.path


@pytest.mark.parametrize(
    "text",
    [
        "channels: {a: {provider: demo, breaker: off}}",
        "channels: {a: {provider: demo, breaker: false, limits: {}}}",
        "routes: [{name: r, to: [{balance: weighted, targets: [a], affinity: none}]}]",
        "telemetry: {logs: {bodies: none}}",
        "tests: []",
    ],
)
def test_asking_for_nothing_is_not_reported(tmp_path: Path, text: str) -> None:
    base = "" if text.startswith("channels") else "channels: {a: {provider: demo}}\n"
    assert found(f"version: ccx/v1\n{base}{text}", tmp_path) == []


# -- secrets ------------------------------------------------------------------------------------------------------

SECRET = "correct-horse-battery"
PLACES = [
    "channels: {a: {provider: demo, keys: S}}",
    "channels: {a: {provider: demo, keys: [S]}}",
    "channels: {a: {provider: demo, keys: [{env: A}, S]}}",
    "channels: {a: {provider: demo, keys: {sk-S0123456789}}}",
    "channels: {a: {provider: demo, keys: {env: A, sk-S0123456789: 1}}}",
    "channels: {a: {provider: demo, keys: {key: S}}}",
    "channels: {a: {provider: demo, keys: {value: S}}}",
    "channels: {a: {provider: demo, api_key: S}}",
    "channels: {a: {provider: demo, token: S, keys: none}}",
    "channels: {a: {provider: demo, headers: {set: {x-api-key: S}}}}",
    "channels: {a: {provider: demo, headers: {set: {AUTHORIZATION: Bearer S}}}}",
    "channels: {a: {provider: demo, proxy: 'http://u:S@h:1'}}",
    "channels: {a: {provider: demo, proxy: 'socks5://S@h:1'}}",
    "channels: {a: {protocol: chat, base_url: 'https://S@h/v1', keys: none}}",
    "channels: {a: {protocol: gemini, base_url: 'https://h/v1?key=S', keys: none}}",
    "defaults: {channel: {proxy: 'http://u:S@h:1'}}\nchannels: {a: {provider: demo}}",
    "channels: {a: {provider: demo}}\nadmin: {key: S}",
    "channels: {a: {provider: demo}}\nstate: {redis: {url: 'redis://:S@h/0'}}",
    "channels: {a: {provider: demo}}\nclients: {c: {key: S}}",
    "channels: {a: {provider: demo}}\ntelemetry: {alerts: {url: 'https://hooks.slack.com/services/T0/S'}}",
    "channels: {a: {provider: demo}}\ntelemetry: {alerts: {url: 'https://chat.example.com/hooks/S-0123456789'}}",
    "channels: {a: {provider: demo}}\ntelemetry: {alerts: {url: 'https://u:S@h/x'}}",
    "channels: {a: {provider: demo}}\nclients: {c: {key: [S]}}",
    "channels: {a: {provider: demo}}\n"
    "tests: [{name: t, request: {model: m, headers: {authorization: Bearer S}}, expect: {target: a}}]",
    "channels:\n  a:\n    provider: demo\n    keys: >-\n      S\n",
    "channels: {a: {provider: demo, keys: &k S}, b: {provider: demo, keys: *k}}",
]


@pytest.mark.parametrize("text", PLACES)
def test_a_secret_in_the_spec_is_an_error_and_is_never_shown(tmp_path: Path, text: str) -> None:
    outcome = loaded("version: ccx/v1\n" + text.replace("S", SECRET, 1), tmp_path, environ={"A": "x"})
    errors = [one for one in outcome.diagnostics if one.severity == "error"]
    assert [one.code for one in errors] == ["CCX401"]
    one = report(outcome)
    shown = render_text([one]) + render_json([one]) + render_sarif([one], base=tmp_path)
    assert SECRET not in shown
    assert "battery" not in shown


@pytest.mark.parametrize(
    "line",
    [
        "keys: sk-ant-api03-notARealKey0123456789: oops",
        "  api_key: correct-horse-battery: oops",
        "# old key: sk-proj-notARealKey0123456789",
        "  authorization: Bearer correct-horse-battery: oops",
        "  proxy: http://user:correct-horse-battery@h: oops",
    ],
)
def test_a_secret_in_a_file_that_is_not_yaml_is_not_shown_either(tmp_path: Path, line: str) -> None:
    outcome = loaded(f"version: ccx/v1\n{line}\nx: [", tmp_path)
    text = render_text([report(outcome)])
    assert "CCX100" in text
    assert "notARealKey" not in text
    assert "battery" not in text


@pytest.mark.parametrize(
    "line",
    [
        "keys: {env: ANTHROPIC_API_KEY}",
        "  keys: none",
        "keys: [{env: A}, {file: /run/secrets/b}]",
        "key_strategy: round_robin",
        "limits: {input_tokens: 600/min}",
        "models: {sk-model: null}",
        "redact: [authorization, x-api-key]",
        "base_url: https://api.example.com/v1",
    ],
)
def test_what_is_no_secret_stays_readable(line: str) -> None:
    assert mask_line(line) == line


# -- any input ----------------------------------------------------------------------------------------------------

WORDS = (
    "version ccx/v1 include channels routes name when to keys env model clients provider demo a not any balance "
    "targets deny server listen tests lint rules input_tokens 60k.. key sha256 models price above headers set "
    "defaults channel state redis url telemetry expect request admin prefix header expires 2027-02-30"
)
words = st.sampled_from(re.findall(r"\S+", WORDS))
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=3), inner, max_size=5),
    max_leaves=25,
)


def check(data: bytes, folder: Path) -> tuple[Diagnostic, ...]:
    path = folder / "ccx.yaml"

    def read(asked: Path) -> bytes:
        if asked == path.resolve():
            return data
        raise FileNotFoundError(2, "No such file or directory")

    outcome = load(path, environ={}, read=read)
    errors = [one for one in outcome.diagnostics if one.severity == "error"]
    assert (outcome.spec is None) == bool(errors)
    for one in outcome.diagnostics:
        assert one.code in RULES
        assert one.file == str(path)
    assert len(set(outcome.diagnostics)) == len(outcome.diagnostics)
    render_text([report(outcome)])
    return outcome.diagnostics


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_any_bytes_give_diagnostics(tmp_path: Path, data: bytes) -> None:
    assert check(data, tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=st.dictionaries(words, anything, max_size=8))
def test_any_document_gives_diagnostics(tmp_path: Path, document: dict[str, Any]) -> None:
    document["version"] = "ccx/v1"
    check(json.dumps(document).encode(), tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_examples_give_diagnostics(tmp_path: Path, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(EXAMPLES)).read_text(encoding="utf-8")
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    junk = data.draw(st.text(st.sampled_from("ab:-[]{}#&*!|>'\"%\n \t0"), max_size=8))
    check((text[:start] + junk + text[end:]).encode(), tmp_path)
