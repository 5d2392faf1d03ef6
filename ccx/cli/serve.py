"""`ccx serve`: run the gateway."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from ccx.cli.approvals import Approvals
from ccx.cli.coordinating import coordinating
from ccx.cli.serving import Start, Worker, run
from ccx.cli.sharing import require_client
from ccx.cli.supervisor import supervise
from ccx.errors import Exit, UsageError
from ccx.routing.table import RoutingTable
from ccx.runtime.admission import is_loopback
from ccx.runtime.canary import terms
from ccx.runtime.commands import SecretCommands
from ccx.runtime.lastgood import LastGood, default_folder
from ccx.runtime.ledger import Ledger
from ccx.runtime.live import PrepareError, prepare
from ccx.runtime.loading import Loader, restore
from ccx.runtime.orders import kept_file
from ccx.runtime.reload import Candidate
from ccx.runtime.rollout import restart_needed
from ccx.spec.render.text import render_text

app = typer.Typer()


@app.command()
def serve(
    path: Annotated[Path, typer.Argument(help="The spec.")] = Path("ccx.yaml"),
    listen: Annotated[str | None, typer.Option(help="HOST:PORT instead of the spec's server.listen.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes on the one port.")] = 1,
    log: Annotated[Literal["json", "text", "none"] | None, typer.Option(help="Format of the request log.")] = None,
    require_valid: Annotated[
        bool,
        typer.Option(help="Refuse to start from the last good contents when the files are not valid."),
    ] = False,
    require_plan: Annotated[
        Path | None,
        typer.Option(
            help="A saved plan, or a folder of them: serve only tables that one leads to from the running one.",
            show_default=False,
        ),
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(help="Where the last good contents are kept.", envvar="CCX_STATE_DIR", show_default=False),
    ] = None,
    worker: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve a spec, and swap to the new table whenever its files change.

    A change that does not validate is reported, and the old table goes on serving. If the files are not valid at the
    start, the last contents that were are served instead, unless --require-valid is given. Where the spec declares
    `server.canary` and has changed since it last ran, the start is from those contents too, and the change is tried.

    With --require-plan nothing is served that nobody reviewed: a table has to be the `new` side of a plan that `ccx
    plan -o plan.json` wrote, and the running table its `old` side; at the first start any plan's new side will do. What
    is refused is reported like a change that does not validate. A plan that arrives later is seen at once.
    """
    loader = Loader(path.absolute(), os.environ)
    kept = LastGood(state_dir or default_folder(os.environ), path.absolute())
    candidate = loader.look()
    approvals = Approvals(require_plan.absolute()) if require_plan is not None else None
    if approvals is not None and candidate.table is not None:
        candidate = _approved(candidate, approvals, kept)
    last_good = False
    if candidate.table is None:
        _show(loader)
        restored = None if require_valid else _restored(kept)
        if restored is None:
            raise typer.Exit(Exit.FINDINGS)
        typer.echo(f"ccx: serving the last good contents instead, table {restored.digest[:12]}", err=True)
        candidate, last_good = replace(restored, problems=candidate.problems), True
    elif worker is None:
        _show(loader)
    commands = SecretCommands(environ=os.environ, folder=loader.folder)
    ready = partial(prepare, folder=loader.folder, environ=os.environ, run=commands.read)
    assert candidate.table is not None  # noqa: S101 - one of the two branches above has seen to it
    require_client(candidate.table)
    try:
        live = ready(candidate.table, candidate.digest)
        before = None if last_good else _before(candidate.table, candidate.digest, kept)
        if before is not None and before.table is not None:
            with suppress(PrepareError):  # it can be served no more: the new table takes all
                live = ready(before.table, before.digest)
                candidate, last_good = before, True
                if worker is None:
                    typer.echo(
                        f"ccx: starting from table {before.digest[:12]}, to try the new one on a share", err=True
                    )
    except PrepareError as error:
        for problem in error.problems:
            typer.echo(f"error: {problem}", err=True)
        typer.echo("ccx: not started; set what is missing and start again", err=True)
        raise typer.Exit(Exit.FINDINGS) from None
    table = live.table
    me = _worker(worker, count=workers)
    if me is not None:
        assert worker is not None  # noqa: S101 - parsed from it
        listener = socket.socket(fileno=int(worker.split(":")[1]))
    else:
        listener = bind(*address(listen, table), table=table)
    state = state_dir or default_folder(os.environ)
    ledger, orders = Ledger(state, path.absolute()), kept_file(state, path)
    if workers > 1 and me is None:
        arguments = _same(path, log=log, state_dir=state_dir, require_valid=require_valid, require_plan=require_plan)
        arguments += ["--workers", str(workers)]
        drain = table.server.drain / 1000
        kept_here = partial(coordinating, workers=workers, ledger=ledger, orders=orders)
        beside = kept_here if table.redis is None else nullcontext
        raise typer.Exit(supervise(arguments, listener, workers=workers, drain=drain, beside=beside))
    mine = ledger if me is None else None
    run(Start(live, candidate, last_good, loader, kept, log, me, approvals, commands, mine, orders), listener)


def address(listen: str | None, table: RoutingTable) -> tuple[str, int]:
    """Where to listen: the option's word over the spec's. Raises UsageError."""
    if listen is None:
        return table.server.host, table.server.port
    host, colon, port = listen.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(f"{listen!r} is not HOST:PORT", hint="--listen 127.0.0.1:3000")
    return host.strip("[]") or "127.0.0.1", int(port)


def bind(host: str, port: int, *, table: RoutingTable) -> socket.socket:
    """A listening socket. Raises UsageError where it cannot or must not be."""
    if not table.clients and not is_loopback(host):
        raise UsageError(
            f"refusing to listen on {host}:{port}: the spec declares no clients, so anyone could spend your keys",
            hint="declare clients (`ccx keys new NAME` makes a key), or listen on 127.0.0.1",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only on sockets that say they are TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            hint="is another gateway running? `--listen 127.0.0.1:0` takes a free port",
        ) from None
    listener.listen(2048)
    listener.setblocking(False)
    listener.set_inheritable(True)
    return listener


def _worker(text: str | None, *, count: int) -> Worker | None:
    if text is None:
        return None
    number, _, folder = text.split(":", 2)
    return Worker(int(number), Path(folder), os.getppid(), count)


def _same(
    path: Path, *, log: str | None, state_dir: Path | None, require_valid: bool, require_plan: Path | None
) -> list[str]:
    """The arguments of a worker: those of the parent that concern it."""
    arguments = [str(path)]
    if log is not None:
        arguments += ["--log", log]
    if state_dir is not None:
        arguments += ["--state-dir", str(state_dir)]
    if require_valid:
        arguments.append("--require-valid")
    if require_plan is not None:
        arguments += ["--require-plan", str(require_plan)]
    return arguments


def _approved(candidate: Candidate, approvals: Approvals, kept: LastGood) -> Candidate:
    """The candidate, without its table if no plan leads to it. What ran last needs no plan to run again."""
    before = kept.load()
    if before is not None and before.digest == candidate.digest:
        return candidate
    refusal = approvals.refusal(None, candidate.digest)
    if refusal is None:
        return candidate
    typer.echo(f"ccx: {refusal}", err=True)
    return replace(candidate, table=None, problems=(refusal,))


def _restored(kept: LastGood) -> Candidate | None:
    found = kept.load()
    if found is None:
        return None
    candidate = restore(found, os.environ)
    if candidate.table is None:
        return None
    age = (time.time() - found.at) / 60
    typer.echo(f"ccx: the last good contents are {age:.0f} minutes old", err=True)
    return candidate


def _before(table: RoutingTable, digest: str, kept: LastGood) -> Candidate | None:
    """The last good contents, where the table is to be tried on a share before it takes all: it takes all at once where
    it needs a new process, which this is."""
    found = kept.load() if terms(table.server) is not None else None
    if found is None or found.digest == digest:
        return None
    restored = restore(found, os.environ)
    if restored.table is None or restored.digest == digest or restart_needed(restored.table, table):
        return None
    return restored


def _show(loader: Loader) -> None:
    """Print what loading found, to standard error."""
    if loader.report is not None and loader.report.diagnostics:
        width = shutil.get_terminal_size().columns
        typer.echo(render_text([loader.report], width=width, colour=sys.stderr.isatty()), err=True, nl=False)
