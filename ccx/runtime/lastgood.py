"""The last good contents of a spec's files, kept so that a restart with a broken file still serves.

What is kept is the source, not the table: it is compiled again by whatever ccx starts, and it holds no secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ccx.runtime.durable import file_of, replace_file


@dataclass(frozen=True, slots=True)
class Kept:
    """A closure of files by absolute path, links resolved, `entry` being the spec's own; and the digest of the table
    they made. `at` is unix seconds."""

    digest: str
    at: float
    files: dict[str, bytes]
    entry: str


def default_folder(environ: Mapping[str, str]) -> Path:
    """Where state is kept: $CCX_STATE_DIR, else $XDG_STATE_HOME/ccx, else ~/.local/state/ccx."""
    if chosen := environ.get("CCX_STATE_DIR"):
        return Path(chosen)
    if base := environ.get("XDG_STATE_HOME"):
        return Path(base) / "ccx"
    return Path(environ.get("HOME", "/var/lib")) / ".local" / "state" / "ccx"


class LastGood:
    """The kept contents of one spec. A folder that cannot be written is no reason not to serve."""

    def __init__(self, folder: Path, spec: Path) -> None:
        self.path = file_of(spec, folder, "last-good.msgpack")

    def save(self, kept: Kept) -> OSError | None:
        """Replace what is kept, atomically. Returns the error if it could not."""
        try:
            replace_file(self.path, msgspec.msgpack.encode(kept))
        except OSError as error:
            return error
        return None

    def load(self) -> Kept | None:
        """What is kept, or None if there is nothing readable."""
        try:
            return msgspec.msgpack.decode(self.path.read_bytes(), type=Kept)
        except (OSError, msgspec.MsgspecError):
            return None
