"""5xx: parts of the language on their way in or out."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, rule

LIFECYCLE: Final[tuple[RuleInfo, ...]] = (
    rule(
        "CCX510",
        "no-effect-yet",
        severity="warning",
        summary="A part of the language that this version of ccx reads and checks, and does not act on.",
        why="Nothing is ignored in silence: what is written and does not hold yet is named.",
        bad="""
        channels: {a: {provider: demo}}
        telemetry: {traces: {otlp: "http://127.0.0.1:4318"}}
        """,
        good="channels: {a: {provider: demo}}",
    ),
)
