"""2xx and 3xx: targets that are listed to no effect, told from the list alone."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, lint_rule

TARGETS: Final[tuple[RuleInfo, ...]] = (
    lint_rule(
        "CCX212",
        "duplicate-target",
        severity="warning",
        summary="A route lists the same channel with the same model twice.",
        why="""A target that failed in a passing way is asked again anyhow, after a backoff and while attempts are left.
        Listed twice it is asked again at once, before anything else, and uses up an attempt that another target could
        have had.""",
        bad="""
        channels: {a: {provider: demo}, b: {provider: demo}}
        routes: [{name: default, to: [a, a, b]}]
        """,
        good="""
        channels: {a: {provider: demo}, b: {provider: demo}}
        routes: [{name: default, to: [a, b]}]
        """,
        fix="unsafe",
    ),
    lint_rule(
        "CCX306",
        "weight-zero",
        severity="info",
        summary="A target or key has weight 0 and takes no requests.",
        why="""That is how a canary is switched off, and how it is forgotten. If it is meant to stay off, a disabled
        channel or a removed target says so.""",
        bad="""
        channels: {a: {provider: demo}, b: {provider: demo}}
        routes: [{name: r, to: [{balance: weighted, targets: [{channel: a}, {channel: b, weight: 0}]}]}]
        """,
        good="""
        channels: {a: {provider: demo}, b: {provider: demo}}
        routes: [{name: r, to: [{balance: weighted, targets: [{channel: a, weight: 9}, {channel: b}]}]}]
        """,
    ),
    lint_rule(
        "CCX313",
        "group-of-one",
        severity="warning",
        summary="A balanced group has one member.",
        why="""There is nothing to balance, and neither `balance` nor `affinity` does anything. A second member was
        forgotten, or the group is left over.""",
        bad="routes: [{name: r, to: [{balance: round_robin, targets: [main]}]}]",
        good="routes: [{name: r, to: [main]}]",
    ),
    lint_rule(
        "CCX314",
        "weight-without-effect",
        severity="warning",
        summary="A weight is written where nothing looks at it.",
        why="""Weights count within a group that balances by `weighted`, `least_connections`, `least_latency` or
        `least_cost`. In failover order, and with `round_robin` or `priority`, every weight but 0 is the same.""",
        bad="""
        channels: {a: {provider: demo}, b: {provider: demo}}
        routes: [{name: r, to: [{channel: a, weight: 9}, {channel: b, weight: 1}]}]
        """,
        good="""
        channels: {a: {provider: demo}, b: {provider: demo}}
        routes: [{name: r, to: [{balance: weighted, targets: [{channel: a, weight: 9}, {channel: b, weight: 1}]}]}]
        """,
        fix="safe",
    ),
    lint_rule(
        "CCX505",
        "disabled-target",
        severity="info",
        summary="A route names a channel that is disabled.",
        why="It is skipped for every request. That is right for an hour and stale after a month.",
        bad="""
        channels: {a: {provider: demo}, b: {provider: demo, enabled: false}}
        routes: [{name: default, to: [a, b]}]
        """,
        good="""
        channels: {a: {provider: demo}, b: {provider: demo}}
        routes: [{name: default, to: [a, b]}]
        """,
    ),
)
