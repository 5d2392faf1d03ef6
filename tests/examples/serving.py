"""A copy of an example whose upstreams are all the demo on this machine, and `ccx serve` running it."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples" / "configs"
ENTRIES = (*sorted(EXAMPLES.glob("*.yaml")), EXAMPLES / "split" / "ccx.yaml")
STARTS_WITHIN = 20.0  # seconds; a wall for a broken start, far above what one takes

_PROVIDER = re.compile(r"^(    provider: )(\S+)(.*\n)(    base_url: .*\n)?", re.MULTILINE)
_CLIENT = re.compile(r'^  ([\w-]+):[^\n]*\n    key:[^\n]*(?:\n      - )?\{sha256: "([0-9a-f]{64})"\}', re.MULTILINE)
_SECRET = re.compile(r"\{env: (\w+)")


def name_of(entry: Path) -> str:
    """How a test calls an example."""
    return entry.relative_to(EXAMPLES).with_suffix("").as_posix()


def key_of(client: str) -> str:
    """The key that a client has in the copy: the hashes in the examples belong to no key."""
    return f"ccx-example-{client}"


def copied(entry: Path, folder: Path, *, upstream: str, dead: Mapping[str, str] | None = None) -> Path:
    """Copy an example, its includes too, with every provider's address replaced; `dead` replaces some by name."""
    source = entry.parent if entry.parent != EXAMPLES else None
    target = folder / "spec"
    if source is not None:
        shutil.copytree(source, target)
    else:
        target.mkdir()
        shutil.copy(entry, target)
    for file in target.rglob("*.yaml"):
        file.write_text(_redirected(file.read_text(), upstream=upstream, dead=dead or {}))
    return target / entry.name


def _redirected(text: str, *, upstream: str, dead: Mapping[str, str]) -> str:
    def address(match: re.Match[str]) -> str:
        head, provider, rest, _ = match.groups()
        if provider == "demo":
            return match[0]
        return f"{head}{provider}{rest}    base_url: {dead.get(provider, upstream)}/v1\n"

    text = _PROVIDER.sub(address, text)
    for client, digest in _CLIENT.findall(text):
        text = text.replace(digest, hashlib.sha256(key_of(client).encode()).hexdigest())
    return text


def environment(spec: Path, folder: Path) -> dict[str, str]:
    """An environment in which every secret that the spec names is set, and nothing of the developer's leaks in."""
    names = {name for file in spec.parent.rglob("*.yaml") for name in _SECRET.findall(file.read_text())}
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "VIRTUAL_ENV") if name in os.environ}
    return kept | {"HOME": str(folder)} | {name: f"secret-of-{name.lower()}" for name in names}


@contextmanager
def served(spec: Path, folder: Path) -> Iterator[str]:
    """`ccx serve` on a free port of this machine; gives its URL, and sees that it stops when told to."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ccx", "serve", str(spec), "--listen", "127.0.0.1:0", "--log", "json"],
        env=environment(spec, folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def pump() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=pump, daemon=True)
    reader.start()
    try:
        yield f"http://{_listening(lines)}"
    finally:
        process.terminate()
        try:
            code = process.wait(timeout=STARTS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            reader.join(timeout=5)
            process.stderr.close()
    assert code in (0, -signal.SIGTERM), code  # stopped, or stopped and said by what


def _listening(lines: queue.SimpleQueue[str | None]) -> str:
    """The address in the event that says it has started."""
    said: list[str] = []
    while True:
        line = lines.get(timeout=STARTS_WITHIN)
        assert line is not None, "ccx serve ended:\n" + "".join(said)
        said.append(line)
        if line.startswith("{"):
            event = json.loads(line)
            if event.get("event") == "started":
                return str(event["listen"])
