"""What each pair of protocols keeps: the features run through the codecs, and their losses read.

Law: nothing here is declared by hand. A cell is what the codecs do with the samples of `ccx.protocols.features`: a
feature of requests goes from the client's protocol to the upstream's; one of answers from the upstream's to the
client's, whole and as a stream; one that has to return goes to the client and, with its next turn, back. The upstreams
are the providers whose protocol it is, each with the model named in `REFERENCE`: vendors of the same protocol may
understand less, which `Target` says.

The same protocol is not converted, so everything is kept, byte for byte.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, assert_never

import msgspec

from ccx.protocols.codec import Asked as Asker
from ccx.protocols.codec import Context, Encoded, Target
from ccx.protocols.conversion import CODECS
from ccx.protocols.dialects import dialect
from ccx.protocols.features import Answered, Asked, Feature, Returned
from ccx.protocols.features.answered import ANSWERED, RETURNED, WITNESS
from ccx.protocols.features.conversation import CONVERSATION
from ccx.protocols.features.plain import PLAIN
from ccx.protocols.features.settings import SETTINGS
from ccx.protocols.ir import Json, JsonObject, Loss
from ccx.protocols.names import Protocol
from ccx.protocols.stream import events

PROTOCOLS: Final = (Protocol.MESSAGES, Protocol.CHAT, Protocol.RESPONSES, Protocol.GEMINI)
FEATURES: Final[tuple[Asked | Answered | Returned, ...]] = (*CONVERSATION, *SETTINGS, *ANSWERED, *RETURNED)

REFERENCE: Final[Mapping[Protocol, Target]] = {
    Protocol.MESSAGES: Target("anthropic", "claude-opus-4-5", dialect("anthropic")),
    Protocol.CHAT: Target("openai", "gpt-5.1", dialect("openai")),
    Protocol.RESPONSES: Target("openai", "gpt-5.1", dialect("openai")),
    Protocol.GEMINI: Target("gemini", "gemini-3-flash-preview", dialect("gemini")),
}
"""Whom requests are encoded for."""

UNKNOWN: Final = "unknown_"
"""How names of losses begin that tell of a field or part without a neutral meaning."""


class Verdict(Enum):
    """What becomes of a feature, from best to worst."""

    SAME = "same"
    KEPT = "kept"
    APPROXIMATED = "approximated"
    DROPPED = "dropped"
    UNSAYABLE = "unsayable"


@dataclass(frozen=True, slots=True)
class Cell:
    """One feature between one client and one upstream. `losses` are what the codecs named on the way."""

    verdict: Verdict
    losses: tuple[Loss, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the losses, sorted."""
        return tuple(sorted({loss.what for loss in self.losses}))


_SAME: Final = Cell(Verdict.SAME)
_UNSAYABLE: Final = Cell(Verdict.UNSAYABLE)


def cell(
    feature: Asked | Answered | Returned,
    client: Protocol,
    upstream: Protocol,
    *,
    targets: Mapping[Protocol, Target] = REFERENCE,
) -> Cell:
    """What becomes of a feature between this client and this upstream. `UNSAYABLE` is a feature of requests that the
    client's protocol has no words for, or one of answers that the upstream's has none for."""
    speaker = client if isinstance(feature, Asked) else upstream
    if speaker not in feature.samples:
        return _UNSAYABLE
    if client is upstream:
        return _SAME
    sample = feature.samples[speaker]
    target = targets[upstream]
    match feature:
        case Asked():
            return _judged(feature, _request(sample, client, upstream, target).losses)
        case Answered():
            return _judged(feature, [*_answer(sample, client, upstream).losses, *_streamed(sample, client, upstream)])
        case Returned():
            vendor = feature.vendors.get(upstream)
            whom = target if vendor is None else Target(vendor, "model", dialect(vendor))
            return _returned(sample, client, upstream, whom)
        case _:
            assert_never(feature)


def matrix(
    clients: Collection[Protocol] = PROTOCOLS,
    upstreams: Collection[Protocol] = PROTOCOLS,
    *,
    targets: Mapping[Protocol, Target] = REFERENCE,
) -> dict[tuple[str, Protocol, Protocol], Cell]:
    """All cells of these clients and upstreams, by the id of the feature, client and upstream."""
    return {
        (feature.id, client, upstream): cell(feature, client, upstream, targets=targets)
        for feature in FEATURES
        for client in clients
        for upstream in upstreams
    }


# --- the ways ---------------------------------------------------------------------------------------------------------


def _new_id(prefix: str) -> str:
    return f"{prefix}00000000000000000000"


def _request(body: JsonObject, client: Protocol, upstream: Protocol, target: Target) -> Encoded:
    request = CODECS[client].decode_request(body, model=target.model, stream=False)
    return CODECS[upstream].encode_request(request, target, new_id=_new_id)


def _asker(client: Protocol, *, stream: bool) -> Asker:
    return Asker("model", PLAIN[client], stream, 1_767_225_600)


def _answer(body: JsonObject, client: Protocol, upstream: Protocol, *, issuer: str | None = None) -> Encoded:
    target = REFERENCE[upstream]
    response = CODECS[upstream].decode_response(body, Context(issuer or target.issuer, target.model))
    return CODECS[client].encode_response(response, _asker(client, stream=False), new_id=_new_id)


def _streamed(body: JsonObject, client: Protocol, upstream: Protocol) -> list[Loss]:
    target = REFERENCE[upstream]
    response = CODECS[upstream].decode_response(body, Context(target.issuer, target.model))
    encoder = CODECS[client].stream_encoder(_asker(client, stream=True), new_id=_new_id)
    for event in events(response):
        encoder.encode(event)
    return encoder.losses


def _returned(body: JsonObject, client: Protocol, upstream: Protocol, target: Target) -> Cell:
    """Only the seal counts, and whether it came back: what else the sample says has rows of its own."""
    shown = _answer(body, client, upstream, issuer=target.issuer)
    sent = _request(next_turn(client, shown.payload), client, upstream, target)
    if WITNESS in msgspec.json.encode(sent.payload).decode():
        return Cell(Verdict.KEPT)
    return Cell(Verdict.DROPPED, (*shown.losses, *sent.losses))


def next_turn(client: Protocol, answer: JsonObject) -> JsonObject:
    """The next request of a client that got this answer: it returns all that its protocol tells it to, gives a result
    for each call, or else says something."""
    plain = PLAIN[client]
    match client:
        case Protocol.MESSAGES:
            content = _list(answer.get("content"))
            calls = [one for one in _objects(content) if one.get("type") == "tool_use"]
            said: Json = [{"type": "tool_result", "tool_use_id": call["id"], "content": "15"} for call in calls]
            turns: list[Json] = [{"role": "assistant", "content": content}, {"role": "user", "content": said or "Why?"}]
            return {**plain, "messages": [*_list(plain["messages"]), *turns]}
        case Protocol.CHAT:
            choice = _objects(answer.get("choices"))[0]
            message = choice["message"]
            given = message if isinstance(message, dict) else {}
            calls = _objects(given.get("tool_calls"))
            turns = [{"role": "tool", "tool_call_id": call["id"], "content": "15"} for call in calls]
            turns = turns or [{"role": "user", "content": "Why?"}]
            return {**plain, "messages": [*_list(plain["messages"]), message, *turns]}
        case Protocol.RESPONSES:
            items = _list(answer.get("output"))
            turns = [
                {"type": "function_call_output", "call_id": item["call_id"], "output": "15"}
                for item in _objects(items)
                if item.get("type") == "function_call"
            ]
            turns = turns or [{"role": "user", "content": "Why?"}]
            return {**plain, "input": [*_list(plain["input"]), *items, *turns]}
        case _:
            candidate = _objects(answer.get("candidates"))[0]
            content_ = candidate["content"]
            parts = _objects(content_.get("parts")) if isinstance(content_, dict) else []
            results: list[Json] = []
            for part in parts:
                if isinstance(call_ := part.get("functionCall"), dict):
                    named: JsonObject = {key: value for key, value in call_.items() if key in ("id", "name")}
                    results.append({"functionResponse": {**named, "response": {"output": "15"}}})
            last: JsonObject = {"role": "user", "parts": results or [{"text": "Why?"}]}
            return {**plain, "contents": [*_list(plain["contents"]), content_, last]}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _objects(value: Json) -> list[JsonObject]:
    return [one for one in _list(value) if isinstance(one, dict)]


def _judged(feature: Feature, losses: Collection[Loss]) -> Cell:
    """The worst that is told of this feature. A sample may need another feature to be whole, a result its call: what is
    told of that has its own row."""
    harm = [loss for loss in losses if loss.what in feature.losses or loss.what.startswith(UNKNOWN)]
    if not harm:
        return Cell(Verdict.KEPT, tuple(dict.fromkeys(losses)))
    worst = Verdict.APPROXIMATED if all(loss.approximate for loss in harm) else Verdict.DROPPED
    return Cell(worst, tuple(dict.fromkeys(losses)))
