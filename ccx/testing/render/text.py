"""For people: what failed, with what was expected, what came, and the trace of the decision; then the figures.

FAIL  a long prompt leaves Anthropic                                  ccx.yaml:31
      expected target: gemini
           got target: anthropic
      messages, claude-opus-4-1, 90,000 tokens   table 0123456789ab
      ✗ long-context  input_tokens 90,000 >= 128,001   ccx.yaml:12
      ✔ default       always                           ccx.yaml:15
         → 1. anthropic  claude-opus-4-1
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from ccx.routing.facts import Facts
from ccx.routing.trace import Trace
from ccx.spec.locations import Place
from ccx.testing.expectations import line
from ccx.testing.model import Coverage, Measure, Mismatch, Proof, Report, Result

Explain = Callable[[Trace[Place]], str]
Ask = Callable[[Facts], str]
_INDENT = "      "
_COLOURS = {"bad": "31", "good": "32", "faint": "2", "bold": "1"}
_NAMES = {
    "routes": "routes",
    "targets": "targets",
    "failover_edges": "failover edges",
    "boundaries": "boundaries",
    "axes": "axes",
}


def render_text(report: Report, *, explain: Explain, ask: Ask, colour: bool = False, detailed: bool = True) -> str:
    """The whole report. `explain` lays out a trace, `ask` gives the command that asks for a request; `detailed` names
    what is not covered."""
    page = _Page(colour)
    blocks = ["\n".join(page.failed(one, explain)) for one in report.results if not one.passed]
    blocks += ["\n".join(page.refuted(one, explain, ask)) for one in report.proofs if not one.passed]
    if report.coverage is not None:
        blocks.append("\n".join(page.coverage(report.coverage, report, detailed=detailed)))
    blocks.append("\n".join(page.summary(report)))
    return "\n\n".join(blocks) + "\n"


class _Page:
    def __init__(self, colour: bool) -> None:
        self.colour = colour

    def paint(self, tone: str, text: str) -> str:
        return f"\x1b[{_COLOURS[tone]}m{text}\x1b[0m" if self.colour else text

    def head(self, word: str, name: str, place: Place) -> str:
        where = f"{place.file}:{place.value.line}" if place.file else ""
        return f"{self.paint('bad', word)}  {self.paint('bold', name)}  {self.paint('faint', where)}".rstrip()

    def failed(self, one: Result, explain: Explain) -> Iterator[str]:
        yield self.head("FAIL", one.case.name, one.case.place)
        yield from self.wrong(one.mismatches)
        if one.drilled is not None and not any(wrong.field == "timeline" for wrong in one.mismatches):
            yield from (f"{_INDENT}{text}" for text in self.timeline(one))
        yield from indented(explain(one.trace))

    def timeline(self, one: Result) -> Iterator[str]:
        if one.drilled is not None and one.drilled.timeline:
            yield "the drill: " + ", ".join(map(line, one.drilled.timeline))

    def wrong(self, mismatches: Sequence[Mismatch]) -> Iterator[str]:
        for wrong in mismatches:
            head = f"expected {wrong.field}: "
            yield f"{_INDENT}{head}{self.paint('good', wrong.expected)}"
            yield f"{_INDENT}{f'got {wrong.field}: '.rjust(len(head))}{self.paint('bad', wrong.got)}"

    def refuted(self, one: Proof, explain: Explain, ask: Ask) -> Iterator[str]:
        if one.counterexample is None:
            yield self.head("OPEN", one.name, one.place)
            yield f"{_INDENT}neither proved nor refuted: {one.unfinished}"
            return
        yield self.head("FALSE", one.name, one.place)
        yield from self.wrong(one.counterexample.broken)
        yield f"{_INDENT}for one, of this request: {ask(one.counterexample.facts)}"
        yield from indented(explain(one.counterexample.trace))

    def coverage(self, coverage: Coverage, report: Report, *, detailed: bool) -> Iterator[str]:
        yield self.paint("bold", "coverage")
        for measure in coverage.measures:
            yield self.measure(measure, report.floors.get(measure.metric))
        if not detailed:
            return
        for metric, holes in groupby(coverage.holes, key=lambda hole: hole.metric):
            yield f"not covered: {_NAMES[metric]}"
            for hole in holes:
                why = f" ({hole.why})" if hole.why else ""
                yield f"  {hole.route}: {hole.what}{why}"
        for hole in coverage.excluded:
            words = "no request reaches it" if hole.metric == "routes" else hole.what
            reason = "" if hole.metric == "routes" else f"; {hole.why}"
            yield self.paint("faint", f"left out: {_NAMES[hole.metric]}: {hole.route}: {words}{reason}")

    def measure(self, measure: Measure, floor: int | None) -> str:
        shown = f"{measure.percent:>4} %" if measure.total else "   - %"
        met = floor is None or measure.reaches(floor)
        wanted = f"   floor {floor} %" if floor is not None else ""
        text = f"  {_NAMES[measure.metric]:<15}{shown}  {measure.covered:>4} of {measure.total}{wanted}"
        return text if met else self.paint("bad", text)

    def summary(self, report: Report) -> Iterator[str]:
        for text in report.below:
            yield self.paint("bad", f"{report.spec}: {text}")
        failed = sum(not one.passed for one in report.results)
        parts = [f"{_counted(len(report.results), 'test')}"]
        parts[0] += f", {failed} failed" if failed else ", all passed" if report.results else ""
        if report.skipped:
            parts.append(f"{report.skipped} not run")
        if report.proofs:
            refuted = sum(one.counterexample is not None for one in report.proofs)
            unproved = sum(one.unfinished is not None for one in report.proofs)
            said = [f"{refuted} false"] if refuted else []
            said += [f"{unproved} open"] if unproved else []
            parts.append(f"{_counted(len(report.proofs), 'invariant')}, {', '.join(said) or 'all proved'}")
        yield self.paint("good" if report.passed else "bad", f"{report.spec}: {'; '.join(parts)}")


def indented(text: str) -> Iterator[str]:
    """Lines under their test."""
    return (f"{_INDENT}{one}" for one in text.split("\n"))


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'s' if number != 1 else ''}"
