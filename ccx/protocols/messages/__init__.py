"""Anthropic Messages: the codec.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from ccx.protocols.codec import Asked, Codec, Context, Encoded, NewId, Target
from ccx.protocols.ir import JsonObject, Request, Response
from ccx.protocols.messages.request import decode_request, encode_request
from ccx.protocols.messages.response import decode_response, encode_response
from ccx.protocols.messages.stream_in import MessagesStreamDecoder
from ccx.protocols.messages.stream_out import MessagesStreamEncoder
from ccx.protocols.names import Protocol


class MessagesCodec:
    """See `codec.Codec`; the modules of this package hold the rules."""

    protocol = Protocol.MESSAGES

    def decode_request(self, body: JsonObject, *, model: str, stream: bool) -> Request:
        """A client's request. Raises ClientError 400, with the JSON path in Anthropic's notation."""
        return decode_request(body, model=model, stream=stream)

    def encode_request(self, request: Request, target: Target, *, new_id: NewId) -> Encoded:
        """The request for an upstream of this protocol, legal for the target's model."""
        return encode_request(request, target, new_id=new_id)

    def decode_response(self, body: JsonObject, context: Context) -> Response:
        """An upstream's whole answer. Raises BadReply."""
        return decode_response(body, context)

    def encode_response(self, response: Response, asked: Asked, *, new_id: NewId) -> Encoded:
        """The whole answer for a client of this protocol."""
        return encode_response(response, asked, new_id=new_id)

    def stream_decoder(self, context: Context) -> MessagesStreamDecoder:
        """A decoder for one stream of an upstream."""
        return MessagesStreamDecoder(context)

    def stream_encoder(self, asked: Asked, *, new_id: NewId) -> MessagesStreamEncoder:
        """An encoder for one stream to a client."""
        return MessagesStreamEncoder(asked, new_id=new_id)


codec: Codec = MessagesCodec()
