"""Who may send what to the server: every request passes here before the emulator sees it.

    host it serves? -> control path: secret of the start -> public front: open
                    -> own origin?  -> AWS API: valid signature, or a call that AWS serves unsigned

An API call of another user of this machine, or of a web page that knows the port, ends here.

Faithful to: every call of an AWS API carries a valid signature of a key that exists, or fails with the
error of AWS in the protocol of its service. Unsigned are only the calls that AWS serves so: sign-up, sign-
in and the identities of Cognito, its tokens' keys and its hosted pages, web identity, links in messages of
SNS, forms with a signed policy and anonymous requests for S3 that a policy or an ACL grants to everybody.
Load balancers, APIs, function URLs and distributions are open; a signature that a client sends there counts
only if it is valid. Images are pushed and pulled with the token of ECR.
Not to: a request with the Host header of another server is refused, and so is one from a web page of
another server, except at public fronts and S3.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
https://docs.aws.amazon.com/cognito/latest/developerguide/authentication-flows-public-server-side.html
https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html
"""

from __future__ import annotations

import base64
import importlib
import json
import re
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from localaws.server.credentials import CONTROL, REGISTRY, SECRET_HEADER, Start
from localaws.server.signatures import Claim, Refused, Request, wrong_scope

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

#: Why the signature of the current request does not count, if it is for a public front.
unproven: ContextVar[Refused | None] = ContextVar("localaws_unproven", default=None)

_LOOPBACK = ("127.0.0.1", "localhost")
_SERVED = (".localhost", ".amazonaws.com", ".amazonaws.com.cn", ".on.aws", ".api.aws", ".cloudfront.net")
# Own routes, and those of the emulator that are no AWS API: health, reset, configuration, messages, code.
_CONTROL_PREFIXES = ("/_localaws", "/_ministack", "/_localstack", "/latest/", "/v2/credentials")
# Where CloudFormation's custom resources and wait conditions answer: the paths have unguessable tokens.
_CALLBACKS = ("/_ministack/cfn-response/", "/_ministack/cfn-signal/")
# The Region in the name of a service; a name of this machine has none, and serves them all.
_REGIONAL = re.compile(r"[a-z0-9.-]+\.([a-z]{2,}(?:-[a-z]+)+-\d+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)")
_LOAD_BALANCER = re.compile(r"[^.]+\.[a-z0-9-]+\.elb\.amazonaws\.com")
_FUNCTION_URL = re.compile(r"[a-z0-9]{32}\.lambda-url\.[a-z0-9-]+\.on\.aws")
# Paths that the emulator serves as an API before it looks at the host.
_APIS = ("/iceberg", "/v20180820/", "/WriteGetObjectResponse")
_HOSTED_PAGES = {
    ("GET", "/oauth2/authorize"),
    ("GET", "/oauth2/userInfo"),
    ("GET", "/oauth2/userinfo"),
    ("POST", "/oauth2/userInfo"),
    ("POST", "/oauth2/userinfo"),
    ("POST", "/oauth2/token"),
    ("POST", "/oauth2/login"),
    ("POST", "/login"),
    ("GET", "/logout"),
}
_WELL_KNOWN = ("/.well-known/jwks.json", "/.well-known/openid-configuration")
_JSON_TARGETS = {
    "AWSCognitoIdentityProviderService": "cognito-idp",
    "AWSCognitoIdentityService": "cognito-identity",
}
# Services whose calls name them in a header; their names in the emulator and in signatures are the same.
_TARGETED = frozenset(
    (
        *("cognito-identity", "cognito-idp", "dynamodb", "events", "firehose", "kinesis", "kms", "logs"),
        *("secretsmanager", "sqs", "ssm", "states"),
    )
)
_WEB_IDENTITY = ("AssumeRoleWithWebIdentity", "AssumeRoleWithSAML")
_LINKS = ("ConfirmSubscription", "Unsubscribe")
_MOST_UNSIGNED = 1024 * 1024
_MISSING = Refused("MissingAuthenticationToken", "Request is missing Authentication Token")


class _Answer(Exception):
    """Ends a request with a response."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.body = body


def guarded(app: Application, start: Start, port: int, *, bridges: bool) -> Application:
    """Put the gate before an ASGI application.

    Args:
        app: The application.
        start: The secrets of this start.
        port: The port of the server.
        bridges: Whether the application has the bridges. Some of them serve their fronts before the emulator.
    """
    gate = _Gate(start, port, bridges=bridges)

    async def serve(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return
        try:
            receive = await gate.admit(scope, receive)
            scope = gate.routed(scope)
        except _Answer as answer:
            await _send(scope, send, answer)
            return
        await app(scope, receive, send)

    return serve


class _Gate:
    def __init__(self, start: Start, port: int, *, bridges: bool) -> None:
        self._start = start
        self._bridges = bridges
        self._own_hosts = {f"{name}:{port}" for name in _LOOPBACK}
        self._emulator: Any = importlib.import_module("ministack.app")

    async def admit(self, scope: Message, receive: Receive) -> Receive:
        """Check a request, and return what the application receives it with.

        Raises:
            _Answer: It is refused.
        """
        unproven.set(None)
        host = _only_host(scope)
        request = _request(scope, host)
        path: str = scope["path"]
        self._check_host(host, path)
        if self._is_control(host, path):
            self._check_origin(request)
            if scope["type"] == "http" and request.method == "PUT" and path.startswith(_CALLBACKS):
                return receive
            if not self._start.is_token(request.headers.get(SECRET_HEADER, ""), CONTROL):
                raise _plain(403, f"{path} is for the program that started this server: use LocalAws")
            return receive
        if self._is_front(host, path):
            return await self._at_front(scope, request, receive)
        if self._emulator._is_ecr_registry_path(path):
            self._check_origin(request)
            self._check_registry(request)
            return receive
        if scope["type"] == "websocket":
            self._verify(self._claim(request), request, b"")
            return receive
        return await self._at_api(request, path, receive)

    def routed(self, scope: Message) -> Message:
        """The request with its host in lower case, which the emulator asks for; balancers pass on theirs."""
        host = _only_host(scope)
        if self._balancer(host):
            return scope
        headers = [
            (name, host.encode() if name.lower() == b"host" else value) for name, value in scope["headers"]
        ]
        return {**scope, "headers": headers}

    # --- where a request goes

    def _check_host(self, host: str, path: str) -> None:
        name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
        if host in self._own_hosts or (name not in _LOOPBACK and f".{name}".endswith(_SERVED)):
            return
        if self._emulator._resolve_custom_domain_request(host, path) is not None:
            return
        raise _plain(421, f"Host: {host}: this server has no such host; use 127.0.0.1 and its port")

    def _is_control(self, host: str, path: str) -> bool:
        if path.startswith("/_localaws"):  # `control` answers it under any name
            return True
        return (path == "/health" or path.startswith(_CONTROL_PREFIXES)) and not self._own_front(host)

    def _balancer(self, host: str) -> bool:
        """Whether our bridge serves the request as a load balancer, whatever its path."""
        return self._bridges and _LOAD_BALANCER.fullmatch(host.partition(":")[0]) is not None

    def _api(self, host: str) -> bool:
        """Whether our bridge serves the request as that of an API, whatever its path."""
        return self._bridges and self._emulator._EXECUTE_API_RE.match(host) is not None

    def _own_front(self, host: str) -> bool:
        """Whether our bridges serve the request as a load balancer, an API or a function URL."""
        url = self._bridges and _FUNCTION_URL.fullmatch(host.partition(":")[0]) is not None
        return url or self._balancer(host) or self._api(host)

    def _is_front(self, host: str, path: str) -> bool:
        """Whether the request is for a load balancer, an API, a function URL or a distribution."""
        emulator = self._emulator
        if self._own_front(host):
            return True
        api = path in emulator._RDS_DATA_PATHS or path.startswith((*_APIS, emulator._SES_V2_PREFIX))
        return not api and not emulator._is_ecr_registry_path(path) and self._is_named_front(host, path)

    def _is_named_front(self, host: str, path: str) -> bool:
        emulator = self._emulator
        if emulator._parse_execute_api_url(host, path) or emulator._parse_lambda_url(host, path):
            return True
        if emulator._resolve_custom_domain_request(host, path) is not None:
            return True
        label = emulator._parse_cloudfront_dataplane_host(host)
        if label is not None:
            return emulator._get_module("cloudfront").find_distribution_for_label(label) is not None
        if emulator._APPSYNC_REALTIME_RE.match(host):
            return True
        if emulator._is_potential_alb_request(host, path):
            alb = emulator._get_module("alb")
            named = path.removeprefix(emulator._ALB_PATH_PREFIX).partition("/")[0]
            return bool(alb.find_lb_for_host(host) or alb._find_lb_by_name(named))
        return False

    # --- what is checked there

    def _check_origin(self, request: Request) -> None:
        """Refuse a web page of another server: only pages of this machine may call."""
        origin = request.headers.get("origin")
        if origin is None:
            return
        name = urlsplit(origin).hostname or ""
        if name not in (*_LOOPBACK, "::1") and not name.endswith(".localhost"):
            raise _plain(403, f"Origin: {origin}: only web pages of this machine may call this server")

    def _check_registry(self, request: Request) -> None:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            user, _, token = base64.b64decode(given).decode().partition(":")
        except ValueError:
            user = token = ""
        if kind != "Basic" or user != "AWS" or not self._start.is_token(token, REGISTRY):
            challenge = {"WWW-Authenticate": 'Basic realm="ecr",service="ecr.amazonaws.com"'}
            raise _plain(401, "Not Authorized: log in with the token of GetAuthorizationToken", challenge)

    async def _at_front(self, scope: Message, request: Request, receive: Receive) -> Receive:
        """Let it pass; a wrong signature counts as none where the front asks for one."""
        if not request.claims_an_identity or self._balancer(request.headers["host"].lower()):
            return receive
        body = b"" if scope["type"] == "websocket" else await _read(receive)
        try:
            claim = Claim(request, self._start)
            self._check_reading(claim, request)
            claim.verify(body)
        except Refused as refused:
            unproven.set(refused)
        return receive if scope["type"] == "websocket" else _replay(body, receive)

    async def _at_api(self, request: Request, path: str, receive: Receive) -> Receive:
        if request.claims_an_identity or self._emulator.extract_access_key_id(request.headers, {}):
            claim = self._claim(request)
            if claim.service != "s3":
                self._check_origin(request)
            body = await _read(receive)
            self._verify(claim, request, body)
            return _replay(body, receive)
        if request.method == "OPTIONS":  # before a call of a web page, answered without doing anything
            if not self._bucket(request, path):
                self._check_origin(request)
            return receive
        body = await self._read_unsigned(request, path, receive)
        service = self._service(request, body)
        if service != "s3":
            self._check_origin(request)
        if not self._is_served_unsigned(request, path, service, body):
            raise self._refusal(_MISSING, request, service)
        return _replay(body, receive)

    async def _read_unsigned(self, request: Request, path: str, receive: Receive) -> bytes:
        """The body, if it is as short as an unsigned call, or is for an existing bucket."""
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) <= _MOST_UNSIGNED:
            return await _read(receive)
        if (
            not length
            and "transfer-encoding" not in request.headers
            and request.method in ("GET", "HEAD", "OPTIONS")
        ):
            return b""
        if self._bucket(request, path):
            return await _read(receive)
        raise self._refusal(_MISSING, request, self._service(request, b""))

    def _claim(self, request: Request) -> Claim:
        try:
            return Claim(request, self._start)
        except Refused as refused:
            raise self._refusal(refused, request, self._service(request, b"")) from None

    def _verify(self, claim: Claim, request: Request, body: bytes) -> None:
        try:
            self._check_reading(claim, request)
            claim.verify(body)
            if claim.service == "s3":  # its URLs are given away, and what they leave unsigned may be changed
                service = self._service(request, body)
                if not service.startswith(("s3", "glue")):
                    message = f"Credential should be scoped to correct service: '{service}'."
                    raise Refused("SignatureDoesNotMatch", message)
            elif "x-amz-target" in request.headers:  # it names the service, and the scope must be the same
                named = self._service(request, body)
                if named in _TARGETED and claim.service != named:
                    message = f"Credential should be scoped to correct service: '{named}'."
                    raise Refused("SignatureDoesNotMatch", message)
            named_region = _REGIONAL.fullmatch(request.headers["host"].lower())
            if named_region and claim.service != "s3":
                wrong = wrong_scope(request, claim.service, named_region[1])
                if wrong is not None:
                    raise wrong
        except Refused as refused:
            raise self._refusal(refused, request, self._service(request, body)) from None

    def _check_reading(self, claim: Claim, request: Request) -> None:
        """Refuse a request with two credentials, of which the emulator reads another one than `Claim`."""
        query = parse_qs(request.query, keep_blank_values=True)
        read = self._emulator.extract_access_key_id(request.headers, query)
        if read != claim.access_key_id or request.headers.get("authorization", "").count("Credential=") > 1:
            raise Refused("UnsupportedSignature", "The request has more than one credential.")

    def _service(self, request: Request, body: bytes) -> str:
        """The service that the emulator takes the request for."""
        parameters = self._parameters(request, body)
        return str(
            self._emulator.detect_service(request.method, _decoded(request), request.headers, parameters)
        )

    def _parameters(self, request: Request, body: bytes) -> dict[str, list[str]]:
        query = parse_qs(request.query, keep_blank_values=True)
        found: dict[str, list[str]] = self._emulator._routing_params(
            request.method, _decoded(request), request.headers, body, query
        )
        return found

    def _is_served_unsigned(self, request: Request, path: str, service: str, body: bytes) -> bool:
        """Whether AWS serves this call without a signature."""
        if service == "s3" and self._is_public_in_s3(request, path):
            return True
        if (request.method, path) in _HOSTED_PAGES or self._is_well_known(request, path):
            return True
        if request.method == "POST" and "x-amz-target" in request.headers:
            prefix, _, operation = request.headers["x-amz-target"].partition(".")
            return (
                path == "/"
                and not request.query
                and _JSON_TARGETS.get(prefix) == service
                and operation in self._unsigned_operations(service)
            )
        if service == "appsync" and request.method == "POST" and "x-amz-target" not in request.headers:
            return bool(self._emulator._APPSYNC_GRAPHQL_RE.match(path) or path == "/graphql")
        return path == "/" and self._is_unsigned_form(request, service, body)

    def _is_unsigned_form(self, request: Request, service: str, body: bytes) -> bool:
        if "x-amz-target" in request.headers or (request.query and body):
            return False
        actions = self._parameters(request, body).get("Action", [])
        if service == "sts" and len(actions) == 1 and actions[0] in _WEB_IDENTITY:
            from localaws.server import web_identity

            refusal = web_identity.refusal(self._parameters(request, body))
            if refusal:
                raise _Answer(*refusal)
            return True
        return service == "sns" and request.method == "GET" and len(actions) == 1 and actions[0] in _LINKS

    def _unsigned_operations(self, service: str) -> frozenset[str]:
        from ministack.core.iam_actions import unsigned_operations

        found: frozenset[str] = unsigned_operations(service)
        return found

    def _is_well_known(self, request: Request, path: str) -> bool:
        if request.method != "GET" or not path.endswith(_WELL_KNOWN):
            return False
        pool = path.partition("/.well-known/")[0].lstrip("/")
        return self._emulator._get_module("cognito")._get_pool_unscoped(pool) is not None

    def _is_public_in_s3(self, request: Request, path: str) -> bool:
        """Whether S3 decides about the anonymous request: by policies, ACLs, and the policy of a form."""
        if "x-amz-target" in request.headers or path.startswith(("/iceberg", "/v20180820/")):
            return False
        # Without IAM, the emulator asks no policy; a request without a bucket is root's there.
        return bool(self._emulator.AUTH) and self._bucket(request, path)

    def _bucket(self, request: Request, path: str) -> bool:
        emulator = self._emulator
        name = emulator._extract_s3_vhost_bucket(request.headers.get("host", ""))
        name = name or path.lstrip("/").partition("/")[0]
        return bool(name) and emulator._get_module("s3")._bucket_owner_account(name) is not None

    def _refusal(self, refused: Refused, request: Request, service: str) -> _Answer:
        """The error of AWS, in the protocol of the service."""
        from ministack.core.iam_evaluator import AuthError

        if service == "s3" and refused is _MISSING:
            refused = Refused("MissingAuthenticationToken", "Access Denied")
        error = AuthError(refused.code, refused.message)
        status, headers, body = self._emulator._credential_failure(
            service, "", str(uuid.uuid4()), error, request.headers
        )
        return _Answer(status, headers, b"" if request.method == "HEAD" else body)


def _only_host(scope: Message) -> str:
    hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
    if len(hosts) != 1:
        raise _plain(400, "The request must have one Host header")
    return str(hosts[0].decode("latin-1").strip().lower())


def _request(scope: Message, host: str) -> Request:
    from ministack.core.sigv4 import decode_header_value

    headers: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name, text = raw.decode("latin-1").lower(), decode_header_value(value)
        headers[name] = f"{headers[name]},{text}" if name in headers else text
    raw_path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")
    return Request(scope.get("method", "GET"), raw_path, scope["query_string"].decode("latin-1"), headers)


def _decoded(request: Request) -> str:
    return unquote(request.path)


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _plain(400, "The request has ended before its body was complete")
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """What receives the body that has been read, and then what follows."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return pending.pop() if pending else await receive()

    return next_message


def _plain(status: int, message: str, headers: dict[str, str] | None = None) -> _Answer:
    body = json.dumps({"message": message}).encode()
    return _Answer(status, {"Content-Type": "application/json", **(headers or {})}, body)


async def _send(scope: Message, send: Send, answer: _Answer) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [
        (name.lower().encode(), str(value).encode("latin-1")) for name, value in answer.headers.items()
    ]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
