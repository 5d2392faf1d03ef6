"""1xx, second half: names that refer to nothing, and entries that say too little."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, rule

REFERENCES: Final[tuple[RuleInfo, ...]] = (
    rule(
        "CCX103",
        "unknown-channel",
        severity="error",
        summary="A target names a channel that is not declared.",
        why="The route could never use it.",
        bad="""
        channels: {anthropic: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}}
        routes: [{name: default, to: [antropic]}]
        """,
        good="""
        channels: {anthropic: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}}
        routes: [{name: default, to: [anthropic]}]
        """,
    ),
    rule(
        "CCX119",
        "unknown-provider",
        severity="error",
        summary="A channel names a provider that ccx has no preset for.",
        why="""A preset gives address, protocols and authentication. For an upstream without one write `protocol` and
        `base_url`. `ccx providers` lists the presets.""",
        bad="channels: {main: {provider: anthropik, keys: none}}",
        good="channels: {main: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}}",
    ),
    rule(
        "CCX120",
        "unknown-client",
        severity="warning",
        summary="A condition names a client that is not declared.",
        why="It can never hold, and `not` of it always does.",
        bad="""
        clients: {team-a: {key: {sha256: "..."}}}
        routes: [{name: a, when: {client: team-b}, to: [main]}]
        """,
        good="""
        clients: {team-a: {key: {sha256: "..."}}}
        routes: [{name: a, when: {client: team-a}, to: [main]}]
        """,
    ),
    rule(
        "CCX121",
        "incomplete-channel",
        severity="error",
        summary="A channel has neither a provider nor both a protocol and an address.",
        why="ccx has to know where the upstream is and what it speaks.",
        bad="channels: {lab: {keys: none}}",
        good="channels: {lab: {protocol: chat, base_url: http://127.0.0.1:8000/v1, keys: none}}",
    ),
    rule(
        "CCX122",
        "missing-base-url",
        severity="error",
        summary="The provider has no address of its own and the channel gives none.",
        why="Some providers have one address per customer or per machine.",
        bad="channels: {azure: {provider: azure, keys: {env: AZURE_KEY}}}",
        good="channels: {azure: {provider: azure, base_url: https://example.openai.azure.com, keys: {env: AZURE_KEY}}}",
    ),
    rule(
        "CCX123",
        "missing-keys",
        severity="error",
        summary="The provider asks for a key and the channel does not say which.",
        why="Each request would be refused upstream. `keys: none` says that no key is meant to be sent.",
        bad="channels: {main: {provider: anthropic}}",
        good="channels: {main: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}}",
    ),
    rule(
        "CCX124",
        "unspoken-protocol",
        severity="error",
        summary="The channel declares a protocol that its provider does not speak.",
        why="""Requests would go to addresses that do not exist there. With a `base_url` of your own, ccx believes what
        the channel says.""",
        bad="channels: {main: {provider: anthropic, protocol: gemini, keys: {env: ANTHROPIC_API_KEY}}}",
        good="channels: {main: {provider: anthropic, protocol: messages, keys: {env: ANTHROPIC_API_KEY}}}",
    ),
    rule(
        "CCX125",
        "prefix-conflict",
        severity="error",
        summary="Two channels are served under the same path prefix.",
        why="A path leads to one channel.",
        bad="channels: {a: {provider: demo, prefix: x}, b: {provider: demo, prefix: x}}",
        good="channels: {a: {provider: demo, prefix: a}, b: {provider: demo, prefix: b}}",
    ),
    rule(
        "CCX126",
        "reserved-prefix",
        severity="error",
        summary="A path prefix that is a part of the gateway's own paths.",
        why="`/v1/messages` must mean the same whatever the spec says.",
        bad="channels: {a: {provider: demo, prefix: v1}}",
        good="channels: {a: {provider: demo, prefix: lab}}",
    ),
    rule(
        "CCX127",
        "unknown-lint-rule",
        severity="warning",
        summary="A severity is set for a rule that this ccx does not have, or that has to be an error.",
        why="""The setting does nothing. It may be a misprint, or a rule of a later ccx. What leaves no spec to speak of
        is an error whatever one says.""",
        bad="lint: {rules: {CCX999: off}}",
        good='lint: {rules: {CCX120: "off"}}',
    ),
    rule(
        "CCX128",
        "bad-port",
        severity="error",
        summary="A port outside 0 to 65535.",
        why="No such port exists.",
        bad="server: {listen: 127.0.0.1:99999}",
        good="server: {listen: 127.0.0.1:3000}",
    ),
    rule(
        "CCX129",
        "unknown-route",
        severity="error",
        summary="A test expects a route that does not exist.",
        why="The test could never pass.",
        bad="""
        routes: [{name: default, to: [main]}]
        tests: [{name: t, request: {model: m}, expect: {route: defualt}}]
        """,
        good="""
        routes: [{name: default, to: [main]}]
        tests: [{name: t, request: {model: m}, expect: {route: default}}]
        """,
    ),
)
