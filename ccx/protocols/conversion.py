"""The codecs to go between protocols, by name. Which one a client is answered in is `preference`'s word."""

from __future__ import annotations

from collections.abc import Mapping

from ccx.protocols import chat, gemini, messages, responses
from ccx.protocols.codec import Codec
from ccx.protocols.names import Protocol

CODECS: Mapping[Protocol, Codec] = {
    Protocol.MESSAGES: messages.codec,
    Protocol.CHAT: chat.codec,
    Protocol.RESPONSES: responses.codec,
    Protocol.GEMINI: gemini.codec,
}
