"""Invariants: proved over all requests, or refuted by one that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from ccx.analysis.effort import Budget
from ccx.analysis.outcome import Judge
from ccx.testing.invariants import prove_all
from tests.testing.kit import promises, report, shown

PROVED = {
    "never a target": "{name: i, when: {protocol: messages, client: core}, never: {target: oai}}",
    "never one of several": "{name: i, when: {model: claude-*, protocol: messages}, never: {target: [oai, only]}}",
    "always a target": "{name: i, when: {model: picky-one}, always: {target: only}}",
    "always a route": '{name: i, when: {model: claude-x, protocol: chat}, always: {route: "claude"}}',
    "denied": "{name: i, when: {client: intern, protocol: images, model: claude-*}, always: {deny: 403}}",
    "denied at all": "{name: i, when: {client: intern, protocol: images, model: claude-*}, always: {deny: true}}",
    "never denied": "{name: i, when: {protocol: messages}, never: {deny: true}}",
    "served": "{name: i, when: {client: core, model: claude-x, protocol: chat}, always: {served: true}}",
    "never served": "{name: i, when: {client: gone}, never: {served: true}}",
    "first": "{name: i, when: {protocol: chat, model: gpt-*}, always: {first: [oai, gem]}}",
    "tags": "{name: i, when: {protocol: chat, model: gpt-*}, never: {tag: {region: mars}}}",
    "models": "{name: i, when: {protocol: messages, model: claude-*}, never: {model: gpt-*, tag: {region: x}}}",
    "nothing is asked, nothing is broken": "{name: i, when: {client: gone}, always: {target: main}}",
}
REFUTED = {
    "never a target": ("{name: i, never: {target: backup}}", "never target"),
    "after a failure only": ("{name: i, when: {model: claude-x}, never: {target: backup}}", "never target"),
    "always a target": ("{name: i, when: {protocol: chat}, always: {target: [oai, gem]}}", "always target"),
    "always a route": ("{name: i, when: {model: claude-*}, always: {route: claude}}", "always route"),
    "first": ("{name: i, when: {protocol: chat, model: gpt-*}, always: {first: oai}}", "always first"),
    "tags": ("{name: i, when: {model: claude-*}, always: {tag: {region: us}}}", "always tag region"),
    "a tag that is not there": ("{name: i, when: {protocol: chat, model: gpt-x}, always: {tag: {region: '*'}}}", None),
    "a model of the spec": ("{name: i, when: {client: core}, never: {model: gemini-*}}", "never model"),
    "a model of the client's": (
        "{name: i, when: {protocol: responses}, always: {model: claude-opus*}}",
        "always model",
    ),
    "a model asked of a channel": ("{name: i, when: {model: oai/*}, never: {model: gpt-*}}", "never model"),
    "served": ("{name: i, when: {client: core}, always: {served: true}}", "always served"),
    "denied": ("{name: i, when: {client: intern, protocol: images}, always: {deny: 451}}", "always deny"),
    "never denied": ("{name: i, never: {deny: true}}", "never deny"),
}


@pytest.mark.parametrize("name", PROVED)
def test_it_is_proved(tmp_path: Path, name: str) -> None:
    (proof,) = report(f"invariants: [{PROVED[name]}]", tmp_path).proofs
    assert proof.passed, proof


@pytest.mark.parametrize("name", REFUTED)
def test_it_is_refuted_by_a_request_that_shows_it(tmp_path: Path, name: str) -> None:
    text, field = REFUTED[name]
    found = report(f"invariants: [{text}]", tmp_path)
    (proof,) = found.proofs
    assert proof.counterexample is not None, proof
    assert not found.passed
    assert proof.counterexample.broken[0].field == field or field is None
    assert proof.counterexample.broken[0].field != "invariant"


def test_a_counterexample_is_told_with_its_command_and_trace(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    text = "invariants: [{name: chat stays in the EU, when: {protocol: chat}, always: {tag: {region: eu}}}]"
    assert shown(report(text, tmp_path), tmp_path) == snapshot


def test_a_bound_that_is_met_is_no_proof(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    found = promises("invariants: [{name: i, never: {target: backup}}]", tmp_path)
    assert found.compiled is not None
    (proof,) = prove_all(found.invariants, found.compiled, Judge(found.compiled.table), budget=Budget(states=1))
    assert proof.counterexample is None
    assert proof.unfinished is not None
    assert not proof.passed
