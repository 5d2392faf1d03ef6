"""Compaction of a Responses conversation by a model that has none of its own: a summary takes the conversation's place.

Law
- The model is asked for the summary by an ordinary request: the conversation as it is, and `INSTRUCTION` as the user's
  last word. It is asked to call no tool, and what it thinks is no part of the summary.
- The summary travels as the protocol's `compaction` item, its text in an envelope in `encrypted_content`. The envelope
  keeps the text out of clients' way, not secret from them: it was theirs before.
- Such an item is opened where it comes back, into a message of the user. A compaction item of another maker is left as
  it is.
- An answer without a word is no summary but a failure; one that was cut is used, and said to be a loss.

Pure. Sources: https://platform.openai.com/docs/guides/compaction,
https://platform.openai.com/docs/api-reference/responses/compact
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, assert_never

from ccx.errors import BadReply, ClientError
from ccx.protocols.codec import NewId
from ccx.protocols.conversation import identified, is_message, message, read_input
from ccx.protocols.ir import (
    Begin,
    End,
    Event,
    Failed,
    Finish,
    JsonObject,
    Loss,
    Native,
    Opaque,
    PartBegin,
    PartDelta,
    PartEnd,
    Refusal,
    Response,
    Text,
)
from ccx.protocols.names import Protocol
from ccx.protocols.residue import seal, unseal

INSTRUCTION: Final = """\
This conversation is about to be replaced by a summary of it, and the work will go on from that summary alone. Write \
it now, for whoever continues. Leave out nothing that is needed to continue:

1. What the user wants, with every constraint and preference that was stated; quote where the wording matters.
2. What has been done and decided so far, and why; what was tried and did not work.
3. Facts that will be needed again, exactly: names, paths, commands, identifiers, numbers, error messages, code.
4. Where things stand: what is finished, what is open, what was about to happen next.

Do not call tools, do not continue the work and do not address the user. Answer with the summary only."""
"""What the model is asked."""

OPENED: Final = "Summary of the conversation up to here, which it replaces:\n\n"
"""What stands before a summary where it comes back."""

_KINDS: Final = ("compaction", "compaction_summary")
_ISSUER: Final = "ccx.compaction"
# They shape the answer the client wanted, which is not the one that is asked for here.
_DROPPED: Final = frozenset(
    {"background", "context_management", "include", "max_output_tokens", "max_tool_calls", "text", "tool_choice"}
    | {"top_logprobs", "truncation"}
)


def is_triggered(body: JsonObject) -> bool:
    """Whether a request asks for a compaction instead of an answer.

    Raises ClientError 400 where the trigger is not the last item, as the API requires.
    """
    items = read_input(body.get("input"))
    places = [at for at, item in enumerate(items) if item.get("type") == "compaction_trigger"]
    if places and places != [len(items) - 1]:
        text = "The item of type 'compaction_trigger' must be the last item of 'input'."
        raise ClientError(400, "invalid_request", text, param=f"input[{places[0]}]")
    return bool(places)


def summary_request(body: JsonObject) -> JsonObject:
    """The request for a summary of the conversation that `body` brings."""
    items = [item for item in read_input(body.get("input")) if item.get("type") != "compaction_trigger"]
    found: JsonObject = {key: value for key, value in body.items() if key not in _DROPPED}
    found["input"] = [*items, message("user", INSTRUCTION)]
    if body.get("tools") or any(item.get("type") == "additional_tools" for item in items):
        found["tool_choice"] = "none"
    return found


def opened(items: Iterable[JsonObject]) -> list[JsonObject]:
    """The items, with the summaries that ccx made as messages."""
    return [_opened(item) for item in items]


def since_last(items: Sequence[JsonObject]) -> list[JsonObject]:
    """The items from the last summary that ccx made on; all where there is none."""
    last = next((at for at in range(len(items) - 1, -1, -1) if _summary(items[at]) is not None), 0)
    return list(items[last:])


def _opened(item: JsonObject) -> JsonObject:
    summary = _summary(item)
    return item if summary is None else message("user", OPENED + summary)


def _summary(item: JsonObject) -> str | None:
    token = item.get("encrypted_content")
    if item.get("type") not in _KINDS or not isinstance(token, str):
        return None
    natives = unseal(token) or ()
    text = natives[0].data.get("summary") if len(natives) == 1 and natives[0].issuer == _ISSUER else None
    return text if isinstance(text, str) else None


def sealed(summary: str, new_id: NewId) -> JsonObject:
    """The item that holds a summary."""
    token = seal((Native(Protocol.RESPONSES, _ISSUER, {"summary": summary}),))
    return {"id": new_id("cmp_"), "type": "compaction", "encrypted_content": token}


def compacted(response: Response, *, new_id: NewId) -> tuple[Response, tuple[Loss, ...]]:
    """An answer that has the summary as its one item, and what was lost. Raises BadReply for one without a summary."""
    text = "".join(part.text for part in response.parts if isinstance(part, Text)).strip()
    if not text:
        refused = "".join(part.text for part in response.parts if isinstance(part, Refusal)).strip()
        raise BadReply(_no_summary(refused), stage="body")
    whole = Response(
        id=response.id,
        model=response.model,
        parts=(_part(text, new_id),),
        finish=Finish("stop"),
        usage=response.usage,
        created=response.created,
    )
    return whole, _cut(response.finish)


class Compacting:
    """Makes of the events of an answer those of a compaction, as they come."""

    def __init__(self, new_id: NewId) -> None:
        self.losses: tuple[Loss, ...] = ()
        self._new_id = new_id
        self._said: list[str] = []
        self._refused: list[str] = []
        self._into: list[str] | None = None

    def feed(self, event: Event) -> list[Event]:
        """The events of the compaction that this one makes known."""
        match event:
            case Begin() | Failed():
                return [event]
            case PartBegin(_, part):
                self._into = self._said if isinstance(part, Text) else None
                if isinstance(part, Refusal):
                    self._into = self._refused
                if self._into is not None and isinstance(part, Text | Refusal):
                    self._into.append(part.text)
                return []
            case PartDelta(_, text):
                if self._into is not None:
                    self._into.append(text)
                return []
            case PartEnd():
                self._into = None
                return []
            case End(finish, usage):
                text = "".join(self._said).strip()
                if not text:
                    return [Failed("api_error", _no_summary("".join(self._refused).strip()))]
                self.losses = _cut(finish)
                part = _part(text, self._new_id)
                return [PartBegin(0, part), PartEnd(0), End(Finish("stop"), usage)]
            case _:
                assert_never(event)


def compaction(response: JsonObject, items: Iterable[JsonObject], new_id: NewId) -> JsonObject:
    """The answer of the compact endpoint, made of that of a response and the items of the conversation: the user's
    messages as they were, and the summary."""
    kept = [identified(item, new_id) for item in items if is_message(item, "user")]
    output = response.get("output")
    return {
        "id": response.get("id"),
        "object": "response.compaction",
        "created_at": response.get("created_at"),
        "output": [*kept, *(output if isinstance(output, list) else [])],
        "usage": response.get("usage"),
    }


def _part(text: str, new_id: NewId) -> Opaque:
    return Opaque("compaction", Native(Protocol.RESPONSES, None, sealed(text, new_id)))


def _cut(finish: Finish) -> tuple[Loss, ...]:
    if finish.reason not in ("length", "context_window", "content_filter"):
        return ()
    return (Loss("parts[0]", "summary_cut", approximate=True, detail=finish.raw),)


def _no_summary(refusal: str) -> str:
    return f"the model declined to summarise: {refusal}" if refusal else "the model gave no summary of the conversation"
