"""8xx, and what belongs to it in older families: what models can do, by the catalogue and the spec's own `models`."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, lint_rule

CAPABILITY: Final[tuple[RuleInfo, ...]] = (
    lint_rule(
        "CCX209",
        "range-exceeds-window",
        severity="warning",
        summary="A route is for prompts up to a size that none of its targets can take.",
        why="""The upper end of its range lies above the largest context window, so that the longest prompts it asks for
        are refused upstream. Targets that cannot take even the shortest are CCX208.""",
        bad="""
        channels: {claude: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}}
        routes: [{name: long, when: {input_tokens: 60k..400k}, to: [{channel: claude, model: claude-haiku-4-5}]}]
        """,
        good="""
        channels: {claude: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}}
        routes: [{name: long, when: {input_tokens: 60k..180k}, to: [{channel: claude, model: claude-haiku-4-5}]}]
        """,
    ),
    lint_rule(
        "CCX304",
        "fallback-drops-capability",
        severity="warning",
        summary="A target further down the failover order lacks an ability that the first one has.",
        why="""When the first target is down, requests with tools, images or thinking go to a model that cannot handle
        them. Route such requests by themselves, or choose a fallback that can.""",
        bad="""
        channels: {claude: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}, lab: {provider: demo}}
        models: {small: {tools: false, thinking: false, vision: false}}
        routes: [{name: r, to: [{channel: claude, model: claude-opus-4-8}, {channel: lab, model: small}]}]
        """,
        good="""
        channels: {claude: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}, lab: {provider: demo}}
        models: {small: {tools: true, thinking: true, vision: true}}
        routes: [{name: r, to: [{channel: claude, model: claude-opus-4-8}, {channel: lab, model: small}]}]
        """,
    ),
    lint_rule(
        "CCX307",
        "fallback-smaller-window",
        severity="info",
        summary="A target further down the failover order has a much smaller context window than the first.",
        why="""It is told of where the window has less than three quarters of the first one's. Prompts that only the
        first can take have no fallback, and learn that from an error. Bound the route by `input_tokens` if long prompts
        are to go elsewhere.""",
        bad="""
        channels: {claude: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}, lab: {provider: demo}}
        models: {small: {context_window: 32k}}
        routes: [{name: r, to: [{channel: claude, model: claude-opus-4-8}, {channel: lab, model: small}]}]
        """,
        good="""
        channels: {claude: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}, lab: {provider: demo}}
        models: {small: {context_window: 32k}}
        routes:
          - name: r
            when: {input_tokens: "< 30k"}
            to: [{channel: claude, model: claude-opus-4-8}, {channel: lab, model: small}]
        """,
    ),
    lint_rule(
        "CCX801",
        "misspelt-model",
        severity="warning",
        summary="A provider does not have this model, and one with nearly that name.",
        why="""Every request to it would be refused as unknown. Names that resemble nothing are let be: the catalogue
        does not know every model.""",
        bad="""
        channels: {claude: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}}
        routes: [{name: r, to: [{channel: claude, model: claude-sonet-4-5}]}]
        """,
        good="""
        channels: {claude: {provider: anthropic, keys: {env: ANTHROPIC_API_KEY}}}
        routes: [{name: r, to: [{channel: claude, model: claude-sonnet-4-5}]}]
        """,
        fix="unsafe",
    ),
    lint_rule(
        "CCX802",
        "wrong-kind-of-model",
        severity="warning",
        summary="A route sends images, embeddings or conversations to a model of another kind.",
        why="A model that writes text draws no images and computes no embeddings. The provider would refuse.",
        bad="""
        channels: {openai: {provider: openai, keys: {env: OPENAI_API_KEY}}}
        routes: [{name: r, when: {protocol: images}, to: [{channel: openai, model: gpt-5.4}]}]
        """,
        good="""
        channels: {openai: {provider: openai, keys: {env: OPENAI_API_KEY}}}
        routes: [{name: r, when: {protocol: images}, to: [{channel: openai, model: gpt-image-2}]}]
        """,
    ),
)
