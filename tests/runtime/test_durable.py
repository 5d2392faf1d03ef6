"""Files that are replaced whole or not at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ccx.runtime.durable import file_of, replace_file


def test_a_file_is_replaced_whole_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "orders.json"
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_replaced_stays_and_nothing_is_left_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "orders.json"
    replace_file(path, b"one")

    def full(_: int) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        replace_file(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_each_spec_has_files_of_its_own(tmp_path: Path) -> None:
    one, other = (file_of(tmp_path / name, tmp_path, "last-good.msgpack") for name in ("a.yaml", "b.yaml"))
    assert one != other
    assert one.name.startswith("last-good-")
    assert one.suffix == ".msgpack"
    assert one == file_of(tmp_path / "a.yaml", tmp_path, "last-good.msgpack")
