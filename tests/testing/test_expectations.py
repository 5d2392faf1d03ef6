"""Every kind of expectation, met and not met; a failure shows what was expected, what came, and why."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from ccx.analysis.outcome import Judge
from ccx.spec.suite import RoutingTest
from ccx.testing.cases import Written, expand
from ccx.testing.suggest import NOWHERE
from tests.testing.kit import promises, report, results, shown

CLAUDE = "{model: claude-opus-5, client: core}"
LONG = "{model: claude-opus-5, input_tokens: 90k}"
SHARED = "{protocol: chat, model: gpt-5}"
DENIED = "{protocol: images, model: claude-image, client: intern}"
NOTHING = "{model: llama}"

HOLDS: dict[str, tuple[str, ...]] = {
    "route": (CLAUDE, "{route: claude}"),
    "targets": (CLAUDE, "{targets: [main, backup]}"),
    "targets of a group in any order": (SHARED, "{targets: [gem, oai, main]}"),
    "target": (LONG, "{target: gem}"),
    "target of a group, pinned low": (SHARED, "{target: oai}", "sample: 0.899"),
    "target of a group, pinned high": (SHARED, "{target: gem, model: gemini-2.5-flash}", "sample: 0.9"),
    "target_in": (SHARED, "{target_in: [oai, gem, main]}"),
    "not_target": (CLAUDE, "{not_target: [oai, gem]}"),
    "not_target, one": (CLAUDE, "{not_target: oai}"),
    "model": (LONG, "{model: gemini-2.5-pro}"),
    "model as asked": (CLAUDE, "{model: claude-opus-5}"),
    "weights": (SHARED, "{weights: {oai: 90, gem: 10}}"),
    "weights in their smallest numbers": (SHARED, "{weights: {oai: 9, gem: 1}}"),
    "weights of one": (CLAUDE, "{weights: {main: 1}}"),
    "failover": (CLAUDE, "{failover: [backup]}"),
    "failover of a pinned group": (SHARED, "{failover: [gem, main]}", "sample: 0"),
    "no failover": ("{model: picky-one}", "{failover: [], targets: [only]}"),
    "deny": (DENIED, "{deny: 403, route: images, status: 403, error: denied}"),
    "no route": (NOTHING, "{no_route: true, error: no_route, status: 404}"),
    "unservable": ("{model: picky-two}", "{error: unservable, route: picky, status: 503}"),
    "refused model": ("{model: gpt-5, protocol: chat, client: intern}", "{error: refused, status: 403}"),
    "refused client": ("{model: claude-x, client: gone}", "{error: refused, status: 401}"),
    "status": (CLAUDE, "{status: 200}"),
    "by name of a channel": ("{model: backup/claude-7}", '{route: "@backup", model: claude-7}'),
}


def spec(request: str, expect: str, more: str = "") -> str:
    return f"tests:\n  - name: t\n    request: {request}\n    expect: {expect}\n" + (f"    {more}\n" if more else "")


@pytest.mark.parametrize("name", HOLDS)
def test_it_holds(tmp_path: Path, name: str) -> None:
    (one,) = results(spec(*HOLDS[name]), tmp_path)
    assert one.passed, one.mismatches


FAILS: dict[str, tuple[str, str, list[tuple[str, str | None, str | None]]]] = {
    "route": (CLAUDE, "{route: long}", [("route", "long", "claude")]),
    "route of nothing": (NOTHING, "{route: long}", [("route", "long", "no route matches")]),
    "targets": (CLAUDE, "{targets: [backup, main]}", [("targets", "backup then main", "main then backup")]),
    "too few targets": (CLAUDE, "{targets: [main]}", [("targets", "main", "main then backup")]),
    "too many targets": (CLAUDE, "{targets: [main, backup, gem]}", [("targets", "main then backup then gem", None)]),
    "a group's place": (SHARED, "{targets: [main, oai, gem]}", [("targets", None, "(oai | gem) then main")]),
    "target": (LONG, "{target: main}", [("target", "main", "gem")]),
    "target of nothing": (NOTHING, "{target: main}", [("target", "main", "no route matches")]),
    "target of a group": (SHARED, "{target: oai}", [("target", "oai", None)]),
    "target_in": (SHARED, "{target_in: [oai]}", [("target_in", "one of oai", "oai, gem")]),
    "target_in of nothing": (DENIED, "{target_in: [oai]}", [("target_in", None, "denied with 403 by images")]),
    "not_target first": (CLAUDE, "{not_target: [main]}", [("not_target", "never main", "main is asked first")]),
    "not_target later": (
        CLAUDE,
        "{not_target: [backup]}",
        [("not_target", None, "backup is asked after a failure")],
    ),
    "model": (LONG, "{model: claude-opus-5}", [("model", "claude-opus-5", "gemini-2.5-pro")]),
    "models of a group": (SHARED, "{model: gpt-5}", [("model", "gpt-5", "gpt-5, gemini-2.5-flash")]),
    "weights": (SHARED, "{weights: {oai: 91, gem: 9}}", [("weights", "oai 91 %, gem 9 %", "oai 90 %, gem 10 %")]),
    "a third": (SHARED, "{weights: {oai: 2, gem: 1}}", [("weights", "oai 2/3, gem 1/3", None)]),
    "failover": (CLAUDE, "{failover: []}", [("failover", "nobody", "backup")]),
    "deny": (CLAUDE, "{deny: 403}", [("deny", "403", "claude to main then backup")]),
    "another denial": (DENIED, "{deny: 451}", [("deny", "451", "denied with 403 by images")]),
    "no_route": (CLAUDE, "{no_route: true}", [("no_route", None, "claude to main then backup")]),
    "status": (NOTHING, "{status: 200}", [("status", "200", "404")]),
    "error": (CLAUDE, "{error: no_route}", [("error", "no_route", "none: it is served")]),
    "another error": (NOTHING, "{error: denied}", [("error", "denied", "no_route")]),
    "unservable": (
        "{model: picky-two}",
        "{target: main}",
        [("target", "main", None)],
    ),
    "everything that is wrong": (
        NOTHING,
        "{route: claude, target: main, status: 200}",
        [("route", None, None), ("status", None, None), ("target", None, None)],
    ),
}


@pytest.mark.parametrize("name", FAILS)
def test_it_fails(tmp_path: Path, name: str, snapshot: SnapshotAssertion) -> None:
    request, expect, wanted = FAILS[name]
    found = report(spec(request, expect), tmp_path)
    (one,) = found.results
    assert [wrong.field for wrong in one.mismatches] == [field for field, _, _ in wanted]
    for wrong, (_, expected, got) in zip(one.mismatches, wanted, strict=True):
        assert expected is None or wrong.expected == expected
        assert got is None or wrong.got == got
    assert not found.passed
    assert shown(found, tmp_path) == snapshot


def test_a_request_like_another(tmp_path: Path) -> None:
    text = """
    tests:
      - name: base
        request: {model: claude-x, input_tokens: 90k, headers: {x-a: "1", x-b: "2"}, client: core}
        expect: {route: long}
      - name: shorter
        request: {like: base, input_tokens: 60k, headers: {x-b: "3"}}
        expect: {route: claude}
      - name: as long
        request: {like: shorter, input_tokens: 60001}
        expect: {route: long}
    """
    found = results(text, tmp_path)
    assert [one.passed for one in found] == [True, True, True]
    last = found[2].case.facts
    assert (last.model, last.client, last.tags) == ("claude-x", "core", {"team": "core"})
    assert last.headers == {"x-a": "1", "x-b": "3"}


def test_a_matrix_is_a_case_for_each_combination(tmp_path: Path) -> None:
    text = """
    tests:
      - name: all
        request: {model: claude-x}
        matrix: {protocol: [messages, chat], stream: [true, false], input_tokens: [1, 90k]}
        expect: {target: main}
    """
    found = results(text, tmp_path)
    assert len(found) == 8
    assert [one.case.name for one in found if not one.passed] == [
        "all [protocol=messages, input_tokens=90000, stream=true]",
        "all [protocol=messages, input_tokens=90000, stream=false]",
    ]


def test_a_matrix_may_bring_the_model(tmp_path: Path) -> None:
    text = "tests: [{name: m, request: {}, matrix: {model: [claude-a, claude-b]}, expect: {route: claude}}]"
    assert [one.case.facts.model for one in results(text, tmp_path)] == ["claude-a", "claude-b"]


def test_tests_of_a_file_beside_the_spec(tmp_path: Path) -> None:
    (tmp_path / "more.test.yaml").write_text(
        "version: ccx/v1\nspec: ccx.yaml\ncoverage: {routes: 90, axes: 10}\n"
        "tests: [{name: t, request: {like: a}, expect: {route: claude}}]\n"
        "invariants: [{name: i, never: {target: nobody*}}]\n"
    )
    found = promises(
        "coverage: {routes: 80, targets: 5}\ntests: [{name: a, request: {model: claude-x}, expect: {target: main}}]",
        tmp_path,
    )
    assert found.floors == {"routes": 90, "targets": 5, "axes": 10}
    assert [one.test.name for one in found.tests] == ["a", "t"]
    assert found.tests[1].place.file.endswith("more.test.yaml")
    assert [one.invariant.name for one in found.invariants] == ["i"]


def test_a_like_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    found = promises("tests: []", tmp_path)
    assert found.compiled is not None
    lost = RoutingTest.model_validate({"name": "a", "request": {"like": "b"}, "expect": {"target": "main"}})
    with pytest.raises(ValueError, match="leads nowhere"):
        expand([Written(lost, NOWHERE)], Judge(found.compiled.table))
