"""The first ccx.yaml, as text: what `ccx init` writes.

Law: a function of its arguments; it reads nothing but the catalogue, and no key's value ever reaches it. The text is
written by hand for people, and what is commented out in it is as valid as the rest once the `# ` is taken away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ccx.catalog import models as catalogue
from ccx.catalog.providers import Provider
from ccx.protocols.names import CHAT_PROTOCOLS, Protocol

LISTEN = "127.0.0.1:3000"

_TOLD = {
    Protocol.MESSAGES: "Anthropic Messages: Claude Code, the anthropic SDKs",
    Protocol.CHAT: "OpenAI Chat Completions: most other clients",
    Protocol.RESPONSES: "OpenAI Responses: Codex, the newer OpenAI clients",
    Protocol.GEMINI: "Google Gemini: Gemini CLI, the google-genai SDKs",
    Protocol.IMAGES: "OpenAI Images",
    Protocol.EMBEDDINGS: "OpenAI Embeddings",
}
_SHORTEST_STEM = 3  # `o` of o3 would claim too much; `gpt` and `claude` are names


@dataclass(frozen=True, slots=True)
class Upstream:
    """A channel to be: its provider, the address where the provider has none of its own, and the key's variable."""

    provider: Provider
    base_url: str | None = None
    key_env: str | None = None


@dataclass(frozen=True, slots=True)
class Vendor:
    """Channels that sell the same models, and the globs of those models' names."""

    name: str
    globs: tuple[str, ...]
    members: tuple[Upstream, ...]


def starter(upstreams: Sequence[Upstream], clients: Sequence[tuple[str, str]], *, schema: str) -> str:
    """The file. `clients` are names with the SHA-256 of their keys; `schema` is the path or URL for the modeline."""
    return "\n".join(
        [
            f"# yaml-language-server: $schema={schema}",
            "#",
            "# The whole gateway is in this file, and no secret is: commit it. `ccx serve` watches it. A valid change",
            "# is live at once, without a dropped request; a broken one is reported, and what ran before goes on.",
            "version: ccx/v1",
            "",
            "server:",
            f"  listen: {LISTEN} # a public address, such as 0.0.0.0:3000, needs `clients:` first",
            "",
            *_clients(clients),
            "",
            "# Where requests can go. A provider is a preset: addresses, protocols and the header of the key are known",
            "# (`ccx providers`). `keys` says where a key is, an environment variable or a file; a list is a pool.",
            "channels:",
            *(line for upstream in upstreams for line in _channel(upstream)),
            "",
            *_routes(upstreams),
            "",
        ]
    )


def spoken(upstreams: Sequence[Upstream]) -> tuple[Protocol, ...]:
    """The protocols that at least one of them speaks, in the order of their definition."""
    return tuple(protocol for protocol in Protocol if any(protocol in u.provider.surfaces for u in upstreams))


def _clients(clients: Sequence[tuple[str, str]]) -> list[str]:
    if clients:
        lines = [
            "# Who may call: each with its own key, here only as its hash. `ccx keys new NAME` makes another.",
            "clients:",
        ]
        for name, digest in clients:
            lines += [
                f"  {_key(name)}:",
                f'    key: {{sha256: "{digest}"}}',
                "    # models: [claude-*, gpt-*] # what it may ask for; all by default",
            ]
        return lines
    return [
        "# Who may call. Without `clients:`, programs on this machine and nobody else. `ccx keys new team-a` prints a",
        "# key once, and the line that goes here:",
        "# clients:",
        "#   team-a:",
        f'#     key: {{sha256: "{"0" * 64}"}}',
        "#     models: [claude-*, gpt-*] # what it may ask for; all by default",
    ]


def _channel(upstream: Upstream) -> Iterator[str]:
    row = upstream.provider
    yield f"  {row.name}: # {row.title}; speaks {', '.join(p for p in Protocol if p in row.surfaces)}"
    yield f"    provider: {row.name}"
    if row.needs_base_url:
        own = upstream.base_url is not None
        yield f"    base_url: {upstream.base_url or row.base_url_example}" + ("" if own else " # put yours here")
    elif not row.needs_key and row.key_env is not None:
        address = next(iter(row.surfaces.values())).base_url
        yield f"    # base_url: {address} # where it is, if not there"
    if upstream.key_env is not None:
        yield f"    keys: {{env: {upstream.key_env}}}"
    elif row.name != "demo":
        yield f"    keys: none # or {{env: {row.key_env or 'MY_KEY'}}}, if it asks for one"


def _routes(upstreams: Sequence[Upstream]) -> Iterator[str]:
    yield "# Which request goes where: the first route that matches. Its targets are in failover order: when one fails"
    yield "# before its first byte, the next is asked. A target has to speak the protocol of the client."
    yield "routes:"
    yield from _example(upstreams)
    yield ""
    vendors = _vendors(upstreams)
    if len(vendors) == 1:
        yield "  - name: default"
        yield f"    to: [{_names(upstreams)}]"
        return
    yield "  # A model's name says whose it is."
    stand_in = True
    for vendor in vendors:
        if not vendor.globs:
            continue
        yield f"  - name: {vendor.name}-models"
        yield f"    when: {{model: [{', '.join(_quoted(glob) for glob in vendor.globs)}]}}"
        other = _stand_in(vendor, vendors) if stand_in else None
        if other is None:
            yield f"    to: [{_names(vendor.members)}]"
            continue
        stand_in = False
        yield "    to:"
        yield from (f"      - {member.provider.name}" for member in vendor.members)
        yield f"      # - {other} # another's model may stand in, if you say so"
    yield ""
    yield "  # Any other name is tried at all who speak the client's protocol."
    for protocol in spoken(upstreams):
        yield f"  - name: {protocol} # {_TOLD[protocol]}"
        yield f"    when: {{protocol: {protocol}}}"
        yield f"    to: [{_names([u for u in upstreams if protocol in u.provider.surfaces])}]"


def _example(upstreams: Sequence[Upstream]) -> Iterator[str]:
    """A route by size, commented out: to the last of those that speak the protocol most of them speak."""
    chat = [protocol for protocol in spoken(upstreams) if protocol in CHAT_PROTOCOLS]
    if not chat:
        return
    able = {protocol: [u for u in upstreams if protocol in u.provider.surfaces] for protocol in chat}
    protocol = max(chat, key=lambda one: len(able[one]))
    last = able[protocol][-1].provider
    model = _model(last)
    target = last.name if model is None else f"{{channel: {last.name}, model: {model}}}"
    yield "  # Conditions see the model, the size of the prompt, tools, thinking, images, headers and the client:"
    yield "  # - name: long-context"
    yield f'  #   when: {{protocol: {protocol}, input_tokens: "> 100k"}}'
    yield f"  #   to: [{target}]"


def _vendors(upstreams: Sequence[Upstream]) -> list[Vendor]:
    """In an order in which a glob never hides a narrower one: names such as `openai/…` first, any `…/…` last."""
    sellers: dict[str, list[Upstream]] = {}
    for upstream in upstreams:
        row = upstream.provider
        sellers.setdefault(row.models if row.models != catalogue.ANY else row.name, []).append(upstream)
    vendors = [Vendor(name, _globs(members[0].provider), tuple(members)) for name, members in sellers.items()]

    def place(vendor: Vendor) -> int:
        if "*/*" in vendor.globs:
            return 2
        return 0 if any("/" in glob for glob in vendor.globs) else 1

    return sorted(vendors, key=place)


def _globs(row: Provider) -> tuple[str, ...]:
    """Of the names of the chat models that the catalogue knows; none for a provider whose models it does not know."""
    if row.models == catalogue.ANY:
        return ("*/*",)
    found: set[str] = set()
    for model in catalogue.models():
        if model.provider != row.models or model.kind != "chat":
            continue
        head, slash, _ = model.id.partition("/")
        if slash:
            found.add(f"{head}/*")
            continue
        stem = re.match(r"[a-z]+", model.id)
        named = stem is not None and len(stem[0]) >= _SHORTEST_STEM
        found.add((stem[0] if stem is not None and named else model.id.partition("-")[0]) + "*")
    return tuple(sorted(found))


def _stand_in(vendor: Vendor, vendors: Sequence[Vendor]) -> str | None:
    """A target of another vendor that speaks a protocol of this one, with a model of its own."""
    mine = CHAT_PROTOCOLS.intersection(*(member.provider.surfaces for member in vendor.members))
    for other in vendors:
        row = other.members[0].provider
        model = _model(row)
        if other is not vendor and model is not None and mine & row.surfaces.keys():
            return f"{{channel: {row.name}, model: {model}}}"
    return None


def _model(row: Provider) -> str | None:
    """The first chat model that the catalogue has of it and that is not on its way out."""
    known = (m for m in catalogue.models() if m.provider == row.models and m.kind == "chat" and m.deprecated is None)
    return next((m.id for m in known), None)


def _names(upstreams: Sequence[Upstream]) -> str:
    return ", ".join(upstream.provider.name for upstream in upstreams)


def _key(name: str) -> str:
    """A name as a key of a YAML mapping: quoted where it would be read as a number, a date or a truth value."""
    plain = name[0].isalpha() and name.lower() not in {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
    return name if plain else f'"{name}"'


def _quoted(glob: str) -> str:
    """In YAML a leading `*` is an alias."""
    return f'"{glob}"' if glob.startswith("*") else glob
