"""How a thing of the table reads, field by field, by the paths of the spec language.

Law: everything of a channel, client, route and so on that the table keeps has its line here, in the words in which a
person would write it (`> 200k`, `90s`, `env:KEY`), so that two of a kind are compared by comparing lines. References
and fingerprints stand for secrets; what looks like one is not shown. Nothing here knows of two tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final

from ccx.routing import table
from ccx.routing.conditions import (
    All,
    AnyOf,
    BodyField,
    ClientIn,
    Condition,
    Constant,
    Direct,
    Flag,
    HeaderMatches,
    ModelMatches,
    Not,
    PrefixIn,
    ProtocolIn,
    ServerTool,
    TagMatches,
    TokensIn,
)
from ccx.routing.promotion import moment
from ccx.spec.inline import looks_secret

Path = tuple[str | int, ...]
Fields = dict[Path, str]

THEN: Final = " ▸ "
"""Stands between the steps of a failover order."""

_USER: Final = re.compile(r"//[^/@\s]*@")
_TIMES: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"))
_SIZES: Final = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_PERIODS: Final = {1: "s", 60: "min", 3600: "h", 86400: "day"}


def duration(milliseconds: int) -> str:
    """`90s`, `250ms`, `15m`."""
    for unit, name in _TIMES:
        if milliseconds and milliseconds % unit == 0:
            return f"{milliseconds // unit}{name}"
    return f"{milliseconds}ms"


def size(count: int) -> str:
    """`50MiB`."""
    for unit, name in _SIZES:
        if count and count % unit == 0:
            return f"{count // unit}{name}"
    return f"{count:,}"


def number(count: int) -> str:
    """`200k`, `2M`, `1,234`."""
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if count and count % unit == 0:
            return f"{count // unit}{name}"
    return f"{count:,}"


def tokens(low: int, high: int | None) -> str:
    """A range of token counts as the shorter of its spellings: `> 200k`, `<= 8k`, `60k..200k`."""
    if high is None:
        return min((f">= {number(low)}", *([f"> {number(low - 1)}"] if low else [])), key=len)
    if low == 0:
        return min(f"< {number(high)}", f"<= {number(high - 1)}", key=len)
    return f"{number(low)}..{number(high)}"


def route_fields(route: table.Route) -> Fields:
    """A route's condition, targets and treatment."""
    fields = when_fields(route.when)
    fields |= {("to", place): step(tier) for place, tier in enumerate(route.tiers)}
    if route.deny is not None:
        fields |= {("deny", "status"): str(route.deny.status), ("deny", "message"): _text(route.deny.message)}
        return fields
    return fields | treatment_fields(route)


def treatment_fields(route: table.Route) -> Fields:
    """What a route can inherit, and its cache."""
    failover, policy = route.failover, route.policy
    fields: Fields = {
        ("failover", "on"): ", ".join(sorted(failover.on)),
        ("failover", "attempts"): str(failover.attempts),
        ("failover", "deadline"): duration(failover.deadline),
        ("failover", "backoff", "initial"): duration(failover.backoff_initial),
        ("failover", "backoff", "max"): duration(failover.backoff_max),
        ("failover", "backoff", "jitter"): "full" if failover.jitter else "none",
        ("failover", "retry_budget"): percent(failover.retry_budget) if failover.retry_budget is not None else "off",
        ("failover", "hedge"): hedge(failover.hedge),
        ("failover", "midstream"): failover.midstream,
        ("on_loss",): route.on_loss,
    }
    if policy.max_output_tokens is not None:
        fields["request", "cap", "max_output_tokens"] = number(policy.max_output_tokens)
    fields |= {("request", "default", name): _text(value) for name, value in policy.default}
    fields |= {("request", "set", name): _text(value) for name, value in policy.set}
    fields |= _some(("request", "drop"), ", ".join(policy.drop))
    if policy.system_prefix is not None:
        fields["request", "system", "prefix"] = _text(policy.system_prefix)
    if policy.system_replace is not None:
        fields["request", "system", "replace"] = _text(policy.system_replace)
    if route.cache is not None:
        fields |= {("cache", "ttl"): duration(route.cache.ttl), ("cache", "scope"): route.cache.scope}
        fields["cache", "when"] = route.cache.when
    return fields


def hedge(declared: table.Hedge | None) -> str:
    """When a second target is asked: `after 2s, 5%`, or `off`."""
    return f"after {duration(declared.after)}, {percent(declared.share)}" if declared is not None else "off"


def step(tier: table.Tier) -> str:
    """One step of the failover order: `lab (qwen3)`, `weighted: a ×9, b ×1; affinity session`."""
    weighs = tier.balance not in ("priority", "round_robin")
    names = [_target(target, weight=weighs or target.weight == 0) for target in tier.targets]
    if len(names) == 1:
        return names[0]
    affinity = f"; affinity {tier.affinity}" if tier.affinity != "none" else ""
    ejection = f"; max_ejection {percent(tier.max_ejection)}" if tier.max_ejection != table.ALL else ""
    return f"{tier.balance}: {', '.join(names)}{affinity}{ejection}"


def _target(target: table.Target, *, weight: bool) -> str:
    model = f" ({target.model})" if target.model is not None else ""
    return f"{target.channel}{model}{f' ×{target.weight}' if weight else ''}"


def when_fields(when: Condition) -> Fields:
    """A condition by the keys of `when`; what is combined with `any` or `not` stays one line."""
    fields: Fields = {}
    for part in when.parts if isinstance(when, All) else (when,):
        if part == Constant(True):
            continue
        path, text = _condition(part)
        key = ("when", *path)
        fields[key] = f"{fields[key]} and {text}" if key in fields else text
    return fields


def _condition(part: Condition) -> tuple[Path, str]:
    match part:
        case ProtocolIn(protocols):
            return ("protocol",), ", ".join(sorted(protocols))
        case ModelMatches(globs):
            return ("model",), str(globs)
        case TokensIn(low, high):
            return ("input_tokens",), tokens(low, high)
        case AnyOf(parts) if all(isinstance(one, TokensIn) for one in parts):
            ranges = [tokens(one.low, one.high) for one in parts if isinstance(one, TokensIn)]
            return ("input_tokens",), ", ".join(ranges)
        case Flag(name, value):
            return (name,), _yes(value)
        case ServerTool(globs):
            return ("server_tools",), str(globs)
        case ClientIn(globs):
            return ("client",), str(globs)
        case TagMatches(name, globs):
            return ("tag", name), str(globs)
        case HeaderMatches(name, globs):
            return ("header", name), str(globs)
        case PrefixIn(globs):
            return ("prefix",), str(globs)
        case BodyField(path):
            return ("body", path), str(part).partition(" ~ ")[2]
        case Not(inner):
            return ("not",), str(inner)
        case AnyOf():
            return ("any",), str(part)
        case Constant() | Direct() | All():
            return (), str(part)


def channel_fields(channel: table.Channel) -> Fields:
    """Everything of a channel."""
    urls: dict[str, str] = {surface.protocol: url(surface) for surface in channel.surfaces}
    auths: dict[str, str] = {surface.protocol: surface.auth for surface in channel.surfaces}
    fields: Fields = {
        **_some(("provider",), channel.provider or ""),
        ("protocol",): ", ".join(sorted(urls)),
        ("base_url",): _each(urls),
        ("auth",): _each(auths),
        ("keys",): ", ".join(_key(key) for key in channel.keys) or "none",
        ("key_strategy",): channel.key_strategy,
        **_models(channel),
        **{("timeouts", name): duration(getattr(channel.timeouts, name)) for name in _TIMEOUTS},
        **_limits(channel.limits),
        **_breaker(channel.breaker),
        **{("cooldown", name): duration(getattr(channel.cooldown, name)) for name in _COOLDOWNS},
        **_probe(channel.probe),
        **_queue(channel.queue),
        **{("headers", "set", name): _text(value) for name, value in channel.set_headers},
        **_some(("headers", "remove"), ", ".join(channel.remove_headers)),
        **_some(("proxy",), _address(channel.proxy) if channel.proxy is not None else ""),
        **_some(("tls", "ca"), channel.ca or ""),
        ("http2",): _yes(channel.http2),
        **{("tags", name): value for name, value in channel.tags},
        **_some(("promote",), promotion(channel.promote) if channel.promote is not None else ""),
        **_some(("prefix",), channel.prefix or ""),
        ("enabled",): _yes(channel.enabled),
    }
    return fields


_TIMEOUTS: Final = ("connect", "first_byte", "idle", "total")
_COOLDOWNS: Final = ("rate_limit", "auth", "quota", "longest")


def url(surface: table.Surface) -> str:
    """The address of a surface without what the path of a request adds."""
    if surface.scheme == "demo":
        return "demo:"
    host = f"[{surface.host}]" if ":" in surface.host else surface.host
    usual = {"http": 80, "https": 443}[surface.scheme]
    port = "" if surface.port == usual else f":{surface.port}"
    return f"{surface.scheme}://{host}{port}{surface.path}"


def _each(values: Mapping[str, str]) -> str:
    """One text where all protocols have the same, else each with its protocol."""
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{name} {value}" for name, value in sorted(values.items()))


def promotion(period: table.Promotion) -> str:
    """When a channel goes before the order of its routes."""
    start = f"from {moment(period.start)} " if period.start is not None else ""
    return f"goes first {start}until {moment(period.until)}"


def _key(key: table.Key) -> str:
    more = [f"weight {key.weight}"] if key.weight != 1 else []
    more += [f"{path[-1]} {text}" for path, text in _limits(key.limits).items()]
    return f"{key.secret} ({', '.join(more)})" if more else str(key.secret)


def _models(channel: table.Channel) -> Fields:
    excluded: Fields = {("models", f"!{pattern}"): "excluded" for pattern in channel.not_models}
    if channel.models is None:
        return excluded or {("models",): "any"}
    return {("models", pattern): f"as {name}" if name else "allowed" for pattern, name in channel.models} | excluded


def _limits(limits: table.Limits) -> Fields:
    fields: Fields = {}
    for name in ("requests", "input_tokens", "output_tokens"):
        rates: tuple[tuple[int, int], ...] = getattr(limits, name)
        fields |= _some(("limits", name), ", ".join(_rate(rate) for rate in rates))
    if limits.concurrency is not None:
        fields["limits", "concurrency"] = number(limits.concurrency)
    return fields


def _rate(rate: tuple[int, int]) -> str:
    amount, seconds = rate
    return f"{number(amount)}/{_PERIODS.get(seconds, f'{seconds}s')}"


def _breaker(breaker: table.Breaker | None) -> Fields:
    if breaker is None:
        return {("breaker",): "off"}
    return {
        ("breaker", "window"): duration(breaker.window),
        ("breaker", "min_requests"): str(breaker.min_requests),
        ("breaker", "error_rate"): percent(breaker.error_rate),
        ("breaker", "consecutive"): str(breaker.consecutive),
        ("breaker", "open"): duration(breaker.open),
        ("breaker", "max_open"): duration(breaker.max_open),
        ("breaker", "probes"): str(breaker.probes),
    }


def _probe(probe: table.Probe | None) -> Fields:
    if probe is None:
        return {("probe",): "off"}
    return {
        ("probe", "every"): duration(probe.every),
        ("probe", "ask"): probe.ask,
        **_some(("probe", "model"), probe.model or ""),
        ("probe", "timeout"): duration(probe.timeout),
        ("probe", "always"): _yes(probe.always),
    }


def _queue(queue: table.Queue | None) -> Fields:
    if queue is None:
        return {}
    return {("queue", "size"): number(queue.size), ("queue", "wait"): duration(queue.wait)}


def percent(share: Fraction) -> str:
    """`50%`, `12.5%`; three decimals where there is no end to them."""
    exact = share * 100
    return f"{Decimal(exact.numerator) / Decimal(exact.denominator):.3f}".rstrip("0").rstrip(".") + "%"


def client_fields(client: table.Client) -> Fields:
    """Everything of a client; of its keys the beginning of their hashes."""
    return {
        ("key",): ", ".join(f"sha256:{key[:8]}…" for key in client.keys),
        ("models",): str(client.models) if client.models is not None else "any",
        **_limits(client.limits),
        **_budgets(client.budgets),
        **_some(("expires",), client.expires.isoformat() if client.expires is not None else ""),
        **{("tags", name): value for name, value in client.tags},
        ("direct",): _yes(client.direct),
        ("enabled",): _yes(client.enabled),
    }


def group_fields(group: table.Group) -> Fields:
    """Everything of a group."""
    who = when_fields(group.when) or {("when",): "every client"}
    return {**who, **_limits(group.limits), **_budgets(group.budgets)}


def _budgets(budgets: tuple[table.Budget, ...]) -> Fields:
    return _some(("budget",), ", ".join(_budget(one) for one in budgets))


def _budget(one: table.Budget) -> str:
    alerts = f" (alerts at {', '.join(percent(share) for share in one.alerts)})" if one.alerts else ""
    return f"{_money(one.usd)} USD per {one.per}{alerts}"


def model_fields(model: table.ModelInfo) -> Fields:
    """What is said of a model; prices in USD per million tokens."""
    fields: Fields = {}
    for name in ("context_window", "max_output_tokens"):
        count: int | None = getattr(model, name)
        if count is not None:
            fields[name,] = number(count)
    fields |= _prices(model, ("price",))
    for tier in model.above:
        fields |= _prices(tier, ("price", "above", number(tier.tokens)))
    for name in ("tools", "vision", "thinking"):
        can: bool | None = getattr(model, name)
        if can is not None:
            fields[name,] = _yes(can)
    return fields | _limits(model.limits)


def _prices(of: table.ModelInfo | table.PriceTier, path: Path) -> Fields:
    prices = {name: getattr(of, name) for name in ("input", "output", "cache_read", "cache_write")}
    return {(*path, name): _money(price) for name, price in prices.items() if price is not None}


def server_fields(one: table.RoutingTable) -> Fields:
    """The process."""
    server = one.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    fields: Fields = {
        ("listen",): f"{host}:{server.port}",
        ("max_body",): size(server.max_body),
        ("max_concurrency",): number(server.max_concurrency),
        ("body_timeout",): duration(server.body_timeout),
        ("drain",): duration(server.drain),
        ("cors",): ", ".join(server.cors) or "none",
        ("direct",): _yes(server.direct),
        ("cache_size",): size(server.cache_size),
    }
    if server.overload is None:
        fields["overload",] = "off"
    elif server.overload != table.Overload():
        fields["overload", "lag"] = duration(server.overload.lag)
        fields["overload", "memory"] = percent(server.overload.memory)
    if server.rollback_window is not None:
        fields["rollback", "window"] = duration(server.rollback_window)
        fields |= _some(("rollback", "error_rate"), server.rollback_error_rate or "")
        if server.rollback_first_byte is not None:
            fields["rollback", "first_byte"] = f"+{percent(server.rollback_first_byte)}"
    if server.canary_share is not None:
        fields["canary", "share"] = percent(server.canary_share)
        fields |= _some(("canary", "for"), duration(server.canary_for) if server.canary_for is not None else "")
    return fields


def telemetry_fields(one: table.RoutingTable) -> Fields:
    """Logs, metrics, traces, usage."""
    said = one.telemetry
    retention = duration(said.usage_retention) if said.usage_retention is not None else ""
    return {
        ("logs", "format"): said.log_format,
        **_some(("logs", "file"), said.log_file or ""),
        ("logs", "bodies"): said.log_bodies,
        ("logs", "redact"): ", ".join(said.redact) or "nothing",
        ("metrics",): "prometheus" if said.metrics else "none",
        **_some(("traces", "otlp"), _address(said.otlp or "")),
        **_some(("usage", "store"), said.usage_store or ""),
        **_some(("usage", "retention"), retention),
        **_some(("alerts", "url"), str(said.alerts or "")),
    }


def state_fields(one: table.RoutingTable) -> Fields:
    """Where counters live."""
    redis = one.redis
    if redis is None:
        return {(): "memory"}
    return {
        ("redis", "url"): _address(redis.url),
        ("redis", "prefix"): redis.prefix,
        ("redis", "on_failure"): redis.on_failure,
        ("redis", "timeout"): duration(redis.timeout),
        **_some(("redis", "ca"), redis.ca or ""),
    }


def admin_fields(one: table.RoutingTable) -> Fields:
    """Management endpoints."""
    key = str(one.admin.key) if one.admin.key is not None else "none"
    return {("key",): key, ("dashboard",): _yes(one.admin.dashboard)}


def tokens_fields(one: table.RoutingTable) -> Fields:
    """What a token is."""
    sticky = duration(one.sticky) if one.sticky is not None else ""
    return {("tokenizer",): one.tokenizer, **_some(("sticky",), sticky)}


SECTIONS: Final[Mapping[str, Callable[[table.RoutingTable], Fields]]] = {
    "server": server_fields,
    "telemetry": telemetry_fields,
    "state": state_fields,
    "admin": admin_fields,
    "tokens": tokens_fields,
}
"""The parts of a table of which there is one."""


def _some(path: Path, text: str) -> Fields:
    return {path: text} if text else {}


def _address(of: object) -> str:
    return _USER.sub("//…@", str(of))


def _money(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _yes(value: bool) -> str:
    return "true" if value else "false"


def _text(text: str) -> str:
    return "(hidden)" if looks_secret(text) else text


def names(of: Iterable[str]) -> str:
    """`a`, `b` and `c`."""
    listed = [f"`{name}`" for name in of]
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}" if listed else "none"
