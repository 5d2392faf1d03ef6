"""For GitHub Actions: workflow commands that become annotations, one for each test that failed.

Format: https://docs.github.com/actions/reference/workflow-commands-for-github-actions. GitHub shows ten errors a step
and drops the rest without a word; the rest is counted in a closing notice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ccx.spec.locations import Place
from ccx.testing.model import Report

CAP: Final = 10


def render_github(report: Report) -> str:
    """One command a line."""
    commands = list(_commands(report))
    lines = commands[:CAP]
    if len(commands) > CAP:
        lines.append(f"::notice title=ccx test::{len(commands) - CAP} more failures are not shown here; run ccx test")
    return "".join(line + "\n" for line in lines)


def _commands(report: Report) -> Iterator[str]:
    for result in report.results:
        if not result.passed:
            said = [f"expected {one.field}: {one.expected}; got {one.got}" for one in result.mismatches]
            yield _command(result.case.name, result.case.place, "\n".join(said))
    for proof in report.proofs:
        if proof.counterexample is not None:
            said = [f"{one.field}: {one.expected}; got {one.got}" for one in proof.counterexample.broken]
            yield _command(proof.name, proof.place, "\n".join(["the invariant does not hold", *said]))
        elif proof.unfinished is not None:
            yield _command(proof.name, proof.place, f"neither proved nor refuted: {proof.unfinished}")
    for below in report.below:
        yield f"::error title=ccx test::{_data(below)}"


def _command(name: str, place: Place, text: str) -> str:
    properties = f"title={_property(f'ccx test: {name}')}"
    if place.file:
        properties += f",file={_property(place.file)},line={place.value.line}"
    return f"::error {properties}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
