"""Features of how an answer shall be made, each with the smallest request of every protocol that has it.

Sources:
https://platform.claude.com/docs/en/api/messages, https://platform.openai.com/docs/api-reference/chat/create,
https://platform.openai.com/docs/api-reference/responses/create, https://ai.google.dev/api/generate-content.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ccx.protocols.features.plain import SCHEMA, C, G, M, R, Row, asked
from ccx.protocols.ir import Json, JsonObject


def _config(**fields: Json) -> JsonObject:
    return {"generationConfig": dict(fields)}


def _rows() -> Iterator[Row]:
    group = "thinking"
    yield (
        "budget",
        "a budget",
        group,
        "budget reasoning",
        {
            M: {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            G: _config(thinkingConfig={"thinkingBudget": 2048, "includeThoughts": True}),
        },
    )
    yield (
        "effort",
        "an effort or level",
        group,
        "effort reasoning",
        {
            M: {"output_config": {"effort": "low"}},
            C: {"reasoning_effort": "low"},
            R: {"reasoning": {"effort": "low"}},
            G: _config(thinkingConfig={"thinkingLevel": "low"}),
        },
    )
    yield (
        "adaptive",
        "adaptive",
        group,
        "reasoning budget effort",
        {M: {"thinking": {"type": "adaptive"}}, G: _config(thinkingConfig={"thinkingBudget": -1})},
    )
    yield (
        "off",
        "off",
        group,
        "reasoning effort budget",
        {
            M: {"thinking": {"type": "disabled"}},
            C: {"reasoning_effort": "none"},
            R: {"reasoning": {"effort": "none"}},
            G: _config(thinkingConfig={"thinkingBudget": 0}),
        },
    )
    yield (
        "summary",
        "thoughts shall be shown",
        group,
        "reasoning",
        {
            M: {"thinking": {"type": "adaptive", "display": "summarized"}},
            R: {"reasoning": {"summary": "auto"}},
            G: _config(thinkingConfig={"includeThoughts": True}),
        },
    )

    group = "form of the answer"
    yield (
        "json_schema",
        "JSON by a schema",
        group,
        "json_schema",
        {
            M: {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            C: {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "place", "schema": SCHEMA, "strict": True},
                }
            },
            R: {"text": {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}}},
            G: _config(responseMimeType="application/json", responseJsonSchema=SCHEMA),
        },
    )
    yield (
        "json",
        "any JSON",
        group,
        "json_schema",
        {
            C: {"response_format": {"type": "json_object"}},
            R: {"text": {"format": {"type": "json_object"}}},
            G: _config(responseMimeType="application/json"),
        },
    )
    yield (
        "verbosity",
        "verbosity",
        group,
        "verbosity",
        {C: {"verbosity": "low"}, R: {"text": {"verbosity": "low"}}},
    )
    yield (
        "max_tokens",
        "length limit",
        group,
        "max_output_tokens",
        {
            M: {"max_tokens": 777},
            C: {"max_completion_tokens": 777},
            R: {"max_output_tokens": 777},
            G: _config(maxOutputTokens=777),
        },
    )
    yield (
        "stop",
        "stop sequences",
        group,
        "stop",
        {M: {"stop_sequences": ["END"]}, C: {"stop": ["END"]}, G: _config(stopSequences=["END"])},
    )
    yield "candidates", "several answers at once", group, "candidates", {C: {"n": 2}, G: _config(candidateCount=2)}
    yield (
        "logprobs",
        "probabilities of tokens",
        group,
        "logprobs",
        {
            C: {"logprobs": True, "top_logprobs": 2},
            R: {"top_logprobs": 2, "include": ["message.output_text.logprobs"]},
            G: _config(responseLogprobs=True, logprobs=2),
        },
    )

    group = "sampling"
    yield (
        "temperature",
        "temperature",
        group,
        "temperature",
        {M: {"temperature": 0.25}, C: {"temperature": 0.25}, R: {"temperature": 0.25}, G: _config(temperature=0.25)},
    )
    yield (
        "top_p",
        "top_p",
        group,
        "top_p",
        {M: {"top_p": 0.9}, C: {"top_p": 0.9}, R: {"top_p": 0.9}, G: _config(topP=0.9)},
    )
    yield "top_k", "top_k", group, "top_k", {M: {"top_k": 7}, G: _config(topK=7)}
    yield "seed", "seed", group, "seed", {C: {"seed": 4711}, G: _config(seed=4711)}
    yield (
        "penalties",
        "penalties",
        group,
        "penalties",
        {
            C: {"presence_penalty": 0.5, "frequency_penalty": 0.25},
            G: _config(presencePenalty=0.5, frequencyPenalty=0.25),
        },
    )
    yield "logit_bias", "bias of tokens", group, "logit_bias", {C: {"logit_bias": {"50256": -100}}}

    group = "about the request"
    yield (
        "user",
        "end user",
        group,
        "user",
        {M: {"metadata": {"user_id": "u-1"}}, C: {"user": "u-1"}, R: {"user": "u-1"}},
    )
    labels: JsonObject = {"team": "blue"}
    yield "metadata", "labels", group, "metadata", {C: {"metadata": labels}, R: {"metadata": labels}}
    yield (
        "service_tier",
        "service tier",
        group,
        "service_tier",
        {M: {"service_tier": "standard_only"}, C: {"service_tier": "priority"}, R: {"service_tier": "priority"}},
    )
    yield (
        "safety_settings",
        "safety settings",
        group,
        "safety_settings",
        {
            G: {
                "safetySettings": [
                    {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"},
                ]
            }
        },
    )
    yield (
        "context_management",
        "context management by the provider",
        group,
        "context_management",
        {
            M: {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
            R: {"context_management": [{"type": "compaction", "compact_threshold": 100_000}]},
        },
    )


SETTINGS: Final = asked(_rows())
