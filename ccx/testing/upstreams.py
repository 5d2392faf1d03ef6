"""Upstreams that do what a drill's script says, behind the seam that the gateway talks to all upstreams through.

Law: a scripted upstream keeps the promises of `upstream.reply.Engine`: it fails with the errors that an engine with a
network raises, when that would raise them. Where the script says success it answers whatever was asked
in the words of the protocol; where it says nothing of a demo channel, the demo answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import Any, assert_never

import msgspec

from ccx.errors import ConnectError, ConnectionLost, UpstreamError, UpstreamTimeout
from ccx.protocols.failures import render_stream_error
from ccx.protocols.names import Protocol
from ccx.routing.facts import Facts
from ccx.spec.suite import RoutingTest, Scripted, ScriptedAnswer
from ccx.testing.asking import WORDS, written
from ccx.upstream.demo.answer import Answer, End, Piece, encode
from ccx.upstream.demo.engine import DemoEngine, DemoReply, pause
from ccx.upstream.demo.failures import GEMINI, MESSAGES, OPENAI, Failure, Shape
from ccx.upstream.demo.respond import respond
from ccx.upstream.demo.script import single
from ccx.upstream.reply import Call, Engine, Header, Reply

_SUFFIXES: tuple[tuple[bytes, Protocol], ...] = (
    (b"/messages", Protocol.MESSAGES),
    (b"/chat/completions", Protocol.CHAT),
    (b"/responses", Protocol.RESPONSES),
    (b"/images/generations", Protocol.IMAGES),
    (b"/embeddings", Protocol.EMBEDDINGS),
)
_SHAPES: Mapping[Protocol, Shape] = {Protocol.MESSAGES: MESSAGES, Protocol.GEMINI: GEMINI}
# Where a provider has no word for a failure, its message tells it.
_WORDS: Mapping[tuple[str, str], str] = {
    ("anthropic", "context_window"): "prompt is too long: 250000 tokens > 200000 maximum",
    ("anthropic", "content_filter"): "Output blocked by content filtering policy",
    ("gemini", "context_window"): "The input token count (1250000) exceeds the maximum number of tokens allowed.",
}
_VENDORS: Mapping[Protocol, str] = {Protocol.MESSAGES: "anthropic", Protocol.GEMINI: "gemini"}
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


@dataclass(slots=True)
class Asked:
    """One attempt as its upstream saw it. Times are seconds of the loop; `ended` grows while the answer is read."""

    channel: str
    model: str
    started: float
    ended: float
    what: str = ""


class Scripts:
    """What upstreams are to do, for one run of one test."""

    def __init__(self, test: RoutingTest) -> None:
        self._all = _endless(test.attempts) if test.attempts is not None else None
        self._of = {name: _endless(script) for name, script in (test.upstreams or {}).items()}
        self._of |= {name: _endless(("refused",)) for name in test.down or ()}

    def next(self, channel: str) -> Scripted | None:
        """What the next attempt at a channel meets; None where the script says nothing of it."""
        script = self._all if self._all is not None else self._of.get(channel)
        return next(script) if script is not None else None


def _endless(script: Iterable[Scripted]) -> Iterator[Scripted]:
    entries = list(script)
    return chain(entries, repeat(entries[-1]))


class ScriptedEngine:
    """An engine of one channel. Every attempt is put on the `log`."""

    def __init__(self, channel: str, scripts: Scripts, log: list[Asked], *, demo: bool) -> None:
        self._channel = channel
        self._scripts = scripts
        self._log = log
        self._demo: Engine | None = DemoEngine() if demo else None

    async def send(self, call: Call) -> Reply:
        """See `upstream.reply.Engine.send`."""
        clock = asyncio.get_running_loop().time
        asked = Asked(self._channel, _model(call), clock(), clock())
        self._log.append(asked)
        manner = self._scripts.next(self._channel)
        try:
            reply = await self._reply(call, manner)
        except UpstreamError as error:
            asked.what = manner if isinstance(manner, str) else _felt(error)
            raise
        finally:
            asked.ended = clock()
        asked.what = manner if isinstance(manner, str) else str(reply.status)
        return _Watched(reply, asked, scripted=isinstance(manner, str))

    async def aclose(self) -> None:
        """Nothing to close."""

    async def _reply(self, call: Call, manner: Scripted | None) -> Reply:
        limits = call.timeouts
        started = asyncio.get_running_loop().time()
        ends = None if limits.total is None else started + limits.total
        match manner:
            case None if self._demo is not None:
                return await self._demo.send(call)
            case None:
                answer = healthy(call, 200)
            case int():
                answer = healthy(call, manner) if manner < 300 else failing(call, ScriptedAnswer(status=manner))
            case ScriptedAnswer():
                well = manner.error is None and (manner.status or 200) < 300
                answer = healthy(call, manner.status or 200) if well else failing(call, manner)
            case "refused":
                raise ConnectError("the drill's upstream refuses connections")
            case "unreachable":
                await pause(None, idle=limits.connect, stage="connect", deadline=ends, aborted=asyncio.Event())
            case "stall" | "timeout":
                await pause(None, idle=limits.first_byte, stage="first_byte", deadline=ends, aborted=asyncio.Event())
            case "reset":
                raise ConnectionLost("the drill's upstream reset the connection", stage="first_byte")
            case "cut":
                answer = _broken(healthy(call, 200), End.CUT)
            case "stall_mid_stream":
                answer = _broken(healthy(call, 200), End.STALL)
            case "overloaded_mid_stream":
                answer = _overloaded(call, healthy(call, 200))
            case _:
                assert_never(manner)
        if manner in ("unreachable", "stall", "timeout"):
            raise UpstreamTimeout("the drill's upstream says nothing, without a limit", stage="total")
        return DemoReply(answer, idle=limits.idle, deadline=ends)


class _Watched:
    """A reply that tells when it was last heard of, and how it broke."""

    def __init__(self, reply: Reply, asked: Asked, *, scripted: bool) -> None:
        self.status = reply.status
        self.headers = reply.headers
        self._reply = reply
        self._asked = asked
        self._scripted = scripted

    async def next(self) -> bytes:
        """See `upstream.reply.Reply.next`."""
        try:
            return await self._reply.next()
        except UpstreamError as error:
            self._note(error)
            raise
        finally:
            self._asked.ended = asyncio.get_running_loop().time()

    async def read(self, limit: int) -> bytes:
        """See `upstream.reply.Reply.read`."""
        try:
            return await self._reply.read(limit)
        except UpstreamError as error:
            self._note(error)
            raise
        finally:
            self._asked.ended = asyncio.get_running_loop().time()

    def abort(self) -> None:
        """See `upstream.reply.Reply.abort`."""
        self._reply.abort()

    def _note(self, error: UpstreamError) -> None:
        if not self._scripted:
            self._asked.what = _felt(error)


def _felt(error: UpstreamError) -> str:
    """A failure that was not scripted, by the word a script has for it."""
    match error:
        case ConnectError():
            return "refused"
        case UpstreamTimeout(stage="connect"):
            return "unreachable"
        case UpstreamTimeout(stage="first_byte" | "total"):
            return "stall"
        case UpstreamTimeout():
            return "stall_mid_stream"
        case ConnectionLost(stage="body"):
            return "cut"
        case _:
            return "reset"


def _protocol(call: Call) -> Protocol:
    path = call.target.partition(b"?")[0]
    return next((protocol for suffix, protocol in _SUFFIXES if path.endswith(suffix)), Protocol.GEMINI)


def _body(call: Call) -> dict[str, Any]:
    found = msgspec.json.decode(b"".join(call.body))
    return found if isinstance(found, dict) else {}


def _model(call: Call) -> str:
    if _protocol(call) is Protocol.GEMINI:
        return call.target.partition(b"?")[0].rpartition(b"/models/")[2].rpartition(b":")[0].decode("latin-1")
    return str(_body(call).get("model") or "")


def healthy(call: Call, status: int, *, blocked: bool = False) -> Answer:
    """A good answer in the protocol that was asked, streamed if that was asked for. `blocked`: one of Gemini's that
    says, with a 200, that it says nothing."""
    protocol = _protocol(call)
    if protocol is Protocol.GEMINI:
        path, _, query = call.target.decode("latin-1").partition("?")
        action = path.rpartition(":")[2]
        streamed = action == "streamGenerateContent"
        sent = written(Facts(Protocol.GEMINI, "drill", stream=streamed))
        target = f"/v1beta/models/drill:{action}" + (f"?{query}" if query else "")
        body = sent.body.replace(WORDS.encode(), b"demo-content-filter") if blocked else sent.body
        answer = respond("POST", target, [], body)
    else:
        sent = written(Facts(protocol, "drill", stream=_body(call).get("stream") is True))
        answer = respond("POST", sent.path, [], sent.body)
    return replace(answer, status=status)


def failing(call: Call, said: ScriptedAnswer) -> Answer:
    """An error in the words of the provider."""
    protocol = _protocol(call)
    shape = _SHAPES.get(protocol, OPENAI)
    if shape is GEMINI and said.error == "content_filter" and said.status is None:
        return healthy(call, 200, blocked=True)
    vendor = _VENDORS.get(protocol, "openai")
    message = _WORDS.get((vendor, said.error or ""), "The drill's upstream fails, as scripted.")
    failure = Failure(said.status or 400, message, cause=said.error or "status")
    status = said.status if said.status is not None else shape.status(failure)
    body = dict(shape.body(replace(failure, status=status)))
    wait = said.retry_after
    extra: tuple[Header, ...] = ()
    if shape is GEMINI:
        body = _asking(body, wait)
    elif wait is not None:
        extra = ((b"retry-after-ms", str(wait).encode()), (b"retry-after", str(-(-wait // 1000)).encode()))
    return single(encode(body), status=status, extra=extra)


def _asking(body: dict[str, Any], wait: int | None) -> dict[str, Any]:
    """Google says in the body how long to wait (google.rpc.RetryInfo)."""
    error = dict(body["error"])
    details = [one for one in error.get("details", ()) if one.get("@type") != _RETRY_INFO]
    if wait is not None:
        details.append({"@type": _RETRY_INFO, "retryDelay": f"{wait / 1000:g}s"})
    return {"error": {**error, "details": details} if details else error}


def _overloaded(call: Call, answer: Answer) -> Answer:
    """The first half of a stream, and then an error in it; an error at once where it is none."""
    if len(answer.pieces) < 2:
        return failing(call, ScriptedAnswer(error="overloaded"))
    message = "The drill's upstream is overloaded, as scripted."
    error = Piece(0.0, render_stream_error(_protocol(call), kind="overloaded", message=message))
    return replace(answer, pieces=(*answer.pieces[: len(answer.pieces) // 2], error))


def _broken(answer: Answer, end: End) -> Answer:
    """The first half of an answer, ending within a piece."""
    pieces = answer.pieces
    middle = len(pieces) // 2
    torn = Piece(0.0, pieces[middle].data[: max(1, len(pieces[middle].data) // 2)])
    return replace(answer, pieces=(*pieces[:middle], torn), end=end)
