"""A request of a session, decided by the highest count of tokens that its session has shown of late.

Law: what is remembered changes the decision and nothing else: limits, prices and answers go by the request's own count.
One look at the store for each request that takes part, and its own count is noted in the same step. Counting the tokens
of a request never notes them: nobody has been asked to answer it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from ccx.protocols.body import Body
from ccx.protocols.names import Operation
from ccx.routing.decide import Decision, NeedsTokens
from ccx.routing.sticky import by_highest, is_remembered, takes_part
from ccx.runtime.understand import Request, session_of
from ccx.state.marks import Marks
from ccx.tokens.counter import TokenCounter


def session_key(request: Request) -> bytes | None:
    """A digest of the session as the client names it, and of the client; None where it names none."""
    body = request.body if isinstance(request.body, Body) else None
    found = session_of(request.endpoint.protocol, request.inbound, body)
    return scoped(request, found) if found is not None else None


def scoped(request: Request, found: str) -> bytes:
    """A digest of something that one client says, so that another's is another."""
    owner = request.client.name if request.client is not None else ""
    return hashlib.blake2b(f"{owner}\0{found}".encode("utf-8", "surrogateescape"), digest_size=16).digest()


async def decide_sticky(
    request: Request,
    marks: Marks,
    *,
    window: float,
    counter: TokenCounter,
    count: Callable[[Request], Awaitable[int]],
    now: Callable[[], float] = time.time,
) -> Decision | NeedsTokens:
    """The decision for a request on a table with `tokens.sticky` of `window` seconds. `count` counts its tokens, and is
    asked only where some rule of the table could tell the count from none. Raises what `count` raises."""
    decider, facts = request.live.decider, request.facts
    least = request.live.least_tokens
    if least is None or not takes_part(decider, facts):
        return decider.decide(facts)
    session = session_key(request)
    if session is None:
        return decider.decide(facts)
    raw = request.body.raw
    bound = counter.upper_bound(raw, below=least) if len(raw) < least else None
    counted = await count(request) if bound is None or bound >= least else None
    request.facts = own = replace(facts, input_tokens=counted, tokens_at_most=bound)
    decision = decider.decide(own)
    assert isinstance(decision, Decision)  # noqa: S101 - counted, or below whatever is asked
    noted = counted if is_remembered(decision) and request.endpoint.operation is not Operation.COUNT_TOKENS else None
    highest = await marks.mark(session, noted, window=window, now=now())
    judged = by_highest(decider, own, highest)
    if judged is None:
        return decision
    request.exchange.sticky_tokens = highest
    return judged
