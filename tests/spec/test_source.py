"""The closure of files: each read once, in order, bounded, from one generation, and with a digest."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from ccx.spec.source import MAX_FILE_BYTES, MAX_FILES, MAX_INCLUDE_DEPTH, Closure, read_closure, read_file


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "ccx.yaml"


def names(closure: Closure) -> list[str]:
    return [os.path.relpath(source.name, closure.directory) for source in closure.sources]


def messages(closure: Closure) -> list[tuple[str, str]]:
    return [(one.code, one.message) for one in closure.diagnostics]


def test_included_files_come_first_in_the_order_listed_globs_sorted(tmp_path: Path) -> None:
    entry = write(
        tmp_path,
        {
            "ccx.yaml": "include: [z.yaml, parts/*.yaml]\n",
            "z.yaml": "include: [deep/x.yaml]\n",
            "deep/x.yaml": "a: 1\n",
            "parts/b.yaml": "b: 1\n",
            "parts/a.yaml": "a: 1\n",
        },
    )
    closure = read_closure(entry)
    assert closure.diagnostics == ()
    assert closure.complete
    assert names(closure) == ["deep/x.yaml", "z.yaml", "parts/a.yaml", "parts/b.yaml", "ccx.yaml"]
    assert next(iter(closure.files)) == str(entry)
    assert closure.files[str(entry)] == entry.read_bytes()


def test_each_file_is_read_once(tmp_path: Path) -> None:
    entry = write(tmp_path, {"ccx.yaml": "include: ['*.yaml']", "a.yaml": "include: [b.yaml]", "b.yaml": "x: 1"})
    reads: Counter[str] = Counter()

    def read(path: Path) -> bytes:
        reads[path.name] += 1
        return read_file(path)

    closure = read_closure(entry, read=read)
    assert set(reads.values()) == {1}
    assert [code for code, _ in messages(closure)] == ["CCX114"]  # b.yaml, by the glob and by a.yaml


def test_names_are_shown_as_the_user_wrote_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path, {"conf/ccx.yaml": "include: [../shared.yaml, sub/a.yaml]", "conf/sub/a.yaml": "", "shared.yaml": ""}
    )
    monkeypatch.chdir(tmp_path)
    closure = read_closure(Path("conf/ccx.yaml"))
    assert [source.name for source in closure.sources] == ["shared.yaml", "conf/sub/a.yaml", "conf/ccx.yaml"]
    assert closure.directory == tmp_path / "conf"


def test_a_config_map_is_read_from_one_generation(tmp_path: Path) -> None:
    for generation in ("..2026_a", "..2026_b"):
        write(
            tmp_path, {f"{generation}/ccx.yaml": "include: [part.yaml]", f"{generation}/part.yaml": f"g: {generation}"}
        )
    (tmp_path / "..data").symlink_to("..2026_a")
    for name in ("ccx.yaml", "part.yaml"):
        (tmp_path / name).symlink_to(f"..data/{name}")

    def swap_after_the_first(path: Path) -> bytes:
        data = read_file(path)
        (tmp_path / "..data_tmp").symlink_to("..2026_b")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        return data

    entry = tmp_path / "ccx.yaml"
    torn = read_closure(entry, read=swap_after_the_first)
    assert torn.files[str(tmp_path / "part.yaml")] == b"g: ..2026_a"
    after = read_closure(entry)
    assert after.files[str(tmp_path / "part.yaml")] == b"g: ..2026_b"
    assert after.digest != torn.digest
    assert {source.real.parent.name for source in after.sources} == {"..2026_b"}


def test_the_digest_is_of_names_and_bytes(tmp_path: Path) -> None:
    entry = write(tmp_path, {"ccx.yaml": "include: ['*.yaml']", "a.yaml": "x: 1"})
    first = read_closure(entry).digest
    assert read_closure(entry).digest == first
    (tmp_path / "a.yaml").write_text("x: 2")
    second = read_closure(entry).digest
    (tmp_path / "a.yaml").rename(tmp_path / "b.yaml")
    third = read_closure(entry).digest
    (tmp_path / "c.yaml").write_text("")
    assert len({first, second, third, read_closure(entry).digest}) == 4


def test_the_digest_does_not_depend_on_where_the_files_are(tmp_path: Path) -> None:
    files = {"ccx.yaml": "include: [a.yaml]", "a.yaml": "x: 1"}
    digests = {read_closure(write(tmp_path / name, {**files})).digest for name in ("one", "two")}
    assert len(digests) == 1


def test_unchanged_files_are_not_parsed_again(tmp_path: Path) -> None:
    entry = write(tmp_path, {"ccx.yaml": "include: [a.yaml]\nx: 1", "a.yaml": "y: 1"})
    first = read_closure(entry)
    entry.write_text("include: [a.yaml]\nx: 2")
    second = read_closure(entry, previous=first)
    assert second.sources[0].tree is first.sources[0].tree
    assert second.sources[1].tree is not first.sources[1].tree
    assert second.digest == read_closure(entry).digest


def test_cycles_name_their_files_and_end(tmp_path: Path) -> None:
    entry = write(
        tmp_path,
        {"ccx.yaml": "include: [a.yaml]", "a.yaml": "include: [b.yaml]", "b.yaml": "x: 1\ninclude: [a.yaml]"},
    )
    closure = read_closure(entry)
    (cycle,) = closure.diagnostics
    assert cycle.code == "CCX114"
    assert [Path(part).name for part in cycle.message.removeprefix("a cycle of includes: ").split(" → ")] == [
        "a.yaml",
        "b.yaml",
        "a.yaml",
    ]
    assert (Path(cycle.file).name, cycle.span.line) == ("b.yaml", 2)
    assert not closure.complete


@pytest.mark.parametrize("name", ["no-such.yaml", "folder", "pipe", "x" * 300])
def test_what_cannot_be_read_is_shown_at_the_include(tmp_path: Path, name: str) -> None:
    entry = write(tmp_path, {"ccx.yaml": f"version: ccx/v1\ninclude:\n  - {name}\n"})
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    closure = read_closure(entry)
    (found,) = closure.diagnostics
    assert (found.code, found.file, found.span.line, found.span.col) == ("CCX113", str(entry), 3, 5)
    assert not closure.complete


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    entry = write(tmp_path, {"ccx.yaml": "version: ccx/v1"})
    entry.chmod(0)
    assert [code for code, _ in messages(read_closure(entry))] == ["CCX113"]


def test_a_missing_entry_is_a_diagnostic(tmp_path: Path) -> None:
    closure = read_closure(tmp_path / "ccx.yaml")
    assert [code for code, _ in messages(closure)] == ["CCX113"]
    assert closure.sources == ()


def test_includes_that_are_no_paths(tmp_path: Path) -> None:
    entry = write(tmp_path, {"ccx.yaml": 'include: ["", "a\\0b", 5, [x]]'})
    assert [code for code, _ in messages(read_closure(entry))] == ["CCX113", "CCX113"]


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    entry = write(tmp_path, {"ccx.yaml": "include: [big.yaml]"})
    with (tmp_path / "big.yaml").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    (found,) = read_closure(entry).diagnostics
    assert found.code == "CCX115"
    assert len(read_file(tmp_path / "big.yaml")) == MAX_FILE_BYTES + 1


def test_too_many_files(tmp_path: Path) -> None:
    entry = write(tmp_path, {"ccx.yaml": "include: ['many/*.yaml']"})
    (tmp_path / "many").mkdir()
    for number in range(MAX_FILES + 5):
        (tmp_path / "many" / f"{number:04}.yaml").write_text("")
    closure = read_closure(entry)
    assert [code for code, _ in messages(closure)] == ["CCX115"]
    assert len(closure.sources) == MAX_FILES


def test_includes_nested_too_deep(tmp_path: Path) -> None:
    chain = {f"{n}.yaml": f"include: [{n + 1}.yaml]" for n in range(MAX_INCLUDE_DEPTH + 50)}
    entry = write(tmp_path, {"ccx.yaml": "include: [0.yaml]", **chain})
    assert [code for code, _ in messages(read_closure(entry))] == ["CCX115"]
