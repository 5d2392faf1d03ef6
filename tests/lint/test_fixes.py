"""Fixes: goldens before and after, and the laws: idempotent, never worse, nothing else touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ccx.lint.examine import Wish
from ccx.lint.mend import Mended, edited, mend
from ccx.spec.diagnostics import Span, TextEdit
from tests.lint.cases import ENTRY, TODAY, Memory, completed

FIXES = Path(__file__).parent / "fixes"
WISH = Wish(today=TODAY)


def mended(text: str, *, unsafe: bool = False, select: Sequence[str] = (), **more: str) -> Mended:
    files = {ENTRY: text} | {ENTRY.with_name(f"{name}.yaml"): data for name, data in more.items()}
    memory = Memory(files)
    return mend(ENTRY, replace(WISH, select=tuple(select)), unsafe=unsafe, read=memory.read, names=memory)


@pytest.mark.parametrize("before", sorted(FIXES.glob("*.before.yaml")), ids=lambda path: path.name)
def test_goldens(before: Path) -> None:
    unsafe = ".unsafe." in before.name
    after = before.with_name(before.name.replace(".before.", ".after."))
    once = mended(before.read_text(), unsafe=unsafe)
    assert once.files[ENTRY].decode() == after.read_text()
    assert once.refused == ()
    again = mended(after.read_text(), unsafe=unsafe)
    assert not again.files
    assert again.applied == ()


def test_unsafe_fixes_are_written_only_when_asked_for() -> None:
    text = completed("routes: [{name: r, to: [main, main]}]\n")
    assert not mended(text).files
    assert b"to: [main]" in mended(text, unsafe=True).files[ENTRY]


def test_only_what_is_selected_is_fixed() -> None:
    text = completed('routes: [{name: r, when: {model: [a, a, "!b"]}, to: [main]}]\n')
    assert b'[a, "!b"]' in mended(text, select=["covered-pattern"]).files[ENTRY]


def test_each_file_of_a_spec_is_fixed() -> None:
    main = 'version: ccx/v1\ninclude: [more.yaml]\nroutes: [{name: r, when: {model: [a, "!b"]}, to: [main]}]\n'
    more = (
        "channels: {main: {provider: demo}}\nroutes:\n"
        '  - name: s # first\n    when: {model: ["a*", ab]}\n    to: [main]\n'
    )
    done = mended(main, more=more)
    assert done.files[ENTRY].decode() == main.replace(', "!b"', "")
    assert done.files[ENTRY.with_name("more.yaml")].decode() == more.replace(", ab", "")
    assert set(done.names.values()) == {str(ENTRY), str(ENTRY.with_name("more.yaml"))}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_stay(end: str) -> None:
    lines = ["version: ccx/v1", "channels: {main: {provider: demo}}", "routes:", "  - name: r", "    when:"]
    lines += ["      model:", "        - a*", "        - ab", "        - c", "    to: [main]", ""]
    done = mended(end.join(lines))
    assert done.files[ENTRY].decode() == end.join(line for line in lines if "- ab" not in line)


def test_the_last_lines_of_a_file_go_with_their_break() -> None:
    lines = "version: ccx/v1\nchannels: {main: {provider: demo}}\nroutes:\n  - name: r\n    to: [main]\n    when:\n"
    for tail in ("", "\n"):
        done = mended(f"{lines}      model:\n        - a*\n\n        # small\n        - ab{tail}")
        assert done.files[ENTRY].decode() == f"{lines}      model:\n        - a*{tail}"


def test_what_an_alias_repeats_is_left_alone() -> None:
    text = completed(
        "routes:\n  - {name: r, when: {model: &m [a, a]}, to: [main]}\n  - {name: s, when: {model: *m}, to: [main]}\n"
    )
    assert not mended(text, select=["CCX215"]).files


def test_a_fix_that_breaks_the_spec_is_not_taken() -> None:
    # The test names a route that could go: without it the spec would be invalid.
    text = completed(
        "channels: {main: {provider: demo}}\nroutes:\n  - {name: x, when: {model: x}, to: [main]}\n"
        "  - {name: rest, to: [main]}\ntests: [{name: t, request: {model: x}, expect: {route: x}}]\n"
    )
    done = mended(text)
    assert not done.files
    assert [one.code for one in done.refused] == ["CCX203"]
    assert done.applied == ()


def test_a_redundant_route_goes_with_its_comment_and_the_others_keep_theirs() -> None:
    text = completed(
        "channels: {main: {provider: demo}}\nroutes:\n"
        "  # first\n  - name: first\n    when: {model: a}\n    deny: {message: no}\n\n"
        "  # second, of two\n  # lines\n  - name: second # here\n    when: {model: b} # there\n    to: [main]\n\n"
        "  # the rest\n  - name: rest\n    to: [main]\n"
    )
    done = mended(text)
    start, end = text.index("  # second"), text.index("  # the rest")
    assert done.files[ENTRY].decode() == text[:start] + text[end:]
    assert done.after.compiled is not None


def test_edits_count_characters_and_not_bytes() -> None:
    data = "# ü𝒳\na: 'ü' # é\n".encode()
    assert edited(data, [TextEdit("f", Span(2, 4, 2, 7), "b"), TextEdit("f", Span(1, 3, 1, 5), "")]) == (
        "# \na: b # é\n".encode()
    )
