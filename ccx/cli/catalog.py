"""`ccx models` and `ccx providers`: the built-in catalogue, as a table for people or as JSON for programs.

Law: it shows what the catalogue says and decides nothing. A table that is too wide for the terminal leaves out whole
columns and says which, and never shortens a value that one may want to copy. JSON has every field, amounts as strings.
"""

from __future__ import annotations

import difflib
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Annotated

import typer

from ccx.catalog import models as model_catalogue
from ccx.catalog import providers as provider_catalogue
from ccx.catalog.models import Model, Price
from ccx.catalog.providers import Provider, Surface
from ccx.errors import Exit

app = typer.Typer()

_GAP = "  "
_JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table, with every field.")]


@app.command()
def models(
    pattern: Annotated[
        str | None,
        typer.Argument(help="Only models whose id or alias contains this, or matches it as a glob such as 'claude-*'."),
    ] = None,
    provider: Annotated[str | None, typer.Option(help="Only models that this provider serves.")] = None,
    as_json: _JsonFlag = False,
) -> None:
    """List the models that ccx knows: limits in tokens, list prices in USD per million tokens."""
    scope = None if provider is None else _preset(provider).models
    if scope == model_catalogue.ANY:
        scope = None
    rows = [
        row
        for row in model_catalogue.models()
        if scope in (None, row.provider) and (pattern is None or _matches(row, pattern))
    ]
    if as_json:
        typer.echo(_json([_model_fields(row) for row in rows]))
    elif rows:
        typer.echo(_table(_MODEL_COLUMNS, _model_lines(rows)))
    if not rows:
        typer.echo("no model of the catalogue matches", err=True)
        raise typer.Exit(Exit.FINDINGS)


@app.command()
def providers(as_json: _JsonFlag = False) -> None:
    """List the provider presets: the protocols each speaks, where, and how a key is sent."""
    rows = provider_catalogue.providers()
    fields = [_provider_fields(row) for row in rows]
    typer.echo(_json(fields) if as_json else _table(_PROVIDER_COLUMNS, _provider_lines(rows)))


def _preset(name: str) -> Provider:
    preset = provider_catalogue.provider(name)
    if preset is not None:
        return preset
    known = [row.name for row in provider_catalogue.providers()]
    aliases = [alias for row in provider_catalogue.providers() for alias in row.aliases]
    close = difflib.get_close_matches(name, known + aliases, n=1)
    guess = f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(known)}"
    raise typer.BadParameter(f"there is no provider {name!r}; {guess}", param_hint="--provider")


def _matches(row: Model, pattern: str) -> bool:
    glob = pattern.lower()
    if not any(character in glob for character in "*?["):
        glob = f"*{glob}*"
    return any(fnmatchcase(name.lower(), glob) for name in (row.id, *row.aliases))


@dataclass(frozen=True, slots=True)
class _Column:
    """`keep` orders what is left out when the terminal is narrow: the lowest goes first."""

    title: str
    keep: int
    right: bool = False


_MODEL_COLUMNS = (
    _Column("MODEL", keep=9),
    _Column("PROVIDER", keep=6),
    _Column("KIND", keep=1),
    _Column("CONTEXT tok", keep=7, right=True),
    _Column("MAX OUT tok", keep=5, right=True),
    _Column("IN $/M", keep=8, right=True),
    _Column("OUT $/M", keep=8, right=True),
    _Column("CACHE READ $/M", keep=4, right=True),
    _Column("CACHE WRITE $/M", keep=3, right=True),
    _Column("RETIRES", keep=2),
)

_PROVIDER_COLUMNS = (
    _Column("PROVIDER", keep=9),
    _Column("PROTOCOLS", keep=8),
    _Column("BASE URL", keep=7),
    _Column("AUTH", keep=3),
    _Column("KEY VARIABLE", keep=4),
    _Column("ALIASES", keep=2),
    _Column("TITLE", keep=1),
)


def _model_lines(rows: Sequence[Model]) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []
    for row in rows:
        limits = (_count(row.context_window), _count(row.max_output_tokens))
        retires = row.retires.isoformat() if row.retires else ""
        lines.append((row.id, row.provider, row.kind, *limits, *_amounts(row.price), retires))
        lines.extend(
            (f"{_GAP}prompt > {tier.above:,}", "", "", "", "", *_amounts(tier.price), "") for tier in row.tiers
        )
    return lines


def _provider_lines(rows: Sequence[Provider]) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []
    for row in rows:
        places: dict[tuple[str, str], list[str]] = {}
        for surface in row.surfaces.values():
            places.setdefault((surface.base_url, surface.auth), []).append(surface.protocol)
        name, about = row.name, (row.key_env or "", " ".join(row.aliases), row.title)
        for (address, auth), protocols in places.items():
            where = address or f"(yours, such as {row.base_url_example})"
            lines.append((name, ",".join(protocols), where, auth, *about))
            name, about = "", ("", "", "")  # what follows is the same provider at another address
    return lines


def _count(tokens: int | None) -> str:
    return "-" if tokens is None else f"{tokens:,}"


def _amounts(price: Price) -> tuple[str, ...]:
    return tuple(map(_amount, (price.input, price.output, price.cache_read, price.cache_write)))


def _amount(usd: Decimal | None) -> str:
    """An exact amount with at least two decimals."""
    if usd is None:
        return "-"
    whole, _, cents = format(usd.normalize(), "f").partition(".")
    return f"{whole}.{cents:0<2}"


def _table(columns: Sequence[_Column], lines: Sequence[tuple[str, ...]]) -> str:
    """Aligned plain text; as wide as it must be unless it goes to a terminal."""
    widths = [max(len(column.title), *(len(line[at]) for line in lines), 0) for at, column in enumerate(columns)]
    shown = set(range(len(columns)))
    limit = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    while limit is not None and len(shown) > 1 and sum(widths[at] + len(_GAP) for at in shown) - len(_GAP) > limit:
        shown.remove(min(shown, key=lambda at: (columns[at].keep, -at)))

    def render(cells: Sequence[str]) -> str:
        padded = (
            cells[at].rjust(widths[at]) if columns[at].right else cells[at].ljust(widths[at]) for at in sorted(shown)
        )
        return _GAP.join(padded).rstrip()

    text = [typer.style(render([column.title for column in columns]), bold=True), *map(render, lines)]
    if left_out := [column.title for at, column in enumerate(columns) if at not in shown]:
        text.append(f"(too narrow for {', '.join(left_out)}; --json shows everything)")
    return "\n".join(text)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _model_fields(row: Model) -> dict[str, object]:
    return {
        "id": row.id,
        "provider": row.provider,
        "title": row.title,
        "aliases": list(row.aliases),
        "kind": row.kind,
        "context_window": row.context_window,
        "max_output_tokens": row.max_output_tokens,
        "modalities": sorted(row.modalities),
        "capabilities": sorted(row.capabilities),
        "price": _price_fields(row.price),
        "above": {str(tier.above): _price_fields(tier.price) for tier in row.tiers},
        "deprecated": row.deprecated.isoformat() if row.deprecated else None,
        "retires": row.retires.isoformat() if row.retires else None,
        "source": row.source,
        "checked": row.checked.isoformat(),
    }


def _price_fields(price: Price) -> dict[str, object]:
    amounts = {
        "input": price.input,
        "output": price.output,
        "cache_read": price.cache_read,
        "cache_write": price.cache_write,
        "cache_write_1h": price.cache_write_1h,
    }
    return {name: None if usd is None else format(usd, "f") for name, usd in amounts.items()}


def _provider_fields(row: Provider) -> dict[str, object]:
    return {
        "name": row.name,
        "title": row.title,
        "aliases": list(row.aliases),
        "surfaces": [
            _surface_fields(surface, counts=surface.protocol in row.count_tokens) for surface in row.surfaces.values()
        ],
        "dialect": row.dialect,
        "models": row.models,
        "needs_key": row.needs_key,
        "needs_base_url": row.needs_base_url,
        "base_url_example": row.base_url_example,
        "key_env": row.key_env,
        "source": row.source,
        "checked": row.checked.isoformat(),
    }


def _surface_fields(surface: Surface, *, counts: bool) -> dict[str, object]:
    return {
        "protocol": surface.protocol,
        "base_url": surface.base_url or None,
        "auth": surface.auth,
        "headers": dict(surface.headers),
        "default_headers": dict(surface.default_headers),
        "counts_tokens": counts,
        "source": surface.source,
    }
