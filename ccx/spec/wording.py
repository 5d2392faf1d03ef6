"""Words for findings: how a value, a place and a set of alternatives are said, and what is meant by a near miss."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ccx.spec.channels import PROXY_PATTERN, URL_PATTERN
from ccx.spec.conditions import FIELD_PATTERN, HEADER_PATTERN
from ccx.spec.diagnostics import Path, name_path
from ccx.spec.document import (
    LISTEN_PATTERN,
    ORIGIN_PATTERN,
    OTLP_PATTERN,
    REDIS_PATTERN,
    RISE_PATTERN,
    SHA256_PATTERN,
)
from ccx.spec.inline import looks_secret
from ccx.spec.node import ENV_PATTERN, NAME_PATTERN

_SHOWN: Final = 60
_LISTED: Final = 16
FORMS: Final[Mapping[str, tuple[str, str]]] = {
    NAME_PATTERN: (
        "a name",
        "letters, digits, dots, dashes and underscores, starting with a letter or digit, 64 at most",
    ),
    ENV_PATTERN: ("the name of an environment variable", "write it like ANTHROPIC_API_KEY"),
    URL_PATTERN: ("the address of an upstream", "write it like https://api.example.com/v1"),
    PROXY_PATTERN: ("the address of a proxy", "write it like http://proxy.example.com:3128, or socks5://host:1080"),
    REDIS_PATTERN: ("the address of a Redis", "write it like rediss://cache.example.com:6379/0"),
    HEADER_PATTERN: ("the name of a header", "write it like x-team"),
    FIELD_PATTERN: ("a field of the body", "write a dotted path like metadata.tier"),
    LISTEN_PATTERN: ("an address to listen on", "write host and port like 127.0.0.1:3000 or [::1]:3000"),
    SHA256_PATTERN: ("a SHA-256", "64 lower-case hexadecimal digits; `ccx keys new NAME` prints a key and its hash"),
    ORIGIN_PATTERN: ("an origin", "write it like https://app.example.com, or `*` for any"),
    OTLP_PATTERN: ("an OTLP endpoint", "write it like http://127.0.0.1:4318"),
    RISE_PATTERN: ("a rise of the error rate", "write it like +5%"),
}
# What other gateways and older habits call things, so that `did you mean` also helps where the spelling cannot.
SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = {
    "api_key": ("keys", "key"),
    "api_keys": ("keys",),
    "apikey": ("keys", "key"),
    "key": ("keys",),
    "token": ("keys", "key"),
    "url": ("base_url",),
    "endpoint": ("base_url",),
    "host": ("base_url", "listen"),
    "api_base": ("base_url",),
    "type": ("provider", "protocol"),
    "match": ("when",),
    "if": ("when",),
    "condition": ("when",),
    "conditions": ("when",),
    "then": ("to",),
    "target": ("to", "channel"),
    "targets": ("to",),
    "channels": ("to",),
    "fallback": ("to",),
    "fallbacks": ("to",),
    "provider": ("channel",),
    "strategy": ("balance", "key_strategy"),
    "retries": ("attempts",),
    "retry": ("failover",),
    "timeout": ("timeouts", "total"),
    "rate_limit": ("limits",),
    "rpm": ("requests",),
    "tpm": ("input_tokens",),
    "users": ("clients",),
    "providers": ("channels",),
    "upstreams": ("channels",),
    "rules": ("routes",),
    "address": ("listen",),
    "port": ("listen",),
    "tokens": ("input_tokens",),
    "headers": ("header",),
    "apiVersion": ("version",),
}


KINDS: Final[Mapping[str, str]] = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


def show(value: Any) -> str:
    """A scalar as it may be shown: short, on one line, and never when it looks like a secret."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    text = str(value)
    if looks_secret(text):
        return "a value that looks like a secret"
    text = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return repr(text) if isinstance(value, str) else text


def where(path: Path, document: Any) -> str:
    """The entry a path lies in, by name: `route 'default'`, `channel 'main'`; else the path."""
    match path:
        case ("channels" | "clients" | "groups" | "models" as section, str(name), *rest):
            inside = f", {name_path(tuple(rest))}" if rest else ""
            return f"{section[:-1]} {show(name)}{inside}"
        case ("routes" | "tests" as section, int(index), *rest):
            entries = document.get(section, ()) if isinstance(document, dict) else ()
            entry = entries[index] if isinstance(entries, list) and index < len(entries) else None
            called = entry.get("name") if isinstance(entry, dict) else None
            inside = f", {name_path(tuple(rest))}" if rest else ""
            label = f"{section[:-1]} {show(called)}" if isinstance(called, str) else f"{section}[{index}]"
            return label + inside
        case ():
            return "the spec"
        case _:
            return name_path(path)


def closest(word: str, legal: Sequence[str]) -> str | None:
    """The legal word that was probably meant."""
    folded = {one.lower().replace("-", "_"): one for one in legal}
    asked = word.lower().replace("-", "_")
    if asked in folded:
        return folded[asked]
    near = difflib.get_close_matches(asked, list(folded), n=1, cutoff=0.6)
    return folded[near[0]] if near else None


def listed(words: Sequence[str]) -> str:
    """Words for a sentence, not too many."""
    more = len(words) - _LISTED
    return ", ".join(words[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def kind_of(value: Any) -> str:
    """The kind of a value by its name in JSON Schema."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
