"""The registry of diagnostics: every code that ccx can report, with its documentation.

Families: 1xx the document and its references, 2xx routing, 3xx failover, 4xx security, 5xx life cycle, 6xx tests,
9xx the linter itself. A code is never used for anything else again, not even after its rule is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ccx.spec.rules.compiling import COMPILING
from ccx.spec.rules.info import RuleInfo, Severity
from ccx.spec.rules.lifecycle import LIFECYCLE
from ccx.spec.rules.references import REFERENCES
from ccx.spec.rules.routing import ROUTING
from ccx.spec.rules.schema import SCHEMA
from ccx.spec.rules.security import SECURITY

__all__ = ["RULES", "RuleInfo", "Severity"]

RULES: Final[Mapping[str, RuleInfo]] = MappingProxyType(
    {info.code: info for info in (*SCHEMA, *REFERENCES, *COMPILING, *ROUTING, *SECURITY, *LIFECYCLE)}
)
