"""A request's head as bytes.

Law: what is written is exactly one head. A value that could end a line, and a header that would frame the message a
second time, are refused rather than cleaned: whoever built the call has a bug, and a guess would hide it.
"""

from __future__ import annotations

from ccx.errors import GatewayError
from ccx.upstream.reply import Call

# The engine frames the message; a second opinion about its length is how request smuggling starts (RFC 9112, 11.2).
_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding"})
_BODY_METHODS = frozenset({b"POST", b"PUT", b"PATCH"})


def encode_head(call: Call, host: bytes, *, size: int) -> bytes:
    """The request line and header section (RFC 9112), ending in an empty line.

    `host` is the value of the Host header, `size` the length of the body in bytes.
    Raises GatewayError for a target or header that is not one line, or that frames the message.
    """
    if not call.target.startswith(b"/"):
        raise GatewayError(500, "api_error", "the request to the upstream has no absolute path")
    lines = [b"%b %b HTTP/1.1" % (call.method, call.target), b"host: " + host]
    for name, value in call.headers:
        if name.lower() in _FRAMING or not name or b":" in name or b" " in name:
            raise GatewayError(500, "api_error", f"the request to the upstream has a bad header name {name!r}")
        lines.append(name + b": " + value)
    if size or call.method in _BODY_METHODS:
        lines.append(b"content-length: %d" % size)
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    # n lines and an empty one hold n + 1 line ends: one more of either byte came out of a name or a value.
    ends = len(lines) + 1
    if head.count(b"\n") != ends or head.count(b"\r") != ends or b"\0" in head or lines[0].count(b" ") != 2:
        raise GatewayError(500, "api_error", "the request to the upstream holds a control character or a bad target")
    return head
