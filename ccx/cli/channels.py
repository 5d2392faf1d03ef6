"""`ccx channels`: how a gateway's channels fare, and what an operator orders for them."""

from __future__ import annotations

import os
from typing import Annotated, Any, Final

import typer

from ccx.cli.remote import TIMEOUT, Remote, RemoteError, admin_key
from ccx.cli.running import seconds
from ccx.errors import UsageError
from ccx.plan.render.cells import visible

app = typer.Typer()
ORDERS: Final = ("drain", "promote", "resume")


@app.command()
def channels(
    url: Annotated[str, typer.Argument(metavar="URL", help="The gateway: http://gateway:3000.")],
    order: Annotated[str | None, typer.Argument(metavar="[drain|promote|resume]", help="What to order.")] = None,
    name: Annotated[str | None, typer.Argument(metavar="[CHANNEL]", help="The channel to order it for.")] = None,
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="How long the order holds, up to 24h.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; shown wherever the order is.")] = "",
    admin_key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Variable that holds the admin key. Default: CCX_ADMIN_KEY, if it is set."),
    ] = None,
    timeout: Annotated[str, typer.Option(help="How long the gateway may take to answer.")] = f"{TIMEOUT:g}s",
) -> None:
    """Show how a gateway's channels fare, or drain, promote and resume one.

    A drained channel is asked by no new request; a promoted one is asked before all others of a route. An order ends by
    itself, outranks what the spec promotes for a time, and never changes the spec: `ccx drift` and `ccx plan
    --against` tell of it as long as it holds.
    """
    remote = Remote(url, key=admin_key(admin_key_env, os.environ), timeout=seconds(timeout, "--timeout"))
    if order is not None:
        if order not in ORDERS or name is None:
            raise UsageError("an order is for a channel", hint=f"ccx channels {remote.url} drain NAME --for 30m")
        if order != "resume" and lasting is None:
            raise UsageError("an order needs an end", hint=f"ccx channels {remote.url} {order} {name} --for 30m")
        remote.order(name, order, lasting=lasting if order != "resume" else None, reason=reason)
    found = remote.channels()
    try:
        for channel in sorted(found if name is None else {name: found[name]}):
            for line in _lines(channel, found[channel]):
                typer.echo(visible(line))
    except (KeyError, TypeError, AttributeError):
        raise RemoteError(f"{remote.url}: /admin/channels is not that of a ccx gateway") from None


def _lines(name: str, channel: dict[str, Any]) -> list[str]:
    override = channel["override"]
    said = ""
    if override is not None:
        why = f" ({override['reason']})" if override["reason"] else ""
        why += " by the spec" if override.get("source") == "spec" else ""
        said = f"  {override['order']} until {override['until']}{why}"
    lines = [f"{name}  {channel['in_flight']} in flight{'' if channel['enabled'] else '  disabled'}{said}"]
    for target in channel["targets"]:
        parts = [f"  {target['protocol']}", target["key"] or "no key", f"breaker {target['breaker']}"]
        if target["open_until"] is not None:
            parts.append(f"until {target['open_until']}")
        if target["cooling"] is not None:
            parts.append(f"cooling ({target['cooling']['cause']}) until {target['cooling']['until']}")
        parts += [f"{kind} {ms:g} ms" for kind, ms in target["latency_ms"].items()]
        lines.append("  ".join(parts))
    return lines
