"""5xx: parts of the language on their way in or out."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, rule

LIFECYCLE: Final[tuple[RuleInfo, ...]] = (
    rule(
        "CCX501",
        "deprecated-version",
        severity="warning",
        summary="A file is written in an older version of the spec language.",
        why="""It is read as it always was, until the version of ccx that the message names. `ccx migrate` rewrites it,
        keeping its comments, and proves that no request is treated differently.""",
        bad="""
        version: ccx/v1alpha1
        upstreams: {main: {provider: demo}}
        rules: [{name: default, target: main}]
        """,
        good="""
        version: ccx/v1
        channels: {main: {provider: demo}}
        routes: [{name: default, to: [main]}]
        """,
    ),
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
