"""A review in words: the comment, the run's summary, what the log of the run shows, and annotations.

Law: what a spec, a log or a test says is shown in code spans and code blocks that nothing inside can end; in a log,
between the marks that keep GitHub from taking a line for a command. Every part has a bound.
"""

from __future__ import annotations

import os
import posixpath
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final
from urllib.parse import quote

from ccx.cli.destination import Wanted
from ccx.cli.planned import rendered
from ccx.cli.pull.event import Event
from ccx.cli.pull.review import Gate, Review, State
from ccx.cli.test import laid_out
from ccx.plan.render.github import details, fenced, prose
from ccx.plan.render.markdown import Check, Section, render_failure, render_markdown
from ccx.plan.replay.render_markdown import body as replay_body
from ccx.plan.replay.render_markdown import title as replay_title
from ccx.spec.appending import block
from ccx.spec.locations import Place
from ccx.spec.render.github import render_github as annotate_findings
from ccx.spec.render.report import Report
from ccx.spec.render.text import render_findings, render_text
from ccx.testing.render.github import render_github as annotate_tests

MAX_SUMMARY: Final = 1_000_000
"""Bytes; GitHub shows no summary of a step above 1 MiB."""
_MAX_SECTION: Final = 8_000
_SIGNS: Final[dict[State, str]] = {"passed": "✔", "warned": "!", "failed": "✗", "skipped": "·"}


def comment(review: Review, event: Event, *, base: str, prefix: str, at: str) -> str | None:
    """The comment on the pull request; None without a plan. `base` is what the old side is called, `prefix` where in
    the repository the command runs, and `at` the time of the run."""
    checks = [Check(gate.name, gate.state, gate.detail) for gate in review.gates]
    if review.plan is not None:
        dull = review.plan.no_op and not review.plan.marks and not any(g.state in _TELLING for g in review.gates)
        spec = "" if review.spec == "ccx.yaml" else f" --spec {shlex.quote(review.spec)}"
        return render_markdown(
            review.plan,
            link=_linker(review, event, prefix),
            checks=() if dull else checks,
            sections=() if dull else tuple(_sections(review)),
            head=event.head,
            at=at,
            command=f"ccx plan {shlex.quote(base)}...HEAD{spec}",
        )
    if review.errors is not None:
        problem = "the spec is not valid" if review.broken == "new" else "what it is compared with is not valid"
        return render_failure(review.errors, spec=review.spec, checks=checks, head=event.head, at=at, problem=problem)
    return None


_TELLING: Final = ("warned", "failed")


def summary(reviews: Sequence[Review], comments: Sequence[str | None]) -> str:
    """The page of a run, all specs one after the other, of at most 1,000,000 bytes."""
    blocks: list[str] = []
    size = 0
    for number, (review, said) in enumerate(zip(reviews, comments, strict=True)):
        block_ = said.partition("\n")[2] if said is not None else _without_plan(review)
        size += len(block_.encode())
        if size > MAX_SUMMARY - 200:
            blocks.append(f"**{len(reviews) - number} more specs** are left out for length.\n")
            break
        blocks.append(block_)
    return "\n".join(blocks)


def _without_plan(review: Review) -> str:
    line = " · ".join(prose(f"{_SIGNS[gate.state]} {_words(gate)}", room=160) for gate in review.gates)
    parts = [f"### ccx: {prose(review.spec, room=120)} {review.verdict}", line]
    parts += [details(prose(section.title), section.body) for section in _sections(review)]
    return "\n\n".join(parts) + "\n"


def text(review: Review, *, width: int, colour: bool, unicode: bool) -> str:
    """Everything for a person, the result of each check at the end."""
    parts = [render_text(review.findings, width=width, colour=colour)]
    if review.tested is not None and not review.tested.passed:
        parts.append(laid_out(review.tested, "text", unicode=unicode, colour=colour))
    if review.broken == "old" and review.errors is not None:
        parts.append(f"What it is compared with is not valid:\n\n{review.errors}")
    if review.plan is not None:
        parts.append(rendered(review.plan, Wanted("text", None), traffic=review.traffic))
    signs = _SIGNS if unicode else {"passed": "+", "warned": "!", "failed": "x", "skipped": "-"}
    lines = [f"  {signs[gate.state]} {_words(gate)}" for gate in review.gates]
    parts.append("\n".join([f"{review.spec}: {review.verdict}", *lines]) + "\n")
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def annotated(reviews: Sequence[Review]) -> str:
    """Workflow commands: errors, what is new, failing tests, what is forbidden."""
    reports = [
        replace(report, diagnostics=tuple(one for one in report.diagnostics if _is_news(one, review, report)))
        for review in reviews
        for report in review.findings
    ]
    lines = [annotate_findings(reports, command="ccx lint")]
    lines += [annotate_tests(review.tested) for review in reviews if review.tested is not None]
    for review in reviews:
        lines += [f"::error title=ccx plan::{_data(f'{review.spec}: forbidden: {one}')}\n" for one in review.refused]
        if review.plan is not None and not review.plan.complete:
            said = _data(f"{review.spec}: the analysis did not finish: {review.plan.unfinished}")
            lines.append(f"::error title=ccx plan::{said}\n")
    return "".join(lines)


def _is_news(found: object, review: Review, report: Report) -> bool:
    return report is not review.findings[0] or found in review.fresh or getattr(found, "severity", "") == "error"


def _data(said: str) -> str:
    return said.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _words(gate: Gate) -> str:
    return f"{gate.name} {gate.detail}".rstrip()


def _sections(review: Review) -> Iterator[Section]:
    """What opens on a click: findings that are new, tests that fail, changes without a test, the replay."""
    own, *suites = review.findings
    shown = [*review.fresh, *(one for one in own.diagnostics if one.severity == "error" and one not in review.fresh)]
    said = [render_findings(shown, excerpts=own.excerpts)] if shown else []
    said += [render_findings(report.diagnostics, excerpts=report.excerpts) for report in suites]
    if said:
        count = len(shown) + sum(len(report.diagnostics) for report in suites)
        yield Section(f"Findings ({count})", _fenced("\n".join(said)))
    tested = review.tested
    if tested is not None and not tested.passed:
        failed = [one for one in tested.results if not one.passed]
        open_ = [one for one in tested.proofs if not one.passed]
        yield Section(
            f"Failing tests ({len(failed) + len(open_) + len(tested.below)})", _fenced(laid_out(tested, "text"))
        )
    if review.bare:
        suggested = [line for one in review.bare if one.test is not None for line in block(one.test.written)]
        told = f"tests:\n{os.linesep.join(f'  {line}' for line in suggested)}" if suggested else "# none can be written"
        yield Section(f"Changed requests without a test ({len(review.bare)})", _fenced(told, "yaml"))
    if review.traffic is not None:
        yield Section(replay_title(review.traffic), replay_body(review.traffic))


def _fenced(said: str, language: str = "text") -> str:
    lines = said.strip("\n").split("\n")
    kept: list[str] = []
    for number, line in enumerate(lines):
        if sum(map(len, kept)) + len(kept) + len(line) > _MAX_SECTION:
            kept.append(f"… {len(lines) - number} more lines")
            break
        kept.append(line)
    return fenced("\n".join(kept), language)


def _linker(review: Review, event: Event, prefix: str) -> Callable[[Place], str] | None:
    """Places of the new text as web addresses. Those of what was removed are of the old one, and have none."""
    if event.files is None or review.plan is None:
        return None
    gone = {edit.place for edit in review.plan.edits if edit.operation == "remove"}
    return partial(_address, files=event.files, prefix=prefix, gone=gone)


def _address(place: Place, *, files: str, prefix: str, gone: set[Place | None]) -> str:
    path = posixpath.normpath(posixpath.join(prefix, place.file))
    if place in gone or path.startswith(("/", "..")):
        return ""
    return f"{files}/{quote(path)}#L{place.span.line}"
