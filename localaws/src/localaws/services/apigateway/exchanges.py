"""What is known of a request while it passes through API Gateway, and its `$context` variables.

Faithful to: the variables of access logs and mappings, for HTTP and REST APIs. Latencies are measured.
Not to: client certificates, AWS WAF, custom domains' base paths.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html
"""

from __future__ import annotations

import base64
import json
import secrets
import time
import uuid
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from localaws.services.apigateway import requests
from localaws.services.apigateway.requests import ClientRequest, Response
from localaws.services.xray.headers import Context, new_trace


@dataclass
class Call:
    """A call that API Gateway makes, of an integration or an authorizer.

    Attributes:
        status: What the backend answered with.
        service_status: What the service that runs it, such as Lambda, answered with.
        error: Why it failed.
        latency: How long it took, in milliseconds.
        request_id: The id of the request.
    """

    status: int | None = None
    service_status: int | None = None
    error: str = ""
    latency: int | None = None
    request_id: str = ""


@dataclass
class Exchange:
    """One request and what becomes of it.

    Attributes:
        kind: `http` or `rest`.
        path: Without the stage, as the API matches it.
        route: The route key, or the path of the resource.
        authorizer: What the authorizer says of the caller, in the form of the event.
        identity: Who signed the request, and the API key.
        cached: Whether the response came from the cache; None without a cache.
        context: Where the API calls from, in the trace of the request; None if it passes no trace on.
    """

    kind: str
    account: str
    region: str
    api_id: str
    api: Mapping[str, Any]
    stage_name: str
    stage: Mapping[str, Any]
    method: str
    path: str
    body: bytes
    client: ClientRequest
    route: str = ""
    resource_id: str = ""
    path_parameters: dict[str, str] = field(default_factory=dict)
    authorizer: dict[str, Any] | None = None
    identity: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    error_type: str = ""
    validation_error: str = ""
    cached: bool | None = None
    integration: Call = field(default_factory=Call)
    authorization: Call = field(default_factory=Call)
    extended_id: str = field(default_factory=lambda: base64.b64encode(secrets.token_bytes(11)).decode())
    request_id: str = ""
    trace: str = field(default_factory=lambda: f"Root={new_trace()}")
    context: Context | None = None

    def __post_init__(self) -> None:
        if not self.request_id:
            self.request_id = self.extended_id if self.kind == "http" else str(uuid.uuid4())

    @property
    def variables(self) -> dict[str, str]:
        """The stage variables."""
        names = ("stageVariables", "variables")
        return dict(next((self.stage[name] for name in names if self.stage.get(name)), {}))

    @property
    def query(self) -> list[tuple[str, str]]:
        """The decoded query parameters, in order."""
        return parse_qsl(self.client.query, keep_blank_values=True)

    @property
    def parameters(self) -> dict[str, list[str]]:
        """The values of each query parameter."""
        found: dict[str, list[str]] = {}
        for name, value in self.query:
            found.setdefault(name, []).append(value)
        return found

    @property
    def headers(self) -> dict[str, str]:
        """Each header with its values in one, as the emulator's functions take them."""
        found: dict[str, str] = {}
        for name, value in self.header_lines():
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    @property
    def domain(self) -> str:
        """The name that the client used, or that it has on AWS."""
        own = self.client.host.endswith((".localhost", "127.0.0.1")) or not self.client.host
        return f"{self.api_id}.execute-api.{self.region}.amazonaws.com" if own else self.client.host

    @property
    def full_path(self) -> str:
        """The path of the client, with the stage."""
        return self.path if self.stage_name == "$default" else f"/{self.stage_name}{self.path}"

    def arn(self, *parts: str) -> str:
        """An ARN of the API."""
        return ":".join(["arn:aws:execute-api", self.region, self.account, "/".join([self.api_id, *parts])])

    def header_lines(self) -> Iterator[tuple[str, str]]:
        """The header lines of the client, and those that API Gateway adds."""
        names = ("host", "x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto")
        yield from ((name, value) for name, value in self.client.headers if name not in names)
        forwarded = [one for one in (self.client.header("x-forwarded-for"), self.client.source_ip) if one]
        trace = self.client.header("x-amzn-trace-id")
        values = (self.domain, trace or self.trace, ", ".join(forwarded), "443", "https")
        yield from zip(names, values, strict=True)


class Refusal(Exception):
    """API Gateway itself answers: the status, the message for the client, and headers."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text
        self.headers = headers or {}


#: The exchange that is being served.
current: ContextVar[Exchange | None] = ContextVar("localaws_api_exchange", default=None)


def served() -> Exchange:
    """The exchange that is being served."""
    exchange = current.get()
    assert exchange is not None
    return exchange


def client_request(headers: Mapping[str, str], path: str, query: str) -> ClientRequest:
    """The current request, or one of these parts where another service sends it."""
    return requests.current.get() or ClientRequest(
        tuple((name.lower(), value) for name, value in headers.items()), path, query, ""
    )


def variables(exchange: Exchange, response: Response | None = None) -> dict[str, Any]:
    """The `$context` variables; None is that of an unknown name."""
    client, integration, authorization = exchange.client, exchange.integration, exchange.authorization
    took = int((time.monotonic() - client.started) * 1000)
    clock = time.gmtime(client.epoch)
    length = len(response[2]) if response and isinstance(response[2], bytes) else 0
    found: dict[str, Any] = {
        "accountId": exchange.account,
        "apiId": exchange.api_id,
        "awsEndpointRequestId": integration.request_id,
        "dataProcessed": len(exchange.body) + length,
        "deploymentId": exchange.stage.get("deploymentId"),
        "domainName": exchange.domain,
        "domainPrefix": exchange.domain.partition(".")[0],
        "error.message": exchange.error,
        "error.messageString": json.dumps(exchange.error) if exchange.error is not None else None,
        "error.responseType": exchange.error_type,
        "error.validationErrorString": exchange.validation_error,
        "extendedRequestId": exchange.extended_id,
        "httpMethod": exchange.method,
        "identity.sourceIp": client.source_ip,
        "identity.userAgent": client.header("user-agent"),
        "integration.error": integration.error,
        "integration.integrationStatus": integration.service_status,
        "integration.latency": integration.latency,
        "integration.requestId": integration.request_id,
        "integration.status": integration.status,
        "integrationErrorMessage": integration.error,
        "integrationLatency": integration.latency,
        "integrationStatus": integration.service_status,
        "path": exchange.full_path,
        "protocol": client.protocol,
        "requestId": exchange.request_id,
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", clock),
        "requestTimeEpoch": int(client.epoch * 1000),
        "responseLatency": took,
        "responseLength": length,
        "routeKey": exchange.route if exchange.kind == "http" else None,
        "stage": exchange.stage_name,
        "status": response[0] if response else None,
        "xrayTraceId": exchange.trace.removeprefix("Root="),
        "authorizer.error": authorization.error,
        "authorizer.integrationLatency": authorization.latency,
        "authorizer.integrationStatus": authorization.service_status,
        "authorizer.latency": authorization.latency,
        "authorizer.status": authorization.status,
        "authorizer.requestId": authorization.request_id,
        "authorize.error": authorization.error,
        "authorize.latency": authorization.latency,
        "authorize.status": authorization.status,
    }
    if exchange.kind == "rest":
        found |= {"resourcePath": exchange.route, "resourceId": exchange.resource_id}
    found |= {f"identity.{name}": value for name, value in exchange.identity.items()}
    return found | dict(_of_authorizer(exchange.authorizer or {}))


def _of_authorizer(said: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Claims and the context of a Lambda authorizer by their names, without the kind of the authorizer."""
    for name, value in ((said.get("jwt") or said).get("claims") or {}).items():
        yield f"authorizer.claims.{name}", value
        yield f"authorizer.jwt.claims.{name}", value
    for name, value in (said.get("lambda") or said).items():
        if not isinstance(value, (dict, list)):
            yield f"authorizer.{name}", value
            yield f"authorizer.lambda.{name}", value
