"""Base URLs: where an upstream is, in parts, with exactly one version segment.

Law: a version such as `/v1` is added only where no segment of the path looks like one, so that neither form a person
writes is doubled. The path of one operation (`/v1/chat/completions`) is not a base; it is refused with the base to
write instead, since a gateway that guessed would send every other operation to the wrong place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from ccx.protocols.names import Protocol

DEFAULT_VERSION: Final = {protocol: "v1beta" if protocol is Protocol.GEMINI else "v1" for protocol in Protocol}

_VERSION: Final = re.compile(r"v\d+(p\d+)?((alpha|beta|preview|rc)\d*)?")
_OPERATION: Final = re.compile(
    r"/(?:chat/completions|completions|messages(?:/count_tokens|/batches)?|responses(?:/compact|/input_tokens)?"
    r"|images/(?:generations|edits|variations)|embeddings|(?:(?<=/v1/)|(?<=/v1beta/))models(?:/[^/]*)?)$",
)


@dataclass(frozen=True, slots=True)
class Base:
    """A base URL taken apart. `path` is as written, without a slash at its end: empty or beginning with one."""

    scheme: Literal["http", "https", "demo"]
    host: str
    port: int
    path: str

    def versioned(self, version: str) -> str:
        """The path with `version` appended where it has none."""
        return self.path if version_of(self.path) else f"{self.path}/{version}"


class BadBaseUrl(ValueError):
    """An address that cannot be a base. `suggestion` is what to write instead, where that is known."""

    def __init__(self, message: str, *, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.suggestion = suggestion


def parse_base(url: str) -> Base:
    """Take `http(s)://host[:port][/path]` or `demo:` apart. Raises BadBaseUrl."""
    if url == "demo:":
        return Base("demo", "", 0, "")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadBaseUrl(f"{url!r} is not an address: {error}") from None
    host, secure = parts.hostname, parts.scheme == "https"
    if parts.scheme not in ("http", "https") or not host:
        raise BadBaseUrl(f"{url!r} is not an address; write it like https://llm.example.com/v1")
    if parts.username is not None or parts.password is not None:
        raise BadBaseUrl("an address holds no user name or password; name a key under `keys`")
    plain = f"{parts.scheme}://{parts.netloc}"
    if parts.query or parts.fragment:
        raise BadBaseUrl(
            f"{url!r} has a {'query' if parts.query else 'fragment'}; an address ends with its path",
            suggestion=plain + parts.path,
        )
    path = "".join(f"/{segment}" for segment in parts.path.split("/") if segment)
    operation = _OPERATION.search(path)
    if operation is not None:
        raise BadBaseUrl(
            f"{url!r} ends with the path of one operation, {operation[0]!r}; ccx adds that itself",
            suggestion=plain + path[: operation.start()],
        )
    usual = 443 if secure else 80
    return Base("https" if secure else "http", host, port if port is not None else usual, path)


def version_of(path: str) -> str | None:
    """The last segment of a path that looks like a version, such as `v1`, `v1beta` or `v4`."""
    for segment in reversed(path.split("/")):
        if _VERSION.fullmatch(segment):
            return segment
    return None
