"""8xx and its older kin: targets whose models cannot do what they may be asked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Final

from ccx.catalog.models import ANY, lookup, models
from ccx.catalog.providers import provider
from ccx.lint.edit import replaced, scalar
from ccx.lint.models import ABILITIES, able, kept_out, largest_window, most_tokens, rows
from ccx.lint.rule import Rule
from ccx.lint.subject import RouteView, Subject, TargetView
from ccx.protocols.names import CHAT_PROTOCOLS, Protocol
from ccx.routing.capability import needs
from ccx.routing.compile_conditions import admitted
from ccx.spec.diagnostics import Fix, Path
from ccx.spec.finding import Finding

_CLOSE: Final = 0.82


def ranges_and_windows(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        most = most_tokens(route.rule.when)
        windows = [largest_window(subject, target) for target in route.live]
        known = [one for one in windows if one is not None]
        if most is None or not known or len(known) < len(windows) or most < max(known):
            continue
        if needs(route.rule.when).tokens >= max(known):
            continue  # CCX208 says that
        at: Path = (*route.path, "when", "input_tokens")
        yield Finding(
            at,
            "CCX209",
            f"route `{route.written.name}` is for prompts of up to {most:,} tokens, and none of its targets takes more "
            f"than {max(known):,} with its answer",
            help=f"end the range below {max(known):,}, or add a target with a larger window",
        )


def weaker_fallbacks(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        live = route.live
        first = [target for target in live if target.step == live[0].step] if live else []
        for target in live:
            if target.step != (first[0].step if first else -1) and target.models:
                yield from _drops(subject, route, first, target)
                yield from _shrinks(subject, route, first, target)


def _drops(subject: Subject, route: RouteView, first: list[TargetView], target: TargetView) -> Iterator[Finding]:
    asked = needs(route.rule.when).flags
    lost = [
        word
        for flag, word in ABILITIES
        if flag not in asked
        and not kept_out(route.rule.when, flag)
        and all(one.models and all(able(subject, name, flag) for name in one.models) for one in first)
        and all(able(subject, name, flag) is False for name in target.models)
    ]
    if lost:
        what = " and ".join([", ".join(lost[:-1]), lost[-1]] if len(lost) > 1 else lost)
        yield Finding(
            target.path,
            "CCX304",
            f"requests with {what} that fall back to {target.label} reach a model that has no use of them",
            help=f"add a route for requests with {what}, or fall back to a model that can",
            also=((first[0].path, f"{first[0].label} can"),),
        )


def _shrinks(subject: Subject, route: RouteView, first: list[TargetView], target: TargetView) -> Iterator[Finding]:
    windows = [largest_window(subject, one) for one in first]
    known = [one for one in windows if one is not None]
    mine, most = largest_window(subject, target), most_tokens(route.rule.when)
    if not known or len(known) < len(windows) or mine is None or mine >= min(known) * 3 // 4:
        return  # as good as the same
    if (most is not None and most < mine) or needs(route.rule.when).tokens >= mine:
        return
    yield Finding(
        target.path,
        "CCX307",
        f"prompts of {mine:,} tokens and more have no fallback here: {target.label} takes {mine:,}, and "
        f"{first[0].label} {min(known):,}",
        help="bound the route by `input_tokens`, or fall back to a model with as large a window",
    )


def misspelt_models(subject: Subject) -> Iterator[Finding]:
    for path, name, channel in _named_models(subject):
        written = subject.spec.channels[channel]
        preset = provider(written.provider) if written.provider is not None else None
        if preset is None or written.base_url is not None or name in subject.overrides:
            continue
        vendor, slash, bare = name.partition("/")
        scope, asked = preset.models, name
        if scope == ANY:
            known = provider(vendor) if slash else None
            if known is None:
                continue
            scope, asked = known.models, bare
        if lookup(name, provider=preset.name) is not None:
            continue
        meant = _near(asked, scope)
        if meant is None:
            continue
        full = f"{vendor}/{meant}" if asked != name else meant
        edits = replaced(subject, path, scalar(full))
        yield Finding(
            path,
            "CCX801",
            f"{preset.title} has no model `{name}`",
            help=f"did you mean `{full}`? If it is a new model, say so under `models`",
            suggestion=full,
            fix=Fix(f"write {full}", False, edits) if edits else None,
        )


def _near(name: str, scope: str) -> str | None:
    """A model of nearly that name and with the same numbers: another number is another model."""
    names = [one for row in models() if row.provider == scope for one in (row.id, *row.aliases)]
    numbers = re.findall(r"\d+", name)
    close = difflib.get_close_matches(name, names, n=5, cutoff=_CLOSE)
    return next((one for one in close if re.findall(r"\d+", one) == numbers), None)


def _named_models(subject: Subject) -> Iterator[tuple[Path, str, str]]:
    """Every name by which the spec asks a channel's upstream for a model, where it is written, and the channel."""
    for route in subject.routes:
        for target in route.targets:
            model = target.target.model
            if model is not None and target.models == (model,):
                yield (*target.path, "model"), model, target.channel.name
    for name, channel in subject.spec.channels.items():
        if isinstance(channel.models, dict):
            for pattern, upstream in channel.models.items():
                if upstream is not None:
                    yield ("channels", name, "models", pattern), upstream, name


def kinds(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        may = admitted(route.rule.when)
        for target in route.live:
            known = rows(target)
            if not known or any(row.id in subject.overrides for row in known):
                continue
            found = {row.kind for row in known}
            wrong: str | None = None
            if may == {Protocol.IMAGES} and "image" not in found:
                wrong = "images"
            elif may == {Protocol.EMBEDDINGS} and "embedding" not in found:
                wrong = "embeddings"
            elif may and may <= CHAT_PROTOCOLS and found == {"embedding"}:
                wrong = "conversations"
            if wrong is None:
                continue
            at = (*target.path, "model") if target.target.model is not None else target.path
            names = " or ".join(f"`{name}`" for name in target.models)
            said = {"chat": "writes text", "image": "draws", "embedding": "computes embeddings"}
            does = " or ".join(sorted(said[kind] for kind in found))
            message = f"route `{route.written.name}` is for {wrong}, and {names} {does}"
            yield Finding(at, "CCX802", message, help="ask for a model of that kind")


CAPABILITY: Final[tuple[Rule, ...]] = (
    Rule(("CCX209",), ranges_and_windows),
    Rule(("CCX304", "CCX307"), weaker_fallbacks),
    Rule(("CCX801",), misspelt_models),
    Rule(("CCX802",), kinds),
)
