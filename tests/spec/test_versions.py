"""`ccx/v1alpha1`: what is loaded of it, what is said about it, and that its migration is the same table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from ccx.routing.compile import compile_spec
from ccx.spec.compose import compose
from ccx.spec.format import formatted
from ccx.spec.locations import Tree
from ccx.spec.migrate import CannotMigrate, migrated
from ccx.spec.render.text import render_findings
from ccx.spec.schema import render
from ccx.spec.validate import Loaded, load
from ccx.spec.versions import v1alpha1
from ccx.spec.versions.forms import TreeForms

SCHEMA = Path(__file__).parents[2] / "schema" / v1alpha1.FILE_NAME

OLD = """\
# yaml-language-server: $schema=../schema/ccx.v1alpha1.json
version: ccx/v1alpha1 # old

upstreams:
  # ours
  anthropic: {provider: anthropic, api_key_env: ANTHROPIC_API_KEY}
  lab:
    protocol: chat
    base_url: http://127.0.0.1:8000 # local
    # the key
    api_key_env: LAB_KEY # of ours
rules:
  # long ones
  - name: long
    match: # what
      model: claude-*
      # from
      min_tokens: 60k # incl
      max_tokens: 200k # excl
    target: {upstream: anthropic, model: claude-opus-5} # best
    # spare
    fallback:
      - lab # second
      # third
      - {upstream: lab, model: x}
  - {name: short, match: {protocol: messages, max_tokens: 10}, target: anthropic, fallback: [lab]}
  - {name: no, match: {client: intern}, deny: {message: "No."}}
  - {name: rest, match: {min_tokens: 5}, target: lab}
"""
NEW = """\
# yaml-language-server: $schema=../schema/ccx.v1.json
version: ccx/v1 # old

channels:
  # ours
  anthropic: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}
  lab:
    protocol: chat
    base_url: http://127.0.0.1:8000 # local
    # the key
    keys: {env: LAB_KEY} # of ours

routes:
  # long ones
  - name: long
    when: # what
      model: claude-*
      # from
      # excl
      input_tokens: 60k..200k # incl
    # spare
    to: # best
      - {channel: anthropic, model: claude-opus-5}
      - lab # second
      # third
      - {channel: lab, model: x}

  - {name: short, when: {protocol: messages, input_tokens: "< 10"}, to: [anthropic, lab]}
  - {name: no, when: {client: intern}, deny: {message: No.}}
  - {name: rest, when: {input_tokens: ">= 5"}, to: [lab]}
"""


def loaded(text: str, folder: Path, **more: str) -> Loaded:
    for name, content in {"ccx": text, **more}.items():
        (folder / f"{name}.yaml").write_text(content)
    return load(folder / "ccx.yaml")


def digest(text: str, folder: Path) -> str:
    one = loaded(text, folder)
    assert one.spec is not None, [found.message for found in one.diagnostics]
    return compile_spec(one.spec, locations=one.locations).digest


CLIENT = 'clients: {intern: {key: {sha256: "%s"}}}\n' % ("1" * 64)  # braces are YAML's here


def test_it_is_read_as_what_it_is_now(tmp_path: Path) -> None:
    assert digest(OLD + CLIENT, tmp_path) == digest(NEW + CLIENT, tmp_path)


def test_its_migration_has_every_comment(tmp_path: Path) -> None:
    new = migrated(OLD.encode(), file="ccx.yaml").decode()
    assert new == NEW
    assert formatted(new.encode(), file="ccx.yaml").decode() == new
    assert sorted(re.findall(r"# \w.*", new)) == sorted(re.findall(r"# \w.*", OLD.replace("v1alpha1.json", "v1.json")))


def test_a_warning_names_the_command(tmp_path: Path) -> None:
    found = [one for one in loaded(OLD + CLIENT, tmp_path).diagnostics if one.code == "CCX501"]
    assert [(one.severity, one.span.line, one.span.col) for one in found] == [("warning", 2, 10)]
    assert "ccx migrate" in (found[0].help or "")


def test_places_are_those_of_the_old_text(tmp_path: Path) -> None:
    lines = OLD.split("\n")
    locations = loaded(OLD, tmp_path).locations

    def at(*path: str | int) -> tuple[str | None, str]:
        place = locations[path]
        key = lines[place.key.line - 1][place.key.col - 1 : place.key.end_col - 1] if place.key else None
        return key, lines[place.value.line - 1][place.value.col - 1 : place.value.end_col - 1]

    assert at("channels")[0] == "upstreams"
    assert at("channels", "lab", "keys") == ("api_key_env", "LAB_KEY")
    assert at("routes", 0, "when")[0] == "match"
    assert at("routes", 0, "when", "input_tokens") == ("min_tokens", "60k")
    assert at("routes", 0, "to", 0, "channel") == ("upstream", "anthropic")
    assert at("routes", 0, "to", 2, "model") == ("model", "x")
    assert at("routes", 1, "when", "input_tokens") == ("max_tokens", "10")
    assert at("routes", 3, "to", 0) == (None, "lab")


def test_deprecated_fields_are_found_where_they_stand(tmp_path: Path) -> None:
    lines = OLD.split("\n")
    seen: dict[str, list[str]] = {}
    for use in loaded(OLD, tmp_path).deprecated:
        word = lines[use.key.line - 1][use.key.col - 1 : use.key.end_col - 1]
        seen.setdefault(use.row.shown, []).append(word)
    assert {field: (len(words), set(words)) for field, words in seen.items()} == {
        "upstreams": (1, {"upstreams"}),
        "upstreams[].api_key_env": (2, {"api_key_env"}),
        "rules": (1, {"rules"}),
        "rules[].match": (4, {"match"}),
        "rules[].match.min_tokens": (2, {"min_tokens"}),
        "rules[].match.max_tokens": (2, {"max_tokens"}),
        "rules[].target": (3, {"target"}),
        "rules[].fallback": (2, {"fallback"}),
    }
    assert loaded(NEW, tmp_path).deprecated == ()


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "says"),
    [
        ("upstreams:", "channels:", "CCX101", 4, "unknown key 'channels'"),
        ("    match: # what", "    when: # what", "CCX101", 15, "unknown key 'when'"),
        ("model: claude-*\n", "model: [1]\n", "CCX109", 16, "text"),
        ("min_tokens: 60k", "min_tokens: many", "CCX110", 18, "many"),
        ("max_tokens: 10}", "max_tokens: 0}", "CCX104", 26, "nothing is below 0"),
        ("target: lab}", "target: nobody}", "CCX103", 28, "nobody"),
        ("target: anthropic, fallback", "fallback", "CCX108", 26, "has a `fallback` and no `target`"),
        (
            "api_key_env: LAB_KEY",
            "api_key_env: sk-ant-api03-" + "x" * 60,
            "CCX401",
            11,
            "looks like the key",
        ),
    ],
)
def test_mistakes_are_said_in_its_own_words_and_places(
    old: str, new: str, code: str, line: int, says: str, tmp_path: Path
) -> None:
    assert old in OLD
    one = loaded(OLD.replace(old, new) + CLIENT, tmp_path)
    assert one.spec is None
    errors = [found for found in one.diagnostics if found.severity == "error"]
    assert [(found.code, found.span.line) for found in errors] == [(code, line)]
    assert says in errors[0].message
    assert "x" * 60 not in repr(errors)
    assert "x" * 60 not in render_findings(errors, excerpts=one.excerpts, colour=False)


def test_files_of_two_versions_and_of_none(tmp_path: Path) -> None:
    part = "upstreams: {b: {provider: demo}}\nrules: [{name: b, match: {model: b}, target: b}]\n"
    rest = "channels: {a: {provider: demo}}\nroutes: [{name: a, to: [a]}]\n"
    old = rest.replace("channels", "upstreams").replace("routes", "rules").replace("to: [a]", "target: a")
    mixed = loaded(f"version: ccx/v1\ninclude: [p.yaml]\n{rest}", tmp_path, p=f"version: ccx/v1alpha1\n{part}")
    inherited = loaded(f"version: ccx/v1alpha1\ninclude: [p.yaml]\n{old}", tmp_path, p=part)
    assert mixed.spec is not None
    assert mixed.spec == inherited.spec
    assert [route.name for route in mixed.spec.routes] == ["b", "a"]
    stray = loaded(f"version: ccx/v1\ninclude: [p.yaml]\n{rest}", tmp_path, p=part)
    assert {found.code for found in stray.diagnostics} >= {"CCX101"}


def test_loading_again_converts_once(tmp_path: Path) -> None:
    first = loaded(OLD + CLIENT, tmp_path)
    again = load(tmp_path / "ccx.yaml", previous=first)
    assert again.spec == first.spec
    assert again.diagnostics == first.diagnostics


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rules:\n- {match: {min_tokens: &n 5}, target: x}\n- {match: {min_tokens: *n}, target: x}\n", "alias"),
        ("rules:\n- &a {name: a, target: x}\n- {<<: *a, name: b, fallback: [y]}\n", "something else"),
        ("rules: [", "never closed|node content"),
        ("rules:\n- name: a\n  match: {min_tokens: 5} # c\n  target: {upstream: # d\n    x}\n", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_rewritten_says_so(text: str, says: str) -> None:
    if not says:
        assert b"# d" in migrated(text.encode(), file="f")
        return
    with pytest.raises(CannotMigrate, match=says):
        migrated(text.encode(), file="f")


def test_the_schema_is_fresh_and_legal() -> None:
    assert SCHEMA.read_text() == render(v1alpha1.schema()), "run: python -m ccx.spec.schema"
    Draft7Validator.check_schema(json.loads(SCHEMA.read_text()))


def test_every_deprecated_field_is_one_of_the_schema() -> None:
    for row in v1alpha1.DEPRECATED:
        here = v1alpha1.schema()
        for part in row.field:
            here = here["properties"][part] if part != "*" else here.get("items") or here["additionalProperties"]
        assert row.removed_in > row.since
        assert row.replacement


names = st.sampled_from(["a", "b", "c-d"])
globs = st.sampled_from(["claude-*", "*", "gpt-5", "!*-mini"])
counts = st.sampled_from([0, 1, 5, 1000, "60k", "2M", 200000])
targets = names | st.fixed_dictionaries({"upstream": names}, optional={"model": st.sampled_from(["m", "n/o"])})
matches = st.fixed_dictionaries(
    {},
    optional={
        "protocol": st.sampled_from(["messages", ["chat", "responses"]]),
        "model": globs | st.lists(globs, min_size=1, max_size=3),
        "thinking": st.booleans(),
        "min_tokens": st.sampled_from([0, 1, "1k"]),
        "max_tokens": st.sampled_from([5000, "60k"]),
    },
)
rules = st.fixed_dictionaries(
    {"target": targets}, optional={"match": matches, "fallback": st.lists(targets, max_size=3)}
)
documents = st.lists(rules, min_size=1, max_size=5).map(
    lambda listed: {
        "version": "ccx/v1alpha1",
        "upstreams": {name: {"provider": "openai", "api_key_env": "KEY"} for name in ("a", "b", "c-d")},
        "rules": [{"name": f"r{place}", **rule} for place, rule in enumerate(listed)],
    }
)


def written(value: Any, draw: Any, indent: int = 0) -> str:
    """YAML with comments, in blocks and brackets as it comes."""
    pad = " " * indent
    if isinstance(value, (dict, list)) and value and (indent == 0 or draw.random() < 0.5):
        entries = [(f"{k}:", v) for k, v in value.items()] if isinstance(value, dict) else [("-", v) for v in value]
        lines = ""
        for place, (key, one) in enumerate(entries):
            mark = f"{indent}-{place}-{draw.randrange(10**9)}"
            lines += draw.choice(["", f"\n{pad}# above {mark}"])
            text = written(one, draw, indent + 2)
            lines += f"\n{pad}{key}{draw.choice(['', f' # head {mark}']) if text.startswith(chr(10)) else ' '}{text}"
        return lines
    return json.dumps(value)


@settings(max_examples=100, deadline=None)
@given(documents, st.randoms(use_true_random=False))
def test_converting_and_migrating_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any], draw: Any
) -> None:
    folder = tmp_path_factory.mktemp("spec")
    text = written(document, draw).lstrip("\n") + "\n"
    try:
        new = migrated(text.encode(), file="ccx.yaml").decode()
    except CannotMigrate as error:
        pytest.fail(f"{error}\n{text}")
    assert sorted(re.findall(r"# \w+ \S+", new)) == sorted(re.findall(r"# \w+ \S+", text))
    before, after = loaded(text, folder), loaded(new, folder)
    # Some drawn specs are not valid; then neither is the migrated one, for the same reasons.
    left = [(one.code, one.pointer) for one in before.diagnostics if one.code != "CCX501"]
    assert sorted(left) == sorted((one.code, one.pointer) for one in after.diagnostics)
    assert (before.spec is None) == (after.spec is None)
    if before.spec is not None and after.spec is not None:
        assert compile_spec(before.spec).digest == compile_spec(after.spec).digest


WORDS = ["match", "target", "fallback", "min_tokens", "max_tokens", "upstream", "api_key_env", "x"]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab1 .", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=20,
)


@given(anything)
def test_no_document_breaks_the_converter(value: Any) -> None:
    tree, _ = compose(json.dumps({"rules": [value], "upstreams": {"a": value}}, ensure_ascii=False), file="f")
    assert isinstance(tree, Tree)
    assert isinstance(v1alpha1.convert(tree, TreeForms()), Tree)
