"""A head is exactly one head, whatever its parts hold."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ccx.errors import GatewayError
from ccx.upstream.head import encode_head
from ccx.upstream.reply import Call, Origin, Timeouts

TIMEOUTS = Timeouts(connect=1, first_byte=1, idle=1, total=1)
FRAMING = {b"host", b"content-length", b"transfer-encoding"}
names = st.sampled_from([b"x", b"Accept", b"Host", b"CONTENT-length", b"transfer-encoding", b"x-host", b""])
odd = st.text(st.sampled_from("ab:\r\n\0 \t\x85\xff"), max_size=3).map(lambda text: text.encode("latin-1"))


def call(method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> Call:
    return Call(method, Origin(False, "upstream", 80), target, headers, (), TIMEOUTS)


def plainly(asked: Call, host: bytes, size: int) -> bytes | None:
    """The head, byte by byte by the rules; None where it has to be refused."""
    parts = [asked.method, asked.target, host, *(part for header in asked.headers for part in header)]
    if any(byte in part for part in parts for byte in (b"\r", b"\n", b"\0")):
        return None
    if not asked.target.startswith(b"/") or b" " in asked.method + asked.target:
        return None
    out = asked.method + b" " + asked.target + b" HTTP/1.1\r\nhost: " + host + b"\r\n"
    for name, value in asked.headers:
        if not name or name.lower() in FRAMING or b":" in name or b" " in name:
            return None
        out += name + b": " + value + b"\r\n"
    if size or asked.method == b"POST":
        out += b"content-length: %d\r\n" % size
    return out + b"\r\n"


@given(
    st.sampled_from([b"POST", b"GET", b"G T", b"GET\r\n"]),
    st.just(b"/v1") | odd.map(lambda part: b"/" + part) | odd,
    st.lists(st.tuples(names | odd, st.just(b"v: w") | odd), max_size=5),
    st.just(b"upstream:80") | odd,
    st.sampled_from([0, 7]),
)
@example(b"POST", b"/", [(b"a\0host", b"")], b"u", 0)
@example(b"POST", b"/", [], b"u", 0)
@example(b"GET", b"/", [(b"a", b"b"), (b"c", b"")], b"u", 0)
def test_a_head_is_one_head(
    method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], host: bytes, size: int
) -> None:
    asked = call(method, target, headers)
    expected = plainly(asked, host, size)
    if expected is None:
        with pytest.raises(GatewayError):
            encode_head(asked, host, size=size)
    else:
        assert encode_head(asked, host, size=size) == expected


def test_a_refused_name_is_shown() -> None:
    with pytest.raises(GatewayError, match="bad header name b'Host'"):
        encode_head(call(b"GET", b"/", [(b"fine", b""), (b"Host", b"x")]), b"u", size=0)
