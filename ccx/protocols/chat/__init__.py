"""The codec of OpenAI Chat Completions, which most vendors speak, each in its dialect.

Sources: https://platform.openai.com/docs/api-reference/chat; those of the vendors stand where they are followed.
"""

from __future__ import annotations

from typing import Final

from ccx.protocols.chat.request_decoder import decode_request
from ccx.protocols.chat.request_encoder import encode_request
from ccx.protocols.chat.response_decoder import decode_response
from ccx.protocols.chat.response_encoder import encode_response
from ccx.protocols.chat.stream_decoder import ChatStreamDecoder
from ccx.protocols.chat.stream_encoder import ChatStreamEncoder
from ccx.protocols.codec import Asked, Codec, Context, Encoded, NewId, StreamDecoder, StreamEncoder, Target
from ccx.protocols.ir import JsonObject, Request, Response
from ccx.protocols.names import Protocol


class ChatCodec:
    """See `ccx.protocols.codec.Codec`."""

    protocol = Protocol.CHAT

    def decode_request(self, body: JsonObject, *, model: str, stream: bool) -> Request:
        return decode_request(body, model=model, stream=stream)

    def encode_request(self, request: Request, target: Target, *, new_id: NewId) -> Encoded:
        return encode_request(request, target, new_id=new_id)

    def decode_response(self, body: JsonObject, context: Context) -> Response:
        return decode_response(body, context)

    def encode_response(self, response: Response, asked: Asked, *, new_id: NewId) -> Encoded:
        return encode_response(response, asked, new_id=new_id)

    def stream_decoder(self, context: Context) -> StreamDecoder:
        return ChatStreamDecoder(context)

    def stream_encoder(self, asked: Asked, *, new_id: NewId) -> StreamEncoder:
        return ChatStreamEncoder(asked, new_id=new_id)


codec: Final[Codec] = ChatCodec()
