"""`ccx canary`: a table that a gateway tries on a share of the sessions, and what an operator decides about it."""

from __future__ import annotations

import os
from typing import Annotated, Final

import typer

from ccx.cli.remote import TIMEOUT, Remote, RemoteError, Tried, admin_key
from ccx.cli.running import seconds
from ccx.errors import Exit, UsageError

app = typer.Typer()
ORDERS: Final = ("status", "promote", "abort")


@app.command()
def canary(
    order: Annotated[str, typer.Argument(metavar="[status|promote|abort]", help="What to do.")] = "status",
    to: Annotated[str, typer.Option(metavar="URL", help="The gateway: http://gateway:3000.", show_default=False)] = "",
    replicas: Annotated[
        list[str] | None,
        typer.Option(metavar="URL[,URL]", help="Further replicas, each by its own address; repeatable."),
    ] = None,
    digest: Annotated[str, typer.Option(help="Only the table whose digest begins so.", show_default=False)] = "",
    reason: Annotated[str, typer.Option(help="Why; shown in the log and, of an abort, in the status.")] = "",
    admin_key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Variable that holds the admin key. Default: CCX_ADMIN_KEY, if it is set."),
    ] = None,
    timeout: Annotated[str, typer.Option(help="How long the gateway may take to answer.")] = f"{TIMEOUT:g}s",
) -> None:
    """Show the table that a gateway tries on a share of the sessions, promote it at once, or abort it.

    A spec with `server: {canary: {share: 10%, for: 10m}}` is tried before it takes all. `promote` lets it take all now;
    `abort` withdraws it, and it is not taken again until the files say something else. Replicas do not tell each other,
    so name them all. Exits with 1 if one of them cannot be asked, or tries no such table when told to end it.
    """
    if order not in ORDERS:
        raise UsageError(f"there is no order {order!r}", hint=f"choose from {', '.join(ORDERS)}")
    if not to:
        raise UsageError("which gateway?", hint=f"ccx canary {order} --to http://gateway:3000")
    key, limit = admin_key(admin_key_env, os.environ), seconds(timeout, "--timeout")
    addresses = [to, *(url.strip() for text in replicas or [] for url in text.split(",") if url.strip())]
    failed = False
    for remote in [Remote(url, key=key, timeout=limit) for url in dict.fromkeys(addresses)]:
        try:
            serves, tried = (
                remote.canary() if order == "status" else remote.order_canary(order, digest=digest, reason=reason)
            )
        except RemoteError as error:
            typer.echo(f"ccx: {error}", err=True)
            failed = True
            continue
        for line in _lines(remote.url, serves, tried):
            typer.echo(line)
    if failed:
        raise typer.Exit(Exit.FINDINGS)


def _lines(url: str, serves: str, tried: Tried | None) -> list[str]:
    if tried is None:
        return [f"{url}  serves {serves[:12]}, no canary"]
    counts = zip((f"active {serves[:12]}", f"canary {tried.digest[:12]}"), tried.counts, strict=True)
    return [
        f"{url}  {tried}",
        *(f"  {name}  {requests} requests, {errors} failed" for name, (requests, errors) in counts),
    ]
