"""What a client may want kept on its way through the gateway: features, with a sample of each in every protocol.

Law: a feature says nothing about what becomes of it. It has a sample for each protocol that can express it, as small as
it can be, and the names of the losses by which an encoder may tell that it was harmed; `ccx.protocols.fidelity` runs
the samples through the codecs and reads the losses.

Three kinds: `Asked` is part of a request, written by a client; `Answered` of an answer, written by an upstream;
`Returned` is in an answer of an upstream and has to come back to it with the client's next turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ccx.protocols.ir import JsonObject
from ccx.protocols.names import Protocol

Samples = Mapping[Protocol, JsonObject]


@dataclass(frozen=True, slots=True)
class Feature:
    """One row. `losses` are the names (`ir.Loss.what`) that tell of harm to it."""

    id: str
    title: str
    group: str
    samples: Samples
    losses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Asked(Feature):
    """Samples are requests of clients."""


@dataclass(frozen=True, slots=True)
class Answered(Feature):
    """Samples are whole answers of upstreams."""


@dataclass(frozen=True, slots=True)
class Returned(Feature):
    """Samples are answers of upstreams with something sealed, which must be in the request that follows. `vendors`: who
    the upstream is, where it is not the protocol's own provider."""

    vendors: Mapping[Protocol, str] = field(default_factory=dict)


MINOR: Mapping[str, str] = {
    "arguments": "arguments of a call that are not a JSON object",
    "detail": "how closely to look at an image",
    "name": "names of files, formats and speakers",
    "part_order": "the order of words, thoughts and calls within a turn",
    "prefill": "a last turn of the assistant that the answer shall continue",
    "role": "who spoke, where the protocol insists on another order",
    "schema:": "a keyword of JSON Schema that the upstream's subset lacks, told in a description",
    "store": "whether the provider shall keep the answer",
    "summary_cut": "a summary for compaction that was cut short",
    "tool": "a tool that was declared twice",
    "tool_call": "a call in a message that is not the assistant's",
    "tool_call_id": "an id of a call that was used twice",
    "tool_result": "a result without its call, or a call without its result",
    "turn_order": "a conversation that does not begin as the protocol wants it",
}
"""Losses that belong to no feature: irregular conversations, put right. Fields that only one protocol knows are told
as `unknown_field:NAME`, parts as `unknown_part:NAME`."""
