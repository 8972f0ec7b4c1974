"""A certificate authority that lives as long as one server, and the server's certificate.

The authority's private key never leaves memory: nobody can sign a second certificate with it.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=30)


@dataclass(frozen=True)
class TlsFiles:
    """Where the PEM files are.

    Attributes:
        authority: The authority's certificate, for clients of the server.
        bundle: The authority and this machine's own roots, for programs that also call the internet.
        certificate: The server's certificate.
        key: The server's private key.
    """

    authority: Path
    bundle: Path
    certificate: Path
    key: Path


def host_names(region: str) -> list[str]:
    """Return the names under which the emulator serves requests.

    OpenSSL accepts no `*.localhost`, so each service's own wildcard is listed.
    """
    local = ["s3", "execute-api", "alb", "elb", "cloudfront", f"lambda-url.{region}", f"execute-api.{region}"]
    public = ["s3", "execute-api", "elb"]
    return [
        "localhost",
        *(f"*.{name}.localhost" for name in local),
        *(f"*.{name}.{region}.amazonaws.com" for name in public),
        f"*.lambda-url.{region}.on.aws",
        "*.cloudfront.net",
        f"cognito-idp.{region}.amazonaws.com",
    ]


def make_certificates(folder: Path, region: str) -> TlsFiles:
    """Make an authority and a server certificate for loopback, and write them as PEM files.

    Args:
        folder: An existing folder that only its owner can read.
        region: The region whose host names the certificate carries.

    Returns:
        Where the files are.
    """
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("localaws authority")
    authority = (
        _certificate(authority_name, authority_name, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    # RSA would cost a second to generate on a slow machine; every current SDK takes P-256.
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in host_names(region)]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    certificate = (
        _certificate(_name("localaws"), authority_name, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        # Python 3.13 verifies strictly and wants this one on every certificate that is not a root.
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    return _write(folder, authority, certificate, key)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # a clock that is set back a little
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write(
    folder: Path, authority: x509.Certificate, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> TlsFiles:
    files = TlsFiles(
        folder / "ca.pem", folder / "ca-and-roots.pem", folder / "server.pem", folder / "key.pem"
    )
    pem = serialization.Encoding.PEM
    authority_text = authority.public_bytes(pem)
    files.authority.write_bytes(authority_text)
    files.bundle.write_bytes(authority_text + _system_roots())
    files.certificate.write_bytes(certificate.public_bytes(pem))
    files.key.touch(mode=0o600)
    files.key.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def _system_roots() -> bytes:
    paths = ssl.get_default_verify_paths()
    for candidate in (paths.cafile, paths.openssl_cafile):
        if candidate and Path(candidate).is_file():
            return b"\n" + Path(candidate).read_bytes()
    return b""  # python.org's Python for macOS comes without roots; the embedded AWS needs none
