"""Compile a spec to the routing table.

Law: a function of the spec's meaning alone. Comments, the order of keys, short forms and spellings leave no trace: the
same meaning gives the same bytes and the same digest, and another meaning another. Everything inherited is resolved
here, so that the table never refers to a default. Reads nothing but the spec and the provider presets; resolves no
secret. It is total: what it cannot compile it reports as an error and leaves out, and a table with errors is for
looking at, never for serving.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import Protocol

from ccx.routing import table
from ccx.routing.canonical import digest
from ccx.routing.compile_channels import compile_channel, compile_limits, compile_secret
from ccx.routing.compile_conditions import compile_member
from ccx.routing.compile_routes import compile_route, compile_treatment, implicit_routes
from ccx.routing.globs import Globs
from ccx.routing.normal import normal_globs
from ccx.secrets import SecretRef
from ccx.spec import document as spec
from ccx.spec.diagnostics import START, Diagnostic, Path, diagnostic, has_errors
from ccx.spec.groups import Budget, ClientGroup
from ccx.spec.locations import Place
from ccx.spec.node import SecretSource
from ccx.spec.rules.info import Severity
from ccx.spec.scalars import parse_count

NOWHERE = Place("", None, START)


class Places(Protocol):
    """Where the values of the document stand; `ccx.spec.locations.Locations` is one."""

    def nearest(self, path: Path, /) -> Place:
        """The place of the path, or of the closest value above it that exists."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A table with its digest. `sources` has the place of each channel, client, group and route: `routes/all`."""

    table: table.RoutingTable
    digest: str
    diagnostics: tuple[Diagnostic, ...]
    sources: Mapping[str, Place]

    @property
    def servable(self) -> bool:
        """Whether the compiler found no error."""
        return not has_errors(self.diagnostics)


def compile_spec(root: spec.Spec, *, locations: Places | None = None) -> Compiled:
    """The table of a spec. Raises nothing for a spec that the models accept; see `Compiled.servable`."""
    return _Compilation(root, locations).compiled()


class _Compilation:
    """One run: collects what it finds while the parts are built."""

    def __init__(self, root: spec.Spec, locations: Places | None) -> None:
        self._spec = root
        self._locations = locations
        self._found: list[Diagnostic] = []

    def compiled(self) -> Compiled:
        root = self._spec
        # In the order written: it decides the targets of the route that stands in where no route is declared.
        channels = {
            name: compile_channel(
                name,
                channel,
                defaults=root.defaults.channel,
                report=partial(self._report, ("channels", name)),
            )
            for name, channel in root.channels.items()
        }
        treatment = compile_treatment(
            root.defaults,
            request=root.defaults.request,
            report=partial(self._report, ("defaults",)),
        )
        implicit = implicit_routes(channels.values(), treatment, fallback=not root.routes)
        models = {name: self._model(name, root.models[name]) for name in sorted(root.models)}
        declared = [
            compile_route(
                route,
                channels=channels,
                models=models,
                defaults=root.defaults,
                report=partial(self._report, ("routes", place)),
            )
            for place, route in enumerate(root.routes)
        ]
        server = self._server(root.server)
        direct = table.Route(
            table.DIRECT.name,
            failover=treatment.failover,
            policy=treatment.policy,
            on_loss=treatment.on_loss,
        )
        compiled = table.RoutingTable(
            version=root.version,
            channels=tuple(channels[name] for name in sorted(channels)),
            routes=(*implicit, *declared),
            clients=tuple(_client(name, root.clients[name]) for name in sorted(root.clients)),
            models=tuple(models.values()),
            server=server,
            admin=table.Admin(_optional_secret(root.admin.key), root.admin.dashboard),
            tokenizer=root.tokens.tokenizer,
            redis=_redis(root.state),
            telemetry=_telemetry(root.telemetry),
            direct=direct if server.direct else table.DIRECT,
            groups=tuple(_group(name, root.groups[name]) for name in sorted(root.groups)),
            sticky=root.tokens.sticky,
        )
        return Compiled(compiled, digest(compiled), tuple(self._found), MappingProxyType(self._sources(compiled)))

    def _place(self, path: Path) -> Place:
        return self._locations.nearest(path) if self._locations is not None else NOWHERE

    def _report(
        self,
        above: Path,
        code: str,
        message: str,
        path: Path,
        *,
        help: str | None = None,  # noqa: A002  # the diagnostic's own field name
        suggestion: str | None = None,
        severity: Severity | None = None,
    ) -> None:
        where = (*above, *path)
        place = self._place(where)
        found = diagnostic(
            code,
            message,
            file=place.file,
            span=place.value,
            path=where,
            help=help,
            suggestion=suggestion,
            severity=severity,
        )
        if found not in self._found:
            self._found.append(found)

    def _sources(self, compiled: table.RoutingTable) -> dict[str, Place]:
        paths: dict[str, Path] = {}
        for kind, names in (
            ("channels", self._spec.channels),
            ("clients", self._spec.clients),
            ("groups", self._spec.groups),
        ):
            paths |= {f"{kind}/{name}": (kind, name) for name in names}
        for channel in compiled.channels:
            if channel.prefix is not None:
                paths[f"routes/@prefix-{channel.prefix}"] = ("channels", channel.name, "prefix")
        if not self._spec.routes:
            paths["routes/@all"] = ("channels",)
        paths |= {f"routes/{route.name}": ("routes", place) for place, route in enumerate(self._spec.routes)}
        return {name: self._place(path) for name, path in paths.items()}

    def _server(self, server: spec.Server) -> table.Server:
        host, _, port = server.listen.rpartition(":")
        number = int(port)
        if number > 65_535:
            self._report(("server", "listen"), "CCX128", f"{number} is not a port; ports end at 65535", ())
        rollback, canary = server.rollback, server.canary
        return table.Server(
            host=host.strip("[]").lower(),
            port=number,
            max_body=server.max_body,
            max_concurrency=server.max_concurrency,
            body_timeout=server.body_timeout,
            drain=server.drain,
            cors=tuple(sorted(set(server.cors))),
            direct=server.direct,
            cache_size=server.cache_size,
            rollback_window=rollback.window if rollback is not None else None,
            rollback_error_rate=_rise(rollback.error_rate) if rollback is not None else None,
            rollback_first_byte=_more(rollback.first_byte) if rollback is not None else None,
            overload=_overload(server.overload),
            canary_share=canary.share if canary is not None else None,
            canary_for=canary.lasting if canary is not None else None,
        )

    def _model(self, name: str, model: spec.Model) -> table.ModelInfo:
        price = model.price
        return table.ModelInfo(
            name,
            context_window=model.context_window,
            max_output_tokens=model.max_output_tokens,
            input=price.input if price is not None else None,
            output=price.output if price is not None else None,
            cache_read=price.cache_read if price is not None else None,
            cache_write=price.cache_write if price is not None else None,
            above=self._price_tiers(name, price) if price is not None else (),
            tools=model.tools,
            vision=model.vision,
            thinking=model.thinking,
            limits=compile_limits(model.limits),
        )

    def _price_tiers(self, name: str, price: spec.Price) -> tuple[table.PriceTier, ...]:
        tiers: dict[int, table.PriceTier] = {}
        for size, tier in price.above.items():
            path: Path = ("models", name, "price", "above", size)
            try:
                tokens = parse_count(size)
            except ValueError as error:
                self._report(path, "CCX110", str(error), ())
                continue
            if tokens in tiers:
                self._report(path, "CCX110", f"{size!r} is {tokens}, for which there are prices already", ())
            tiers[tokens] = table.PriceTier(tokens, tier.input, tier.output, tier.cache_read, tier.cache_write)
        return tuple(tiers[tokens] for tokens in sorted(tiers))


def _client(name: str, client: spec.Client) -> table.Client:
    return table.Client(
        name,
        keys=tuple(sorted({key.sha256 for key in client.key})),
        models=_allowed(Globs.of(client.models)) if client.models is not None else None,
        limits=compile_limits(client.limits),
        budgets=_budgets(client.budget),
        expires=client.expires,
        tags=tuple(sorted(client.tags.items())),
        direct=client.direct,
        enabled=client.enabled,
    )


def _group(name: str, group: ClientGroup) -> table.Group:
    limits, budgets = compile_limits(group.limits), _budgets(group.budget)
    return table.Group(name, compile_member(group.when), limits, budgets)


def _budgets(budgets: tuple[Budget, ...]) -> tuple[table.Budget, ...]:
    found = {table.Budget(one.usd, one.per, tuple(sorted(set(one.alerts)))) for one in budgets}
    return tuple(sorted(found, key=lambda one: (one.per, one.usd, one.alerts)))


def _overload(declared: spec.Overload | str) -> table.Overload | None:
    if isinstance(declared, str):
        return None
    usual = table.Overload()
    return table.Overload(declared.lag, declared.memory if declared.memory is not None else usual.memory)


def _allowed(models: Globs) -> Globs:
    """The smallest equal set; one that excludes all it includes stays as written, for there is no empty set."""
    return normal_globs(models) or models


def _rise(text: str) -> str:
    """`+5.0%` and `5%` are the same rise."""
    return f"+{Decimal(text.strip('+%')).normalize():f}%"


def _more(text: str | None) -> Fraction | None:
    """`+50%` is half as much again."""
    return Fraction(text.strip("+%")) / 100 if text is not None else None


def _optional_secret(source: SecretSource | None) -> SecretRef | None:
    return compile_secret(source) if source is not None else None


def _redis(state: spec.RedisState | str) -> table.Redis | None:
    if isinstance(state, str):
        return None
    redis = state.redis
    return table.Redis(_address(redis.url), redis.prefix, redis.on_failure, redis.timeout, redis.ca)


def _address(url: str | SecretSource) -> str | SecretRef:
    return compile_secret(url) if isinstance(url, SecretSource) else url


def _telemetry(telemetry: spec.Telemetry) -> table.Telemetry:
    logs, usage = telemetry.logs, telemetry.usage
    return table.Telemetry(
        log_format=logs.format,
        log_file=logs.file,
        log_bodies=logs.bodies,
        redact=tuple(sorted({name.lower() for name in logs.redact})),
        metrics=telemetry.metrics == "prometheus",
        otlp=telemetry.traces.otlp if telemetry.traces is not None else None,
        usage_store=usage.store if usage is not None else None,
        usage_retention=usage.retention if usage is not None else None,
        alerts=_address(telemetry.alerts.url) if telemetry.alerts is not None else None,
    )
