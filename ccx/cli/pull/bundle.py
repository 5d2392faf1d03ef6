"""The folder of reports that `ccx ci` leaves, and reading back what `ccx comment` needs of it.

    manifest.json       what is in it: {"format_version": "1.0", "number", "head", "at", "verdict", "specs": [
                        {"spec", "folder", "verdict", "no_op", "quiet", "digest", "comment": bool}]}
    summary.md          the page of the run
    findings.sarif, findings.xml, codequality.json
    SPEC/               plan.json, plan.txt, plan.html, comment.md, tests.xml: those that there are

Law: read back, all of it is a stranger's, since a fork's pipeline writes what it likes. A name never leaves the folder,
a link is not followed, and a comment is one only if it is marked as that of its spec, its commit and its time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ccx.cli.pull.event import is_commit
from ccx.errors import CcxError, UsageError
from ccx.plan.render.github import marker

FORMAT_VERSION: Final = "1.0"
MANIFEST: Final = "manifest.json"
MAX_SPECS: Final = 50
MAX_COMMENT: Final = 65_536
"""Characters of a comment that GitHub takes."""
_MAX_MANIFEST: Final = 1024 * 1024
_FOLDER: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,80}")
_AT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class BundleError(CcxError):
    """A folder that is no report, or one that is not what it says."""


@dataclass(frozen=True, slots=True)
class Told:
    """The comment of one spec. A quiet one is not worth a comment of its own, only worth correcting an older one."""

    spec: str
    body: str
    quiet: bool


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a run found, for comments: on which pull request, for which commit, made when."""

    number: int
    head: str
    at: str
    told: tuple[Told, ...]


def folders(specs: Sequence[str]) -> dict[str, str]:
    """A folder name for each spec: readable, safe, and of its own."""
    names: dict[str, str] = {}
    for spec in specs:
        plain = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\.ya?ml$", "", spec.lower())).strip("-")[:60] or "spec"
        name, number = plain, 1
        while name in names.values():
            number += 1
            name = f"{plain}-{number}"
        names[spec] = name
    return names


def write(folder: Path, files: Mapping[str, str], manifest: Mapping[str, Any]) -> None:
    """Write the files, named by their place in the folder, and the manifest last. Raises UsageError."""
    document = json.dumps({"format_version": FORMAT_VERSION, **manifest}, indent=2, ensure_ascii=False) + "\n"
    try:
        (folder / MANIFEST).unlink(missing_ok=True)
        for name, text in (*files.items(), (MANIFEST, document)):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"cannot write to {str(folder)!r}: {error.strerror}") from error


def read(folder: Path) -> Bundle | None:
    """What is to be told of a run; None if it was not about a pull request. Raises BundleError."""
    try:
        data = json.loads(_bounded(folder, MANIFEST, _MAX_MANIFEST))
    except (ValueError, RecursionError):
        raise BundleError(f"{str(folder)!r}: {MANIFEST} is not JSON") from None
    if not isinstance(data, dict) or str(data.get("format_version", "")).partition(".")[0] != "1":
        raise BundleError(f"{str(folder)!r} is no report of `ccx ci`, or one of another version")
    number, head, at, specs = (data.get(key) for key in ("number", "head", "at", "specs"))
    if number is None:
        return None
    good = isinstance(number, int) and not isinstance(number, bool) and number > 0
    if not good or not is_commit(head) or not isinstance(at, str) or not _AT.fullmatch(at):
        raise BundleError(f"{str(folder)!r}: the manifest does not name a pull request, a commit and a time")
    if not isinstance(specs, list) or len(specs) > MAX_SPECS:
        raise BundleError(f"{str(folder)!r}: the manifest does not list at most {MAX_SPECS} specs")
    told = tuple(
        _told(folder, one, head=head, at=at) for one in specs if not isinstance(one, dict) or one.get("comment")
    )
    if len({one.spec for one in told}) != len(told):
        raise BundleError(f"{str(folder)!r}: the manifest lists a spec twice")
    return Bundle(number, head, at, told)


def _told(folder: Path, data: object, *, head: str, at: str) -> Told:
    spec, name = (data.get("spec"), data.get("folder")) if isinstance(data, dict) else (None, None)
    if not isinstance(spec, str) or not isinstance(name, str) or not _FOLDER.fullmatch(name):
        raise BundleError(f"{str(folder)!r}: the manifest has an entry that is no spec")
    body = _bounded(folder, f"{name}/comment.md", 4 * MAX_COMMENT)
    if len(body) > MAX_COMMENT:
        raise BundleError(f"the comment of {spec!r} is longer than {MAX_COMMENT:,} characters")
    if body.partition("\n")[0] != marker(spec, head=head, at=at):
        raise BundleError(f"the comment of {spec!r} is not marked as that of its spec, commit and time")
    return Told(spec, body, isinstance(data, dict) and data.get("quiet") is True)


def _bounded(folder: Path, name: str, limit: int) -> str:
    path = folder / name
    try:
        if path.is_symlink() or (path.parent != folder and path.parent.is_symlink()):
            raise BundleError(f"{str(path)!r} is a link")
        with path.open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise BundleError(f"{str(path)!r} has more than {limit:,} bytes")
        return data.decode("utf-8")
    except OSError as error:
        raise BundleError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BundleError(f"{str(path)!r} is not UTF-8") from None
