"""A waiting queue: whose turn it is, among clients that wait for the same thing.

Laws
- No more than `size` wait at once. Where the queue is full and one client has at least two more in it than the client
  that comes, the latest of that client makes room (longest queue drop): one that sends much cannot keep the others out.
- One at a time has the turn, and keeps it until it leaves or its time is over. Who never waits never has it.
- Turns go round between clients, each with a queue of its own, served by arrival: of two clients that always have
  somebody waiting neither is served more than once more than the other. It is deficit round robin where all weigh the
  same. A client whose waiter leaves without having been served keeps its place in the round.
- Time is an argument: seconds of any one clock that does not run backwards.

What is waited for is not known here, nor how; that is the caller's.

Round robin between the senders: Nagle, RFC 970. Deficit round robin: Shreedhar and Varghese, "Efficient Fair Queueing
using Deficit Round Robin", SIGCOMM 1995. Dropping from the longest: Suter et al., "Buffer management schemes for
supporting TCP in gigabit routers with per-flow queueing", IEEE JSAC 17 (1999); RFC 8290, section 4.1.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Place:
    """Somebody who waits: since when, and until when at most."""

    client: str
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Joined:
    """A place in the queue. `displaced` had to leave for it, and has left."""

    place: Place
    displaced: Place | None = None


class FairQueue:
    """See the module. `size` may be changed; who waits already stays."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._waiting: OrderedDict[str, deque[Place]] = OrderedDict()  # clients in the order of their turns
        self._count = 0
        self._holder: Place | None = None

    def join(self, client: str, *, now: float, until: float) -> Joined | None:
        """Wait. None if the queue is full."""
        displaced = None
        if self._count >= self.size:
            displaced = self._longest_of(client)
            if displaced is None:
                return None
            self.leave(displaced, served=False)
        place = Place(client, now, until)
        self._waiting.setdefault(client, deque()).append(place)
        self._count += 1
        return Joined(place, displaced)

    def turn(self, now: float) -> Place | None:
        """Who has the turn; None if nobody waits whose time is not over."""
        if self._holder is None or self._holder.until <= now:
            places = (place for queue in self._waiting.values() for place in queue if place.until > now)
            self._holder = next(places, None)
        return self._holder

    def leave(self, place: Place, *, served: bool) -> None:
        """Wait no more. Harmless for who has left already."""
        queue = self._waiting.get(place.client)
        if queue is None or place not in queue:
            return
        queue.remove(place)
        self._count -= 1
        if place is self._holder:
            self._holder = None
        if not queue:
            del self._waiting[place.client]
        elif served:
            self._waiting.move_to_end(place.client)

    def clients(self) -> dict[str, int]:
        """How many wait of each client, in the order of their turns."""
        return {client: len(queue) for client, queue in self._waiting.items()}

    def __len__(self) -> int:
        """How many wait."""
        return self._count

    def _longest_of(self, client: str) -> Place | None:
        """The latest of the client that has the most, if it has at least two more than this one."""
        longest = max(self._waiting.values(), key=len)
        own = self._waiting.get(client)
        return longest[-1] if len(longest) > (len(own) if own is not None else 0) + 1 else None
