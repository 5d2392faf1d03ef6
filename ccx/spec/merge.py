"""The files of a closure as one document.

Included files stand before the file that includes them, in the order listed: so the routes of the main file come last,
and a catch-all written there stays the last. `channels`, `clients`, `groups` and `models` are united, a name declared
twice being an error; `routes`, `tests` and `invariants` are concatenated; any other section is in one file only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ccx.spec.diagnostics import START, Diagnostic, Path, Related, Span, diagnostic
from ccx.spec.document import VERSION
from ccx.spec.locations import Tree
from ccx.spec.source import Closure
from ccx.spec.wording import show

UNITED: Final = frozenset({"channels", "clients", "groups", "models"})
CONCATENATED: Final = frozenset({"routes", "tests", "invariants"})
_SINGULAR: Final = {"channels": "channel", "clients": "client", "groups": "group", "models": "model"}


def version_of(closure: Closure) -> tuple[bool, tuple[Diagnostic, ...]]:
    """Whether the files are of the version that is read here; a missing version is reported and taken for this one."""
    found: list[Diagnostic] = []
    readable = True
    for source in closure.sources:
        if source.tree is None or not isinstance(source.tree.content, Mapping):
            continue
        written = source.tree.content.get("version")
        if written is None:
            if source.name == closure.entry:
                found.append(
                    diagnostic(
                        "CCX117",
                        "the version of the spec language is not written",
                        file=source.name,
                        span=Span(*(source.tree.span.line, source.tree.span.col) * 2),
                        path=("version",),
                        help=f"start the file with `version: {VERSION}`",
                    )
                )
            continue
        if written.content != VERSION:
            readable = False
            found.append(_other_version(written))
    return readable, tuple(found)


def _other_version(written: Tree) -> Diagnostic:
    text = written.content if isinstance(written.content, str | int | float) else None
    number = text.removeprefix("ccx/v") if isinstance(text, str) and text.startswith("ccx/v") else None
    shown = f"the file says {str(text)[:40]!r}" if text is not None else "the file names none"
    if number is not None and number.isdecimal() and int(number) > 1:
        advice, suggestion = "upgrade ccx to read it", None
    else:
        advice, suggestion = f"write `version: {VERSION}`", VERSION
    return diagnostic(
        "CCX116",
        f"this ccx reads {VERSION}; {shown}",
        file=written.file,
        span=written.span,
        path=("version",),
        help=advice,
        suggestion=suggestion,
    )


def merge(closure: Closure) -> tuple[Tree | None, tuple[Diagnostic, ...]]:
    """One document of all files, with what is wrong between them. None where no file holds anything."""
    found: list[Diagnostic] = []
    parts: list[tuple[str, Mapping[str, Tree], Mapping[str, Span]]] = []
    root: Tree | None = None
    for source in closure.sources:
        tree = source.tree
        if tree is None:
            if not source.diagnostics:
                found.append(diagnostic("CCX109", "the file is empty", file=source.name, span=START))
            continue
        if not isinstance(tree.content, Mapping):
            message = "a spec is a mapping with keys such as `channels` and `routes`"
            found.append(diagnostic("CCX109", message, file=tree.file, span=Span(*(tree.span.line, tree.span.col) * 2)))
            continue
        parts.append((source.name, tree.content, tree.keys or {}))
        root = tree
    if root is None:
        return None, tuple(found)
    content: dict[str, Tree] = {}
    keys: dict[str, Span] = {}
    for name, sections, spans in parts:
        for section, tree in sections.items():
            if section in ("include", "version") and name != closure.entry:
                continue
            if section not in content:
                content[section], keys[section] = tree, spans[section]
                continue
            content[section] = _joined(section, content[section], tree, key=spans[section], found=found)
    size = 1 + sum(tree.size for tree in content.values())
    height = 1 + max((tree.height for tree in content.values()), default=-1)
    return Tree(content, root.file, root.span, keys, False, size, height), tuple(found)


def _joined(section: str, first: Tree, second: Tree, *, key: Span, found: list[Diagnostic]) -> Tree:
    if section in UNITED and isinstance(first.content, Mapping) and isinstance(second.content, Mapping):
        return _united(section, first, second, found=found)
    if section in CONCATENATED and isinstance(first.content, tuple) and isinstance(second.content, tuple):
        both = (*first.content, *second.content)
        size = 1 + sum(tree.size for tree in both)
        return Tree(both, first.file, first.span, None, False, size, max(first.height, second.height))
    if section in UNITED | CONCATENATED:
        kind = "a mapping" if section in UNITED else "a list"
        for tree in (first, second):
            if not isinstance(tree.content, Mapping if section in UNITED else tuple):
                message = f"`{section}` is {kind}"
                found.append(diagnostic("CCX109", message, file=tree.file, span=tree.span, path=(section,)))
        return first if isinstance(first.content, Mapping | tuple) else second
    found.append(
        diagnostic(
            "CCX118",
            f"`{section}` is written in {first.file!r} and in {second.file!r}",
            file=second.file,
            span=key,
            path=(section,),
            help="write the section in one of the files",
            related=(Related(first.span, first.file, "first written here"),),
        )
    )
    return first


def _united(section: str, first: Tree, second: Tree, *, found: list[Diagnostic]) -> Tree:
    if not isinstance(first.content, Mapping) or not isinstance(second.content, Mapping):
        raise TypeError("only mappings are united")
    content, keys = dict(first.content), dict(first.keys or {})
    for name, tree in second.content.items():
        span = (second.keys or {})[name]
        if name in content:
            path: Path = (section, name)
            message = (
                f"the {_SINGULAR[section]} {show(name)} is declared twice, in {content[name].file!r} and {tree.file!r}"
            )
            related = Related(keys[name], content[name].file, "first declared here")
            found.append(
                diagnostic(
                    "CCX102",
                    message,
                    file=tree.file,
                    span=span,
                    path=path,
                    help="rename one of them",
                    related=(related,),
                )
            )
            continue
        content[name], keys[name] = tree, span
    size = 1 + sum(tree.size for tree in content.values())
    height = 1 + max((tree.height for tree in content.values()), default=-1)
    return Tree(content, first.file, first.span, keys, False, size, height)
