"""The specs that the soak's gateway serves, one after the other.

Law: a spec is a function of its number. Names that a number has and the next one has not are what the soak is after:
whatever the gateway keeps by name has to go with them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

MAIN, CAPPED, NOMAD = ("ccx_" + letter * 40 for letter in "mcn")
FAMILIES = ("msg", "chat", "conv", "gem", "resp", "kept", "hedged", "odd")
"""The first word of a model's name: the route that it takes."""

ATTEMPTS = 4
TARGETS = {
    "msg": ("m1", "m-drift", "c1"),
    "chat": ("c1", "c-drift", "m1"),
    "conv": ("c-drift", "m1", "r1", "g1"),
    "gem": ("g1", "c1", "m1"),
    "resp": ("r1", "c1", "m-drift"),
    "kept": ("m1", "m-drift", "c1"),
    "hedged": ("m1", "m-drift", "c1"),
    "odd": ("c1", "m1"),
}
"""Where each family goes, by names without their numbers; of `odd` only what may answer."""
LONGEST_TROUBLE = 2.0
"""Seconds that a target is left alone at most."""
_BALANCES = ("round_robin", "weighted", "least_connections", "least_latency", "priority")


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys that clients may have, beside those that never change."""

    turning: tuple[str, ...]


def channels(number: int) -> tuple[str, ...]:
    """The channels that stand for healthy providers. One has another name in each table, one in each fifth."""
    return ("m1", f"m-drift-{number}", f"c-drift-{number // 5}", "c1", "r1", "g1")


def plain(channel: str) -> str:
    """A channel's name without its number."""
    return channel.rstrip("0123456789-") if "drift" in channel else channel


def clients(number: int) -> tuple[str, ...]:
    """The names of clients."""
    return ("main", "capped", "turning", f"nomad-{number}")


def routes(number: int) -> tuple[str, ...]:
    """The names of routes."""
    return ("msg", "chat", "conv", "gem", "resp", f"kept-{number // 3}", "hedged", "odd")


def _hashed(key: str) -> str:
    return f"{{sha256: {hashlib.sha256(key.encode()).hexdigest()}}}"


def spec(number: int, keys: Keys, *, upstream: int, closed: int, redis: str | None = None) -> str:
    """The spec. `upstream` is the faulty upstream's port, `closed` one that nobody listens on."""
    m1, drift, c_drift, c1, r1, g1 = channels(number)
    main, capped, turning, nomad = clients(number)
    balance = _BALANCES[number % len(_BALANCES)]
    turned = ", ".join(_hashed(key) for key in keys.turning)

    def channel(name: str, protocol: str, more: str, *, own: str | None = None) -> str:
        root = "v1beta" if protocol == "gemini" else "v1"
        url = f"http://127.0.0.1:{upstream}/{own or name}/{root}"
        return f"  {name}: {{protocol: {protocol}, base_url: '{url}', {more}}}\n"

    def group(*targets: str, affinity: str = "none") -> str:
        if balance == "priority":
            return ", ".join(targets)
        weighted = ", ".join(f"{{channel: {name}, weight: {1 + place % 2}}}" for place, name in enumerate(targets))
        return f"{{balance: {balance}, affinity: {affinity}, targets: [{weighted}]}}"

    text = "version: ccx/v1\n"
    text += "server: {drain: 3s, cache_size: 4MiB}\n"
    text += "admin: {key: {env: SOAK_ADMIN}}\n"
    text += "telemetry: {logs: {format: json, file: requests.log}}\n"
    if redis is not None:
        text += f"state: {{redis: {{url: '{redis}'}}}}\n"
    text += "defaults:\n  channel:\n"
    text += "    timeouts: {connect: 1s, first_byte: 1500ms, idle: 1500ms, total: 20s}\n"
    window = f"{20 + number % 3 * 10}s"
    text += f"    breaker: {{consecutive: 6, window: {window}, open: 500ms, max_open: {LONGEST_TROUBLE:g}s}}\n"
    text += "    cooldown: {rate_limit: 300ms, auth: 500ms, quota: 500ms, longest: 2s}\n"
    text += f"  failover: {{attempts: {ATTEMPTS}, deadline: 12s, backoff: {{initial: 20ms, max: 300ms}}}}\n"
    text += "clients:\n"
    text += f"  {main}: {{key: {_hashed(MAIN)}, direct: true}}\n"
    text += (
        f"  {capped}: {{key: {_hashed(CAPPED)}, limits: {{requests: {120 + number % 2 * 60}/min, concurrency: 6}}}}\n"
    )
    text += f"  {turning}: {{key: [{turned}], limits: {{requests: 100k/min}}}}\n"
    text += f"  {nomad}: {{key: {_hashed(NOMAD)}, limits: {{input_tokens: 50M/min, output_tokens: 5M/min}}, "
    text += "budget: {usd: 100, per: day}}\n"
    text += "channels:\n"
    text += channel(m1, "messages", "keys: [{env: SOAK_M1}, {file: rotating.key, limits: {requests: 100k/min}}]")
    text += channel(
        drift, "messages", f"keys: [{{env: SOAK_M2}}], limits: {{concurrency: {40 + number % 4}}}", own="m2"
    )
    text += channel(c_drift, "chat", "keys: [{env: SOAK_C2}], limits: {requests: 100k/min}", own="c2")
    text += channel(c1, "chat", "keys: [{env: SOAK_C1}, {env: SOAK_C1B, weight: 2}], key_strategy: least_used")
    text += channel(r1, "responses", "keys: [{env: SOAK_R1}]")
    text += channel(g1, "gemini", "keys: [{env: SOAK_G1}]")
    text += f"  dead: {{protocol: messages, base_url: 'http://127.0.0.1:{closed}', keys: none, breaker: off}}\n"
    text += f"  tls: {{protocol: messages, base_url: 'https://127.0.0.1:{upstream}', keys: none, breaker: off}}\n"
    text += "  dns: {protocol: messages, base_url: 'http://no-such-host.invalid', keys: none, breaker: off}\n"
    text += "routes:\n"
    text += f"  - {{name: msg, when: {{model: msg-*}}, to: [{group(m1, drift, affinity='session')}, {c1}]}}\n"
    text += f"  - {{name: chat, when: {{model: chat-*}}, to: [{group(c1, c_drift)}, {m1}]}}\n"
    text += f"  - {{name: conv, when: {{model: conv-*}}, to: [{c_drift}, {m1}, {r1}, {g1}]}}\n"
    text += f"  - {{name: gem, when: {{model: gem-*}}, to: [{g1}, {c1}, {m1}]}}\n"
    text += f"  - {{name: resp, when: {{model: resp-*}}, to: [{r1}, {c1}, {drift}]}}\n"
    text += f"  - {{name: {routes(number)[5]}, when: {{model: kept-*}}, to: [{group(m1, drift)}, {c1}], "
    text += "cache: {ttl: 5s, when: any, scope: shared}}\n"
    text += f"  - {{name: hedged, when: {{model: hedged-*}}, to: [{m1}, {drift}, {c1}], "
    text += "failover: {hedge: {after: 120ms, share: 50%}}}\n"
    text += f"  - {{name: odd, when: {{model: odd-*}}, to: [dead, {('tls', 'dns')[number % 2]}, {c1}, {m1}]}}\n"
    return text


BROKEN = ("version: ccx/v1\nroutes: [{name: a, to: [nobody]}]\n", "version: ccx/v1\nchannels: {a: {\n", "")
"""Files that are none."""
