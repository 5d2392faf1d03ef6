"""A plan as a page: one file to attach to a ticket or to open from a CI run.

Law: no script and nothing from elsewhere, which its own Content-Security-Policy enforces: styles are allowed by their
hashes, all else is refused. Every name is escaped text. It is well-formed XML too, so that a test can prove both.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from ccx.analysis.asking import command as asking
from ccx.plan.model import Edit, Effect, FieldEdit, Plan, Touched
from ccx.plan.picture.svg import style_hash, svg
from ccx.plan.render.cells import visible
from ccx.plan.render.groups import Group, Row, grouped, quiet_edits
from ccx.plan.render.text import GRAVE
from ccx.plan.render.words import (
    EFFECTS,
    OPERATIONS,
    counted,
    digest_words,
    edit_words,
    effect_counts,
    moved_share,
    pair_words,
    place_words,
    quotations,
    route_counts,
    side_words,
    value_words,
    which,
)
from ccx.routing.table import RoutingTable

STYLE: Final = """\
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2128;--mute:#59636e;--line:#d1d9e0;--soft:#f6f8fa;--bad:#cf222e;\
--warn:#9a6700;--good:#1a7f37;--note:#0969da;--moved:#8250df;--mono:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
@media (prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--mute:#9198a1;--line:#3d444d;--soft:#151b23;\
--bad:#f85149;--warn:#d29922;--good:#3fb950;--note:#4493f8;--moved:#a371f7}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,\
"Helvetica Neue",Arial,sans-serif}
main{max-width:1168px;margin:0 auto;padding:40px 24px 64px}
h1{font-size:28px;line-height:1.25;margin:4px 0 10px;letter-spacing:-.01em}
h2{font-size:18px;margin:40px 0 12px}
p{margin:0 0 8px}
code,pre{font-family:var(--mono);font-size:13px}
code{overflow-wrap:anywhere}
.eyebrow,.meta,.mute{color:var(--mute)}
.eyebrow{font-weight:600;margin:0}
.bad{color:var(--bad)}.warn{color:var(--warn)}.good{color:var(--good)}.note{color:var(--note)}.moved{color:var(--moved)}
.chips{display:flex;flex-wrap:wrap;gap:8px;list-style:none;margin:18px 0 0;padding:0}
.chips li{border:1px solid var(--line);border-radius:999px;padding:3px 12px;background:var(--soft)}
.chips b{margin-right:5px}
.alert{border-left:4px solid var(--warn);background:var(--soft);border-radius:0 6px 6px 0;\
padding:10px 16px;margin:16px 0 0}
.alert.grave{border-color:var(--bad)}
.alert p{margin:2px 0;overflow-wrap:anywhere}
article{border:1px solid var(--line);border-radius:8px;margin:0 0 16px;overflow:hidden;break-inside:avoid}
article>header{background:var(--soft);border-bottom:1px solid var(--line);padding:10px 16px}
article>header p{margin:2px 0 0}
article h3{font-size:15px;margin:0;display:flex;gap:10px;justify-content:space-between;overflow-wrap:anywhere}
article h3 small{font-weight:400;color:var(--mute)}
table{width:100%;border-collapse:collapse;table-layout:fixed}
td,th{padding:10px 16px;text-align:left;vertical-align:top;overflow-wrap:anywhere}
th{font-size:12px;font-weight:600;color:var(--mute);padding-bottom:0}
tr+tr>td{border-top:1px solid var(--line)}
th+tr>td,thead+tbody>tr:first-child>td{border-top:0}
col.sign{width:44px}col.wide{width:44%}
td:first-child{font:600 15px var(--mono)}
.ask{display:block;color:var(--mute);font-size:12px;margin-top:6px;user-select:all}
.or{color:var(--mute)}
.arrow{color:var(--mute);padding:0 4px}
ul.plain{list-style:none;margin:0;padding:0}
ul.plain li{padding:6px 0;border-top:1px solid var(--line)}
ul.plain li:first-child{border-top:0}
figure{margin:0;border:1px solid var(--line);border-radius:8px;overflow:hidden}
figure svg{display:block;width:100%;height:auto}
pre{border:1px solid var(--line);border-radius:8px;background:var(--soft);padding:12px 16px;overflow-x:auto;margin:0}
pre span{display:block;min-height:1.55em}
pre .add{color:var(--good)}pre .del{color:var(--bad)}pre .hunk{color:var(--moved)}
footer{margin-top:48px;color:var(--mute);font-size:13px}
@media (max-width:720px){td,th{padding:8px 10px}h1{font-size:23px}figure{overflow-x:auto}figure svg{min-width:860px}}
@media print{:root{color-scheme:light;--bg:#fff;--fg:#000;--mute:#444;--line:#999;--soft:#f6f6f6;--bad:#b00;\
--warn:#850;--good:#060;--note:#049;--moved:#609}main{max-width:none;padding:0}body{font-size:11pt}.ask{user-select:auto}}
"""


def render_html(
    plan: Plan,
    *,
    tables: tuple[RoutingTable, RoutingTable] | None = None,
    diff: str = "",
    command: str | None = None,
) -> str:
    """The page. `tables` are both sides, for the picture; `diff` is a unified diff of the sources, secrets covered by
    the caller; `command` reproduces the plan."""
    picture = svg(tables[1], before=tables[0], title="Routing before and after") if tables is not None else ""
    hashes = f"'sha256-{b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
    if picture:
        hashes += f" {style_hash()}"
    policy = f"default-src 'none'; style-src {hashes}; base-uri 'none'; form-action 'none'"
    page = _Page(plan)
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en" xmlns="http://www.w3.org/1999/xhtml">',
        "<head>",
        '<meta charset="utf-8"/>',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}"/>',
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
        '<meta name="referrer" content="no-referrer"/>',
        f"<title>ccx plan: {_text(plan.spec)}</title>",
        f"<style>{STYLE}</style>",
        "</head>",
        "<body>",
        "<main>",
        *page.head(),
        *page.alerts(),
        *page.changes(),
        *page.touched(),
    ]
    if picture:
        parts += ["<h2>Routing before and after</h2>", f"<figure>{picture}</figure>"]
    parts += [*page.edits(), *_diff(diff), *page.foot(command), "</main>", "</body>", "</html>"]
    return "\n".join(parts) + "\n"


def _text(text: str) -> str:
    return escape(visible(text))


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _message(text: str) -> str:
    return "".join(_code(part) if quoted else _text(part) for part, quoted in quotations(text))


class _Page:
    """The parts of one plan's page."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.quiet = quiet_edits(plan)

    def head(self) -> Iterator[str]:
        plan = self.plan
        yield "<header>"
        yield f'<p class="eyebrow">ccx plan · {_text(plan.spec)}</p>'
        yield f"<h1>{self._verdict()}</h1>"
        sides = f"{_code(side_words(plan.old))} → {_code(side_words(plan.new))}"
        about = [sides]
        if plan.within is not None:
            about.append(f"looked at only {_code(plan.within)}")
        if plan.digest:
            about.append(f"plan {_code(digest_words(plan.digest))}")
        yield f'<p class="meta">{" · ".join(about)}</p>'
        counts = effect_counts(plan)
        chips = [
            f'<li><b class="{EFFECTS[effect].tone}">{_text(EFFECTS[effect].symbol)}</b>'
            f"{number:,} {EFFECTS[effect].does}</li>"
            for effect, number in counts.items()
        ]
        routes = route_counts(plan)
        if routes:
            chips.append(f"<li>routes: {routes}</li>")
        if chips:
            yield f'<ul class="chips">{"".join(chips)}</ul>'
        yield "</header>"

    def _verdict(self) -> str:
        plan = self.plan
        number = counted(len(plan.moved), "routing change")
        if not plan.complete:
            return '<span class="bad">Analysis incomplete</span>' + (f": {number} found so far" if plan.moved else "")
        if plan.moved:
            return number
        touched = f", {counted(len(plan.touched), 'change')} to channels, clients or settings" if plan.touched else ""
        return f'<span class="good">No {which(plan)} changes (proved)</span>{touched}'

    def alerts(self) -> Iterator[str]:
        plan = self.plan
        if not plan.complete:
            yield '<div class="alert grave" role="alert">'
            yield f'<p><b class="bad">incomplete</b> {_text(plan.unfinished or "")}</p>'
            yield "<p>Requests may change that are not listed here.</p>"
            yield "</div>"
        for grave in (True, False):
            marks = [mark for mark in plan.marks if (mark.guard in GRAVE) is grave]
            if marks:
                tone = "bad" if grave else "warn"
                yield f'<div class="alert{" grave" if grave else ""}" role="alert">'
                yield from (f'<p><b class="{tone}">{mark.guard}</b> {_message(mark.message)}</p>' for mark in marks)
                yield "</div>"

    def changes(self) -> Iterator[str]:
        if not self.plan.moved:
            return
        yield "<h2>Requests that fare differently</h2>"
        for group in grouped(self.plan):
            yield from self._group(group)
        if self.plan.complete:
            yield f'<p class="mute">Every other {which(self.plan)} is proved unchanged.</p>'

    def _group(self, group: Group) -> Iterator[str]:
        yield "<article>"
        yield "<header>"
        cause = group.cause
        if cause is None:
            yield "<h3><span>several edits together</span></h3>"
        else:
            yield _title(cause)
            if cause.operation not in ("add", "remove"):
                yield from (f"<p>{_field(field)}</p>" for field in cause.fields)
        if group.common:
            yield f'<p class="mute">for {_code(group.common)}</p>'
        yield "</header>"
        yield '<table><colgroup><col class="sign"/><col class="wide"/><col/><col/></colgroup>'
        yield "<thead><tr><th></th><th>Requests</th><th>Before</th><th>After</th></tr></thead>"
        yield "<tbody>"
        for row in group.rows:
            yield from self._row(row)
        yield "</tbody></table>"
        yield "</article>"

    def _row(self, row: Row) -> Iterator[str]:
        effect: Effect = row.moved.effect
        words = EFFECTS[effect]
        regions = '<br/><span class="or">or</span> '.join(_code(text) for text in row.regions)
        if row.more:
            regions += f'<br/><span class="or">or in {counted(row.more, "further region")}</span>'
        asked = "".join(
            f'<code class="ask">{_text(asking(region.witness, spec=self.plan.spec))}</code>'
            for region in row.moved.change.regions[:1]
        )
        before, after, also = pair_words(row.moved.change.before, row.moved.change.after)
        extra = "<br/>".join(_code(text) for text in also)
        shown = f"<b>{_code(after)}</b>" if before != after else '<span class="mute">the same targets</span>'
        share = f'<br/><span class="mute">{moved_share(row.moved)}</span>' if row.moved.share is not None else ""
        alike = f'<br/><span class="mute">{row.changes:,} changes alike</span>' if row.alike else ""
        yield (
            f'<tr><td class="{words.tone}" title="{words.does}">{_text(words.symbol)}</td>'
            f"<td>{regions}{asked}</td><td>{_code(before)}</td>"
            f"<td>{shown}{'<br/>' if extra else ''}{extra}{share}{alike}</td></tr>"
        )

    def touched(self) -> Iterator[str]:
        if not self.plan.touched:
            return
        yield "<h2>Channels, clients, settings</h2>"
        for one in self.plan.touched:
            yield from self._touched(one)

    def _touched(self, touched: Touched) -> Iterator[str]:
        yield "<article><header>"
        yield _title(touched.edit)
        yield from (f"<p>{_field(field)}</p>" for field in touched.edit.fields)
        if touched.users:
            yield f'<p class="mute">used by {", ".join(_code(user) for user in touched.users)}</p>'
        yield "</header></article>"

    def edits(self) -> Iterator[str]:
        if not self.plan.edits:
            return
        yield "<h2>Edits of the spec, by meaning</h2>"
        yield '<ul class="plain">'
        for edit in self.plan.edits:
            quiet = f', <span class="mute">no {which(self.plan)} changes</span>' if self._is_quiet(edit) else ""
            fields = "".join(f"<br/>{_field(field)}" for field in edit.fields)
            place = place_words(edit.place)
            where = f' <small class="mute">{_text(place)}</small>' if place else ""
            yield f"<li><b>{_text(edit_words(edit))}</b>{where}{quiet}{fields}</li>"
        yield "</ul>"

    def _is_quiet(self, edit: Edit) -> bool:
        return self.plan.complete and edit in self.quiet

    def foot(self, command: str | None) -> Iterator[str]:
        effort = self.plan.effort
        scope = ", ".join(
            (
                counted(effort.model_classes, "model class", "model classes"),
                counted(effort.token_ranges, "token range"),
                counted(effort.states, "state"),
            )
        )
        again = f" {_code(command)} says the same." if command is not None else ""
        yield f"<footer><p>Compared {scope}.{again}</p></footer>"


def _title(edit: Edit) -> str:
    place = place_words(edit.place)
    sign = OPERATIONS[edit.operation]
    where = f"<small>{_text(place)}</small>" if place else ""
    return f'<h3><span><span class="mute">{sign}</span> {_text(edit_words(edit))}</span>{where}</h3>'


def _field(field: FieldEdit) -> str:
    before, after = value_words(field.before), value_words(field.after)
    return f'{_code(field.path)} {_code(before)}<span class="arrow">→</span>{_code(after)}'


def _diff(diff: str) -> Iterator[str]:
    if not diff.strip():
        return
    yield "<h2>Spec diff</h2>"
    lines: Sequence[str] = [_diff_line(line) for line in diff.splitlines()]
    yield f"<pre>{''.join(lines)}</pre>"


def _diff_line(line: str) -> str:
    kind = "hunk" if line.startswith(("@@", "+++", "---")) else {"+": "add", "-": "del"}.get(line[:1], "")
    return f'<span class="{kind}">{_text(line)}</span>' if kind else f"<span>{_text(line)}</span>"
