"""`ccx drift`: is what runs what the spec says?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ccx.cli.destination import wanted
from ccx.cli.planned import OUTPUTS, rendered
from ccx.cli.remote import TIMEOUT, Remote, admin_key
from ccx.cli.running import live, seconds, tell_deviations, written
from ccx.errors import Exit
from ccx.plan.build import plan

app = typer.Typer()


@app.command()
def drift(
    url: Annotated[str, typer.Argument(metavar="URL", help="The gateway: http://gateway:3000.")],
    revision: Annotated[
        str | None, typer.Argument(metavar="[REV]", help="The spec at a revision. Default: the working tree.")
    ] = None,
    spec: Annotated[Path, typer.Option("--spec", "-f", help="The spec.")] = Path("ccx.yaml"),
    output: Annotated[
        list[str] | None, typer.Option("--output", "-o", help=f"{'|'.join(OUTPUTS)}, or FORMAT=FILE; repeatable.")
    ] = None,
    admin_key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Variable that holds the admin key. Default: CCX_ADMIN_KEY, if it is set."),
    ] = None,
    timeout: Annotated[str, typer.Option(help="How long the gateway may take to answer.")] = f"{TIMEOUT:g}s",
) -> None:
    """Compare what a gateway serves with what the spec says.

    Shows what would change if the gateway took over the spec now. Exits with 0 if they are the same, with 2 if they
    differ, with 1 if the gateway cannot be asked or the spec is not valid, with 3 if the analysis did not finish. The
    admin key comes from the environment, never from the command line. While the gateway tries a new table on a share of
    the sessions (`server.canary`), it is the table of the rest that is compared, and the new one is told of.
    """
    destinations = [wanted(text, legal=OUTPUTS) for text in output or ["text"]]
    remote = Remote(url, key=admin_key(admin_key_env, os.environ), timeout=seconds(timeout, "--timeout"))
    said = written(spec, revision)
    runs = live(remote)
    found = plan(runs, said, spec=os.fspath(spec))
    tried = tell_deviations(remote)
    for destination in destinations:
        destination.write(rendered(found, destination))
    serves, says = runs.compiled.digest, said.compiled.digest
    same = serves == says
    verdict = "in sync" if same else "drift"
    if tried is not None and tried.digest == says:
        verdict = f"on its way, {tried.share * 100:g} % until {tried.until}"
    typer.echo(f"ccx: {verdict}: {remote.url} serves {serves[:12]}, {said.name} says {says[:12]}", err=True)
    if not same:
        raise typer.Exit(Exit.CHANGES if found.complete else Exit.INCOMPLETE)
