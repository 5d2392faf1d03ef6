"""2xx: what is proven about the routes over all requests that there could be.

Law: a finding here is a proof by the analysis engine or shows a request that anybody can ask `ccx explain` about; it is
never a likeness of two texts. Where the engine does not come to an end nothing is said (`Unfinished` goes up).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ccx.analysis.asking import command
from ccx.analysis.query import find
from ccx.analysis.wording import say
from ccx.lint.conditions import whens
from ccx.lint.edit import replaced, without
from ccx.lint.lifecycle import unknown_tags
from ccx.lint.rule import Rule
from ccx.lint.subject import NAMED, RouteView, Subject
from ccx.routing.compile_conditions import compile_when
from ccx.routing.conditions import ALWAYS, All, AnyOf, Condition, Constant, Not, ProtocolIn, TokensIn
from ccx.routing.facts import Facts
from ccx.spec.conditions import When
from ccx.spec.diagnostics import Fix, Path, pointer
from ccx.spec.finding import Finding
from ccx.spec.scalars import parse_range

_LISTED: Final = 3
_WITNESSES: Final = 3
"""To find a request for a finding takes as long as the proof; the first few show what is wrong with the others too."""


def _witness(subject: Subject, facts: Facts) -> str:
    return command(facts, spec=subject.loaded.closure.entry)


def _names(names: tuple[str, ...]) -> str:
    shown = [f"`{name}`" for name in names[:_LISTED]]
    more = len(names) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _places(subject: Subject, names: tuple[str, ...], said: str) -> tuple[tuple[Path, str], ...]:
    return tuple((subject.by_name[name].name_path, said) for name in names[:_LISTED] if name in subject.by_name)


def unmatchable(subject: Subject) -> Iterator[Finding]:
    for found in subject.proofs.unmatchable():
        route = subject.by_name.get(found.route)
        if route is None or route.index in _asking_for_nobody(subject):
            continue
        parts = [f"`{say(part)}`" for part in found.contradicting]
        why = f": {' and '.join(parts)} exclude each other" if len(parts) > 1 else ""
        yield Finding(
            (*route.path, "when"),
            "CCX202",
            f"no request can match route `{found.route}`{why}",
            help="put the condition right, or remove the route",
            at_key=True,
        )


def _asking_for_nobody(subject: Subject) -> set[int]:
    """Routes that ask for a client or tag that nobody has: CCX120 and CCX509 say so, at the very word."""
    beginnings = {f"/routes/{route.index}/": route.index for route in subject.routes}
    told = [one.pointer for one in subject.loaded.diagnostics if one.code == "CCX120"]
    told += [pointer(found.path) for found in unknown_tags(subject)]
    return {beginnings[one[: one.index("/", 8) + 1]] for one in told if one.startswith("/routes/")}


def _below_catch_all(subject: Subject) -> tuple[RouteView | None, tuple[RouteView, ...]]:
    """The first route without conditions, and the routes that stand below it."""
    found = next((route for route in subject.routes if route.rule.when == ALWAYS), None)
    return found, subject.routes[found.index + 1 :] if found is not None else ()


def early_catch_all(subject: Subject) -> Iterator[Finding]:
    catch_all, below = _below_catch_all(subject)
    if catch_all is not None and below:
        hidden = tuple(route.written.name for route in below)
        yield Finding(
            catch_all.name_path,
            "CCX207",
            f"route `{catch_all.written.name}` takes every request, and {_names(hidden)} below it "
            f"{'is' if len(hidden) == 1 else 'are'} never asked",
            help="move it to the end, or give it a condition",
            also=_places(subject, hidden, "never asked"),
        )


def unreachable(subject: Subject) -> Iterator[Finding]:
    told = {route.written.name for route in _below_catch_all(subject)[1]}
    if all(route.written.name in told or route.written.name in subject.outcomes for route in subject.routes):
        return  # seen each of them decide: most specs come to this end, and soon
    for found in subject.proofs.unreachable():
        route = subject.by_name.get(found.route)
        if route is None or found.route in told:
            continue
        if found.different is not None:
            advice = f"move it above `{found.different}`, which does something else, or remove it"
        else:
            advice = "remove it: the routes above do the same"
        yield Finding(
            route.name_path,
            "CCX201",
            f"no request reaches route `{found.route}`: {_names(found.blockers)} "
            f"{'takes' if len(found.blockers) == 1 else 'take'} all that it asks for",
            help=advice,
            also=_places(subject, found.blockers, "takes its requests"),
            witness=_witness(subject, found.example),
        )


def redundant(subject: Subject) -> Iterator[Finding]:
    for found in subject.proofs.redundant():
        route = subject.by_name.get(found.route)
        if route is None:
            continue
        edits = without(subject, route.path)
        yield Finding(
            route.name_path,
            "CCX203",
            f"without route `{found.route}` every request fares the same: {_names(found.covered_by)} "
            f"{'does' if len(found.covered_by) == 1 else 'do'} the same with what it takes",
            help="remove it",
            also=_places(subject, found.covered_by, "does the same"),
            fix=Fix(f"delete route {found.route}", True, edits) if edits else None,
            witness=_witness(subject, found.example),
        )


def gaps(subject: Subject) -> Iterator[Finding]:
    if not subject.routes or subject.routes[-1].rule.when == ALWAYS or _declared(subject):
        return
    found = subject.proofs.gaps()
    if not found:
        return
    by_regions: dict[str, list[str]] = {}
    for gap in found:
        said = say(_beside_protocol(gap.regions[0].when))
        more = len(gap.regions) - 1 + gap.more
        by_regions.setdefault(f"{said}, and {more} more kind{'s' * (more > 1)}" if more else said, []).append(
            gap.protocol.value
        )
    if len(by_regions) == 1 and len(found) > 1:
        told = next(iter(by_regions))
    else:
        told = "; ".join(f"{', '.join(protocols)}: {said}" for said, protocols in by_regions.items())
    yield Finding(
        ("routes",),
        "CCX204",
        f"some requests match no route: {told}",
        help="add a last route without `when`, one that denies in your words, or a test that expects no_route",
        at_key=True,
        witness=_witness(subject, found[0].regions[0].witness),
    )


def _beside_protocol(when: Condition) -> Condition:
    """A region's condition without the protocol, which is said for itself."""
    parts = when.parts if isinstance(when, All) else (when,)
    rest = tuple(part for part in parts if not isinstance(part, ProtocolIn))
    return rest[0] if len(rest) == 1 else All(rest) if rest else ALWAYS


def _declared(subject: Subject) -> bool:
    """Whether a test says that some requests are to find no route."""
    return any(test.expect.no_route for test in subject.spec.tests)


def order_sensitive(subject: Subject) -> Iterator[Finding]:
    for found in subject.proofs.order_sensitive():
        first, second = subject.by_name.get(found.first), subject.by_name.get(found.second)
        if first is None or second is None:
            continue
        yield Finding(
            second.name_path,
            "CCX205",
            f"routes `{found.first}` and `{found.second}` overlap, and the order decides who takes what both ask for",
            help="nothing to do if that is what the order is for",
            also=((first.name_path, "the other one"),),
            witness=_witness(subject, found.witness),
        )


def adjacent_gaps(subject: Subject) -> Iterator[Finding]:
    """Pairs of ranges with one number between them that neither of the two routes takes. Asked about are routes of
    which one asks, tokens aside, for no more than the other does."""
    below: dict[int, list[tuple[RouteView, frozenset[Condition]]]] = {}
    for route in subject.routes:
        rest = _beside_tokens(route)
        for _, high in route.written.when.input_tokens or ():
            if high is not None:
                below.setdefault(high, []).append((route, rest))
    for route in subject.routes:
        rest = _beside_tokens(route)
        for index, (low, _) in enumerate(route.written.when.input_tokens or ()):
            for other, other_rest in below.get(low - 1, ()):
                if not (rest <= other_rest or other_rest <= rest):
                    continue
                facts = _left_out(subject, route, other, low - 1, rest | other_rest)
                if facts is not None:
                    yield _adjacent(subject, (*route.path, "when", "input_tokens", index), other, low - 1, facts)
                    break


def _beside_tokens(route: RouteView) -> frozenset[Condition]:
    """What a route asks besides the number of tokens: all of these."""
    rest = compile_when(route.written.when.model_copy(update={"input_tokens": None}))
    return frozenset() if rest == ALWAYS else frozenset(rest.parts if isinstance(rest, All) else (rest,))


def _left_out(
    subject: Subject, first: RouteView, second: RouteView, tokens: int, rest: frozenset[Condition]
) -> Facts | None:
    """A request of exactly so many tokens, apart from that for both routes, that neither takes."""
    names = {first.written.name, second.written.name}

    def of_size(number: int, *, taken: bool) -> Facts | None:
        within = All((*rest, TokensIn(number, number + 1)))
        return find(
            subject.table,
            within=within,
            accept=lambda outcome: (outcome.route in names) is taken,
            budget=subject.budget,
        )

    if of_size(tokens - 1, taken=True) is None or of_size(tokens + 1, taken=True) is None:
        return None  # its neighbours go elsewhere too: the two ranges do not meet in any request
    return of_size(tokens, taken=False)


def _adjacent(subject: Subject, path: Path, other: RouteView, tokens: int, facts: Facts) -> Finding:
    tree = subject.tree(path) or subject.tree(path[:-1])
    at = path if subject.tree(path) is not None else path[:-1]
    text = tree.content if tree is not None and isinstance(tree.content, str) else ""
    better = text.replace(">", ">=", 1) if ">" in text and ">=" not in text else None
    fix: Fix | None = None
    if better is not None and parse_range(better)[0] == tokens:
        edits = replaced(subject, at, f'"{better}"')
        fix = Fix(f"write {better}", False, edits) if edits else None
    return Finding(
        at,
        "CCX206",
        f"a prompt of exactly {tokens:,} tokens is taken neither here nor by `{other.written.name}`",
        help=f"write `{better}`" if better is not None else f"let one of the two ranges hold {tokens:,}",
        also=(((*other.path, "when", "input_tokens"), "the range that ends below it"),),
        fix=fix,
        witness=_witness(subject, facts),
    )


def never_served(subject: Subject) -> Iterator[Finding]:
    shown = 0
    for route in subject.routes:
        name, had = route.written.name, subject.outcomes.get(route.written.name)
        if route.rule.deny is not None or not had or any(outcome.kind == "routed" for outcome in had):
            continue
        shown += 1
        yield Finding(
            (*route.path, "to"),
            "CCX210",
            f"route `{name}` takes requests, and none of its targets can serve any of them",
            help="each one is skipped: its channel is disabled, or does not allow what the route lets in",
            at_key=True,
            witness=_taken_by(subject, route) if shown <= _WITNESSES else None,
        )


def unused_targets(subject: Subject) -> Iterator[Finding]:
    shown = 0
    for route in subject.routes:
        had = subject.outcomes.get(route.written.name) or set()
        used = {channel for outcome in had for channel in outcome.channels}
        if len(route.live) < 2 or not used:
            continue
        for target in route.live:
            channel = target.channel.name
            alone = sum(other.channel.name == channel for other in route.live) == 1
            if channel in used or not alone:
                continue
            shown += 1
            yield Finding(
                target.path,
                "CCX211",
                f"`{channel}` is skipped for every request that route `{route.written.name}` takes",
                help="allow the route's models at the channel, or remove the target",
                also=((("channels", channel), "the channel"),),
                witness=_taken_by(subject, route) if shown <= _WITNESSES else None,
            )


def _taken_by(subject: Subject, route: RouteView) -> str | None:
    """A request that the route takes, as a command."""
    facts = find(
        subject.table,
        within=All((route.rule.when, NAMED)),
        accept=lambda outcome: outcome.route == route.written.name,
        budget=subject.budget,
    )
    return _witness(subject, facts) if facts is not None else None


def alternatives(subject: Subject) -> Iterator[Finding]:
    nowhere = replace(subject.table, routes=())
    for route in subject.routes:
        for path, when in whens(route.written.when, (*route.path, "when")):
            if when.any is None or len(when.any) < 2:
                continue
            gone: set[int] = set()
            # From the end, so that of two that are equal the first one stays.
            for index in reversed(range(len(when.any))):
                others = tuple(compile_when(part) for at, part in enumerate(when.any) if at != index and at not in gone)
                mine = compile_when(when.any[index])
                if not others or any(isinstance(part, Constant) for part in (*others, mine)):
                    continue
                alone = All((_beside(when), mine, Not(AnyOf(others))))
                if find(nowhere, within=alone, accept=lambda _: True, budget=subject.budget) is None:
                    gone.add(index)
            for index in sorted(gone):
                at: Path = (*path, "any", index)
                edits = without(subject, at) if len(gone) == 1 else ()
                yield Finding(
                    at,
                    "CCX214",
                    "this alternative lets in nothing that the others do not",
                    help="remove it, or put right the one that is too wide",
                    fix=Fix("remove the alternative", True, edits) if edits else None,
                )


def _beside(when: When) -> Condition:
    """What a condition asks besides its alternatives."""
    return compile_when(when.model_copy(update={"any": None}))


PROOFS: Final[tuple[Rule, ...]] = (
    Rule(("CCX202",), unmatchable, proof=True),
    Rule(("CCX207",), early_catch_all),
    Rule(("CCX201",), unreachable, proof=True),
    Rule(("CCX203",), redundant, proof=True),
    Rule(("CCX204",), gaps, proof=True),
    Rule(("CCX205",), order_sensitive, proof=True),
    Rule(("CCX206",), adjacent_gaps, proof=True),
    Rule(("CCX210",), never_served, proof=True),
    Rule(("CCX211",), unused_targets, proof=True),
    Rule(("CCX214",), alternatives, proof=True),
)
