"""A request's head as bytes.

Law: what is written is exactly one head. A value that could end a line, and a header that would frame the message a
second time, are refused rather than cleaned: whoever built the call has a bug, and a guess would hide it.
"""

from __future__ import annotations

from ccx.errors import GatewayError
from ccx.upstream.reply import Call

# The engine frames the message; a second opinion about its length is how request smuggling starts (RFC 9112, 11.2).
_REFUSED = frozenset({b"", b"host", b"content-length", b"transfer-encoding"})
_BODY_METHODS = frozenset({b"POST", b"PUT", b"PATCH"})


def encode_head(call: Call, host: bytes, *, size: int) -> bytes:
    """The request line and header section (RFC 9112), ending in an empty line.

    `host` is the value of the Host header, `size` the length of the body in bytes.
    Raises GatewayError for a target or header that is not one line, or that frames the message.
    """
    if not call.target.startswith(b"/"):
        raise GatewayError(500, "api_error", "the request to the upstream has no absolute path")
    names = [name for name, _ in call.headers]
    # Searched as one, since a search that finds nothing is much cheaper than the call that starts it.
    joined = b"\0".join(names)
    if b":" in joined or b" " in joined or not _REFUSED.isdisjoint(joined.lower().split(b"\0") if names else ()):
        bad = next((n for n in names if n.lower() in _REFUSED or b":" in n or b" " in n), joined)
        raise GatewayError(500, "api_error", f"the request to the upstream has a bad header name {bad!r}")
    lines = [b"%b %b HTTP/1.1" % (call.method, call.target), b"host: " + host, *map(b": ".join, call.headers)]
    if size or call.method in _BODY_METHODS:
        lines.append(b"content-length: %d" % size)
    text = b"".join(lines)
    if b"\n" in text or b"\r" in text or b"\0" in text or lines[0].count(b" ") != 2:
        raise GatewayError(500, "api_error", "the request to the upstream holds a control character or a bad target")
    lines.append(b"\r\n")
    return b"\r\n".join(lines)
