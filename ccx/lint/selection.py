"""Which rules are meant by what a person writes: codes, names, families, beginnings of codes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ccx.spec.rules import RULES, RuleInfo
from ccx.spec.wording import closest, listed

FAMILIES: Final[Mapping[str, str]] = {
    "schema": "CCX1",
    "routing": "CCX2",
    "failover": "CCX3",
    "security": "CCX4",
    "lifecycle": "CCX5",
    "tests": "CCX6",
    "limits": "CCX7",
    "capability": "CCX8",
    "suppression": "CCX9",
}
"""What the first digit of a code means."""


class UnknownRule(ValueError):
    """A selector that means no rule; the message says what was probably meant."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The rules to report. Errors of the language are reported whatever is selected."""

    codes: frozenset[str]

    def __contains__(self, code: object) -> bool:
        return code in self.codes or (isinstance(code, str) and code in RULES and RULES[code].fixed)


def selection(select: Collection[str] = (), ignore: Collection[str] = ()) -> Selection:
    """All rules, or those selected, without those ignored. Raises UnknownRule."""
    chosen = _meant(select) if select else set(RULES)
    return Selection(frozenset(chosen - _meant(ignore)))


def _meant(selectors: Iterable[str]) -> set[str]:
    return {info.code for text in selectors for info in matching(text)}


def matching(text: str) -> tuple[RuleInfo, ...]:
    """The rules that a selector means: `CCX203`, `CCX2`, `redundant-route`, `routing`. Raises UnknownRule."""
    word = text.strip()
    beginning = FAMILIES.get(word.lower(), word.upper())
    if beginning.startswith("CCX"):
        found = tuple(info for info in RULES.values() if info.code.startswith(beginning))
    else:
        found = tuple(info for info in RULES.values() if info.name == word.lower())
    if found:
        return found
    names = [info.name for info in RULES.values()]
    near = closest(word, [*FAMILIES, *names, *RULES])
    advice = f"did you mean {near!r}?" if near else f"families: {listed(list(FAMILIES))}; `ccx lint --list` shows all"
    raise UnknownRule(f"{text!r} means no rule; {advice}")
