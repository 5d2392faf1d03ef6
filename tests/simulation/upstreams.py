"""Upstreams that fail, dawdle and answer by chance, each call of which is written down."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from ccx.errors import UpstreamError, UpstreamStage
from ccx.routing.facts import Facts
from ccx.spec.suite import RoutingTest, Scripted, ScriptedAnswer
from ccx.testing.asking import written
from ccx.testing.upstreams import Asked, ScriptedEngine, Scripts, _body, _broken, _model, _protocol
from ccx.upstream.demo.answer import End, Piece
from ccx.upstream.demo.engine import DemoReply, pause
from ccx.upstream.demo.respond import respond
from ccx.upstream.reply import Call, Reply
from tests.simulation.oracles import number

FAILURES: tuple[Scripted, ...] = (
    *("refused", "unreachable", "stall", "reset", "cut", "stall_mid_stream"),
    *(400, 401, 402, 403, 404, 408, 413, 429, 500, 503, 529),
    ScriptedAnswer.model_validate({"status": 429, "retry_after": "300ms"}),
    ScriptedAnswer.model_validate({"status": 503, "retry_after": "200ms"}),
    ScriptedAnswer.model_validate({"status": 429, "retry_after": "60s"}),
    ScriptedAnswer(error="overloaded"),
    ScriptedAnswer(error="quota"),
    ScriptedAnswer(error="context_window"),
    ScriptedAnswer(error="content_filter"),
)


@dataclass(slots=True, eq=False)
class Made:
    """A call as its upstream saw it: by which request, with which key, from when to when, and how it failed before
    anything of an answer was read."""

    request: int
    channel: str
    key: str
    model: str
    started: float
    answered: float | None = None
    ended: float | None = None
    manner: Scripted | None = None
    failed: bool = False

    @property
    def wait(self) -> float | None:
        """Seconds that the upstream asked to wait."""
        manner = self.manner
        return manner.retry_after / 1000 if isinstance(manner, ScriptedAnswer) and manner.retry_after else None


class Chance(Scripts):
    """Each channel fails with a likelihood of its own."""

    def __init__(self, rng: random.Random, failing: dict[str, float]) -> None:
        super().__init__(RoutingTest.model_construct(attempts=None, upstreams=None, down=None))
        self._rng = rng
        self._failing = failing

    def next(self, channel: str) -> Scripted | None:
        return self._rng.choice(FAILURES) if self._rng.random() < self._failing[channel] else 200


class Engine(ScriptedEngine):
    """One channel. `slow` is the likelihood of an answer that takes up to `longest` seconds to begin. `calling` is
    asked at each call, before it is made."""

    def __init__(
        self,
        channel: str,
        scripts: Scripts,
        made: list[Made],
        *,
        rng: random.Random,
        slow: float,
        longest: float,
        calling: Callable[[Made], None],
    ) -> None:
        self._asked: list[Asked] = []
        super().__init__(channel, scripts, self._asked, demo=False)
        self._made, self._rng = made, rng
        self._slow, self._longest, self._calling = slow, longest, calling

    async def send(self, call: Call) -> Reply:
        headers = dict(call.headers)
        key = headers.get(b"x-api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        loop = asyncio.get_running_loop()
        made = Made(number.get(), self._channel, key.decode(), "", loop.time())
        self._made.append(made)
        self._calling(made)
        try:
            reply = await super().send(call)
        except BaseException as error:
            made.ended = loop.time()
            made.failed = isinstance(error, UpstreamError)
            raise
        finally:
            made.model = self._asked.pop().model
        made.failed = reply.status >= 300
        made.answered = loop.time()
        return _Heard(reply, made)

    async def _reply(self, call: Call, manner: Scripted | None) -> Reply:
        begun = asyncio.get_running_loop().time()
        made = self._made[-1]
        if self._rng.random() < self._slow:
            limits = call.timeouts
            stage: UpstreamStage = "connect" if self._rng.random() < 0.3 else "first_byte"
            limit = limits.connect if stage == "connect" else limits.first_byte
            waits = self._rng.uniform(0.05, self._longest)
            ends = None if limits.total is None else begun + limits.total
            await pause(waits, idle=limit, stage=stage, deadline=ends, aborted=asyncio.Event())
        made.manner = manner
        if manner not in (200, "cut", "stall_mid_stream"):
            return await super()._reply(call, manner)
        protocol, streamed = _protocol(call), _body(call).get("stream") is True
        sent = written(Facts(protocol, _model(call), stream=streamed))
        answer = respond("POST", sent.path, [], sent.body)
        if streamed:
            pace = self._rng.choice((0.0, 0.0, 0.03))
            answer = replace(answer, pieces=tuple(Piece(pace, piece.data) for piece in answer.pieces))
        if manner != 200:
            answer = _broken(answer, End.CUT if manner == "cut" else End.STALL)
        total = call.timeouts.total
        return DemoReply(answer, idle=call.timeouts.idle, deadline=None if total is None else begun + total)


class _Heard:
    """A reply whose end is written down: read to it, broken, or let go of."""

    def __init__(self, reply: Reply, made: Made) -> None:
        self.status, self.headers = reply.status, reply.headers
        self._reply, self._made = reply, made

    async def next(self) -> bytes:
        try:
            found = await self._reply.next()
        except BaseException:
            self._end()
            raise
        if not found:
            self._end()
        return found

    async def read(self, limit: int) -> bytes:
        try:
            return await self._reply.read(limit)
        finally:
            self._end()

    def abort(self) -> None:
        self._reply.abort()
        self._end()

    def _end(self) -> None:
        if self._made.ended is None:
            self._made.ended = asyncio.get_running_loop().time()
