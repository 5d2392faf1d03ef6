"""For programs: one JSON document.

    {"format_version": "1.0",
     "reports": [{"entry": str, "valid": bool, "errors": int, "warnings": int, "infos": int,
                  "diagnostics": [{"code", "name", "severity", "message", "file", "pointer",
                                   "span": {"line", "col", "end_line", "end_col"},
                                   "help": str|null, "suggestion": str|null,
                                   "related": [{"file", "span", "message"}],
                                   "witness": str|null,
                                   "fix": {"title", "safe": bool, "edits": [{"file", "span", "text"}]}|null}]}]}

`witness` is a command that shows the finding on one request. Lines and columns count from 1, the end column is the
first one not covered. Within a major version keys are only added; readers ignore those they do not know. Source text is
not part of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from ccx.spec.diagnostics import Diagnostic, Fix, Span
from ccx.spec.render.report import Report

FORMAT_VERSION: Final = "1.0"


def render_json(reports: Sequence[Report]) -> str:
    """All reports as one document."""
    document = {"format_version": FORMAT_VERSION, "reports": [_report(one) for one in reports]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _report(one: Report) -> dict[str, Any]:
    counts = one.counts
    return {
        "entry": one.entry,
        "valid": counts.errors == 0,
        "errors": counts.errors,
        "warnings": counts.warnings,
        "infos": counts.infos,
        "diagnostics": [_diagnostic(found) for found in one.diagnostics],
    }


def _diagnostic(found: Diagnostic) -> dict[str, Any]:
    return {
        "code": found.code,
        "name": found.name,
        "severity": found.severity,
        "message": found.message,
        "file": found.file,
        "span": _span(found.span),
        "pointer": found.pointer,
        "help": found.help,
        "suggestion": found.suggestion,
        "related": [{"file": one.file, "span": _span(one.span), "message": one.message} for one in found.related],
        "witness": found.witness,
        "fix": _fix(found.fix) if found.fix is not None else None,
    }


def _fix(fix: Fix) -> dict[str, Any]:
    edits = [{"file": edit.file, "span": _span(edit.span), "text": edit.text} for edit in fix.edits]
    return {"title": fix.title, "safe": fix.safe, "edits": edits}


def _span(span: Span) -> dict[str, int]:
    return {"line": span.line, "col": span.col, "end_line": span.end_line, "end_col": span.end_col}
