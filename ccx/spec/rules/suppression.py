"""9xx: the linter itself: comments that silence findings, and proofs that did not end."""

from __future__ import annotations

from typing import Final

from ccx.spec.rules.info import RuleInfo, lint_rule

_ROUTES: Final = "routes: [{name: r, to: [{balance: round_robin, targets: [main]}]}]"

SUPPRESSION: Final[tuple[RuleInfo, ...]] = (
    lint_rule(
        "CCX901",
        "unused-ignore",
        severity="warning",
        summary="A comment silences a rule that finds nothing there.",
        why="What it was for is gone. Left standing, it silences the next finding, which nobody has looked at.",
        bad="routes: [{name: r, to: [main]}]  # ccx: ignore[CCX313] the second member comes next week",
        good="routes: [{name: r, to: [main]}]",
        fix="safe",
    ),
    lint_rule(
        "CCX902",
        "ignore-without-reason",
        severity="warning",
        summary="A comment silences a finding and does not say why.",
        why="The next reader has to know whether it still holds.",
        bad=f"{_ROUTES}  # ccx: ignore[CCX313]",
        good=f"{_ROUTES}  # ccx: ignore[CCX313] the second member comes next week",
    ),
    lint_rule(
        "CCX903",
        "analysis-unfinished",
        severity="warning",
        summary="A proof about the routes did not come to an end within its budget.",
        why="""Nothing is claimed about what was not examined, and the command ends with status 3. `--max-states` and
        `--time-limit` raise the budget. No small spec is an example of it.""",
        bad="# hundreds of routes that all overlap",
        good="routes: [{name: default, to: [main]}]",
    ),
    lint_rule(
        "CCX904",
        "expired-ignore",
        severity="warning",
        summary="A comment that silences a finding is past its day.",
        why="It was given an end so that somebody would look again.",
        bad=f"{_ROUTES}  # ccx: ignore[CCX313] the second member comes soon, until=2020-01-31",
        good=f"{_ROUTES}  # ccx: ignore[CCX313] the second member comes soon, until=2099-01-31",
    ),
    lint_rule(
        "CCX905",
        "unknown-ignore",
        severity="warning",
        summary="A comment silences a rule that does not exist, or one that cannot be silenced.",
        why="Errors of the language leave no spec to speak of; everything else can be ignored with a reason.",
        bad=f"{_ROUTES}  # ccx: ignore[CCX31] the second member comes next week",
        good=f"{_ROUTES}  # ccx: ignore[CCX313] the second member comes next week",
        fix="safe",
    ),
    lint_rule(
        "CCX906",
        "malformed-ignore",
        severity="warning",
        summary="A comment speaks to ccx and is not understood.",
        why="It silences nothing, whatever its author believed.",
        bad=f"{_ROUTES}  # ccx: ingore[CCX313] the second member comes next week",
        good=f"{_ROUTES}  # ccx: ignore[CCX313] the second member comes next week",
    ),
)
