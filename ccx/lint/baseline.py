"""Findings that are known and may stay for now, by what they are about and never by line.

    {"format_version": "1.0", "findings": {"ccx.yaml": {"CCX203 routes[name=old]": 1}}}

A key is a rule and a path of names, so that lines and list positions may move. Where one key has more findings than the
baseline knows, the last ones are new. Errors of the language are in no baseline, and neither are proofs without end.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ccx.spec.diagnostics import Diagnostic
from ccx.spec.locations import Locations
from ccx.spec.render.report import name_pointer
from ccx.spec.rules import RULES

FORMAT_VERSION: Final = "1.0"


class BadBaseline(ValueError):
    """Text that is no baseline; the message says why."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """How often each key may be found, by file."""

    known: Mapping[str, Mapping[str, int]]

    def new(self, found: Collection[Diagnostic], locations: Locations) -> tuple[Diagnostic, ...]:
        """Those that the baseline does not know, in the order given."""
        left = {file: Counter(keys) for file, keys in self.known.items()}
        kept: list[Diagnostic] = []
        for one in found:
            key = key_of(one, locations)
            counts = left.get(one.file)
            if _never_known(one) or counts is None or counts[key] <= 0:
                kept.append(one)
            else:
                counts[key] -= 1
        return tuple(kept)


def key_of(found: Diagnostic, locations: Locations) -> str:
    """The rule and the path of names."""
    where = name_pointer(found.pointer, locations)
    return f"{found.code} {where}" if where else found.code


def baseline(findings: Iterable[tuple[Collection[Diagnostic], Locations]]) -> Baseline:
    """The baseline that knows all of these."""
    known: dict[str, Counter[str]] = {}
    for found, locations in findings:
        for one in found:
            if not _never_known(one):
                known.setdefault(one.file, Counter())[key_of(one, locations)] += 1
    return Baseline(known)


def _never_known(found: Diagnostic) -> bool:
    return RULES[found.code].fixed or found.code == "CCX903"


def to_json(given: Baseline) -> str:
    """As the text of a file; the same findings give the same bytes."""
    findings = {file: dict(sorted(keys.items())) for file, keys in sorted(given.known.items())}
    return json.dumps({"format_version": FORMAT_VERSION, "findings": findings}, indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> Baseline:
    """Read a file. Raises BadBaseline."""
    try:
        document: Any = json.loads(text)
    except ValueError as error:
        raise BadBaseline(f"it is not JSON: {error}") from None
    version = document.get("format_version") if isinstance(document, dict) else None
    if not isinstance(version, str) or version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        raise BadBaseline(f"it says format_version {version!r}, and this ccx reads {FORMAT_VERSION!r}")
    findings = document.get("findings")
    if not isinstance(findings, dict) or not all(_counts(keys) for keys in findings.values()):
        raise BadBaseline("`findings` is not a mapping of files to how often each finding is known")
    return Baseline(findings)


def _counts(keys: object) -> bool:
    return isinstance(keys, dict) and all(
        isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in keys.values()
    )
