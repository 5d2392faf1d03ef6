"""A saved plan, read back: what `ccx apply` binds itself to.

Law: a plan that was changed after it was made is refused, and so is one of a format that this ccx does not read. It
gives what deciding takes, and the whole as data; it does not make a `Plan` of it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ccx.errors import CcxError
from ccx.plan.json import FORMAT_VERSION, digest_of
from ccx.plan.model import Side

_MAJOR: Final = FORMAT_VERSION.partition(".")[0]


class SavedPlanError(CcxError):
    """A text that is no saved plan, or not as it was saved. The message says what to do."""


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """The two tables that a plan leads between, by digest, and what was found. `document` is all that was saved."""

    old: Side
    new: Side
    digest: str
    complete: bool
    no_op: bool
    within: str | None
    document: Mapping[str, Any]


def read_plan(text: str | bytes) -> SavedPlan:
    """A plan as `render_json` wrote it. Raises SavedPlanError."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SavedPlanError(f"this is not a saved plan: {error}") from None
    version = data.get("format_version") if isinstance(data, dict) else None
    if not isinstance(version, str):
        raise SavedPlanError("this is not a saved plan: it has no format_version; ccx plan -o plan.json writes one")
    if version.partition(".")[0] != _MAJOR:
        raise SavedPlanError(f"the plan has format {version}, and this ccx reads {_MAJOR}.x; make it again")
    try:
        plan = SavedPlan(
            _side(data["old"]),
            _side(data["new"]),
            _of(str, data["digest"]),
            _of(bool, data["complete"]),
            _of(bool, data["no_op"]),
            _of(str, data["within"]) if data["within"] is not None else None,
            data,
        )
    except (KeyError, TypeError) as error:
        raise SavedPlanError(f"the plan is damaged at {error}; make it again: ccx plan -o plan.json") from None
    if digest_of(data) != plan.digest:
        raise SavedPlanError("the plan was changed after it was made; make it again: ccx plan -o plan.json")
    return plan


def _side(data: Any) -> Side:
    revision = data["revision"]
    return Side(
        _of(str, data["name"]),
        _of(str, data["digest"]),
        _of(str, revision) if revision is not None else None,
        _of(bool, data["absent"]),
    )


def _of(kind: type[Any], value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(repr(value))
    return value
