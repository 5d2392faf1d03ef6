"""`ccx/v1alpha1`: the first version of the spec language. Frozen; it can be read, and `ccx migrate` rewrites it.

It was small. Channels were called upstreams, with one key by the name of its variable; routes were called rules, with
a `match` that bounded the prompt by two numbers, one `target` and its `fallback`s:

    version: ccx/v1alpha1
    upstreams:
      anthropic: {provider: anthropic, api_key_env: ANTHROPIC_API_KEY}
    rules:
      - name: long
        match: {model: claude-*, min_tokens: 60k, max_tokens: 200k}    # 60k <= n < 200k
        target: {upstream: anthropic, model: claude-opus-5}
        fallback: [anthropic]

Law: `convert` is total over documents that have the shape of `schema()`, knows nothing but names and shapes, and leaves
what it does not know as it is: values are judged by the current version, at the places where they stand.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, TypeVar

from ccx.spec.document import VERSION as CURRENT
from ccx.spec.versions.deprecated import Deprecated
from ccx.spec.versions.forms import Change, Forms, each

VERSION: Final = "ccx/v1alpha1"
FILE_NAME: Final = "ccx.v1alpha1.json"
SCHEMA_ID: Final = "urn:ccx:schema:v1alpha1"

N = TypeVar("N")


def _row(field: str, replacement: str) -> Deprecated:
    return Deprecated(tuple(field.split(".")), "0.1", "1.0", replacement)


DEPRECATED: Final[tuple[Deprecated, ...]] = (
    _row("upstreams", "channels"),
    _row("upstreams.*.api_key_env", "keys: {env: NAME}"),
    _row("rules", "routes"),
    _row("rules.*.match", "when"),
    _row("rules.*.match.min_tokens", 'input_tokens: ">= N"'),
    _row("rules.*.match.max_tokens", 'input_tokens: "< N"'),
    _row("rules.*.target", "to: [channel]"),
    _row("rules.*.fallback", "further entries of `to`"),
)
"""What is called otherwise now."""


def convert(root: N, forms: Forms[N]) -> N:
    """A document of this version as one of the current version."""
    changes: list[Change[N]] = []
    if (version := forms.get(root, "version")) is not None:
        changes.append(Change(("version",), "version", forms.text(CURRENT, version)))
    if (upstreams := forms.get(root, "upstreams")) is not None:
        changes.append(Change(("upstreams",), "channels", each(forms, upstreams, partial(_channel, forms=forms))))
    if (rules := forms.get(root, "rules")) is not None:
        changes.append(Change(("rules",), "routes", each(forms, rules, partial(_route, forms=forms))))
    return forms.replaced(root, changes) if changes else root


def _channel(upstream: N, *, forms: Forms[N]) -> N:
    key = forms.get(upstream, "api_key_env")
    if key is None:
        return upstream
    return forms.replaced(upstream, [Change(("api_key_env",), "keys", forms.record("env", key))])


def _route(rule: N, *, forms: Forms[N]) -> N:
    changes: list[Change[N]] = []
    if (match := forms.get(rule, "match")) is not None:
        changes.append(Change(("match",), "when", _condition(match, forms=forms)))
    target, fallback = forms.get(rule, "target"), forms.get(rule, "fallback")
    if target is not None:
        others = forms.items(fallback) if fallback is not None else ()
        if others is None:
            others = () if fallback is None else (fallback,)  # no list: what is wrong with it is said by its shape
        targets = forms.listing([target, *others], fallback if fallback is not None else target)
        changes.append(Change(("target", "fallback"), "to", each(forms, targets, partial(_target, forms=forms))))
    return forms.replaced(rule, changes) if changes else rule


def _target(target: N, *, forms: Forms[N]) -> N:
    upstream = forms.get(target, "upstream")
    return target if upstream is None else forms.replaced(target, [Change(("upstream",), "channel", upstream)])


def _condition(match: N, *, forms: Forms[N]) -> N:
    low, high = forms.get(match, "min_tokens"), forms.get(match, "max_tokens")
    least = forms.said(low) if low is not None else None
    below = forms.said(high) if high is not None else None
    if low is not None and least is not None:
        tokens = forms.text(f"{least}..{below}" if below is not None else f">= {least}", low)
    elif high is not None and below is not None:
        tokens = forms.text(f"< {below}", high)
    else:
        return match
    return forms.replaced(match, [Change(("min_tokens", "max_tokens"), "input_tokens", tokens)])


def schema() -> dict[str, Any]:
    """The JSON Schema of this version, draft-07. It says what is called how; values are judged after converting."""
    text, flag = {"type": "string"}, {"type": "boolean"}
    texts = {"anyOf": [text, {"type": "array", "items": text, "minItems": 1}]}
    count = {"type": ["integer", "string"]}
    target = {
        "anyOf": [
            {**text, "description": "Name of an upstream."},
            _mapping("An upstream, and the model to ask it for.", {"upstream": text, "model": text}, ["upstream"]),
        ]
    }
    match = _mapping(
        "Conditions; all must hold.",
        {
            "protocol": {**texts, "description": "The protocol the client speaks."},
            "model": {**texts, "description": "The model as the client wrote it: a glob, or several."},
            "client": {**texts, "description": "Name of the client."},
            **dict.fromkeys(("stream", "tools", "thinking", "images"), flag),
            "min_tokens": {**count, "description": "Prompts of at least this many tokens."},
            "max_tokens": {**count, "description": "Prompts below this many tokens."},
        },
    )
    deny = _mapping("Refuse the request.", {"status": {"type": "integer"}, "message": text}, ["message"])
    rule = _mapping(
        "One rule.",
        {
            "name": {**text, "description": "Identity of the rule."},
            "match": match,
            "target": {**target, "description": "Where requests go."},
            "fallback": {"type": "array", "items": target, "description": "Where they go when that fails, in order."},
            "deny": deny,
            "description": text,
        },
        ["name"],
    )
    rule["dependencies"] = {"fallback": ["target"]}
    timeouts = _mapping("Time limits.", dict.fromkeys(("connect", "first_byte", "idle", "total"), text))
    names = {"anyOf": [{"type": "object", "additionalProperties": {"type": ["string", "null"]}}, texts]}
    upstream = _mapping(
        "One upstream.",
        {
            "provider": {**text, "description": "A preset (`ccx providers`)."},
            "protocol": texts,
            "base_url": text,
            "api_key_env": {**text, "description": "Name of the environment variable that holds the key."},
            "models": {**names, "description": "Models it may be asked for; a value renames."},
            "timeouts": timeouts,
            "enabled": flag,
        },
    )
    client = _mapping(
        "Who may call.",
        {"key": _mapping("A hashed key.", {"sha256": text}, ["sha256"]), "models": texts, "enabled": flag},
        ["key"],
    )
    root = _mapping(
        "A ccx gateway, as it was first written: upstreams and rules. `ccx migrate` rewrites it.",
        {
            "version": {"const": VERSION},
            "include": {"type": "array", "items": text, "description": "More files, relative to this one."},
            "server": _mapping("The process.", {"listen": text, "max_body": count}),
            "clients": {"type": "object", "additionalProperties": client},
            "upstreams": {"type": "object", "additionalProperties": upstream, "description": "Upstreams by name."},
            "rules": {"type": "array", "items": rule, "description": "Rules; the first match wins."},
        },
    )
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "$id": SCHEMA_ID, "title": f"ccx gateway, {VERSION}"}
    return {**head, **root}


def _mapping(description: str, properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    shape: dict[str, Any] = {"type": "object", "description": description, "properties": properties}
    if required:
        shape["required"] = required
    return {**shape, "additionalProperties": False}
