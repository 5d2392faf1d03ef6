"""Everything that a spec and the test files beside it promise, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ccx.routing.compile import Compiled, compile_spec
from ccx.spec.diagnostics import has_errors
from ccx.spec.locations import Locations
from ccx.spec.source import DISK, Names, Read, read_file
from ccx.spec.suite import Floors, Invariant, RoutingTest
from ccx.spec.suite_file import LoadedSuite, beside, load_suite, names_of
from ccx.spec.validate import Loaded, extended, load
from ccx.testing.cases import Written
from ccx.testing.invariants import Stated
from ccx.testing.model import METRICS, Metric


@dataclass(frozen=True, slots=True)
class Promises:
    """What is promised of one spec. `compiled` is None when the spec is wrong; `suites` are the test files."""

    loaded: Loaded
    compiled: Compiled | None
    suites: tuple[LoadedSuite, ...]
    tests: tuple[Written, ...]
    invariants: tuple[Stated, ...]
    floors: dict[Metric, int]

    @property
    def valid(self) -> bool:
        """Whether the spec and every test file can be used."""
        return self.compiled is not None and all(suite.suite is not None for suite in self.suites)


def gather(spec: Path, files: Sequence[Path] | None = None, *, read: Read = read_file, names: Names = DISK) -> Promises:
    """Read a spec and its tests: its own, and those of `files`; by default of every file beside it that names it.
    `names` and `read` are where files come from."""
    loaded = load(spec, read=read, names=names)
    compiled = compile_spec(loaded.spec, locations=loaded.locations) if loaded.spec is not None else None
    if compiled is not None:
        loaded = extended(loaded, compiled.diagnostics)
        compiled = compiled if not has_errors(loaded.diagnostics) else None
    tests: list[Written] = []
    invariants: list[Stated] = []
    floors: dict[Metric, int] = {}
    if loaded.spec is not None:
        tests += _tests(loaded.spec.tests, loaded.locations)
        invariants += _invariants(loaded.spec.invariants, loaded.locations)
        _raise(floors, loaded.spec.coverage)
    suites: list[LoadedSuite] = []
    known: list[str] = []
    for path in beside(spec, read=read, names=names) if files is None else files:
        suite = load_suite(path, loaded, known=known, read=read, names=names)
        known += names_of(suite.locations.root)
        suites.append(suite)
        if suite.suite is not None:
            tests += _tests(suite.suite.tests, suite.locations)
            invariants += _invariants(suite.suite.invariants, suite.locations)
            _raise(floors, suite.suite.coverage)
    return Promises(loaded, compiled, tuple(suites), tuple(tests), tuple(invariants), floors)


def _tests(tests: Sequence[RoutingTest], locations: Locations) -> list[Written]:
    return [Written(test, locations.nearest(("tests", index))) for index, test in enumerate(tests)]


def _invariants(invariants: Sequence[Invariant], locations: Locations) -> list[Stated]:
    return [Stated(one, locations.nearest(("invariants", index))) for index, one in enumerate(invariants)]


def _raise(floors: dict[Metric, int], more: Floors) -> None:
    """Of several floors of one metric the highest counts."""
    for metric in METRICS:
        floor: int | None = getattr(more, metric)
        if floor is not None:
            floors[metric] = max(floor, floors.get(metric, 0))
