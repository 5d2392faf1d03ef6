"""For code scanning: SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html).

Files are named relative to the base, the root of a checkout, since that is how GitHub finds them. The fingerprint of a
result is made from its rule and the path of names, never from a line, so that a finding stays the same one when lines
above it come and go.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from ccx import __version__
from ccx.spec.diagnostics import Diagnostic, Fix, Span, TextEdit
from ccx.spec.locations import Locations
from ccx.spec.render.report import Report, name_pointer
from ccx.spec.rules import RULES, RuleInfo, Severity

SCHEMA_URI: Final = "https://json.schemastore.org/sarif-2.1.0.json"
FINGERPRINT: Final = "ccxNamePath/v1"
_LEVEL: Final[dict[Severity, str]] = {"error": "error", "warning": "warning", "info": "note"}


def render_sarif(reports: Sequence[Report], *, base: Path) -> str:
    """One run with all results. `base` is the absolute directory that file names are relative to."""
    codes = sorted({one.code for report in reports for one in report.diagnostics})
    index = {code: position for position, code in enumerate(codes)}
    seen: dict[str, int] = {}
    results = [
        _result(one, report.locations, base=base, index=index, seen=seen)
        for report in reports
        for one in report.diagnostics
    ]
    driver = {"name": "ccx", "version": __version__, "rules": [_rule(RULES[code]) for code in codes]}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": SCHEMA_URI, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False) + "\n"


def _rule(info: RuleInfo) -> dict[str, Any]:
    return {
        "id": info.code,
        "name": "".join(word.capitalize() for word in info.name.split("-")),
        "shortDescription": {"text": info.summary},
        "fullDescription": {"text": info.summary},
        "help": {"text": info.doc, "markdown": info.doc},
        "defaultConfiguration": {"level": _LEVEL[info.severity]},
    }


def _result(
    found: Diagnostic, locations: Locations, *, base: Path, index: dict[str, int], seen: dict[str, int]
) -> dict[str, Any]:
    text = found.message if found.help is None else f"{found.message}. {found.help[:1].upper()}{found.help[1:]}."
    if found.witness is not None:
        text += f" Try: {found.witness}"
    where = name_pointer(found.pointer, locations) or _uri(found.file, base)
    mark = hashlib.sha256(f"{found.code}\0{where}".encode()).hexdigest()
    seen[mark] = seen.get(mark, 0) + 1
    result: dict[str, Any] = {
        "ruleId": found.code,
        "ruleIndex": index[found.code],
        "level": _LEVEL[found.severity],
        "message": {"text": text},
        "locations": [_location(found.file, found.span, base)],
        "partialFingerprints": {FINGERPRINT: f"{mark}:{seen[mark]}"},
    }
    if found.related:
        result["relatedLocations"] = [
            {**_location(one.file, one.span, base), "id": number, "message": {"text": one.message}}
            for number, one in enumerate(found.related)
        ]
    fix = found.fix
    if fix is None and found.suggestion is not None:
        edit = TextEdit(found.file, found.span, found.suggestion)
        fix = Fix(f"write {found.suggestion}", False, (edit,))
    if fix is not None:
        result["fixes"] = [_fix(fix, base)]
    return result


def _fix(fix: Fix, base: Path) -> dict[str, Any]:
    changes: dict[str, list[dict[str, Any]]] = {}
    for edit in fix.edits:
        replacement = {"deletedRegion": _region(edit.span), "insertedContent": {"text": edit.text}}
        changes.setdefault(_uri(edit.file, base), []).append(replacement)
    return {
        "description": {"text": fix.title},
        "artifactChanges": [
            {"artifactLocation": {"uri": uri}, "replacements": replacements} for uri, replacements in changes.items()
        ],
    }


def _location(file: str, span: Span, base: Path) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(file, base)}, "region": _region(span)}}


def _region(span: Span) -> dict[str, int]:
    return {"startLine": span.line, "startColumn": span.col, "endLine": span.end_line, "endColumn": span.end_col}


def _uri(file: str, base: Path) -> str:
    """Relative to the base where the file lies in it, else absolute."""
    absolute = os.path.normpath(base / file)
    relative = os.path.relpath(absolute, base)
    if relative.startswith(".."):
        return "file://" + quote(absolute)
    return quote(relative.replace(os.sep, "/"))
