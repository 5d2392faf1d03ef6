"""A channel of the spec, with what it inherits and what its provider presets, to a channel of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Final

from ccx.catalog.providers import Provider, provider
from ccx.catalog.providers import Surface as Preset
from ccx.protocols.names import Protocol
from ccx.routing import table
from ccx.routing.addresses import DEFAULT_VERSION, BadBaseUrl, Base, parse_base, version_of
from ccx.secrets import SecretRef
from ccx.spec import channels as spec
from ccx.spec.node import SecretSource

Report = Callable[..., None]
"""Takes a code, a message and a path below the channel; and by keyword, what a diagnostic takes."""

COMMAND_REFRESH: Final = 300_000
"""Milliseconds after which a secret's command is run again, unless the spec says when."""

_AUTH: Mapping[Protocol, table.AuthScheme] = {
    Protocol.MESSAGES: "x-api-key",
    Protocol.CHAT: "bearer",
    Protocol.RESPONSES: "bearer",
    Protocol.GEMINI: "x-goog-api-key",
    Protocol.IMAGES: "bearer",
    Protocol.EMBEDDINGS: "bearer",
}
_DEFAULT_HEADERS: Mapping[Protocol, table.Pairs] = {Protocol.MESSAGES: (("anthropic-version", "2023-06-01"),)}
_DIALECT: Mapping[frozenset[Protocol], str] = {
    frozenset({Protocol.MESSAGES}): "anthropic",
    frozenset({Protocol.GEMINI}): "gemini",
}


def compile_channel(
    name: str,
    channel: spec.Channel,
    *,
    defaults: spec.ChannelSettings,
    report: Report,
) -> table.Channel:
    """The channel as the table has it. What cannot be compiled is reported, and left out."""
    preset = provider(channel.provider) if channel.provider is not None else None
    if channel.provider is not None and preset is None:
        report("CCX119", f"there is no provider {channel.provider!r}", ("provider",))
    surfaces = _surfaces(channel, preset, report=report)
    keyless = all(surface.auth == "none" for surface in surfaces)
    models, not_models = _models(channel)
    remove, set_ = _headers(channel.headers, defaults.headers)
    return table.Channel(
        name=name,
        dialect=preset.dialect if preset else _DIALECT.get(frozenset(s.protocol for s in surfaces), "generic"),
        surfaces=surfaces,
        provider=preset.name if preset else None,
        keys=() if keyless else _keys(channel),
        key_strategy=channel.key_strategy or defaults.key_strategy or "round_robin",
        models=models,
        not_models=not_models,
        timeouts=_timeouts(channel.timeouts, defaults.timeouts),
        limits=compile_limits(channel.limits, defaults.limits),
        breaker=_breaker(channel.breaker, defaults.breaker),
        set_headers=set_,
        remove_headers=remove,
        proxy=_proxy(channel.proxy if channel.proxy is not None else defaults.proxy),
        ca=channel.tls.ca if channel.tls.ca is not None else defaults.tls.ca,
        http2=next((wish for wish in (channel.http2, defaults.http2) if wish is not None), False),
        tags=tuple(sorted({**defaults.tags, **channel.tags}.items())),
        prefix=channel.prefix,
        enabled=channel.enabled,
        cooldown=_cooldown(channel.cooldown, defaults.cooldown),
        probe=_probe(channel.probe, defaults.probe, report=report),
        queue=_queue(channel.queue, defaults.queue),
        promote=_promotion(channel.promote, report=report),
    )


def compile_secret(source: SecretSource) -> SecretRef:
    """A reference of the spec as one of the table."""
    if source.env is not None:
        return SecretRef("env", source.env)
    if source.file is not None:
        return SecretRef("file", source.file)
    assert source.command is not None  # noqa: S101 - the model has seen that exactly one is given
    program, *arguments = source.command
    refresh = source.refresh if source.refresh is not None else COMMAND_REFRESH
    return SecretRef("command", program, tuple(arguments), refresh)


def compile_limits(own: spec.Limits, inherited: spec.Limits | None = None) -> table.Limits:
    """Limits, each kind from where it is given first. The order of several windows means nothing."""

    def chosen(kind: str) -> spec.Limits:
        return own if inherited is None or kind in own.model_fields_set else inherited

    def rates(values: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        return tuple(sorted(set(values), key=lambda rate: (rate[1], rate[0])))

    return table.Limits(
        requests=rates(chosen("requests").requests),
        input_tokens=rates(chosen("input_tokens").input_tokens),
        output_tokens=rates(chosen("output_tokens").output_tokens),
        concurrency=chosen("concurrency").concurrency,
    )


def _surfaces(channel: spec.Channel, preset: Provider | None, *, report: Report) -> tuple[table.Surface, ...]:
    base = _base(channel, report=report)
    presets = dict(preset.surfaces) if preset is not None else {}
    protocols = presets.keys() if channel.protocol is None else {Protocol(name) for name in channel.protocol}
    if channel.provider is None and (channel.protocol is None or channel.base_url is None):
        needed = {"`protocol`": channel.protocol, "`base_url`": channel.base_url}
        missing = " and ".join(field for field, value in needed.items() if value is None)
        report("CCX121", f"without a provider a channel needs {missing} too", ())
    if preset is not None and preset.needs_base_url and channel.base_url is None:
        example = f", such as {preset.base_url_example}" if preset.base_url_example else ""
        report("CCX122", f"the provider {preset.name!r} needs a `base_url`{example}", ())
        return ()
    surfaces: list[table.Surface] = []
    for protocol in sorted(protocols):
        row = presets.get(protocol)
        if row is None and base is None:
            if preset is not None:
                spoken = ", ".join(sorted(presets))
                message = f"the provider {preset.name!r} does not speak {protocol}; it speaks {spoken}"
                report("CCX124", message, ("protocol",))
            continue
        surfaces.append(_surface(protocol, channel, row=row, preset=preset, base=base))
    return tuple(surfaces)


def _base(channel: spec.Channel, *, report: Report) -> Base | None:
    if channel.base_url is None:
        return None
    try:
        return parse_base(channel.base_url)
    except BadBaseUrl as error:
        report("CCX140", str(error), ("base_url",), suggestion=error.suggestion)
        return None


def _surface(
    protocol: Protocol,
    channel: spec.Channel,
    *,
    row: Preset | None,
    preset: Provider | None,
    base: Base | None,
) -> table.Surface:
    auth: table.AuthScheme
    if channel.keys == "none" or (not channel.keys and preset is not None and not preset.needs_key):
        auth = "none"
    else:
        auth = channel.auth or (row.auth if row is not None else _AUTH[protocol])
    own = parse_base(row.base_url) if row is not None and row.base_url else None
    where = base or own
    assert where is not None  # noqa: S101 - the caller passes a row with an address, or an address
    return table.Surface(
        protocol=protocol,
        scheme=where.scheme,
        host=where.host,
        port=where.port,
        path=_path(protocol, where, preset=preset, own=own),
        auth=auth,
        headers=row.headers if row is not None else (),
        default_headers=row.default_headers if row is not None else _DEFAULT_HEADERS.get(protocol, ()),
        count_tokens=preset is not None and protocol in preset.count_tokens,
    )


def _path(protocol: Protocol, where: Base, *, preset: Provider | None, own: Base | None) -> str:
    """The path with its version. A bare host given with a provider is a mirror of it: the provider's path stays."""
    if where.scheme == "demo":
        return ""
    example = parse_base(preset.base_url_example) if preset is not None and preset.base_url_example else None
    usual = own or example
    if usual is not None and not where.path:
        return usual.versioned(DEFAULT_VERSION[protocol])
    version = version_of(usual.path) if usual is not None else None
    return where.versioned(version or DEFAULT_VERSION[protocol])


def _keys(channel: spec.Channel) -> tuple[table.Key, ...]:
    if channel.keys is None or channel.keys == "none":
        return ()
    return tuple(
        table.Key(compile_secret(key), key.weight, compile_limits(key.limits)) for key in channel.keys if key.enabled
    )


def _models(channel: spec.Channel) -> tuple[tuple[tuple[str, str | None], ...] | None, tuple[str, ...]]:
    """What may be asked for with its name upstream, and what may not."""
    if channel.models is None:
        return None, ()
    given = channel.models if isinstance(channel.models, dict) else dict.fromkeys(channel.models)
    names = {p: None if name == p else name for p, name in given.items() if not p.startswith("!")}
    excluded = tuple(sorted({p[1:] for p in given if p.startswith("!")}))
    return (tuple(sorted(names.items())) if names or not excluded else None), excluded


def _timeouts(own: spec.ChannelTimeouts, inherited: spec.ChannelTimeouts) -> table.Timeouts:
    usual = table.Timeouts()

    def chosen(mine: int | None, theirs: int | None, default: int) -> int:
        return mine if mine is not None else theirs if theirs is not None else default

    return table.Timeouts(
        connect=chosen(own.connect, inherited.connect, usual.connect),
        first_byte=chosen(own.first_byte, inherited.first_byte, usual.first_byte),
        idle=chosen(own.idle, inherited.idle, usual.idle),
        total=chosen(own.total, inherited.total, usual.total),
    )


def _breaker(own: spec.Breaker | str | None, inherited: spec.Breaker | str | None) -> table.Breaker | None:
    """Off only where that is said; a breaker that is not mentioned has its defaults."""
    nearest = own if own is not None else inherited
    if isinstance(nearest, str):
        return None
    layers = [layer for layer in (inherited, own) if isinstance(layer, spec.Breaker)]
    given = {field: getattr(layer, field) for layer in layers for field in layer.model_fields_set}
    merged = spec.Breaker().model_copy(update=given)
    return table.Breaker(
        window=merged.window,
        min_requests=merged.min_requests,
        error_rate=merged.error_rate if merged.error_rate is not None else Fraction(1, 2),
        consecutive=merged.consecutive,
        open=merged.open,
        max_open=merged.max_open,
        probes=merged.probes,
    )


def _cooldown(own: spec.Cooldown, inherited: spec.Cooldown) -> table.Cooldown:
    layers = (inherited, own)
    given = {
        field: value
        for layer in layers
        for field in spec.Cooldown.model_fields
        if (value := getattr(layer, field)) is not None
    }
    return table.Cooldown(**given)


def _probe(own: spec.Probe | str | None, inherited: spec.Probe | str | None, *, report: Report) -> table.Probe | None:
    """Off unless it is asked for; a channel changes single fields of what it inherits."""
    nearest = own if own is not None else inherited
    if nearest is None or isinstance(nearest, str):
        return None
    layers = [layer for layer in (inherited, own) if isinstance(layer, spec.Probe)]
    given = {field: getattr(layer, field) for layer in layers for field in layer.model_fields_set}
    merged = spec.Probe().model_copy(update=given)
    if merged.ask == "generate" and merged.model is None:
        report("CCX110", "a probe that asks for an answer needs a `model` to ask for", ("probe",))
        return None
    model = merged.model if merged.ask == "generate" else None
    return table.Probe(merged.every, merged.ask, model, merged.timeout, merged.always)


def _queue(own: spec.Queue | str | None, inherited: spec.Queue | str | None) -> table.Queue | None:
    """Off unless it is asked for; a channel changes single fields of what it inherits."""
    nearest = own if own is not None else inherited
    if nearest is None or isinstance(nearest, str):
        return None
    layers = [layer for layer in (inherited, own) if isinstance(layer, spec.Queue)]
    given = {field: getattr(layer, field) for layer in layers for field in layer.model_fields_set}
    merged = spec.Queue().model_copy(update=given)
    return table.Queue(merged.size, merged.wait)


def _promotion(declared: spec.Promotion | None, *, report: Report) -> table.Promotion | None:
    if declared is None:
        return None
    if declared.from_ is not None and declared.until <= declared.from_:
        report("CCX141", "the promotion ends before it begins", ("promote", "until"), help="`until` is after `from`")
        return None
    return table.Promotion(declared.until, declared.from_)


def _headers(own: spec.HeaderEdits, inherited: spec.HeaderEdits) -> tuple[tuple[str, ...], table.Pairs]:
    """What is removed and what is set. The channel's word on a header beats the inherited; setting beats removing."""
    kept = {name: value for name, value in inherited.set.items() if name not in own.remove}
    set_ = {**kept, **own.set}
    remove = {*inherited.remove, *own.remove} - set_.keys()
    return tuple(sorted(remove)), tuple(sorted(set_.items()))


def _proxy(proxy: str | SecretSource | None) -> str | SecretRef | None:
    return compile_secret(proxy) if isinstance(proxy, SecretSource) else proxy
