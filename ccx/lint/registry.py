"""All rules of the linter, in families. What costs least comes first; proofs come last."""

from __future__ import annotations

from typing import Final

from ccx.lint.capability import CAPABILITY
from ccx.lint.conditions import CONDITIONS
from ccx.lint.exposure import EXPOSURE
from ccx.lint.failover import FAILOVER
from ccx.lint.lifecycle import LIFECYCLE
from ccx.lint.limits import LIMITS
from ccx.lint.policies import POLICIES
from ccx.lint.proofs import PROOFS
from ccx.lint.rule import Rule
from ccx.lint.targets import TARGETS

CHECKS: Final[tuple[Rule, ...]] = (
    *CONDITIONS,
    *TARGETS,
    *CAPABILITY,
    *POLICIES,
    *FAILOVER,
    *EXPOSURE,
    *LIMITS,
    *LIFECYCLE,
    *PROOFS,
)
