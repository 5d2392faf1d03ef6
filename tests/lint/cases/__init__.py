"""Specs that are short: what every spec needs is put before them."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from ccx.lint.examine import Examined, Wish, examine
from ccx.spec.render.report import name_pointer

FOLDER = Path(__file__).parent
TODAY = date(2026, 11, 21)
ENTRY = Path("/spec/ccx.yaml")


class Memory:
    """Files that are nowhere on the disk."""

    def __init__(self, files: dict[Path, str]) -> None:
        self.files = files

    def read(self, path: Path) -> bytes:
        try:
            return self.files[path].encode()
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory") from None

    def real(self, path: Path) -> Path:
        return path

    def find(self, pattern: str, folder: Path) -> list[Path]:
        return sorted(path for path in self.files if path.parent == folder and path.match(pattern))


def completed(text: str) -> str:
    """The text with the version, and with a channel `main` if it has none."""
    head = "" if re.search(r"^version:", text, re.MULTILINE) else "version: ccx/v1\n"
    tail = "" if re.search(r"^(channels|upstreams):", text, re.MULTILINE) else "channels: {main: {provider: demo}}\n"
    return f"{head}{tail}{text}"


def examined(text: str, *, today: date = TODAY, select: tuple[str, ...] = (), **more: str) -> Examined:
    """A spec in memory, linted; `more` are files beside it, by name without `.yaml`."""
    files = {ENTRY: completed(text)} | {ENTRY.with_name(f"{name}.yaml"): data for name, data in more.items()}
    memory = Memory(files)
    return examine(ENTRY, Wish(today=today, select=select), read=memory.read, names=memory)


def found_in(text: str, code: str) -> list[tuple[str, str, str]]:
    """What a rule finds, in order: the path of names, the severity, the message."""
    one = examined(text, select=() if code.startswith("CCX9") else (code,))
    return [
        (name_pointer(found.pointer, one.loaded.locations), found.severity, found.message)
        for found in one.linted.findings
        if found.code == code
    ]
