"""The folder of reports: written, read back, and refused where it is not what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ccx.cli.pull.bundle import MAX_COMMENT, Bundle, BundleError, Told, folders, read, write
from ccx.errors import UsageError
from ccx.plan.render.github import marker

HEAD = "0123456789" * 4
AT = "2026-11-20T11:41:03Z"
SPEC = {"spec": "a/ccx.yaml", "folder": "a-ccx", "comment": True, "quiet": False}
BODY = f"{marker('a/ccx.yaml', head=HEAD, at=AT)}\n### words\n"


def written(folder: Path, body: str = BODY, **changed: Any) -> Path:
    about = {"number": 7, "head": HEAD, "at": AT, "specs": [SPEC], **changed}
    write(folder, {"a-ccx/comment.md": body}, about)
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read(written(tmp_path)) == Bundle(7, HEAD, AT, (Told("a/ccx.yaml", BODY, False),))


def test_a_run_without_a_pull_request_has_nothing_to_tell(tmp_path: Path) -> None:
    assert read(written(tmp_path, number=None)) is None


def test_specs_without_a_comment_are_passed_over(tmp_path: Path) -> None:
    found = read(written(tmp_path, specs=[{**SPEC, "comment": False}]))
    assert found is not None
    assert found.told == ()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"number": "7"}, "does not name a pull request"),
        ({"number": True}, "does not name a pull request"),
        ({"number": -1}, "does not name a pull request"),
        ({"head": "main"}, "does not name a pull request, a commit"),
        ({"at": "now"}, "does not name a pull request, a commit and a time"),
        ({"specs": {}}, "does not list at most 50 specs"),
        ({"specs": [SPEC] * 51}, "does not list at most 50 specs"),
        ({"specs": ["a"]}, "an entry that is no spec"),
        ({"specs": [{**SPEC, "folder": "../a-ccx"}]}, "an entry that is no spec"),
        ({"specs": [{**SPEC, "folder": "/etc"}]}, "an entry that is no spec"),
        ({"specs": [{**SPEC, "spec": 1}]}, "an entry that is no spec"),
        ({"specs": [{**SPEC, "folder": "b"}]}, "No such file"),
        ({"specs": [{**SPEC, "spec": "b.yaml"}]}, "is not marked as that of its spec, commit and time"),
        ({"head": "f" * 40}, "is not marked"),
        ({"at": "2099-11-20T11:41:03Z"}, "is not marked"),
        ({"specs": [SPEC, SPEC]}, "lists a spec twice"),
        ({"format_version": "2.0"}, "one of another version"),
    ],
)
def test_a_manifest_that_does_not_hold(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    written(tmp_path, **changed)
    with pytest.raises(BundleError, match=message):
        read(tmp_path)


def _to_a_link(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to(path.with_name("real"))


def _folder_to_a_link(path: Path) -> None:
    path.parent.rename(path.parent.with_name("real"))
    path.parent.symlink_to(path.parent.with_name("real"))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_to_a_link, "is a link"),
        (_folder_to_a_link, "is a link"),
        (lambda path: path.write_text(BODY + "x" * MAX_COMMENT), "is longer than 65,536 characters"),
        (lambda path: path.write_text(BODY + "x" * 5 * MAX_COMMENT), "has more than 262,144 bytes"),
        (lambda path: path.write_bytes(BODY.encode() + b"\xff"), "is not UTF-8"),
        (lambda path: path.write_text(f"I say:\n{BODY}"), "is not marked"),
    ],
)
def test_a_comment_that_does_not_hold(harm: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    harm(written(tmp_path) / "a-ccx" / "comment.md")
    with pytest.raises(BundleError, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not JSON"), ("[]", "is no report"), ("[" * 100_000, "is not JSON"), (" " * 2**21, "has more than")],
)
def test_a_file_that_is_no_manifest(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=message):
        read(tmp_path)


def test_a_folder_that_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot read .*No such file"):
        read(tmp_path)


def test_names_of_folders_are_safe_and_of_their_own() -> None:
    specs = ["ccx.yaml", "ccx.yml", "../../ccx.yaml", "A/Ü.yaml", "....yaml", "x" * 300]
    found = folders(specs)
    assert found == {
        "ccx.yaml": "ccx",
        "ccx.yml": "ccx-2",
        "../../ccx.yaml": "ccx-3",
        "A/Ü.yaml": "a",
        "....yaml": "spec",
        "x" * 300: "x" * 60,
    }


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write to"):
        write(tmp_path / "file", {}, {})


def test_the_manifest_is_as_documented(tmp_path: Path) -> None:
    assert json.loads((written(tmp_path) / "manifest.json").read_text())["format_version"] == "1.0"
