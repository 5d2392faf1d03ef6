"""One soak: three processes, an operator that never rests, and a verdict."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.processes import free_port
from tests.soak import tables
from tests.soak.verdict import Sample, growth, leftovers, markdown, summed

ADMIN: Final = "soak-admin-key"
WITHIN: Final = 20.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how much. Seconds; `rate` is requests a second, `share` that of faults. `quiet` is after the load,
    for what is under way to end."""

    seconds: float
    rate: float = 120.0
    clients: int = 32
    share: float = 0.05
    swap: float = 2.0
    rotate: float = 20.0
    seed: int = 1
    quiet: float = 6.0
    redis: str | None = None


class Operator:
    """What people do to a gateway that is serving: edit its file, well or not, drain, rotate keys."""

    def __init__(self, plan: Plan, folder: Path, *, ports: tuple[int, int]) -> None:
        self._plan = plan
        self._folder = folder
        self._ports = ports
        self._turned = 0
        self._keys: tuple[str, ...] = (_turning(0),)
        self._rotated = 0
        self._accepted = [_rotating(0)]
        self._due = {
            "swap": plan.swap,
            "rotate": plan.rotate,
            "retire": plan.rotate * 1.75,
            "turn": plan.swap * 4.5,
            "refuse": 5.0,
            "drain": 7.0,
        }
        self._turning = 0
        self._drained: tuple[str, float] | None = None
        self.drains: list[tuple[str, float, float]] = []
        self.number = 0
        self.counts: Counter[str] = Counter()
        self.gateway = ""
        (folder / "rotating.key").write_text(_rotating(0))
        self.write()

    @property
    def turning(self) -> str:
        """The newest of the keys that turn."""
        return self._keys[-1]

    def write(self, text: str | None = None) -> None:
        """Replace the spec as an editor does."""
        upstream, closed = self._ports
        if text is None:
            keys = tables.Keys(self._keys)
            text = tables.spec(self.number, keys, upstream=upstream, closed=closed, redis=self._plan.redis)
        new = self._folder / "ccx.new"
        new.write_text(text)
        new.replace(self._folder / "ccx.yaml")

    def act(self, now: float, upstream: subprocess.Popen[bytes], load: subprocess.Popen[bytes]) -> None:
        """Do what is due, `now` seconds after the start."""
        for what in [what for what, due in self._due.items() if due <= now]:
            match what:
                case "swap":
                    self._due[what] = now + self._plan.swap
                    self.number += 1
                    broken = self.number % 7 == 6
                    self.write(tables.BROKEN[self.number % len(tables.BROKEN)] if broken else None)
                    self.counts["broken files" if broken else "edits"] += 1
                case "rotate":
                    # What the provider will accept first, then the file.
                    self._due[what] = now + self._plan.rotate
                    self._rotated += 1
                    self._accepted = [*self._accepted[-1:], _rotating(self._rotated)]
                    _tell(upstream, {"accepted": self._accepted})
                    new = self._folder / "rotating.new"
                    new.write_text(self._accepted[-1])
                    new.replace(self._folder / "rotating.key")
                    self.counts["provider keys rotated"] += 1
                case "retire":
                    self._due[what] = now + self._plan.rotate
                    _tell(upstream, {"accepted": self._accepted[-1:]})
                case "turn":
                    self._turn(now, load)
                case "refuse":
                    key = ("SOAK_M1", "SOAK_C1", None)[self.counts["keys refused"] % 3]
                    self.counts["keys refused"] += 1
                    self._due[what] = now + 4.0
                    _tell(upstream, {"refused": key and _secret(key)})
                case _:
                    self._drain(now)

    def _turn(self, now: float, load: subprocess.Popen[bytes]) -> None:
        """A client's key, in three steps: both are good, the client changes over, the old one is none any more."""
        self._due["turn"] = now + self._plan.swap * 3
        self._turning = (self._turning + 1) % 3
        match self._turning:
            case 1:
                self._turned += 1
                self._keys = (*self._keys, _turning(self._turned))
            case 2:
                _tell(load, {"turning": self._keys[-1]})
                self.counts["client keys rotated"] += 1
            case _:
                self._keys = self._keys[-1:]

    def _drain(self, now: float) -> None:
        if self._drained is None:
            stable = ("m1", "c1", "g1", "r1")
            name = stable[self.counts["drains"] % 4]
            self._drained = name, time.time()
            self._due["drain"] = now + 2.5
            self._order(name, "drain", {"for": "4s", "reason": "soak"})
            self.counts["drains"] += 1
        else:
            (name, since), self._drained = self._drained, None
            self._due["drain"] = now + 6.0
            self._order(name, "resume", {})
            self.drains.append((name, since, time.time()))

    def _order(self, name: str, word: str, body: dict[str, str]) -> None:
        url = f"http://{self.gateway}/admin/channels/{name}/{word}"
        headers = {"authorization": f"Bearer {ADMIN}", "content-type": "application/json"}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()


def soak(plan: Plan, folder: Path) -> dict[str, Any]:
    """Run one. Everything is written into `folder`; returns the result."""
    ports = (free_port(), free_port())
    operator = Operator(plan, folder, ports=ports)
    samples: list[Sample] = []
    census: dict[str, int] | None = None
    with ExitStack() as stack, socket.socket() as unheard:
        unheard.bind(("127.0.0.1", ports[1]))  # bound and not listened on: refuses, and nobody else takes it
        job = {"folder": str(folder), "port": ports[0], "share": plan.share, "seed": plan.seed}
        upstream = _started(stack, "upstream", ["tests.soak.upstream", json.dumps(job)], folder=folder)
        _tell(upstream, {"accepted": [_rotating(0)]})
        _until(lambda: _listens(ports[0]), "the upstream does not listen")
        kept = folder / "kept.json"
        arguments = ["tests.soak.gateway", str(kept), "serve", str(folder / "ccx.yaml"), "--listen", "127.0.0.1:0"]
        arguments += ["--state-dir", str(folder / "state")]
        gateway = _started(stack, "gateway", arguments, folder=folder)
        operator.gateway = _until(lambda: _address(folder), "the gateway does not start")
        samples.append(_sample(gateway.pid, 0.0))
        job = {
            "folder": str(folder),
            "port": int(operator.gateway.rpartition(":")[2]),
            "seconds": plan.seconds,
            "rate": plan.rate,
            "clients": plan.clients,
            "seed": plan.seed,
            "turning": operator.turning,
        }
        load = _started(stack, "load", ["tests.soak.load", json.dumps(job)], folder=folder)
        began = time.monotonic()
        while load.poll() is None:
            now = time.monotonic() - began
            if now < plan.seconds:
                operator.act(now, upstream, load)
            if now - samples[-1].at >= 1.0 or len(samples) == 1:
                samples.append(_sample(gateway.pid, now))
            if census is None and now > plan.seconds * 0.4 and os.environ.get("SOAK_CENSUS"):
                gateway.send_signal(signal.SIGUSR2)
                _until(kept.exists, "the gateway does not tell what it keeps")
                census = json.loads(kept.read_text())["census"]
                kept.unlink()
            if gateway.poll() is not None or now > plan.seconds + 2 * WITHIN + 30:
                raise RuntimeError(f"the gateway or the load is lost; see {folder}")
            time.sleep(0.05)
        if load.returncode:
            raise RuntimeError(f"the load failed; see {folder / 'load.log'}")
        time.sleep(plan.quiet)
        samples.append(_sample(gateway.pid, time.monotonic() - began))
        gateway.send_signal(signal.SIGUSR2)
        _until(kept.exists, "the gateway does not tell what it keeps")
        stopping = time.monotonic()
        _stop(gateway)
        stopped = time.monotonic() - stopping
        _stop(upstream)
    found = json.loads(kept.read_text())
    events = Counter(one.get("event") for one in _events(folder))
    warnings = [one for one in _events(folder) if one.get("event") == "warning"]
    number = _last_valid(operator.number)
    named = {*tables.channels(number), *tables.clients(number), *tables.routes(number), "dead", "tls", "dns"}
    result = {
        "plan": {name: getattr(plan, name) for name in plan.__slots__},
        **summed(folder, operator.drains),
        "operator": {**operator.counts, "applied": events["reload_applied"], "rejected": events["reload_rejected"]},
        "growth": growth(samples, seconds=plan.seconds),
        "samples": [(round(one.at), one.rss, one.files) for one in samples[:: max(1, len(samples) // 120)]],
        "sizes": found["sizes"],
        "open": {what: found["sizes"][what] for what in ("in_flight", "flights", "held", "draining engines")},
        "leftovers": leftovers(found, named),
        "warnings": warnings[:10],
        "stop_s": round(stopped, 2),
        "exit": gateway.returncode,
    }
    if census is not None:
        more = {what: count - census.get(what, 0) for what, count in found["census"].items()}
        result["grown"] = dict(sorted(more.items(), key=lambda one: -one[1])[:25])
    result["faulty"] = faults_of(result)
    flat = "memory and descriptors flat" if result["growth"]["flat"] else "NOT FLAT"
    result["verdict"] = f"{flat}; " + ("; ".join(result["faulty"]) or "nothing unexpected")
    (folder / "result.json").write_text(json.dumps(result, indent=1))
    (folder / "result.md").write_text(markdown(result))
    return result


def faults_of(result: dict[str, Any]) -> list[str]:
    """What was wrong, growth apart."""
    counted = {
        "unexpected errors": result["unexpected"],
        "wrong answers": result["wrong"],
        "calls with a retired key": result["retired_keys_used"],
        "names kept that no table has": len(result["leftovers"]),
        "things left open": sum(result["open"].values()),
        "warnings of the gateway": len(result["warnings"]),
        "exit code": result["exit"],
    }
    return [f"{what}: {count:g}" for what, count in counted.items() if count]


def _last_valid(number: int) -> int:
    return number - 1 if number % 7 == 6 else number


def _turning(number: int) -> str:
    return "ccx_" + f"t{number}".ljust(40, "x")


def _rotating(number: int) -> str:
    return f"rotating-{number}-secret"


def _secret(name: str) -> str:
    return f"{name.lower()}-secret"


def _started(stack: ExitStack, name: str, arguments: list[str], *, folder: Path) -> subprocess.Popen[bytes]:
    names = ("SOAK_M1", "SOAK_M2", "SOAK_C1", "SOAK_C1B", "SOAK_C2", "SOAK_R1", "SOAK_G1")
    log = stack.enter_context((folder / f"{name}.log").open("wb"))
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        env={**os.environ, "SOAK_ADMIN": ADMIN, **{one: _secret(one) for one in names}},
    )
    stack.callback(_stop, process)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tell(process: subprocess.Popen[bytes], said: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(said).encode() + b"\n")
    process.stdin.flush()


def _until(found: Any, otherwise: str) -> Any:
    ends = time.monotonic() + WITHIN
    while not (it := found()):
        if time.monotonic() > ends:
            raise RuntimeError(otherwise)
        time.sleep(0.02)
    return it


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _events(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "gateway.log").read_text(errors="replace")
    return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]


def _address(folder: Path) -> str | None:
    return next((one["listen"] for one in _events(folder) if one.get("event") == "started"), None)


def _sample(pid: int, at: float) -> Sample:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Sample(at, pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd")))
