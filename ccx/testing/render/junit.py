"""For CI dashboards: JUnit XML. A suite is a spec; a case is a test, an invariant or a coverage floor."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from ccx.spec.locations import Place
from ccx.testing.model import Mismatch, Report
from ccx.testing.render.text import Ask, Explain

# What XML 1.0 cannot hold: https://www.w3.org/TR/xml/#charsets
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(report: Report, *, explain: Explain, ask: Ask) -> str:
    """The report as one document."""
    suite = _Suite(report.spec)
    for result in report.results:
        trace = explain(result.trace) if not result.passed else ""
        suite.case("tests", result.case.name, result.case.place, _words(result.mismatches, trace))
    for proof in report.proofs:
        found = proof.counterexample
        text = None
        if found is not None:
            text = _words(found.broken, f"{ask(found.facts)}\n{explain(found.trace)}")
        elif proof.unfinished is not None:
            text = (f"neither proved nor refuted: {proof.unfinished}", "")
        suite.case("invariants", proof.name, proof.place, text)
    for below in report.below:
        suite.case("coverage", below.partition(" is ")[0], None, (below, ""))
    return suite.document()


def _words(mismatches: Sequence[Mismatch], trace: str) -> tuple[str, str] | None:
    if not mismatches:
        return None
    said = [f"expected {one.field}: {one.expected}; got {one.got}" for one in mismatches]
    return said[0], "\n".join([*said, trace])


class _Suite:
    def __init__(self, spec: str) -> None:
        self._root = Xml.Element("testsuites", name="ccx test")
        self._suite = Xml.SubElement(self._root, "testsuite", name=_legal(spec))
        self._cases = self._failures = 0

    def case(self, kind: str, name: str, place: Place | None, wrong: tuple[str, str] | None) -> None:
        self._cases += 1
        found = Xml.SubElement(self._suite, "testcase", classname=f"ccx.{kind}", name=_legal(name))
        if place is not None and place.file:
            found.set("file", _legal(place.file))
            found.set("line", str(place.value.line))
        if wrong is not None:
            self._failures += 1
            message, text = wrong
            Xml.SubElement(found, "failure", type=kind, message=_legal(message)).text = _legal(text)

    def document(self) -> str:
        for element in (self._root, self._suite):
            element.set("tests", str(self._cases))
            element.set("failures", str(self._failures))
            element.set("errors", "0")
        Xml.indent(self._root)
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(self._root, encoding="unicode") + "\n"


def _legal(text: str) -> str:
    return _ILLEGAL.sub("�", text)
