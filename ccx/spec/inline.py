"""Secrets that stand in a spec, and where: found before anything else so that nothing after this ever shows them.

Two signs: the place (a key's name, a header that authenticates, a password in a URL) and the shape (the prefixes that
vendors give their keys). The excerpts of source lines know the places too; lines of files that are not YAML are masked
by shape and by what stands after a telling name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ccx.spec.diagnostics import Diagnostic, Path, Span, diagnostic
from ccx.spec.locations import Tree

AUTH_HEADERS: Final = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "x-auth-token"}
)
SHAPES: Final = re.compile(
    r"""\b(?:
        sk-[A-Za-z0-9_-]{12,} | sk_(?:live|test)_[A-Za-z0-9]{12,}
      | AIza[A-Za-z0-9_-]{20,} | gsk_[A-Za-z0-9]{16,} | xai-[A-Za-z0-9]{16,} | hf_[A-Za-z0-9]{16,}
      | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_[A-Za-z0-9_]{20,} | glpat-[A-Za-z0-9_-]{16,}
      | AKIA[A-Z0-9]{16} | xox[abprs]-[A-Za-z0-9-]{10,} | pplx-[A-Za-z0-9]{16,} | r8_[A-Za-z0-9]{16,}
      | ccx-[A-Za-z0-9_-]{32,}
      | eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*
    )
    | (?i:\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{12,}
    | -----BEGIN\ [A-Z\ ]*PRIVATE\ KEY-----""",
    re.VERBOSE,
)
_CREDENTIALS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s@]*@")
_QUERY_KEY: Final = re.compile(r"[?&](?:key|api[-_]?key|token|access_token)=[^&#\s]+", re.IGNORECASE)
_TELLING: Final = frozenset(
    {"key", "keys", "apikey", "apikeys", "token", "authtoken", "accesstoken", "secret", "password", "bearer"}
)
_AFTER_NAME: Final = re.compile(
    r"""(?ix)(?P<name>["']?(?:api[-_]?)?(?:keys?|token|secret|password|authorization|cookie)["']?\s*[:=]\s*)
    (?P<value>(?:"[^"]{6,}"?|'[^']{6,}'?|[^\s{\[\]},\#"'&*|>][^\s,}\]]{5,}))"""
)
_WHOLE: Final = re.compile(r"""(?i)(["']?\b(?:proxy-)?(?:authorization|cookie)["']?\s*[:=]\s*)([^\s{\[].*)$""")
_TOKEN: Final = re.compile(r"/(?=[^/]*\d)[A-Za-z0-9_-]{20,}(?:/|$)|//(?:hooks\.slack\.com|discord(?:app)?\.com)/")
_WORD: Final = re.compile(r"[A-Za-z0-9]{4}")
_LITERAL: Final = frozenset({"value", "literal", "plain", "raw", "text", "inline"})
MASK: Final = "•"


@dataclass(frozen=True, slots=True)
class InlineSecrets:
    """What was found: the diagnostics, the paths of values that must not be shown, and where they stand."""

    diagnostics: tuple[Diagnostic, ...]
    paths: frozenset[Path]
    places: tuple[tuple[str, Span], ...]


def find_secrets(root: Tree) -> InlineSecrets:
    """Every secret in the document."""
    found: list[Diagnostic] = []
    paths: set[Path] = set()
    places: list[tuple[str, Span]] = []
    seen: set[tuple[str, Span]] = set()
    for path, file, span in _named_by_secrets(root, ()):
        paths.add(path)
        if (file, span) not in seen:
            seen.add((file, span))
            places.append((file, span))
            advice = "write where it is: {env: NAME} or {file: /run/secrets/name}"
            message = "a secret is written here in place of a key's name"
            # The pointer ends above: the name is the secret.
            found.append(diagnostic("CCX401", message, file=file, span=span, path=path[:-1], help=advice))
    for path, tree in _texts(root, ()):
        what = _what(path, str(tree.content))
        if what is None:
            continue
        paths.add(path)
        place = (tree.file, tree.span)
        if place in seen:
            continue
        seen.add(place)
        places.append(place)
        message, advice = what
        found.append(diagnostic("CCX401", message, file=tree.file, span=tree.span, path=path, help=advice))
    return InlineSecrets(tuple(found), frozenset(paths), tuple(places))


def looks_secret(text: str) -> bool:
    """Whether the text has the shape of a vendor's key or holds credentials in a URL."""
    return bool(SHAPES.search(text) or _CREDENTIALS.search(text) or _QUERY_KEY.search(text))


def mask_line(line: str) -> str:
    """The line with everything that looks like a secret covered, its columns unchanged."""
    line = SHAPES.sub(lambda match: MASK * len(match[0]), line)
    line = _CREDENTIALS.sub(lambda match: _cover_after(match[0], "://"), line)
    line = _QUERY_KEY.sub(lambda match: _cover_after(match[0], "="), line)
    line = _WHOLE.sub(lambda match: match[1] + MASK * len(match[2]), line)
    return _AFTER_NAME.sub(
        lambda match: match[0] if _harmless(match["value"]) else match["name"] + MASK * len(match["value"]), line
    )


def _harmless(value: str) -> bool:
    """Numbers with units and the words that may stand after `keys:`."""
    return value[:1].isdigit() or value.strip("\"'") in {"none", "null", "false", "true"}


def _cover_after(text: str, sign: str) -> str:
    head, found, tail = text.partition(sign)
    return head + found + MASK * len(tail)


def _texts(tree: Tree, path: Path) -> Iterator[tuple[Path, Tree]]:
    if isinstance(tree.content, str):
        yield path, tree
    elif isinstance(tree.content, Mapping):
        for key, child in tree.content.items():
            yield from _texts(child, (*path, key))
    elif isinstance(tree.content, tuple):
        for index, child in enumerate(tree.content):
            yield from _texts(child, (*path, index))


def _named_by_secrets(tree: Tree, path: Path) -> Iterator[tuple[Path, str, Span]]:
    """Keys that are secrets, as in `keys: {sk-...}`, which YAML reads as a mapping."""
    if isinstance(tree.content, Mapping):
        for key, child in tree.content.items():
            if SHAPES.search(key) and tree.keys is not None:
                yield (*path, key), child.file, tree.keys[key]
            else:
                yield from _named_by_secrets(child, (*path, key))
    elif isinstance(tree.content, tuple):
        for index, child in enumerate(tree.content):
            yield from _named_by_secrets(child, (*path, index))


def _what(path: Path, text: str) -> tuple[str, str] | None:
    """What secret stands here and what to write instead, without showing it; None where there is none."""
    reference = "write where it is: {env: NAME} or {file: /run/secrets/name}"
    names = [part for part in path if isinstance(part, str)]
    last = names[-1] if names else ""
    plain = last.lower().replace("-", "").replace("_", "")
    if path[:1] == ("clients",) and len(names) == 3 and plain in _TELLING:
        return "the client's key itself is written here", "`ccx keys new NAME` prints a key and its hash to write here"
    in_header = len(names) >= 2 and names[-2] in {"set", "header", "headers"}
    if in_header and last.lower() in AUTH_HEADERS and _WORD.search(text):
        return f"the header {last!r} carries a secret", "keys belong to the channel's `keys`, which is a reference"
    if _CREDENTIALS.search(text) or _QUERY_KEY.search(text):
        return "the URL carries credentials", f"{reference}, holding the whole URL"
    if last in {"env", "file"} and SHAPES.search(text):
        return f"`{last}` holds what looks like the key itself", f"`{last}` names the place of the key: {reference}"
    upstream = names[:1] in (["channels"], ["admin"], ["defaults"], ["state"]) and "tags" not in names
    if upstream and not in_header and plain in _TELLING and text.strip() and text not in {"none", "off"}:
        return "the secret itself is written here", reference
    if names[:1] == ["channels"] and "keys" in names[:-1] and plain in _LITERAL:
        return "the secret itself is written here", reference
    if path == ("telemetry", "alerts", "url") and _TOKEN.search(text):
        return "the URL holds what looks like a token", f"{reference}, holding the whole URL"
    if SHAPES.search(text):
        return "this looks like a secret", f"if it is one, {reference}"
    return None
