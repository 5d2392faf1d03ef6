"""How an upstream's certificate is checked. Verification is always on; only the trust anchors can be chosen."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import cache

from ccx.errors import SecretError


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """`ca`: path of a PEM bundle to trust in place of the system's store; None is the system's store."""

    ca: str | None = None

    def context(self, *, alpn: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLContext:
        """A client context that verifies the certificate and the host name.

        Raises SecretError when the bundle cannot be read or holds no certificate. Reading the system's store takes tens
        of milliseconds, so it is read once and its context shared by whoever trusts it.
        """
        return _system(alpn) if self.ca is None else self._new(alpn)

    def _new(self, alpn: tuple[str, ...]) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:  # ssl.SSLError is one
            reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            raise SecretError(f"tls.ca {self.ca!r}: {reason or 'not a PEM bundle'}") from error
        context.set_alpn_protocols(list(alpn))
        return context


@cache
def _system(alpn: tuple[str, ...]) -> ssl.SSLContext:
    return TlsSettings()._new(alpn)
