"""3xx: failover that does not do what it seems to."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, lint_rule

FAILOVER: Final[tuple[RuleInfo, ...]] = (
    lint_rule(
        "CCX302",
        "single-target",
        severity="info",
        summary="A route has one target, where other routes of the spec have several.",
        why="""When that channel is down, so is the route. Often that is meant: background work, models of one vendor.
        So the rule is off unless it is asked for: with `--select CCX302`, or `lint: {rules: {CCX302: info}}`.""",
        bad="""
        channels: {a: {provider: demo}, b: {provider: demo}}
        routes:
          - {name: opus, when: {model: claude-opus-*}, to: [a]}
          - {name: default, to: [a, b]}
        """,
        good="""
        channels: {a: {provider: demo}, b: {provider: demo}}
        routes:
          - {name: opus, when: {model: claude-opus-*}, to: [a, b]}
          - {name: default, to: [b, a]}
        """,
        opt_in=True,
    ),
    lint_rule(
        "CCX303",
        "same-failure-domain",
        severity="warning",
        summary="All targets of a route are the same upstream with the same key and model.",
        why="""What takes the first one down takes the others down too: an outage, a revoked key, an empty account. The
        fallback only spends time.""",
        bad="""
        channels:
          a: {provider: openai, keys: {env: OPENAI_API_KEY}}
          b: {provider: openai, keys: {env: OPENAI_API_KEY}}
        routes: [{name: default, to: [a, b]}]
        """,
        good="""
        channels:
          a: {provider: openai, keys: {env: OPENAI_API_KEY}}
          b: {provider: azure, base_url: https://example.openai.azure.com, keys: {env: AZURE_KEY}}
        routes: [{name: default, to: [a, b]}]
        """,
    ),
    lint_rule(
        "CCX308",
        "attempts-below-targets",
        severity="warning",
        summary="A route allows fewer attempts than it has targets.",
        why="The last targets are never asked, however many fail before them. Three attempts are the default.",
        bad="""
        channels: {a: {provider: demo}, b: {provider: demo}, c: {provider: demo}}
        routes: [{name: r, to: [a, b, c], failover: {attempts: 2}}]
        """,
        good="""
        channels: {a: {provider: demo}, b: {provider: demo}, c: {provider: demo}}
        routes: [{name: r, to: [a, b, c], failover: {attempts: 3}}]
        """,
        fix="unsafe",
    ),
    lint_rule(
        "CCX309",
        "deadline-below-first-byte",
        severity="warning",
        summary="A route's deadline is no longer than its first target may stay silent.",
        why="""A first target that hangs uses up all the time there is: `deadline` counts for all attempts together, and
        nothing is left for the next one.""",
        bad="""
        channels: {a: {provider: demo, timeouts: {first_byte: 60s}}, b: {provider: demo}}
        routes: [{name: r, to: [a, b], failover: {deadline: 45s}}]
        """,
        good="""
        channels: {a: {provider: demo, timeouts: {first_byte: 20s}}, b: {provider: demo}}
        routes: [{name: r, to: [a, b], failover: {deadline: 45s}}]
        """,
    ),
    lint_rule(
        "CCX310",
        "failover-on-refusal",
        severity="warning",
        summary="Failover is asked for where another target would answer the same, or should not be asked.",
        why="""A bad request is bad everywhere: each target refuses it in turn, and the client waits for all of them. An
        answer that a content filter stopped is a decision; to ask another provider until one agrees is a policy that
        wants a reason (told as information).""",
        bad="""
        channels: {a: {provider: demo}, b: {provider: demo}}
        routes: [{name: r, to: [a, b], failover: {on: [connect, timeout, bad_request]}}]
        """,
        good="""
        channels: {a: {provider: demo}, b: {provider: demo}}
        routes: [{name: r, to: [a, b], failover: {on: [connect, timeout]}}]
        """,
        fix="unsafe",
    ),
    lint_rule(
        "CCX311",
        "backoff-never",
        severity="warning",
        summary="A wait between attempts is longer than there is time, or than its own maximum.",
        why="""A target is asked again only if its wait ends before the deadline. A first wait that is longer than that
        means no second attempt; one above `max` is cut to it.""",
        bad="routes: [{name: r, to: [main], failover: {deadline: 10s, backoff: {initial: 15s, max: 20s}}}]",
        good="routes: [{name: r, to: [main], failover: {deadline: 10s, backoff: {initial: 200ms, max: 2s}}}]",
    ),
    lint_rule(
        "CCX312",
        "failover-never",
        severity="warning",
        summary="A route has several targets, and no failure on which the next one is asked.",
        why="With an empty `on` every failure stands. The other targets are never asked.",
        bad="""
        channels: {a: {provider: demo}, b: {provider: demo}}
        routes: [{name: r, to: [a, b], failover: {on: []}}]
        """,
        good="""
        channels: {a: {provider: demo}, b: {provider: demo}}
        routes: [{name: r, to: [a, b], failover: {on: [connect, timeout, server_error]}}]
        """,
    ),
    lint_rule(
        "CCX315",
        "timeout-never-reached",
        severity="warning",
        summary="A time limit is longer than `total`, which ends the attempt before.",
        why="One of the two numbers is not what happens.",
        bad="channels: {main: {provider: demo, timeouts: {first_byte: 2m, total: 60s}}}",
        good="channels: {main: {provider: demo, timeouts: {first_byte: 30s, total: 5m}}}",
    ),
    lint_rule(
        "CCX316",
        "breaker-contradiction",
        severity="warning",
        summary="A breaker's longest pause is shorter than its first.",
        why="The pause starts at `open` and doubles up to `max_open`; with the two turned around neither holds.",
        bad="channels: {main: {provider: demo, breaker: {open: 5m, max_open: 1m}}}",
        good="channels: {main: {provider: demo, breaker: {open: 30s, max_open: 10m}}}",
    ),
    lint_rule(
        "CCX317",
        "promoted-together",
        severity="info",
        summary="Two channels that share a step of a route are promoted at the same time.",
        why="""Both go first, and share the load as they did before. That may be meant, for other routes; if one of them
        was to go before the other, one of the two periods is left over.""",
        bad="""
        channels:
          a: {provider: demo, promote: {until: 2099-02-01T00:00Z}}
          b: {provider: demo, promote: {until: 2099-03-01T00:00Z}}
        routes: [{name: default, to: [{balance: weighted, targets: [a, b]}]}]
        """,
        good="""
        channels:
          a: {provider: demo, promote: {until: 2099-02-01T00:00Z}}
          b: {provider: demo, promote: {from: 2099-02-01T00:00Z, until: 2099-03-01T00:00Z}}
        routes: [{name: default, to: [{balance: weighted, targets: [a, b]}]}]
        """,
    ),
    lint_rule(
        "CCX318",
        "continue-never",
        severity="warning",
        summary="A route asks for streams to be continued where none ever is.",
        why="""Who goes on with an answer that broke off is asked by the rules of failover: after the only attempt it is
        nobody, and a class of failure that is not in `on` ends the answer. Only conversations that are streamed have
        a middle.""",
        bad="""
        channels: {a: {provider: demo}, b: {provider: demo}}
        routes: [{name: r, to: [a, b], failover: {midstream: continue, on: [connect, rate_limit]}}]
        """,
        good="""
        channels: {a: {provider: demo}, b: {provider: demo}}
        routes: [{name: r, to: [a, b], failover: {midstream: continue}}]
        """,
    ),
)
