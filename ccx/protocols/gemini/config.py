"""`generationConfig`: sampling, the answer's length and form, and what only Gemini knows.

Law: known fields become neutral ones; the others are residue of the request under their own names, unknown ones under
`generationConfig`, so that they are put back where they were.

Source: https://ai.google.dev/api/generate-content#generationconfig
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ccx.protocols.codec import Target
from ccx.protocols.gemini.models import Traits
from ccx.protocols.gemini.schemas import cleaned, json_schema
from ccx.protocols.gemini.spelling import Malformed, integer
from ccx.protocols.gemini.thinking import decode_thinking, encode_thinking
from ccx.protocols.ir import Json, JsonObject, Loss, OutputFormat, Request, Sampling, Thinking

MAX_STOPS: Final = 5
_SCHEMAS: Final = ("responseJsonSchema", "_responseJsonSchema", "responseSchema")
_READ: Final = frozenset(
    {
        "maxOutputTokens",
        "temperature",
        "topP",
        "topK",
        "seed",
        "stopSequences",
        "candidateCount",
        "presencePenalty",
        "frequencyPenalty",
        "thinkingConfig",
        "responseMimeType",
        *_SCHEMAS,
    }
)
# Fields that stay residue, by their own names, so that a loss of one is named for what it is.
_NATIVE: Final = frozenset(
    {
        "responseModalities",
        "responseLogprobs",
        "logprobs",
        "speechConfig",
        "mediaResolution",
        "imageConfig",
        "audioTimestamp",
        "enableEnhancedCivicAnswers",
        "enableAffectiveDialog",
        "routingConfig",
        "modelSelectionConfig",
        "translationConfig",
        "modelConfig",
        "responseFormat",
        "responseMimeType",
        *_SCHEMAS,
    }
)


@dataclass(frozen=True, slots=True)
class Config:
    """What a generation config says. `residue` is what of it has no neutral meaning."""

    max_output_tokens: int | None
    sampling: Sampling
    thinking: Thinking
    output: OutputFormat | None
    residue: JsonObject


def decode_config(raw: Json) -> Config:
    """A client's generation config. Raises Malformed."""
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise Malformed("generation_config", "Invalid value: an object was expected")
    thinking, unknown = decode_thinking(raw.get("thinkingConfig"))
    residue: JsonObject = {"thinkingConfig": unknown} if unknown else {}
    output, kept = _output(raw)
    residue.update(kept)
    nested: JsonObject = {}
    for key, value in raw.items():
        if key in _READ or value is None:
            continue
        if key in _NATIVE:
            residue[key] = value
        else:
            nested[key] = value
    if nested:
        residue["generationConfig"] = nested
    sampling = Sampling(
        temperature=_number(raw, "temperature"),
        top_p=_number(raw, "topP"),
        top_k=_integer(raw, "topK"),
        seed=_integer(raw, "seed"),
        presence_penalty=_number(raw, "presencePenalty"),
        frequency_penalty=_number(raw, "frequencyPenalty"),
        stop=_strings(raw, "stopSequences"),
        candidates=_integer(raw, "candidateCount"),
    )
    return Config(_integer(raw, "maxOutputTokens"), sampling, thinking, output, residue)


def _output(raw: JsonObject) -> tuple[OutputFormat | None, JsonObject]:
    """The form of the output, or the fields that say it where it is none that others know (an enum as plain text)."""
    type_ = raw.get("responseMimeType")
    schema = next((one for key in _SCHEMAS if isinstance(one := raw.get(key), dict)), None)
    if type_ in (None, "", "application/json") and schema is not None:
        return OutputFormat("json_schema", json_schema(schema)), {}
    if type_ == "application/json":
        return OutputFormat("json"), {}
    if type_ in (None, "", "text/plain") and schema is None:
        return None, {}
    return None, {key: raw[key] for key in ("responseMimeType", *_SCHEMAS) if raw.get(key) is not None}


def _number(raw: JsonObject, key: str) -> float | None:
    value = raw.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed(f"generation_config.{key}", f"Invalid value ({value!r}): a number was expected")
    return value


def _integer(raw: JsonObject, key: str) -> int | None:
    value = raw.get(key)
    found = integer(value)
    if value is not None and found is None:
        if isinstance(value, float) and key == "topK":
            return round(value)
        raise Malformed(f"generation_config.{key}", f"Invalid value ({value!r}): an integer was expected")
    return found


def _strings(raw: JsonObject, key: str) -> tuple[str, ...]:
    value = raw.get(key)
    if value is None:
        return ()
    items = value if isinstance(value, list) else [value]
    found = tuple(one for one in items if isinstance(one, str))
    if len(found) != len(items):
        raise Malformed(f"generation_config.{key}", "Invalid value: a list of strings was expected")
    return found


# --- writing ----------------------------------------------------------------------------------------------------------


def encode_config(
    request: Request, fields: JsonObject, target: Target, *, traits: Traits, losses: list[Loss]
) -> JsonObject:
    """The generation config. `fields` is residue of the request that may be sent; what belongs here is taken out."""
    given = request.sampling
    found: JsonObject = {}
    limit, asked = target.max_output_tokens, request.max_output_tokens
    if asked is not None:
        if limit is not None and asked > limit:
            losses.append(
                Loss("max_output_tokens", "max_output_tokens", approximate=True, detail=f"{asked} -> {limit}")
            )
            asked = limit
        found["maxOutputTokens"] = asked
    plain: tuple[tuple[str, Json], ...] = (
        ("temperature", given.temperature),
        ("topP", given.top_p),
        ("topK", given.top_k),
        ("seed", given.seed),
        ("presencePenalty", given.presence_penalty),
        ("frequencyPenalty", given.frequency_penalty),
        ("candidateCount", given.candidates),
    )
    found.update((key, value) for key, value in plain if value is not None)
    stops = [one for one in given.stop if one]
    if len(stops) > MAX_STOPS or len(stops) != len(given.stop):
        losses.append(Loss("sampling.stop", "stop", detail=f"of {len(given.stop)}, {min(len(stops), MAX_STOPS)} sent"))
    if stops:
        found["stopSequences"] = list(stops[:MAX_STOPS])
    if given.logprobs is not None:
        # Few models take them, and an answer's would mean nothing to whoever asked in another protocol.
        losses.append(Loss("sampling.logprobs", "logprobs"))
    thinking = encode_thinking(request.thinking, target, traits, losses)
    unknown = fields.pop("thinkingConfig", None)
    if isinstance(unknown, dict):
        thinking.update(unknown)
    if thinking:
        found["thinkingConfig"] = thinking
    if request.output is not None:
        found.update(_format(request.output, losses))
    found.update((key, fields.pop(key)) for key in _NATIVE & fields.keys())
    nested = fields.pop("generationConfig", None)
    if isinstance(nested, dict):
        found.update(nested)
    return found


def _format(output: OutputFormat, losses: list[Loss]) -> JsonObject:
    found: JsonObject = {"responseMimeType": "application/json"}
    if output.schema is not None:
        schema, told = cleaned(output.schema)
        losses.extend(Loss("output.schema", f"schema:{keyword}", approximate=True) for keyword in told)
        if output.name is not None and "title" not in schema:
            schema = {"title": output.name, **schema}
        if output.description is not None and "description" not in schema:
            schema = {"description": output.description, **schema}
        found["responseJsonSchema"] = schema
    return found
