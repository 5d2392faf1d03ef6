"""The neutral form: what a request and a response mean, apart from any protocol's spelling.

Law
- Block-structured and ordered: a message is a sequence of parts, in the order in which they were written or spoken.
- A field is here only if two protocols mean the same thing by it. What one protocol alone knows travels as `Native`
  residue (with its protocol and issuer) or as an `Opaque` part, and is given back only to the same protocol and issuer.
- Nothing is dropped in silence: an encoder that cannot say something returns a `Loss` that names it.
- Raw beside unified: finish reasons and usage keep what the provider said.
- Values only: immutable, no I/O, no clock, no randomness; ids that must be minted come from a function in an argument.

It knows no codec. Codecs know it and not each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ccx.protocols.names import Protocol

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = "dict[str, Json]"


@dataclass(frozen=True, slots=True)
class Native:
    """Something only its origin understands: a signature, encrypted reasoning, a cache hint, an unknown field.

    `issuer` is the dialect of the provider that made it (`anthropic`, `openai`, `gemini`, `deepseek`, …), or None for
    what a client wrote for any upstream of that protocol. `data` holds the fields by the protocol's own names.
    """

    protocol: Protocol
    issuer: str | None
    data: JsonObject


@dataclass(frozen=True, slots=True)
class CacheBreakpoint:
    """The prompt up to here, with what this stands on, is worth keeping for the next request. `ttl`: for how long, as
    providers say it (`5m`, `1h`); None is their own measure."""

    ttl: str | None = None


# --- parts ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a stretch of text comes from. `start` and `end` are character offsets in the part's text, if known."""

    url: str | None = None
    title: str | None = None
    quote: str | None = None
    start: int | None = None
    end: int | None = None
    native: tuple[Native, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """Words."""

    text: str
    citations: tuple[Citation, ...] = ()
    native: tuple[Native, ...] = ()
    cache: CacheBreakpoint | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Thinking. `text` is what may be shown (the thought itself, or a summary of it); it is empty where the provider
    gives only something sealed, which is then in `native`."""

    text: str
    summary: bool = False
    native: tuple[Native, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool. `arguments` is JSON text for a function, free text for a custom tool. `server`: the provider
    itself runs it (web search, code execution) and no result is expected from the client."""

    id: str
    name: str
    arguments: str
    kind: Literal["function", "custom"] = "function"
    namespace: str | None = None
    server: bool = False
    native: tuple[Native, ...] = ()
    cache: CacheBreakpoint | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call gave. `name` is the tool's, where the protocol says it."""

    call_id: str
    content: tuple[Text | Media | Opaque, ...]
    name: str | None = None
    is_error: bool = False
    kind: Literal["function", "custom"] = "function"
    server: bool = False
    native: tuple[Native, ...] = ()
    cache: CacheBreakpoint | None = None


@dataclass(frozen=True, slots=True)
class Inline:
    """Bytes in the message, base64 as they came."""

    data: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Remote:
    """Bytes behind a URL, which the provider fetches. `media_type` if it was said."""

    url: str
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file uploaded to the provider before; means something to that provider only."""

    id: str
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class Media:
    """An image, document, sound or film. `name` is a file name or title; `detail` how closely to look."""

    kind: Literal["image", "document", "audio", "video"]
    source: Inline | Remote | FileRef
    name: str | None = None
    detail: Literal["low", "high", "auto"] | None = None
    native: tuple[Native, ...] = ()
    cache: CacheBreakpoint | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model declined, in words."""

    text: str
    native: tuple[Native, ...] = ()


@dataclass(frozen=True, slots=True)
class Opaque:
    """A part that ccx does not know. `kind` is the protocol's own type; the whole part is in `native`."""

    kind: str
    native: Native


Part = Text | Reasoning | ToolCall | ToolResult | Media | Refusal | Opaque
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn, or one piece of one. Tool results are parts of user messages; a developer's word has the role system
    (which one it was is in `native`). System messages may stand anywhere."""

    role: Role
    parts: tuple[Part, ...]
    native: tuple[Native, ...] = ()


# --- requests -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool the client runs. `schema` is the JSON Schema of a function's arguments; a custom tool takes free text, by
    a `grammar` (syntax, definition) if it has one. `namespace` groups tools (Codex)."""

    name: str
    description: str | None = None
    schema: JsonObject | None = None
    strict: bool | None = None
    kind: Literal["function", "custom"] = "function"
    grammar: tuple[str, str] | None = None
    namespace: str | None = None
    native: tuple[Native, ...] = ()
    cache: CacheBreakpoint | None = None


@dataclass(frozen=True, slots=True)
class ServerTool:
    """A tool the provider runs, by its neutral name (web_search, …); how it is declared is in `native`."""

    name: str
    native: Native


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """auto: as the model likes; none; required: some tool; named: these only (one, or a subset)."""

    mode: Literal["auto", "none", "required", "named"]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Thinking:
    """How much to think. `enabled` None: not said. `effort` is a level (none, minimal, low, medium, high, xhigh, max),
    `budget` tokens, `adaptive`: the model decides. `summary`: whether thoughts shall be shown."""

    enabled: bool | None = None
    effort: str | None = None
    budget: int | None = None
    adaptive: bool = False
    summary: bool | None = None


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """Structured output: any JSON, or JSON by a schema."""

    kind: Literal["json", "json_schema"]
    schema: JsonObject | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """Parameters that two protocols share. None: not said."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    candidates: int | None = None
    logprobs: int | None = None  # number of alternatives per token; 0 is the chosen token only


@dataclass(frozen=True, slots=True)
class Request:
    """A request for an answer. `user` identifies the end user, as the client named them.

    `native` holds top-level fields that only the client's protocol knows.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool | ServerTool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    sampling: Sampling = Sampling()
    thinking: Thinking = Thinking()
    output: OutputFormat | None = None
    verbosity: str | None = None
    stream: bool = False
    service_tier: str | None = None
    user: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    native: tuple[Native, ...] = ()


# --- responses ------------------------------------------------------------------------------------------------------

FinishReason = Literal[
    "stop", "length", "tool_calls", "content_filter", "refusal", "pause", "context_window", "error", "other"
]


@dataclass(frozen=True, slots=True)
class Finish:
    """Why the answer ended: the unified reason, and the provider's word. `stop_sequence` is the one that was met."""

    reason: FinishReason
    raw: str | None = None
    stop_sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. `input_tokens` is the whole prompt, cached or not; `output_tokens` the whole answer, thinking included.
    The others are parts of them. None: not said. `raw` is the provider's own object."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    raw: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. `created` is unix seconds, None if not said."""

    id: str
    model: str
    parts: tuple[Part, ...]
    finish: Finish
    usage: Usage = Usage()
    created: int | None = None
    native: tuple[Native, ...] = ()


# --- stream events: the grammar is in `stream` ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begin:
    """The answer begins. `usage` holds what is known of the prompt already."""

    id: str
    model: str
    created: int | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part begins. `part` is it with nothing said yet: empty text, or a call with its id, name and no arguments.

    Parts that come whole (media, opaque, server tool results) begin complete and end without a delta.
    """

    index: int
    part: Part


@dataclass(frozen=True, slots=True)
class PartDelta:
    """More of a part: of its text, or of a call's arguments."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class PartEnd:
    """A part is whole. What became known only at the end: residue such as a signature, and citations."""

    index: int
    native: tuple[Native, ...] = ()
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class End:
    """The answer is whole."""

    finish: Finish
    usage: Usage = Usage()
    native: tuple[Native, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The provider broke the answer off, in its own words. `kind` is an `errors.ErrorKind`."""

    kind: str
    message: str
    code: str | None = None


Event = Begin | PartBegin | PartDelta | PartEnd | End | Failed


# --- conversion -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that an encoder could not say. `path` is where it is in the neutral form, such as
    `messages[2].parts[0].native`; `what` a short stable name (`cache_control`, `top_k`, `signature`), which headers,
    logs and the fidelity matrix use. `approximate`: it was said in another way, not left out."""

    path: str
    what: str
    approximate: bool = False
    detail: str | None = None
