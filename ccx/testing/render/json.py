"""For programs: one JSON document.

    {"format_version": "1.0", "spec": str, "digest": str, "passed": bool,
     "tests": [{"name", "passed", "place": {"file", "line"}|null, "request": {...}, "outcome": str,
                "mismatches": [{"field", "expected", "got"}], "timeline": [str]|null, "trace": str|null}],
     "invariants": [{"name", "passed", "place", "unfinished": str|null,
                     "counterexample": {"request", "command", "mismatches", "trace"}|null}],
     "coverage": {"metrics": {NAME: {"percent", "covered", "total", "floor": int|null}},
                  "uncovered": [{"metric", "route", "what", "why", "test": {...}|null}],
                  "left_out": [{"metric", "route", "what", "why"}]} | null,
     "below": [str], "skipped": int}

A trace is there for what failed. Percentages are whole and rounded down. Within a major version keys are only added.
"""

from __future__ import annotations

import json
from typing import Any, Final

from ccx.spec.locations import Place
from ccx.testing.expectations import line, what
from ccx.testing.model import Coverage, Hole, Mismatch, Proof, Report, Result
from ccx.testing.render.text import Ask, Explain
from ccx.testing.suggest import request_of

FORMAT_VERSION: Final = "1.0"


def render_json(report: Report, *, explain: Explain, ask: Ask) -> str:
    """The report as one document."""
    document = {
        "format_version": FORMAT_VERSION,
        "spec": report.spec,
        "digest": report.digest,
        "passed": report.passed,
        "tests": [_result(one, explain) for one in report.results],
        "invariants": [_proof(one, explain, ask) for one in report.proofs],
        "coverage": _coverage(report.coverage, report) if report.coverage is not None else None,
        "below": list(report.below),
        "skipped": report.skipped,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _result(one: Result, explain: Explain) -> dict[str, Any]:
    return {
        "name": one.case.name,
        "passed": one.passed,
        "place": _place(one.case.place),
        "request": request_of(one.case.facts),
        "outcome": what(one.decided),
        "mismatches": _wrong(one.mismatches),
        "timeline": [line(moment) for moment in one.drilled.timeline] if one.drilled is not None else None,
        "trace": explain(one.trace) if not one.passed else None,
    }


def _proof(one: Proof, explain: Explain, ask: Ask) -> dict[str, Any]:
    found = one.counterexample
    counterexample = None
    if found is not None:
        counterexample = {
            "request": request_of(found.facts),
            "command": ask(found.facts),
            "mismatches": _wrong(found.broken),
            "trace": explain(found.trace),
        }
    return {
        "name": one.name,
        "passed": one.passed,
        "place": _place(one.place),
        "unfinished": one.unfinished,
        "counterexample": counterexample,
    }


def _coverage(coverage: Coverage, report: Report) -> dict[str, Any]:
    return {
        "metrics": {
            one.metric: {
                "percent": one.percent,
                "covered": one.covered,
                "total": one.total,
                "floor": report.floors.get(one.metric),
            }
            for one in coverage.measures
        },
        "uncovered": [{**_hole(one), "test": one.test.written if one.test else None} for one in coverage.holes],
        "left_out": [_hole(one) for one in coverage.excluded],
    }


def _hole(one: Hole) -> dict[str, Any]:
    return {"metric": one.metric, "route": one.route, "what": one.what, "why": one.why}


def _wrong(mismatches: tuple[Mismatch, ...]) -> list[dict[str, str]]:
    return [{"field": one.field, "expected": one.expected, "got": one.got} for one in mismatches]


def _place(place: Place) -> dict[str, Any] | None:
    return {"file": place.file, "line": place.value.line} if place.file else None
