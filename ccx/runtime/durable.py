"""Small files of a spec that outlive the process: replaced whole or not at all, and readable by their owner alone."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path


def file_of(spec: Path, folder: Path, kind: str) -> Path:
    """Where something of a spec is kept; `kind` is a file name, `orders.json`.

    It goes by the path that was asked for: what a link such as a ConfigMap's resolves to changes with its contents.
    """
    name, _, ending = kind.partition(".")
    return folder / f"{name}-{hashlib.sha256(os.fsencode(spec.absolute())).hexdigest()[:16]}.{ending}"


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` where the file is, in one step that a crash or another reader cannot see half of. Makes its folder.

    Blocks until it is on the disk. Raises OSError, and leaves the file as it was then.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
