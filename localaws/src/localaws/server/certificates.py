"""The certificate authority of a server, and the certificates of its endpoints.

The private key of the authority never leaves the memory of the server process.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=30)


@dataclass(frozen=True)
class TlsFiles:
    """The PEM files of a server.

    Attributes:
        authority: The authority's certificate, for clients of the server.
        bundle: The authority and the roots of this machine, for programs that also use the internet.
        certificate: The server's certificate.
        key: The server's private key.
    """

    authority: Path
    bundle: Path
    certificate: Path
    key: Path


def host_names(region: str) -> list[str]:
    """Return the names under which the emulator serves requests.

    OpenSSL does not accept `*.localhost`, so there is a wildcard for each service.
    """
    local = ["s3", "execute-api", "alb", "elb", "cloudfront", f"lambda-url.{region}", f"execute-api.{region}"]
    public = ["s3", "execute-api", "elb"]
    return [
        "localhost",
        *(f"*.{name}.localhost" for name in local),
        *(f"*.{name}.{region}.amazonaws.com" for name in public),
        f"*.{region}.elb.amazonaws.com",
        f"*.lambda-url.{region}.on.aws",
        "*.cloudfront.net",
        f"cognito-idp.{region}.amazonaws.com",
    ]


class Authority:
    """Signs certificates that the clients of a server trust.

    Attributes:
        certificate: Its own certificate.
    """

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("localaws authority")
        self.certificate = (
            _certificate(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def sign(
        self, key: ec.EllipticCurvePrivateKey, common_name: str, names: list[str], addresses: list[str]
    ) -> x509.Certificate:
        """Sign a server's certificate.

        Args:
            key: The server's key.
            common_name: The common name of the server.
            names: Its DNS names.
            addresses: Its IP addresses.
        """
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        return (
            _certificate(_name(common_name), self._name, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            # Python 3.13 requires it on every certificate that is not a root.
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )


# The authority of this process, which is a server process.
_authority: Authority | None = None


def make_certificates(folder: Path, region: str) -> TlsFiles:
    """Create the authority of this process and a server certificate for loopback, as PEM files.

    Args:
        folder: An existing folder that only its owner can read.
        region: The Region whose host names are in the certificate.

    Returns:
        The paths of the files.
    """
    global _authority
    _authority = Authority()
    # Generating an RSA key may take a second; every current SDK supports P-256.
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _authority.sign(key, "localaws", host_names(region), ["127.0.0.1", "::1"])
    return _write(folder, _authority.certificate, certificate, key)


def server_context(common_name: str, addresses: list[str]) -> ssl.SSLContext:
    """Return the TLS context of another server of this process, with a certificate of its authority.

    Args:
        common_name: The common name of the server.
        addresses: Its IP addresses.
    """
    if _authority is None:
        raise RuntimeError("This process has no authority; call make_certificates() first")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _authority.sign(key, common_name, [], addresses)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:  # a context reads keys only from files
        file.write(certificate.public_bytes(serialization.Encoding.PEM) + _key_text(key))
        file.flush()
        context.load_cert_chain(file.name)
    return context


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
        .not_valid_before(now - datetime.timedelta(hours=1))  # for clocks that are slow
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
    files.key.write_bytes(_key_text(key))
    return files


def _key_text(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _system_roots() -> bytes:
    paths = ssl.get_default_verify_paths()
    for candidate in (paths.cafile, paths.openssl_cafile):
        if candidate and Path(candidate).is_file():
            return b"\n" + Path(candidate).read_bytes()
    return b""  # python.org's Python for macOS has no roots; the embedded AWS needs none
