"""`ccx apply`: what was reviewed, and nothing else, becomes what runs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ccx.cli.approvals import MAX_PLAN, whole
from ccx.cli.destination import Wanted
from ccx.cli.planned import rendered
from ccx.cli.progress import Progress
from ccx.cli.remote import Remote, admin_key
from ccx.cli.rollout import Replica, bring, look
from ccx.cli.running import live, seconds, written
from ccx.errors import CcxError, Exit, UsageError
from ccx.plan.build import plan as planned
from ccx.plan.edits import Compared
from ccx.plan.saved import SavedPlan, read_plan

app = typer.Typer()
_TEXT = Wanted("text", None)


@app.command("apply")
def apply_(
    plan: Annotated[Path, typer.Option(help="The saved plan: ccx plan -o plan.json.")],
    to: Annotated[str, typer.Option(metavar="URL", help="The gateway: http://gateway:3000.")],
    replicas: Annotated[
        list[str] | None,
        typer.Option(metavar="URL[,URL]", help="Further replicas, each by its own address; repeatable."),
    ] = None,
    spec: Annotated[Path, typer.Option("--spec", "-f", help="The spec.")] = Path("ccx.yaml"),
    wait: Annotated[str, typer.Option(help="How long the replicas may take.")] = "60s",
    admin_key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Variable that holds the admin key. Default: CCX_ADMIN_KEY, if it is set."),
    ] = None,
) -> None:
    """Apply a saved plan: check that nothing moved since, reload, and wait for every replica.

    Nothing is uploaded: the files reach the gateways as they always do, by git, a mounted ConfigMap or a release. What
    this adds is the order of things. The spec here must be the plan's new side, and each replica must serve the plan's
    old side, or the new one already; otherwise the difference is shown and nothing is touched (exit 2). Then each
    replica is told to reload its own files, and watched until all its processes report the new digest. Those that do
    not in time are named with the error of their last reload (exit 1).

    Behind one address that leads to several replicas, each answer may be another's: name them with --replicas.
    """
    limit = seconds(wait, "--wait")
    saved = _saved(plan)
    key = admin_key(admin_key_env, os.environ)
    addresses = [to, *(url.strip() for text in replicas or [] for url in text.split(",") if url.strip())]
    those = [Replica(Remote(url, key=key)) for url in dict.fromkeys(addresses)]
    said = written(spec, None)
    old, new = saved.old.digest, saved.new.digest
    look(those, old=old, new=new)
    unknown = [replica for replica in those if replica.state == "unknown"]
    if unknown:
        for replica in unknown:
            typer.echo(f"ccx: {replica.problems[0]}", err=True)
        typer.echo("ccx: nothing was applied", err=True)
        raise typer.Exit(Exit.FINDINGS)
    if said.compiled.digest != new:
        _refuse(those[0], said, f"the spec is table {said.compiled.digest[:12]}, the plan leads to {new[:12]}")
    _refuse_others(those, said, saved)
    typer.echo(f"{old[:12]} → {new[:12]}: {_count(those)} of {len(those)} replicas serve it already", err=True)
    with Progress(sys.stderr) as progress:
        done = bring(
            those,
            old=old,
            new=new,
            wait=limit,
            clock=time.monotonic,
            pause=time.sleep,
            told=lambda count, of: progress.say(f"{count}/{of} replicas serve {new[:12]}"),
        )
    _refuse_others(those, said, saved)
    if done:
        typer.echo(f"{len(those)}/{len(those)} replicas serve {new[:12]}")
        return
    if all(replica.state in ("new", "canary") for replica in those):
        _tell_canaries(those, new)
        return
    when = "" if any(replica.withdrew for replica in those) else f"after {wait}, "
    typer.echo(f"ccx: {when}{_count(those)}/{len(those)} replicas serve {new[:12]}; not yet:", err=True)
    for replica in those:
        if replica.state != "new":
            typer.echo(f"  {_lag(replica)}", err=True)
    raise typer.Exit(Exit.FINDINGS)


def _saved(path: Path) -> SavedPlan:
    """The plan. Raises UsageError where it cannot be read, SavedPlanError where it is none; one that approves nothing
    ends the command."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PLAN + 1)
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {error.strerror}") from None
    if len(data) > MAX_PLAN:
        raise UsageError(f"{str(path)!r} is too large for a plan")
    saved = read_plan(data)
    if (why := whole(saved)) is not None:
        typer.echo(f"ccx: the plan cannot be applied: {why}; make it again", err=True)
        raise typer.Exit(Exit.FINDINGS)
    return saved


def _refuse_others(replicas: Sequence[Replica], said: Compared, saved: SavedPlan) -> None:
    """End the command where a replica serves what the plan knows nothing of."""
    for replica in replicas:
        if replica.state == "other":
            why = f"{replica.name} serves table {replica.digest[:12]}, the plan starts from {saved.old.digest[:12]}"
            _refuse(replica, said, why)


def _refuse(replica: Replica, said: Compared, why: str) -> None:
    """Show what leads from what runs to what the spec says, and end the command."""
    try:
        found = planned(live(replica.remote), said, spec=said.name)
        _TEXT.write(rendered(found, _TEXT))
    except CcxError as error:
        typer.echo(f"ccx: the difference cannot be shown: {error}", err=True)
    typer.echo(f"ccx: not applied: {why}", err=True)
    typer.echo("  make the plan against what runs: ccx plan --against URL -o plan.json", err=True)
    raise typer.Exit(Exit.CHANGES)


def _count(replicas: Sequence[Replica]) -> int:
    return sum(replica.state == "new" for replica in replicas)


def _tell_canaries(replicas: Sequence[Replica], new: str) -> None:
    """Say that the new table is being tried, and how to go on."""
    typer.echo(f"{_count(replicas)}/{len(replicas)} replicas serve {new[:12]}; the others try it first:")
    for replica in replicas:
        if replica.state == "canary":
            typer.echo(f"  {replica.name}: {replica.canary}")
    typer.echo(f"ccx: to end it: ccx canary promote|abort --to {replicas[0].name}", err=True)


def _lag(replica: Replica) -> str:
    said = f": {replica.problems[0]}" if replica.problems else ": its files have not changed yet"
    if replica.state == "unknown":
        return f"{replica.name}{said}"
    workers = f" in {replica.behind} of its processes" if replica.behind > 1 else ""
    return f"{replica.name} serves {replica.digest[:12]}{workers}{said}"
