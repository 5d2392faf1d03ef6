"""The registry of diagnostics: every code that ccx can report, with its documentation.

Families: 1xx the document and its references, 2xx routing, 3xx failover, 4xx security, 5xx life cycle, 6xx tests,
7xx limits, 8xx what models can do, 9xx the linter itself. A code is never used for anything else again, not even after
its rule is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ccx.spec.rules.aging import AGING
from ccx.spec.rules.capability import CAPABILITY
from ccx.spec.rules.compiling import COMPILING
from ccx.spec.rules.conditions import CONDITIONS
from ccx.spec.rules.exposure import EXPOSURE
from ccx.spec.rules.failover import FAILOVER
from ccx.spec.rules.info import RuleInfo, Severity
from ccx.spec.rules.lifecycle import LIFECYCLE
from ccx.spec.rules.limits import LIMITS
from ccx.spec.rules.policies import POLICIES
from ccx.spec.rules.proofs import PROOFS
from ccx.spec.rules.references import REFERENCES
from ccx.spec.rules.routing import ROUTING
from ccx.spec.rules.schema import SCHEMA
from ccx.spec.rules.security import SECURITY
from ccx.spec.rules.suite import SUITE
from ccx.spec.rules.suppression import SUPPRESSION
from ccx.spec.rules.targets import TARGETS

__all__ = ["RULES", "RuleInfo", "Severity"]

_FAMILIES: Final = (
    *(SCHEMA, REFERENCES, SUITE, COMPILING),
    *(ROUTING, CONDITIONS, TARGETS, PROOFS, FAILOVER, SECURITY, EXPOSURE),
    *(LIFECYCLE, AGING, LIMITS, CAPABILITY, POLICIES, SUPPRESSION),
)
RULES: Final[Mapping[str, RuleInfo]] = MappingProxyType(
    {info.code: info for info in sorted((i for family in _FAMILIES for i in family), key=lambda info: info.code)}
)
