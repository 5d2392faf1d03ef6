"""Who belongs to a group: a group asks for nothing but who calls, so its clients are known before any request."""

from __future__ import annotations

from ccx.protocols.names import Protocol
from ccx.routing.facts import Facts
from ccx.routing.table import Client, Group, RoutingTable


def belongs(client: Client, group: Group) -> bool:
    """Whether a client is one of a group's."""
    caller = Facts(Protocol.CHAT, None, client=client.name, tags=dict(client.tags))
    return group.when.holds(caller) is True


def members(table: RoutingTable, group: Group) -> tuple[Client, ...]:
    """The clients of a group that may call, in the order of the table."""
    return tuple(client for client in table.clients if client.enabled and belongs(client, group))
