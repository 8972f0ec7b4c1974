"""What an HTTP API may be.

Faithful to: route keys, one route for each; authorizers of routes and their settings; CORS; timeouts and
payload formats of integrations; names, limits and access logs of stages.
Not to: the wording where AWS's is not known.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ministack.services import apigateway

from localaws.services.apigateway import parameter_mappings, service_integrations

Problem = tuple[str, str, int]  # code, message and status
Record = dict[str, Any]
#: The id of the API, the record, the others, and the names that were given, if it is new.
Rule = Callable[[str, Record, list[Record], set[str]], Problem | None]

_KEY = re.compile(r"(GET|POST|PUT|DELETE|PATCH|HEAD|OPTIONS|ANY) (/\S*)")
_PART = re.compile(r"[^{}]+|\{[A-Za-z0-9_.-]+\+?\}")
_NAME = re.compile(r"\$default|[A-Za-z0-9_-]{1,128}")
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s]+", re.IGNORECASE)
_DESTINATION = re.compile(
    r"arn:[a-z-]+:(logs:[a-z0-9-]+:\d{12}:log-group:\S+|firehose:[a-z0-9-]+:\d{12}:deliverystream/\S+)"
)
_REQUEST_ID = re.compile(r"\$context\.(requestId|extendedRequestId)\b")
_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "*"}
TTL = range(3601)


def bad(text: str) -> Problem:
    """A request that is not valid."""
    return "BadRequestException", text, 400


def api(api: str, record: Record, others: list[Record], given: set[str]) -> Problem | None:
    """An API: its CORS settings."""
    cors = record.get("corsConfiguration") or {}
    values = {name[:1].lower() + name[1:]: value for name, value in cors.items()}
    origins = values.get("allowOrigins") or []
    for origin in origins:
        if not _ORIGIN.fullmatch(str(origin)):
            return bad(
                f"Invalid format for origin {origin}. It should be a scheme and a host, as https://a.b"
            )
    if str(values.get("allowCredentials")).lower() == "true" and "*" in origins:
        return bad("allow-credentials is not supported if 'allow-origin' is *")
    for method in values.get("allowMethods") or []:
        if method not in _METHODS:
            return bad(f"Invalid method {method}: allowMethods takes {', '.join(sorted(_METHODS))}")
    age = values.get("maxAge")
    if age is not None and not -1 <= int(age) <= 86_400:
        return bad(f"Invalid maxAge {age}: it must be between -1 and 86400")
    return None


def _is_http(api_id: str) -> bool:
    return str((apigateway._apis.get(api_id) or {}).get("protocolType", "HTTP")) == "HTTP"


def route(api_id: str, record: Record, others: list[Record], given: set[str]) -> Problem | None:
    """A route: its key and its authorizer."""
    if not _is_http(api_id):
        return None
    key = str(record.get("routeKey"))
    match = _KEY.fullmatch(key)
    if key != "$default" and not (match and _is_path(match[2])):
        return bad(
            "The provided route key is not formatted properly for HTTP protocol. Format should be "
            '"<HTTP METHOD> /<RESOURCE PATH>" or "$default"'
        )
    for other in others:
        known = str(other.get("routeKey"))
        if known == key:
            return "ConflictException", f"Route with key {key} already exists for this API", 409
        if _shape(known) == _shape(key):
            text = (
                f'The provided route key "{key}" has a conflicting variable on the same hierarchical level '
            )
            return "ConflictException", f'{text}as "{known}"', 409
    kind = record.get("authorizationType") or "NONE"
    if kind not in ("NONE", "AWS_IAM", "JWT", "CUSTOM"):
        return bad(f"Invalid authorization type {kind}: HTTP APIs support NONE, AWS_IAM, JWT and CUSTOM")
    if kind in ("JWT", "CUSTOM"):
        found = apigateway._authorizers.get(api_id, {}).get(record.get("authorizerId"))
        expected = "REQUEST" if kind == "CUSTOM" else "JWT"
        if found is None or found.get("authorizerType") != expected:
            return bad(
                f"A route with authorization type {kind} needs the id of a {expected} authorizer of this API"
            )
    if record.get("authorizationScopes") and kind != "JWT":
        return bad(f"Authorization scopes are only supported with the authorization type JWT, not {kind}")
    if str(record.get("apiKeyRequired")).lower() == "true":
        return bad("HTTP APIs do not support API keys")
    return None


def _is_path(path: str) -> bool:
    parts = path.strip("/").split("/")
    names = re.findall(r"\{([^}+]+)\+?\}", path)
    greedy = [part.endswith("+}") for part in parts]
    return path == "/" or (
        all(_PART.fullmatch(part) for part in parts)
        and not any(greedy[:-1])
        and len(names) == len(set(names))
    )


def _shape(key: str) -> str:
    return re.sub(r"\{[^}+]+(\+?)\}", r"{\1}", key)


def integration(api_id: str, record: Record, others: list[Record], given: set[str]) -> Problem | None:
    """An integration: its type, timeout, parameter mappings and payload format."""
    if not _is_http(api_id):
        return None
    kind, timeout = record.get("integrationType"), record.get("timeoutInMillis")
    if kind not in ("AWS_PROXY", "HTTP_PROXY"):
        return bad(f"Invalid integration type {kind}: HTTP APIs support AWS_PROXY and HTTP_PROXY")
    if timeout is not None and not 50 <= int(timeout) <= 30_000:
        return bad("Timeout should be between 50 ms and 30000 ms")
    if text := parameter_mappings.problem(record):
        return bad(text)
    if record.get("integrationSubtype") and (text := service_integrations.problem(record)):
        return bad(text)
    version = str(record.get("payloadFormatVersion"))
    if not given or kind != "AWS_PROXY":
        return None
    if "payloadFormatVersion" not in given:
        return bad("PayloadFormatVersion is a required parameter for integrations with Lambda functions")
    versions = ("1.0",) if "integrationSubtype" in given else ("1.0", "2.0")
    if version not in versions:
        return bad(f"Invalid payload format version {version}: it must be {' or '.join(versions)}")
    return None


def stage(api_id: str, record: Record, others: list[Record], given: set[str]) -> Problem | None:
    """A stage: its name, limits and access log."""
    if not _NAME.fullmatch(str(record.get("stageName"))):
        return bad("Stage name only allows a-zA-Z0-9_- and $default, with at most 128 characters")
    known = {route.get("routeKey") for route in apigateway._routes.get(api_id, {}).values()}
    settings = record.get("routeSettings") or {}
    for key in settings:
        if key not in known:
            text = f"Unable to find Route by key {key} within the provided RouteSettings"
            return "NotFoundException", text, 404
    for one in (record.get("defaultRouteSettings") or {}, *settings.values()):
        if problem := limits(one.get("throttlingRateLimit"), one.get("throttlingBurstLimit")):
            return problem
    return access_log(record)


def limits(rate: Any, burst: Any) -> Problem | None:
    """The limits of a throttle."""
    if (rate is not None and not float(rate) >= 0) or (burst is not None and int(burst) < 0):
        return bad(f"Throttling rate limit {rate} and burst limit {burst} must not be negative")
    return None


def access_log(record: Record) -> Problem | None:
    """The access log of a stage."""
    settings = {
        name[:1].lower() + name[1:]: value for name, value in (record.get("accessLogSettings") or {}).items()
    }
    if not settings:
        return None
    destination, line = str(settings.get("destinationArn") or ""), str(settings.get("format") or "")
    if destination and not _DESTINATION.fullmatch(destination):
        return bad(
            "Invalid ARN specified in the request. ARNs must start with 'arn:' and include a region and "
            f"account: {destination} is no log group"
        )
    if not line and not destination:
        return None
    if not line or not destination:
        return bad("Access log settings need a destination ARN and a format")
    if "\n" in line.rstrip("\n"):
        return bad(
            "Access Log format must be single line, new line character is allowed only at end of the format"
        )
    if not _REQUEST_ID.search(line):
        return bad("Access Log format must contain at least $context.requestId or $context.extendedRequestId")
    if len(line.encode()) > 3072:
        return bad("Access Log format must not be larger than 3 KB")
    return None


def authorizer(api_id: str, record: Record, others: list[Record], given: set[str]) -> Problem | None:
    """An authorizer: what its type needs."""
    if not _is_http(api_id):
        return None
    kind, ttl = record.get("authorizerType"), record.get("authorizerResultTtlInSeconds")
    sources = record.get("identitySource") or []
    if any(other.get("name") == record.get("name") for other in others):
        return (
            "ConflictException",
            f"Authorizer with name {record.get('name')} already exists for this API",
            409,
        )
    if kind == "JWT":
        settings = record.get("jwtConfiguration") or {}
        if not settings.get("issuer") or not settings.get("audience"):
            return bad("JWT authorizers need an issuer and at least one audience")
        if not str(settings["issuer"]).startswith("https://"):
            return bad("Invalid issuer: it must begin with https://")
        if len(sources) != 1 or (given and "identitySource" not in given):
            return bad("JWT authorizers need exactly one identity source")
        return None
    if kind != "REQUEST":
        return bad(f"Invalid authorizer type {kind}: HTTP APIs support REQUEST and JWT")
    version = str(record.get("authorizerPayloadFormatVersion"))
    if given and "authorizerPayloadFormatVersion" not in given:
        return bad("AuthorizerPayloadFormatVersion is a required parameter for REQUEST authorizer")
    if version not in ("1.0", "2.0"):
        return bad(f"Invalid AuthorizerPayloadFormatVersion {version}: it must be 1.0 or 2.0")
    if version == "1.0" and str(record.get("enableSimpleResponses")).lower() == "true":
        return bad("EnableSimpleResponses is only supported with AuthorizerPayloadFormatVersion 2.0")
    if ttl is not None and int(ttl) not in TTL:
        return bad(f"Invalid AuthorizerResultTtlInSeconds {ttl}: it must be between 0 and 3600")
    named = bool(sources) and (not given or "identitySource" in given)
    if not named and ttl and (not given or "authorizerResultTtlInSeconds" in given):
        return bad("Identity source must be set if authorizer caching is enabled (TTL is greater than 0)")
    for source in sources:
        if not re.match(r"\$(request\.(header|querystring)\.|context\.|stageVariables\.)\S", str(source)):
            return bad(f"Invalid identity source {source}")
    return None
