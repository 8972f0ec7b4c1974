"""Signatures in deployment packages: what a signing job adds to an archive, and what Lambda reads in it.

Faithful to: the signature is a file of the archive, `META_INF/aws_signer_signature_v1.0.SF`, and covers names
and content of all others. It is a real one, ECDSA with the curve P-384 and SHA-384, of the signing profile's
version, the job, and the times of signing and of expiry.
Not to: the format, which in AWS is a CMS message with certificates. The key is of this server, so an archive
that AWS or another server signed fails the integrity check.

https://docs.aws.amazon.com/signer/latest/developerguide/signing-jobs-lambda.html
https://docs.aws.amazon.com/lambda/latest/dg/configuration-codesigning.html
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import zipfile
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

FILE = "META_INF/aws_signer_signature_v1.0.SF"
_ALGORITHM = ec.ECDSA(hashes.SHA384())


class Claims(NamedTuple):
    """What a signature says of itself."""

    profile_version_arn: str
    job_arn: str
    signed_at: float
    expires_at: float


class UnusableError(Exception):
    """An archive cannot be signed."""


class TamperedError(Exception):
    """An archive is not the one that was signed, or the signature is not of this server."""


@functools.cache
def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def signed(archive: bytes, claims: Claims) -> bytes:
    """An archive with a signature.

    Raises:
        UnusableError: It is no archive, is empty, or has a signature.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            names, digest = opened.namelist(), _digest(opened)
    except zipfile.BadZipFile:
        raise UnusableError("The object is not a valid zip file.") from None
    if not names:
        raise UnusableError("The zip file is empty.")
    if FILE in names:
        raise UnusableError("The zip file already has a signature.")
    statement = json.dumps({"digest": digest, **claims._asdict()})
    signature = base64.b64encode(_key().sign(statement.encode(), _ALGORITHM)).decode()
    changed = io.BytesIO(archive)
    with zipfile.ZipFile(changed, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(FILE, json.dumps({"statement": statement, "signature": signature}))
    return changed.getvalue()


def claims_of(archive: bytes | None) -> Claims | None:
    """What the signature of an archive says; None if there is none.

    Raises:
        TamperedError: The integrity check fails.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive or b"")) as opened:
            if FILE not in opened.namelist():
                return None
            found = json.loads(opened.read(FILE))
            digest = _digest(opened)
    except zipfile.BadZipFile:
        return None
    except (ValueError, UnicodeError) as error:
        raise TamperedError from error
    try:
        statement = found["statement"].encode()
        _key().public_key().verify(base64.b64decode(found["signature"]), statement, _ALGORITHM)
        said = json.loads(statement)
    except (InvalidSignature, ValueError, LookupError, TypeError, AttributeError) as error:
        raise TamperedError from error
    if said.pop("digest") != digest:
        raise TamperedError
    return Claims(**said)


def _digest(archive: zipfile.ZipFile) -> str:
    """A digest of the names and content of all files but the signature, in their order."""
    digest = hashlib.sha384()
    for entry in archive.infolist():
        if entry.filename != FILE:
            content = archive.read(entry)
            digest.update(f"{len(entry.filename)}:{entry.filename}:{len(content)}:".encode() + content)
    return digest.hexdigest()
