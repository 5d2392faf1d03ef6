"""A request, written for an upstream that speaks Responses.

Law
- What differs from vendor to vendor is read from the dialect's row; a field that the vendor refuses is left out and
  named.
- Leading system messages become `instructions`; later ones stay where they are, as a developer's words where the
  vendor knows developers. A client of this protocol says itself where its words go.
- Other clients hold the conversation themselves: nothing is stored for them, and encrypted thoughts are asked for, so
  that they can be given back with the next turn.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec

from ccx.protocols import cache_control
from ccx.protocols.codec import Context, Encoded, NewId, Target
from ccx.protocols.ir import Json, JsonObject, Loss, Message, OutputFormat, Request, Sampling, Text, Thinking
from ccx.protocols.names import Protocol
from ccx.protocols.responses.history import History
from ccx.protocols.responses.reading import Audience
from ccx.protocols.responses.request import LOGPROBS
from ccx.protocols.responses.tools import write_choice, write_tools
from ccx.protocols.tool_names import GivenNames
from ccx.protocols.values import record, text

ENCRYPTED: Final = "reasoning.encrypted_content"
MIN_OUTPUT_TOKENS: Final = 16
"""The least that OpenAI takes."""

_RANK: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# The budgets, in tokens, that are the upper ends of these efforts.
_BUDGETS: Final = ((1024, "minimal"), (4096, "low"), (16_384, "medium"))
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_FEATURE: Final = {"top_logprobs": "logprobs", "reasoning": "reasoning", "text": "json_schema"}
# Where a client of this protocol may have its input instead.
_ELSEWHERE: Final = frozenset({"prompt", "conversation", "previous_response_id"})
_PLAIN: Final = frozenset({"temperature", "top_p", "parallel_tool_calls", "service_tier", "metadata", "user", "store"})

_dumps = msgspec.json.Encoder().encode


def encode_request(request: Request, target: Target, *, new_id: NewId) -> Encoded:
    """The request as a payload, with its losses and what its answer's decoder must know."""
    losses: list[Loss] = []
    dialect, audience = target.dialect, Audience(target.issuer)
    native = any(one.protocol is Protocol.RESPONSES for one in request.native)
    names = GivenNames(dialect.custom_tools, dialect.custom_tools)
    own = audience.own(request.native)
    losses.extend(audience.refused(request.native, "request"))
    losses.extend(cache_control.lost(request))
    box = write_tools(request.tools, names=names, audience=audience, native=native, losses=losses)

    history = History(target, names, audience, native, new_id, losses)
    instructions, begin = _instructions(request.messages, audience, losses)
    for at in range(begin, len(request.messages)):
        history.add(request.messages[at], f"messages[{at}]")
    items = history.end()
    output, told = _output(request.output, dialect.json_schema, losses)
    if told is not None:
        instructions = told if instructions is None else f"{instructions}\n\n{told}"
    for at, item in sorted(box.placed.items()):
        items.insert(at, item)
    if not items and not native and instructions is not None:
        # There must be an input; with nothing but instructions, they are what is asked.
        role = "developer" if dialect.developer_role else "system"
        items, instructions = [{"type": "message", "role": role, "content": instructions}], None
    elif not items and not native:
        losses.append(Loss("messages", "turn_order", approximate=True, detail="a turn was added, as there was none"))
        items = [{"type": "message", "role": "user", "content": "Continue."}]

    payload: JsonObject = {"model": target.model}
    if instructions is not None:
        payload["instructions"] = instructions
    if items or _ELSEWHERE.isdisjoint(own):
        payload["input"] = list[Json](items)
    if box.top:
        payload["tools"] = list[Json](box.top)
    if request.tool_choice is not None:
        offered = request.tools if box.top or box.placed else ()
        choice = write_choice(request.tool_choice, offered, names=names, audience=audience, losses=losses)
        if choice is not None:
            payload["tool_choice"] = choice
    if request.parallel_tool_calls is not None and (native or box.top):
        payload["parallel_tool_calls"] = request.parallel_tool_calls
    _length(payload, request.max_output_tokens, target=target, native=native, losses=losses)
    _sampling(payload, request.sampling, losses)
    shape: JsonObject = {} if output is None else {"format": output}
    if request.verbosity is not None:
        shape["verbosity"] = request.verbosity
    if shape:
        payload["text"] = shape
    thinks = _thinking(payload, request.thinking, target=target, native=native, losses=losses)
    if request.service_tier is not None:
        payload["service_tier"] = request.service_tier
    _user(payload, request.user, target, losses)
    if request.metadata:
        payload["metadata"] = dict(request.metadata)
    _merge(payload, own)
    if not native:
        payload["store"] = False
        if thinks:
            include = [ENCRYPTED, *([LOGPROBS] if request.sampling.logprobs is not None else [])]
            payload["include"] = list[Json](include)
        elif request.sampling.logprobs is not None:
            payload["include"] = [LOGPROBS]
    if request.stream:
        payload["stream"] = True
    _refused(payload, target=target, losses=losses)
    return Encoded(payload, tuple(losses), Context(target.issuer, target.model, names.back))


def _instructions(messages: tuple[Message, ...], audience: Audience, losses: list[Loss]) -> tuple[str | None, int]:
    """The leading system messages as one text, and the index of the first other message."""
    said: list[str] = []
    at = 0
    for message in messages:
        if message.role != "system" or "role" in audience.own(message.native):
            break
        if not all(isinstance(part, Text) for part in message.parts):
            break
        losses.extend(audience.refused(message.native, f"messages[{at}]"))
        for index, part in enumerate(message.parts):
            if isinstance(part, Text):
                path = f"messages[{at}].parts[{index}]"
                losses.extend(audience.refused(part.native, path))
                losses.extend(Loss(f"{path}.native", f"unknown_field:{key}") for key in audience.own(part.native))
                if part.citations:
                    losses.append(Loss(f"{path}.citations", "citations"))
                if part.text:
                    said.append(part.text)
        at += 1
    return ("\n\n".join(said) if said else None), at


def _output(wanted: OutputFormat | None, way: str, losses: list[Loss]) -> tuple[JsonObject | None, str | None]:
    """The format of the output, and what is told of it in words."""
    if wanted is None:
        return None, None
    if wanted.kind == "json" or wanted.schema is None:
        return {"type": "json_object"}, None
    if way != "json_schema":
        losses.append(Loss("output", "json_schema", approximate=True, detail="told in words"))
        schema = _dumps(wanted.schema).decode("utf-8", "surrogatepass")
        return {"type": "json_object"}, f"Answer with JSON that is valid under this JSON Schema:\n{schema}"
    name = wanted.name or "answer"
    if not _NAME.fullmatch(name):
        losses.append(Loss("output.name", "name", approximate=True, detail="only letters, digits, _ and -"))
        name = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64]
    written: JsonObject = {"type": "json_schema", "name": name, "schema": wanted.schema}
    if wanted.description is not None:
        written["description"] = wanted.description
    if wanted.strict is not None:
        written["strict"] = wanted.strict
    return written, None


def _length(payload: JsonObject, wanted: int | None, *, target: Target, native: bool, losses: list[Loss]) -> None:
    if wanted is None:
        return
    found = wanted if native else max(wanted, MIN_OUTPUT_TOKENS)
    if target.max_output_tokens is not None:
        found = min(found, target.max_output_tokens)
    if found != wanted:
        losses.append(Loss("max_output_tokens", "max_output_tokens", approximate=True, detail=f"{wanted} to {found}"))
    payload["max_output_tokens"] = found


def _sampling(payload: JsonObject, wanted: Sampling, losses: list[Loss]) -> None:
    if wanted.temperature is not None:
        payload["temperature"] = wanted.temperature
    if wanted.top_p is not None:
        payload["top_p"] = wanted.top_p
    if wanted.logprobs:
        payload["top_logprobs"] = wanted.logprobs
    unknown = (
        ("top_k", "top_k", wanted.top_k),
        ("seed", "seed", wanted.seed),
        ("presence_penalty", "penalties", wanted.presence_penalty or None),
        ("frequency_penalty", "penalties", wanted.frequency_penalty or None),
        ("stop", "stop", wanted.stop or None),
        ("candidates", "candidates", None if wanted.candidates == 1 else wanted.candidates),
    )
    losses.extend(Loss(f"sampling.{name}", what) for name, what, value in unknown if value is not None)


def _thinking(payload: JsonObject, wanted: Thinking, *, target: Target, native: bool, losses: list[Loss]) -> bool:
    """Put the wish to think into the payload. True if the model may think, so that there may be encrypted thoughts."""
    off = wanted.enabled is False or wanted.effort == "none"
    asks = bool(wanted.enabled or wanted.effort or wanted.budget) and not off
    if native:
        written: JsonObject = {}
        if wanted.effort is not None:
            written["effort"] = wanted.effort
        if wanted.summary:
            written["summary"] = "auto"
        if written:
            payload["reasoning"] = written
        return True
    if target.thinking is False:
        if asks:
            losses.append(Loss("thinking", "reasoning", detail="the model does not think"))
        return False
    efforts = target.dialect.efforts
    if off:
        if "none" in efforts and (wanted.effort == "none" or target.dialect.effort_off == "none"):
            payload["reasoning"] = {"effort": "none"}
            return False
        if wanted.enabled is False:
            losses.append(Loss("thinking", "reasoning", detail="it is the model's to think or not"))
        return bool(target.thinking)
    if asks or wanted.adaptive or wanted.summary:
        reasoning: JsonObject = {}
        if (effort := _effort(wanted, tuple(one for one in efforts if one != "none"), losses)) is not None:
            reasoning["effort"] = effort
        if wanted.summary is not False:
            # Thoughts are shown only where a summary of them is asked for.
            reasoning["summary"] = "auto"
        if reasoning:
            payload["reasoning"] = reasoning
        return True
    return bool(target.thinking)


def _effort(wanted: Thinking, legal: tuple[str, ...], losses: list[Loss]) -> str | None:
    effort = wanted.effort
    if effort is None and wanted.budget:
        effort = next((level for most, level in _BUDGETS if wanted.budget <= most), "high")
        losses.append(Loss("thinking.budget", "budget", approximate=True, detail=f"as effort {effort}"))
    elif effort is not None and wanted.budget:
        losses.append(Loss("thinking.budget", "budget", approximate=True, detail="the effort is sent"))
    elif effort is None and wanted.enabled and not wanted.adaptive:
        effort = "medium"
    if effort is None or effort in legal or effort not in _RANK or not legal:
        return effort
    rank = _RANK.index(effort)
    found = min(legal, key=lambda level: (abs(_RANK.index(level) - rank), _RANK.index(level)))
    losses.append(Loss("thinking.effort", "effort", approximate=True, detail=f"{effort} as {found}"))
    return found


def _user(payload: JsonObject, user: str | None, target: Target, losses: list[Loss]) -> None:
    if not user:
        return
    limit = target.dialect.user_limit
    if limit is not None and len(user) > limit:
        losses.append(Loss("user", "user", approximate=True, detail="sent as its SHA-256"))
        user = hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()
    payload["user"] = user


def _merge(payload: JsonObject, own: JsonObject) -> None:
    """The client's own fields, where they do not contradict what stands there already."""
    for key, value in own.items():
        there = payload.get(key)
        if isinstance(there, dict) and isinstance(value, dict):
            payload[key] = {**there, **value}
        elif key not in payload:
            payload[key] = value


def _refused(payload: JsonObject, *, target: Target, losses: list[Loss]) -> None:
    """Take out what the vendor refuses."""
    dialect = target.dialect
    for key in sorted(payload.keys() & dialect.unsupported):
        if key == "store" and payload[key] is False:
            # A vendor that does not know storing does not store.
            del payload[key]
        else:
            _take_out(payload, key, losses)
    if target.thinking and text(record(payload.get("reasoning")).get("effort")) != "none":
        for key in sorted(payload.keys() & dialect.unsupported_thinking):
            # The default of both is 1, and said or unsaid it is the same.
            if key in ("temperature", "top_p") and payload[key] == 1:
                del payload[key]
            else:
                _take_out(payload, key, losses)


def _take_out(payload: JsonObject, key: str, losses: list[Loss]) -> None:
    del payload[key]
    losses.append(Loss(key, _FEATURE.get(key) or (key if key in _PLAIN else f"unknown_field:{key}")))
