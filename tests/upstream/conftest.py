"""Engine tests run on both loops: uvloop serves in production, asyncio's own is the reference."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ccx.errors import UpstreamError
from ccx.upstream.engine import DirectEngine
from ccx.upstream.reply import Call, Header, Origin, Reply, Timeouts
from tests.faults import FaultUpstream

QUICK = Timeouts(connect=2.0, first_byte=2.0, idle=2.0, total=10.0)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What runs the tests of this folder, and of no other."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def engine() -> AsyncIterator[DirectEngine]:
    """An engine that must have no connection left after it was closed."""
    engine = DirectEngine()
    yield engine
    await engine.aclose()
    await until(lambda: engine.open_connections == 0)


def call_to(
    upstream: FaultUpstream,
    *body: bytes,
    method: bytes = b"POST",
    target: bytes = b"/v1/things",
    headers: tuple[Header, ...] = (),
    timeouts: Timeouts = QUICK,
    idempotent: bool = False,
) -> Call:
    """A call to a fault upstream."""
    origin = Origin(upstream.ssl is not None, "127.0.0.1", upstream.port)
    return Call(method, origin, target, headers, body, timeouts, idempotent)


async def drained(reply: Reply) -> tuple[bytes, UpstreamError | None]:
    """All of a body, and the error that it ended in."""
    got = b""
    try:
        while piece := await reply.next():
            got += piece
    except UpstreamError as error:
        return got, error
    return got, None


async def until(condition: Callable[[], bool], *, within: float = 2.0) -> None:
    """Let the loop run until something is true. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.001)


@dataclass(frozen=True, slots=True)
class Certificates:
    """A certificate authority's bundle, and a server certificate it signed for 127.0.0.1 and localhost."""

    ca: str
    server: str

    def server_context(self) -> ssl.SSLContext:
        """For the fault upstream."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.server)
        return context


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Fresh ones: no private key is kept in the repository."""
    folder = tmp_path_factory.mktemp("tls")
    now = datetime.datetime.now(datetime.UTC)

    def issue(name: str, issuer: x509.Name | None, signer: ec.EllipticCurvePrivateKey | None) -> tuple[Path, x509.Name]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            .add_extension(names, critical=False)
        )
        certificate = builder.sign(signer or key, hashes.SHA256())
        path = folder / f"{name}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        keys[name] = key
        return path, subject

    keys: dict[str, ec.EllipticCurvePrivateKey] = {}
    authority, subject = issue("authority", None, None)
    server, _ = issue("server", subject, keys["authority"])
    return Certificates(str(authority), str(server))
