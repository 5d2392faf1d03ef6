"""From a path to the findings of its spec: load, compile, lint."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ccx.analysis.space import Budget
from ccx.lint.run import Linted, run
from ccx.routing.compile import Compiled, compile_spec
from ccx.spec.source import DISK, Names, Read, read_file
from ccx.spec.validate import Loaded, load


@dataclass(frozen=True, slots=True)
class Wish:
    """How to lint: what `run` takes besides the spec, and the environment in which secrets are looked for."""

    today: date
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    severities: Mapping[str, str] | None = None
    budget: Budget | None = None
    environ: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Examined:
    """A spec with all that was found."""

    loaded: Loaded
    compiled: Compiled | None
    linted: Linted


def examine(path: Path, wish: Wish, *, read: Read = read_file, names: Names = DISK) -> Examined:
    """Load, compile and lint one spec. Raises UnknownRule for a selector that means no rule."""
    loaded = load(path, environ=wish.environ, read=read, names=names)
    compiled = compile_spec(loaded.spec, locations=loaded.locations) if loaded.spec is not None else None
    return Examined(loaded, compiled, linted(loaded, compiled, wish))


def linted(loaded: Loaded, compiled: Compiled | None, wish: Wish) -> Linted:
    """Lint what is loaded and compiled already."""
    chosen: Collection[str] = wish.select
    return run(
        loaded,
        compiled,
        today=wish.today,
        select=chosen,
        ignore=wish.ignore,
        severities=wish.severities,
        budget=wish.budget,
    )
