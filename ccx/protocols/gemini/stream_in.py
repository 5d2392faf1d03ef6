"""An upstream's stream of Gemini, as neutral events.

Law: texts of consecutive chunks are one part, and so are thoughts, until something else is said or a signature ends
them; a call that comes in pieces goes out whole. A part stays open until the next begins, since what belongs to its end
(a signature in an empty text, grounding) comes late. A whole answer is read as a stream of one chunk, so that the fold
of a stream equals the answer that is not streamed. An end is only what the provider called one, and it is said when the
stream closes, as some models repeat their finish reason in every chunk.

Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

from __future__ import annotations

from typing import Final

import msgspec

from ccx.errors import BadReply
from ccx.protocols.codec import Context
from ccx.protocols.gemini.ending import blocked, decode_finish, decode_time, decode_usage, encode_time, ends, error_kind
from ccx.protocols.gemini.grounding import citations
from ccx.protocols.gemini.naming import digest
from ccx.protocols.gemini.natives import made
from ccx.protocols.gemini.partial import Arguments
from ccx.protocols.gemini.parts import Reader
from ccx.protocols.gemini.spelling import Malformed, camel, integer, may_be_snake, several
from ccx.protocols.ir import (
    Begin,
    Citation,
    End,
    Event,
    Failed,
    Finish,
    Json,
    JsonObject,
    Native,
    Part,
    PartBegin,
    PartDelta,
    PartEnd,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from ccx.protocols.names import Protocol
from ccx.protocols.sse import Event as SseEvent

TOP: Final = frozenset({"promptFeedback", "createTime", "modelStatus"})
"""Fields beside the candidates that are residue of an answer; those of the candidate are under their own names too."""

_ANSWER: Final = frozenset({"candidates", "usageMetadata", "responseId", "modelVersion", "error"})
_CANDIDATE: Final = frozenset({"content", "finishReason", "index"})

_loads = msgspec.json.Decoder().decode


class GeminiStreamDecoder:
    """Decodes one stream; see the module's law."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reader = Reader.of_answer(context)
        self._begun = self._done = False
        self._index = -1
        self._open: Text | Reasoning | None = None
        self._said: list[str] = []  # of the open part
        self._late: tuple[Native, ...] = ()  # residue of the open part that came after it began
        self._signed = False  # whether what is said next begins a new part
        self._call: tuple[str, str | None, JsonObject, Arguments] | None = None  # one that comes in pieces
        self._calls: list[Part] = []  # on which the finish reason depends
        self._usage: JsonObject = {}
        self._reason: Json = None
        self._blocked: str | None = None
        self._rest: JsonObject = {}

    def feed(self, event: SseEvent) -> list[Event]:
        """The neutral events that this one completes. Raises BadReply."""
        if self._done:
            return []
        data = event.data.strip()
        if not data or data == b"[DONE]":
            return []
        try:
            chunk: Json = _loads(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadReply(f"an event of the stream is not JSON: {error}", stage="body") from None
        take = self.take if may_be_snake(data) else self._take
        if isinstance(chunk, dict):
            return take(chunk)
        if not isinstance(chunk, list):
            raise BadReply("an event of the stream is not an object", stage="body")
        return [said for one in chunk if isinstance(one, dict) for said in take(one)]

    def end(self) -> list[Event]:
        """What is left to say once the upstream closed the stream: a stream that was cut gives `Failed`."""
        if self._done:
            return []
        if self._blocked is not None or ends(self._reason):
            return self.close()
        self._done = True
        return [Failed("api_error", "The upstream's stream ended before its answer was whole.")]

    def take(self, chunk: JsonObject) -> list[Event]:
        """The neutral events of one chunk. Raises BadReply."""
        return self._take(camel(chunk))

    def _take(self, chunk: JsonObject) -> list[Event]:
        if self._done:
            return []
        if isinstance(error := chunk.get("error"), dict):
            self._done = True
            message, status = error.get("message"), error.get("status")
            said = message if isinstance(message, str) and message else "The upstream failed and did not say why."
            return [Failed(error_kind(status, error.get("code")), said, status if isinstance(status, str) else None)]
        try:
            return self._chunk(chunk)
        except Malformed as malformed:
            raise BadReply(f"the answer is not one of Gemini: {malformed}", stage="body") from None

    def close(self) -> list[Event]:
        """The end of the answer, whatever was said of it."""
        self._done = True
        found: list[Event] = [] if self._begun else [self._begin({})]
        found.extend(self._whole_call())
        found.extend(self._close_part(last=True))
        if self._blocked is not None and self._reason is None:
            finish = Finish("content_filter", self._blocked)
        else:
            finish = decode_finish(self._reason, self._calls)
        return [*found, End(finish, decode_usage(self._usage), made(self._rest, self._context.issuer))]

    # --- chunks

    def _chunk(self, chunk: JsonObject) -> list[Event]:
        usage = chunk.get("usageMetadata")
        if isinstance(usage, dict):
            self._usage = {**self._usage, **usage}
        found: list[Event] = [] if self._begun else [self._begin(chunk)]
        self._keep(chunk, _ANSWER, TOP)
        feedback = chunk.get("promptFeedback")
        if (reason := blocked(feedback)) is not None:
            self._blocked = reason
            said = feedback.get("blockReasonMessage") if isinstance(feedback, dict) else None
            if isinstance(said, str) and said:
                # It stays in the feedback, so a client of this protocol need not be told again in words.
                found.extend(self._whole(Refusal("", (Native(Protocol.GEMINI, self._context.issuer, {}),)), said))
        candidates = several(chunk.get("candidates"))
        if candidates is None:
            raise Malformed("candidates", "Invalid value: a list was expected")
        for candidate in candidates:
            if not isinstance(candidate, dict):
                raise Malformed("candidates", "Invalid value: an object was expected")
            at = candidate.get("index")
            if at and integer(at):
                others = self._rest.setdefault("candidates", [])
                if isinstance(others, list):
                    others.append(candidate)
                continue
            found.extend(self._candidate(candidate))
        return found

    def _begin(self, chunk: JsonObject) -> Begin:
        self._begun = True
        id_, model, created = chunk.get("responseId"), chunk.get("modelVersion"), chunk.get("createTime")
        id_ = id_ if isinstance(id_, str) else ""
        # Minted ids of calls must differ from answer to answer; what the prompt cost does where there is no id.
        self._reader.calls.tag = digest(id_) if id_ else digest(str(sorted(self._usage.items())), str(created))
        return Begin(
            id_,
            model if isinstance(model, str) and model else self._context.model,
            decode_time(created),
            decode_usage(self._usage) if self._usage else None,
        )

    def _keep(self, raw: JsonObject, read: frozenset[str], plain: frozenset[str] | None = None) -> None:
        """Keep the fields that are not read. Those beside the candidates that are not known go under `top`."""
        if raw.keys() <= read:
            return
        for key, value in raw.items():
            if key in read or value is None:
                continue
            if plain is None or key in plain:
                if key != "createTime" or encode_time(decode_time(value)) != value:
                    self._rest[key] = value
            else:
                top = self._rest.setdefault("top", {})
                if isinstance(top, dict):
                    top[key] = value

    def _candidate(self, candidate: JsonObject) -> list[Event]:
        found: list[Event] = []
        content = candidate.get("content")
        if isinstance(content, dict):
            parts = several(content.get("parts"))
            if parts is None:
                raise Malformed("candidates[0].content.parts", "Invalid value: a list was expected")
            for at, raw in enumerate(parts):
                if not isinstance(raw, dict):
                    raise Malformed(f"candidates[0].content.parts[{at}]", "Invalid value: an object was expected")
                found.extend(self._part(raw, f"candidates[0].content.parts[{at}]"))
        elif content is not None:
            raise Malformed("candidates[0].content", "Invalid value: an object was expected")
        if candidate.get("finishReason") is not None:
            self._reason = candidate["finishReason"]
        self._keep(candidate, _CANDIDATE)
        return found

    # --- parts

    def _part(self, raw: JsonObject, path: str) -> list[Event]:
        text, call = raw.get("text"), raw.get("functionCall")
        if isinstance(text, str) and call is None:
            return self._text(raw, text)
        if isinstance(call, dict) and (self._call is not None or "partialArgs" in call or call.get("willContinue")):
            return self._piece(raw, call, path)
        if call == {} and len(raw) == 1:
            # What ends a call in pieces, once more.
            return []
        found = self._whole_call()
        part = self._reader.part(raw, path)
        if isinstance(part, Text | Reasoning):
            return [*found, *self._text(raw, part.text)]
        found.extend(self._close_part())
        if isinstance(part, ToolCall):
            arguments = part.arguments
            empty = ToolCall(part.id, part.name, "", part.kind, part.namespace, server=part.server, native=part.native)
            return [*found, *self._whole(empty, arguments)]
        return [*found, *self._whole(part, "")]

    def _text(self, raw: JsonObject, text: str) -> list[Event]:
        """Text or thought: more of the open part, or a new one."""
        thought = raw.get("thought") is True
        rest: JsonObject = {
            key: value for key, value in raw.items() if key not in ("text", "thought") and value is not None
        }
        if not text and not rest:
            return self._whole_call()
        found = self._whole_call()
        same = self._open is not None and isinstance(self._open, Reasoning) == thought
        if not same or (self._signed and (text or rest)):
            found.extend(self._close_part())
            empty: Text | Reasoning = Reasoning("", summary=True) if thought else Text("")
            self._index += 1
            self._open, self._said, self._late, self._signed = empty, [], (), False
            found.append(PartBegin(self._index, empty))
        if text:
            self._said.append(text)
            found.append(PartDelta(self._index, text))
        if rest:
            self._late = (*self._late, *self._reader.residue(rest, thought=thought))
            self._signed = True
        return found

    def _close_part(self, *, last: bool = False) -> list[Event]:
        if self._open is None:
            return []
        native = self._late
        cited: tuple[Citation, ...] = ()
        if isinstance(self._open, Reasoning):
            native = native or self._reader.residue({}, thought=True)
        elif last:
            cited = citations(
                self._rest.get("groundingMetadata"), self._rest.get("citationMetadata"), "".join(self._said)
            )
        self._open = None
        return [PartEnd(self._index, native, cited)]

    def _whole(self, part: Part, said: str) -> list[Event]:
        """A part that comes whole."""
        found = self._close_part()
        self._index += 1
        if isinstance(part, ToolCall) and not part.server:
            self._calls.append(part)
        found.append(PartBegin(self._index, part))
        if said:
            found.append(PartDelta(self._index, said))
        found.append(PartEnd(self._index))
        return found

    def _piece(self, raw: JsonObject, call: JsonObject, path: str) -> list[Event]:
        """A piece of a call. One with a name begins a call, one that does not go on ends it."""
        found: list[Event] = []
        name, id_ = call.get("name"), call.get("id")
        if isinstance(name, str) and name:
            found.extend(self._whole_call())
            rest = {key: value for key, value in raw.items() if key != "functionCall"}
            self._call = (name, id_ if isinstance(id_, str) else None, rest, Arguments())
        if self._call is None:
            raise Malformed(f"{path}.functionCall.name", "A name is required")
        name, id_, rest, arguments = self._call
        if name != call.get("name"):
            self._call = (name, id_, {**rest, **{key: raw[key] for key in raw if key != "functionCall"}}, arguments)
        args, pieces = call.get("args"), call.get("partialArgs")
        for key, value in args.items() if isinstance(args, dict) else ():
            arguments.set(key, value)
        for piece in pieces if isinstance(pieces, list) else ():
            arguments.add(piece)
        if call.get("willContinue") is not True:
            found.extend(self._whole_call())
        return found

    def _whole_call(self) -> list[Event]:
        """The call that came in pieces."""
        if self._call is None:
            return []
        name, id_, rest, arguments = self._call
        self._call = None
        part = self._reader.called(name, id_, arguments.whole(), rest)
        empty = ToolCall(part.id, part.name, "", part.kind, part.namespace, native=part.native)
        return self._whole(empty, part.arguments)
