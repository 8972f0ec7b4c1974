"""Signed requests that a test changes afterwards, as an attacker would."""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import hmac
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import botocore.auth
import botocore.compat
from botocore.auth import S3SigV4Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from ministack.core import sigv4

from helpers.http import Endpoint, HttpResponse
from localaws import Address, LocalAws

JSON = "application/x-amz-json-1.0"
FORM = "application/x-www-form-urlencoded; charset=utf-8"


@dataclass(frozen=True)
class Signed:
    """A request, signed or not.

    Args:
        aws: Where to send it.
        method: The method.
        target: Path and query string, percent-encoded.
        headers: The headers.
        body: The body.
    """

    aws: LocalAws
    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def but(self, **changes: Any) -> Signed:
        """The same request with another part and the old signature."""
        return replace(self, **changes)

    def with_header(self, name: str, value: str) -> Signed:
        """The same request with one more header, and the old signature."""
        return replace(self, headers={**self.headers, name: value})

    def send(self, host: str | None = None) -> HttpResponse:
        """Send it as it is, by default with the Host header that was signed."""
        parts = urlsplit(self.aws.endpoint_url)
        endpoint = Endpoint.of(
            Address(self.aws.endpoint_url, parts.netloc, self.aws.ca_file), host or parts.netloc
        )
        return endpoint.request(self.method, self.target, headers=self.headers.items(), body=self.body)


def signed(
    aws: LocalAws,
    service: str,
    method: str,
    target: str,
    *,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    credentials: Any = None,
    minutes_ago: float = 0,
) -> Signed:
    """A request with a valid signature in its header.

    Args:
        aws: The embedded AWS.
        service: The service in the credential scope.
        method: The method.
        target: Path and query string.
        headers: More headers, which are signed.
        body: The body.
        credentials: Whose; by default those of the administrator.
        minutes_ago: The age of the signature.
    """
    given = AWSRequest(method, aws.endpoint_url + target, headers=dict(headers or {}), data=body)
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    with signing(minutes_ago):
        kind(credentials or administrator(aws), service, aws.region).add_auth(given)
    return Signed(aws, method, target, dict(given.headers.items()), body)


def presigned(
    aws: LocalAws, target: str, *, expires: int, minutes_ago: float = 0, credentials: Any = None
) -> Signed:
    """A GET request for S3 with its signature in the query string."""
    given = AWSRequest("GET", aws.endpoint_url + target)
    with signing(minutes_ago):
        signer = credentials or administrator(aws)
        botocore.auth.S3SigV4QueryAuth(signer, "s3", aws.region, expires=expires).add_auth(given)
    parts = urlsplit(str(given.url))
    return Signed(aws, "GET", f"{parts.path}?{parts.query}")


def presigned_identity(aws: LocalAws) -> Signed:
    """GetCallerIdentity of STS with its signature in the query string, as EKS and Vault use it."""
    target = "/?Action=GetCallerIdentity&Version=2011-06-15"
    given = AWSRequest("GET", aws.endpoint_url + target)
    SigV4QueryAuth(administrator(aws), "sts", aws.region, expires=60).add_auth(given)
    parts = urlsplit(str(given.url))
    return Signed(aws, "GET", f"{parts.path}?{parts.query}")


def in_chunks(
    aws: LocalAws, target: str, *chunks: bytes, trailer: str = "", algorithm: str = "AWS4-HMAC-SHA256"
) -> Signed:
    """A PUT request for S3 in signed chunks, with one header after them if there is a trailer.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
    """
    headers = {
        "X-Amz-Content-SHA256": f"STREAMING-{algorithm}-PAYLOAD" + ("-TRAILER" if trailer else ""),
        "Content-Encoding": "aws-chunked",
        "X-Amz-Decoded-Content-Length": str(sum(map(len, chunks))),
        "X-Amz-Date": datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ"),
    }
    if trailer:
        headers["X-Amz-Trailer"] = trailer.partition(":")[0]
    user, date = administrator(aws), headers["X-Amz-Date"]
    if algorithm == sigv4.SIGV4A:
        headers["X-Amz-Region-Set"] = "*"
        scope, sign = f"{date[:8]}/s3/aws4_request", _asymmetric(user)
    else:
        scope = f"{date[:8]}/{aws.region}/s3/aws4_request"
        key = _signing_key(user.secret_key, date[:8], aws.region)
        sign = functools.partial(_symmetric, key)
    given = AWSRequest("PUT", aws.endpoint_url + target, headers=headers)
    auth = SigV4Auth(user, "s3", aws.region)
    names = auth.signed_headers(auth.headers_to_sign(given))
    digest = _sha(auth.canonical_request(given).encode())
    before = sign("\n".join([algorithm, date, scope, digest]))
    headers["Authorization"] = (
        f"{algorithm} Credential={user.access_key}/{scope}, SignedHeaders={names}, Signature={before}"
    )
    body = b""
    for chunk in (*chunks, b""):
        lines = [f"{algorithm}-PAYLOAD", date, scope, before, _sha(b""), _sha(chunk)]
        before = sign("\n".join(lines))
        padded = before if algorithm != sigv4.SIGV4A else before.ljust(144, "*")
        body += f"{len(chunk):x};chunk-signature={padded}\r\n".encode() + chunk
        body += b"\r\n" if chunk or not trailer else b""
    if trailer:
        lines = [f"{algorithm}-TRAILER", date, scope, before, _sha(f"{trailer}\n".encode())]
        last = sign("\n".join(lines))
        body += f"{trailer}\r\nx-amz-trailer-signature:{last}\r\n\r\n".encode()
    return Signed(aws, "PUT", target, headers, body)


def _symmetric(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _asymmetric(user: Credentials) -> Callable[[str], str]:
    key = sigv4.sigv4a_signing_key(user.access_key, user.secret_key)
    return lambda text: str(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())).hex())


def administrator(aws: LocalAws) -> Credentials:
    """The credentials of the session."""
    found = aws.session.get_credentials()
    assert found is not None
    return Credentials(found.access_key, found.secret_key)


@contextlib.contextmanager
def signing(minutes_ago: float) -> Iterator[None]:
    """Sign at another time. With awscrt, boto3 signs by that and asks for the time in a module of its own."""
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=minutes_ago)
    with contextlib.ExitStack() as clocks:
        clocks.enter_context(
            mock.patch.object(botocore.auth, "get_current_datetime", return_value=then.replace(tzinfo=None))
        )
        if botocore.compat.HAS_CRT:
            crt = importlib.import_module("botocore.crt.auth")
            clocks.enter_context(mock.patch.object(crt, "get_current_datetime", return_value=then))
        yield


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _signing_key(secret: str, date: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
