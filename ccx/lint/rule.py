"""A rule of the linter: the codes it may report, and the function that looks.

Its documentation is the registry's (`ccx.spec.rules`), where each code of ccx has one entry; the module there is named
like the one here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ccx.lint.subject import Subject
from ccx.spec.finding import Finding

Check = Callable[[Subject], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One check. `proof` tells one that asks the analysis engine, which has a budget and may not come to an end."""

    codes: tuple[str, ...]
    check: Check
    proof: bool = False
