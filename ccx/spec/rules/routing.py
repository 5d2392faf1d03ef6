"""2xx: routes whose parts contradict each other. The linter's own rules of this family come after them."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, rule

ROUTING: Final[tuple[RuleInfo, ...]] = (
    rule(
        "CCX220",
        "route-without-answer",
        severity="error",
        summary="A route says neither where requests go nor that they are denied.",
        why="A route that matches ends the search; it must say what happens.",
        bad="routes: [{name: opus, when: {model: claude-opus-*}}]",
        good="routes: [{name: opus, when: {model: claude-opus-*}, to: [anthropic]}]",
    ),
    rule(
        "CCX221",
        "route-with-two-answers",
        severity="error",
        summary="A route has both `to` and `deny`.",
        why="A request goes somewhere or is refused.",
        bad="routes: [{name: a, to: [main], deny: {message: no}}]",
        good="routes: [{name: a, deny: {message: no}}]",
    ),
    rule(
        "CCX222",
        "no-target-possible",
        severity="error",
        summary="All weights of a balanced group or of a key pool are zero.",
        why="A weight of zero takes no requests; with all at zero nothing could be chosen.",
        bad="to: [{balance: weighted, targets: [{channel: a, weight: 0}, {channel: b, weight: 0}]}]",
        good="to: [{balance: weighted, targets: [{channel: a, weight: 1}, {channel: b, weight: 0}]}]",
    ),
    rule(
        "CCX223",
        "deny-with-routing",
        severity="warning",
        summary="A route that denies also says how requests are sent.",
        why="Nothing is sent, so the part does nothing.",
        bad="routes: [{name: a, deny: {message: no}, failover: {attempts: 2}}]",
        good="routes: [{name: a, deny: {message: no}}]",
    ),
    rule(
        "CCX224",
        "rename-to-itself",
        severity="warning",
        summary="A channel renames a model to the name it has.",
        why="It does nothing; `null` keeps the name and says so.",
        bad="channels: {a: {provider: demo, models: {m1: m1}}}",
        good="channels: {a: {provider: demo, models: {m1: null}}}",
    ),
    rule(
        "CCX225",
        "model-not-allowed",
        severity="error",
        summary="A target asks its channel for a model that the channel's `models` do not allow.",
        why="The target would be skipped for every request.",
        bad="""
        channels: {a: {provider: demo, models: [claude-*]}}
        routes: [{name: x, to: [{channel: a, model: gpt-5}]}]
        """,
        good="""
        channels: {a: {provider: demo, models: [claude-*, gpt-*]}}
        routes: [{name: x, to: [{channel: a, model: gpt-5}]}]
        """,
    ),
)
