"""For CI dashboards: JUnit XML. A suite is a spec; a case is a rule that spoke about a file, or the file being valid.

Errors are failures. Warnings do not fail a case (unless warnings fail the command) and stand in its output.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from ccx.spec.diagnostics import Diagnostic
from ccx.spec.render.report import Report

# What XML 1.0 cannot hold: https://www.w3.org/TR/xml/#charsets
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(reports: Sequence[Report], *, strict: bool = False, command: str = "ccx validate") -> str:
    """All reports as one document. With `strict` warnings are failures too. `command` is what found them."""
    root = Xml.Element("testsuites", name=command)
    cases = failures = 0
    for report in reports:
        suite = Xml.SubElement(root, "testsuite", name=_legal(report.entry))
        groups: dict[tuple[str, str, str], list[Diagnostic]] = {}
        for one in report.diagnostics:
            groups.setdefault((one.file, one.code, one.name), []).append(one)
        failed = 0
        for (file, code, name), found in groups.items():
            case = Xml.SubElement(suite, "testcase", classname=_legal(file), name=f"{code} {name}", file=_legal(file))
            text = _legal("\n".join(map(_line, found)))
            if any(one.severity == "error" or (strict and one.severity == "warning") for one in found):
                failed += 1
                first = next(one for one in found if one.severity != "info")
                Xml.SubElement(case, "failure", type=first.severity, message=_legal(first.message)).text = text
            else:
                Xml.SubElement(case, "system-out").text = text
        if not groups:
            Xml.SubElement(
                suite, "testcase", classname=_legal(report.entry), name=report.verdicts[0], file=_legal(report.entry)
            )
        suite.set("tests", str(max(len(groups), 1)))
        suite.set("failures", str(failed))
        suite.set("errors", "0")
        cases, failures = cases + max(len(groups), 1), failures + failed
    root.set("tests", str(cases))
    root.set("failures", str(failures))
    root.set("errors", "0")
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _line(found: Diagnostic) -> str:
    advice = f" ({found.help})" if found.help is not None else ""
    return f"{found.file}:{found.span.line}:{found.span.col}: {found.severity}: {found.message}{advice}"


def _legal(text: str) -> str:
    return _ILLEGAL.sub("�", text)
