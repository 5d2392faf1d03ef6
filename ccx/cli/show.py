"""`ccx show`: the spec as it is meant, put together and resolved.

Exit 0; 1 where the spec is not valid, with its errors.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, assert_never

import typer

from ccx.cli.destination import Wanted
from ccx.errors import Exit, UsageError
from ccx.plan.effective import Shown, effective, written
from ccx.plan.render.resolved import render_json, render_text, render_yaml
from ccx.routing.compile import compile_spec
from ccx.spec.diagnostics import has_errors
from ccx.spec.document import Spec
from ccx.spec.render.text import render_findings
from ccx.spec.validate import extended, load
from ccx.spec.wording import closest, listed

app = typer.Typer()

DEFAULT_SPEC: Final = Path("ccx.yaml")
Format = Literal["yaml", "json", "text"]


@app.command()
def show(
    path: Annotated[Path | None, typer.Argument(metavar="[PATH]", help="The spec. Default: ccx.yaml.")] = None,
    resolve: Annotated[
        bool, typer.Option("--effective", help="With what is inherited, preset and built in, too.")
    ] = False,
    provenance: Annotated[
        bool, typer.Option("--provenance", help="Say of each value where it is from: file and line, defaults, preset.")
    ] = False,
    route: Annotated[str | None, typer.Option("--route", metavar="NAME", help="Only this route.")] = None,
    channel: Annotated[str | None, typer.Option("--channel", metavar="NAME", help="Only this channel.")] = None,
    output: Annotated[
        Format, typer.Option("--output", "-o", help="yaml, which is a spec again; json; or text, a line each.")
    ] = "yaml",
) -> None:
    """Show a spec with its files put together, its defaults applied and each value's origin.

    Without options the files as one. With --effective nothing is left to look up: what a channel or route inherits
    stands in it, and where a provider is reached is told. That is a spec too, and compiles to the same table. Secrets
    are shown as references, never their values.
    """
    loaded = load(path or DEFAULT_SPEC)
    if not loaded.closure.sources:
        raise UsageError(loaded.diagnostics[0].message)
    compiled = None
    if loaded.spec is not None:
        compiled = compile_spec(loaded.spec, locations=loaded.locations)
        loaded = extended(loaded, compiled.diagnostics)
    if loaded.spec is None or compiled is None or has_errors(loaded.diagnostics):
        errors = [one for one in loaded.diagnostics if one.severity == "error"]
        shown = render_findings(errors, excerpts=loaded.excerpts, colour=sys.stderr.isatty())
        typer.echo(shown.rstrip("\n"), err=True)
        typer.echo(f"ccx: {loaded.closure.entry} is not valid", err=True)
        raise typer.Exit(Exit.FINDINGS)
    values = effective(loaded.spec, compiled, loaded.locations) if resolve else written(loaded.locations)
    chosen = _chosen(values, loaded.spec, route=route, channel=channel)
    Wanted(output, None).write(_rendered(chosen, output, provenance=provenance))


def _chosen(values: Sequence[Shown], spec: Spec, *, route: str | None, channel: str | None) -> Sequence[Shown]:
    """Only what is asked for. Raises UsageError for a name that there is not."""
    if route is None and channel is None:
        return values
    wanted: list[tuple[str | int, ...]] = []
    if channel is not None:
        _known(channel, list(spec.channels), what="channel")
        wanted.append(("channels", channel))
    if route is not None:
        names = [one.name for one in spec.routes]
        _known(route, names, what="route")
        wanted.append(("routes", names.index(route)))
    return [one for one in values if one.path[:2] in wanted]


def _known(name: str, names: list[str], *, what: str) -> None:
    if name not in names:
        near = closest(name, names)
        hint = f"did you mean {near}?" if near else f"{what}s: {listed(names)}" if names else None
        raise UsageError(f"there is no {what} {name!r}", hint=hint)


def _rendered(values: Sequence[Shown], output: Format, *, provenance: bool) -> str:
    match output:
        case "yaml":
            return render_yaml(values, provenance=provenance)
        case "json":
            return render_json(values, provenance=provenance)
        case "text":
            return render_text(values, provenance=provenance)
        case _:
            assert_never(output)
