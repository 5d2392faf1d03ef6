"""What a rule is."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class RuleInfo:
    """A kind of finding. The code and the name are stable; `doc` is Markdown: what, why, a bad and a good example."""

    code: str
    name: str
    severity: Severity
    summary: str
    doc: str


def rule(code: str, name: str, *, severity: Severity, summary: str, why: str, bad: str, good: str) -> RuleInfo:
    """A rule whose documentation is laid out from its parts; `bad` and `good` are fragments of YAML."""

    def block(text: str) -> str:
        return f"```yaml\n{textwrap.dedent(text).strip()}\n```"

    doc = f"{summary}\n\n**Why.** {' '.join(why.split())}\n\n**Bad**\n\n{block(bad)}\n\n**Good**\n\n{block(good)}\n"
    return RuleInfo(code, name, severity, summary, doc)
