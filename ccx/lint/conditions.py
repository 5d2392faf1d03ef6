"""2xx: parts of a condition that do nothing, told from the condition alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ccx.lint.edit import without
from ccx.lint.rule import Rule
from ccx.lint.subject import Subject
from ccx.routing.compile_conditions import compile_when
from ccx.routing.conditions import Constant
from ccx.routing.globs import glob_matches
from ccx.routing.sticky import least_tokens
from ccx.spec.conditions import When
from ccx.spec.diagnostics import Fix, Path
from ccx.spec.finding import Finding
from ccx.spec.locations import Tree

_GLOB_KEYS: Final = ("model", "server_tools", "client", "prefix")


def whens(when: When, path: Path) -> Iterator[tuple[Path, When]]:
    """A condition and all within it, with their paths."""
    yield path, when
    for index, part in enumerate(when.any or ()):
        yield from whens(part, (*path, "any", index))
    if when.not_ is not None:
        yield from whens(when.not_, (*path, "not"))


def meet(first: str, second: str) -> bool:
    """Whether some text matches both globs."""
    # Walk both; a star may take in one sign of the other or end. States are pairs of positions.
    todo, seen = [(0, 0)], {(0, 0)}
    while todo:
        i, j = todo.pop()
        if i == len(first) and j == len(second):
            return True
        a, b = first[i : i + 1], second[j : j + 1]
        steps: list[tuple[int, int]] = []
        if a == "*":
            steps += [(i + 1, j)] + ([(i, j + 1)] if b else [])
        if b == "*":
            steps += [(i, j + 1)] + ([(i + 1, j)] if a else [])
        if a and a == b and a != "*":
            steps.append((i + 1, j + 1))
        for step in steps:
            if step not in seen:
                seen.add(step)
                todo.append(step)
    return False


def pattern_lists(subject: Subject) -> Iterator[tuple[Path, Sequence[str]]]:
    """Every list of patterns of the spec, with its path: what its order means nothing in."""
    for route in subject.routes:
        for path, when in whens(route.written.when, (*route.path, "when")):
            for key in _GLOB_KEYS:
                globs = getattr(when, key)
                if globs is not None:
                    yield (*path, key), globs
            for key in ("tag", "header"):
                for name, globs in (getattr(when, key) or {}).items():
                    yield (*path, key, name), globs
    for name, client in subject.spec.clients.items():
        if client.models is not None:
            yield ("clients", name, "models"), client.models
    for name, channel in subject.spec.channels.items():
        if isinstance(channel.models, tuple):
            yield ("channels", name, "models"), channel.models


def dead_exclusions(subject: Subject) -> Iterator[Finding]:
    for path, globs in pattern_lists(subject):
        included = [pattern for pattern in globs if not pattern.startswith("!")]
        for index, pattern in enumerate(globs):
            if not pattern.startswith("!") or not included or any(meet(pattern[1:], one) for one in included):
                continue
            listed = ", ".join(f"`{one}`" for one in included)
            yield Finding(
                _entry(subject, path, index),
                "CCX213",
                f"`{pattern}` takes nothing away from {listed}",
                help="remove it, or put right what it was to exclude",
                fix=_removal(subject, path, index, f"remove `{pattern}`"),
            )


def covered_patterns(subject: Subject) -> Iterator[Finding]:
    for path, globs in pattern_lists(subject):
        for index, pattern in enumerate(globs):
            by = _coverer(globs, index)
            if by is None:
                continue
            same = globs[by] == pattern
            said = f"`{pattern}` is listed twice" if same else f"`{pattern}` is covered by `{globs[by]}`"
            yield Finding(
                _entry(subject, path, index),
                "CCX215",
                said,
                help="remove it" if same else "remove it, or make the other one narrower",
                also=((_entry(subject, path, by), "it is covered by this"),),
                fix=_removal(subject, path, index, f"remove `{pattern}`"),
            )


def _coverer(globs: Sequence[str], index: int) -> int | None:
    """Which other pattern of the same kind takes in all that this one does; of two that are equal the first stays."""
    pattern = globs[index]
    negated, body = pattern.startswith("!"), pattern.removeprefix("!")
    for other, one in enumerate(globs):
        if other == index or one.startswith("!") is not negated:
            continue
        wide = one.removeprefix("!")
        if glob_matches(wide, body) and (not glob_matches(body, wide) or other < index):
            return other
    return None


def _entry(subject: Subject, path: Path, index: int) -> Path:
    """An entry of a list, or the one text in its place."""
    tree = subject.tree(path)
    return (*path, index) if tree is not None and isinstance(tree.content, tuple) else path


def _removal(subject: Subject, path: Path, index: int, title: str) -> Fix | None:
    edits = without(subject, _entry(subject, path, index))
    return Fix(title, True, edits) if edits else None


def constant_conditions(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        whole = compile_when(route.written.when)
        for path, when in whens(route.written.when, (*route.path, "when")):
            nested = len(path) > len(route.path) + 1
            meaning = compile_when(when)
            if nested and isinstance(meaning, Constant):
                yield _constant(path, meaning.value, empty=_empty(subject.tree(path)))
                continue
            if isinstance(whole, Constant) and not whole.value:
                continue  # CCX202 says that of the whole
            for key in ("protocol", "any", "not"):
                alone = _only(when, key)
                part = compile_when(alone) if alone is not None else None
                if not isinstance(part, Constant):
                    continue
                inside = [compile_when(one) for one in ((alone.any or ()) if alone else ())]
                inside += [compile_when(alone.not_)] if alone and alone.not_ is not None else []
                if not any(isinstance(one, Constant) for one in inside):
                    yield _constant((*path, key), part.value, empty=False)


def _only(when: When, key: str) -> When | None:
    """The condition with this key alone; None where that is not given."""
    field = "not_" if key == "not" else key
    value = getattr(when, field)
    return When().model_copy(update={field: value}) if value is not None else None


def _empty(tree: Tree | None) -> bool:
    return tree is None or not tree.content


def _constant(path: Path, value: bool, *, empty: bool) -> Finding:
    if empty:
        message = "an empty condition holds for every request"
    else:
        message = "this part holds for every request" if value else "this part holds for no request"
    advice = "remove it, or say what it was to ask for"
    return Finding(path, "CCX216", message, help=advice, at_key=True)


def idle_memory(subject: Subject) -> Iterator[Finding]:
    if subject.table.sticky is not None and least_tokens(subject.table) is None:
        message = "sessions are remembered by their tokens, and no route asks for these"
        advice = "remove it; `affinity: session` keeps a session at one target of a group"
        yield Finding(("tokens", "sticky"), "CCX217", message, help=advice)


CONDITIONS: Final[tuple[Rule, ...]] = (
    Rule(("CCX213",), dead_exclusions),
    Rule(("CCX215",), covered_patterns),
    Rule(("CCX216",), constant_conditions),
    Rule(("CCX217",), idle_memory),
)
