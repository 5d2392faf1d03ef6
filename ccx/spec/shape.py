"""Whether a document has the shape of a spec or of a file of tests, by the JSON Schema and by the models, in one list.

The schema says best which key is unknown or missing and which kind of value is wrong; the models say best why a scalar
is none of its type. Both look at everything; where both speak of one place the better words are kept, so that one
mistake is one finding. Entries of the large sections that were good before are not checked by the schema again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Generic, TypeVar

from jsonschema import Draft7Validator
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ccx.spec.conditions import BadGlob
from ccx.spec.diagnostics import Path
from ccx.spec.document import VERSION, Spec
from ccx.spec.finding import Finding
from ccx.spec.findings import explain
from ccx.spec.locations import Tree
from ccx.spec.node import Node
from ccx.spec.scalars import EmptyRange
from ccx.spec.schema import FILE_OF, embedded
from ccx.spec.suite import Suite
from ccx.spec.wording import show

_SCHEMA_SAYS: Final = frozenset({"extra_forbidden", "missing", "literal_error"})
_ENTRIES: Final = {
    "routes": "Route",
    "tests": "RoutingTest",
    "invariants": "Invariant",
    "channels": "Channel",
    "clients": "Client",
    "groups": "ClientGroup",
}
N = TypeVar("N", bound=Node)


@dataclass(frozen=True, slots=True)
class Shape(Generic[N]):
    """The outcome: the model where there is one, the findings, and the digests of the entries that are good."""

    spec: N | None
    findings: tuple[Finding, ...]
    good: frozenset[bytes]


def check_shape(root: Tree, *, good: frozenset[bytes] = frozenset()) -> Shape[Spec]:
    """Check a spec. `good` are entries that the schema has passed before."""
    return _check(root, Spec, good=good)


def check_suite_shape(root: Tree) -> Shape[Suite]:
    """Check a file of tests."""
    return _check(root, Suite, good=frozenset())


def _check(root: Tree, model: type[N], *, good: frozenset[bytes]) -> Shape[N]:
    document = root.value()
    if not isinstance(document, dict):
        raise TypeError("a document is a mapping")
    document.setdefault("version", VERSION)  # a missing one is reported before all else
    findings, passed = _by_schema(document, FILE_OF[model], good=good)
    spec, raised = _by_models(document, model)
    shaped = bool(findings)
    for one in raised:
        if shaped and (one["type"] in _SCHEMA_SAYS or one["type"].endswith("_type")):
            continue  # the schema knows all of these, and which branch of a union was meant
        finding = _of_model(one, root)
        kept = _better(finding, findings)
        if kept is not None:
            findings = kept
    return Shape(spec if not findings else None, tuple(findings), passed)


def _by_schema(
    document: dict[str, Any], file: str, *, good: frozenset[bytes]
) -> tuple[list[Finding], frozenset[bytes]]:
    findings: list[Finding] = []
    passed: set[bytes] = set()
    frame, entry_of = _validators(file)
    for error in frame.iter_errors(document):
        findings.extend(explain(error, (), document))
    for section, path, entry in _entries(document):
        if section not in entry_of:
            continue  # an unknown section of this kind of file, which the frame has named
        mark = hashlib.blake2b(f"{section}\0{entry!r}".encode(), digest_size=16).digest()
        if mark in good:
            passed.add(mark)
            continue
        before = len(findings)
        for error in entry_of[section].iter_errors(entry):
            findings.extend(explain(error, path, document))
        if len(findings) == before:
            passed.add(mark)
    return findings, frozenset(passed)


def _entries(document: Mapping[str, Any]) -> Iterator[tuple[str, Path, Any]]:
    for section in _ENTRIES:
        entries = document.get(section)
        if isinstance(entries, dict):
            yield from ((section, (section, name), entry) for name, entry in entries.items())
        elif isinstance(entries, list):
            yield from ((section, (section, index), entry) for index, entry in enumerate(entries))


@cache
def _validators(file: str) -> tuple[Draft7Validator, Mapping[str, Draft7Validator]]:
    """The schema in two parts, which together are the whole: the frame, and the entries of the large sections."""
    schema = embedded(file)
    properties = dict(schema["properties"])
    for section in _ENTRIES.keys() & properties.keys():
        inner = "items" if properties[section]["type"] == "array" else "additionalProperties"
        properties[section] = {**properties[section], inner: {}}
    frame = Draft7Validator({**schema, "properties": properties})
    entry_of = {
        section: Draft7Validator(
            {"definitions": schema["definitions"], "allOf": [{"$ref": f"#/definitions/{definition}"}]}
        )
        for section, definition in _ENTRIES.items()
        if section in properties
    }
    return frame, entry_of


def _by_models(document: dict[str, Any], model: type[N]) -> tuple[N | None, list[ErrorDetails]]:
    try:
        return model.model_validate(document), []
    except ValidationError as error:
        return None, error.errors(include_url=False, include_input=False)


def _of_model(error: ErrorDetails, root: Tree) -> Finding:
    """A finding of the models. Their places name branches of unions too; what the tree does not have is left out."""
    path: Path = ()
    here = root
    for part in error["loc"]:
        below = here.child(part)
        if below is not None:
            here, path = below, (*path, part)
    cause = error.get("ctx", {}).get("error")
    if error["type"] == "value_error" and isinstance(cause, ValueError):
        code = {EmptyRange: "CCX104", BadGlob: "CCX105"}.get(type(cause), "CCX110")
        message, _, advice = str(cause).partition("; ")
        if code == "CCX110" and isinstance(here.content, str) and here.plain and _grouped(here.content):
            message = f"`{here.content}` is text in YAML 1.2"
            digits = here.content.replace("_", "")
            return Finding(path, "CCX106", message, help=f"write `{digits}`", suggestion=digits, worded=True)
        return Finding(path, code, message, help=advice or None, worded=True)
    bounds = {"greater_than_equal": ("ge", "small", "least"), "less_than_equal": ("le", "large", "most")}
    if error["type"] in bounds:
        name, size, word = bounds[error["type"]]
        message = f"{show(here.content)} is too {size}"
        return Finding(path, "CCX110", message, help=f"the {word} is {error['ctx'][name]}")
    return Finding(path, "CCX110", error["msg"][:1].lower() + error["msg"][1:])


def _grouped(text: str) -> bool:
    return "_" in text and text.replace("_", "").isdecimal()


def _better(finding: Finding, findings: list[Finding]) -> list[Finding] | None:
    """The findings with this one in its place, or None where the place has been spoken of already."""
    at = [index for index, other in enumerate(findings) if _one_line(other.path, finding.path)]
    same = [index for index in at if findings[index].path == finding.path and findings[index].scalar]
    if finding.worded and same:
        return [*findings[: same[0]], finding, *findings[same[0] + 1 :]]
    if at:
        return None
    return [*findings, finding]


def _one_line(first: Path, second: Path) -> bool:
    """Whether one of two places holds the other."""
    shorter = min(len(first), len(second))
    return first[:shorter] == second[:shorter]
