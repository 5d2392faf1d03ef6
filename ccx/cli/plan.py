"""`ccx plan`: what a change of the spec does to requests.

Exit 0; with --detailed-exitcode 2 where there are changes; 1 for an error or something forbidden; 3 where the analysis
did not finish. Everything that was asked for is written before the command ends, whatever its exit.
"""

from __future__ import annotations

import difflib
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from ccx.analysis.effort import STATES, Budget
from ccx.cli.destination import Wanted, wanted
from ccx.cli.planned import OUTPUTS, rendered
from ccx.errors import Exit, UsageError
from ccx.plan.build import nothing, plan
from ccx.plan.edits import Compared
from ccx.plan.guards import ANY, GUARDS, forbidden
from ccx.plan.model import Plan
from ccx.plan.revisions import Comparison, File, Revision, Version, comparison, versions
from ccx.routing.compile import compile_spec
from ccx.routing.compile_conditions import compile_when
from ccx.routing.conditions import ALWAYS, Condition
from ccx.spec.conditions import When
from ccx.spec.diagnostics import has_errors
from ccx.spec.render.text import render_findings
from ccx.spec.scalars import parse_duration
from ccx.spec.validate import extended

if TYPE_CHECKING:
    from ccx.plan.replay.formats import LogFormat
    from ccx.plan.replay.result import Replay

app = typer.Typer()

DEFAULT_SPEC: Final = Path("ccx.yaml")
UNCOVERED: Final = "uncovered"
_ENDINGS: Final = {".json": "json", ".md": "markdown", ".html": "html"}


@app.command("plan")
def plan_(
    first: Annotated[
        str | None, typer.Argument(metavar="[A]", help="A revision, A..B, A...B, or a file. Default: HEAD.")
    ] = None,
    second: Annotated[
        str | None, typer.Argument(metavar="[B]", help="A revision or a file. Default: the working tree.")
    ] = None,
    spec: Annotated[
        Path | None, typer.Option("--spec", "-f", metavar="SPEC", help="The spec. Default: ccx.yaml.")
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FORMAT[=FILE]",
            help="text, markdown, json or html, to standard output or a file; FILE.json is json. Repeatable.",
        ),
    ] = None,
    detailed: Annotated[bool, typer.Option("--detailed-exitcode", help="Exit 2 where there are changes.")] = False,
    forbid: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND[,KIND]", help=f"Fail on: {', '.join((*GUARDS, ANY, UNCOVERED))}. Repeatable."),
    ] = None,
    within: Annotated[
        str | None, typer.Option(metavar="CONDITION", help="Only such requests: model=claude-*,client=team-a.")
    ] = None,
    max_states: Annotated[int, typer.Option(min=1, help="Bound of the analysis; past it, exit 3.")] = STATES,
    timeout: Annotated[str | None, typer.Option(metavar="DURATION", help="Likewise in time, such as 30s.")] = None,
    against: Annotated[
        str | None, typer.Option(metavar="URL", help="Compare with what a running gateway serves.")
    ] = None,
    admin_key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Variable that holds its admin key. Default: CCX_ADMIN_KEY, if it is set."),
    ] = None,
    replay: Annotated[
        list[str] | None,
        typer.Option(metavar="LOG", help="Replay a request log through both sides, as ccx replay does; repeatable."),
    ] = None,
    cover_changes: Annotated[
        bool, typer.Option("--cover-changes", help="Name the changed requests that no test of the new spec asks about.")
    ] = False,
    log_format: Annotated[
        Literal["ccx", "litellm", "csv"] | None, typer.Option(help="Format of the logs. Default: told by their lines.")
    ] = None,
) -> None:
    """Show what a change of the spec does to requests.

    Without arguments the working tree is compared with HEAD; `main...HEAD` is what a pull request changes.
    """
    destinations = _destinations(output or ["text"])
    kinds = kinds_of(forbid or [])
    asked = comparison(first, second, spec=spec, usual=DEFAULT_SPEC)
    if against is not None and (cover_changes or UNCOVERED in kinds):
        raise UsageError("a gateway brings no tests", hint="leave --against out: ccx plan --cover-changes")
    condition = _within(within) if within is not None else ALWAYS
    budget = Budget(max_states, _expired(timeout))
    sides = _against(against, first, second, asked, admin_key_env) if against is not None else _sides(asked)
    found = plan(*sides, spec=os.fspath(asked.spec), budget=budget, within=condition)
    traffic = _replayed(sides, replay, log_format) if replay else None
    for one in destinations:
        one.write(rendered(found, one, traffic=traffic, tables=(sides[0].table, sides[1].table)))
    if all(one.file is not None for one in destinations):
        typer.echo(_summary(found), err=True)
    refused = [*forbidden(found, kinds)]
    if cover_changes or UNCOVERED in kinds:
        refused += _uncovered(found, asked, forbid=UNCOVERED in kinds, err=any(_for_programs(o) for o in destinations))
    for line in refused:
        typer.echo(f"ccx: forbidden: {line}", err=True)
    raise typer.Exit(_exit(found, refused=bool(refused), detailed=detailed))


def _exit(found: Plan, *, refused: bool, detailed: bool) -> Exit:
    if refused:
        return Exit.FINDINGS
    if not found.complete:
        return Exit.INCOMPLETE
    return Exit.CHANGES if detailed and not found.no_op else Exit.OK


def _sides(asked: Comparison) -> tuple[Compared, Compared]:
    """Both versions. Ends the command with their diagnostics where one is not valid."""
    with versions(asked) as both:
        old, new = (_compiled(version, path=asked.spec) for version in both)
    if old is None or new is None:
        raise typer.Exit(Exit.FINDINGS)
    return old, new


def _against(
    url: str, first: str | None, second: str | None, asked: Comparison, admin_key_env: str | None
) -> tuple[Compared, Compared]:
    """What a gateway serves, and the one version that is named. Raises UsageError for two."""
    from ccx.cli.remote import Remote, admin_key  # noqa: PLC0415 - only for a gateway
    from ccx.cli.running import live, tell_deviations  # noqa: PLC0415 - likewise

    if second is not None or (first is not None and ".." in first):
        raise UsageError("--against is one side, so name one revision at most", hint=f"ccx plan --against {url} main")
    one = asked.old if first is not None and asked.old == Revision(first) else asked.new
    remote = Remote(url, key=admin_key(admin_key_env, os.environ))
    _, said = _sides(Comparison(asked.spec, one, one))
    runs = live(remote)
    tell_deviations(remote)
    return runs, said


def _for_programs(destination: Wanted) -> bool:
    """Whether a document goes to standard output, where nothing else may stand beside it."""
    return destination.file is None and destination.format != "text"


def _uncovered(found: Plan, asked: Comparison, *, forbid: bool, err: bool) -> list[str]:
    """Tell which changed requests no test asks about. What is forbidden of it."""
    from ccx.testing.changes import told, uncovered  # noqa: PLC0415 - only where it is asked for
    from ccx.testing.promises import gather  # noqa: PLC0415 - likewise

    with versions(asked) as (_, new):
        if new.loaded is None:
            return []  # there is no new spec, and so there are no tests
        path = asked.new.path if isinstance(asked.new, File) else asked.spec
        promises = gather(path, read=new.read, names=new.names)
    for suite in promises.suites:
        if suite.suite is None:
            shown = render_findings(suite.diagnostics, excerpts=suite.excerpts, colour=sys.stderr.isatty())
            typer.echo(shown.rstrip("\n"), err=True)
            raise typer.Exit(Exit.FINDINGS)
    bare = uncovered([(one.id, one.change) for one in found.moved], promises)
    more = sum(one.change.more for one in found.moved)
    if found.moved:
        typer.echo("\n".join(["", *told(bare, more=more)]), err=err)
    count = len(bare) + more
    return [f"{UNCOVERED}: {count} changed regions without a test"] if forbid and count else []


def _replayed(sides: tuple[Compared, Compared], logs: Sequence[str], log_format: LogFormat | None) -> Replay:
    """The logs through both sides."""
    from ccx.cli.progress import Progress  # noqa: PLC0415 - only for a replay
    from ccx.plan.build import side  # noqa: PLC0415 - likewise
    from ccx.plan.replay.run import replay  # noqa: PLC0415 - likewise

    old, new = ((side(one), one.table) for one in sides)
    with Progress(sys.stderr) as progress:
        return replay(old, new, logs=logs, format=log_format, progress=progress.lines, clock=time.perf_counter)


def _compiled(version: Version, *, path: Path) -> Compared | None:
    """A version compiled; None, with its errors told, where it is not valid."""
    loaded = version.loaded
    if loaded is None:
        return nothing(version.name, version.revision)
    compiled = None
    if loaded.spec is not None:
        compiled = compile_spec(loaded.spec, locations=loaded.locations)
        loaded = extended(loaded, compiled.diagnostics)
    if compiled is not None and not has_errors(loaded.diagnostics):
        return Compared(compiled, version.name, version.revision, loaded.locations)
    errors = [one for one in loaded.diagnostics if one.severity == "error"]
    shown = render_findings(errors, excerpts=loaded.excerpts, colour=sys.stderr.isatty())
    typer.echo(shown.rstrip("\n"), err=True)
    where = "" if version.name in (os.fspath(path), loaded.closure.entry) else f" at {version.name}"
    typer.echo(f"ccx: {loaded.closure.entry}{where} is not valid, so there is no plan", err=True)
    return None


def _destinations(texts: Sequence[str]) -> list[Wanted]:
    found: list[Wanted] = []
    for text in texts:
        format_ = _ENDINGS.get(Path(text).suffix.lower()) if "=" not in text else None
        found.append(Wanted(format_, Path(text)) if format_ is not None else wanted(text, legal=OUTPUTS))
    if sum(one.file is None for one in found) > 1:
        raise UsageError("only one output can go to standard output", hint="write others to files: --output json=FILE")
    return found


def kinds_of(texts: Sequence[str]) -> list[str]:
    """The kinds of change that options forbid. Raises UsageError for one that is none."""
    legal = (*GUARDS, ANY, UNCOVERED)
    kinds = [kind.strip() for text in texts for kind in text.split(",") if kind.strip()]
    for kind in kinds:
        if kind not in legal:
            near = difflib.get_close_matches(kind, legal, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(legal)}"
            raise UsageError(f"--forbid: there is no mark {kind!r}", hint=hint)
    return kinds


def _expired(timeout: str | None) -> Callable[[], bool] | None:
    if timeout is None:
        return None
    try:
        end = time.monotonic() + parse_duration(timeout) / 1000
    except ValueError as error:
        raise UsageError(f"--timeout: {error}") from None
    return lambda: time.monotonic() > end


def _within(text: str) -> Condition:
    """`model=claude-*,!*-mini,tag.team=core` as `when:` has it: a piece without a name belongs to the one before."""
    when: dict[str, Any] = {}
    values: dict[str, list[Any]] = {}
    name = ""
    for piece in text.split(","):
        key, sign, value = piece.partition("=")
        if sign and key.strip().replace("_", "").replace(".", "").replace("-", "").isalnum():
            name, piece = key.strip(), value
        if not name:
            raise UsageError(f"--within: {piece!r} has no name", hint="--within model=claude-*,client=team-a")
        values.setdefault(name, []).append(_value(piece.strip()))
    for name, listed in values.items():
        axis, dot, below = name.partition(".")
        one = listed[0] if len(listed) == 1 else listed
        if dot:
            when.setdefault(axis, {})[below] = one
        else:
            when[axis] = one
    try:
        return compile_when(When.model_validate(when))
    except ValueError as error:
        # The first line counts the mistakes; the second names the key, the third says what is wrong with it.
        said = ": ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise UsageError(f"--within: {said}", hint="the keys are those of `when:` in a route") from None


def _value(text: str) -> Any:
    return {"true": True, "false": False}.get(text, text)


def _summary(found: Plan) -> str:
    if not found.complete:
        return f"{found.spec}: not finished: {found.unfinished}"
    if found.no_op:
        return f"{found.spec}: no changes"
    moved, touched = len(found.moved), len(found.touched)
    return f"{found.spec}: {moved} routing changes, {touched} other changes"
