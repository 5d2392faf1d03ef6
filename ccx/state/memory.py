"""Counters of one process: requests under way, whose turn it is, and how long targets take to begin an answer.

Law: kept by stable ids, so that they survive a swap of the table, and bounded: what no table names any more is dropped,
and turns beyond `TURNS_KEPT` forget the one unused for longest, which costs no more than a cycle begun anew. Requests
under way are never forgotten while they are; their number bounds them. Single-threaded, as the event loop is.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection

from ccx.state.latency import PeakEwma

TURNS_KEPT = 10_000
LATEST = 0.1
"""What the latest request counts for in a moving average."""
USUAL_ANSWER = 500
"""Tokens of an answer while nothing is known."""


class MemoryState:
    """What balancing looks at (`ccx.routing.select.StateView`)."""

    __slots__ = ("_answers", "_cached", "_inflight", "_latencies", "_smooth", "_turns")

    def __init__(self) -> None:
        self._latencies: dict[str, PeakEwma] = {}
        self._cached: dict[str, float] = {}
        self._answers: dict[str, float] = {}
        self._inflight: Counter[str] = Counter()
        self._turns: OrderedDict[str, int] = OrderedDict()
        self._smooth: OrderedDict[tuple[str, tuple[int, ...]], list[int]] = OrderedDict()

    def begin(self, channel: str, fingerprint: str | None = None) -> None:
        """A request is under way at a channel, with the key of this fingerprint if it takes one."""
        self._inflight[channel] += 1
        if fingerprint is not None:
            self._inflight[f"{channel}/{fingerprint}"] += 1

    def end(self, channel: str, fingerprint: str | None = None) -> None:
        """That request is over. Exactly one for each `begin`, with the same arguments."""
        self._less(channel)
        if fingerprint is not None:
            self._less(f"{channel}/{fingerprint}")

    def inflight(self, id: str, /) -> int:  # noqa: A002  # positional only: an id is what it is
        """Requests under way at a channel, or with a key as `channel/fingerprint`."""
        return self._inflight.get(id, 0)

    def began(self, id: str, seconds: float, now: float, /) -> None:  # noqa: A002  # likewise
        """A target took so long to begin its answer."""
        known = self._latencies.get(id)
        if known is None:
            self._latencies[id] = PeakEwma(seconds, now)
        else:
            known.add(seconds, now)

    def latency(self, id: str, now: float, /) -> float:  # noqa: A002  # likewise
        """How long a target takes to begin its answer, in seconds; 0 where nothing is known of late."""
        known = self._latencies.get(id)
        return known.value(now) if known is not None else 0.0

    def prompted(self, channel: str, tokens: int, cached: int, /) -> None:
        """A prompt of so many tokens was answered, of which so many came from the provider's cache."""
        if tokens > 0:
            share = min(1.0, cached / tokens)
            self._cached[channel] = self._cached.get(channel, share) * (1 - LATEST) + share * LATEST

    def cached_share(self, channel: str, /) -> float:
        """The share of prompts that a channel's cache has had of late, 0 to 1."""
        return self._cached.get(channel, 0.0)

    def answered(self, client: str, tokens: int, /) -> None:
        """A client was given an answer of so many tokens."""
        self._answers[client] = self._answers.get(client, tokens) * (1 - LATEST) + tokens * LATEST

    def answer_length(self, client: str, /) -> int:
        """How long a client's answers have been of late, in tokens."""
        return round(self._answers.get(client, USUAL_ANSWER))

    def turn(self, id: str, /) -> int:  # noqa: A002  # likewise
        """0, 1, 2, ... : one more with each call."""
        turn = self._turns.get(id, 0)
        self._turns[id] = turn + 1
        self._turns.move_to_end(id)
        if len(self._turns) > TURNS_KEPT:
            self._turns.popitem(last=False)
        return turn

    def smooth(self, id: str, weights: tuple[int, ...], /) -> int:  # noqa: A002  # likewise
        """The next index by smooth weighted round robin, as nginx does it.

        Each gains its weight, the highest is taken (of equals the first) and loses the sum of all: over a cycle of
        that sum each has exactly its share, evenly spread. Raises ValueError unless some weight is positive.
        https://github.com/nginx/nginx/commit/52327e0627f49dbda1e8db695e63a4b0af4448b1
        """
        total = sum(weights)
        if total < 1:
            raise ValueError(f"no positive weight in {weights!r}")
        current = self._smooth.setdefault((id, weights), [0] * len(weights))
        self._smooth.move_to_end((id, weights))
        if len(self._smooth) > TURNS_KEPT:
            self._smooth.popitem(last=False)
        for place, weight in enumerate(weights):
            current[place] += weight
        chosen = max(range(len(weights)), key=current.__getitem__)
        current[chosen] -= total
        return chosen

    def retain(self, names: Collection[str], clients: Collection[str] = ()) -> None:
        """Forget turns of what no table names: ids whose part before the first `#` or `/` is not among `names`."""

        def kept(id_: str) -> bool:
            return id_.partition("#")[0].partition("/")[0] in names

        self._answers = {client: length for client, length in self._answers.items() if client in clients}
        self._cached = {channel: share for channel, share in self._cached.items() if channel in names}
        self._latencies = {id_: known for id_, known in self._latencies.items() if kept(id_)}
        self._turns = OrderedDict((id_, turn) for id_, turn in self._turns.items() if kept(id_))
        self._smooth = OrderedDict((key, value) for key, value in self._smooth.items() if kept(key[0]))

    def __len__(self) -> int:
        """How many entries there are."""
        return (
            len(self._inflight)
            + len(self._latencies)
            + len(self._cached)
            + len(self._answers)
            + len(self._turns)
            + len(self._smooth)
        )

    def _less(self, id_: str) -> None:
        left = self._inflight[id_] - 1
        if left > 0:
            self._inflight[id_] = left
        else:
            # At none the entry goes, so that ids of removed channels leave with their last request.
            del self._inflight[id_]
