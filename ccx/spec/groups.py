"""`groups:` — clients that share limits and budgets, such as a team and its money; and what a budget is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ccx.spec.channels import Limits
from ccx.spec.conditions import Globs
from ccx.spec.node import Listed, Node
from ccx.spec.scalars import Money, Share


class Budget(Node):
    """Spending limit."""

    usd: Money
    """US dollars."""
    per: Literal["day", "month", "total"] = "month"
    """Per what."""
    alerts: Annotated[tuple[Share, ...], Listed] = ()
    """Shares of it, such as [80%, 100%], that are told of once in each period when spending reaches them. 100% is told
    of also when a request is refused because what is left will not do."""


class Member(Node):
    """Which clients belong to a group, in the words of `when`; every key given must hold."""

    client: Globs | None = None
    """Name of the client."""
    tag: Annotated[dict[str, Globs], Field(min_length=1)] | None = None
    """Tags of the client: all named tags must match."""


class ClientGroup(Node):
    """Clients that share limits and budgets. A request has to be within those of its client and of every group that the
    client belongs to; where one refuses, none is charged."""

    when: Member = Member()
    """Who belongs to it. Default: every client."""
    limits: Limits = Limits()
    """Limits of all of them together."""
    budget: Annotated[tuple[Budget, ...], Listed] = ()
    """Spending limits of all of them together."""
