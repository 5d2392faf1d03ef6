"""2xx: parts of a condition that do nothing, told from the condition alone."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, lint_rule

CONDITIONS: Final[tuple[RuleInfo, ...]] = (
    lint_rule(
        "CCX213",
        "dead-exclusion",
        severity="warning",
        summary="A pattern with `!` takes nothing away from the patterns beside it.",
        why="""An exclusion that meets none of the inclusions excludes nothing. Most often one of the two is misspelt,
        and what was to be kept out is let in.""",
        bad='routes: [{name: a, when: {model: [gpt-*, "!claude-*"]}, to: [main]}]',
        good='routes: [{name: a, when: {model: [gpt-*, "!gpt-*-mini"]}, to: [main]}]',
        fix="safe",
    ),
    lint_rule(
        "CCX215",
        "covered-pattern",
        severity="warning",
        summary="A pattern of a list is covered by another one of it.",
        why="""The list means the same without it. Either it is left over, or the wider pattern is wider than was
        meant.""",
        bad='routes: [{name: a, when: {model: ["claude-*", "claude-opus-*"]}, to: [main]}]',
        good='routes: [{name: a, when: {model: "claude-*"}, to: [main]}]',
        fix="safe",
    ),
    lint_rule(
        "CCX216",
        "constant-condition",
        severity="warning",
        summary="A part of a condition always holds, or never does.",
        why="""It asks for nothing: an `any` with an empty alternative holds for every request, a list of all protocols
        lets all through, and a part that never holds is dead. One part contradicts another, or is left over.""",
        bad="routes: [{name: a, when: {any: [{stream: true}, {stream: false}]}, to: [main]}]",
        good="routes: [{name: a, when: {any: [{stream: true}, {tools: true}]}, to: [main]}]",
    ),
    lint_rule(
        "CCX217",
        "sticky-without-tokens",
        severity="warning",
        summary="`tokens.sticky` where no route asks how many tokens a prompt has.",
        why="""What a session is remembered by is its count of tokens. Without a condition on `input_tokens` it decides
        nothing. To keep a session at one of several targets, write `affinity: session` at the group.""",
        bad="""
        tokens: {sticky: 1h}
        routes: [{name: a, to: [main]}]
        """,
        good="""
        tokens: {sticky: 1h}
        routes:
          - {name: long, when: {input_tokens: "> 180k"}, to: [{channel: main, model: m-large}]}
          - {name: a, to: [main]}
        """,
    ),
)
