"""Fixes for what loading finds: its suggestions, written at their place.

Law: a fix is safe where the word comes from the language itself, since what stands there has no meaning that could
change. Where it is one of the spec's own names, another one may have been meant: those are for a person to confirm.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ccx.spec.diagnostics import Diagnostic, Fix, TextEdit

LANGUAGE: Final = frozenset({"CCX101", "CCX106", "CCX109", "CCX110", "CCX116", "CCX119", "CCX127", "CCX140"})
NAMES: Final = frozenset({"CCX103", "CCX120", "CCX129"})


def with_fix(found: Diagnostic) -> Diagnostic:
    """The same, with the fix that its suggestion means."""
    if found.suggestion is None or found.fix is not None or found.code not in LANGUAGE | NAMES:
        return found
    edit = TextEdit(found.file, found.span, found.suggestion)
    return replace(found, fix=Fix(f"write {found.suggestion}", found.code in LANGUAGE, (edit,)))
