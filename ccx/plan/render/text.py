"""A plan for a terminal.

    ! edit long-context   when.input_tokens > 200k → > 128k                                   gateway.yaml:31
      ! claude-* except claude-opus-*   anthropic ▸ bedrock  →  gemini (gemini-2.5-pro)
          e.g. ccx explain --model claude-sonnet-4-5 --tokens 128000

Law: no line is wider than asked, and no name in it can do anything but be read. What is not proven is said first and
last. Where the columns do not fit, a change is written over several lines instead of being cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ccx.analysis.asking import command
from ccx.plan.model import Edit, FieldEdit, Guard, Mark, Plan, Touched
from ccx.plan.render.cells import ASCII, UNICODE, Span, Tone, cells, elided, filled, fitted, painted, wrapped
from ccx.plan.render.groups import Group, Row, grouped, quiet_edits
from ccx.plan.render.words import (
    EFFECTS,
    OPERATIONS,
    command_words,
    counted,
    digest_words,
    edit_words,
    effect_counts,
    moved_share,
    name,
    pair_words,
    place_words,
    route_counts,
    side_words,
    value_words,
    which,
)

MIN_WIDTH: Final = 40
GRAVE: Final[frozenset[Guard]] = frozenset({"newly-unrouted", "newly-refused", "plaintext-upstream", "incomplete"})
_ROWS: Final = 20
_REGIONS: Final = 6
_FIELDS: Final = 6
_QUIET: Final = 8
_TONES: Final[Mapping[str, Tone]] = {"+": "good", "-": "bad", "~": "note", "»": "moved"}
_LEAST: Final = 28
_FULL: Final = "ccx plan --output json has all"


@dataclass(frozen=True, slots=True)
class _Columns:
    """Widths of what the requests are, what became of them, and what becomes of them."""

    requests: int
    before: int
    after: int


def render_text(plan: Plan, *, width: int, colour: bool, unicode: bool = True) -> str:
    """The whole plan, ending in a line break. `width` is in cells; below 40 it is taken as 40."""
    page = _Page(plan, width=max(width, MIN_WIDTH), unicode=unicode)
    lines = (painted(fitted(line, page.width, cut=page.signs.cut), colour=colour) for line in page.lines())
    return "\n".join(lines) + "\n"


class _Page:
    """Lays out one plan for one width."""

    def __init__(self, plan: Plan, *, width: int, unicode: bool) -> None:
        self.plan = plan
        self.width = width
        self.signs = UNICODE if unicode else ASCII
        self.groups = grouped(plan, signs=self.signs)
        self.columns = self._columns()

    def lines(self) -> Iterator[list[Span]]:
        plan = self.plan
        yield from self._head()
        if not plan.complete:
            yield []
            yield from self._incomplete()
        for group in self.groups:
            yield []
            yield from self._group(group)
        quiet = quiet_edits(plan)
        if quiet:
            yield []
            yield from self._quiet(quiet)
        if plan.touched:
            yield []
            yield [Span("Channels, clients, settings", "bold")]
            for touched in plan.touched:
                yield from self._touched(touched)
        if plan.marks:
            yield []
            for mark in plan.marks:
                yield from self._mark(mark)
        yield []
        yield from self._summary()

    def _head(self) -> Iterator[list[Span]]:
        plan, signs = self.plan, self.signs
        sides = f"{side_words(plan.old, signs)} {signs.to} {side_words(plan.new, signs)}"
        lead = [Span("ccx plan", "bold"), Span(f"  {name(plan.spec, signs)}")]
        if sum(cells(span.text) for span in lead) + 3 + cells(sides) <= self.width:
            yield [*lead, Span(f"   {sides}", "dim")]
        else:
            yield lead
            yield from self._wrapped(sides, tone="dim", indent=2)
        if plan.within is not None:
            yield from self._wrapped(f"Looked at only: {name(plan.within, signs)}", tone="warn", hang=2)

    def _incomplete(self) -> Iterator[list[Span]]:
        effort = self.plan.effort
        why = name(self.plan.unfinished or "", self.signs)
        yield from self._wrapped(f"ANALYSIS INCOMPLETE: {why}", tone="bad", hang=2)
        budget = f"{effort.states:,} states of {effort.budget:,}"
        yield from self._wrapped(
            f"Compared {budget}. Requests may change that are not listed here: nothing below says otherwise.",
            tone="bad",
            indent=2,
        )

    def _group(self, group: Group) -> Iterator[list[Span]]:
        worst = EFFECTS[group.rows[0].moved.effect]
        cause = group.cause
        moves = cause is not None and cause.operation in ("move", "reorder")
        sign = Span(self.signs.moved, "moved") if moves else Span(worst.symbol, worst.tone)
        if cause is None:
            yield [sign, Span(" several edits together", "bold")]
        else:
            yield from self._edit(cause, sign, fields=cause.operation not in ("add", "remove"))
        if group.common:
            yield from self._wrapped(f"for {group.common}", indent=4, hang=2)
        for row in group.rows[:_ROWS]:
            yield from self._row(row)
        if len(group.rows) > _ROWS:
            left = counted(sum(row.changes for row in group.rows[_ROWS:]), "further change")
            yield from self._wrapped(f"and {left} ({_FULL})", tone="dim", indent=4)

    def _edit(self, edit: Edit, sign: Span, *, fields: bool) -> Iterator[list[Span]]:
        """The edit, its values, and where it stands, at the right edge if there is room."""
        place = place_words(edit.place, self.signs)
        title = edit_words(edit, self.signs)
        used = cells(sign.text) + 1 + cells(title)
        if cells(place) > self.width // 2:
            place = elided(place, self.width // 2, cut=self.signs.cut)
        if used + 2 + cells(place) > self.width:
            title = elided(title, self.width - cells(sign.text) - 3 - cells(place), cut=self.signs.cut)
            used = cells(sign.text) + 1 + cells(title)
        room = self.width - used - (cells(place) + 2 if place else 0)
        shown = [self._field(field) for field in edit.fields] if fields else []
        inline = "  " + shown[0] if len(shown) == 1 and cells(shown[0]) + 2 <= room else ""
        gap = " " * (self.width - used - cells(inline) - cells(place))
        yield [sign, Span(" "), Span(title, "bold"), Span(inline), Span(gap), Span(place, "dim")]
        if not inline:
            for text in shown[:_FIELDS]:
                yield from self._wrapped(text, indent=4, hang=2)
            if len(shown) > _FIELDS:
                yield from self._wrapped(f"and {counted(len(shown) - _FIELDS, 'further value')}", tone="dim", indent=4)

    def _field(self, field: FieldEdit) -> str:
        before, after = value_words(field.before, self.signs), value_words(field.after, self.signs)
        return f"{name(field.path, self.signs)} {before} {self.signs.to} {after}"

    def _row(self, row: Row) -> Iterator[list[Span]]:
        effect = EFFECTS[row.moved.effect]
        lead = [Span("  "), Span(effect.symbol, effect.tone), Span(" ")]
        columns = self.columns
        regions = self._regions(row, room=columns.requests if columns is not None else self.width - 4)
        if columns is not None and len(regions) > 2 * min(len(row.regions), _REGIONS) + 1:
            # Long regions are easier to read across the whole width than down a column.
            columns, regions = None, self._regions(row, room=self.width - 4)
        before, after, also = pair_words(row.moved.change.before, row.moved.change.after, self.signs)
        if columns is None:
            for number, text in enumerate(regions):
                yield [*(lead if number == 0 else [Span("    ")]), Span(text)]
            yield from self._flowing(before, after, also)
        else:
            yield from self._beside(columns, regions, lead, before, after, also)
        if row.alike:
            yield from self._wrapped(f"{row.changes:,} changes alike", tone="dim", indent=6)
        share = moved_share(row.moved)
        if share:
            yield from self._wrapped(share, indent=6)
        for region in row.moved.change.regions[:1]:
            yield from self._command(command(region.witness, spec=self.plan.spec))

    def _command(self, line: str) -> Iterator[list[Span]]:
        """A command that still can be copied when it takes several lines."""
        parts = ["e.g.", *(name(part, self.signs) for part in command_words(line))]
        lines = filled(parts, self.width - 8, cut=self.signs.cut, hang=5)
        for number, text in enumerate(lines):
            yield [Span("      "), Span(text if number == len(lines) - 1 else f"{text} \\", "dim")]

    def _regions(self, row: Row, *, room: int) -> list[str]:
        shown: list[str] = []
        for number, text in enumerate(row.regions[:_REGIONS]):
            shown += wrapped(text if number == 0 else f"or {text}", room, cut=self.signs.cut, hang=2)
        more = row.more + max(len(row.regions) - _REGIONS, 0)
        if more:
            shown += wrapped(f"or in {counted(more, 'further region')}", room, cut=self.signs.cut, hang=2)
        return shown

    def _flowing(self, before: str, after: str, also: Sequence[str]) -> Iterator[list[Span]]:
        to = self.signs.to
        if before == after:
            yield from self._wrapped(f"{before}: {', '.join(also)}" if also else before, indent=6, hang=2)
            return
        if cells(f"{before} {to} {after}") + 6 <= self.width:
            yield [Span("      "), Span(before, "before"), Span(f" {to} "), Span(after, "after")]
        else:
            yield from self._wrapped(before, tone="before", indent=6, hang=2)
            first, *rest = wrapped(f"{to} {after}", self.width - 6, cut=self.signs.cut, hang=2)
            yield [Span("      "), Span(first, "after")]
            yield from ([Span("      "), Span(line, "after")] for line in rest)
        if also:
            yield from self._wrapped(f"and {', '.join(also)}", indent=6, hang=2)

    def _beside(
        self,
        columns: _Columns,
        regions: Sequence[str],
        lead: list[Span],
        before: str,
        after: str,
        also: Sequence[str],
    ) -> Iterator[list[Span]]:
        to, cut = self.signs.to, self.signs.cut
        right: list[list[Span]] = []
        room = columns.before + columns.after + 4 + cells(to)
        if before == after:
            text = f"{before}: {', '.join(also)}" if also else before
            right = [[Span(line)] for line in wrapped(text, room, cut=cut, hang=2)]
        else:
            olds = wrapped(before, columns.before, cut=cut, hang=2)
            news = wrapped(after, columns.after, cut=cut, hang=2)
            for number in range(max(len(olds), len(news))):
                old = olds[number] if number < len(olds) else ""
                new = news[number] if number < len(news) else ""
                arrow = to if number == 0 else " " * cells(to)
                pad = " " * (columns.before - cells(old))
                right.append([Span(old, "before"), Span(f"{pad}  {arrow}  "), Span(new, "after")])
            if also:
                right += [[Span(line)] for line in wrapped(f"and {', '.join(also)}", room, cut=cut, hang=2)]
        for number in range(max(len(regions), len(right))):
            text = regions[number] if number < len(regions) else ""
            beside = right[number] if number < len(right) else []
            pad = " " * (columns.requests - cells(text) + 3)
            yield [*(lead if number == 0 else [Span("    ")]), Span(text + pad), *beside]

    def _columns(self) -> _Columns | None:
        """Widths for the changes as columns; None where they are better written over several lines."""
        rows = [row for group in self.groups for row in group.rows[:_ROWS]]
        pairs = [pair_words(row.moved.change.before, row.moved.change.after, self.signs)[:2] for row in rows]
        requests = max((cells(text) + 3 for row in rows for text in row.regions[:_REGIONS]), default=0)
        before, after = (sorted(cells(pair[side]) for pair in pairs) for side in (0, 1))
        space = self.width - 4 - 3 - 4 - cells(self.signs.to)
        # As they are; else the few longest outcomes wrap; else regions do as well.
        for share in (1.0, 0.75):
            old, new = (_at(widths, share) for widths in (before, after))
            if max(requests, _LEAST) + old + new <= space:
                return _Columns(max(requests, _LEAST), old, new)
        if space - old - new >= _LEAST + 8:
            return _Columns(space - old - new, old, new)
        return None

    def _quiet(self, quiet: Sequence[Edit]) -> Iterator[list[Span]]:
        tail = f"change no {which(self.plan)} (proved)" if self.plan.complete else "have no change listed"
        if len(quiet) == 1:
            tail = tail.replace("change no", "changes no").replace("have no", "has no")
        yield [Span("= ", "dim"), Span(f"{counted(len(quiet), 'edit')} {tail}", "dim")]
        for edit in quiet[:_QUIET]:
            yield from self._edit(edit, Span("  =", "dim"), fields=False)
        if len(quiet) > _QUIET:
            yield [Span(f"    and {len(quiet) - _QUIET:,} more", "dim")]

    def _touched(self, touched: Touched) -> Iterator[list[Span]]:
        sign = OPERATIONS[touched.edit.operation]
        shown = self.signs.moved if sign == UNICODE.moved else sign
        yield from self._edit(touched.edit, Span(f"  {shown}", _TONES[sign]), fields=True)
        users = touched.users
        if users:
            names = ", ".join(name(user, self.signs) for user in users[:_QUIET])
            more = f" and {len(users) - _QUIET:,} more" if len(users) > _QUIET else ""
            yield from self._wrapped(f"used by {names}{more}", tone="dim", indent=4, hang=2)

    def _mark(self, mark: Mark) -> Iterator[list[Span]]:
        tone: Tone = "bad" if mark.guard in GRAVE else "warn"
        lead = "warning: "
        first, *rest = wrapped(
            f"{name(mark.message, self.signs)} [{mark.guard}]", self.width - len(lead), cut=self.signs.cut
        )
        yield [Span(lead, tone), Span(first)]
        yield from ([Span(" " * len(lead)), Span(line)] for line in rest)

    def _summary(self) -> Iterator[list[Span]]:
        plan = self.plan
        counts = effect_counts(plan)
        used: dict[str, str] = {}
        for effect in counts:
            used.setdefault(EFFECTS[effect].symbol, EFFECTS[effect].legend)
        if any(g.cause is not None and g.cause.operation in ("move", "reorder") for g in self.groups):
            used[self.signs.moved] = "moved"
        if len(used) > 1 or len(self.groups) > 1:
            legend = filled([f"{sign} {word}" for sign, word in used.items()], self.width, cut=self.signs.cut, gap=3)
            yield from ([Span(line, "dim")] for line in legend)
        if plan.moved:
            shown = ", ".join(f"{number:,} {EFFECTS[effect].does}" for effect, number in counts.items())
            yield from self._wrapped(f"Changes: {shown}.", tone="bold", hang=2)
        elif plan.complete:
            yield [Span(f"No {which(plan)} changes (proved)", "good"), Span(self._touched_words())]
        routes = route_counts(plan)
        if routes:
            yield from self._wrapped(f"Routes: {routes}.", hang=2)
        effort = plan.effort
        scope = ", ".join(
            (
                counted(effort.model_classes, "model class", "model classes"),
                counted(effort.token_ranges, "token range"),
                counted(effort.states, "state"),
            )
        )
        if plan.complete and plan.moved:
            yield from self._wrapped(f"Every other {which(plan)} is proved unchanged ({scope}).", hang=2)
        elif plan.complete:
            yield from self._wrapped(f"Compared {scope}.", tone="dim", hang=2)
        else:
            yield from self._wrapped("INCOMPLETE: other requests may change too.", tone="bad", hang=2)
        if plan.digest:
            yield [Span(f"Plan {name(digest_words(plan.digest), self.signs)}", "dim")]

    def _touched_words(self) -> str:
        number = len(self.plan.touched)
        if not number:
            return "."
        return f"; {counted(number, 'change')} to channels, clients or settings."

    def _wrapped(self, text: str, *, tone: Tone = "plain", indent: int = 0, hang: int = 0) -> Iterator[list[Span]]:
        for line in wrapped(text, self.width - indent, cut=self.signs.cut, hang=hang):
            yield [Span(" " * indent), Span(line, tone)]


def _at(widths: Sequence[int], share: float) -> int:
    """The width that this share of them does not exceed; never too little to wrap in."""
    return max(widths[math.ceil(share * len(widths)) - 1], 12) if widths else 12
