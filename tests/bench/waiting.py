"""Asking a gateway over one plain connection: `/ready`, `/metrics`, and when its digest changes."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import time

from tests.bench.contenders import Contender
from tests.bench.processes import StartError


def get(contender: Contender, path: str) -> str:
    """The body of a GET. Raises OSError or HTTPException where there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", contender.port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def digest(contender: Contender) -> str:
    """Digest of the table that serves now."""
    found: str = json.loads(get(contender, "/ready"))["digest"]
    return found


def gauge(contender: Contender, name: str) -> float | None:
    """One metric without labels; None where there is none."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        found = re.search(rf"^{name}(?:{{[^}}]*}})? ([0-9.eE+-]+)$", get(contender, "/metrics"), re.MULTILINE)
        return float(found[1]) if found else None
    return None


class DigestWatch:
    """Asks `/ready` again and again on one connection."""

    def __init__(self, contender: Contender) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", contender.port, timeout=10)

    def now(self) -> str:
        """The digest now."""
        self._connection.request("GET", "/ready")
        found: str = json.loads(self._connection.getresponse().read())["digest"]
        return found

    def until_changed(self, old: str, *, timeout: float = 30.0, step: float = 0.002) -> float:
        """Seconds until the digest is another. Raises StartError when it stays."""
        started = time.monotonic()
        while time.monotonic() < started + timeout:
            if self.now() != old:
                return time.monotonic() - started
            time.sleep(step)
        raise StartError(f"the digest is still {old[:12]} after {timeout:.0f} s")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
