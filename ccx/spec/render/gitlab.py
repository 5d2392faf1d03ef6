"""For GitLab's merge requests: a code quality report.

Format: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format. Like those of SARIF, a fingerprint
is made from the rule and the path of names, never from a line: GitLab tells by it what a merge request brings and what
it resolves.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Sequence
from typing import Any, Final

from ccx.spec.diagnostics import Diagnostic
from ccx.spec.render.report import Report, name_pointer
from ccx.spec.rules import Severity

_SEVERITY: Final[dict[Severity, str]] = {"error": "critical", "warning": "minor", "info": "info"}


def render_gitlab(reports: Sequence[Report]) -> str:
    """All findings as one list."""
    seen: dict[str, int] = {}
    issues = [_issue(one, report, seen) for report in reports for one in report.diagnostics]
    return json.dumps(issues, indent=2, ensure_ascii=False) + "\n"


def _issue(found: Diagnostic, report: Report, seen: dict[str, int]) -> dict[str, Any]:
    where = name_pointer(found.pointer, report.locations) or found.file
    mark = f"{found.code}\0{found.file}\0{where}"
    seen[mark] = seen.get(mark, 0) + 1
    return {
        "description": found.message if found.help is None else f"{found.message} ({found.help})",
        "check_name": f"{found.code} {found.name}",
        "fingerprint": hashlib.sha256(f"{mark}\0{seen[mark]}".encode()).hexdigest(),
        "severity": _SEVERITY[found.severity],
        "location": {"path": posixpath.normpath(found.file), "lines": {"begin": found.span.line}},
    }
