"""OpenAI Responses: the codec.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from ccx.protocols.codec import Asked, Codec, Context, Encoded, NewId, Target
from ccx.protocols.ir import JsonObject, Request, Response
from ccx.protocols.names import Protocol
from ccx.protocols.responses.request import decode_request
from ccx.protocols.responses.request_encoder import encode_request
from ccx.protocols.responses.response import decode_response, encode_response
from ccx.protocols.responses.stream_in import ResponsesStreamDecoder
from ccx.protocols.responses.stream_out import ResponsesStreamEncoder


class ResponsesCodec:
    """See `codec.Codec`; the modules of this package hold the rules."""

    protocol = Protocol.RESPONSES

    def decode_request(self, body: JsonObject, *, model: str, stream: bool) -> Request:
        """A client's request. Raises ClientError 400, with the JSON path."""
        return decode_request(body, model=model, stream=stream)

    def encode_request(self, request: Request, target: Target, *, new_id: NewId) -> Encoded:
        """The request for an upstream of this protocol, in its vendor's dialect."""
        return encode_request(request, target, new_id=new_id)

    def decode_response(self, body: JsonObject, context: Context) -> Response:
        """An upstream's whole answer. Raises BadReply."""
        return decode_response(body, context)

    def encode_response(self, response: Response, asked: Asked, *, new_id: NewId) -> Encoded:
        """The whole answer for a client of this protocol."""
        return encode_response(response, asked, new_id=new_id)

    def stream_decoder(self, context: Context) -> ResponsesStreamDecoder:
        """A decoder for one stream of an upstream."""
        return ResponsesStreamDecoder(context)

    def stream_encoder(self, asked: Asked, *, new_id: NewId) -> ResponsesStreamEncoder:
        """An encoder for one stream to a client."""
        return ResponsesStreamEncoder(asked, new_id=new_id)


codec: Codec = ResponsesCodec()
