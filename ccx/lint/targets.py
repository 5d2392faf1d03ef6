"""2xx and 3xx: targets that are listed to no effect, told from the list alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ccx.lint.edit import without
from ccx.lint.rule import Rule
from ccx.lint.subject import Subject
from ccx.spec.channels import Key
from ccx.spec.diagnostics import Fix, Path
from ccx.spec.finding import Finding
from ccx.spec.routes import Group

_WEIGHING: Final = frozenset({"weighted", "least_connections", "least_latency", "least_cost"})


def duplicate_targets(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        first: dict[tuple[str, str | None], Path] = {}
        for target in route.targets:
            key = (target.channel.name, target.target.model)
            if key in first:
                edits = without(subject, target.path)
                yield Finding(
                    target.path,
                    "CCX212",
                    f"route `{route.written.name}` lists {target.label} twice",
                    help="remove one; a failed target is asked again by itself while attempts are left",
                    also=((first[key], "first listed here"),),
                    fix=Fix("remove the second", False, edits) if edits else None,
                )
            first.setdefault(key, target.path)


def zero_weights(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        for target in route.targets:
            if target.written.weight == 0:
                message = f"{target.label} has weight 0 in route `{route.written.name}` and takes no requests"
                yield Finding((*target.path, "weight"), "CCX306", message, help="give it a weight, or remove it")
    for name, channel in subject.spec.channels.items():
        pool: tuple[Key, ...] = channel.keys if isinstance(channel.keys, tuple) else ()
        for index, key in enumerate(pool):
            if key.weight == 0 and key.enabled:
                listed = subject.tree(("channels", name, "keys", index)) is not None
                at: Path = ("channels", name, "keys", index) if listed else ("channels", name, "keys")
                message = f"a key of channel `{name}` has weight 0 and is never used"
                yield Finding((*at, "weight"), "CCX306", message, help="give it a weight, or write enabled: false")


def groups(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        for place, step in enumerate(route.written.to or ()):
            path: Path = (*route.path, "to", place)
            if isinstance(step, Group):
                if len(step.targets) == 1:
                    name = step.targets[0].channel
                    yield Finding(
                        (*path, "balance"),
                        "CCX313",
                        f"this group of route `{route.written.name}` has one member, `{name}`",
                        help=f"write `{name}` in its place, or add the member that is missing",
                        at_key=True,
                    )
                elif step.balance not in _WEIGHING:
                    for index, member in enumerate(step.targets):
                        if member.weight > 1:
                            yield _idle_weight(subject, (*path, "targets", index), f"`{step.balance}` looks at none")
            elif step.weight > 1:
                yield _idle_weight(subject, path, "targets in failover order have none")


def _idle_weight(subject: Subject, path: Path, why: str) -> Finding:
    edits = without(subject, (*path, "weight"))
    return Finding(
        (*path, "weight"),
        "CCX314",
        f"this weight has no effect: {why}",
        help="put the targets in a group with `balance: weighted`, or remove it",
        at_key=True,
        fix=Fix("remove the weight", True, edits) if edits else None,
    )


def disabled_targets(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        for target in route.targets:
            if not target.channel.enabled:
                message = f"route `{route.written.name}` lists `{target.channel.name}`, which is disabled"
                also = ((("channels", target.channel.name, "enabled"), "disabled here"),)
                yield Finding(
                    target.path, "CCX505", message, help="enable the channel, or remove the target", also=also
                )


TARGETS: Final[tuple[Rule, ...]] = (
    Rule(("CCX212",), duplicate_targets),
    Rule(("CCX306",), zero_weights),
    Rule(("CCX313", "CCX314"), groups),
    Rule(("CCX505",), disabled_targets),
)
