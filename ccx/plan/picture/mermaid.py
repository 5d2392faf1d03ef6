"""The routing as a mermaid flowchart, for places that draw it from text: comments, wikis, READMEs.

Law: names are text inside quoted labels and nothing else; every sign that mermaid, markdown or HTML could act on is
written by its number (https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters). Mermaid refuses
texts above 50,000 characters and charts above 500 edges, so both are bounded here; routes left out are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ccx.plan.picture.scene import Card, Fate, Node, Port, Scene, scene
from ccx.plan.render.cells import elided
from ccx.routing.table import RoutingTable

LIMIT: Final = 45_000
EDGES: Final = 480
_NAME: Final = 60
_WHEN: Final = 120
_COLOURS: Final[Mapping[Fate, str]] = {
    "added": "#1a7f37",
    "removed": "#cf222e",
    "changed": "#9a6700",
    "moved": "#8250df",
}
_TAGS: Final[Mapping[Fate, str]] = {"added": "new", "removed": "removed", "changed": "changed", "moved": "moved"}


def mermaid(table: RoutingTable, *, before: RoutingTable | None = None, limit: int = LIMIT) -> str:
    """The flowchart of a table; with `before`, of what became of that one. At most `limit` characters for any table
    whose channels fit it, in 480 edges."""
    drawn = scene(table, before=before)
    kept = len(drawn.cards)
    while True:
        text, edges = _chart(drawn, kept)
        if kept == 0 or (len(text) <= limit and edges <= EDGES):
            return text
        kept = min(kept - 1, kept * 4 // 5)


def _chart(drawn: Scene, kept: int) -> tuple[str, int]:
    """The chart of the first cards, and how many edges it has."""
    lines = ["flowchart LR"]
    cards = drawn.cards[:kept]
    left = sum(len(card.names) for card in drawn.cards[kept:])
    used = {port.channel for card in cards for port in card.ports}
    # Where routes are left out, so are the channels that only they lead to.
    nodes = {node.name: f"c{number}" for number, node in enumerate(drawn.nodes) if not left or node.name in used}
    lines.append("  subgraph routes[Routes in order]")
    lines.append("    direction TB")
    # Mermaid places the boxes as it likes; the numbers keep the order.
    position = 1
    for number, card in enumerate(cards):
        gone = card.fate == "removed"
        lines.append(f"    {_card(f'r{number}', card, position=None if gone else position)}")
        position += 0 if gone else len(card.names)
    if left:
        lines.append(f'    more["and {left} more {"route" if left == 1 else "routes"}"]')
    lines.append("  end")
    lines += [f"  {_node(nodes[node.name], node)}" for node in drawn.nodes if node.name in nodes]
    styles: dict[Fate, list[int]] = {}
    edges = 0
    for number, card in enumerate(cards):
        for port in card.ports:
            lines.append(f"  {_edge(f'r{number}', nodes[port.channel], port)}")
            styles.setdefault(port.fate, []).append(edges)
            edges += 1
    for fate, colour in _COLOURS.items():
        if numbers := styles.get(fate):
            lines.append(f"  linkStyle {','.join(map(str, numbers))} stroke:{colour},stroke-width:2px")
        if fate in {card.fate for card in cards} | {node.fate for node in drawn.nodes}:
            lines.append(f"  classDef {fate} stroke:{colour},stroke-width:2px")
    return "\n".join(lines) + "\n", edges


def _card(name: str, card: Card, *, position: int | None) -> str:
    parts = [_label(elided(card.title, _NAME)), _label(elided(card.when, _WHEN))]
    if position is not None:
        # A full stop after a number would make a list of it in markdown labels.
        parts[0] = f"{position}#58; {parts[0]}"
    if card.denied:
        parts.append(_label(card.denied))
    if card.fate != "same":
        parts.append(f"({_TAGS[card.fate]})")
    return f'{name}["{"<br/>".join(parts)}"]{_class(card.fate)}'


def _node(name: str, node: Node) -> str:
    parts = [_label(elided(node.name, _NAME)), _label(elided(node.about, _NAME))]
    if node.fate != "same":
        parts.append(f"({_TAGS[node.fate]})")
    return f'{name}(["{"<br/>".join(parts)}"]){_class(node.fate)}'


def _class(fate: Fate) -> str:
    return f":::{fate}" if fate != "same" else ""


def _edge(card: str, node: str, port: Port) -> str:
    words = [
        str(port.step),
        *([port.share] if port.share else []),
        *([elided(port.model, _NAME)] if port.model else []),
    ]
    arrow = "-->" if port.step == 1 else "-.->"
    return f'{card} {arrow}|"{_label(" ".join(words))}"| {node}'


def _label(text: str) -> str:
    """Printable text for a quoted label."""
    return "".join(sign if sign.isalnum() or sign in " ,.-/" else f"#{ord(sign)};" for sign in text)
