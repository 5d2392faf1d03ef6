"""What is left of a stream at its end."""

from __future__ import annotations

import pytest

from ccx.errors import BadReply
from ccx.runtime.relay import Tail


@pytest.mark.parametrize(
    "last",
    [
        b"",
        b"data: [DONE]",
        b"data: [DONE]\n",
        b'event: message_stop\ndata: {"type":"message_stop"}\n',
        b'data: {"a":1}\r\n',
        b'data: {"a":\ndata: 1}',
        b"data:",
        b": bye",
    ],
)
def test_an_event_without_its_blank_line_is_one(last: bytes) -> None:
    tail = Tail()
    assert tail.pass_on(b"data: {}\n\n" + last) == b"data: {}\n\n"
    assert tail.rest() == last


@pytest.mark.parametrize("last", [b'data: {"a":', b"data: [DON", b'event: error\ndata: {"type":"er'])
def test_half_an_event_is_a_cut(last: bytes) -> None:
    tail = Tail()
    assert tail.pass_on(last) == b""
    with pytest.raises(BadReply, match="within an event"):
        tail.rest()
