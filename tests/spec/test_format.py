"""Formatting: what it does to every form, that it keeps meaning and comments, and that twice is once."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccx.routing.compile import compile_spec
from ccx.spec.compose import compose
from ccx.spec.format import CannotFormat, formatted, page_of
from ccx.spec.validate import load
from ccx.spec.written import comments
from tests.plan.specs import SPEC

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
FILE = "ccx.yaml"


def fmt(text: str) -> str:
    return formatted(text.encode(), file=FILE).decode()


CASES = Path(__file__).with_name("formatted")
"""Each form as it may be written, `NAME.written.yaml`, and as it is to be, `NAME.yaml`."""


@pytest.mark.parametrize("written", sorted(CASES.glob("*.written.yaml")), ids=lambda path: path.name.split(".")[0])
def test_forms(written: Path) -> None:
    text, wanted = (path.read_text() for path in (written, Path(str(written).replace(".written.", "."))))
    assert fmt(text) == wanted
    assert fmt(wanted) == wanted


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_examples_are_formatted(path: Path) -> None:
    assert formatted(path.read_bytes(), file=path.name) == path.read_bytes(), f"run: ccx fmt {path.relative_to(ROOT)}"


def test_line_ends_stay_what_they_are() -> None:
    assert formatted(b"a:   1\r\nb: |\r\n   x\r\n", file=FILE) == b"a: 1\r\n\r\nb: |\r\n  x\r\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1", "never closed"),
        ("a: 1\na: 2\n", "written twice"),
        ("- a\n", "not a mapping"),
        ("", "not a mapping"),
        ("a: 1\n---\nb: 2\n", "second document"),
        ("\ufeffa: 1\n", "byte order mark"),
        ("? |\n  a\n: 1\n", "several lines"),
    ],
)
def test_what_is_not_formatted(text: str, says: str) -> None:
    with pytest.raises(CannotFormat, match=says):
        fmt(text)


def scattered(seed: int) -> str:
    """A spec with comments, blank lines and broken lines in places where nobody would put them."""
    draw = random.Random(seed)
    lines = draw.choice([*(path.read_text() for path in EXAMPLES), SPEC]).split("\n")
    if len(lines) > 50:
        start = draw.randrange(len(lines) - 40)
        lines = lines[start : start + 40]
    for number in range(draw.randrange(1, 10)):
        at = draw.randrange(len(lines))
        match draw.randrange(5):
            case 0 | 1:
                lines.insert(at, " " * draw.randrange(9) + f"# own {number}")
            case 2:
                lines[at] += f" # end {number}"
            case 3:
                lines.insert(at, "")
            case _:
                sign = draw.choice("[{,")
                lines[at] = lines[at].replace(
                    sign, sign + draw.choice(["\n              ", f" # in {number}\n            "]), 1
                )
    return "\n".join(lines)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_values_and_comments_stay_and_twice_is_once(seed: int) -> None:
    text = scattered(seed)
    tree, found = compose(text, file=FILE)
    if tree is None or found or not isinstance(tree.content, dict):
        return
    new = fmt(text)
    again, _ = compose(new, file=FILE)
    assert again is not None
    assert again.value() == tree.value()
    assert comments(page_of(new)) == comments(page_of(text))
    assert sum(text.count(f"# {word} ") for word in ("own", "end", "in")) == sum(
        new.count(f"# {word} ") for word in ("own", "end", "in")
    )
    assert fmt(new) == new


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_table_stays(tmp_path_factory: pytest.TempPathFactory, draw: random.Random) -> None:
    """Entries of mappings in any order, keys and values in any quotes: formatted, the same table."""
    tree, _ = compose(SPEC, file=FILE)
    assert tree is not None

    def written(value: object, indent: int) -> str:
        pad = " " * indent
        match value:
            case dict() if value and (indent == 0 or draw.random() < 0.6):
                entries = list(value.items())
                if "channels" not in value and not {"anthropic", "lab"} <= value.keys():
                    draw.shuffle(entries)
                step = draw.choice([1, 2, 4])
                return "".join(f"\n{pad}{scalar(k)}: {written(v, indent + step)}" for k, v in entries)
            case dict():
                return "{" + ", ".join(f"{scalar(k)}: {flow(v)}" for k, v in value.items()) + "}"
            case list() if value and draw.random() < 0.6:
                return "".join(f"\n{pad}- {flow(one)}{draw.choice(['', ' # c'])}" for one in value)
            case _:
                return flow(value)

    def flow(value: object) -> str:
        match value:
            case dict():
                return "{" + ", ".join(f"{scalar(k)}: {flow(v)}" for k, v in value.items()) + "}"
            case list():
                return "[" + ",".join(draw.choice(["", "\n                  "]) + flow(one) for one in value) + "]"
            case _:
                return scalar(value)

    def scalar(value: object) -> str:
        if not isinstance(value, str):
            return str(value).lower()
        return draw.choice([f"'{value}'", f'"{value}"'])

    text = written(tree.value(), 0).lstrip("\n") + "\n"
    folder = tmp_path_factory.mktemp("spec")
    digests = set()
    for name, content in (("a", text), ("b", fmt(text)), ("c", SPEC)):
        path = folder / f"{name}.yaml"
        path.write_text(content)
        spec = load(path).spec
        assert spec is not None, content
        digests.add(compile_spec(spec).digest)
    assert len(digests) == 1
    assert fmt(fmt(text)) == fmt(text)
