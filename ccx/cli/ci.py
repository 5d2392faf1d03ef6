"""`ccx ci`: all that a pull request is checked for, in one run.

Exit 0 where every spec passed, 1 where one failed by the policy, 3 where nothing failed and an analysis did not finish.
Every check of every spec is made, and everything asked for is written, whatever the exit. It needs no token and works
without a forge: `ccx ci --base main`.
"""

from __future__ import annotations

import glob
import os
import secrets
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, cast, get_args

import typer

from ccx.analysis.effort import STATES, Budget
from ccx.cli.destination import Wanted
from ccx.cli.plan import UNCOVERED, kinds_of
from ccx.cli.planned import rendered
from ccx.cli.pull import written
from ccx.cli.pull.bundle import folders, write
from ccx.cli.pull.event import Event, event_of
from ccx.cli.pull.history import Checkout, Origin
from ccx.cli.pull.review import FailOn, Policy, Review, Verdict, review
from ccx.cli.test import laid_out
from ccx.errors import Exit, UsageError
from ccx.plan.guards import ANY, GUARDS
from ccx.plan.revisions import WORKING_TREE
from ccx.spec.render.gitlab import render_gitlab
from ccx.spec.render.junit import render_junit
from ccx.spec.render.sarif import render_sarif

app = typer.Typer()

DEFAULT_SPEC: Final = "ccx.yaml"
LINT_SECONDS: Final = 60.0
PLAN_SECONDS: Final = 120.0


@app.command()
def ci(
    specs: Annotated[
        list[str] | None, typer.Argument(metavar="SPEC...", help="Specs, or patterns such as 'gateways/*.yaml'.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="REV", help="What the change started from. Default: what the pipeline says."),
    ] = None,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Fetch from origin what a shallow clone lacks of the base.")
    ] = False,
    lint: Annotated[bool, typer.Option(help="Lint, beyond what makes a spec invalid.")] = True,
    test: Annotated[bool, typer.Option(help="Run tests, drills and invariants.")] = True,
    plan: Annotated[bool, typer.Option(help="Show what changes for requests.")] = True,
    fail_on: Annotated[
        str, typer.Option(metavar="WHAT", help="Findings that fail: error, new-warning or warning.")
    ] = "error",
    forbid: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND[,KIND]", help=f"Changes that fail: {', '.join((*GUARDS, ANY, UNCOVERED))}."),
    ] = None,
    fail_under: Annotated[
        int | None, typer.Option(min=0, max=100, metavar="N", help="Least coverage by tests, in percent.")
    ] = None,
    cover_changes: Annotated[
        bool, typer.Option("--cover-changes", help="Name the changed requests that no test asks about.")
    ] = False,
    replay: Annotated[
        list[str] | None, typer.Option(metavar="LOG", help="Replay a request log through both sides; repeatable.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the reports: SARIF, JUnit, plans, comments. Made if need be."),
    ] = None,
    max_states: Annotated[int, typer.Option(min=1, help="Bound of each analysis; past it, exit 3.")] = STATES,
) -> None:
    """Check a pull request: validate, lint, test and plan each spec, against where the change started.

    On GitHub Actions it annotates the files and writes the summary; on GitLab it knows the merge request.
    """
    if fail_on not in get_args(FailOn):
        raise UsageError(f"--fail-on: there is no {fail_on!r}", hint=f"choose from {', '.join(get_args(FailOn))}")
    policy = Policy(
        lint=lint,
        test=test,
        plan=plan,
        fail_on=cast(FailOn, fail_on),
        forbid=tuple(dict.fromkeys(kinds_of(forbid or []))),
        fail_under=fail_under,
        cover_changes=cover_changes,
        logs=tuple(replay or ()),
        lint_budget=partial(_budget, max_states, LINT_SECONDS),
        plan_budget=partial(_budget, max_states, PLAN_SECONDS),
    )
    paths = _expanded(specs or [DEFAULT_SPEC])
    event = event_of(os.environ)
    checkout = Checkout(Path.cwd())
    origin = checkout.origin(event, base=base, fetch=fetch) if plan else None
    prefix = checkout.prefix() if plan else ""
    now = datetime.now(UTC)
    reviews = [_reviewed(path, origin, policy, event, checkout, now=now) for path in paths]
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    told = origin.name if origin is not None else ""
    comments = [written.comment(one, event, base=told, prefix=prefix, at=at) for one in reviews]
    page = written.summary(reviews, comments)
    _show(reviews, event)
    _tell_github(reviews, page, event, report)
    if report is not None:
        files, manifest = _reports(reviews, comments, policy)
        about = {"number": event.number, "head": event.head, "at": at, "verdict": _worst(reviews)}
        write(report, {**files, "summary.md": page}, {**about, **manifest})
    raise typer.Exit({"passed": Exit.OK, "failed": Exit.FINDINGS, "incomplete": Exit.INCOMPLETE}[_worst(reviews)])


def _reviewed(
    path: Path, origin: Origin | None, policy: Policy, event: Event, checkout: Checkout, *, now: datetime
) -> Review:
    """One spec. The sides are called what people call them, and their revisions are commits that they can find."""
    commit = checkout.head() if origin is not None else None
    head = event.head or commit
    name = (event.head_name or "HEAD") if commit is not None else WORKING_TREE
    sides = (origin.name if origin is not None else "", name)
    return review(
        path, origin, policy, today=now.date(), clock=time.perf_counter, names=sides, revision=head if commit else None
    )


def _budget(states: int, seconds: float) -> Budget:
    end = time.monotonic() + seconds
    return Budget(states, lambda: time.monotonic() > end)


def _expanded(words: Sequence[str]) -> list[Path]:
    """The specs that the words mean. A pattern that finds nothing is a mistake, as is a spec twice."""
    found: list[str] = []
    for word in words:
        if glob.has_magic(word) and not os.path.lexists(word):
            matches = sorted(one for one in glob.glob(word, recursive=True) if not one.endswith(".test.yaml"))
            if not matches:
                raise UsageError(f"{word!r} finds no spec")
            found += matches
        else:
            found.append(word)
    return [Path(one) for one in dict.fromkeys(os.path.normpath(one) for one in found)]


def _worst(reviews: Sequence[Review]) -> Verdict:
    verdicts = {one.verdict for one in reviews}
    return "failed" if "failed" in verdicts else "incomplete" if "incomplete" in verdicts else "passed"


def _show(reviews: Sequence[Review], event: Event) -> None:
    """Everything on standard output. What a spec says stands where GitHub takes no line for a command."""
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else 100
    encoding = sys.stdout.encoding or "ascii"
    unicode = encoding.lower().replace("-", "").startswith("utf")
    shown = (
        "\n".join(
            written.text(one, width=width, colour=terminal and "NO_COLOR" not in os.environ, unicode=unicode)
            for one in reviews
        )
        .encode(encoding, errors="backslashreplace")
        .decode(encoding)
    )
    if event.forge != "github":
        sys.stdout.write(shown)
    else:
        # https://docs.github.com/actions/reference/workflow-commands-for-github-actions: an unguessable word ends it.
        word = secrets.token_hex(16)
        sys.stdout.write(f"::stop-commands::{word}\n{shown}::{word}::\n{written.annotated(reviews)}")
    sys.stdout.flush()


def _tell_github(reviews: Sequence[Review], page: str, event: Event, report: Path | None) -> None:
    """The step's summary and outputs, where the runner names files for them."""
    if event.forge != "github":
        return
    _append("GITHUB_STEP_SUMMARY", page)
    plans = [one.plan for one in reviews]
    no_op = all(one is not None and one.no_op for one in plans)
    outputs = {
        "verdict": _worst(reviews),
        "changed": "false" if no_op else "true",
        "no-op": "true" if no_op else "false",
        "plan-digest": plans[0].digest if len(plans) == 1 and plans[0] is not None else "",
        "files": os.fspath(report.absolute()) if report is not None else "",
    }
    _append("GITHUB_OUTPUT", "".join(f"{name}={value}\n" for name, value in outputs.items()))


def _append(variable: str, text: str) -> None:
    name = os.environ.get(variable)
    if not name:
        return
    try:
        with Path(name).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"cannot write to {variable}, {name!r}: {error.strerror}") from error


def _reports(
    reviews: Sequence[Review], comments: Sequence[str | None], policy: Policy
) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """The files of the report by name, and what the manifest says of the specs."""
    findings = [report for one in reviews for report in one.findings]
    files = {
        "findings.sarif": render_sarif(findings, base=Path.cwd()),
        "findings.xml": render_junit(findings, strict=policy.fail_on == "warning", command="ccx ci"),
        "codequality.json": render_gitlab(findings),
    }
    names = folders([one.spec for one in reviews])
    listed: list[dict[str, Any]] = []
    for one, comment in zip(reviews, comments, strict=True):
        made = {
            "comment.md": comment,
            **_plans(one),
            "tests.xml": laid_out(one.tested, "junit") if one.tested is not None else None,
        }
        files.update((f"{names[one.spec]}/{name}", text) for name, text in made.items() if text is not None)
        listed.append(
            {
                "spec": one.spec,
                "folder": names[one.spec],
                "verdict": one.verdict,
                "no_op": one.plan is not None and one.plan.no_op,
                "quiet": one.quiet,
                "digest": one.plan.digest if one.plan is not None else None,
                "comment": comment is not None,
            }
        )
    return files, {"specs": listed}


def _plans(one: Review) -> dict[str, str]:
    """The plan in the forms that people and programs want later."""
    if one.plan is None:
        return {}
    forms = {"plan.json": "json", "plan.txt": "text", "plan.html": "html"}
    return {name: rendered(one.plan, Wanted(form, Path(name)), traffic=one.traffic) for name, form in forms.items()}
