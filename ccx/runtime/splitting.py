"""One request before two tables, while a new one is tried beside the one in force: who may call, and which serves it.

Law: whoever the newest table refuses is refused at once, whatever the share: a key that was taken out, a client that
was disabled, a model that it may no longer use. What only the newest table lets in is served by it. For everybody else
the session decides, and a request is then served wholly by one table: its clients, limits, bounds and routes. The body
is read before that is known, within the wider bounds of the two, and held to those of its table afterwards.

A session is the id that the client sends; without one, the client and what its prompt begins with; without a prompt
(a form), each request is on its own. What has no body, such as a models list, goes by the session's header, else by the
client.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import date

from ccx.errors import ClientError
from ccx.protocols.body import Body
from ccx.protocols.endpoints import Endpoint
from ccx.protocols.multipart import Form
from ccx.protocols.names import Protocol
from ccx.protocols.session import prompt_prefix
from ccx.routing.table import Client, Server
from ccx.runtime.admission import Inbound, Scope, admit, too_large
from ccx.runtime.canary import Lot
from ccx.runtime.live import Live
from ccx.runtime.understand import require_model, session_of
from ccx.telemetry.exchange import ACTIVE, CANARY, Exchange


@dataclass(frozen=True, slots=True)
class Callers:
    """Who calls, in each table's words; None where it declares no clients. `stranger`: the present table would not let
    it in."""

    present: Client | None
    newest: Client | None
    stranger: bool


class _Either:
    """Path prefixes of two tables."""

    def __init__(self, one: Container[str], other: Container[str]) -> None:
        self._both = (one, other)

    def __contains__(self, prefix: object) -> bool:
        return any(prefix in each for each in self._both)


class Split:
    """Two tables that serve at once. Never changed: when one of them is replaced, so is the whole."""

    __slots__ = ("_lot", "newest", "prefixes", "present", "server")

    def __init__(self, present: Live, newest: Live, lot: Lot) -> None:
        self.present = present
        self.newest = newest
        self.prefixes: Container[str] = _Either(present.decider.prefixes, newest.decider.prefixes)
        self.server = _wider(present.table.server, newest.table.server)
        self._lot = lot

    def admit(self, scope: Scope, inbound: Inbound, *, today: date) -> Callers:
        """Who calls. Raises ClientError as `admission.admit` does, for whom the newest table refuses."""
        newest = admit(self.newest, scope, inbound, today=today)
        if newest is not None and self.present.clients:
            # By name, not by key: a client whose key is being rotated is the same client.
            known = next((one for one in self.present.table.clients if one.name == newest.name), None)
            if known is None or not known.enabled or (known.expires is not None and known.expires < today):
                return Callers(None, newest, stranger=True)
            return Callers(replace(known, direct=known.direct and newest.direct), newest, stranger=False)
        try:
            return Callers(admit(self.present, scope, inbound, today=today), newest, stranger=False)
        except ClientError:
            return Callers(None, newest, stranger=True)

    def choose(
        self, callers: Callers, endpoint: Endpoint, inbound: Inbound, *, body: Body | Form, exchange: Exchange
    ) -> tuple[Live, Client | None]:
        """The table that serves this request, and the client in its words; told to the exchange.

        Raises ClientError: 403 for a model that the newest table withholds from the client, 404 for a path that this
        table does not have, 413 for a body that is too large for it.
        """
        model = endpoint.model if endpoint.model is not None else body.model
        require_model(callers.newest, model)
        live, client = self._of(callers, self._key(callers, endpoint, inbound, body, exchange))
        exchange.digest = live.digest
        exchange.table = CANARY if live is self.newest else ACTIVE
        if len(body.raw) > live.table.server.max_body:
            raise too_large(live.table.server.max_body)
        if endpoint.prefix is not None and endpoint.prefix not in live.decider.prefixes:
            raise ClientError(404, "not_found", f"No channel and no route here has the prefix {endpoint.prefix!r}.")
        return live, client

    def beside(self, scope: Scope, inbound: Inbound, *, today: date) -> tuple[Live, Client | None]:
        """The same for a request without a body. Raises ClientError as `admit` does."""
        callers = self.admit(scope, inbound, today=today)
        return self._of(callers, session_of(Protocol.CHAT, inbound, None) or "")

    def _of(self, callers: Callers, session: str | bytes) -> tuple[Live, Client | None]:
        owner = callers.newest.name if callers.newest is not None else ""
        told = session if isinstance(session, bytes) else session.encode("utf-8", "surrogateescape")
        key = hashlib.blake2b(owner.encode() + b"\0" + told, digest_size=16).digest()
        if callers.stranger or self._lot.draws(key):
            return self.newest, callers.newest
        return self.present, callers.present

    def _key(
        self, callers: Callers, endpoint: Endpoint, inbound: Inbound, body: Body | Form, exchange: Exchange
    ) -> str | bytes:
        if callers.stranger:
            return ""
        if isinstance(body, Form):
            return session_of(endpoint.protocol, inbound, None) or exchange.request_id
        found = session_of(endpoint.protocol, inbound, body)
        return found if found is not None else prompt_prefix(endpoint.protocol, body)


def _wider(present: Server, newest: Server) -> Server:
    """The bounds within which a body is read. Of web pages those may call that both tables name: what is taken back
    ends at once, and what is new waits, since a browser asks before it says whose session it is."""
    both = set(present.cors), set(newest.cors)
    allowed = both[0] & both[1] if "*" not in both[0] | both[1] else (both[1] if "*" in both[0] else both[0])
    return replace(
        present,
        max_body=max(present.max_body, newest.max_body),
        body_timeout=max(present.body_timeout, newest.body_timeout),
        cors=tuple(sorted(allowed)),
    )
