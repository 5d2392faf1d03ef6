"""The routing as an SVG: one file, no script, nothing from elsewhere, legible in light, dark and print.

Routes stand on the left in the order they are tried, channels on the right; a line leads from each target to its
channel, solid for the one that is asked first, dashed for those that are asked after it. Law: nothing overlaps and
nothing is cut off, whatever the names; they are text and never markup.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from ccx.plan.picture.measure import cut, lines, width
from ccx.plan.picture.scene import Card, Fate, Node, Port, Scene, scene
from ccx.plan.render.cells import visible
from ccx.routing.table import RoutingTable

_WIDTH: Final = 1120
_MARGIN: Final = 24
_TOP: Final = 56
_CARD: Final = 640
_TARGETS: Final = 250
"""Width of the part of a card that holds its targets."""
_NODE: Final = 232
_NODE_X: Final = _WIDTH - _MARGIN - _NODE
_PAD: Final = 12
_GAP: Final = 10
_LINE: Final = 17
_PORT: Final = 22
_NAME_SIZE: Final = 13.5
_SIZE: Final = 12.0
_SMALL: Final = 10.5
_WHEN_LINES: Final = 5
_DESCRIBED: Final = 80
_TALL: Final = 12

_TAGS: Final[Mapping[Fate, str]] = {
    "same": "",
    "added": "new",
    "removed": "removed",
    "changed": "changed",
    "moved": "moved",
}

STYLE: Final = """\
.ccx-p{--bg:#fff;--fg:#1c2128;--mute:#59636e;--line:#d1d9e0;--card:#f6f8fa;--edge:#6e7781;--add:#1a7f37;--del:#cf222e;\
--chg:#9a6700;--mov:#8250df}
@media (prefers-color-scheme:dark){.ccx-p{--bg:#0d1117;--fg:#e6edf3;--mute:#9198a1;--line:#3d444d;--card:#151b23;\
--edge:#7d8590;--add:#3fb950;--del:#f85149;--chg:#d29922;--mov:#a371f7}}
@media print{.ccx-p{--bg:#fff;--fg:#000;--mute:#444;--line:#999;--card:#fff;--edge:#555;--add:#1a7f37;--del:#cf222e;\
--chg:#9a6700;--mov:#8250df}}
.ccx-p text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;fill:var(--fg);\
font-size:12px}
.ccx-p .bg{fill:var(--bg)}
.ccx-p .box{fill:var(--card);stroke:var(--line)}
.ccx-p .name{font-size:13.5px;font-weight:600}
.ccx-p .m{fill:var(--mute)}
.ccx-p .s{font-size:10.5px}
.ccx-p .e{text-anchor:end}
.ccx-p .c{text-anchor:middle}
.ccx-p .edge{fill:none;stroke:var(--edge);stroke-width:1.5;opacity:.8}
.ccx-p .later{stroke-dasharray:5 4;stroke-width:1.2;opacity:.65}
.ccx-p .ring{fill:var(--bg);stroke:var(--edge)}
.ccx-p .rule{stroke:var(--line)}
.ccx-p .added:not(text){stroke:var(--add)}
.ccx-p .removed:not(text){stroke:var(--del)}
.ccx-p .changed:not(text){stroke:var(--chg)}
.ccx-p .moved:not(text){stroke:var(--mov)}
.ccx-p .edge.added,.ccx-p .edge.removed,.ccx-p .edge.changed{stroke-width:2.2;opacity:1}
.ccx-p .gone{text-decoration:line-through}
.ccx-p .tag{font-size:10.5px;font-weight:600}
.ccx-p .tag.added,.ccx-p .target.added{fill:var(--add)}
.ccx-p .tag.removed,.ccx-p .target.removed{fill:var(--del)}
.ccx-p .tag.changed,.ccx-p .target.changed{fill:var(--chg)}
.ccx-p .tag.moved{fill:var(--mov)}
"""


def style_hash() -> str:
    """The source expression by which a page's Content-Security-Policy allows the picture's style."""
    return f"'sha256-{b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"


def svg(table: RoutingTable, *, before: RoutingTable | None = None, title: str = "Routing", id: str = "ccx") -> str:  # noqa: A002  # the attribute's own name
    """The picture of a table; with `before`, of what became of that one. `id` tells several on one page apart."""
    return _Drawing(scene(table, before=before), title=visible(title), id=id).text()


@dataclass(frozen=True, slots=True)
class _Placed:
    """A card where it stands."""

    card: Card
    top: float
    height: float
    when: tuple[str, ...]
    ports: tuple[float, ...]
    """The heights at which its targets stand."""


class _Drawing:
    """One scene laid out."""

    def __init__(self, drawn: Scene, *, title: str, id: str) -> None:  # noqa: A002  # likewise
        self.scene = drawn
        self.title = title
        self.id = id
        self.cards = tuple(self._placed())
        bottom = self.cards[-1].top + self.cards[-1].height if self.cards else float(_TOP)
        self.nodes = self._node_tops(bottom)
        lowest = max([bottom, *(top + 44 for top in self.nodes.values())])
        self.legend = lowest + 34
        self.height = self.legend + 22

    def text(self) -> str:
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="ccx-p" viewBox="0 0 {_WIDTH} {self.height:.0f}" '
            f'role="img" aria-labelledby={quoteattr(f"{self.id}-t {self.id}-d")}>',
            f"<title id={quoteattr(f'{self.id}-t')}>{escape(self.title)}</title>",
            f"<desc id={quoteattr(f'{self.id}-d')}>{escape(_described(self.scene))}</desc>",
            f"<style>{STYLE}</style>",
            f'<rect class="bg" width="{_WIDTH}" height="{self.height:.0f}"/>',
            _text(_MARGIN, 36, "Routes, in the order they are tried", "m"),
            _text(_NODE_X, 36, "Channels", "m"),
            *self._edges(),
            *(line for placed in self.cards for line in self._card(placed)),
            *(line for node in self.scene.nodes for line in self._node(node)),
            *self._legend(),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _placed(self) -> Iterator[_Placed]:
        top = float(_TOP)
        room = _CARD - _TARGETS - 2 * _PAD - 8
        for card in self.scene.cards:
            when = lines(card.when, room, size=_SIZE, most=_WHEN_LINES)
            if len(card.names) > 1:
                when += lines(", ".join(card.names), room, size=_SIZE, most=_WHEN_LINES)
            heights = [_PORT + (13 if port.model else 0) for port in card.ports]
            inside = max(_LINE * (1 + len(when)), sum(heights) or _PORT)
            at = top + _PAD + (inside - sum(heights)) / 2
            ports: list[float] = []
            for height in heights:
                ports.append(at + _PORT / 2)
                at += height
            yield _Placed(card, top, inside + 2 * _PAD, tuple(when), tuple(ports))
            top += inside + 2 * _PAD + _GAP

    def _node_tops(self, bottom: float) -> dict[str, float]:
        """Each channel near the routes that lead to it, those asked first counting most; none over another."""
        wanted: dict[str, list[tuple[float, float]]] = {node.name: [] for node in self.scene.nodes}
        for placed in self.cards:
            for port, y in zip(placed.card.ports, placed.ports, strict=True):
                wanted.setdefault(port.channel, []).append((y, 1.0 / port.step))
        means = {
            name: sum(y * weight for y, weight in ys) / sum(weight for _, weight in ys) if ys else bottom
            for name, ys in wanted.items()
        }
        order = sorted(means, key=lambda name: (means[name], name))
        if len(self.cards) > _TALL:
            # Of many routes the means crowd in the middle: half of the way to being evenly spread.
            share = (bottom - _TOP) / len(order)
            means = {name: (means[name] + _TOP + share * (place + 0.5)) / 2 for place, name in enumerate(order)}
        step = 44 + 14
        tops: dict[str, float] = {}
        floor = float(_TOP)
        for name in order:
            tops[name] = max(means[name] - 22, floor)
            floor = tops[name] + step
        ceiling = max(bottom, _TOP + step * len(order) - 14) - 44
        for name in reversed(order):
            tops[name] = min(tops[name], ceiling)
            ceiling = tops[name] - step
        return tops

    def _edges(self) -> Iterator[str]:
        ends: dict[str, list[tuple[float, Port]]] = {}
        for placed in self.cards:
            for port, y in zip(placed.card.ports, placed.ports, strict=True):
                ends.setdefault(port.channel, []).append((y, port))
        drawn: list[tuple[bool, str]] = []
        for name, arriving in ends.items():
            top = self.nodes[name]
            # Lines arrive spread over the channel's edge, in the order they come from, so that they do not cross there.
            gap = min(6.0, 28 / max(len(arriving) - 1, 1))
            first = top + 22 - gap * (len(arriving) - 1) / 2
            for number, (y, port) in enumerate(sorted(arriving, key=lambda one: one[0])):
                drawn.append((port.fate != "same", self._edge(y, first + gap * number, port)))
        # What has changed lies on top.
        for _, line in sorted(drawn, key=lambda one: one[0]):
            yield line

    def _edge(self, start: float, end: float, port: Port) -> str:
        left, right = _MARGIN + _CARD, _NODE_X
        bend = (right - left) * 0.5
        classes = " ".join(
            ["edge", *(["later"] if port.step > 1 else []), *([port.fate] if port.fate != "same" else [])]
        )
        path = f"M{left} {start:.1f}C{left + bend:.0f} {start:.1f} {right - bend:.0f} {end:.1f} {right} {end:.1f}"
        return f'<path class="{classes}" d="{path}"/>'

    def _card(self, placed: _Placed) -> Iterator[str]:
        card, top = placed.card, placed.top
        gone = " gone" if card.fate == "removed" else ""
        yield "<g>"
        yield _box(_MARGIN, top, _CARD, placed.height, card.fate)
        left = _MARGIN + _PAD
        tag = _TAGS[card.fate] + (f", {card.note}" if card.note and card.fate != "same" else card.note)
        tag = tag.removeprefix("changed, ") if card.note.endswith("changed") else tag
        room = _CARD - _TARGETS - 2 * _PAD - 8
        size = min(width(tag, _SMALL) * 1.1, room / 2) if tag else 0
        yield _text(left, top + _PAD + 12, cut(card.title, (room - size - 8) / 1.08, size=_NAME_SIZE), f"name{gone}")
        if tag:
            x = left + room
            yield _text(x, top + _PAD + 12, cut(tag, room / 2.1, size=_SMALL), f"tag e {card.fate}")
        for number, line in enumerate(placed.when, 1):
            yield _text(left, top + _PAD + 12 + _LINE * number, line, f"m{gone}")
        x = _MARGIN + _CARD - _TARGETS
        yield f'<line class="rule" x1="{x}" y1="{top:.1f}" x2="{x}" y2="{top + placed.height:.1f}"/>'
        if card.denied or not card.ports:
            yield _text(x + _PAD, top + placed.height / 2 + 4, card.denied or "no targets", "target m")
        for port, y in zip(card.ports, placed.ports, strict=True):
            yield from _port(port, x + _PAD, y)
        yield "</g>"

    def _node(self, node: Node) -> Iterator[str]:
        top = self.nodes[node.name]
        gone = " gone" if node.fate == "removed" else ""
        yield "<g>"
        yield _box(_NODE_X, top, _NODE, 44, node.fate)
        tag = _TAGS[node.fate]
        room = _NODE - 2 * _PAD - (width(tag, _SMALL) * 1.1 + 8 if tag else 0)
        yield _text(_NODE_X + _PAD, top + 19, cut(node.name, room / 1.08, size=_NAME_SIZE), f"name{gone}")
        yield _text(_NODE_X + _PAD, top + 35, cut(node.about, _NODE - 2 * _PAD, size=_SMALL), "m s")
        if tag:
            yield _text(_NODE_X + _NODE - _PAD, top + 19, tag, f"tag e {node.fate}")
        yield "</g>"

    def _legend(self) -> Iterator[str]:
        y, x = self.legend, float(_MARGIN)
        items: list[tuple[str, str]] = [("edge", "asked first")]
        if any(port.step > 1 for card in self.scene.cards for port in card.ports):
            items.append(("edge later", "asked after it, in order"))
        if self.scene.compared:
            fates = {card.fate for card in self.scene.cards} | {node.fate for node in self.scene.nodes}
            fates |= {port.fate for card in self.scene.cards for port in card.ports}
            items += [(f"edge {fate}", tag) for fate, tag in _TAGS.items() if fate in fates and tag and fate != "moved"]
        for classes, words in items:
            yield f'<path class="{classes}" d="M{x:.0f} {y - 4:.0f}h28"/>'
            yield _text(x + 36, y, words, "m")
            x += 36 + width(words, _SIZE) + 24


def _port(port: Port, x: float, y: float) -> Iterator[str]:
    fate = f" {port.fate}" if port.fate != "same" else ""
    gone = " gone" if port.fate == "removed" else ""
    yield f'<circle class="ring{fate}" cx="{x + 8:.1f}" cy="{y:.1f}" r="8.5"/>'
    yield _text(x + 8, y + 4, str(port.step), "m s c")
    share = f" {port.share}" if port.share else ""
    room = _TARGETS - 2 * _PAD - 26 - width(share, _SIZE)
    yield _text(x + 24, y + 4, cut(port.channel, room, size=_SIZE) + share, f"target{fate}{gone}")
    if port.model:
        yield _text(x + 24, y + 18, cut(port.model, _TARGETS - 2 * _PAD - 26, size=_SMALL), f"m s{gone}")


def _described(drawn: Scene) -> str:
    """The picture in words, for whoever cannot see it."""
    said = [_sentence(card) for card in drawn.cards[:_DESCRIBED]]
    if len(drawn.cards) > _DESCRIBED:
        said.append(f"And {len(drawn.cards) - _DESCRIBED} more.")
    return " ".join([f"{len(drawn.cards)} routes in order, {len(drawn.nodes)} channels.", *said])


def _sentence(card: Card) -> str:
    fate = f" ({_TAGS[card.fate]})" if card.fate != "same" else ""
    kept = [port for port in card.ports if port.fate != "removed" or card.fate == "removed"]
    targets = ", then ".join(port.channel + (f" {port.share}" if port.share else "") for port in kept)
    return f"{card.title}{fate}: {card.when}: {card.denied or targets or 'no targets'}."


def _box(x: float, y: float, across: float, down: float, fate: Fate) -> str:
    classes = f"box {fate}" if fate != "same" else "box"
    return f'<rect class="{classes}" x="{x}" y="{y:.1f}" width="{across}" height="{down:.1f}" rx="7"/>'


def _text(x: float, y: float, text: str, classes: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}">{escape(text)}</text>'
