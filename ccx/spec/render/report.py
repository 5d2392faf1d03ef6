"""What renderers render: the outcome of checking one spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ccx.spec.diagnostics import Counts, Diagnostic, count
from ccx.spec.excerpts import Excerpts
from ccx.spec.locations import Locations, Tree
from ccx.spec.validate import Loaded


@dataclass(frozen=True, slots=True)
class Report:
    """One spec and what was found. `entry` is the path as it was given. `verdicts` are the words for good and bad, and
    `notes` what the summary adds."""

    entry: str
    diagnostics: tuple[Diagnostic, ...]
    excerpts: Excerpts
    locations: Locations
    verdicts: tuple[str, str] = ("valid", "invalid")
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> Counts:
        """How many of each severity."""
        return count(self.diagnostics)


def report(loaded: Loaded, more: Sequence[Diagnostic] = ()) -> Report:
    """The report of a loaded spec. `more` are further diagnostics already in order, such as the compiler's."""
    return Report(loaded.closure.entry, (*loaded.diagnostics, *more), loaded.excerpts, loaded.locations)


def summary(one: Report, *, strict: bool = False) -> str:
    """One line: `ccx.yaml: valid, 3 warnings`."""
    counts = one.counts
    failed = counts.errors > 0 or (strict and counts.warnings > 0)
    parts = [one.verdicts[failed]]
    for number, word in ((counts.errors, "error"), (counts.warnings, "warning"), (counts.infos, "note")):
        if number:
            parts.append(f"{number} {word}{'s' if number != 1 else ''}")
    parts.extend(one.notes)
    return f"{one.entry}: {', '.join(parts)}"


def name_pointer(pointer: str, locations: Locations) -> str:
    """A JSON pointer with list positions replaced by names where entries have one: it survives reordering."""
    here: Tree | None = locations.root
    out: list[str] = []
    for raw in pointer.split("/")[1:]:
        part = raw.replace("~1", "/").replace("~0", "~")
        if here is not None and isinstance(here.content, tuple) and part.isdecimal():
            here = here.child(int(part))
            name = here.child("name") if here is not None else None
            channel = here.child("channel") if here is not None else None
            if name is not None and isinstance(name.content, str):
                out.append(f"[name={name.content}]")
            elif channel is not None and isinstance(channel.content, str):
                out.append(f"[channel={channel.content}]")
            elif here is not None and isinstance(here.content, str):
                out.append(f"[={here.content}]")
            else:
                out.append(f"[{part}]")
        else:
            here = here.child(part) if here is not None else None
            out.append(f".{part}" if out else part)
    return "".join(out)
