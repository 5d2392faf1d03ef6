"""`ccx fidelity`: what each client keeps on each upstream, as computed from the codecs.

Law: it shows the matrix of `ccx.protocols.fidelity` and decides nothing. Text fits 100 columns, and falls back to ASCII
where the terminal has no other signs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Annotated, Literal

import typer

from ccx.protocols.fidelity import FEATURES, PROTOCOLS, REFERENCE, Cell, Verdict, matrix
from ccx.protocols.names import Protocol

app = typer.Typer()

Output = Literal["text", "json", "markdown"]
Side = Literal["messages", "chat", "responses", "gemini"]

SIGNS: Mapping[Verdict, tuple[str, str]] = {
    Verdict.SAME: ("=", "="),
    Verdict.KEPT: ("●", "+"),
    Verdict.APPROXIMATED: ("◐", "~"),
    Verdict.DROPPED: ("○", "x"),
    Verdict.UNSAYABLE: ("–", "-"),
}
"""For terminals that have them, and in ASCII."""
_MEANING = {
    Verdict.SAME: "same protocol: the same bytes",
    Verdict.KEPT: "kept",
    Verdict.APPROXIMATED: "said in another way",
    Verdict.DROPPED: "dropped, and named",
    Verdict.UNSAYABLE: "no words for it in the protocol that would say it",
}
_TITLE = max(len(feature.title) for feature in FEATURES)
_NOTE = 46


@app.command()
def fidelity(
    client: Annotated[Side | None, typer.Argument(help="The client's protocol; without it, all.")] = None,
    upstream: Annotated[Side | None, typer.Argument(help="The upstream's protocol; without it, all.")] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="How to print it.")] = "text",
) -> None:
    """Show what each client keeps on each upstream: computed by running samples through the codecs."""
    clients = PROTOCOLS if client is None else (Protocol(client),)
    upstreams = PROTOCOLS if upstream is None else (Protocol(upstream),)
    cells = matrix(clients, upstreams)
    match output:
        case "json":
            typer.echo(json.dumps(list(_records(cells)), ensure_ascii=False, indent=2))
        case "markdown":
            typer.echo("\n".join(_markdown(cells, clients, upstreams)))
        case _:
            typer.echo("\n".join(_text(cells, clients, upstreams, ascii_only=not _has_signs())))


def markdown() -> str:
    """The whole matrix as a table, for the README."""
    return "\n".join(_markdown(matrix(), PROTOCOLS, PROTOCOLS))


_Cells = Mapping[tuple[str, Protocol, Protocol], Cell]


def _has_signs() -> bool:
    try:
        "".join(sign for sign, _ in SIGNS.values()).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _sign(verdict: Verdict, *, ascii_only: bool) -> str:
    return SIGNS[verdict][1 if ascii_only else 0]


def _text(
    cells: _Cells, clients: Sequence[Protocol], upstreams: Sequence[Protocol], *, ascii_only: bool
) -> Iterator[str]:
    """One line a feature, a group of columns for each client. With one client there is room for the losses' names."""
    single = len(clients) == 1
    ways = [f"{name} to" for name in clients]
    marks = [" ".join(name.value[0].upper() for name in upstreams)] * len(clients)
    width = [max(len(way), len(mark)) for way, mark in zip(ways, marks, strict=True)]
    for head in (ways, marks):
        yield (" " * _TITLE + "  " + "  ".join(one.ljust(w) for one, w in zip(head, width, strict=True))).rstrip()
    for group, features in groupby(FEATURES, key=lambda feature: feature.group):
        yield ""
        yield typer.style(group, bold=True)
        for feature in features:
            columns = [
                " ".join(_sign(cells[feature.id, c, u].verdict, ascii_only=ascii_only) for u in upstreams).ljust(w)
                for c, w in zip(clients, width, strict=True)
            ]
            note = ""
            if single:
                named = dict.fromkeys(
                    name
                    for u in upstreams
                    if cells[feature.id, clients[0], u].verdict in (Verdict.APPROXIMATED, Verdict.DROPPED)
                    for name in cells[feature.id, clients[0], u].names
                )
                note = ", ".join(named)
                if len(note) > _NOTE:
                    note = note[: _NOTE - 3] + "..."
            yield f"{feature.title:{_TITLE}}  {'  '.join(columns)}  {note}".rstrip()
    yield ""
    yield "upstreams: " + ", ".join(f"{name.value[0].upper()} {name}" for name in upstreams)
    yield from _legend(ascii_only=ascii_only)


def _legend(*, ascii_only: bool) -> Iterator[str]:
    signs = [f"{_sign(verdict, ascii_only=ascii_only)} {words}" for verdict, words in _MEANING.items()]
    yield "; ".join(signs[:4])
    yield signs[4]
    models = dict.fromkeys(f"{target.model} ({name})" for name, target in REFERENCE.items())
    yield "as " + ", ".join(models)


def _markdown(cells: _Cells, clients: Sequence[Protocol], upstreams: Sequence[Protocol]) -> Iterator[str]:
    """A table with a column for each client; each cell has a sign for each upstream."""
    yield "| feature | " + " | ".join(f"{name} client" for name in clients) + " |"
    yield "|---|" + "---|" * len(clients)
    for group, features in groupby(FEATURES, key=lambda feature: feature.group):
        yield f"| **{group}** |" + " |" * len(clients)
        for feature in features:
            columns = (
                " ".join(_sign(cells[feature.id, c, u].verdict, ascii_only=False) for u in upstreams) for c in clients
            )
            yield f"| {feature.title} | " + " | ".join(columns) + " |"
    yield ""
    yield f"Upstreams in each cell, in this order: {', '.join(upstreams)}."
    yield "; ".join(_legend(ascii_only=False)) + "."


def _records(cells: _Cells) -> Iterator[dict[str, object]]:
    for feature in FEATURES:
        for (id_, client, upstream), found in cells.items():
            if id_ == feature.id:
                yield {
                    "feature": feature.id,
                    "title": feature.title,
                    "group": feature.group,
                    "client": client.value,
                    "upstream": upstream.value,
                    "verdict": found.verdict.value,
                    "losses": [
                        {"what": loss.what, "approximate": loss.approximate, "path": loss.path, "detail": loss.detail}
                        for loss in found.losses
                    ],
                }
