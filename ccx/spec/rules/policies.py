"""81x: changes to a request that contradict each other, or break it."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, lint_rule

POLICIES: Final[tuple[RuleInfo, ...]] = (
    lint_rule(
        "CCX811",
        "cap-above-limit",
        severity="warning",
        summary="A bound on the answer's length lies above what the models can write at most.",
        why="""A cap above the model's own limit caps nothing. A default or a set value above it is worse: the provider
        refuses the request.""",
        bad="""
        channels: {claude: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}}
        routes:
          - name: r
            to: [{channel: claude, model: claude-haiku-4-5}]
            request: {cap: {max_output_tokens: 200k}}
        """,
        good="""
        channels: {claude: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}}
        routes:
          - name: r
            to: [{channel: claude, model: claude-haiku-4-5}]
            request: {cap: {max_output_tokens: 16k}}
        """,
    ),
    lint_rule(
        "CCX812",
        "value-above-cap",
        severity="warning",
        summary="A default or set length of the answer lies above the cap.",
        why="It is cut to the cap each time, so one of the two numbers is not what happens.",
        bad="""
        routes:
          - name: r
            to: [main]
            request: {cap: {max_output_tokens: 4k}, default: {max_output_tokens: 8000}}
        """,
        good="""
        routes:
          - name: r
            to: [main]
            request: {cap: {max_output_tokens: 8k}, default: {max_output_tokens: 4000}}
        """,
    ),
    lint_rule(
        "CCX813",
        "essential-field",
        severity="error",
        summary="A request policy takes away or overwrites what a request is made of.",
        why="""Without its messages or model a request is refused upstream, each time. With `stream` turned over the
        client gets an answer in a form that it did not ask for. The model is the target's to say.""",
        bad="routes: [{name: r, to: [main], request: {drop: [messages]}}]",
        good="routes: [{name: r, to: [main], request: {drop: [metadata]}}]",
    ),
    lint_rule(
        "CCX814",
        "policy-contradiction",
        severity="warning",
        summary="One request policy says two things of one field.",
        why="""`set` wins over `default` and `drop`, and `default` over `drop`; what loses does nothing and misleads who
        reads it.""",
        bad="routes: [{name: r, to: [main], request: {set: {temperature: 0}, default: {temperature: 1}}}]",
        good="routes: [{name: r, to: [main], request: {set: {temperature: 0}}}]",
        fix="safe",
    ),
    lint_rule(
        "CCX821",
        "cache-shares-chance",
        severity="warning",
        summary="A cache gives every client the answers of any other, also those that are another each time.",
        why="""`scope: shared` is for questions that have one answer. With `when: any` it takes in conversations: what
        the first to ask was told by chance, all others are told as well, for as long as the answer is kept.""",
        bad="""
        channels: {main: {provider: demo}}
        routes: [{name: r, to: [main], cache: {ttl: 10m, scope: shared, when: any}}]
        """,
        good="""
        channels: {main: {provider: demo}}
        routes: [{name: r, to: [main], cache: {ttl: 10m, scope: shared}}]
        """,
    ),
    lint_rule(
        "CCX822",
        "cache-keeps-nothing",
        severity="warning",
        summary="A cache can never keep an answer.",
        why="""Only requests that ask for the same answer each time are kept unless `when: any` says otherwise: not
        those with tools that the provider runs, not images, not thinking of Messages, which takes no `temperature: 0`.
        And nothing is kept where `server.cache_size` is zero.""",
        bad="""
        channels: {main: {provider: demo}}
        routes: [{name: r, when: {server_tools: web_search}, to: [main], cache: {ttl: 10m}}]
        """,
        good="""
        channels: {main: {provider: demo}}
        routes: [{name: r, when: {server_tools: web_search}, to: [main], cache: {ttl: 10m, when: any}}]
        """,
    ),
)
