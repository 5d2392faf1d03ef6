"""The axes of the request space but the model: each has finitely many atoms, and no condition looks inside an atom.

Law: every request lies in exactly one atom of each axis, and requests of one atom answer every leaf of the space alike.
What depends on each other is one axis: server tools are tools, and a client brings its tags and rights. Values that no
leaf tells from an absent one share its atom, so that no condition is lost and none is invented.

A set of atoms is an int, bit k for atom k.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

from ccx.analysis.effort import Unfinished
from ccx.analysis.texts import Spelling, classes_of, patterns_of
from ccx.protocols.names import Protocol
from ccx.routing.conditions import (
    ALWAYS,
    All,
    BodyField,
    ClientIn,
    Condition,
    Flag,
    FlagName,
    HeaderMatches,
    Leaf,
    Not,
    PrefixIn,
    ProtocolIn,
    ServerTool,
    TokensIn,
)
from ccx.routing.facts import Facts
from ccx.routing.globs import Globs

Term = tuple[int, Condition]
PLAIN = Facts(Protocol.MESSAGES, None, direct=True)
_SETS_AT_MOST = 512


class Axis:
    """One axis. `atoms` are requests that differ on it only; `fields` are the facts it decides."""

    fields: tuple[str, ...] = ()

    def __init__(self, atoms: Sequence[Facts]) -> None:
        self.atoms = tuple(atoms)
        self.full = (1 << len(self.atoms)) - 1

    def mask(self, leaf: Leaf) -> int:
        """The atoms where a leaf of this axis holds."""
        return self.where(lambda facts: bool(leaf.holds(facts)))

    def where(self, holds: Callable[[Facts], bool]) -> int:
        """The atoms with a property."""
        return sum(1 << k for k, facts in enumerate(self.atoms) if holds(facts))

    def terms(self, atoms: int) -> list[Term]:
        """Conditions that together hold for exactly these atoms, each with those it holds for."""
        raise NotImplementedError

    def best(self, atoms: int) -> int:
        """Of these atoms, the one that makes the plainest request: the first."""
        return (atoms & -atoms).bit_length() - 1

    def put(self, facts: Facts, atom: int) -> Facts:
        """The request with this atom's value."""
        values: dict[str, Any] = {name: getattr(self.atoms[atom], name) for name in self.fields}
        return replace(facts, **values)


class ProtocolAxis(Axis):
    """Which protocol the client speaks."""

    fields = ("protocol",)

    def __init__(self) -> None:
        super().__init__([replace(PLAIN, protocol=protocol) for protocol in Protocol])

    def terms(self, atoms: int) -> list[Term]:
        if atoms == self.full:
            return [(atoms, ALWAYS)]
        chosen = (facts.protocol for k, facts in enumerate(self.atoms) if atoms >> k & 1)
        return [(atoms, ProtocolIn(frozenset(chosen)))]


class FlagAxis(Axis):
    """A yes-or-no fact."""

    def __init__(self, name: FlagName) -> None:
        self.fields = (name,)
        self.name: FlagName = name
        values: list[Any] = [{name: False}, {name: True}]
        super().__init__([replace(PLAIN, **value) for value in values])

    def terms(self, atoms: int) -> list[Term]:
        return [(atoms, ALWAYS if atoms == self.full else Flag(self.name, atoms == 2))]


class TokensAxis(Axis):
    """The token count: ranges between the numbers it is compared with, and last the requests without a count."""

    fields = ("input_tokens",)

    def __init__(self, leaves: Iterable[TokensIn]) -> None:
        cuts = {0}
        for leaf in leaves:
            cuts |= {leaf.low} | ({leaf.high} if leaf.high is not None else set())
        self.cuts = tuple(sorted(cuts))
        super().__init__([replace(PLAIN, input_tokens=count) for count in (*self.cuts, None)])

    def terms(self, atoms: int) -> list[Term]:
        if atoms == self.full:
            return [(atoms, ALWAYS)]
        uncounted = 1 << len(self.cuts)
        if atoms & uncounted:
            ranges = self._ranges(self.full & ~atoms)
            if len(ranges) == 1:
                return [(atoms, Not(ranges[0][1]))]
            without: list[Term] = [(uncounted, Not(TokensIn(0, None)))]
            return without + list(self._ranges(atoms & ~uncounted))
        return list(self._ranges(atoms))

    def _ranges(self, atoms: int) -> list[tuple[int, TokensIn]]:
        found: list[tuple[int, TokensIn]] = []
        start: int | None = None
        for k in range(len(self.cuts) + 1):
            inside = k < len(self.cuts) and atoms >> k & 1
            if inside and start is None:
                start = k
            elif not inside and start is not None:
                high = self.cuts[k] if k < len(self.cuts) else None
                found.append(((1 << k) - (1 << start), TokensIn(self.cuts[start], high)))
                start = None
        return found


class ClientAxis(Axis):
    """Who asks. An atom is a declared client with its tags and rights; the last, where there is one, is a caller of
    this machine at a gateway that declares no clients."""

    fields = ("client", "tags", "direct")

    def terms(self, atoms: int) -> list[Term]:
        if atoms == self.full:
            return [(atoms, ALWAYS)]
        chosen = [facts.client for k, facts in enumerate(self.atoms) if atoms >> k & 1]
        others = [facts.client for k, facts in enumerate(self.atoms) if not atoms >> k & 1]
        named = tuple(sorted(name for name in others if name is not None))
        if None in chosen:
            return [(atoms, Not(ClientIn(Globs(named))))]
        names = tuple(sorted(name for name in chosen if name is not None))
        shorter = ClientIn(Globs((), named)) if len(named) < len(names) else ClientIn(Globs(names))
        return [(atoms, shorter)]


class ToolsAxis(Axis):
    """Tools and server tools: none, some but none to run by the provider, or sets of the latter by what they match."""

    fields = ("tools", "server_tools")

    def __init__(self, leaves: Iterable[ServerTool]) -> None:
        self.leaves = tuple(dict.fromkeys(leaves))
        patterns = patterns_of(leaf.globs for leaf in self.leaves)
        names = [one.text for one in classes_of(patterns)]
        by_answer: dict[tuple[bool, ...], frozenset[str]] = {}
        for chosen in [frozenset[str](), *(frozenset((name,)) for name in names)]:
            for had in [frozenset[str](), *by_answer.values()]:
                both = had | chosen
                answer = tuple(any(leaf.globs.matches(name) for name in both) for leaf in self.leaves)
                if answer not in by_answer or len(both) < len(by_answer[answer]):
                    by_answer[answer] = both
            if len(by_answer) > _SETS_AT_MOST:
                raise Unfinished("conditions on server tools make too many classes")
        sets = sorted(by_answer.values(), key=lambda names: (len(names), sorted(names)))
        super().__init__(
            [PLAIN, *(replace(PLAIN, tools=True, server_tools=names) for names in sets)],
        )

    def terms(self, atoms: int) -> list[Term]:
        if atoms == self.full:
            return [(atoms, ALWAYS)]
        literals: list[Term] = [(1, Flag("tools", False)), (self.full & ~1, Flag("tools", True))]
        for leaf in self.leaves:
            held = self.mask(leaf)
            literals += [(held, leaf), (self.full & ~held, Not(leaf))]
        found: list[Term] = []
        left = atoms
        while left:
            seed = left & -left
            chosen = [literal for literal in literals if literal[0] & seed]
            for literal in list(chosen):
                rest = [other for other in chosen if other is not literal]
                if not self._common(rest) & ~atoms:
                    chosen = rest
            parts = tuple(condition for _, condition in chosen)
            found.append((self._common(chosen), parts[0] if len(parts) == 1 else All(parts)))
            left &= ~found[-1][0]
        return found

    def _common(self, literals: Iterable[Term]) -> int:
        common = self.full
        for held, _ in literals:
            common &= held
        return common


class TextAxis(Axis):
    """A text that may be absent: a header, or the path prefix. The first atom is absence, and any text that no leaf
    asks for."""

    def __init__(
        self,
        kind: Literal["header", "prefix"],
        leaves: Iterable[HeaderMatches | PrefixIn],
        *,
        name: str = "",
        admits: Callable[[str], bool] = bool,
    ) -> None:
        self.kind = kind
        self.name = name
        self.fields = ("headers",) if kind == "header" else ("prefix",)
        patterns = patterns_of(leaf.globs for leaf in leaves)
        classes = classes_of(patterns, admits=admits)
        self._spelling = Spelling(patterns, classes)
        super().__init__([PLAIN, *(self._with(PLAIN, one.text) for one in classes)])

    def _with(self, facts: Facts, text: str) -> Facts:
        if self.kind == "prefix":
            return replace(facts, prefix=text)
        return replace(facts, headers={**facts.headers, self.name: text})

    def put(self, facts: Facts, atom: int) -> Facts:
        match self.kind:
            case "prefix":
                return replace(facts, prefix=self.atoms[atom].prefix)
            case "header" if atom:
                return self._with(facts, self.atoms[atom].headers[self.name])
            case _:
                return facts

    def terms(self, atoms: int) -> list[Term]:
        if atoms == self.full:
            return [(atoms, ALWAYS)]
        return optional(atoms, self.full, self._texts)

    def _texts(self, atoms: int) -> list[Term]:
        return [(classes << 1, self._leaf(globs)) for classes, globs in self._spelling.terms(atoms >> 1)]

    def _leaf(self, globs: Globs) -> Condition:
        return PrefixIn(globs) if self.kind == "prefix" else HeaderMatches(self.name, globs)


def optional(atoms: int, full: int, written: Callable[[int], list[Term]]) -> list[Term]:
    """The terms of a set of atoms, the first of which is absence, by the terms for sets without it."""
    if not atoms & 1:
        return written(atoms)
    complement = written(full & ~atoms)
    if len(complement) == 1:
        return [(atoms, Not(complement[0][1]))]
    # Too much to say in one: absence by itself, as the complement of all that some leaf asks for, and the rest.
    [(_, any_asked)] = written(full & ~1)
    return [(1, Not(any_asked)), *(written(atoms & ~1) if atoms & ~1 else [])]


class BodyAxis(Axis):
    """A field of the body. The first atom is absence, and any value that no leaf asks for."""

    fields = ("body",)

    def __init__(self, path: str, leaves: Iterable[BodyField]) -> None:
        self.path = path
        asked = tuple(leaves)
        patterns = patterns_of(leaf.globs for leaf in asked if leaf.globs is not None)
        classes = classes_of(patterns)
        self._texts = len(classes)
        self._spelling = Spelling(patterns, classes)
        numbers = sorted({number for leaf in asked for number in leaf.integers})
        values: list[object] = [one.text for one in classes]
        values += numbers
        values += sorted({value for leaf in asked for value in leaf.booleans})
        super().__init__([PLAIN, *(replace(PLAIN, body={path: value}) for value in values)])

    def put(self, facts: Facts, atom: int) -> Facts:
        return replace(facts, body={**facts.body, **self.atoms[atom].body}) if atom else facts

    def terms(self, atoms: int) -> list[Term]:
        if atoms == self.full:
            return [(atoms, ALWAYS)]
        return optional(atoms, self.full, self._written)

    def _written(self, atoms: int) -> list[Term]:
        texts = (1 << self._texts) - 1
        spelled = self._spelling.terms(atoms >> 1 & texts)
        scalars = atoms & ~(texts << 1)
        values = [facts.body[self.path] for k, facts in enumerate(self.atoms) if scalars >> k & 1]
        integers = frozenset(v for v in values if isinstance(v, int) and not isinstance(v, bool))
        booleans = frozenset(v for v in values if isinstance(v, bool))
        first = spelled[0] if spelled else None
        leaf = BodyField(self.path, first[1] if first else None, integers, booleans)
        found: list[Term] = [(scalars | (first[0] << 1 if first else 0), leaf)]
        return found + [(classes << 1, BodyField(self.path, globs)) for classes, globs in spelled[1:]]
