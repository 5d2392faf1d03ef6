"""Which protocol of an upstream answers a client of another.

Law: the same protocol is never converted. Where an upstream speaks several others, the one that keeps most of the
client's is taken, by the table here: Messages and Responses carry thinking with its seal, Gemini carries it with its
signatures, Chat carries it by vendors' customs only. Images, which are no conversation, are drawn by Gemini's image
models too, by `images`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ccx.protocols.names import Protocol

_PREFERRED: Mapping[Protocol, tuple[Protocol, ...]] = {
    Protocol.MESSAGES: (Protocol.RESPONSES, Protocol.GEMINI, Protocol.CHAT),
    Protocol.CHAT: (Protocol.RESPONSES, Protocol.MESSAGES, Protocol.GEMINI),
    Protocol.RESPONSES: (Protocol.MESSAGES, Protocol.GEMINI, Protocol.CHAT),
    Protocol.GEMINI: (Protocol.MESSAGES, Protocol.RESPONSES, Protocol.CHAT),
    Protocol.IMAGES: (Protocol.GEMINI,),
}


def answering(client: Protocol, spoken: Collection[Protocol]) -> Protocol | None:
    """The protocol in which an upstream that speaks these serves a client of that one; None if it cannot."""
    if client in spoken:
        return client
    return next((protocol for protocol in _PREFERRED.get(client, ()) if protocol in spoken), None)
