"""Approved plans: what `ccx serve --require-plan` lets become the live table.

Law: a table is served only if a whole plan leads to its digest from that of the running one; on the first start, from
anywhere. A plan that was changed, that looked at part of the requests, or whose analysis did not finish approves
nothing. The plans are read anew each time they are asked about, for they arrive like the spec's own files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ccx.plan.saved import SavedPlan, SavedPlanError, read_plan

MAX_PLAN: Final = 64 * 1024 * 1024
MAX_PLANS: Final = 1_000


def whole(plan: SavedPlan) -> str | None:
    """Why a plan approves nothing, though it is as it was saved; None if it does."""
    if plan.within is not None:
        return f"it looked only at requests within {plan.within}"
    if not plan.complete:
        return "its analysis did not finish"
    return None


@dataclass(frozen=True, slots=True)
class Approvals:
    """The plans of a file, or of all `*.json` in a folder."""

    path: Path

    @property
    def folder(self) -> Path:
        """Where a new plan will appear."""
        return self.path if self.path.is_dir() else self.path.parent

    def stamp(self) -> bytes:
        """Changes when a plan does."""
        digest = hashlib.sha256()
        for name, data in self._files():
            content = hashlib.sha256(data).digest() if data is not None else b"unreadable"
            digest.update(name.encode() + b"\0" + content)
        return digest.digest()

    def refusal(self, running: str | None, wanted: str) -> str | None:
        """Why the table `wanted` may not follow `running`, by digest; None if it may. `running` None: nothing runs."""
        if running == wanted:
            return None
        near: str | None = None
        unusable: list[str] = []
        count = 0
        for name, data in self._files():
            count += 1
            try:
                if data is None:
                    raise SavedPlanError("it cannot be read")
                plan = read_plan(data)
            except SavedPlanError as error:
                unusable.append(f"{name}: {error}")
                continue
            if plan.new.digest != wanted:
                continue
            if (why := whole(plan)) is not None:
                unusable.insert(0, f"{name}: {why}")
            elif running is None or plan.old.digest == running:
                return None
            else:
                near = f"{name} leads to it from table {plan.old.digest[:12]}, and {running[:12]} runs"
        where = f"table {wanted[:12]} is not approved by {str(self.path)!r}"
        said = [near] if near is not None else [] if count else ["no plan is there"]
        said += unusable[:3]
        return f"{where}: {'; '.join(said)}" if said else f"{where}: none of {count} plans leads to it"

    def _files(self) -> Iterator[tuple[str, bytes | None]]:
        try:
            paths = sorted(self.path.glob("*.json"))[:MAX_PLANS] if self.path.is_dir() else [self.path]
        except OSError:
            return
        for path in paths:
            try:
                with path.open("rb") as file:
                    data = file.read(MAX_PLAN + 1)
            except FileNotFoundError:
                continue
            except OSError:
                yield path.name, None
                continue
            yield path.name, data if len(data) <= MAX_PLAN else None
