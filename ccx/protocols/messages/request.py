"""Requests of the Messages API: a client's, read; an upstream's, written.

Law: what is read is never lost (fields without a neutral meaning are residue of the request), and what is written is
legal whatever conversation it came from. The rules of conversations are in `turns`, those of models in `thinking`.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from typing import Final

import msgspec

from ccx.errors import ClientError
from ccx.protocols.cache_control import written
from ccx.protocols.codec import Context, Encoded, NewId, Target
from ccx.protocols.ir import (
    Json,
    JsonObject,
    Loss,
    Message,
    Native,
    Opaque,
    OutputFormat,
    Request,
    Role,
    Sampling,
    Text,
)
from ccx.protocols.messages.blocks import Writer, shortened
from ccx.protocols.messages.models import Traits, traits
from ccx.protocols.messages.naming import tool_names
from ccx.protocols.messages.natives import accepted, made, own, refused
from ccx.protocols.messages.parts import Malformed, Reader
from ccx.protocols.messages.schemas import closed
from ccx.protocols.messages.thinking import Settings, decode_format, decode_thinking, sample, settle
from ccx.protocols.messages.tools import decode_choice, decode_tools, encode_choice, encode_tools
from ccx.protocols.messages.turns import arrange, close, thinks_on
from ccx.protocols.names import Protocol

JSON_TOOL: Final = "json_output"
_BILLING: Final = "x-anthropic-billing-header"
_READ: Final = frozenset(
    {
        "model",
        "stream",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "thinking",
        "output_config",
        "output_format",
        "service_tier",
        "metadata",
    }
)
_TIERS: Final = {"auto": "auto", "standard_only": "default"}
_TIERS_BACK: Final = {"auto": "auto", "default": "standard_only", "standard": "standard_only"}

_dumps = msgspec.json.Encoder().encode


# --- reading ----------------------------------------------------------------------------------------------------------


def decode_request(body: JsonObject, *, model: str, stream: bool) -> Request:
    """A client's request. Raises ClientError 400 with the JSON path in Anthropic's own notation."""
    try:
        return _decoded(body, model=model, stream=stream)
    except Malformed as error:
        raise ClientError(400, "invalid_request", str(error)) from None


def _decoded(body: JsonObject, *, model: str, stream: bool) -> Request:
    raw = body.get("messages")
    if not isinstance(raw, list):
        raise Malformed("messages", "Field required" if raw is None else "Input should be a valid array")
    reader = Reader(sealed=True)
    messages = [*_system(body.get("system"), reader)]
    messages.extend(_message(one, f"messages.{at}", reader) for at, one in enumerate(raw))
    choice, parallel = decode_choice(body.get("tool_choice"))
    thinking, residue = decode_thinking(body.get("thinking"), body.get("output_config"))
    output = decode_format(body.get("output_config"), body.get("output_format"))
    if output is None:
        # A form of output that is not known here goes back where it came from.
        config = residue.get("output_config")
        if isinstance(config, dict) and isinstance(given := body.get("output_config"), dict) and "format" in given:
            config["format"] = given["format"]
        if body.get("output_format") is not None:
            residue["output_format"] = body["output_format"]
    user, rest = _metadata(body.get("metadata"))
    if rest is not None:
        residue["metadata"] = rest
    tier = body.get("service_tier")
    known_tier = _TIERS.get(tier) if isinstance(tier, str) else None
    if tier is not None and known_tier is None:
        residue["service_tier"] = tier
    residue.update((key, value) for key, value in body.items() if key not in _READ)
    return Request(
        model=model,
        messages=tuple(messages),
        tools=decode_tools(body.get("tools")),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        max_output_tokens=_integer(body, "max_tokens"),
        sampling=Sampling(
            temperature=_number(body, "temperature"),
            top_p=_number(body, "top_p"),
            top_k=_integer(body, "top_k"),
            stop=_strings(body, "stop_sequences"),
        ),
        thinking=thinking,
        output=output,
        stream=stream,
        service_tier=known_tier,
        user=user,
        native=made(residue, None),
    )


def _system(raw: Json, reader: Reader) -> list[Message]:
    if raw is None:
        return []
    parts = reader.parts(raw, "system")
    # Claude Code bills by a first block that changes from call to call: for Anthropic it is a header, for every other
    # model noise in the prompt and the end of its cache.
    seen = tuple(
        Opaque(
            _BILLING,
            Native(
                Protocol.MESSAGES, None, {"type": "text", "text": part.text, **own(part.native), **written(part.cache)}
            ),
        )
        if isinstance(part, Text) and part.text.startswith(_BILLING)
        else part
        for part in parts
    )
    return [Message("system", seen)] if seen else []


def _message(raw: Json, path: str, reader: Reader) -> Message:
    if not isinstance(raw, dict):
        raise Malformed(path, "Input should be a valid object")
    role = _role(raw.get("role"), path)
    content = raw.get("content")
    if content is None and role == "system":
        content = []
    if content is None:
        raise Malformed(f"{path}.content", "Field required")
    rest: JsonObject = {}
    if len(raw) > 2:
        rest = {key: value for key, value in raw.items() if key not in ("role", "content")}
    return Message(role, reader.parts(content, f"{path}.content"), made(rest, None))


def _role(raw: Json, path: str) -> Role:
    match raw:
        case "user":
            return "user"
        case "assistant":
            return "assistant"
        case "system":
            return "system"
        case _:
            raise Malformed(f"{path}.role", "Input should be 'user', 'assistant' or 'system'")


def _metadata(raw: Json) -> tuple[str | None, Json]:
    if not isinstance(raw, dict):
        return None, raw
    user = raw.get("user_id")
    known = user is None or isinstance(user, str)
    rest: JsonObject = {key: value for key, value in raw.items() if key != "user_id" or not known}
    return user if isinstance(user, str) else None, rest or None


def _number(body: JsonObject, key: str) -> float | None:
    value = body.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed(key, "Input should be a valid number")
    return value


def _integer(body: JsonObject, key: str) -> int | None:
    value = _number(body, key)
    if isinstance(value, float):
        if not value.is_integer():
            raise Malformed(key, "Input should be a valid integer")
        return int(value)
    return value


def _strings(body: JsonObject, key: str) -> tuple[str, ...]:
    value = body.get(key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise Malformed(key, "Input should be a valid array")
    found = tuple(one for one in value if isinstance(one, str))
    if len(found) != len(value):
        raise Malformed(key, "Input should be an array of strings")
    return found


# --- writing ----------------------------------------------------------------------------------------------------------


def encode_request(request: Request, target: Target, *, new_id: NewId) -> Encoded:
    """The request for an upstream of this protocol, legal for the target's model. No id has to be minted."""
    losses: list[Loss] = []
    model = traits(target.model)
    fields = accepted(request.native, target.issuer)
    losses.extend(refused(request.native, target.issuer, "native"))
    names = tool_names(request)
    tools = encode_tools(request, names, issuer=target.issuer, traits=model, losses=losses)
    choice, tools = encode_choice(request, names, tools, traits=model, losses=losses)
    system, turns = arrange(request.messages, Writer(target, names, losses), model)
    stand_in = _stands_in(request, tools, target, model)
    forced = stand_in or (choice is not None and choice["type"] in ("any", "tool"))
    settings = settle(
        request,
        fields,
        target=target,
        traits=model,
        may_think=not forced and thinks_on(turns),
        losses=losses,
    )
    close(turns, prefill=model.prefill and not settings.thinks, losses=losses)
    if request.output is not None:
        system, format_ = _output(request.output, system, model, stand_in=stand_in, losses=losses)
    else:
        format_ = None
    if stand_in and request.output is not None:
        tools = [{"name": JSON_TOOL, "input_schema": request.output.schema or {"type": "object"}}]
        choice = {"type": "tool", "name": JSON_TOOL}

    payload: JsonObject = {"model": target.model, "max_tokens": settings.max_tokens}
    if system:
        payload["system"] = shortened(system)
    payload["messages"] = [turn.encoded() for turn in turns]
    if tools:
        payload["tools"] = list(tools)
    if choice is not None and tools:
        payload["tool_choice"] = choice
    if settings.thinking is not None:
        payload["thinking"] = settings.thinking
    if (config := _config(fields, settings, format_)) is not None:
        payload["output_config"] = config
    payload.update(sample(request, settings, traits=model, losses=losses))
    payload.update(_about(request, fields, losses))
    payload.update(fields)
    if request.stream:
        payload["stream"] = True
    context = Context(target.issuer, target.model, names.back(), JSON_TOOL if stand_in else None)
    return Encoded(payload, tuple(losses), context)


def _stands_in(request: Request, tools: list[JsonObject], target: Target, model: Traits) -> bool:
    """Whether a tool that must be called stands in for structured output: its arguments are the answer."""
    wanted = request.output is not None and request.output.kind == "json_schema" and not model.json_schema
    thinks = bool(request.thinking.enabled) and target.thinking is not False
    return wanted and model.forced_tools and not tools and not thinks


def _output(
    output: OutputFormat, system: list[JsonObject], model: Traits, *, stand_in: bool, losses: list[Loss]
) -> tuple[list[JsonObject], JsonObject | None]:
    """The system prompt with what must be said in it about the output, and `output_config.format`."""
    if stand_in:
        return system, None
    if output.kind == "json_schema" and output.schema is not None and model.json_schema:
        schema, changed = closed(output.schema)
        if changed:
            losses.append(Loss("output.schema", "json_schema", approximate=True, detail="brought into the subset"))
        if output.name is not None:
            schema = {"title": output.name, **schema}
        if output.description is not None:
            schema = {"description": output.description, **schema}
        return system, {"type": "json_schema", "schema": schema}
    losses.append(Loss("output", "json_schema", approximate=True, detail="told in the system prompt"))
    said = "Answer with a single JSON value and nothing else: no prose, no code fence."
    if output.schema is not None:
        said += f" It must match this JSON Schema: {_dumps(output.schema).decode('utf-8', 'surrogatepass')}"
    return [*system, {"type": "text", "text": said}], None


def _config(fields: JsonObject, settings: Settings, format_: JsonObject | None) -> Json:
    config = fields.pop("output_config", None)
    if config is not None and not isinstance(config, dict):
        return config
    found: JsonObject = dict(config or {})
    if settings.effort is not None:
        found["effort"] = settings.effort
    if format_ is not None:
        found["format"] = format_
    return found or None


def _about(request: Request, fields: JsonObject, losses: list[Loss]) -> JsonObject:
    """Who asks and at which service level; what of it has no place here is a loss."""
    found: JsonObject = {}
    rest = fields.pop("metadata", None)
    if request.user is not None:
        found["metadata"] = {**(rest if isinstance(rest, dict) else {}), "user_id": request.user}
    elif rest is not None:
        found["metadata"] = rest
    if request.metadata:
        losses.append(Loss("metadata", "metadata", detail=", ".join(request.metadata)))
    tier = request.service_tier
    if tier is not None:
        if tier in _TIERS_BACK:
            found["service_tier"] = _TIERS_BACK[tier]
        elif tier == "priority":
            losses.append(Loss("service_tier", "service_tier", approximate=True, detail="priority, if there is any"))
            found["service_tier"] = "auto"
        else:
            losses.append(Loss("service_tier", "service_tier", detail=tier))
    if request.verbosity is not None:
        losses.append(Loss("verbosity", "verbosity"))
    return found
