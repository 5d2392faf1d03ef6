"""5xx: what is left over, and what is about to end."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, lint_rule

_KEY: Final = 'key: {sha256: "6d21164477a9c73e31be668f4b7a43ac4facb88e86af815d2e8c9604419b69d4"}'

AGING: Final[tuple[RuleInfo, ...]] = (
    lint_rule(
        "CCX512",
        "promotion-past",
        severity="warning",
        summary="The time in which a channel is promoted is over.",
        why="It does nothing any more, and who reads it may take it for the order that holds.",
        bad="""
        channels:
          main: {provider: demo}
          spare: {provider: demo, promote: {until: 2026-01-31T00:00Z}}
        routes: [{name: default, to: [main, spare]}]
        """,
        good="""
        channels: {main: {provider: demo}, spare: {provider: demo}}
        routes: [{name: default, to: [main, spare]}]
        """,
    ),
    lint_rule(
        "CCX502",
        "deprecated-field",
        severity="info",
        summary="A field is used that a later version of ccx will no longer read.",
        why="""The message says what is written instead and how long there is time. `ccx migrate` writes it where the
        field belongs to an older version of the language.""",
        bad="""
        version: ccx/v1alpha1
        upstreams: {main: {provider: demo}}
        rules: [{name: default, match: {model: demo-*}, target: main}]
        """,
        good="""
        version: ccx/v1
        channels: {main: {provider: demo}}
        routes: [{name: default, when: {model: demo-*}, to: [main]}]
        """,
    ),
    lint_rule(
        "CCX503",
        "unused-channel",
        severity="warning",
        summary="No route leads to a channel.",
        why="""It is left over, or its route was forgotten. Where callers may still ask for it by name
        (`channel/model`) it is told as information.""",
        bad="""
        server: {direct: false}
        channels: {main: {provider: demo}, old: {provider: demo}}
        routes: [{name: default, to: [main]}]
        """,
        good="""
        server: {direct: false}
        channels: {main: {provider: demo}, spare: {provider: demo}}
        routes: [{name: default, to: [main, spare]}]
        """,
    ),
    lint_rule(
        "CCX504",
        "unused-model",
        severity="warning",
        summary="Something is said under `models` of a model that no channel can be asked for.",
        why="""A price or a window written for a name that never goes upstream has no effect. Entries are by the name
        that the upstream is asked for, after renaming.""",
        bad="""
        channels: {main: {provider: demo, models: {fast: demo-1}}}
        models: {fast: {context_window: 32k}}
        """,
        good="""
        channels: {main: {provider: demo, models: {fast: demo-1}}}
        models: {demo-1: {context_window: 32k}}
        """,
    ),
    lint_rule(
        "CCX506",
        "expired-client",
        severity="warning",
        summary="A client's last day is past.",
        why="Its key is refused. Remove the client, or give it another day and a new key.",
        bad=f"clients: {{team: {{{_KEY}, expires: 2020-12-31}}}}",
        good=f"clients: {{team: {{{_KEY}, expires: 2099-12-31}}}}",
    ),
    lint_rule(
        "CCX507",
        "expiring-client",
        severity="info",
        summary="A client's last day is within 30 days.",
        why="""Rotate in time: two keys may be valid at once. A day that is near today's date is not in this example,
        which has to hold for ever.""",
        bad=f"clients: {{team: {{{_KEY}, expires: 2099-01-01}}}}  # on 2098-12-20",
        good=f"clients: {{team: {{{_KEY}, expires: 2099-12-31}}}}",
    ),
    lint_rule(
        "CCX508",
        "retired-model",
        severity="warning",
        summary="A model that the spec names is no longer served by its provider.",
        why="""By the catalogue's date requests to it fail. If your contract says otherwise, ignore it with that
        reason.""",
        bad="""
        channels: {claude: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}}
        routes: [{name: r, to: [{channel: claude, model: claude-opus-4}]}]
        """,
        good="""
        channels: {claude: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}}
        routes: [{name: r, to: [{channel: claude, model: claude-opus-5}]}]
        """,
    ),
    lint_rule(
        "CCX509",
        "unknown-tag",
        severity="warning",
        summary="A condition asks for a tag, or a value of it, that no client has.",
        why="Tags come from the declared clients alone. The condition can never hold, and `not` of it always does.",
        bad=f"""
        clients: {{team: {{{_KEY}, tags: {{department: core}}}}}}
        routes:
          - {{name: a, when: {{tag: {{departement: core}}}}, to: [main]}}
          - {{name: default, to: [main]}}
        """,
        good=f"""
        clients: {{team: {{{_KEY}, tags: {{department: core}}}}}}
        routes:
          - {{name: a, when: {{tag: {{department: core}}}}, to: [main]}}
          - {{name: default, to: [main]}}
        """,
        fix="unsafe",
    ),
    lint_rule(
        "CCX511",
        "deprecated-model",
        severity="info",
        summary="The provider has announced the end of a model that the spec names.",
        why="There is a day on which requests to it begin to fail; the message names it where it is known.",
        bad="""
        channels: {openai: {provider: openai, keys: {env: OPENAI_API_KEY}}}
        routes: [{name: r, to: [{channel: openai, model: gpt-4.1}]}]
        """,
        good="""
        channels: {openai: {provider: openai, keys: {env: OPENAI_API_KEY}}}
        routes: [{name: r, to: [{channel: openai, model: gpt-5.4}]}]
        """,
    ),
)
