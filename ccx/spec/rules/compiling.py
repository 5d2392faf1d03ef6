"""What only the compiler can see: addresses that are no base, and targets that speak another protocol."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, rule

COMPILING: Final[tuple[RuleInfo, ...]] = (
    rule(
        "CCX140",
        "bad-base-url",
        severity="error",
        summary="A `base_url` that is not the address of an API.",
        why="""It is the part that all operations share: scheme, host, path and version. ccx adds the operation, and
        the version where none is written. A query, a fragment or the path of one operation would end up in the middle
        of each address.""",
        bad="channels: {lab: {protocol: chat, base_url: http://127.0.0.1:8000/v1/chat/completions, keys: none}}",
        good="channels: {lab: {protocol: chat, base_url: http://127.0.0.1:8000/v1, keys: none}}",
    ),
    rule(
        "CCX141",
        "promotion-ends-first",
        severity="error",
        summary="The `until` of a promotion is not after its `from`.",
        why="The channel would never be promoted; most often the two are swapped, or a year is wrong.",
        bad="channels: {a: {provider: demo, promote: {from: 2030-12-15T00:00Z, until: 2030-12-01T00:00Z}}}",
        good="channels: {a: {provider: demo, promote: {from: 2030-12-01T00:00Z, until: 2030-12-15T00:00Z}}}",
    ),
    rule(
        "CCX208",
        "target-protocol",
        severity="error",
        summary="A target can answer none of the protocols that its route lets in.",
        why="""Conversations (messages, chat, responses, gemini) are converted into one another where a target does not
        speak the client's protocol, and images to Gemini's image models; embeddings are not. A target that could only
        ever be skipped is a mistake, and so is a protocol that a route names and that none of its targets can answer.
        Where a route does not say which protocols it is for, a target is skipped for those it cannot answer.

        A warning is given where a target's model, by `models:` or the catalogue, lacks what every request of the route
        has: images, tools, thinking, or more tokens than its context window.""",
        bad="""
        channels: {claude: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}}
        routes: [{name: pictures, when: {protocol: images}, to: [claude]}]
        """,
        good="""
        channels: {openai: {provider: openai, keys: {env: OPENAI_API_KEY}}}
        routes: [{name: pictures, when: {protocol: images}, to: [openai]}]
        """,
    ),
)
