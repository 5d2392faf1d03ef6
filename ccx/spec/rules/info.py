"""What a rule is."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from typing import Literal

Severity = Literal["error", "warning", "info"]
Safety = Literal["safe", "unsafe"]
Finder = Literal["validate", "lint"]
"""Who finds it: loading and compiling the spec, or the linter."""


@dataclass(frozen=True, slots=True)
class RuleInfo:
    """A kind of finding. The code and the name are stable; `doc` is Markdown: what, why, a bad and a good example.

    `fix` says whether `ccx lint` can put it right, and whether without changing what the spec means. `since` is the
    first version of ccx that has the rule. An `opt_in` rule reports only where it is asked to.
    """

    code: str
    name: str
    severity: Severity
    summary: str
    doc: str
    finder: Finder = "validate"
    fix: Safety | None = None
    since: str = "0.1"
    opt_in: bool = False

    @property
    def fixed(self) -> bool:
        """Whether the severity is not for a spec to choose: an error that leaves no spec to speak of."""
        return self.finder == "validate" and self.severity == "error"


def rule(
    code: str,
    name: str,
    *,
    severity: Severity,
    summary: str,
    why: str,
    bad: str,
    good: str,
    finder: Finder = "validate",
    fix: Safety | None = None,
    opt_in: bool = False,
) -> RuleInfo:
    """A rule whose documentation is laid out from its parts; `bad` and `good` are fragments of YAML."""

    def block(text: str) -> str:
        return f"```yaml\n{textwrap.dedent(text).strip()}\n```"

    parts = [summary, f"**Why.** {' '.join(why.split())}", f"**Bad**\n\n{block(bad)}", f"**Good**\n\n{block(good)}"]
    if fix is not None:
        option = "--fix" if fix == "safe" else "--unsafe-fixes"
        parts.append(f"**Fix.** `ccx lint {option}` can write it ({fix}).")
    info = RuleInfo(code, name, severity, summary, "", finder, fix, opt_in=opt_in)
    if not info.fixed:
        parts.append(
            f"**Configure.** `lint: {{rules: {{{code}: off}}}}` or `error`, `warning`, `info` for the whole spec; "
            f"`# ccx: ignore[{code}] reason` for one place."
        )
    parts.append(f"**Since** {info.since}.")
    return replace(info, doc="\n\n".join(parts) + "\n")


def lint_rule(
    code: str,
    name: str,
    *,
    severity: Severity,
    summary: str,
    why: str,
    bad: str,
    good: str,
    fix: Safety | None = None,
    opt_in: bool = False,
) -> RuleInfo:
    """A rule of the linter. Its examples are whole sections; a test completes them to specs and lints them."""
    return rule(
        code,
        name,
        severity=severity,
        summary=summary,
        why=why,
        bad=bad,
        good=good,
        finder="lint",
        fix=fix,
        opt_in=opt_in,
    )
