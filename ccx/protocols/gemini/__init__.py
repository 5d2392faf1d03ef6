"""Google Gemini generateContent and streamGenerateContent: the codec.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from ccx.protocols.codec import Asked, Codec, Context, Encoded, NewId, Target
from ccx.protocols.gemini.request import decode_request, encode_request
from ccx.protocols.gemini.response import decode_response, encode_response
from ccx.protocols.gemini.stream_in import GeminiStreamDecoder
from ccx.protocols.gemini.stream_out import GeminiStreamEncoder
from ccx.protocols.ir import JsonObject, Request, Response
from ccx.protocols.names import Protocol


class GeminiCodec:
    """See `codec.Codec`; the modules of this package hold the rules."""

    protocol = Protocol.GEMINI

    def decode_request(self, body: JsonObject, *, model: str, stream: bool) -> Request:
        """A client's request. Raises ClientError 400, with the JSON path in Google's notation."""
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

    def stream_decoder(self, context: Context) -> GeminiStreamDecoder:
        """A decoder for one stream of an upstream, which must be asked for with `alt=sse`."""
        return GeminiStreamDecoder(context)

    def stream_encoder(self, asked: Asked, *, new_id: NewId, array: bool = False) -> GeminiStreamEncoder:
        """An encoder for one stream to a client. `array`: the client did not ask for `alt=sse`, so it is given a JSON
        array (content type `application/json`)."""
        return GeminiStreamEncoder(asked, new_id=new_id, array=array)


codec: Codec = GeminiCodec()
