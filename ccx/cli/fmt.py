"""`ccx fmt`: one way to lay a spec out.

Exit 0; with --check 1 where a file is not formatted; 1 where a file cannot be formatted, the others being written all
the same. A file whose formatting would change what its spec compiles to is never written.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from ccx.cli.rewriting import difference, replace
from ccx.errors import Exit, UsageError
from ccx.routing.compile import compile_spec
from ccx.spec.excerpts import Excerpts
from ccx.spec.format import CannotFormat, formatted
from ccx.spec.render.text import render_findings
from ccx.spec.source import read_closure, read_file
from ccx.spec.suite_file import beside
from ccx.spec.validate import load

app = typer.Typer()

DEFAULT_SPEC: Final = Path("ccx.yaml")
STANDARD_INPUT: Final = Path("-")
_OURS: Final = re.compile(rb"^(?:---[ \t]*\n)?[\"']?version[\"']?:[ \t]+[\"']?ccx/v", re.MULTILINE)
_ENDINGS: Final = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class File:
    """A file to format: its real path, how it is shown, and its bytes."""

    real: Path
    name: str
    data: bytes


@app.command()
def fmt(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Specs, with the files that they include and their *.test.yaml; folders, with all specs below them; "
            "- is standard input. Default: ccx.yaml.",
            metavar="PATH...",
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; list what is not formatted, and exit 1.")] = (
        False
    ),
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; show what would change.")] = False,
) -> None:
    """Format specs, keeping every comment.

    Indentation, spacing, blank lines, quotes and the order of keys become what they are everywhere; words, numbers,
    and the choice between a block and brackets stay yours where they fit on a line. It never changes a meaning: what
    comes out is read and compiled again, and is written only if the digest of the table is the same.
    """
    asked = paths or [DEFAULT_SPEC]
    if STANDARD_INPUT in asked:
        if len(asked) > 1:
            raise UsageError("standard input is formatted alone", hint="ccx fmt - < ccx.yaml")
        raise typer.Exit(_stream(check=check, diff=diff))
    failed = False
    changed: dict[Path, tuple[File, bytes]] = {}
    seen: set[Path] = set()
    for spec in (spec for path in asked for spec in _specs(path)):
        both = dict(changed)
        for file in _files(spec):
            if file.real in seen:
                continue
            seen.add(file.real)
            data = _formatted(file)
            if data is None:
                failed = True
            elif data != file.data:
                both[file.real] = (file, data)
        if len(both) > len(changed) and not _keeps(spec, {real: data for real, (_, data) in both.items()}):
            typer.echo(f"ccx: {os.fspath(spec)}: formatting would change its table; it is left as it is", err=True)
            failed = True
            continue
        changed = both
    for real, (file, data) in changed.items():
        if diff:
            typer.echo(difference(file.data, data, name=file.name), nl=False)
        elif check:
            typer.echo(file.name)
        else:
            replace(real, data)
            typer.echo(f"{file.name}: formatted", err=True)
    raise typer.Exit(Exit.FINDINGS if failed or (check and changed) else Exit.OK)


def _specs(path: Path) -> Iterator[Path]:
    """The specs that a path names: itself, or of a folder every YAML file below that says that it is ours.

    Raises UsageError.
    """
    if not path.is_dir():
        if path.suffix.lower() == ".json":
            raise UsageError(f"{os.fspath(path)!r} is JSON, and fmt writes YAML")
        yield path
        return
    for here, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(here) / name
            if file.suffix.lower() in _ENDINGS and not name.startswith(".") and _OURS.search(_read(file)):
                yield file


def _read(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise UsageError(f"cannot read {os.fspath(path)!r}: {error.strerror}") from error


def _files(spec: Path) -> Iterator[File]:
    """The files of a spec: what it includes, and the tests beside it. Raises UsageError where it cannot be read."""
    for path in (spec, *beside(spec)):
        closure = read_closure(path)
        if not closure.sources:
            raise UsageError(closure.diagnostics[0].message)
        for source in closure.sources:
            yield File(source.real, source.name, source.data)


def _formatted(file: File) -> bytes | None:
    """The file in canonical form; None, with the reason told, where that cannot be."""
    try:
        return formatted(file.data, file=file.name)
    except CannotFormat as error:
        if error.diagnostics:
            excerpts = Excerpts({file.name: file.data}, ())
            shown = render_findings(error.diagnostics, excerpts=excerpts, colour=sys.stderr.isatty())
            typer.echo(shown.rstrip("\n"), err=True)
        else:
            typer.echo(f"ccx: {error}", err=True)
        return None


def _keeps(spec: Path, new: dict[Path, bytes]) -> bool:
    """Whether a spec compiles to the same table with these bytes. Of one that is not valid there is no table to keep.

    The same digest is the same table, so that no request can tell the two apart: there is nothing left for a plan.
    """
    before = load(spec)
    if before.spec is None:
        return True
    after = load(spec, read=lambda real: new[real] if real in new else read_file(real))
    return after.spec is not None and compile_spec(after.spec).digest == compile_spec(before.spec).digest


def _stream(*, check: bool, diff: bool) -> Exit:
    data = sys.stdin.buffer.read()
    new = _formatted(File(STANDARD_INPUT, "-", data))
    if new is None:
        return Exit.FINDINGS
    if diff:
        typer.echo(difference(data, new, name="-"), nl=False)
    elif check:
        if new != data:
            typer.echo("-")
    else:
        sys.stdout.buffer.write(new)
        sys.stdout.buffer.flush()
    return Exit.FINDINGS if check and new != data else Exit.OK
