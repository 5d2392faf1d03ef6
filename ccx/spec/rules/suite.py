"""1xx, tests: what their parts refer to, and tests that cannot mean anything."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, rule

SUITE: Final[tuple[RuleInfo, ...]] = (
    rule(
        "CCX130",
        "unknown-test",
        severity="error",
        summary="A test is `like` one that does not exist.",
        why="There is no request to take over.",
        bad="""
        tests:
          - {name: short, request: {model: m}, expect: {target: main}}
          - {name: long, request: {like: shrot, input_tokens: 90k}, expect: {target: main}}
        """,
        good="""
        tests:
          - {name: short, request: {model: m}, expect: {target: main}}
          - {name: long, request: {like: short, input_tokens: 90k}, expect: {target: main}}
        """,
    ),
    rule(
        "CCX131",
        "circular-like",
        severity="error",
        summary="Tests are `like` each other in a circle.",
        why="None of them says what the request is.",
        bad="""
        tests:
          - {name: a, request: {like: b}, expect: {target: main}}
          - {name: b, request: {like: a}, expect: {target: main}}
        """,
        good="""
        tests:
          - {name: a, request: {model: m}, expect: {target: main}}
          - {name: b, request: {like: a, stream: true}, expect: {target: main}}
        """,
    ),
    rule(
        "CCX132",
        "unusable-test",
        severity="error",
        summary="A test or invariant states nothing, or asks what cannot be asked.",
        why="""A test without a model asks for none, which no chat protocol has; one that expects nothing always passes,
        and an invariant without a claim always holds.""",
        bad="tests: [{name: t, request: {model: m}, expect: {}}]",
        good="tests: [{name: t, request: {model: m}, expect: {target: main}}]",
    ),
)
