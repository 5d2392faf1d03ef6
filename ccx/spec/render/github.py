"""For GitHub Actions: workflow commands that become annotations.

Format: https://docs.github.com/actions/reference/workflow-commands-for-github-actions. GitHub shows ten annotations of
each kind a step and drops the rest without a word, so the rest is counted in a closing notice here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from ccx.spec.diagnostics import Diagnostic
from ccx.spec.render.report import Report
from ccx.spec.rules import Severity

CAP: Final = 10
_COMMAND: Final[dict[Severity, str]] = {"error": "error", "warning": "warning", "info": "notice"}


def render_github(reports: Sequence[Report], *, command: str = "ccx validate") -> str:
    """One command a line, errors first. `command` is what shows all that is left out."""
    found = [one for report in reports for one in report.diagnostics]
    found.sort(key=lambda one: list(_COMMAND).index(one.severity))
    totals = Counter(one.severity for one in found)
    # The closing notice is itself one of the ten notices.
    crowded = any(total > CAP for total in totals.values())
    shown: Counter[Severity] = Counter()
    lines: list[str] = []
    for one in found:
        cap = CAP - 1 if one.severity == "info" and (crowded or totals["info"] >= CAP) else CAP
        if shown[one.severity] < cap:
            shown[one.severity] += 1
            lines.append(_command(one))
    hidden = len(found) - len(lines)
    if hidden:
        lines.append(f"::notice title=ccx::{hidden} more findings are not shown here; run {command} to see all")
    return "".join(line + "\n" for line in lines)


def _command(found: Diagnostic) -> str:
    properties = {"title": f"ccx {found.code} {found.name}", "file": found.file, "line": found.span.line}
    properties["endLine"] = found.span.end_line
    if found.span.line == found.span.end_line:
        # Columns are only allowed where both lines are one; the end column is the last one covered.
        properties["col"] = found.span.col
        properties["endColumn"] = max(found.span.col, found.span.end_col - 1)
    text = "\n".join(part for part in (found.message, found.help, found.witness) if part is not None)
    listed = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items())
    return f"::{_COMMAND[found.severity]} {listed}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
