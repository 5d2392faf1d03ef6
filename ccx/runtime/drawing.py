"""A request for images, new or edited, served by an image model that speaks Gemini.

Law: as of a conversion: a request is encoded once for all targets, what it loses is named, large answers are read in a
thread. An image comes whole and is converted whole, whatever the client asked for, so that one that was declined may
still be had from another target.
"""

from __future__ import annotations

import asyncio
import time

import msgspec

from ccx.errors import BadReply, ClientError
from ccx.protocols import images
from ccx.protocols.body import Body
from ccx.protocols.codec import Context
from ccx.protocols.image_edits import edit_of_form, edit_of_json
from ccx.protocols.ir import JsonObject
from ccx.protocols.multipart import Form
from ccx.protocols.names import Operation
from ccx.routing.decide import Choice
from ccx.runtime.convert import OFF_LOOP_BYTES, Converted, decoded_body, loss_names

_encode = msgspec.json.Encoder().encode


class Drawing:
    """One client's request for images. `stream`: the client wants its answer as a stream."""

    def __init__(self, body: Body | Form, operation: Operation, *, stream: bool) -> None:
        self._body = body
        self._edits = operation is Operation.EDIT
        self._asked: JsonObject = {}
        self._sent: tuple[bytes, tuple[str, ...], tuple[str, ...]] | None = None
        self.stream = stream

    async def request_for(self, choice: Choice) -> Converted:
        """The request for this choice. Raises ClientError 400 for what is no request for images."""
        if self._sent is None:
            large = len(self._body.raw) >= OFF_LOOP_BYTES
            self._sent = await asyncio.to_thread(self._encode) if large else self._encode()
        body, lost, rejected = self._sent
        return Converted(body, Context(choice.channel.dialect, choice.model or ""), lost, rejected)

    def _encode(self) -> tuple[bytes, tuple[str, ...], tuple[str, ...]]:
        body = self._body
        if self._edits:
            asked = edit_of_form(body) if isinstance(body, Form) else edit_of_json(decoded_body(body))
            self._asked = asked.fields
            payload, losses = images.edit_to_gemini(asked)
        elif isinstance(body, Form):
            raise ClientError(400, "invalid_request", "This request is to be JSON, not a form.")
        else:
            self._asked = decoded_body(body)
            payload, losses = images.to_gemini(self._asked)
        rejected = loss_names(loss for loss in losses if not loss.approximate)
        return _encode(payload), loss_names(losses), rejected

    async def answer(self, body: bytes) -> tuple[bytes, tuple[str, ...]]:
        """The client's answer, and what was lost. Raises ClientError 400 where the provider declined, in its words;
        BadReply for an answer that is none."""
        return self._answer(body) if len(body) < OFF_LOOP_BYTES else await asyncio.to_thread(self._answer, body)

    def _answer(self, body: bytes) -> tuple[bytes, tuple[str, ...]]:
        try:
            decoded = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadReply(f"the reply is not JSON: {error}", stage="body") from None
        if not isinstance(decoded, dict):
            raise BadReply("the reply is not a JSON object", stage="body")
        drawn, created = images.from_gemini(decoded, edited=self._edits), int(time.time())
        if self.stream:
            shown = images.streamed(drawn, created=created, made="image_edit" if self._edits else "image_generation")
        else:
            shown = _encode(images.whole(drawn, self._asked, created=created))
        return shown, loss_names(drawn.losses)
