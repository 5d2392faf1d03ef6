"""What a document exposes: to whom the gateway answers, what travels in the clear, which headers are set by hand.

Works on any document, well-shaped or not. Inline secrets are found before this, in `ccx.spec.inline`.
"""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Final
from urllib.parse import urlsplit

from ccx.errors import SecretError
from ccx.secrets import SecretRef, resolve
from ccx.spec.diagnostics import Path
from ccx.spec.finding import Finding
from ccx.spec.inline import AUTH_HEADERS
from ccx.spec.locations import Tree
from ccx.spec.source import read_file
from ccx.spec.view import conditions, entries, items, one_or_many, text, under
from ccx.spec.wording import show

EMPTY_SHA256: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
# RFC 9110 section 7.6.1, and the headers that frame a request.
CONNECTION_HEADERS: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
    | {"host", "content-length", "content-encoding", "expect"}
)
_MAX_PORT: Final = 65_535


def check_exposure(root: Tree) -> Iterator[Finding]:
    """Everything that is open, unencrypted or not the spec's to set."""
    yield from _listening(root)
    yield from _client_keys(root)
    yield from _plaintext(root)
    yield from _headers(root)


def is_loopback(host: str) -> bool:
    """Whether a host, as written in an address or URL, is this machine and no other."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _listening(root: Tree) -> Iterator[Finding]:
    path: Path = ("server", "listen")
    listen = text(under(root, *path))
    if listen is None:
        return
    host, _, port = listen.rpartition(":")
    if port.isdecimal() and int(port) > _MAX_PORT:
        yield Finding(path, "CCX128", f"there is no port {port}", help=f"the highest is {_MAX_PORT}")
    if host and not is_loopback(host) and not entries(under(root, "clients")):
        message = f"the gateway listens on {show(listen)} for everyone: no client is declared"
        yield Finding(path, "CCX404", message, help="declare clients (`ccx keys new NAME`), or listen on 127.0.0.1")


def _client_keys(root: Tree) -> Iterator[Finding]:
    owners: dict[str, Path] = {}
    for name, client in entries(under(root, "clients")).items():
        for path, key in one_or_many(under(client, "key"), ("clients", name, "key")):
            digest, at = text(under(key, "sha256")), (*path, "sha256")
            if digest is None:
                continue
            if digest == EMPTY_SHA256:
                message = f"the key of client {show(name)} is the hash of nothing"
                yield Finding(at, "CCX406", message, help="`ccx keys new NAME` prints a key and its hash")
            elif digest in owners and owners[digest][1] != name:
                first = owners[digest]
                message = f"clients {show(first[1])} and {show(name)} have the same key"
                also = ((first, "first used here"),)
                yield Finding(at, "CCX405", message, help="give each client its own key", also=also)
            owners.setdefault(digest, at)


def _plaintext(root: Tree) -> Iterator[Finding]:
    places: list[Path] = [("channels", name, "base_url") for name in entries(under(root, "channels"))]
    places += [("telemetry", "traces", "otlp"), ("telemetry", "alerts", "url")]
    for path in places:
        url = text(under(root, *path))
        if url is None or not url.lower().startswith("http://"):
            continue
        try:
            host = urlsplit(url).hostname
        except ValueError:
            continue
        if host is not None and not is_loopback(host):
            yield Finding(path, "CCX402", f"requests to {show(host)} are not encrypted", help="use https://")


def _headers(root: Tree) -> Iterator[Finding]:
    settings: list[tuple[Path, Tree | None]] = [(("defaults", "channel"), under(root, "defaults", "channel"))]
    settings.extend((("channels", name), channel) for name, channel in entries(under(root, "channels")).items())
    for path, holder in settings:
        for header in entries(under(holder, "headers", "set")):
            at: Path = (*path, "headers", "set", header)
            if header.lower() in CONNECTION_HEADERS:
                message = f"the header {show(header)} belongs to the connection"
                yield Finding(at, "CCX409", message, help="remove it; ccx writes it", at_key=True)
            elif header.lower() in AUTH_HEADERS:
                message = f"the header {show(header)} authenticates"
                yield Finding(at, "CCX409", message, help="write `keys` and, if need be, `auth`", at_key=True)
    for index, route in enumerate(items(under(root, "routes"))):
        for path, when in conditions(route, ("routes", index)):
            for header in entries(under(when, "header")):
                if header.lower() in AUTH_HEADERS:
                    message = f"a condition cannot see the header {show(header)}, which authenticates"
                    advice = "ask for the `client` instead"
                    yield Finding((*path, "header", header), "CCX409", message, help=advice, at_key=True)


_SINGLE: Final[tuple[Path, ...]] = (
    ("defaults", "channel", "proxy"),
    ("admin", "key"),
    ("state", "redis", "url"),
    ("telemetry", "alerts", "url"),
)


def check_secrets(root: Tree, *, environ: Mapping[str, str], directory: FilePath) -> Iterator[Finding]:
    """References to secrets that lead nowhere, or to files that everyone may read."""
    for path, reference in _references(root):
        variable, file = text(under(reference, "env")), text(under(reference, "file"))
        if (variable is None) == (file is None):
            continue  # also a command: checking a spec runs nothing
        if file is None:
            ref, at = SecretRef("env", variable or ""), (*path, "env")
        else:
            ref, at = SecretRef("file", os.fspath(directory / file)), (*path, "file")
        try:
            resolve(ref, environ=environ, read=lambda name: read_file(FilePath(name)))
        except (SecretError, ValueError) as error:
            message = str(error) if file is None else str(error).replace(ref.name, file)
            yield Finding(at, "CCX407", message, help="`ccx serve` needs it; elsewhere it may be absent")
            continue
        if ref.kind == "file" and FilePath(ref.name).stat().st_mode & stat.S_IROTH:
            message = f"every user of this machine may read {show(file)}"
            yield Finding(at, "CCX408", message, help="chmod o-r")


def _references(root: Tree) -> Iterator[tuple[Path, Tree]]:
    for name, channel in entries(under(root, "channels")).items():
        enabled = under(channel, "enabled")
        if enabled is not None and enabled.content is False:
            continue
        yield from one_or_many(under(channel, "keys"), ("channels", name, "keys"))
        yield from one_or_many(under(channel, "proxy"), ("channels", name, "proxy"))
    for path in _SINGLE:
        yield from one_or_many(under(root, *path), path)
