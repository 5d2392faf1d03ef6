"""`ccx lint`: find what is wrong with specs that are valid, and put it right.

Exit 0 when nothing found is an error, 1 when something is (or, with --strict, a warning), 3 when a proof did not come
to an end and nothing else failed. That holds for every output, and after fixing for what is left. Secrets are not
looked for: a spec is linted where they are not, and `ccx validate` asks for them.
"""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from ccx.analysis.space import Budget
from ccx.cli.reports import destinations, publish
from ccx.errors import Exit, UsageError
from ccx.lint.baseline import BadBaseline, Baseline, baseline, from_json, to_json
from ccx.lint.examine import Examined, Wish, examine, linted
from ccx.lint.mend import Mended, mend
from ccx.lint.selection import FAMILIES, UnknownRule, matching
from ccx.routing.compile import compile_spec
from ccx.spec.diagnostics import Diagnostic
from ccx.spec.render.report import Report
from ccx.spec.rules import RULES

app = typer.Typer()

DEFAULT_SPEC: Final = Path("ccx.yaml")
STATES: Final = Budget().states
VERDICTS: Final = ("passed", "failed")


@dataclass(frozen=True, slots=True)
class Known:
    """What is not news: a baseline file, and what was found at a revision."""

    file: Baseline | None
    revision: str | None


@app.command()
def lint(
    paths: Annotated[list[Path] | None, typer.Argument(help="Specs. Default: ccx.yaml.", metavar="PATH...")] = None,
    select: Annotated[
        list[str] | None,
        typer.Option("--select", metavar="RULES", help="Only these: codes, names or families, with commas."),
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option("--ignore", metavar="RULES", help="All but these.")] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Write the fixes that change no meaning.")] = False,
    unsafe_fixes: Annotated[bool, typer.Option("--unsafe-fixes", help="Write the others too.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what fixing would change, and write nothing.")] = False,
    explain: Annotated[str | None, typer.Option("--explain", metavar="RULE", help="Say what a rule is about.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the rules.")] = False,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FORMAT[=FILE]",
            help="text, json, github, gitlab, sarif or junit, to standard output or a file. Repeatable.",
        ),
    ] = None,
    baseline_file: Annotated[
        Path | None, typer.Option("--baseline", metavar="FILE", help="Report only what this file does not know.")
    ] = None,
    write_baseline: Annotated[
        Path | None, typer.Option("--write-baseline", metavar="FILE", help="Write a file that knows all findings.")
    ] = None,
    changed_since: Annotated[
        str | None, typer.Option("--changed-since", metavar="REV", help="Report only what was not found at a revision.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    max_states: Annotated[int, typer.Option("--max-states", min=1, help="Bound on each proof.")] = STATES,
    time_limit: Annotated[
        float, typer.Option("--time-limit", min=0.01, metavar="SECONDS", help="Bound on all proofs together.")
    ] = 60.0,
) -> None:
    """Find what is wrong with specs that are valid, and put it right."""
    if list_:
        typer.echo(rule_list(), nl=False)
        return
    if explain is not None:
        typer.echo(explained(explain), nl=False)
        return
    to = destinations(output)
    known = Known(_baseline(baseline_file), changed_since)
    ends = time.monotonic() + time_limit
    wish = Wish(
        today=datetime.now(UTC).date(),
        select=_listed(select),
        ignore=_listed(ignore),
        budget=Budget(states=max_states, expired=lambda: time.monotonic() > ends),
    )
    try:
        examined = [_examined(path, wish, fix=fix, unsafe=unsafe_fixes, diff=diff) for path in paths or [DEFAULT_SPEC]]
        reports = [_report(path, one, wish, known) for path, one in zip(paths or [DEFAULT_SPEC], examined, strict=True)]
    except UnknownRule as error:
        raise UsageError(str(error)) from None
    if write_baseline is not None:
        _write(write_baseline, to_json(baseline((one.linted.findings, one.loaded.locations) for one in examined)))
    if diff:
        raise typer.Exit(_exit(examined, reports, strict=strict))
    publish(reports, to, strict=strict, command="ccx lint")
    raise typer.Exit(_exit(examined, reports, strict=strict) if write_baseline is None else Exit.OK)


def _listed(options: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(word.strip() for option in options or () for word in option.split(",") if word.strip())


def _examined(path: Path, wish: Wish, *, fix: bool, unsafe: bool, diff: bool) -> Examined:
    """The spec as it is, or as it is after fixing."""
    if not (fix or unsafe or diff):
        return examine(path, wish)
    mended = mend(path, wish, unsafe=unsafe)
    if diff:
        typer.echo(difference(mended), nl=False)
        return mended.after
    for real, data in mended.files.items():
        _replace(real, data)
    for one in mended.refused:
        typer.echo(f"ccx: not fixed, the spec would be worse for it: {one.code} {one.message}", err=True)
    if mended.applied:
        count = len(mended.applied)
        typer.echo(f"{os.fspath(path)}: {count} finding{'s' * (count != 1)} fixed", err=True)
    return mended.after


def difference(mended: Mended) -> str:
    """What fixing changes, as a unified diff."""
    before = {source.real: source.data for source in mended.before.loaded.closure.sources}
    parts: list[str] = []
    for real, data in mended.files.items():
        name = mended.names[real]
        old, new = before[real].decode("utf-8"), data.decode("utf-8")
        lines = difflib.unified_diff(
            old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{name}", f"b/{name}"
        )
        parts.extend(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return "".join(parts)


def _replace(path: Path, data: bytes) -> None:
    """The whole file or none of it: a reader, such as a gateway that is running, never sees half."""
    temporary = path.with_name(f".{path.name}.ccx-lint")
    try:
        temporary.write_bytes(data)
        temporary.chmod(path.stat().st_mode & 0o7777)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"cannot write {os.fspath(path)!r}: {error.strerror}") from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {os.fspath(path)!r}: {error.strerror}") from error


def _baseline(path: Path | None) -> Baseline | None:
    if path is None:
        return None
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"cannot read {os.fspath(path)!r}: {error.strerror}", hint=f"ccx lint --write-baseline {path}"
        ) from error
    except (BadBaseline, UnicodeDecodeError) as error:
        raise UsageError(f"{os.fspath(path)!r} is no baseline: {error}") from error


def _report(path: Path, one: Examined, wish: Wish, known: Known) -> Report:
    """What is to be shown of a spec: without what is known."""
    found: tuple[Diagnostic, ...] = one.linted.findings
    notes: list[str] = []
    if one.linted.ignored:
        notes.append(f"{len(one.linted.ignored)} ignored")
    if known.file is not None:
        fresh = known.file.new(found, one.loaded.locations)
        notes.append(f"{len(found) - len(fresh)} in the baseline")
        found = fresh
    if known.revision is not None:
        fresh = _at(path, known.revision, wish).new(found, one.loaded.locations)
        notes.append(f"{len(found) - len(fresh)} known at {known.revision}")
        found = fresh
    entry = one.loaded.closure.entry
    return Report(entry, found, one.loaded.excerpts, one.loaded.locations, verdicts=VERDICTS, notes=tuple(notes))


def _at(path: Path, revision: str, wish: Wish) -> Baseline:
    """What was found at a revision; nothing where the spec was not there."""
    from ccx.plan.git import RevisionError  # noqa: PLC0415 - git is for this one option
    from ccx.plan.revisions import Comparison, Revision, WorkingTree, versions  # noqa: PLC0415 - likewise

    try:
        with versions(Comparison(path, Revision(revision), WorkingTree())) as (old, _):
            if old.loaded is None:
                return Baseline({})
            loaded = old.loaded
    except RevisionError as error:
        raise UsageError(str(error)) from None
    compiled = compile_spec(loaded.spec, locations=loaded.locations) if loaded.spec is not None else None
    then = linted(loaded, compiled, wish)
    return baseline([(then.findings, loaded.locations)])


def _exit(examined: Sequence[Examined], reports: Sequence[Report], *, strict: bool) -> Exit:
    if any(one.counts.errors or (strict and one.counts.warnings) for one in reports):
        return Exit.FINDINGS
    return Exit.INCOMPLETE if any(one.linted.unfinished for one in examined) else Exit.OK


def explained(text: str) -> str:
    """The documentation of what a word means: a rule, by code or name, or the rules of a family."""
    try:
        found = matching(text)
    except UnknownRule as error:
        raise UsageError(str(error)) from None
    return "\n".join(f"# {info.code} {info.name} ({info.severity})\n\n{info.doc.rstrip()}\n" for info in found)


def rule_list() -> str:
    """Every rule on a line, by family."""
    families: Mapping[str, str] = {beginning: name for name, beginning in FAMILIES.items()}
    width = max(len(info.name) for info in RULES.values())
    lines: list[str] = []
    family = ""
    for info in RULES.values():
        if families[info.code[:4]] != family:
            family = families[info.code[:4]]
            lines += ["", family] if lines else [family]
        marks = " ".join(
            word for word in (info.fix and f"fix:{info.fix}", "opt-in" if info.opt_in else None) if word is not None
        )
        lines.append(f"  {info.code}  {info.name:<{width}}  {info.severity:<7}  {marks:<10}  {info.summary}")
    return "\n".join(lines) + "\n"


def rule_table() -> str:
    """Every rule of the linter as a Markdown table, for the README."""
    families = {beginning: name for name, beginning in FAMILIES.items()}
    rows = ["| Code | Name | Family | Severity | Fix | What it finds |", "|---|---|---|---|---|---|"]
    for info in RULES.values():
        if info.finder == "lint":
            severity = f"{info.severity}, opt-in" if info.opt_in else info.severity
            cells = [info.code, f"`{info.name}`", families[info.code[:4]], severity, info.fix or "", info.summary]
            rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows) + "\n"
