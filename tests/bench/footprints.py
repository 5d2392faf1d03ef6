"""Start, memory, reload and compile: what a gateway costs before and between requests."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from typing import Any

from tests.bench import specs
from tests.bench.cells import Bodies, client
from tests.bench.contenders import ROOT, Contender, Yard
from tests.bench.machine import footprint
from tests.bench.processes import StartError
from tests.bench.waiting import DigestWatch

_LOADING = """
import json, os, resource, sys, time
from pathlib import Path
began = time.perf_counter()
from ccx.routing.compile import compile_spec
from ccx.spec.validate import load
imported = time.perf_counter()
loaded = load(Path(sys.argv[1]), environ=os.environ)
read = time.perf_counter()
compiled = None if loaded.spec is None else compile_spec(loaded.spec, locations=loaded.locations)
done = time.perf_counter()
found = [*loaded.diagnostics, *(compiled.diagnostics if compiled else ())]
print(json.dumps({"valid": compiled is not None and compiled.servable,
    "problems": [str(each) for each in found if each.severity == "error"][:3],
    "import_ms": (imported - began) * 1000, "read_and_validate_ms": (read - imported) * 1000,
    "compile_ms": (done - read) * 1000, "total_ms": (done - imported) * 1000,
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def startup(yard: Yard, name: str, *, files: Bodies, repeats: int) -> dict[str, Any]:
    """From starting the process to its first answer to a request, in milliseconds."""
    times = []
    for _ in range(repeats):
        began = time.monotonic()
        contender = yard.start(name)
        try:
            # `start` returns within 10 ms of the port's opening; the answer is asked for by a client of its own, whose
            # own start is not the gateway's: only its request counts.
            opened = time.monotonic() - began
            said = client(yard, contender, kind="once", body=files.path("json", 1024), rounds=1, timeout=60)
            if said["failed"]:
                raise StartError(f"the first request failed: {said['first']}")
            times.append((opened * 1000) + said["ms"][0])
        finally:
            yard.stop(contender)
    return {"contender": name, "ms": round(statistics.median(times), 1), "all_ms": [round(each, 1) for each in times]}


def memory(yard: Yard, name: str, *, files: Bodies) -> dict[str, Any]:
    """Memory of one worker: idle, after requests, and after a large body has been through (and counted)."""
    contender = yard.start(name)
    assert contender.child is not None
    try:
        time.sleep(1.0)
        idle = footprint(contender.child.pid)
        _ask(yard, contender, files, size=1024, rounds=2000)
        served = footprint(contender.child.pid)
        _ask(yard, contender, files, size=200_000, rounds=200)
        time.sleep(0.5)
        large = footprint(contender.child.pid)
    finally:
        yard.stop(contender)
    return {
        "contender": name,
        "idle_rss_mib": idle.rss_mib,
        "idle_pss_mib": idle.pss_mib,
        "after_small_rss_mib": served.rss_mib,
        "after_large_rss_mib": large.rss_mib,
        "threads": large.threads,
        "descriptors": large.descriptors,
    }


def _ask(yard: Yard, contender: Contender, files: Bodies, *, size: int, rounds: int) -> None:
    said = client(yard, contender, kind="once", body=files.path("json", size), rounds=rounds, timeout=120)
    if said["failed"]:
        raise StartError(f"{said['failed']} of {rounds} requests failed on {contender.name}: {said['first']}")


def reload(yard: Yard, *, routes: int, repeats: int) -> dict[str, Any]:
    """From saving the file (a rename) to the new table's digest at `/ready`, in milliseconds."""
    texts = [specs.many_routes(routes, yard.upstream, mark=mark) for mark in "ab"]
    contender = yard.ccx(f"ccx-reload-{routes}", texts[0])
    times = []
    try:
        spec = contender.folder / "ccx.yaml"
        watch = DigestWatch(contender)
        time.sleep(0.5)
        for number in range(repeats):
            old = watch.now()
            fresh = spec.with_suffix(".new")
            fresh.write_text(texts[(number + 1) % 2])
            os.replace(fresh, spec)
            times.append(watch.until_changed(old) * 1000)
            time.sleep(0.3)
        watch.close()
    finally:
        yard.stop(contender)
    return {"routes": routes, "ms": round(statistics.median(times), 1), "all_ms": [round(each, 1) for each in times]}


def compile_routes(yard: Yard, *, routes: int, repeats: int) -> dict[str, Any]:
    """Reading, validating and compiling a spec of so many routes, in a fresh process each time, in milliseconds."""
    path = yard.fleet.folder / f"routes-{routes}.yaml"
    path.write_text(specs.many_routes(routes, yard.upstream))
    environ = {"CCX_BENCH_KEY": specs.UPSTREAM_KEY, "PYTHONPATH": str(ROOT)}
    found = []
    for _ in range(repeats):
        out = yard.fleet.run(
            [sys.executable, "-c", _LOADING, str(path)], core=yard.cores.gateway, timeout=120, environ=environ
        )
        found.append(json.loads(out))
    if not found[0]["valid"]:
        raise StartError(f"the spec does not compile: {found[0]['problems']}")
    names = ("import_ms", "read_and_validate_ms", "compile_ms", "total_ms", "peak_mib")
    return {"routes": routes, **{name: round(statistics.median(each[name] for each in found), 1) for name in names}}


def plan_routes(yard: Yard, *, routes: int) -> dict[str, Any]:
    """`ccx plan` between two specs that differ in one route, in milliseconds. Raises StartError without the command."""
    paths = []
    for mark in "ab":
        path = yard.fleet.folder / f"plan-{routes}-{mark}.yaml"
        path.write_text(specs.many_routes(routes, yard.upstream, mark=mark))
        paths.append(str(path))
    environ = {"CCX_BENCH_KEY": specs.UPSTREAM_KEY, "PYTHONPATH": str(ROOT)}
    yard.fleet.run(
        [sys.executable, "-m", "ccx", "plan", "--help"], core=yard.cores.gateway, timeout=30, environ=environ
    )
    began = time.monotonic()
    # A difference may be told by the exit code; that the command is there was asked above.
    command = [sys.executable, "-m", "ccx", "plan", *paths]
    yard.fleet.run(command, core=yard.cores.gateway, timeout=120, environ=environ, fine=(0, 1, 2))
    return {"routes": routes, "ms": round((time.monotonic() - began) * 1000, 1)}
