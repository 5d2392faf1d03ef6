"""4xx: what a valid spec still gives away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from ccx.lint.conditions import whens
from ccx.lint.rule import Rule
from ccx.lint.subject import RouteView, Subject
from ccx.protocols.preference import answering
from ccx.routing.compile_conditions import admitted
from ccx.routing.conditions import All, AnyOf, ClientIn, Condition, Constant, Not, PrefixIn, TagMatches, leaves
from ccx.routing.table import Channel, Client
from ccx.spec.diagnostics import Path
from ccx.spec.exposure import is_loopback
from ccx.spec.finding import Finding


def may_match(condition: Condition, client: Client | None) -> bool:
    """Whether the condition can hold for this client, whatever it asks."""
    return _knowing(condition, client) is not False


def _knowing(condition: Condition, client: Client | None) -> bool | None:
    """The condition when only the caller is known; None where it hangs on the rest."""
    match condition:
        case Constant(value):
            return value
        case ClientIn(globs):
            return client is not None and globs.matches(client.name)
        case TagMatches(name, globs):
            value_of = dict(client.tags).get(name) if client is not None else None
            return value_of is not None and globs.matches(value_of)
        case Not(part):
            held = _knowing(part, client)
            return None if held is None else not held
        case All(parts):
            known = [_knowing(part, client) for part in parts]
            return False if False in known else None if None in known else True
        case AnyOf(parts):
            known = [_knowing(part, client) for part in parts]
            return True if True in known else None if None in known else False
        case _:
            return None


def headers(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        callers = any(isinstance(leaf, ClientIn | TagMatches) for leaf in leaves(route.rule.when))
        denies = route.rule.deny is not None
        if not denies and (callers or not subject.table.clients):
            continue
        for path, when in whens(route.written.when, (*route.path, "when")):
            for name in when.header or {}:
                what = "is refused" if denies else "is served"
                yield Finding(
                    _header(subject, (*path, "header"), name),
                    "CCX403",
                    f"whoever calls writes the header `{name}`, on which it hangs who {what} by `{route.written.name}`",
                    help="ask for the `client` or a `tag` of it, which come with the key",
                    at_key=True,
                    severity=None if denies else "info",
                )


def _header(subject: Subject, path: Path, name: str) -> Path:
    """Names of headers are written in any case."""
    tree = subject.tree(path)
    written = tree.content if tree is not None and isinstance(tree.content, dict) else {}
    return (*path, next((key for key in written if key.lower() == name), name))


def expiry(subject: Subject) -> Iterator[Finding]:
    clients = {name: client for name, client in subject.spec.clients.items() if client.enabled}
    limited = [name for name, client in clients.items() if client.expires is not None]
    for name, client in clients.items():
        if 2 * len(limited) > len(clients) and client.expires is None:
            also = ((("clients", limited[0], "expires"), f"`{limited[0]}` has a last day"),)
            message = f"the key of client `{name}` never expires"
            yield Finding(
                ("clients", name), "CCX410", message, help="write expires: YYYY-MM-DD", at_key=True, also=also
            )


def listening(subject: Subject) -> Iterator[Finding]:
    server = subject.table.server
    if is_loopback(server.host):
        return
    for index, origin in enumerate(subject.spec.server.cors):
        if origin == "*":
            message = "every web page may call this gateway from the browser of whoever visits it"
            yield Finding(("server", "cors", index), "CCX411", message, help="list the origins of your own pages")
    if subject.table.admin.key is None:
        message = "the admin endpoints of a gateway that is open to the network have no key"
        yield Finding(("server", "listen"), "CCX412", message, help="write admin: {key: {env: CCX_ADMIN_KEY}}")


def bodies(subject: Subject) -> Iterator[Finding]:
    match subject.spec.telemetry.logs.bodies:
        case "all":
            message, severity = "every prompt and every answer goes to the request log", None
        case "errors":
            message, severity = "prompts of requests that fail go to the request log", "info"
        case "none":
            return
    path: Path = ("telemetry", "logs", "bodies")
    advice = "write none, and raise it only while something is looked for"
    yield Finding(path, "CCX413", message, help=advice, severity="info" if severity else None)


def redis(subject: Subject) -> Iterator[Finding]:
    url = subject.table.redis.url if subject.table.redis is not None else None
    if not isinstance(url, str) or not url.lower().startswith("redis://"):
        return
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return
    if host is not None and not is_loopback(host):
        message = f"state shared with {host} is not encrypted on its way"
        yield Finding(("state", "redis", "url"), "CCX414", message, help="use rediss://")


def bypasses(subject: Subject) -> Iterator[Finding]:
    prefixed = [channel for channel in subject.table.channels if channel.prefix is not None and channel.enabled]
    direct = [c for c in subject.table.clients if c.direct and c.enabled] if subject.table.server.direct else []
    for route in subject.routes:
        if route.rule.deny is None or any(isinstance(leaf, PrefixIn) for leaf in leaves(route.rule.when)):
            continue
        ways: list[tuple[Path, str]] = [
            (("channels", one.name, "prefix"), f"under /{one.prefix}/ channel `{one.name}` answers all the same")
            for one in prefixed
            if _serves(one, route)
        ]
        ways += [
            (("clients", one.name, "direct"), f"`{one.name}` may name a channel itself")
            for one in direct
            if may_match(route.rule.when, one) and any(_serves(c, route) for c in subject.table.channels if c.enabled)
        ]
        if ways:
            message = f"what route `{route.written.name}` denies can be had another way"
            advice = "remove the prefix or `direct`, or limit the clients' `models`"
            yield Finding(route.name_path, "CCX416", message, help=advice, also=tuple(ways))


def _serves(channel: Channel, route: RouteView) -> bool:
    spoken = {surface.protocol for surface in channel.surfaces}
    return any(answering(protocol, spoken) is not None for protocol in admitted(route.rule.when))


EXPOSURE: Final[tuple[Rule, ...]] = (
    Rule(("CCX403",), headers),
    Rule(("CCX410",), expiry),
    Rule(("CCX411", "CCX412"), listening),
    Rule(("CCX413",), bodies),
    Rule(("CCX414",), redis),
    Rule(("CCX416",), bypasses),
)
