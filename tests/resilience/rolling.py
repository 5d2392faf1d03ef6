"""Two targets, each of which fails at random: how many errors reach clients, with failover and without.

`python -m tests.resilience.rolling --requests 4000 --rate 10%` prints the figures. A third of the requests each is
Messages, Chat, and Messages before Chat upstreams; half are streamed. A target fails by any of the table's faults that
are an upstream's own; keys that are refused and requests that are wrong are none such. Faults are drawn from the seed,
apart for each target. Time limits and cooldowns are short, since hours pass in seconds here. A third load is one where
routes say `midstream: continue`: an upstream that is asked to go on says one word more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import re
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import Action, FaultUpstream, Received, Respond
from tests.gateway import running
from tests.resilience.acts import sound
from tests.resilience.measure import PAIRS, WITHIN, Pair, heard
from tests.resilience.speech import TEXT, Speech, judged
from tests.resilience.table import COUNTED, FAULTS, Fault
from tests.runtime.chats import streamed
from tests.runtime.streams import Pieces

AT_ONCE = 16
LEGAL = re.compile(r"answer|cut|error event [a-z_]+|[45]\d\d [a-z_]+")
"""What a client may be given. All else would be an invented end, or half of something."""
MORE = " there"
"""What an upstream says that is asked to go on. A failing one that gets as far as its words says the usual ones."""
CONTINUED = re.compile(rf"another text: '(?:{TEXT})+(?:{MORE})?'")

_OWN = (COUNTED, "rate_limit 5 s")
ROLLED = tuple(
    fault
    for fault in FAULTS
    if not isinstance(fault.fault, str)
    and fault.whole.attempts[0] != "ok"
    and fault.streamed.attempts[0] != "ok"
    and {fault.whole.state, fault.streamed.state} <= set(_OWN)
)


@dataclass(slots=True)
class Tally:
    """What came of one load. `seen` counts what clients saw; `why` for each error the faults that its request met;
    `late` those that came after a part of the answer, `spent` those for which all attempts were used, `alone` those
    where no other target was asked, being left alone for the moment. `continued` answers come from two targets."""

    requests: int = 0
    calls: int = 0
    failures: int = 0
    late: int = 0
    spent: int = 0
    alone: int = 0
    continued: int = 0
    seconds: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)

    @property
    def errors(self) -> int:
        """Requests that did not get their answer."""
        return self.requests - self.seen["answer"]

    @property
    def rate(self) -> float:
        """Their share."""
        return self.errors / self.requests


async def rolled(requests: int, rate: float, *, attempts: int, seed: int = 1, midstream: str = "error") -> Tally:
    """Send a load. Raises AssertionError where a client is given what none should be, TimeoutError where it hangs."""
    tally, met = Tally(), defaultdict[str, list[Fault]](list)
    draws = {name: random.Random(f"{seed} {name}") for pair in PAIRS for name in _channels(pair)}
    by_channel = {name: pair for pair in PAIRS for name in _channels(pair)}

    def choose(request: Received) -> Action:
        tally.calls += 1
        channel = request.target.split("/")[1]
        speech, draw = by_channel[channel].upstream, draws[channel]
        stream = b'"stream":true' in request.body.replace(b" ", b"")
        fault = draw.choice(ROLLED) if draw.random() < rate else None
        if fault is None:
            return _more(speech) if len(json.loads(request.body)["messages"]) > 1 else sound(speech, stream)
        tally.failures += 1
        asked = re.search(rb'"model": ?"([^"]+)"', request.body)
        assert asked is not None
        met[asked[1].decode()].append(fault)
        assert not isinstance(fault.fault, str)
        return fault.fault(speech, stream)

    begun, environ = time.monotonic(), {"KEY": "sk-key-of-the-upstream"}
    with tempfile.TemporaryDirectory() as folder:
        async with (
            FaultUpstream([Respond(choose)]) as upstream,
            running(_spec(upstream.url, attempts, midstream), Path(folder), environ=environ) as gw,
        ):
            left = iter(range(requests))

            async def client() -> None:
                for number in left:
                    pair, stream = PAIRS[number % len(PAIRS)], number // len(PAIRS) % 2 == 0
                    model, speech = f"{pair.name}.{number}", pair.client
                    async with asyncio.timeout(WITHIN):
                        got = await heard(gw.client, speech.path, speech.ask(model, stream=stream))
                    seen = judged(speech, got, stream=stream)
                    if midstream == "continue" and CONTINUED.fullmatch(seen):
                        tally.continued += 1
                        seen = "answer"
                    assert LEGAL.fullmatch(seen), (model, seen, [fault.name for fault in met[model]])
                    tally.requests += 1
                    tally.seen[seen] += 1
                    if seen != "answer":
                        tally.why[
                            " → ".join(fault.name for fault in met[model]) or "none: too slow for the limits"
                        ] += 1
                        if got.status == 200:
                            tally.late += 1
                        elif len(met[model]) >= attempts:
                            tally.spent += 1
                        else:
                            tally.alone += 1

            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(client())
    tally.seconds = time.monotonic() - begun
    return tally


def _channels(pair: Pair) -> tuple[str, str]:
    return f"{pair.name}-a", f"{pair.name}-b"


def _more(speech: Speech) -> Action:
    """What a healthy upstream says that is asked to go on."""
    if speech.name == "chat":
        return streamed(MORE)
    return Pieces([piece.replace(b'"hi"', json.dumps(MORE).encode()) for piece in speech.pieces])


def _spec(url: str, attempts: int, midstream: str) -> str:
    lines = ["version: ccx/v1", "channels:"]
    lines += [
        f"  {name}: {{protocol: {pair.upstream.name}, base_url: '{url}/{name}', keys: {{env: KEY}}, "
        "timeouts: {connect: 2s, first_byte: 600ms, idle: 600ms, total: 1200ms}, cooldown: {rate_limit: 50ms}}"
        for pair in PAIRS
        for name in _channels(pair)
    ]
    lines.append(
        f"defaults: {{failover: {{attempts: {attempts}, midstream: {midstream}, deadline: 10s, "
        "backoff: {initial: 5ms, max: 100ms}}}"
    )
    lines.append("routes:")
    lines += [
        f"  - {{name: {pair.name}, when: {{model: '{pair.name}.*'}}, "
        f"to: [{{balance: round_robin, targets: [{', '.join(_channels(pair))}]}}]}}"
        for pair in PAIRS
    ]
    return "\n".join(lines) + "\n"


def report(tallies: dict[str, Tally], *, why: int = 12) -> str:
    """The figures."""
    lines = ["| | requests | calls | failed | errors seen | before the answer | within it | by kind |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name, tally in tallies.items():
        kinds = ", ".join(f"{kind} {count}" for kind, count in tally.seen.most_common() if kind != "answer")
        failed = f"{tally.failures:,} ({tally.failures / tally.calls:.1%})"
        errors = f"{tally.errors} ({tally.rate:.2%}) | {tally.spent + tally.alone} | {tally.late}"
        lines.append(f"| {name} | {tally.requests:,} | {tally.calls:,} | {failed} | {errors} | {kinds} |")
    for name, tally in tallies.items():
        lines.append(
            f"\n{name}: {tally.seconds:.0f} s; all attempts failed {tally.spent}, the other target left alone "
            f"{tally.alone}, cut within the answer {tally.late}, answers of two targets {tally.continued}"
        )
        lines += [f"  {count:4}  {faults}" for faults, count in tally.why.most_common(why)]
    return "\n".join(lines)


def _share(text: str) -> float:
    return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rate", type=_share, default=0.1, help="share of calls that fail: 10%% or 0.1")
    parser.add_argument("--attempts", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.getLogger("uvicorn.error").disabled = True  # it tells of every connection that was cut on purpose
    tallies = {
        name: asyncio.run(
            rolled(options.requests, options.rate, attempts=attempts, seed=options.seed, midstream=midstream)
        )
        for name, attempts, midstream in (
            (f"{options.attempts} attempts", options.attempts, "error"),
            (f"{options.attempts} attempts, midstream: continue", options.attempts, "continue"),
            ("no failover", 1, "error"),
        )
    }
    print(report(tallies))


if __name__ == "__main__":
    main()
