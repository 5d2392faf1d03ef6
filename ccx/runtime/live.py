"""A table made ready to serve: engines, resolved keys, clients by key hash. Built whole, swapped whole, never changed
but for what its upstreams turn out to lack.

Law: `prepare` does everything that can fail (secrets, engines, a self-check) before anything is replaced. What survives
a swap lives outside: connection pools of channels whose transport settings are the same are taken over from the table
before, and counters live in `state` under stable ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from ccx.errors import SecretError
from ccx.protocols.names import Protocol
from ccx.routing.decide import Decider
from ccx.routing.facts import Facts
from ccx.routing.prices import PriceList
from ccx.routing.sticky import least_tokens
from ccx.routing.table import Channel, Client, Limits, Pairs, RoutingTable
from ccx.runtime.hook import hook_of
from ccx.runtime.metering import Metering, metering
from ccx.secrets import SecretRef, fingerprint, read_file, resolve
from ccx.upstream.credentials import auth_headers
from ccx.upstream.demo.engine import DemoEngine
from ccx.upstream.engine import TlsSettings
from ccx.upstream.reply import Engine, Header, Origin, Timeouts
from ccx.upstream.transport import make_engine


@dataclass(frozen=True, slots=True)
class LiveKey:
    """A resolved key. `value` leaves this object only inside an authentication header."""

    fingerprint: str
    weight: int
    value: str

    def __repr__(self) -> str:
        return f"LiveKey({self.fingerprint})"


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What makes two channels unable to share connections. `proxy` is hashed: it may hold a password."""

    kind: str
    proxy: str
    ca: str
    http2: bool


@dataclass(frozen=True, slots=True)
class Upstream:
    """A channel ready to be called."""

    channel: Channel
    engine: Engine
    settings: EngineSettings
    keys: tuple[LiveKey, ...]
    weights: tuple[tuple[str, int], ...]  # of the keys, by their fingerprints
    timeouts: Timeouts
    whole_timeouts: Timeouts
    set_headers: tuple[Header, ...]
    dropped_headers: frozenset[bytes]
    origins: Mapping[Protocol, Origin]
    paths: Mapping[Protocol, bytes]
    fixed: Mapping[Protocol, tuple[Header, ...]]
    defaults: Mapping[Protocol, tuple[Header, ...]]


@dataclass(frozen=True, slots=True)
class Live:
    """A prepared table. `number` grows with each swap of this process."""

    table: RoutingTable
    digest: str
    number: int
    decider: Decider
    prices: PriceList
    metering: Metering
    estimates: bool  # whether anything goes by how long answers are, and what of prompts is cached
    upstreams: Mapping[str, Upstream]
    clients: Mapping[bytes, Client]
    admin_key: bytes | None
    secrets: frozenset[str]
    least_tokens: int | None = None  # where sessions are remembered: the lowest number that counts are compared with
    without_compaction: set[str] = field(default_factory=set)  # channels that were seen to have none; grows

    def admits(self, key_hash: bytes, *, today: date) -> Client | None:
        """The client whose key has this SHA-256, if it may call today."""
        client = self.clients.get(key_hash)
        if client is None or not client.enabled or (client.expires is not None and client.expires < today):
            return None
        return client


class PrepareError(SecretError):
    """A table that cannot be served here. `problems` names every reason, never a secret."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def prepare(
    table: RoutingTable,
    digest: str,
    *,
    folder: Path,
    environ: Mapping[str, str],
    previous: Live | None = None,
    read: Callable[[str], bytes] = read_file,
    run: Callable[[SecretRef], bytes] | None = None,
) -> Live:
    """Make a table ready to serve. `folder` is the spec's: relative paths start there. `run` runs the
    commands that print secrets; None runs each anew.

    Raises PrepareError, naming everything that is missing at once; nothing of `previous` is touched then.
    """
    problems: list[str] = []

    def secret(ref: SecretRef, where: str) -> str:
        try:
            return resolve(ref, environ=environ, read=lambda name: read(str(folder / name)), run=run)
        except SecretError as error:
            problems.append(f"{where}: {error}")
            return ""

    upstreams = {
        channel.name: _upstream(channel, secret, folder=folder, previous=previous, problems=problems)
        for channel in table.channels
        if channel.enabled
    }
    admin = secret(table.admin.key, "admin.key") if table.admin.key is not None else None
    if table.redis is not None:
        if isinstance(table.redis.url, SecretRef):
            secret(table.redis.url, "state.redis.url")
        if table.redis.ca is not None:
            try:
                TlsSettings(ca=str(folder / table.redis.ca)).context()
            except SecretError as error:
                problems.append(f"state.redis.{str(error).removeprefix('tls.')}")
    if isinstance(table.telemetry.alerts, SecretRef):
        _check_hook(secret(table.telemetry.alerts, "telemetry.alerts.url"), problems)
    if problems:
        raise PrepareError(problems)
    live = Live(
        table=table,
        digest=digest,
        number=previous.number + 1 if previous else 1,
        decider=Decider(table),
        prices=PriceList(table),
        metering=metering(table, {u.channel.name: tuple(k.fingerprint for k in u.keys) for u in upstreams.values()}),
        estimates=estimates(table),
        upstreams=upstreams,
        clients={bytes.fromhex(key): client for client in table.clients for key in client.keys},
        admin_key=hashlib.sha256(admin.encode()).digest() if admin is not None else None,
        secrets=frozenset(key.value for upstream in upstreams.values() for key in upstream.keys),
        least_tokens=least_tokens(table) if table.sticky is not None else None,
    )
    _self_check(live)
    return live


def _check_hook(url: str, problems: list[str]) -> None:
    if url and hook_of(url) is None:
        problems.append("telemetry.alerts.url: what it refers to is no http:// or https:// URL")


def estimates(table: RoutingTable) -> bool:
    """Whether a table balances by cost or limits anything."""
    tiers = (tier for route in table.routes for tier in route.tiers)
    limits = [client.limits for client in table.clients] + [channel.limits for channel in table.channels]
    limits += [key.limits for channel in table.channels for key in channel.keys]
    limits += [group.limits for group in table.groups] + [model.limits for model in table.models]
    return (
        any(tier.balance == "least_cost" for tier in tiers)
        or any(one != Limits() for one in limits)
        or any(client.budgets for client in table.clients)
        or any(group.budgets for group in table.groups)
    )


def _upstream(
    channel: Channel,
    secret: Callable[[SecretRef, str], str],
    *,
    folder: Path,
    previous: Live | None,
    problems: list[str],
) -> Upstream:
    values = [(key, secret(key.secret, f"channels.{channel.name}.keys")) for key in channel.keys]
    proxy = channel.proxy
    if isinstance(proxy, SecretRef):
        proxy = secret(proxy, f"channels.{channel.name}.proxy")
    demo = any(surface.scheme == "demo" for surface in channel.surfaces)
    settings = EngineSettings(
        kind="demo" if demo else "http",
        proxy=fingerprint(proxy, salt=channel.name) if proxy else "",
        ca=_ca_state(folder / channel.ca) if channel.ca else "",
        http2=channel.http2,
    )
    kept = previous.upstreams.get(channel.name) if previous is not None else None
    if kept is not None and kept.settings == settings:
        engine = kept.engine
    elif demo:
        engine = DemoEngine()
    else:
        try:
            tls = TlsSettings(ca=str(folder / channel.ca) if channel.ca else None)
            if any(surface.scheme == "https" for surface in channel.surfaces):
                tls.context()  # read now, off the loop, what the first request would wait for
            engine = make_engine(proxy=proxy or None, http2=channel.http2, tls=tls)
        except (OSError, ValueError, SecretError) as error:
            problems.append(f"channels.{channel.name}: {error}")
            engine = DemoEngine()
    timeouts = Timeouts(
        connect=channel.timeouts.connect / 1000,
        first_byte=channel.timeouts.first_byte / 1000,
        idle=channel.timeouts.idle / 1000,
        total=channel.timeouts.total / 1000,
    )
    keys = tuple(LiveKey(fingerprint(value, salt=channel.name), key.weight, value) for key, value in values)
    return Upstream(
        channel=channel,
        engine=engine,
        settings=settings,
        keys=keys,
        weights=tuple((key.fingerprint, key.weight) for key in keys),
        timeouts=timeouts,
        whole_timeouts=replace(timeouts, first_byte=None, idle=timeouts.total),
        set_headers=_encoded(channel.set_headers),
        dropped_headers=frozenset(
            [name.encode() for name in channel.remove_headers] + [name.encode() for name, _ in channel.set_headers],
        ),
        origins={s.protocol: Origin(s.scheme == "https", s.host, s.port) for s in channel.surfaces},
        paths={s.protocol: s.path.encode() for s in channel.surfaces},
        fixed={s.protocol: _encoded(s.headers) for s in channel.surfaces},
        defaults={s.protocol: _encoded(s.default_headers) for s in channel.surfaces},
    )


def _encoded(pairs: Pairs) -> tuple[Header, ...]:
    return tuple((name.encode(), value.encode()) for name, value in pairs)


def _ca_state(path: Path) -> str:
    """Identity of a certificate file's content, so that a renewed one makes new connections."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return str(path)


def _self_check(live: Live) -> None:
    """Decide once for each protocol and build each key's headers: what would break the first request breaks here."""
    for protocol in Protocol:
        live.decider.decide(Facts(protocol, "self-check", input_tokens=0))
    for upstream in live.upstreams.values():
        for surface in upstream.channel.surfaces:
            for key in upstream.keys or (None,):
                auth_headers(surface.auth, key.value if key else None)


def retired(old: Sequence[Live], new: Sequence[Live]) -> tuple[Engine, ...]:
    """Engines of the tables that served which those that serve now do not use: to be drained."""
    kept = {id(upstream.engine) for live in new for upstream in live.upstreams.values()}
    found = {id(upstream.engine): upstream.engine for live in old for upstream in live.upstreams.values()}
    return tuple(engine for place, engine in found.items() if place not in kept)
