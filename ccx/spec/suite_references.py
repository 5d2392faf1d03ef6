"""Whether tests and invariants fit the spec they are about: names they use, and what they say of themselves.

Works on trees that may be malformed, as `ccx.spec.references` does; the tests may stand in the spec or in a file of
their own, whose tests are then looked at in the place of the spec's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ccx.spec.diagnostics import Path
from ccx.spec.finding import Finding
from ccx.spec.locations import Tree
from ccx.spec.view import entries, items, text, texts, under
from ccx.spec.wording import closest, listed, show

_CHANNELS: Final = ("targets", "target", "target_in", "not_target", "failover", "served_by")
_IMPLICIT: Final = "@"


def check_suite(root: Tree, *, complete: bool, known: Mapping[str, Tree] | None = None) -> Iterator[Finding]:
    """Everything that does not fit. `known` are further tests by name, which `like` may name too. Names are not missed
    when the files are not `complete`."""
    tests = dict(known or {})
    for section in ("tests", "invariants"):
        seen: dict[str, Path] = {}
        for index, entry in enumerate(items(under(root, section))):
            name = text(under(entry, "name"))
            if name is None:
                continue
            at: Path = (section, index, "name")
            if name in seen or (section == "tests" and known is not None and name in known):
                also = ((seen[name], "first used here"),) if name in seen else ()
                message = f"two {section} are called {show(name)}"
                yield Finding(at, "CCX102", message, help="rename one of them: results are told by name", also=also)
            seen.setdefault(name, at)
            if section == "tests":
                tests.setdefault(name, entry)
    for index, test in enumerate(items(under(root, "tests"))):
        path: Path = ("tests", index)
        if isinstance(test.content, Mapping):
            yield from _likes(test, path, tests)
            yield from _usable(test, path, tests)
            if complete:
                yield from _names(root, test, path)
    for index, invariant in enumerate(items(under(root, "invariants"))):
        if isinstance(invariant.content, Mapping):
            yield from _claims(root, invariant, ("invariants", index), complete=complete)


def _likes(test: Tree, path: Path, tests: Mapping[str, Tree]) -> Iterator[Finding]:
    like = text(under(test, "request", "like"))
    if like is None:
        return
    at: Path = (*path, "request", "like")
    if like not in tests:
        meant = closest(like, list(tests))
        advice = f"did you mean `{meant}`?" if meant else "`like` takes the name of another test"
        yield Finding(at, "CCX130", f"there is no test {show(like)}", help=advice, suggestion=meant)
        return
    own = text(under(test, "name"))
    chain = [own]
    here: str | None = like
    while here is not None and here in tests:
        if here in chain:
            if here == own:  # those that only lead into the circle are not the ones to put right
                shown = " is like ".join(show(name) for name in (*chain, here) if name is not None)
                yield Finding(at, "CCX131", f"{shown}", help="give one of them a request of its own")
            return
        chain.append(here)
        here = text(under(tests[here], "request", "like"))


def _inherited(test: Tree, key: str, tests: Mapping[str, Tree]) -> Tree | None:
    """A value of the request, its own or taken over."""
    seen: set[str] = set()
    here: Tree | None = test
    while here is not None:
        found = under(here, "request", key)
        if found is not None:
            return found
        like = text(under(here, "request", "like"))
        if like is None or like in seen:
            return None
        seen.add(like)
        here = tests.get(like)
    return None


def _usable(test: Tree, path: Path, tests: Mapping[str, Tree]) -> Iterator[Finding]:
    request, expect = under(test, "request"), under(test, "expect")
    if request is not None and isinstance(request.content, Mapping):
        asked = _inherited(test, "model", tests) or under(test, "matrix", "model")
        if asked is None and _grounded(test, tests):
            protocol = _inherited(test, "protocol", tests)
            if protocol is None or protocol.content != "images":
                message = "the request names no model"
                yield Finding((*path, "request"), "CCX132", message, help="write model: …", at_key=True)
    if expect is None or not isinstance(expect.content, Mapping):
        return
    if not expect.content:
        advice = "write what should come of it: route, target, deny, status …"
        yield Finding((*path, "expect"), "CCX132", "the test expects nothing", help=advice, at_key=True)
    if under(test, "attempts") is not None:
        for other in ("down", "upstreams"):
            if under(test, other) is not None:
                message = f"`attempts` scripts every channel, and `{other}` some of them"
                yield Finding((*path, other), "CCX132", message, help="keep one of them", at_key=True)


def _grounded(test: Tree, tests: Mapping[str, Tree]) -> bool:
    """Whether the tests that this one is `like` are all there and end in one with a request of its own."""
    seen: set[str] = set()
    here = text(under(test, "request", "like"))
    while here is not None:
        if here in seen or here not in tests:
            return False
        seen.add(here)
        here = text(under(tests[here], "request", "like"))
    return True


def _names(root: Tree, test: Tree, path: Path) -> Iterator[Finding]:
    channels = entries(under(root, "channels"))
    used: list[tuple[Path, str]] = []
    for key in _CHANNELS:
        used.extend(texts(under(test, "expect", key), (*path, "expect", key)))
    used.extend(texts(under(test, "down"), (*path, "down")))
    for section in (("upstreams",), ("expect", "weights")):
        used.extend(((*path, *section, name), name) for name in entries(under(test, *section)))
    for at, line in texts(under(test, "expect", "timeline"), (*path, "expect", "timeline")):
        name = line.strip().partition(" ")[0]
        if name != "wait":
            used.append((at, name))
    for at, name in used:
        if name not in channels:
            keyed = at[-1] == name
            yield _unknown(at, "CCX103", "channel", name, list(channels), at_key=keyed)
    clients = list(entries(under(root, "clients")))
    named = list(texts(under(test, "request", "client"), (*path, "request", "client")))
    named.extend(texts(under(test, "matrix", "client"), (*path, "matrix", "client")))
    for at, name in named:
        if name not in clients:
            yield _unknown(at, "CCX120", "client", name, clients, otherwise="declare it under `clients`")
    yield from _routes(root, texts(under(test, "expect", "route"), (*path, "expect", "route")))


def _routes(root: Tree, named: Iterator[tuple[Path, str]]) -> Iterator[Finding]:
    routes = [name for route in items(under(root, "routes")) if (name := text(under(route, "name"))) is not None]
    for at, name in named:
        plain = "*" not in name and not name.startswith((_IMPLICIT, "!"))
        if plain and routes and name not in routes:
            yield _unknown(at, "CCX129", "route", name, routes)


def _unknown(
    at: Path, code: str, what: str, name: str, legal: list[str], *, otherwise: str | None = None, at_key: bool = False
) -> Finding:
    meant = closest(name, legal)
    rest = otherwise or (f"{what}s: {listed(legal)}" if legal else None)
    advice = f"did you mean `{meant}`?" if meant else rest
    message = f"there is no {what} {show(name)}"
    return Finding(at, code, message, help=advice, suggestion=meant, at_key=at_key)


def _claims(root: Tree, invariant: Tree, path: Path, *, complete: bool) -> Iterator[Finding]:
    claims = [key for key in ("always", "never") if under(invariant, key) is not None]
    if not claims:
        message = "the invariant says neither `always` nor `never`"
        yield Finding(path, "CCX132", message, help="write what holds, such as never: {target: lab}")
    channels = list(entries(under(root, "channels")))
    for key in claims:
        at: Path = (*path, key)
        claim = under(invariant, key)
        if claim is not None and isinstance(claim.content, Mapping) and not claim.content:
            yield Finding(at, "CCX132", f"`{key}` claims nothing", help="write target, route, tag …", at_key=True)
        if not complete:
            continue
        yield from _routes(root, texts(under(claim, "route"), (*at, "route")))
        for part in ("target", "first"):
            for place, pattern in texts(under(claim, part), (*at, part)):
                if "*" not in pattern and pattern.removeprefix("!") not in channels:
                    yield _unknown(place, "CCX103", "channel", pattern.removeprefix("!"), channels)
    if complete:
        clients = list(entries(under(root, "clients")))
        for place, pattern in texts(under(invariant, "when", "client"), (*path, "when", "client")):
            name = pattern.removeprefix("!")
            if "*" not in name and name not in clients:
                yield _unknown(place, "CCX120", "client", name, clients, otherwise="declare it under `clients`")
