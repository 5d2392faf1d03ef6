"""What a violation of the JSON Schema means, in words for the person who wrote the file.

A union is explained by the branch that was meant, told by the keys that are there and by the kind of value; an unknown
key beside a missing one that resembles it is one finding; legal alternatives are listed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from jsonschema import ValidationError

from ccx.spec.diagnostics import Path
from ccx.spec.finding import Finding
from ccx.spec.schema import embedded
from ccx.spec.wording import FORMS, KINDS, SYNONYMS, closest, kind_of, listed, show, where

_NO_TARGETS: Final = frozenset({"to", "targets", "keys"})
_SECTIONS: Final = frozenset(embedded()["properties"])


def explain(error: ValidationError, base: Path, document: Any) -> Iterator[Finding]:
    """The findings of one violation; `base` is the path of what was validated within the document."""
    path: Path = (*base, *error.absolute_path)
    value: Any = error.instance
    rule: Any = error.validator_value
    schema: Any = error.schema
    if list(error.absolute_schema_path)[-2:-1] == ["propertyNames"]:
        yield _bad_name(error, path)
        return
    match error.validator:
        case "anyOf":
            yield from _of_union(error, path, base, document)
        case "oneOf":
            return  # exactly one of some keys: the models and the references name them
        case "additionalProperties":
            yield from _unknown_keys(error, path, document)
        case "required":
            yield from _missing_keys(error, path, document)
        case "type":
            yield _wrong_type(value, [rule] if isinstance(rule, str) else list(rule), path)
        case "enum" | "const":
            legal = list(rule) if error.validator == "enum" else [rule]
            yield _not_legal(value, legal, path)
        case "pattern":
            what, form = FORMS.get(rule, ("of the right form", schema.get("description", f"it has the form {rule}")))
            yield Finding(path, "CCX110", f"{show(value)} is not {what}", help=form, scalar=True)
        case "minItems" | "minProperties":
            code = "CCX222" if path and path[-1] in _NO_TARGETS else "CCX110"
            yield Finding(path, code, f"{_named(path)} is empty", help="write at least one entry")
        case "minimum" | "exclusiveMinimum":
            yield Finding(path, "CCX110", f"{show(value)} is too small", help=f"the least is {rule}")
        case "maximum" | "exclusiveMaximum":
            yield Finding(path, "CCX110", f"{show(value)} is too large", help=f"the most is {rule}")
        case "minLength":
            yield Finding(path, "CCX110", f"{_named(path)} is empty", help="write some text, or remove the key")
        case "maxLength":
            yield Finding(path, "CCX110", f"{_named(path)} has {len(value)} characters", help=f"the most is {rule}")
        case _:
            yield Finding(path, "CCX110", f"{_named(path)} is not legal: {error.validator}")


def _named(path: Path) -> str:
    return f"`{path[-1]}`" if path and isinstance(path[-1], str) else "the entry"


def _unknown_keys(error: ValidationError, path: Path, document: Any) -> Iterator[Finding]:
    schema: Any = error.schema
    value: Any = error.instance
    legal = list(schema.get("properties", {}))
    free = [key for key in legal if key not in value]
    missing = [key for key in schema.get("required", ()) if key in free]
    for key in value:
        if key in legal:
            continue
        meant = _meant(key, missing, cutoff=0.5) or _meant(key, free, cutoff=0.6)
        if meant is not None:
            advice = f"did you mean `{meant}`?"
            free = [one for one in free if one != meant]
            missing = [one for one in missing if one != meant]
        elif path and key in _SECTIONS and key not in legal:
            advice = f"`{key}` is a section of its own, at the top of the file"
        else:
            advice = f"legal here: {listed(legal)}"
        shown = show(key)
        message = f"unknown key {shown} in {where(path, document)}"
        yield Finding((*path, key), "CCX101", message, help=advice, suggestion=meant, at_key=True)


def _meant(key: str, legal: Sequence[str], *, cutoff: float) -> str | None:
    for synonym in SYNONYMS.get(key, ()):
        if synonym in legal:
            return synonym
    asked = key.lower().replace("-", "_")
    folded = {one.lower(): one for one in legal}
    near = difflib.get_close_matches(asked, list(folded), n=1, cutoff=cutoff)
    return folded[near[0]] if near else None


def _missing_keys(error: ValidationError, path: Path, document: Any) -> Iterator[Finding]:
    schema: Any = error.schema
    value: Any = error.instance
    required: Any = error.validator_value
    # jsonschema reports each missing key by itself; the one meant is the one its message starts with.
    key = next(key for key in required if error.message.startswith(repr(key)))
    legal = list(schema.get("properties", {}))
    missing = [one for one in required if one not in value]
    free = [one for one in legal if one not in value]
    for unknown in value:
        if unknown in legal:
            continue
        meant = _meant(unknown, missing, cutoff=0.5) or _meant(unknown, free, cutoff=0.6)
        if meant == key:
            return  # one mistake: reported as the unknown key
        missing = [one for one in missing if one != meant]
        free = [one for one in free if one != meant]
    description = schema.get("properties", {}).get(key, {}).get("description")
    message = f"{where(path, document)} has no `{key}`"
    yield Finding((*path, key), "CCX108", message, help=f"`{key}`: {description}" if description else None)


def _bad_name(error: ValidationError, path: Path) -> Finding:
    # The path ends at the mapping; the instance is the key.
    name: Any = error.instance
    schema: Any = error.schema
    what, form = FORMS.get(str(error.validator_value), ("a legal name here", schema.get("description")))
    return Finding((*path, name), "CCX110", f"{show(name)} is not {what}", help=form, at_key=True)


def _fits(value: Any, kind: str) -> bool:
    actual = kind_of(value)
    return actual == kind or (kind == "number" and actual == "integer")


def _wrong_type(value: Any, kinds: list[str], path: Path, *, wanted: Sequence[str] = ()) -> Finding:
    words = " or ".join(dict.fromkeys(wanted or [KINDS[kind] for kind in kinds]))
    if value is None:
        return Finding(
            path, "CCX109", f"{_named(path)} has no value", help=f"write {words}, or remove the key", at_key=True
        )
    got = KINDS[kind_of(value)]
    shown = f"{got} {show(value)}" if isinstance(value, str) else show(value)
    message = f"{_named(path)} takes {words}, not {shown}"
    if isinstance(value, str):
        if "boolean" in kinds and value.lower() in {"yes", "no", "on", "off", "y", "n", "true", "false"}:
            truth = "true" if value.lower() in {"yes", "on", "y", "true"} else "false"
            if value.lower() in {"true", "false"}:
                return Finding(path, "CCX109", message, help="remove the quotes", suggestion=truth)
            message = f"`{value}` is text in YAML 1.2, and {_named(path)} takes true or false"
            return Finding(path, "CCX106", message, help=f"write `{truth}`", suggestion=truth)
        if {"integer", "number"} & set(kinds) and re.fullmatch(r"-?\d+(_\d+)+", value):
            digits = value.replace("_", "")
            return Finding(
                path, "CCX106", f"`{value}` is text in YAML 1.2", help=f"write `{digits}`", suggestion=digits
            )
        if {"integer", "number"} & set(kinds) and re.fullmatch(r"-?\d+(\.\d+)?", value):
            return Finding(path, "CCX109", message, help="remove the quotes", suggestion=value)
    if kinds == ["string"] and not isinstance(value, dict | list):
        text = show(value).strip("`")
        return Finding(path, "CCX109", message, help="put it in quotes", suggestion=f'"{text}"', scalar=True)
    return Finding(path, "CCX109", message, scalar=not isinstance(value, dict | list))


def _not_legal(value: Any, legal: list[Any], path: Path) -> Finding:
    words = [str(one) for one in legal]
    if isinstance(value, bool) and "off" in words:
        return Finding(path, "CCX110", f"{show(value)} is not legal here", help=f"legal here: {listed(words)}")
    meant = closest(value, words) if isinstance(value, str) else None
    advice = f"did you mean `{meant}`? " if meant else ""
    return Finding(
        path,
        "CCX110",
        f"{show(value)} is not legal here",
        help=f"{advice}legal here: {listed(words)}",
        suggestion=meant,
    )


def _of_union(error: ValidationError, path: Path, base: Path, document: Any) -> Iterator[Finding]:
    """The violation as the branch that was meant sees it."""
    rule: Any = error.validator_value
    value: Any = error.instance
    branches: list[Mapping[str, Any]] = [_resolved(branch) for branch in rule]
    by_branch: dict[int, list[ValidationError]] = {}
    for inner in error.context or ():
        by_branch.setdefault(int(inner.relative_schema_path[0]), []).append(inner)
    chosen = _branch(value, branches)
    if chosen is not None:
        for inner in by_branch.get(chosen, ()):
            yield from explain(inner, base, document)
        return
    legal = [word for branch in branches for word in _words(branch)]
    if isinstance(value, str) and legal and not any("pattern" in branch for branch in branches):
        yield _not_legal(value, legal, path)
        return
    kinds = list(dict.fromkeys(kind for branch in branches for kind in _types(branch)))
    if any(_fits(value, kind) for kind in kinds):
        forms = [FORMS[branch["pattern"]] for branch in branches if branch.get("pattern") in FORMS]
        what, form = forms[0] if forms else ("legal here", None)
        yield Finding(path, "CCX110", f"{show(value)} is not {what}", help=form, scalar=True)
        return
    structured = [KINDS[kind] for branch in branches for kind in _types(branch) if "const" not in branch]
    yield _wrong_type(value, kinds, path, wanted=[*structured, *(f"`{word}`" for word in legal)])


def _branch(value: Any, branches: Sequence[Mapping[str, Any]]) -> int | None:
    """The branch that was meant: by the keys that are there, else the only one of the value's kind."""
    fitting = [i for i, branch in enumerate(branches) if any(_fits(value, kind) for kind in _types(branch))]
    if isinstance(value, dict) and len(fitting) > 1:
        if {"balance", "targets"} & set(value):
            for index in fitting:
                if "targets" in branches[index].get("properties", {}):
                    return index
        return max(
            fitting,
            key=lambda i: (_known(value, branches[i]), "required" not in branches[i], -len(_needed(branches[i]))),
        )
    if len(fitting) == 1 and "const" not in branches[fitting[0]]:
        return fitting[0]
    return None


def _known(value: Mapping[str, Any], branch: Mapping[str, Any]) -> int:
    return len(set(value) & set(branch.get("properties", {})))


def _needed(branch: Mapping[str, Any]) -> Sequence[str]:
    needed: Sequence[str] = branch.get("required", ())
    return needed


def _words(branch: Mapping[str, Any]) -> list[str]:
    words = branch.get("enum", [branch["const"]] if "const" in branch else [])
    return [word for word in words if isinstance(word, str)]


def _types(branch: Mapping[str, Any]) -> list[str]:
    kind = branch.get("type")
    if kind is None:
        if "const" in branch:
            return [kind_of(branch["const"])]
        return [kind for inner in branch.get("anyOf", ()) for kind in _types(_resolved(inner))]
    return [kind] if isinstance(kind, str) else list(kind)


def _resolved(branch: Mapping[str, Any]) -> Mapping[str, Any]:
    """A branch with its one reference followed."""
    inner = branch.get("allOf", (branch,))[0]
    if "$ref" in inner:
        found: Mapping[str, Any] = embedded()["definitions"][inner["$ref"].rsplit("/", 1)[-1]]
        return found
    return branch
