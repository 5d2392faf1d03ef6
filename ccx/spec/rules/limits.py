"""7xx: limits and budgets that limit nothing, or everything."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, lint_rule

_TEAM: Final = 'key: {sha256: "6d21164477a9c73e31be668f4b7a43ac4facb88e86af815d2e8c9604419b69d4"}'
_OPS: Final = 'key: {sha256: "5a50774b80520af57df6890d2dcde401a066de76d2d9fa5f17c200cd0a0711f7"}'

LIMITS: Final[tuple[RuleInfo, ...]] = (
    lint_rule(
        "CCX701",
        "client-without-limit",
        severity="info",
        summary="A client has neither limits nor a budget, alone or in a group, where other clients do.",
        why="The one without can take what the limits of the others were to leave for everybody.",
        bad=f"""
        clients:
          team: {{{_TEAM}, limits: {{requests: 600/min}}}}
          ops: {{{_OPS}}}
        """,
        good=f"""
        clients:
          team: {{{_TEAM}, limits: {{requests: 600/min}}}}
          ops: {{{_OPS}, limits: {{requests: 6k/min}}}}
        """,
    ),
    lint_rule(
        "CCX702",
        "keys-below-channel",
        severity="warning",
        summary="The limits of a channel's keys add up to less than the limit of the channel.",
        why="The channel's own limit is never reached: the keys are used up first. One of the numbers is stale.",
        bad="""
        channels:
          main:
            provider: openai
            keys: [{env: KEY_A, limits: {requests: 50/min}}, {env: KEY_B, limits: {requests: 50/min}}]
            limits: {requests: 500/min}
        """,
        good="""
        channels:
          main:
            provider: openai
            keys: [{env: KEY_A, limits: {requests: 300/min}}, {env: KEY_B, limits: {requests: 300/min}}]
            limits: {requests: 500/min}
        """,
    ),
    lint_rule(
        "CCX703",
        "budget-without-price",
        severity="warning",
        summary="A client with a budget can reach a model that has no price.",
        why="""What such a request costs is not known, so it costs the budget nothing. Write the price under `models`.
        Upstreams without keys are taken to be your own and free.""",
        bad=f"""
        channels: {{main: {{protocol: chat, base_url: https://llm.example.com/v1, keys: {{env: KEY}}}}}}
        clients: {{team: {{{_TEAM}, budget: {{usd: 100}}}}}}
        routes: [{{name: r, to: [{{channel: main, model: house-model}}]}}]
        """,
        good=f"""
        channels: {{main: {{protocol: chat, base_url: https://llm.example.com/v1, keys: {{env: KEY}}}}}}
        clients: {{team: {{{_TEAM}, budget: {{usd: 100}}}}}}
        models: {{house-model: {{price: {{input: 0.50, output: 1.50}}}}}}
        routes: [{{name: r, to: [{{channel: main, model: house-model}}]}}]
        """,
    ),
    lint_rule(
        "CCX704",
        "concurrency-above-server",
        severity="warning",
        summary="A limit on concurrency lies above that of the whole server.",
        why="The server refuses first, so this limit is never met.",
        bad="""
        server: {max_concurrency: 100}
        channels: {main: {provider: demo, limits: {concurrency: 200}}}
        """,
        good="""
        server: {max_concurrency: 1000}
        channels: {main: {provider: demo, limits: {concurrency: 200}}}
        """,
    ),
    lint_rule(
        "CCX705",
        "zero-limit",
        severity="warning",
        summary="A limit or budget of zero lets nothing through.",
        why="If that is meant, `enabled: false` says it; if a number got lost, everything is refused.",
        bad=f"clients: {{team: {{{_TEAM}, limits: {{requests: 0/min}}}}}}",
        good=f"clients: {{team: {{{_TEAM}, enabled: false}}}}",
    ),
    lint_rule(
        "CCX706",
        "limit-never-met",
        severity="warning",
        summary="Of two windows of one limit, one can never be met because of the other.",
        why="""Ten a second are at most 600 a minute, so a limit of 1,000 a minute beside it does nothing; one of
        1,000 a second does nothing beside one of 600 a minute.""",
        bad=f"clients: {{team: {{{_TEAM}, limits: {{requests: [10/s, 1000/min]}}}}}}",
        good=f"clients: {{team: {{{_TEAM}, limits: {{requests: [10/s, 300/min]}}}}}}",
    ),
    lint_rule(
        "CCX707",
        "group-limits-nobody",
        severity="warning",
        summary="A group has no clients, or has neither limits nor a budget.",
        why="Nobody is held to it. A name or a tag is misspelt, or what it was to limit got lost.",
        bad=f"""
        clients: {{ci: {{{_TEAM}, tags: {{team: core}}}}}}
        groups: {{core: {{when: {{tag: {{team: cor}}}}, budget: {{usd: 500}}}}}}
        """,
        good=f"""
        clients: {{ci: {{{_TEAM}, tags: {{team: core}}}}}}
        groups: {{core: {{when: {{tag: {{team: core}}}}, budget: {{usd: 500}}}}}}
        """,
    ),
    lint_rule(
        "CCX708",
        "budget-above-group",
        severity="info",
        summary="A client may spend more than a group that it belongs to.",
        why="The group's budget is spent first, so the client's own is never met. One of the numbers is stale.",
        bad=f"""
        clients: {{ci: {{{_TEAM}, tags: {{team: core}}, budget: {{usd: 900}}}}}}
        groups: {{core: {{when: {{tag: {{team: core}}}}, budget: {{usd: 500}}}}}}
        """,
        good=f"""
        clients: {{ci: {{{_TEAM}, tags: {{team: core}}, budget: {{usd: 200}}}}}}
        groups: {{core: {{when: {{tag: {{team: core}}}}, budget: {{usd: 500}}}}}}
        """,
    ),
    lint_rule(
        "CCX709",
        "queue-without-limit",
        severity="warning",
        summary="A channel with a queue has no limit, and neither has any of its keys.",
        why="""Requests wait where a declared limit is met. What the provider itself limits is not known before it
        refuses, so here nobody ever waits.""",
        bad="channels: {main: {provider: demo, queue: {wait: 10s}}}",
        good="channels: {main: {provider: demo, limits: {concurrency: 20}, queue: {wait: 10s}}}",
    ),
    lint_rule(
        "CCX710",
        "queue-outlasts-deadline",
        severity="warning",
        summary="A queue lets requests wait for longer than any route that uses its channel lets them live.",
        why="""The wait ends with the route's `failover.deadline`, and who is let in at its end has no time left for an
        answer. One of the numbers is stale.""",
        bad="""
        channels: {main: {provider: demo, limits: {concurrency: 20}, queue: {wait: 60s}}}
        routes: [{name: all, to: [main], failover: {deadline: 30s}}]
        """,
        good="""
        channels: {main: {provider: demo, limits: {concurrency: 20}, queue: {wait: 10s}}}
        routes: [{name: all, to: [main], failover: {deadline: 30s}}]
        """,
    ),
    lint_rule(
        "CCX711",
        "limit-of-alias",
        severity="warning",
        summary="A model's limits are written under a name that only clients use.",
        why="""The limits of a model are held for the name that upstreams are asked for, over all channels, for that is
        what a provider counts. Under an alias they hold for nothing.""",
        bad="""
        channels: {main: {provider: demo, models: {fast: demo-mini}}}
        models: {fast: {limits: {requests: 50/min}}}
        """,
        good="""
        channels: {main: {provider: demo, models: {fast: demo-mini}}}
        models: {demo-mini: {limits: {requests: 50/min}}}
        """,
    ),
)
