"""Tables to draw."""

from __future__ import annotations

from collections.abc import Sequence

from ccx.protocols.names import Protocol
from ccx.routing.conditions import ALWAYS, Condition, ModelMatches
from ccx.routing.globs import Globs
from ccx.routing.table import Channel, Deny, Failover, Route, RoutingTable, Surface, Target, Tier


def channel(name: str, *, host: str = "api.example", enabled: bool = True) -> Channel:
    surface = Surface(Protocol.MESSAGES, "https", host, 443, "/v1", "bearer")
    return Channel(name, "messages", (surface,), enabled=enabled)


def route(name: str, *targets: str | Tier, when: Condition = ALWAYS, attempts: int = 3) -> Route:
    tiers = tuple(target if isinstance(target, Tier) else Tier((Target(target),)) for target in targets)
    return Route(name, when, tiers, failover=Failover(attempts=attempts))


def denying(name: str, when: Condition = ALWAYS) -> Route:
    return Route(name, when, deny=Deny(403, "no"))


def model(*patterns: str) -> Condition:
    return ModelMatches(Globs.of(patterns))


def table(channels: Sequence[str | Channel], *routes: Route) -> RoutingTable:
    made = tuple(one if isinstance(one, Channel) else channel(one) for one in channels)
    return RoutingTable("ccx/v1", made, routes)


def weighted(*targets: tuple[str, int]) -> Tier:
    return Tier(tuple(Target(name, None, weight) for name, weight in targets), "weighted")


OLD = table(
    ["anthropic", "bedrock", channel("gemini", host="old.example"), "openrouter"],
    denying("no-images", model("gpt-image-*")),
    route("long", Tier((Target("gemini", "gemini-2.5-pro"),)), "anthropic", when=model("claude-*")),
    route("blend", weighted(("openrouter", 7), ("anthropic", 3)), when=model("gpt-*")),
    route("bg", "openrouter", when=model("*haiku*")),
    route("interns", "openrouter", when=model("x-*")),
    route("slow", "anthropic", when=model("y-*")),
    route("default", "anthropic", "bedrock"),
)
NEW = table(
    ["anthropic", "gemini", "openrouter", channel("vllm", enabled=False)],
    route("local", "vllm", "anthropic", when=model("claude-haiku-*")),
    route("long", Tier((Target("gemini", "gemini-2.5-pro"),)), "anthropic", when=model("claude-*", "!claude-opus-*")),
    route("blend", weighted(("openrouter", 6), ("anthropic", 4)), "gemini", when=model("gpt-*")),
    route("background", "openrouter", when=model("*haiku*")),
    route("slow", "anthropic", when=model("y-*"), attempts=4),
    denying("no-images", model("gpt-image-*")),
    route("default", "anthropic", "openrouter"),
)


def many(number: int, *, alike: bool) -> RoutingTable:
    """Routes to nine channels: seven neighbours alike, or no two."""
    return table(
        [f"c{n}" for n in range(12)],
        *(
            route(f"route-{n}", f"c{n // 7 % 9}", when=model(f"m{n}-*"))
            if alike
            else route(f"route-{n}", Tier((Target(f"c{n % 9}", f"model-{n}"),)), f"c{n * 5 % 9}", when=model(f"m{n}-*"))
            for n in range(number)
        ),
    )
