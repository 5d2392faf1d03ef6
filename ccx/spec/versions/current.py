"""Files of older versions as files of the current one, before anything else looks at them.

Law: what is loaded is always of the current version; no later step knows that there was another. The places stay those
of the old text, in its own words: its shape is judged by its own schema, and a file that has not that shape is not
converted. A file without a version is of that of the file that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from jsonschema import Draft7Validator, ValidationError

from ccx.spec.diagnostics import Diagnostic, diagnostic, has_errors
from ccx.spec.document import VERSION
from ccx.spec.finding import Finding, located
from ccx.spec.findings import explain
from ccx.spec.inline import find_secrets
from ccx.spec.locations import Locations, Tree
from ccx.spec.source import Closure, SourceFile
from ccx.spec.versions import v1alpha1
from ccx.spec.versions.deprecated import Use, uses
from ccx.spec.versions.forms import TreeForms
from ccx.spec.wording import where


@dataclass(frozen=True, slots=True)
class Modern:
    """A closure of the current version, but for files that have an error. `uses` are deprecated fields of its files."""

    closure: Closure
    diagnostics: tuple[Diagnostic, ...]
    uses: tuple[Use, ...] = ()


def modern(closure: Closure) -> Modern:
    """The closure with every file converted that is of an older version."""
    old = {source.name: source.tree for source in closure.sources if is_old(source, closure)}
    if not old:
        return Modern(closure, ())
    sources: list[SourceFile] = []
    found: list[Diagnostic] = []
    deprecated: list[Use] = []
    for source in closure.sources:
        tree = old.get(source.name)
        if tree is None:
            sources.append(source)
            continue
        wrong = tuple(_misshapen(tree))
        found += [*_told(tree), *wrong]
        deprecated += uses(tree, v1alpha1.DEPRECATED)
        converted = v1alpha1.convert(tree, TreeForms()) if not has_errors(wrong) else tree
        sources.append(replace(source, tree=converted))
    return Modern(replace(closure, sources=tuple(sources)), tuple(found), tuple(deprecated))


def is_old(source: SourceFile, closure: Closure) -> bool:
    """Whether a file is of an older version that can be read."""
    if source.tree is None or not isinstance(source.tree.content, Mapping):
        return False
    own = source.tree.child("version")
    if own is not None:
        return own.content == v1alpha1.VERSION
    entry = next((one.tree for one in closure.sources if one.name == closure.entry), None)
    version = entry.child("version") if entry is not None else None
    return version is not None and version.content == v1alpha1.VERSION


def _told(tree: Tree) -> Iterator[Diagnostic]:
    version = tree.child("version")
    if version is not None:
        yield diagnostic(
            "CCX501",
            f"{v1alpha1.VERSION} is read until ccx {v1alpha1.DEPRECATED[0].removed_in}; the version now is {VERSION}",
            file=version.file,
            span=version.span,
            path=("version",),
            help=f"`ccx migrate {tree.file}` shows how it is written now, and proves that nothing changes",
        )


def _explained(error: ValidationError, document: Any) -> Iterator[Finding]:
    if error.validator != "dependencies":
        yield from explain(error, (), document)
        return
    path = tuple(error.absolute_path)
    message = f"{where(path, document)} has a `fallback` and no `target`"
    yield Finding((*path, "fallback"), "CCX108", message, help="`target`: where requests go first", at_key=True)


@cache
def _validator() -> Draft7Validator:
    return Draft7Validator(v1alpha1.schema())


def _misshapen(tree: Tree) -> Iterator[Diagnostic]:
    """What the old version does not know, in its words. What looks like a secret is not said here, but after."""
    document, locations = tree.value(), Locations(tree)
    hidden = find_secrets(tree).paths
    for error in _validator().iter_errors(document):
        for finding in _explained(error, document):
            if not any(finding.path[: len(path)] == path for path in hidden):
                yield located(finding, locations)
