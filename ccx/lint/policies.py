"""81x: changes to a request that contradict each other, or break it. 82x: caches that keep too much, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ccx.lint.edit import without
from ccx.lint.models import longest_answer
from ccx.lint.rule import Rule
from ccx.lint.subject import Subject
from ccx.spec.diagnostics import Fix, Path
from ccx.spec.finding import Finding
from ccx.spec.routes import RequestPolicy

_LENGTHS: Final = ("max_output_tokens", "max_tokens", "max_completion_tokens")
_CONTENT: Final = frozenset({"model", "messages", "input", "contents", "prompt"})
_SHAPE: Final = frozenset({"stream"})


def _policies(subject: Subject) -> Iterator[tuple[Path, RequestPolicy]]:
    yield ("defaults", "request"), subject.spec.defaults.request
    for route in subject.routes:
        yield (*route.path, "request"), route.written.request


def above_limits(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        limits = [longest_answer(subject, name) for target in route.live for name in target.models]
        known = [limit for limit in limits if limit is not None]
        if not known or len(known) < len(limits) or not all(target.models for target in route.live):
            continue
        path: Path = (*route.path, "request")
        cap = route.written.request.cap.max_output_tokens
        if cap is not None and cap > max(known):
            message = f"this cap is above the {max(known):,} tokens that the targets' models write at most"
            at: Path = (*path, "cap", "max_output_tokens")
            yield Finding(at, "CCX811", message, help="it changes nothing: lower it, or remove it")
        bound = cap if cap is not None else route.rule.policy.max_output_tokens
        for part in ("default", "set"):
            for field, value in _lengths(getattr(route.written.request, part)):
                if value > min(known) and (bound is None or bound > min(known)):
                    message = f"{value:,} tokens are more than a target's model can write: {min(known):,}"
                    yield Finding((*path, part, field), "CCX811", message, help="the provider refuses it: lower it")


def _lengths(fields: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for field in _LENGTHS:
        value = fields.get(field)
        if isinstance(value, int) and not isinstance(value, bool):
            yield field, value


def above_caps(subject: Subject) -> Iterator[Finding]:
    for path, policy in _policies(subject):
        cap = policy.cap.max_output_tokens
        if cap is None:
            continue
        for part in ("default", "set"):
            for field, value in _lengths(getattr(policy, part)):
                if value > cap:
                    also = (((*path, "cap", "max_output_tokens"), "the cap"),)
                    message = f"{value:,} is above the cap of {cap:,} tokens and is cut to it each time"
                    yield Finding((*path, part, field), "CCX812", message, help=f"write at most {cap}", also=also)


def essential_fields(subject: Subject) -> Iterator[Finding]:
    for path, policy in _policies(subject):
        for index, field in enumerate(policy.drop):
            if field in _CONTENT:
                message = f"without `{field}` the request is refused upstream"
                yield Finding((*path, "drop", index), "CCX813", message, help="remove it from the list")
        for part in ("set", "default"):
            for field in getattr(policy, part):
                if field in _CONTENT and part == "set":
                    advice = "write the model at the target" if field == "model" else "remove it"
                    message = f"`{field}` is what the client asks; setting it answers another question"
                    yield Finding((*path, part, field), "CCX813", message, help=advice, at_key=True)
                elif field in _SHAPE:
                    message = f"`{field}` decides the form of the answer, which the client chose"
                    yield Finding((*path, part, field), "CCX813", message, help="remove it", at_key=True)


def contradictions(subject: Subject) -> Iterator[Finding]:
    for path, policy in _policies(subject):
        for field in policy.default:
            if field in policy.set:
                yield _lost(subject, (*path, "default", field), "default", by="set", winner=(*path, "set", field))
        for index, field in enumerate(policy.drop):
            for part in ("set", "default"):
                if field in getattr(policy, part):
                    place: Path = (*path, part, field)
                    if part == "set":
                        yield _lost(subject, (*path, "drop", index), "drop", by=part, winner=place)
                    else:
                        message = f"`{field}` is dropped and then given a default, which is to set it"
                        also = ((place, "the default"),)
                        advice = f"write it under `set`, or keep one of the two: {field}"
                        yield Finding((*path, "drop", index), "CCX814", message, help=advice, also=also)
                    break


def _lost(subject: Subject, at: Path, part: str, *, by: str, winner: Path) -> Finding:
    edits = without(subject, at)
    return Finding(
        at,
        "CCX814",
        f"this `{part}` does nothing: `{by}` has the last word on the field",
        help="remove one of the two",
        at_key=True,
        also=((winner, f"`{by}` is here"),),
        fix=Fix(f"remove it from `{part}`", True, edits) if edits else None,
    )


def strangers_answers(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        cache = route.written.cache
        if cache is not None and cache.scope == "shared" and cache.when == "any":
            also: tuple[tuple[Path, str], ...] = (((*route.path, "cache", "when"), "also answers of chance"),)
            message = "every client gets what another was told, whether or not it is the same answer each time"
            advice = "write scope: client, or leave out `when`"
            yield Finding((*route.path, "cache", "scope"), "CCX821", message, help=advice, also=also)


def idle_caches(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        cache, when = route.written.cache, route.written.when
        if cache is None:
            continue
        if subject.spec.server.cache_size == 0:
            also: tuple[tuple[Path, str], ...] = ((("server", "cache_size"), "no memory for answers"),)
            message = "no answer is kept: equal requests only share a call while it is under way"
            advice = "write a size, or remove the cache"
            yield Finding((*route.path, "cache"), "CCX822", message, help=advice, at_key=True, also=also)
            continue
        if cache.when == "any":
            continue
        protocols = set(when.protocol or ())
        why = None
        if when.server_tools is not None:
            why = "requests with tools that the provider runs are never repeatable"
        elif protocols == {"images"}:
            why = "images are never repeatable"
        elif when.thinking and protocols == {"messages"}:
            why = "Messages has no `temperature: 0` together with thinking"
        if why is not None:
            message = f"no answer is kept: {why}"
            yield Finding((*route.path, "cache"), "CCX822", message, help="write when: any, or remove it", at_key=True)


POLICIES: Final[tuple[Rule, ...]] = (
    Rule(("CCX811",), above_limits),
    Rule(("CCX812",), above_caps),
    Rule(("CCX813",), essential_fields),
    Rule(("CCX814",), contradictions),
    Rule(("CCX821",), strangers_answers),
    Rule(("CCX822",), idle_caches),
)
