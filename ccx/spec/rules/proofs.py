"""2xx: what is proven about the routes over all requests that there could be."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, lint_rule

PROOFS: Final[tuple[RuleInfo, ...]] = (
    lint_rule(
        "CCX201",
        "unreachable-route",
        severity="error",
        summary="No request ever reaches a route: earlier ones take all that it asks for.",
        why="""The first match wins. The finding names the routes that stand before it, one of them with another
        outcome if there is one, and a request that the route was meant for. Move it up, or remove it.""",
        bad="""
        channels: {main: {provider: demo}, lab: {provider: demo}}
        routes:
          - {name: claude, when: {model: "claude-*"}, to: [main]}
          - {name: haiku, when: {model: "claude-haiku-*"}, to: [lab]}
          - {name: default, to: [main]}
        """,
        good="""
        channels: {main: {provider: demo}, lab: {provider: demo}}
        routes:
          - {name: haiku, when: {model: "claude-haiku-*"}, to: [lab]}
          - {name: claude, when: {model: "claude-*"}, to: [lab, main]}
          - {name: default, to: [main]}
        """,
    ),
    lint_rule(
        "CCX202",
        "unmatchable-condition",
        severity="error",
        summary="No request can fulfil a route's condition.",
        why="Its parts contradict each other, and all of them have to hold.",
        bad="""
        routes:
          - {name: r, when: {model: "gpt-*", not: {model: ["gpt-*", "o3*"]}}, to: [main]}
          - {name: default, to: [main]}
        """,
        good="""
        channels: {main: {provider: demo}, lab: {provider: demo}}
        routes:
          - {name: r, when: {model: "gpt-*", not: {model: "gpt-*-mini"}}, to: [lab]}
          - {name: default, to: [main]}
        """,
    ),
    lint_rule(
        "CCX203",
        "redundant-route",
        severity="warning",
        summary="Without a route every request would fare the same.",
        why="""Routes below it do the same for all that it takes. It costs the reader's time, and the next change has to
        be made twice.""",
        bad="""
        routes:
          - {name: haiku, when: {model: "claude-haiku-*"}, to: [main]}
          - {name: default, to: [main]}
        """,
        good="routes: [{name: default, to: [main]}]",
        fix="safe",
    ),
    lint_rule(
        "CCX204",
        "routing-gap",
        severity="warning",
        summary="Some requests match no route.",
        why="""They are refused with 404, in words that ccx chose. Say what is to become of them: a last route without
        `when`, one that denies with your own message, or a test that expects `no_route`, which declares that it is
        meant.""",
        bad='routes: [{name: claude, when: {model: "claude-*"}, to: [main]}]',
        good="""
        routes:
          - {name: claude, when: {model: "claude-*"}, to: [main]}
          - {name: others, deny: {status: 404, message: "Only Claude is served here."}}
        """,
    ),
    lint_rule(
        "CCX205",
        "order-sensitive-overlap",
        severity="info",
        summary="Two routes overlap, neither holds the other, and their order decides who takes what both ask for.",
        why="""Often that is what the order is for, so the rule is off unless it is asked for: with
        `--select CCX205`, or `lint: {rules: {CCX205: info}}`. It shows a reviewer which neighbours may not change
        places.""",
        bad="""
        channels: {main: {provider: demo}, lab: {provider: demo}}
        routes:
          - {name: opus, when: {model: "claude-opus-*"}, to: [main]}
          - {name: tools, when: {tools: true}, to: [lab]}
          - {name: default, to: [main]}
        """,
        good="""
        channels: {main: {provider: demo}, lab: {provider: demo}}
        routes:
          - {name: opus, when: {model: "claude-opus-*"}, to: [lab]}
          - {name: default, to: [main]}
        """,
        opt_in=True,
    ),
    lint_rule(
        "CCX206",
        "adjacent-range-gap",
        severity="warning",
        summary="Two ranges of tokens meet, and leave out the one number between them.",
        why="""`< 60k` and `> 60k` both miss a prompt of exactly 60,000 tokens, which then goes where neither of the two
        sends it. Write `>= 60k`.""",
        bad="""
        channels: {main: {provider: demo}, lab: {provider: demo}, spare: {provider: demo}}
        routes:
          - {name: short, when: {input_tokens: "< 60k"}, to: [lab]}
          - {name: long, when: {input_tokens: "> 60k"}, to: [main]}
          - {name: default, to: [spare]}
        """,
        good="""
        channels: {main: {provider: demo}, lab: {provider: demo}, spare: {provider: demo}}
        routes:
          - {name: short, when: {input_tokens: "< 60k"}, to: [lab]}
          - {name: long, when: {input_tokens: ">= 60k"}, to: [main]}
          - {name: default, to: [spare]}
        """,
        fix="unsafe",
    ),
    lint_rule(
        "CCX207",
        "catch-all-not-last",
        severity="error",
        summary="Routes stand below one that takes every request.",
        why="A route without conditions ends the list. What is written below it is never asked.",
        bad="""
        channels: {main: {provider: demo}, lab: {provider: demo}}
        routes:
          - {name: default, to: [main]}
          - {name: haiku, when: {model: "claude-haiku-*"}, to: [lab]}
        """,
        good="""
        channels: {main: {provider: demo}, lab: {provider: demo}}
        routes:
          - {name: haiku, when: {model: "claude-haiku-*"}, to: [lab]}
          - {name: default, to: [main]}
        """,
    ),
    lint_rule(
        "CCX210",
        "route-never-served",
        severity="error",
        summary="A route takes requests, and none of its targets can serve any of them.",
        why="""Each target is skipped: its channel is disabled, or does not allow the models that the route lets in. All
        these requests end in an error.""",
        bad="""
        channels: {main: {provider: demo, models: ["claude-*"]}}
        routes: [{name: gpt, when: {model: "gpt-*"}, to: [main]}, {name: default, deny: {message: "No."}}]
        """,
        good="""
        channels: {main: {provider: demo, models: ["claude-*", "gpt-*"]}}
        routes: [{name: gpt, when: {model: "gpt-*"}, to: [main]}, {name: default, deny: {message: "No."}}]
        """,
    ),
    lint_rule(
        "CCX211",
        "target-never-used",
        severity="warning",
        summary="A target is skipped for every request that its route takes.",
        why="""The channel's `models` and the models that the route lets in have nothing in common. The fallback that
        one believes in is none.""",
        bad="""
        channels: {main: {provider: demo}, lab: {provider: demo, models: ["qwen*"]}}
        routes: [{name: gpt, when: {model: "gpt-*"}, to: [main, lab]}, {name: default, to: [main]}]
        """,
        good="""
        channels: {main: {provider: demo}, lab: {provider: demo, models: {"gpt-*": qwen3}}}
        routes: [{name: gpt, when: {model: "gpt-*"}, to: [main, lab]}, {name: default, to: [main]}]
        """,
    ),
    lint_rule(
        "CCX214",
        "redundant-alternative",
        severity="warning",
        summary="An alternative of `any` lets in nothing that the others do not.",
        why="It is left over, or another one is wider than was meant.",
        bad="""
        channels: {main: {provider: demo}, lab: {provider: demo}}
        routes:
          - {name: r, when: {any: [{model: "gpt-*"}, {model: "gpt-*-mini", tools: true}]}, to: [lab]}
          - {name: default, to: [main]}
        """,
        good="""
        channels: {main: {provider: demo}, lab: {provider: demo}}
        routes:
          - {name: r, when: {any: [{model: "gpt-*"}, {tools: true}]}, to: [lab]}
          - {name: default, to: [main]}
        """,
        fix="safe",
    ),
)
