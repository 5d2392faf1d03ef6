"""Files written anew by a command: shown as a difference, or replaced whole."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from ccx.errors import UsageError


def difference(old: bytes, new: bytes, *, name: str) -> str:
    """A unified difference, as `git apply` takes it."""
    before, after = (data.decode("utf-8").split("\n") for data in (old, new))
    shown = name.lstrip("/")
    lines = difflib.unified_diff(_lines(before), _lines(after), f"a/{shown}", f"b/{shown}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(parts: list[str]) -> list[str]:
    return [*(f"{part}\n" for part in parts[:-1]), *([parts[-1]] if parts[-1] else [])]


def replace(path: Path, data: bytes) -> None:
    """The whole file or none of it: a reader, such as a gateway that is running, never sees half. Raises UsageError."""
    temporary = path.with_name(f".{path.name}.ccx-new")
    try:
        temporary.write_bytes(data)
        temporary.chmod(path.stat().st_mode & 0o7777)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"cannot write {os.fspath(path)!r}: {error.strerror}") from error
