"""Verifies the signatures of requests for AWS APIs: who sent this, and is it what they signed?

botocore builds the canonical request and the string to sign from the request as it was sent; they are what
its clients sign. Only what a verifier does and a signer does not is here.

Faithful to: Signature Version 4 and 4A in the header and in the query string; uploads in chunks that are
signed with either, with and without trailers, each chunk verified; Version 2 for S3. The host and every
`x-amz-` header must be signed. The body must be the one that was hashed. Temporary credentials need their
session token. A signature in a header is valid for 15 minutes (5 for the services that allow no more), one in
the query string until it expires.
Not to: how AWS words what is wrong with a chunk. AWS does not document the chunks of Version 4A. They are
read as its SDKs sign them: a signature is padded with asterisks, without which the next one contains it.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlsplit

from botocore.auth import HmacV1Auth, S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest, HTTPHeaders
from botocore.credentials import Credentials
from ministack.core import iam_evaluator, sigv4
from ministack.core.responses import _account_from_sts_session

from localaws.server.credentials import Start

_UNSIGNED, _STREAMING = "UNSIGNED-PAYLOAD", "STREAMING-"
_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_NOTHING = hashlib.sha256(b"").hexdigest()
_V4, _V4A = "AWS4-HMAC-SHA256", sigv4.SIGV4A
# The services whose paths are signed as they are sent, and whose bodies need not be hashed.
_S3 = frozenset({"s3", "s3-object-lambda", "s3-outposts", "s3express"})
# Further services with an operation whose body is not hashed (`v4-unsigned-body` in botocore's models).
_UNSIGNED_BODIES = frozenset({"ebs", "lex", "mediastore", "omics"})
_LONGEST_EXPIRATION = 7 * 24 * 3600
_TIMESTAMP = re.compile(r"\d{8}T\d{6}Z")
_SCOPE = re.compile(r"/\d{8}/(?:(?P<region>[^/,\s]+)/)?(?P<service>[^/,\s]+)/aws4_request")  # 4A: no Region


class Refused(Exception):
    """The request is not what it claims; the code is one that `iam_actions.access_denied_response` knows."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


_MISMATCH = Refused("SignatureDoesNotMatch", sigv4.SIGNATURE_MISMATCH)
_UNKNOWN = Refused("UnrecognizedClientException", "The security token included in the request is invalid.")


@dataclass(frozen=True)
class Request:
    """A request as it was sent.

    Attributes:
        method: In capital letters.
        path: Percent-encoded.
        query: Percent-encoded.
        headers: With names in lower case; the values of a repeated header are joined with a comma.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    parameters: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parameters.update(parse_qsl(self.query, keep_blank_values=True))

    @property
    def claims_an_identity(self) -> bool:
        """Whether it has the credentials of an AWS signature, valid or not."""
        return self.headers.get("authorization", "").startswith(("AWS4-", "AWS ")) or any(
            name.lower() in ("x-amz-credential", "x-amz-signature", "x-amz-algorithm", "awsaccesskeyid")
            for name in self.parameters
        )


def wrong_scope(request: Request, service: str, region: str) -> Refused | None:
    """The error for a signature that is for another service or Region."""
    given = request.headers.get("authorization") or request.parameters.get("X-Amz-Credential", "")
    scope = _SCOPE.search(given)
    if scope is None:
        return None
    text = "" if scope["region"] in (None, region) else "Credential should be scoped to a valid region. "
    if scope["service"] != service:
        text += f"Credential should be scoped to correct service: '{service}'. "
    return Refused("SignatureDoesNotMatch", text.strip()) if text else None


@dataclass(frozen=True)
class _Credential:
    access_key_id: str
    secret: str


class Claim:
    """The signature of a request. What needs no body is checked at once, the rest by `verify`.

    Args:
        request: The request.
        start: The start whose root users may sign.

    Raises:
        Refused: The signature is incomplete, too old, or of an unknown key.
    """

    def __init__(self, request: Request, start: Start) -> None:
        self._request = request
        authorization = request.headers.get("authorization", "")
        self._in_query = not authorization.startswith(("AWS4-", "AWS "))
        self._version_2 = authorization.startswith("AWS ") or (
            self._in_query and "AWSAccessKeyId" in request.parameters
        )
        if self._version_2:
            key = (
                request.parameters["AWSAccessKeyId"]
                if self._in_query
                else authorization.removeprefix("AWS ").partition(":")[0]
            )
        else:
            self._parsed = self._parse(authorization)
            key = self._parsed.access_key_id
        token = (
            request.parameters.get("X-Amz-Security-Token") or request.parameters.get("x-amz-security-token")
            if self._in_query
            else request.headers.get("x-amz-security-token")
        )
        #: The key that signed.
        self.access_key_id = key
        self._credential = _credential_of(key, token or "", start)

    @property
    def service(self) -> str:
        """The service that the signature is for."""
        return "s3" if self._version_2 else str(self._parsed.service)

    def verify(self, body: bytes) -> None:
        """Check the signature.

        Raises:
            Refused: Something differs from what was signed.
        """
        if self._version_2:
            self._verify_version_2()
            return
        payload = self._payload_hash(body)
        if not self._signs(self._to_sign(self._canonical(payload)), self._parsed.signature):
            raise _MISMATCH
        if payload in self._signed_chunks:
            self._verify_chunks(body)

    def _signs(self, text: str, given: str) -> bool:
        """Whether a signature is that of a text."""
        signed, secret = self._parsed, self._credential.secret
        if signed.region_set is not None:
            return bool(sigv4.sigv4a_signature_matches(signed.access_key_id, secret, text, given.strip("*")))
        key = _signing_key(secret, signed.date_stamp, signed.region, signed.service)
        return hmac.compare_digest(_hmac(key, text).encode(), given.encode())

    @property
    def _algorithm(self) -> str:
        return _V4 if self._parsed.region_set is None else _V4A

    @property
    def _signed_chunks(self) -> tuple[str, str]:
        return f"{_STREAMING}{self._algorithm}-PAYLOAD", f"{_STREAMING}{self._algorithm}-PAYLOAD-TRAILER"

    @property
    def _scope(self) -> str:
        signed = self._parsed
        region = [] if signed.region_set is not None else [signed.region]
        return "/".join([signed.date_stamp, *region, signed.service, "aws4_request"])

    def _parse(self, authorization: str) -> sigv4.HeaderSignature:
        request = self._request
        algorithm = (
            request.parameters.get("X-Amz-Algorithm", "")
            if self._in_query
            else authorization.partition(" ")[0]
        )
        if algorithm not in (_V4, _V4A):
            raise Refused("UnsupportedSignature", "The request signature does not conform to AWS standards.")
        parsed = (
            sigv4.parse_query_signature(request.parameters)
            if self._in_query
            else sigv4.parse_header_signature(request.headers)
        )
        if isinstance(parsed, tuple):
            raise Refused(*parsed)
        if (parsed.region_set is None) is not (algorithm == _V4) or not _TIMESTAMP.fullmatch(parsed.amz_date):
            raise Refused(
                "IncompleteSignature", f"The signature is incomplete: {algorithm}, {parsed.amz_date}"
            )
        if parsed.date_stamp != parsed.amz_date[:8]:
            raise Refused("CredentialDateMismatch", "Date in Credential scope does not match the date.")
        signed = set(parsed.signed_headers.split(";"))
        unsigned = {name for name in request.headers if name.startswith("x-amz-") and name not in signed}
        if "host" not in signed or unsigned:
            raise Refused(
                "SignatureDoesNotMatch",
                f"These headers must be signed: {', '.join(sorted(unsigned - {'host'})) or 'host'}",
            )
        self._check_time(parsed)
        return parsed

    def _check_time(self, parsed: sigv4.HeaderSignature) -> None:
        if not self._in_query:
            skewed = sigv4.request_time_failure(parsed)
            if skewed:
                raise Refused(*skewed)
            return
        given = self._request.parameters.get("X-Amz-Expires", "")
        seconds = int(given) if given.isascii() and given.isdigit() else 0
        if not 1 <= seconds <= _LONGEST_EXPIRATION:
            raise Refused(
                "IncompleteSignature",
                f"X-Amz-Expires={given!r}: it must be 1 to {_LONGEST_EXPIRATION} seconds",
            )
        signed_at = datetime.strptime(parsed.amz_date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        now = datetime.now(UTC)
        if now > signed_at + timedelta(seconds=seconds) or now < signed_at - timedelta(minutes=15):
            raise Refused("RequestExpired", "Request has expired")

    def _payload_hash(self, body: bytes) -> str:
        """The last line of the canonical request, after checking that it is true of the body."""
        given = self._request.headers.get("x-amz-content-sha256", "")
        if self._in_query:
            given = given or self._request.parameters.get("X-Amz-Content-Sha256", "")
            if self.service in _S3:
                return given or _UNSIGNED
        if self.service in _S3 and (given == _UNSIGNED or given.startswith(_STREAMING)):
            if given not in (_UNSIGNED, _UNSIGNED_TRAILER, *self._signed_chunks):
                raise Refused("UnsupportedSignature", f"x-amz-content-sha256={given}: it is not supported")
            return given
        if given == _UNSIGNED and self.service in _UNSIGNED_BODIES:
            return given
        actual = hashlib.sha256(body).hexdigest()
        if given and given != actual:
            raise _MISMATCH
        return actual

    def _canonical(self, payload: str) -> str:
        request, signed = self._request, self._parsed
        left_out = {"X-Amz-Signature"} if self._in_query else set()
        if signed.service == "iotdevicegateway":  # its clients append the token to the signed URL
            left_out.add("X-Amz-Security-Token")
        query = _encoded(request.query, left_out)
        made = AWSRequest(
            request.method, f"https://host{request.path}?{query}" if query else f"https://host{request.path}"
        )
        signer = _signer(signed.service)
        signer.names, signer.payload_hash, signer.given = signed.signed_headers, payload, request.headers
        return str(signer.canonical_request(made))

    def _to_sign(self, canonical: str) -> str:
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        return "\n".join([self._algorithm, self._parsed.amz_date, self._scope, digest])

    def _verify_chunks(self, body: bytes) -> None:
        """Check each chunk of an upload, and its trailers; each signature contains the one before."""
        before, ended = self._parsed.signature, False
        for kind, hashed, given in _parts(body):
            lines = [f"{self._algorithm}-{kind}", self._parsed.amz_date, self._scope, before.strip("*")]
            lines += [_NOTHING, hashed] if kind == "PAYLOAD" else [hashed]
            if not self._signs("\n".join(lines), given):
                raise _MISMATCH
            before, ended = given, True
        trailer = self._request.headers["x-amz-content-sha256"].endswith("-TRAILER")
        if not ended or (trailer and kind != "TRAILER"):
            raise _MISMATCH

    def _verify_version_2(self) -> None:
        """Check a signature of Version 2, which S3 still accepts and boto3 uses for presigned URLs."""
        request = self._request
        if self._in_query:
            given, date = request.parameters.get("Signature", ""), request.parameters.get("Expires", "")
            if not date.isdecimal() or int(date) < time.time():
                raise Refused("RequestExpired", "Request has expired")
        else:
            given = request.headers["authorization"].partition(":")[2]
            date = request.headers.get("x-amz-date") or request.headers.get("date", "")
            _check_date(date)
            date = "" if "x-amz-date" in request.headers else date
        headers: Any = HTTPHeaders()
        for name, value in request.headers.items():
            headers[name] = value
        signer = _Version2(Credentials(self._credential.access_key_id, self._credential.secret))
        signer.date = date
        split = urlsplit(f"https://host{request.path}" + (f"?{request.query}" if request.query else ""))
        bucket = _bucket_of_host(request.headers.get("host", ""))
        wanted = signer.get_signature(
            request.method, split, headers, auth_path=f"/{bucket}{request.path}" if bucket else None
        )
        if not hmac.compare_digest(wanted.encode(), given.encode()):
            raise _MISMATCH


class _Canonical(SigV4Auth):
    """botocore's signer, with the header names and the hash that the sender chose."""

    names = ""
    payload_hash = ""
    given: dict[str, str]

    def headers_to_sign(self, request: object) -> Any:
        return {name: self.given.get(name, "") for name in self.names.split(";")}

    def canonical_headers(self, headers_to_sign: Any) -> str:
        return "\n".join(f"{name}:{' '.join(value.split())}" for name, value in headers_to_sign.items())

    def signed_headers(self, headers_to_sign: object) -> str:
        return self.names

    def payload(self, request: object) -> str:
        return self.payload_hash


class _CanonicalS3(_Canonical, S3SigV4Auth):
    """Likewise, with the path as it was sent."""

    def _normalize_url_path(self, path: str) -> str:
        return path


class _Version2(HmacV1Auth):
    """botocore's signer, with the date that the sender signed."""

    date = ""

    def _get_date(self) -> str:
        return self.date


def _signer(service: str) -> _Canonical:
    kind = _CanonicalS3 if service in _S3 else _Canonical
    return kind(Credentials("", ""), service, "")


def _credential_of(key: str, token: str, start: Start) -> _Credential:
    account = start.root_account(key)
    if account is not None:
        if token:
            raise _UNKNOWN
        return _Credential(key, start.root_secret(account))
    if key == "test" or not key:  # the emulator takes both for the root user
        raise _UNKNOWN
    try:
        account = _account_from_sts_session(key) or iam_evaluator.find_iam_access_key_account(key)
    except iam_evaluator.AmbiguousAccessKeyError:
        account = None
    if account is None:
        raise _UNKNOWN
    found = iam_evaluator.resolve_credential(key, account, token)
    if isinstance(found, iam_evaluator.CredentialResolutionError):
        if found.code == "InvalidToken" and not token:
            raise _UNKNOWN  # temporary credentials without their session token are an unknown key
        raise Refused(found.code, found.message)
    return _Credential(key, found.secret_access_key)


@functools.lru_cache(maxsize=256)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key: bytes = sigv4.derive_signing_key(secret, date, region, service)
    return key


def _encoded(query: str, left_out: set[str]) -> str:
    """The query string as it is signed, whatever its sender left unencoded."""
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    return "&".join(
        f"{quote(unquote_to_bytes(name), safe='-_.~')}={quote(unquote_to_bytes(value), safe='-_.~')}"
        for name, value in pairs
        if name not in left_out
    )


def _hmac(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _parts(body: bytes) -> Iterator[tuple[str, str, str]]:
    """Each chunk of an upload in chunks, and its trailers: the kind, the hash, and the signature given."""
    position, size = 0, -1
    while size != 0:
        end = body.find(b"\r\n", position)
        header, _, given = (
            body[position : max(end, position)].decode("latin-1").partition(";chunk-signature=")
        )
        if end < 0 or not re.fullmatch(r"[0-9a-fA-F]{1,16}", header):
            raise _MISMATCH
        size = int(header, 16)
        chunk = body[end + 2 : end + 2 + size]
        yield "PAYLOAD", hashlib.sha256(chunk).hexdigest(), given.strip()
        position = end + 2 + size + (2 if size else 0)
    lines = [line for line in body[position:].decode("latin-1").split("\r\n") if line]
    if lines:
        *trailers, last = lines
        hashed = hashlib.sha256("".join(f"{line}\n" for line in trailers).encode("latin-1")).hexdigest()
        yield "TRAILER", hashed, last.removeprefix("x-amz-trailer-signature:").strip()


def _check_date(date: str) -> None:
    try:
        skew = abs((datetime.now(UTC) - parsedate_to_datetime(date).astimezone(UTC)).total_seconds())
    except ValueError:
        raise Refused("MissingAuthenticationToken", "The request has no valid date.") from None
    if skew > 15 * 60:
        raise Refused(
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        )


def _bucket_of_host(host: str) -> str | None:
    from ministack.app import _extract_s3_vhost_bucket

    bucket: str | None = _extract_s3_vhost_bucket(host)
    return bucket
