"""What to ask of an upstream that is to continue an answer which broke off: pure, in the client's own protocol.

Law: the request stays as the client made it, byte for byte, with turns added at the end of its conversation. Who takes
a beginning of its answer (a prefill) is given what the client has been told of it; who does not, is given the same as a
turn of its own, and a short one after it that asks to go on. White space at the end of the text is not shown: providers
refuse it, and no model can be told to begin after it. What cannot be continued as plain text is never asked.

Sources: https://platform.claude.com/docs/en/build-with-claude/prefill-claudes-response (Claude 4.6 and later refuse a
prefill, and none goes with extended thinking), https://platform.openai.com/docs/api-reference/chat/create,
https://ai.google.dev/api/generate-content, https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from ccx.protocols.body import Body
from ccx.protocols.facts import thinking_enabled
from ccx.protocols.names import Protocol

GO_ON: Final = (
    "Your answer above was cut off in transmission. Continue it exactly where it stopped: begin with the very next "
    "character, repeat nothing of it, and say nothing about the interruption."
)
"""What a user says to a model that takes no prefill."""

CONTINUED: Final = frozenset({Protocol.MESSAGES, Protocol.CHAT, Protocol.RESPONSES, Protocol.GEMINI})
"""Protocols of clients whose streams can be continued."""

# Claude up to 4.5, by the names of Anthropic, Bedrock, Vertex and resellers.
_PREFILLED: Final = re.compile(
    r"(?:^|[./:])claude-(?:instant|2|3|(?:opus|sonnet|haiku)-4(?:[-.][015])?(?=$|[-@:]\d{8}|[-@:](?:v\d|latest)))"
)
_TURNS: Final = {
    Protocol.MESSAGES: "messages",
    Protocol.CHAT: "messages",
    Protocol.RESPONSES: "input",
    Protocol.GEMINI: "contents",
}
_CAPS: Final[dict[Protocol, tuple[tuple[str, ...], ...]]] = {
    Protocol.MESSAGES: (("max_tokens",),),
    Protocol.CHAT: (("max_completion_tokens",), ("max_tokens",)),
    Protocol.RESPONSES: (("max_output_tokens",),),
    Protocol.GEMINI: (("generationConfig", "maxOutputTokens"), ("generation_config", "max_output_tokens")),
}


class _Turn(msgspec.Struct):
    role: object = None


_turns = msgspec.json.Decoder(list[_Turn]).decode
_encode = msgspec.json.Encoder().encode


def takes_prefill(protocol: Protocol, model: str, *, thinks: bool) -> bool:
    """Whether an upstream of this protocol takes the beginning of its answer from the request, for this model."""
    return protocol is Protocol.MESSAGES and not thinks and _PREFILLED.search(model) is not None


def is_plain(protocol: Protocol, body: Body) -> bool:
    """Whether a request asks for one answer in free text, after a turn of the user's: only that can be continued. Log
    probabilities, sound and images are no text."""
    if protocol not in CONTINUED or _ends_with_answer(protocol, body):
        return False
    match protocol:
        case Protocol.MESSAGES:
            config = body.value("output_config")
            formed = isinstance(config, dict) and config.get("format") is not None
            return not formed and body.value("output_format") is None
        case Protocol.CHAT:
            spoken = body.value("modalities") in (None, ["text"])
            single = body.value("n") in (None, 1) and not body.value("logprobs")
            return single and spoken and _is_text(body.value("response_format"))
        case Protocol.RESPONSES:
            text = body.value("text")
            free = _is_text(text.get("format")) if isinstance(text, dict) else True
            return free and not body.value("background") and not body.value("top_logprobs")
        case _:
            config = body.value("generationConfig") or body.value("generation_config")
            return not isinstance(config, dict) or _is_free(config)


def remaining(protocol: Protocol, body: Body, *, limit: int | None, said: int) -> int | None:
    """How many tokens the rest of an answer may have of which about `said` have been told; None where nobody set a
    bound. `limit` is the declared one."""
    bounds = [limit] if limit is not None else []
    for path in _CAPS[protocol]:
        value = body.field(path)
        if isinstance(value, int) and not isinstance(value, bool):
            bounds.append(value)
    if not bounds:
        return None
    thinking = body.value("thinking") if protocol is Protocol.MESSAGES else None
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    floor = budget + 1 if isinstance(budget, int) else 1  # a budget must be below the bound
    return max(floor, min(bounds) - said)


def thinks(protocol: Protocol, body: Body) -> bool:
    """Whether a request turns thinking on."""
    return thinking_enabled(protocol, body)


def shown(text: str) -> str:
    """What is shown of the text told so far to a model that is to continue it."""
    return text.rstrip()


def continuation(protocol: Protocol, body: Body, text: str, *, prefill: bool) -> bytes:
    """The client's request with the answer so far, asking for the rest of it; with nothing to show, as it was."""
    if not text:
        return body.raw
    turns = [_turn(protocol, text, answer=True)]
    if not prefill:
        turns.append(_turn(protocol, GO_ON, answer=False))
    field = _TURNS[protocol]
    value = body.top.get(field)
    before = b"[]" if value is None else bytes(value).strip()
    if before[:1] != b"[":  # Responses takes a text for one turn of the user's
        before = b"[" + _encode({"role": "user", "content": msgspec.Raw(before)}) + b"]"
    head = before[:-1].rstrip()
    joined = head + (b"," if head != b"[" else b"") + b",".join(map(_encode, turns)) + b"]"
    return b"".join(body.with_fields({field: msgspec.Raw(joined)}, ()))


def _turn(protocol: Protocol, text: str, *, answer: bool) -> dict[str, object]:
    if protocol is Protocol.GEMINI:
        return {"role": "model" if answer else "user", "parts": [{"text": text}]}
    return {"role": "assistant" if answer else "user", "content": text}


def _ends_with_answer(protocol: Protocol, body: Body) -> bool:
    """Whether the client itself began the answer: where its words end and the model's begin cannot be said again."""
    value = body.top.get(_TURNS[protocol])
    if protocol is Protocol.RESPONSES and (value is None or bytes(value)[:1] == b'"'):
        return False
    try:
        turns = _turns(value or b"")
    except (msgspec.DecodeError, RecursionError):
        return True  # no conversation that is known
    return bool(turns) and turns[-1].role in ("assistant", "model")


def _is_text(format_: object) -> bool:
    return format_ is None or (isinstance(format_, dict) and format_.get("type") == "text")


def _is_free(config: dict[str, object]) -> bool:
    kind = config.get("responseMimeType") or config.get("response_mime_type")
    shaped = any(config.get(name) for name in ("responseSchema", "responseJsonSchema", "response_schema"))
    count = config.get("candidateCount") or config.get("candidate_count") or 1
    modes = config.get("responseModalities") or config.get("response_modalities") or ["TEXT"]
    return kind in (None, "text/plain") and not shaped and count == 1 and modes == ["TEXT"]
