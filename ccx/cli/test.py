"""`ccx test`: what a spec promises of its routing, checked.

Exit 0 when every test passed, every invariant is proved and every floor is met; 1 when not, or when the spec or a file
of tests is wrong.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal, assert_never, cast, get_args

import typer

from ccx.analysis.asking import command
from ccx.analysis.outcome import Judge
from ccx.cli.destination import Wanted, wanted
from ccx.cli.explained import ASCII, UNICODE, as_text
from ccx.errors import Exit, UsageError
from ccx.spec.appending import CannotAppend, appended, block
from ccx.spec.diagnostics import Diagnostic
from ccx.spec.excerpts import Excerpts
from ccx.spec.render.text import render_findings
from ccx.spec.suite_file import ENDING, spec_of
from ccx.spec.view import items, under
from ccx.testing.cases import expand
from ccx.testing.invariants import prove_all
from ccx.testing.model import Report, Suggested
from ccx.testing.promises import Promises, gather
from ccx.testing.render.github import render_github
from ccx.testing.render.json import render_json
from ccx.testing.render.junit import render_junit
from ccx.testing.render.text import render_text
from ccx.testing.run import Runner, chosen
from ccx.testing.suggest import Survey

app = typer.Typer()

Format = Literal["text", "json", "junit", "github"]
DEFAULT_SPEC: Final = Path("ccx.yaml")


@app.command("test")
def run_tests(
    path: Annotated[Path, typer.Argument(help="The spec, or a file of tests.")] = DEFAULT_SPEC,
    tests: Annotated[
        list[Path] | None,
        typer.Option("--tests", metavar="FILE", help="A file of tests, in place of those beside the spec; repeatable."),
    ] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="REGEX", help="Only tests whose name matches.")] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failure.")] = False,
    coverage: Annotated[bool, typer.Option("--coverage", help="Show what is covered, and what is not.")] = False,
    fail_under: Annotated[
        int | None, typer.Option("--fail-under", min=0, max=100, metavar="N", help="Least coverage in percent.")
    ] = None,
    suggest: Annotated[bool, typer.Option("--suggest", help="Print tests for what is not covered.")] = False,
    write: Annotated[bool, typer.Option("--write", help="With --suggest: add them to the file.")] = False,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FORMAT[=FILE]",
            help="text, json, junit or github, to standard output or a file. May be given several times.",
        ),
    ] = None,
) -> None:
    """Run the routing tests of a spec, drill its failover, prove its invariants.

    Tests are those of the spec and of the files *.test.yaml beside it that name it.
    """
    destinations = [wanted(text, legal=get_args(Format)) for text in output or ["text"]]
    if sum(one.file is None for one in destinations) > 1:
        raise UsageError("only one output can go to standard output", hint="write others to files: --output junit=FILE")
    if write and not suggest:
        raise UsageError("--write goes with --suggest", hint="ccx test --suggest --write")
    if (suggest or coverage or fail_under is not None) and (run is not None or fail_fast):
        raise UsageError("coverage is that of all tests", hint="leave --run and --fail-fast out")
    pattern = _pattern(run)
    spec, files = _named(path, tests)
    promises = gather(spec, files)
    _say(promises)
    if promises.compiled is None or not promises.valid:
        typer.echo(f"ccx: {path} is not valid", err=True)
        raise typer.Exit(Exit.FINDINGS)
    judge = Judge(promises.compiled.table)
    every = expand(promises.tests, judge)
    cases = chosen(every, pattern)
    runner = Runner(promises.compiled, judge)
    results = tuple(runner.run_all(cases, fail_fast=fail_fast))
    stopped = fail_fast and any(not one.passed for one in results)
    stated = [one for one in promises.invariants if pattern is None or pattern.search(one.invariant.name)]
    proofs = prove_all(stated, promises.compiled, judge) if not stopped else ()
    wants_coverage = suggest or coverage or fail_under is not None or (promises.floors and run is None and not stopped)
    survey = Survey(promises.compiled, judge, runner, {case.test.name for case in every})
    measured = survey.coverage(results) if wants_coverage else None
    report = Report(
        spec=os.fspath(spec),
        digest=promises.compiled.digest,
        results=results,
        proofs=proofs,
        coverage=measured,
        floors=promises.floors,
        fail_under=fail_under,
        skipped=len(every) - len(results),
    )
    for one in destinations:
        _write(one, report, detailed=coverage)
    # A program that reads the standard output has the suggestions in its document.
    free = all(one.file is not None or one.format == "text" for one in destinations)
    if suggest and measured is not None and (write or free):
        _suggest(survey.suggestions(measured), spec, files, promises, write=write)
    raise typer.Exit(Exit.OK if report.passed else Exit.FINDINGS)


def _pattern(run: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(run) if run is not None else None
    except re.error as error:
        raise UsageError(f"--run {run!r} is no regular expression: {error}") from None


def _named(path: Path, tests: list[Path] | None) -> tuple[Path, list[Path] | None]:
    """The spec, and the files of tests if they are named."""
    if not path.name.endswith(ENDING):
        return path, tests
    spec = spec_of(path)
    if spec is None:
        raise UsageError(f"{os.fspath(path)!r} names no spec", hint="write `spec: ccx.yaml` in it")
    return spec, [path, *(tests or [])]


def _say(promises: Promises) -> None:
    """What is wrong with the files; warnings of the spec are for `ccx validate`."""
    found: list[tuple[Sequence[Diagnostic], Excerpts]] = []
    wrong = [one for one in promises.loaded.diagnostics if one.severity == "error"]
    found.append((wrong, promises.loaded.excerpts))
    found += [(suite.diagnostics, suite.excerpts) for suite in promises.suites]
    for diagnostics, excerpts in found:
        if diagnostics:
            shown = render_findings(diagnostics, excerpts=excerpts, colour=sys.stderr.isatty())
            typer.echo(shown.rstrip("\n"), err=True)


def _write(destination: Wanted, report: Report, *, detailed: bool) -> None:
    terminal = destination.file is None and sys.stdout.isatty()
    encoding = (sys.stdout.encoding or "ascii") if destination.file is None else "utf-8"
    unicode = encoding.lower().replace("-", "").startswith("utf")
    colour = terminal and "NO_COLOR" not in os.environ
    format_ = cast(Format, destination.format)
    destination.write(laid_out(report, format_, unicode=unicode, colour=colour, detailed=detailed))


def laid_out(
    report: Report, format_: Format, *, unicode: bool = True, colour: bool = False, detailed: bool = False
) -> str:
    """A report of tests in a format. `detailed` names what no test covers."""
    explain = partial(as_text, digest=report.digest, signs=UNICODE if unicode else ASCII)
    ask = partial(command, spec=report.spec)
    match format_:
        case "text":
            return render_text(report, explain=explain, ask=ask, colour=colour, detailed=detailed)
        case "json":
            return render_json(report, explain=explain, ask=ask)
        case "junit":
            return render_junit(report, explain=explain, ask=ask)
        case "github":
            return render_github(report)
        case _:
            assert_never(format_)


def _suggest(
    suggested: Sequence[Suggested], spec: Path, files: list[Path] | None, promises: Promises, *, write: bool
) -> None:
    written = [one.written for one in suggested]
    if not written:
        typer.echo("No test to suggest.", err=True)
        return
    if not write:
        typer.echo("tests:\n" + "\n".join(f"  {line}" for one in written for line in block(one)))
        return
    target = files[0] if files else _home(spec, promises)
    try:
        data = target.read_bytes()
        target.write_bytes(appended(data, written, file=os.fspath(target)))
    except OSError as error:
        raise UsageError(f"cannot write {os.fspath(target)!r}: {error.strerror}") from error
    except CannotAppend as error:
        raise UsageError(str(error)) from error
    typer.echo(f"{target}: {len(written)} tests added; read what they expect before you commit them", err=True)


def _home(spec: Path, promises: Promises) -> Path:
    """The file of the spec that its tests stand in; the spec itself where there are none."""
    last = items(under(promises.loaded.locations.root, "tests"))[-1:]
    for source in promises.loaded.closure.sources:
        if last and source.name == last[0].file:
            return source.real
    return spec
