"""Lint one spec: everything that loading, compiling and the rules find, graded and sifted as the spec itself asks.

Laws. It never raises for a spec, whatever is in it. Rules look only at a spec that is valid; of another one the errors
are shown, and the comments that silence findings are not held against it. A proof that does not come to an end within
the budget is said to be unfinished; it is never taken for "nothing found". The same files on the same day give the same
findings.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

from ccx.analysis.space import Budget, Unfinished
from ccx.lint.edit import text_lines
from ccx.lint.ignores import Ignore, read_ignores, unused
from ccx.lint.registry import CHECKS
from ccx.lint.selection import Selection, selection
from ccx.lint.subject import Subject
from ccx.lint.suggested import with_fix
from ccx.routing.compile import Compiled
from ccx.spec.diagnostics import Diagnostic, in_order
from ccx.spec.finding import Finding, located
from ccx.spec.locations import Tree
from ccx.spec.rules import RULES
from ccx.spec.validate import Loaded
from ccx.spec.view import entries, text, under

BY_SURROUNDINGS = frozenset({"CCX407", "CCX408", "CCX506", "CCX507", "CCX508", "CCX511", "CCX512"})
"""Found on one machine or day and not on another: a comment for them is never called unused."""


@dataclass(frozen=True, slots=True)
class Linted:
    """What was found. `ignored` are findings that comments silence; `unfinished` are the codes of rules whose proofs
    did not come to an end."""

    findings: tuple[Diagnostic, ...]
    ignored: tuple[Diagnostic, ...] = ()
    unfinished: tuple[str, ...] = ()


def run(
    loaded: Loaded,
    compiled: Compiled | None,
    *,
    today: date,
    select: Collection[str] = (),
    ignore: Collection[str] = (),
    severities: Mapping[str, str] | None = None,
    budget: Budget | None = None,
) -> Linted:
    """Lint a spec as loaded and compiled; `compiled` is None where it did not load.

    `select` and `ignore` hold codes, names and families. `severities` are by code, over those of the spec's own
    `lint.rules`. Raises UnknownRule for a selector that means no rule.
    """
    chosen = selection(select, ignore)
    graded = {**_severities(loaded.locations.root), **(severities or {})}
    off = {code for code, severity in graded.items() if severity == "off"}
    if not select:
        off |= {code for code, info in RULES.items() if info.opt_in and code not in graded}
    found = [with_fix(one) for one in loaded.diagnostics]
    unfinished: list[str] = []
    valid = loaded.spec is not None and compiled is not None and compiled.servable
    if compiled is not None:
        found.extend(with_fix(one) for one in compiled.diagnostics)
    if valid and loaded.spec is not None and compiled is not None:
        subject = Subject(loaded, loaded.spec, compiled, today=today, budget=budget or Budget())
        found.extend(_checked(subject, chosen, off, unfinished))
    comments = read_ignores(loaded.closure.sources, today=today)
    kept, silenced, used = _sifted(found, comments.comments)
    if valid:
        kept.extend(_unused(loaded, comments.comments, used, examined=chosen.codes - off - set(unfinished)))
    kept.extend(comments.diagnostics)
    files = [source.name for source in loaded.closure.sources]
    graded_findings = [one for found_one in kept if (one := _graded(found_one, graded)) is not None]
    shown = [one for one in graded_findings if one.code in chosen]
    return Linted(in_order(shown, files=files), in_order(silenced, files=files), tuple(unfinished))


def _severities(root: Tree | None) -> dict[str, str]:
    rules = entries(under(root, "lint", "rules"))
    return {code: severity for code, tree in rules.items() if (severity := text(tree)) is not None}


def _checked(subject: Subject, chosen: Selection, off: Collection[str], unfinished: list[str]) -> Iterator[Diagnostic]:
    reasons: dict[str, None] = {}
    for rule in CHECKS:
        wanted = [code for code in rule.codes if code in chosen and code not in off]
        if not wanted or (rule.proof and not subject.spec.routes):
            continue
        try:
            findings = list(rule.check(subject))
        except Unfinished as reason:
            unfinished.extend(wanted)
            reasons[str(reason)] = None
            continue
        yield from (located(one, subject.locations) for one in findings if one.code in wanted)
    if unfinished:
        at = ("routes",) if subject.spec.routes else ()
        message = f"nothing is claimed about {', '.join(sorted(unfinished))}: {'; '.join(reasons)}"
        advice = "raise --max-states or --time-limit"
        yield located(Finding(at, "CCX903", message, help=advice, at_key=True), subject.locations)


def _graded(found: Diagnostic, severities: Mapping[str, str]) -> Diagnostic | None:
    """With the severity that the spec gives its rule; None where that is off. An error of the language stays one."""
    severity = severities.get(found.code)
    if severity is None or RULES[found.code].fixed:
        return found
    match severity:
        case "error" | "warning" | "info":
            return replace(found, severity=severity)
        case "off":
            return None
        case _:
            return found  # not legal, and an error of its own


def _sifted(
    found: Collection[Diagnostic], comments: Collection[Ignore]
) -> tuple[list[Diagnostic], list[Diagnostic], set[tuple[Ignore, str]]]:
    kept: list[Diagnostic] = []
    silenced: list[Diagnostic] = []
    used: set[tuple[Ignore, str]] = set()
    for one in found:
        about = [comment for comment in comments if comment.about(one)] if not RULES[one.code].fixed else []
        if about:
            silenced.append(one)
            used.update((comment, one.code) for comment in about)
        else:
            kept.append(one)
    return kept, silenced, used


def _unused(
    loaded: Loaded, comments: Collection[Ignore], used: Collection[tuple[Ignore, str]], *, examined: Collection[str]
) -> Iterator[Diagnostic]:
    for comment in comments:
        idle = [
            one
            for one in comment.named
            if (comment, one.code) not in used
            and one.code in examined
            and one.code not in BY_SURROUNDINGS
            and one.code in RULES
            and not RULES[one.code].fixed
        ]
        if idle:
            yield unused(comment, idle, lines=text_lines(loaded.closure.files[comment.file]))
