"""Certificates for tests: made when they are needed, since no private key is kept in the repository."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Certificates:
    """A certificate authority's bundle, and a server certificate it signed for 127.0.0.1 and localhost."""

    ca: str
    server: str

    def server_context(self) -> ssl.SSLContext:
        """For a server of the test's own."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.server)
        return context


def issued(folder: Path) -> Certificates:
    """A fresh authority and server certificate, each with its key in one file in `folder`."""
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
