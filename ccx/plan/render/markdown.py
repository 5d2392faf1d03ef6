"""A plan as a comment on a pull request, found again by its hidden first line and updated in place.

Law: never longer than the limit, and whatever is left out to keep to it is counted. Regions go first, then rows, then
the parts that open on a click; the verdict and the warnings stay. The clock and the commit are the caller's to tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ccx.analysis.asking import command as asking
from ccx.plan.model import Edit, Mark, Plan
from ccx.plan.render.github import code, details, fenced, linked, marker, prose, table_row
from ccx.plan.render.groups import Row, common_terms, quiet_edits, rows_of, terms_words
from ccx.plan.render.text import GRAVE
from ccx.plan.render.words import (
    EFFECTS,
    OPERATIONS,
    counted,
    digest_words,
    effect_counts,
    moved_share,
    pair_words,
    place_words,
    route_counts,
    side_words,
    value_words,
    which,
)
from ccx.spec.locations import Place

LIMIT: Final = 60_000
"""GitHub takes 65,536 characters."""
LEAST: Final = 8_000

State = Literal["passed", "warned", "failed", "skipped"]
_STATES: Final[Mapping[State, str]] = {"passed": "✅", "warned": "⚠️", "failed": "❌", "skipped": "➖"}


@dataclass(frozen=True, slots=True)
class Check:
    """The result of another check of the same commit, for one line: `tests 41/41`."""

    name: str
    state: State
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part that opens on a click, as markdown that is safe to show: the caller has escaped what it quotes."""

    title: str
    body: str


@dataclass(frozen=True, slots=True)
class _Measure:
    """How much of everything is shown. None is all."""

    regions: int | None = None
    rows_of_cause: int | None = None
    rows: int | None = None
    marks: int | None = None
    words: int = 400
    own_details: bool = True
    sections: bool = True


_MEASURES: Final = (
    _Measure(marks=50),
    _Measure(regions=8, rows_of_cause=40, rows=300),
    _Measure(regions=4, rows_of_cause=20, rows=150, marks=20),
    _Measure(regions=2, rows_of_cause=8, rows=80, marks=10),
    _Measure(regions=2, rows_of_cause=4, rows=40, marks=5, words=200),
    _Measure(regions=1, rows_of_cause=2, rows=25, marks=5, words=200, own_details=False),
    _Measure(regions=1, rows_of_cause=2, rows=25, marks=3, words=160, own_details=False, sections=False),
    _Measure(regions=1, rows_of_cause=1, rows=10, marks=2, words=80, own_details=False, sections=False),
    _Measure(regions=1, rows_of_cause=1, rows=0, marks=1, words=40, own_details=False, sections=False),
)


def render_markdown(
    plan: Plan,
    *,
    limit: int = LIMIT,
    link: Callable[[Place], str] | None = None,
    checks: Sequence[Check] = (),
    sections: Sequence[Section] = (),
    head: str | None = None,
    at: str | None = None,
    command: str | None = None,
) -> str:
    """The comment, at most `limit` characters.

    `link` gives the address of a place; `head` is the commit that was planned and `at` when, for the marker; `command`
    reproduces the plan. Raises ValueError for a limit below 8,000, within which a verdict might not fit.
    """
    if limit < LEAST:
        raise ValueError(f"a plan does not fit {limit} characters; the least is {LEAST}")
    comment = _Comment(plan, link=link, checks=checks, sections=sections, command=command)
    first = marker(plan.spec, head=head, at=at)
    shown = ""
    for measure in _MEASURES:
        shown = "\n".join([first, *comment.blocks(measure)]) + "\n"
        if len(shown) <= limit:
            break
    return shown


def render_failure(
    error: str,
    *,
    spec: str,
    limit: int = LIMIT,
    checks: Sequence[Check] = (),
    head: str | None = None,
    at: str | None = None,
    problem: str = "the spec is not valid",
) -> str:
    """The comment where there is no plan because the spec cannot be planned: the error first. `error` is plain text,
    `problem` a few words that say of what."""
    if limit < LEAST:
        raise ValueError(f"a plan does not fit {limit} characters; the least is {LEAST}")
    start = f"{marker(spec, head=head, at=at)}\n### ❌ ccx plan: no plan, {problem}\n\n"
    end = f"\n\n{code(spec, room=120)}\n{_checks_line(checks)}"
    room = limit - len(start) - len(end) - 100
    text = error.strip("\n")
    while len(block := fenced(text, "text")) > room:
        half = len(text) * 2 // 5
        text = f"{text[:half]}\n… left out for length …\n{text[-half:]}"
    return f"{start}{block}{end}".rstrip() + "\n"


class _Comment:
    """The parts of one comment, to be put together in several measures."""

    def __init__(
        self,
        plan: Plan,
        *,
        link: Callable[[Place], str] | None,
        checks: Sequence[Check],
        sections: Sequence[Section],
        command: str | None,
    ) -> None:
        self.plan = plan
        self.link = link
        self.checks = checks
        self.sections = sections
        self.command = command
        self.quiet = quiet_edits(plan)
        common = common_terms(plan.moved)
        self.common = terms_words(common)
        # By cause, in order of the gravest change, as everywhere; numbered as they stand.
        order = {cause: place for place, cause in enumerate(dict.fromkeys(moved.cause for moved in plan.moved))}
        members = sorted(plan.moved, key=lambda moved: order[moved.cause])
        self.rows = rows_of(members, common)
        self.numbers = {
            moved.id: number for number, row in enumerate(self.rows, 1) for moved in (row.moved, *row.alike)
        }

    def blocks(self, measure: _Measure) -> Iterator[str]:
        plan = self.plan
        shown = self._shown(measure)
        yield f"### {self._verdict()}"
        if not plan.no_op or plan.marks or plan.within is not None:
            yield self._about()
        yield from self._marks(measure, {moved.id for row in shown for moved in (row.moved, *row.alike)})
        if plan.moved:
            yield from self._table(measure, shown)
        yield from self._touched(measure)
        line = _checks_line(self.checks)
        if line:
            yield f"\n{line}"
        if measure.own_details:
            yield from self._own_details(measure, shown)
        for section in self.sections:
            title = prose(section.title, room=160)
            yield "\n" + (
                details(title, section.body) if measure.sections else f"<sub>{title}: left out for length.</sub>"
            )
        if plan.moved or plan.touched:
            yield f"\n{self._foot()}"

    def _verdict(self) -> str:
        plan = self.plan
        number = len(plan.moved)
        changes = counted(number, "routing change")
        if not plan.complete:
            found = f", {changes} found so far" if number else ""
            return f"⛔ ccx plan: **analysis incomplete**{found}; nothing is proved of the rest"
        if not number:
            parts = [f"{'🔧' if plan.touched else '✅'} ccx plan: no {which(plan)} changes (proved)"]
            if plan.touched:
                parts.append(f"**{counted(len(plan.touched), 'change')}** to channels, clients or settings")
            if self.quiet:
                parts.append(f"{counted(len(self.quiet), 'edit')} without effect")
            return " · ".join(parts)
        causes = {row.moved.cause for row in self.rows}
        edits = counted(len(causes - {None}), "edit") if causes != {None} else "several edits together"
        also = ", some together" if None in causes and len(causes) > 1 else ""
        counts = effect_counts(plan)
        lost = counts.get("newly_unrouted", 0) + counts.get("newly_refused", 0)
        parts = [f"🔀 ccx plan: **{changes}** from {edits}{also}"]
        leave = "change leaves" if lost == 1 else "changes leave"
        parts.append(f"⚫ **{lost:,} {leave} requests unserved**" if lost else f"no {which(plan)} loses its route")
        if plan.marks:
            parts.append(f"⚠️ {counted(len(plan.marks), 'warning')}")
        return " · ".join(parts)

    def _about(self) -> str:
        plan = self.plan
        parts = [
            code(plan.spec, room=120),
            f"{code(side_words(plan.old), room=80)} → {code(side_words(plan.new), room=80)}",
        ]
        if plan.within is not None:
            parts.append(f"**looked at only** {code(plan.within, room=160)}")
        routes = route_counts(plan)
        if routes:
            parts.append(f"routes: {routes}")
        if plan.digest:
            parts.append(f"plan {code(digest_words(plan.digest), room=40)}")
        return " · ".join(parts)

    def _marks(self, measure: _Measure, shown: set[str]) -> Iterator[str]:
        for alert, grave in (("CAUTION", True), ("WARNING", False)):
            lines: list[str] = []
            if grave and not self.plan.complete:
                why = prose(self.plan.unfinished or "", room=measure.words)
                lines.append(f"**Analysis incomplete**: requests may change that are not listed here ({why})")
            by_guard: dict[str, list[Mark]] = {}
            for mark in self.plan.marks:
                if (mark.guard in GRAVE) is grave:
                    by_guard.setdefault(mark.guard, []).append(mark)
            for marks in by_guard.values():
                lines += self._of_guard(marks, measure, shown)
            if lines:
                bullet = "- " if len(lines) > 1 else ""
                yield f"\n> [!{alert}]\n" + "\n".join(f"> {bullet}{line}" for line in lines)

    def _of_guard(self, marks: Sequence[Mark], measure: _Measure, shown: set[str]) -> Iterator[str]:
        kept = marks[: measure.marks]
        for mark in kept:
            rows = sorted({self.numbers[one] for one in mark.moved if one in shown})
            more = f" and {len(rows) - 8} more" if len(rows) > 8 else ""
            where = f" ({'row' if len(rows) == 1 else 'rows'} {', '.join(map(str, rows[:8]))}{more})" if rows else ""
            yield f"**{mark.guard}**: {prose(mark.message, room=measure.words + 200)}{where}"
        if len(marks) > len(kept):
            yield f"**{marks[0].guard}**: {len(marks) - len(kept):,} more like this"

    def _shown(self, measure: _Measure) -> list[Row]:
        kept: list[Row] = []
        used: dict[int | None, int] = {}
        for row in self.rows:
            cause = row.moved.cause
            used[cause] = used.get(cause, 0) + 1
            if measure.rows_of_cause is None or used[cause] <= measure.rows_of_cause:
                kept.append(row)
        return kept[: measure.rows]

    def _table(self, measure: _Measure, shown: Sequence[Row]) -> Iterator[str]:
        if shown:
            yield "\n| | Requests | Before | After | Cause |\n|--|--|--|--|--|"
        last: int | None = -1
        for row in shown:
            cause = row.moved.cause
            yield self._line(row, measure, cause="″" if cause == last else self._cause(cause))
            last = cause
        left = len(self.plan.moved) - sum(row.changes for row in shown)
        words = []
        if left:
            words.append(f"**{left:,} more {'change' if left == 1 else 'changes'}** not shown here, for length.")
        if self.common:
            words.append(f"All rows: {code(self.common, room=measure.words)}.")
        if self.plan.complete:
            words.append(f"Every other {which(self.plan)} is proved unchanged.")
        yield "\n" + " ".join(words)

    def _line(self, row: Row, measure: _Measure, *, cause: str) -> str:
        room = measure.words
        regions = [code(text, room=room) for text in row.regions[: measure.regions]]
        more = row.more + len(row.regions) - len(regions)
        if more:
            regions.append(f"in {counted(more, 'further region')}")
        was, now, also = pair_words(row.moved.change.before, row.moved.change.after)
        extra = [code(words, room=room) for words in also[: measure.regions]]
        if len(also) > len(extra):
            extra.append(f"{counted(len(also) - len(extra), 'further difference')}")
        after = extra if was == now else [f"**{code(now, room=room)}**", *extra]
        share = moved_share(row.moved)
        alike = [f"{row.changes:,} changes alike"] if row.alike else []
        cells = [
            f"{EFFECTS[row.moved.effect].emoji} {self.numbers[row.moved.id]}",
            "<br>or ".join(regions),
            code(was, room=room) if row.moved.change.before.kind != "no_route" else f"_{was}_",
            "<br>".join([*after, *([share] if share else []), *alike]),
            cause,
        ]
        return table_row(cells)

    def _cause(self, cause: int | None) -> str:
        if cause is None:
            return "several edits together"
        edit = self.plan.edits[cause]
        line = f" L{edit.place.span.line}" if edit.place is not None and edit.place.file else ""
        shown = linked(f"{code(edit.name, room=80)}{line}", self._url(edit.place))
        kind = "" if edit.kind == "route" else f"{edit.kind} "
        return f"{kind}{shown}" if edit.operation == "edit" else f"{kind}{shown} ({_past(edit)})"

    def _url(self, place: Place | None) -> str | None:
        return self.link(place) if self.link is not None and place is not None and place.file else None

    def _touched(self, measure: _Measure) -> Iterator[str]:
        touched = self.plan.touched
        if not touched:
            return
        kept = touched[: measure.rows]
        if kept:
            yield "\n**Channels, clients, settings**\n\n| | What | Values | Used by |\n|--|--|--|--|"
        for one in kept:
            edit = one.edit
            fields = [
                f"{code(field.path, room=80)} {code(value_words(field.before), room=measure.words)} → "
                f"{code(value_words(field.after), room=measure.words)}"
                for field in edit.fields[: measure.regions]
            ]
            if len(edit.fields) > len(fields):
                fields.append(counted(len(edit.fields) - len(fields), "further value"))
            users = [code(user, room=80) for user in one.users[:8]]
            if len(one.users) > 8:
                users.append(f"{len(one.users) - 8:,} more")
            shown = linked(code(edit.name, room=80), self._url(edit.place))
            what = f"{edit.kind} {shown}"
            yield table_row((f"`{OPERATIONS[edit.operation]}`", what, "<br>".join(fields), ", ".join(users)))
        if len(touched) > len(kept):
            number = counted(len(touched) - len(kept), "further change")
            yield f"\n**{number}** to channels, clients or settings not shown here, for length."

    def _own_details(self, measure: _Measure, shown: Sequence[Row]) -> Iterator[str]:
        asked = [
            f"# row {self.numbers[row.moved.id]}\n{asking(region.witness, spec=self.plan.spec)}"
            for row in shown
            for region in row.moved.change.regions[:1]
        ]
        if asked:
            yield "\n" + details("Try it: one request of each row", fenced("\n".join(asked), "sh"))
        edits = self.plan.edits[: measure.rows]
        if edits:
            lines = [self._bullet(edit, measure) for edit in edits]
            if len(edits) < len(self.plan.edits):
                lines.append(f"- and {len(self.plan.edits) - len(edits):,} more")
            yield "\n" + details(f"{counted(len(self.plan.edits), 'edit')} of the spec, by meaning", "\n".join(lines))

    def _bullet(self, edit: Edit, measure: _Measure) -> str:
        kind = "" if edit.kind == "route" else f"{edit.kind} "
        shown = linked(code(edit.name, room=80), self._url(edit.place))
        place = place_words(edit.place)
        fields = ", ".join(
            f"{code(field.path, room=80)} {code(value_words(field.before), room=measure.words)} → "
            f"{code(value_words(field.after), room=measure.words)}"
            for field in edit.fields[: measure.regions]
        )
        where = f" at {code(place, room=120)}" if place else ""
        was = f", was {code(edit.was, room=80)}" if edit.was is not None else ""
        quiet = f", no {which(self.plan)} changes" if edit in self.quiet and self.plan.complete else ""
        return f"- {edit.operation} {kind}{shown}{was}{where}{quiet}{': ' + fields if fields else ''}"

    def _foot(self) -> str:
        used = dict.fromkeys(EFFECTS[effect] for effect in effect_counts(self.plan))
        legend = dict.fromkeys(f"{words.emoji} {words.legend}" for words in used)
        again = f" {code(self.command, room=200)} says the same." if self.command is not None else ""
        return f"<sub>{' · '.join(legend)}{'. ' if legend else ''}Updated in place on each push.{again}</sub>"


def _checks_line(checks: Sequence[Check]) -> str:
    return " · ".join(
        f"{_STATES[check.state]} {prose(f'{check.name} {check.detail}'.strip(), room=160)}" for check in checks[:16]
    )


def _past(edit: Edit) -> str:
    match edit.operation:
        case "add":
            return "new"
        case "remove":
            return "removed"
        case "rename":
            return f"was {code(edit.was, room=80)}" if edit.was is not None else "renamed"
        case "move" | "reorder":
            return "moved"
        case "edit":
            return "edited"
