"""Plans made by hand, to lay out. Real ones come from `ccx.plan.build`; these have what a renderer must cope with."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from ccx.analysis.difference import Change, Effort, Region
from ccx.analysis.outcome import Asked, Outcome, Stage, Treatment
from ccx.plan.model import (
    Edit,
    Effect,
    FieldEdit,
    Kind,
    Mark,
    Moved,
    Operation,
    Plan,
    RouteCount,
    Side,
    Touched,
)
from ccx.protocols.names import Protocol
from ccx.routing.conditions import ALWAYS, All, ClientIn, Condition, Flag, ModelMatches, Not, ProtocolIn, TokensIn
from ccx.routing.facts import Facts
from ccx.routing.globs import Globs
from ccx.routing.table import Balance, Cache, Deny, Failover, RequestPolicy
from ccx.spec.diagnostics import Span
from ccx.spec.locations import Place

HOSTILE = (
    "a|b",
    "`tick`",
    "``two``",
    "@octocat",
    "<script>alert(1)</script>",
    "[x](javascript:alert)",
    ":rocket:",
    "line\nbreak",
    "\x1b[2J\x1b[31mred",
    "\u202egnp.exe",
    "a-->b",
    "&amp;",
    "#123",
    "https://evil.example/x",
    "*bold* _em_ ~~s~~",
    "</details>",
    "\"quoted\" 'single'",
    "cr\rlf",
    "tab\tbed",
    "\x9b31m",
    "後端-é-🚀",
    "x" * 300,
    "'; rm -rf ~",
    "]]>",
    "\u2028",
)
"""Names that try something in some output."""

EFFORT = Effort(states=63, budget=500_000, model_classes=14, token_ranges=4)


def place(line: int, file: str = "gateway.yaml") -> Place:
    span = Span(line, 3, line, 9)
    return Place(file, span, span)


def side(name: str, revision: str | None = None) -> Side:
    return Side(name, f"sha256:{'5b0e91f2c3d4' * 5}abcd", revision)


def asked(name: str, model: str | None = None, *, share: Fraction = Fraction(1)) -> Asked:
    return Asked(name, Protocol.MESSAGES, model, share)


def balanced(*targets: tuple[str, str], balance: Balance = "weighted") -> Stage:
    return Stage(tuple(asked(name, share=Fraction(share)) for name, share in targets), balance, "none")


def routed(*targets: str | Asked | Stage, treatment: Treatment | None = None, route: str = "r") -> Outcome:
    stages = tuple(
        target
        if isinstance(target, Stage)
        else Stage((target if isinstance(target, Asked) else asked(target),), "priority", "none")
        for target in targets
    )
    return Outcome("routed", stages, treatment or treated(), route=route)


def treated(
    failover: Failover | None = None, policy: RequestPolicy | None = None, cache: Cache | None = None
) -> Treatment:
    return Treatment(failover or Failover(), policy or RequestPolicy(), "warn", cache)


def denied(status: int = 403, message: str = "Not for interns.") -> Outcome:
    return Outcome("denied", deny=Deny(status, message))


NO_ROUTE = Outcome("no_route")


def models(*patterns: str) -> ModelMatches:
    return ModelMatches(Globs.of(patterns))


def region(*terms: Condition, model: str = "claude-sonnet-4-5", tokens: int = 0) -> Region:
    when: Condition = ALWAYS if not terms else terms[0] if len(terms) == 1 else All(terms)
    return Region(when, Facts(Protocol.MESSAGES, model, input_tokens=tokens))


def moved(
    number: int, effect: Effect, before: Outcome, after: Outcome, *regions: Region, cause: int | None = 0, more: int = 0
) -> Moved:
    return Moved(f"c{number}", effect, Change(before, after, regions, more), cause)


def edit(
    name: str,
    operation: Operation = "edit",
    *fields: tuple[str, str | None, str | None],
    line: int = 31,
    kind: Kind = "route",
    was: str | None = None,
) -> Edit:
    return Edit(kind, name, operation, tuple(FieldEdit(*one) for one in fields), place(line), was)


def plan(
    edits: Sequence[Edit] = (),
    changes: Sequence[Moved] = (),
    *,
    touched: Sequence[Touched] = (),
    marks: Sequence[Mark] = (),
    routes: RouteCount | None = None,
    unfinished: str | None = None,
    spec: str = "gateway.yaml",
) -> Plan:
    effects: dict[Effect, int] = {}
    for change in changes:
        effects[change.effect] = effects.get(change.effect, 0) + 1
    return Plan(
        spec,
        side("main", "3f1c2ab9d07e11aa"),
        side("working tree"),
        tuple(edits),
        tuple(changes),
        tuple(touched),
        tuple(marks),
        routes or RouteCount(edited=len(edits)),
        EFFORT,
        unfinished,
        f"sha256:{'9d07e11c' * 8}",
        effects=effects,
    )


BAND = TokensIn(128_000, 200_000)
NOT_EVAL = Not(ClientIn(Globs.of(("eval-*",))))
GEMINI = asked("gemini", "gemini-2.5-pro")


def threshold() -> Plan:
    """A pull request that moves one threshold."""
    edits = (edit("long-context", "edit", ("when.input_tokens", "> 200k", "> 128k")),)
    changes = (
        moved(
            1,
            "retargeted",
            routed("anthropic-main", "bedrock-us"),
            routed(GEMINI),
            region(models("claude-*", "!claude-opus-*"), BAND, NOT_EVAL, tokens=128_000),
        ),
    )
    marks = (
        Mark("tag-changed", "Data leaves the region: 'bedrock-us' is tagged region=eu, 'gemini' region=us.", ("c1",)),
    )
    return plan(edits, changes, marks=marks)


def several() -> Plan:
    """Several causes, all effects, channels touched."""
    edits = (
        edit("long-context", "edit", ("when.input_tokens", "> 200k", "> 128k")),
        edit("haiku-local", "add", line=36),
        edit("mini", "move", ("position", "below gpt", "above gpt"), line=48),
        edit("background", "rename", line=52, was="bg"),
        edit("anthropic-main", "edit", ("base_url", None, "https://eu.example/v1"), kind="channel", line=8),
        edit("interns", "remove", line=60),
        edit("reasoning", "edit", ("failover.attempts", "3", "4"), ("to.0.weight", "7", "6"), line=70),
    )
    pair = routed("anthropic-main", "bedrock-us")
    changes = (
        moved(1, "newly_unrouted", pair, NO_ROUTE, region(models("gpt-5-nano"), model="gpt-5-nano"), cause=5),
        moved(
            2,
            "retargeted",
            pair,
            routed(GEMINI),
            region(models("claude-*", "!claude-opus-*"), BAND, NOT_EVAL, tokens=128_000),
        ),
        moved(
            3,
            "retargeted",
            routed("azure-eu", "openai"),
            routed(GEMINI),
            region(models("gpt-*"), ProtocolIn(frozenset({Protocol.CHAT, Protocol.RESPONSES})), BAND, NOT_EVAL),
            region(models("o3*", "o4*"), BAND, NOT_EVAL),
            region(models("*-mini"), Flag("tools", False), BAND, NOT_EVAL),
            more=0,
        ),
        moved(
            4,
            "retargeted",
            pair,
            routed("vllm-local", "anthropic-main"),
            region(models("claude-haiku-*"), TokensIn(0, 8_000), Flag("tools", False), model="claude-haiku-4-5"),
            cause=1,
        ),
        moved(
            5,
            "retargeted",
            routed("azure-eu", "openai"),
            routed("openai"),
            region(models("gpt-*-mini"), TokensIn(0, 128_000), model="gpt-5-mini"),
            cause=2,
        ),
        moved(6, "newly_routed", NO_ROUTE, routed(GEMINI), region(BAND, NOT_EVAL, model="other", tokens=128_000)),
        moved(
            7,
            "failover",
            pair,
            routed("anthropic-main", "bedrock-us", treatment=treated(Failover(attempts=4, deadline=90_000))),
            region(Flag("thinking", True)),
            cause=6,
        ),
        Moved(
            "c8",
            "weights",
            Change(
                routed(balanced(("anthropic-eu", "3/10"), ("anthropic-main", "7/10"))),
                routed(balanced(("anthropic-eu", "4/10"), ("anthropic-main", "6/10"))),
                (region(Flag("stream", True), models("claude-*")),),
            ),
            None,
            "0.1",
        ),
    )
    touched = (Touched(edits[4], ("long-context", "default")),)
    marks = (
        Mark("newly-unrouted", "Requests for gpt-5-nano lose their route.", ("c1",)),
        Mark("tag-changed", "Data leaves the region: 'azure-eu' is tagged region=eu, 'gemini' region=us.", ("c3",)),
    )
    return plan(edits, changes, touched=touched, marks=marks, routes=RouteCount(1, 2, 1, 1, 1))


def no_op() -> Plan:
    """A refactoring."""
    edits = (
        edit("background", "rename", line=12, was="bg"),
        edit("long-context", "reorder", ("position", "3", "2"), line=20),
        edit("claude", "edit", ("when.model", "claude-*, claude-3*", "claude-*"), line=31),
    )
    return plan(edits, routes=RouteCount(edited=1, moved=1, renamed=1))


def touched_only() -> Plan:
    """Requests go where they went, but a channel is another."""
    edits = (
        edit(
            "anthropic-main",
            "edit",
            ("base_url", "https://api.anthropic.com", "https://eu.example"),
            ("limits.concurrency", "64", None),
            kind="channel",
            line=8,
        ),
    )
    marks = (Mark("plaintext-upstream", "'anthropic-main' is reached without TLS."),)
    return plan(edits, touched=(Touched(edits[0], ("default", "long-context")),), marks=marks, routes=RouteCount())


def incomplete() -> Plan:
    """The budget was too small."""
    whole = threshold()
    return plan(
        whole.edits,
        whole.moved,
        marks=(Mark("incomplete", "The analysis ended before it was done."),),
        unfinished="the comparison needs more than 500,000 states",
    )


def many(number: int = 300) -> Plan:
    """More than fits a comment."""
    edits = tuple(edit(f"route-{n:03}", "edit", ("to.0", "a", "b"), line=n + 10) for n in range(-(-number // 3)))
    changes = tuple(
        moved(
            n,
            "retargeted",
            routed("anthropic-main", "bedrock-us"),
            routed(f"channel-{n}", GEMINI),
            *(region(models(f"model-{n}-{k}-*"), BAND, NOT_EVAL, model=f"model-{n}-{k}-x") for k in range(4)),
            cause=n // 3,
            more=5,
        )
        for n in range(number)
    )
    marks = (Mark("many-routes-changed", "100 of 120 routes changed (83 %, more than 30 %)."),)
    return plan(edits, changes, marks=marks)


def hostile(text: str) -> Plan:
    """A plan in which every name is this one."""
    edits = (
        edit(text, "edit", (text, text, text)),
        edit(text, "edit", ("base_url", None, text), kind="channel"),
        edit("quiet", "rename", was=text),
    )
    edits = (Edit("route", text, "edit", edits[0].fields, place(3, text)), *edits[1:])
    policy = RequestPolicy(default=((text, text),), system_prefix=text)
    changes = (
        moved(
            1,
            "retargeted",
            routed(text, asked("b", text)),
            routed(asked(text, text), treatment=treated(policy=policy)),
            region(models(text), model=text),
            region(ClientIn(Globs((text,)))),
        ),
        moved(2, "treatment", denied(message=text), denied(message=text + "!"), region(models(text)), cause=None),
    )
    return Plan(
        text,
        Side(text, text, text),
        Side(text, text),
        edits,
        changes,
        (Touched(edits[1], (text,)),),
        (Mark("newly-unrouted", f"{text!r} is lost", ("c1",)), Mark("single-target", f"{text} is lost", ("c1",))),
        RouteCount(edited=1),
        EFFORT,
        text,
        text,
        within=text,
        effects={"retargeted": 1, "treatment": 1},
    )


ALL = {
    "threshold": threshold,
    "several": several,
    "no_op": no_op,
    "touched_only": touched_only,
    "incomplete": incomplete,
    "many": many,
}
