"""What is measured: the upstream itself, nginx, ccx with several specs, and on request LiteLLM and Portkey.

A contender that cannot be started is left out with the reason, never silently.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import which

from tests.bench import specs
from tests.bench.machine import Cores, cpu_seconds
from tests.bench.processes import Child, Fleet, StartError, free_port, wait_open

ROOT = Path(__file__).resolve().parents[2]
GUARDED = tuple(f"ccx-{kind}" for kind in specs.GUARDS)
OURS = ("ccx-plain", "ccx-full", "ccx-tokens", "ccx-convert", "ccx-cache", *GUARDED)
REFERENCES = ("direct", "nginx")
EXTRA = ("litellm", "portkey")


@dataclass(frozen=True, slots=True)
class Contender:
    """A gateway that listens. `child` is None for the upstream itself."""

    name: str
    port: int
    child: Child | None
    headers: dict[str, str]
    folder: Path

    def cpu(self) -> float:
        """CPU seconds used so far; 0 for the upstream, which is not measured."""
        return cpu_seconds(self.child.pid) if self.child is not None else 0.0


@dataclass(frozen=True, slots=True)
class Extras:
    """Folders of installations that are not made here: a virtual environment, an npm project."""

    litellm: Path | None
    portkey: Path | None


class Yard:
    """Starts contenders, all on one upstream."""

    def __init__(self, fleet: Fleet, cores: Cores, extras: Extras) -> None:
        self.fleet = fleet
        self.cores = cores
        self._extras = extras
        self._redis_port: int | None = None
        self.upstream = free_port()
        self.mock = fleet.start(
            "mock",
            [sys.executable, "-m", "tests.bench.mock", "--port", str(self.upstream)],
            core=cores.load,
            folder=ROOT,
        )
        wait_open(self.upstream, self.mock)

    def start(self, name: str) -> Contender:
        """Start one by its name. Raises StartError."""
        folder = self.fleet.folder / name
        folder.mkdir(exist_ok=True)
        if name == "direct":
            return Contender(name, self.upstream, None, specs.headers(), folder)
        starters: dict[str, Callable[[Path, int], Contender]] = {
            "nginx": self._nginx,
            "litellm": self._litellm,
            "portkey": self._portkey,
        }
        port = free_port()
        starter = starters.get(name)
        if starter is not None:
            return starter(folder, port)
        if name not in OURS:
            raise StartError(f"no such contender: {name!r}")
        redis = self._redis() if name == "ccx-redis" else None
        kind: specs.Kind = name.removeprefix("ccx-")  # type: ignore[assignment]  # just checked
        return self.ccx(name, specs.ccx(kind, self.upstream, redis=redis), folder=folder, port=port)

    def _redis(self) -> int:
        """Start a Redis, once, beside the upstream. Raises StartError."""
        if self._redis_port is None:
            program = which("redis-server") or which("valkey-server")
            if program is None:
                raise StartError("neither redis-server nor valkey-server is installed (Debian: redis-server)")
            port = free_port()
            command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
            wait_open(port, self.fleet.start("redis", command, core=self.cores.load, folder=self.fleet.folder))
            self._redis_port = port
        return self._redis_port

    def ccx(self, name: str, spec: str, *, folder: Path | None = None, port: int | None = None) -> Contender:
        """Start ccx on the text of a spec. Raises StartError."""
        folder = folder or self.fleet.folder / name
        folder.mkdir(exist_ok=True)
        port = port or free_port()
        (folder / "ccx.yaml").write_text(spec)
        child = self.fleet.start(
            name,
            [sys.executable, "-m", "ccx", "serve", str(folder / "ccx.yaml"), "--listen", f"127.0.0.1:{port}"],
            core=self.cores.gateway,
            environ={"CCX_BENCH_KEY": specs.UPSTREAM_KEY, "CCX_STATE_DIR": str(folder / "state")},
            folder=ROOT,
        )
        return self._up(name, port, child, folder)

    def _nginx(self, folder: Path, port: int) -> Contender:
        path = nginx_path()
        if path is None:
            raise StartError("nginx is not installed (Debian: nginx-light)")
        (folder / "nginx.conf").write_text(specs.nginx(port, self.upstream, folder))
        command = [path, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx-error.log")]
        child = self.fleet.start("nginx", command, core=self.cores.gateway)
        return self._up("nginx", port, child, folder)

    def _litellm(self, folder: Path, port: int) -> Contender:
        if self._extras.litellm is None:
            raise StartError("give --litellm VENV, a virtual environment that holds litellm[proxy]")
        (folder / "config.yaml").write_text(specs.litellm(self.upstream))
        command = [str(self._extras.litellm / "bin" / "litellm"), "--config", str(folder / "config.yaml")]
        command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1", "--telemetry", "False"]
        environ = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True"}
        child = self.fleet.start("litellm", command, core=self.cores.gateway, environ=environ)
        found = self._up("litellm", port, child, folder, timeout=60)
        return replace(found, headers=specs.headers(key=specs.LITELLM_KEY))

    def _portkey(self, folder: Path, port: int) -> Contender:
        if self._extras.portkey is None:
            raise StartError("give --portkey FOLDER, an npm project that holds @portkey-ai/gateway")
        script = self._extras.portkey / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
        command = [which("node") or "node", str(script), f"--port={port}", "--headless"]
        child = self.fleet.start("portkey", command, core=self.cores.gateway, folder=self._extras.portkey)
        found = self._up("portkey", port, child, folder)
        return replace(found, headers=specs.headers(self.upstream))

    def _up(self, name: str, port: int, child: Child, folder: Path, *, timeout: float = 20) -> Contender:
        try:
            wait_open(port, child, timeout=timeout)
        except StartError:
            self.fleet.stop(child)
            raise
        return Contender(name, port, child, specs.headers(), folder)

    def stop(self, contender: Contender) -> None:
        """Stop one."""
        if contender.child is not None:
            self.fleet.stop(contender.child)


def nginx_path() -> str | None:
    """Where nginx is; Debian puts it where only root's PATH leads."""
    return which("nginx") or next(
        (path for path in ("/usr/sbin/nginx", "/usr/local/sbin/nginx") if Path(path).exists()), None
    )


def missing() -> list[str]:
    """Programs that the benchmarks need and that are not here, each with how to get it."""
    found = []
    if which("wrk") is None:
        found.append("wrk is not installed (Debian: apt install wrk): the closed-loop cells are left out")
    if nginx_path() is None:
        found.append("nginx is not installed (Debian: apt install nginx-light): the floor is left out")
    return found
