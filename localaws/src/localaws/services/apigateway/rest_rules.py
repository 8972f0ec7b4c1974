"""What a REST API may be.

Faithful to: path parts of resources and their siblings; authorizers of methods and their settings; names of
parameters; timeouts of integrations; models; throttles and quotas of usage plans; names, caches and access
logs of stages, for which the account needs a role; deployments, which need a method with an integration.
Not to: the wording where AWS's is not known.

https://docs.aws.amazon.com/apigateway/latest/api/API_CreateResource.html
https://docs.aws.amazon.com/apigateway/latest/api/API_CreateAuthorizer.html
https://docs.aws.amazon.com/apigateway/latest/api/API_PutMethod.html
https://docs.aws.amazon.com/apigateway/latest/api/API_QuotaSettings.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ministack.services import apigateway_v1

from localaws.services.apigateway.http_rules import TTL, Problem, Record, access_log, bad, limits
from localaws.services.iam.roles import role_allows, role_trusts

ROLE = (
    "The role ARN does not have required permissions configured. Please grant trust permission for API "
    "Gateway and add the required role policy."
)
_PART = re.compile(r"[A-Za-z0-9._:$-]+|\{[A-Za-z0-9._-]+\+?\}")
_PARAMETER = re.compile(r"method\.request\.(querystring|header|path)\.[A-Za-z0-9._$-]+")
_MAPPED = re.compile(r"integration\.request\.(querystring|header|path)\.\S+")
_SIZES = {"0.5", "1.6", "6.1", "13.5", "28.4", "58.2", "118", "237"}
_TYPES = {"TOKEN", "REQUEST", "COGNITO_USER_POOLS"}
_METHODS = {"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "ANY"}


def may_log(role: str) -> bool:
    """Whether API Gateway may write logs with a role."""
    actions = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
    return role_trusts(role, "apigateway.amazonaws.com") and all(
        role_allows(role, one, "*") for one in actions
    )


def resource(api: str, record: Record, others: list[Record], given: set[str]) -> Problem | None:
    """A resource with its methods."""
    part = str(record.get("pathPart") or "")
    if record.get("parentId") and not _PART.fullmatch(part):
        return bad(
            "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and curly braces "
            "at the beginning and the end."
        )
    siblings = [one["pathPart"] for one in others if one.get("parentId") == record.get("parentId")]
    variable = next((one for one in siblings if one.startswith("{")), None)
    if record.get("parentId") and part.startswith("{") and variable:
        return bad(
            f"A sibling ({variable}) of this resource already has a variable path part -- only one is allowed"
        )
    parent = next((one for one in others if one["id"] == record.get("parentId")), {})
    if str(parent.get("pathPart")).endswith("+}"):
        return bad(f"Cannot create a child of a resource with a greedy path variable: {parent['pathPart']}")
    return next(_of_methods(api, record), None)


def _of_methods(api: str, record: Record) -> Iterator[Problem]:
    for name, method in (record.get("resourceMethods") or {}).items():
        if name not in _METHODS:
            yield bad(f"Invalid HTTP method specified: {name}")
        kind = method.get("authorizationType") or "NONE"
        authorizer = apigateway_v1._authorizers_v1.get(api, {}).get(method.get("authorizerId"))
        if kind not in ("NONE", "AWS_IAM", "CUSTOM", "COGNITO_USER_POOLS"):
            yield bad(f"Invalid authorization type specified: {kind}")
        if kind in ("CUSTOM", "COGNITO_USER_POOLS") and authorizer is None:
            yield bad(
                "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or "
                "COGNITO_USER_POOLS requires a valid authorizer."
            )
        yield from _parameters(method)
        validator = method.get("requestValidatorId")
        if validator and validator not in apigateway_v1._request_validators.get(api, {}):
            yield bad("Invalid Request Validator identifier specified")
        timeout = (method.get("methodIntegration") or {}).get("timeoutInMillis")
        if timeout is not None and not 50 <= int(timeout) <= 29_000:
            yield bad("Timeout should be between 50 ms and 29000 ms")


def _mapping(text: str) -> Problem:
    return bad(f"Invalid mapping expression specified: Validation Result: warnings : [], errors : [{text}]")


def _parameters(method: Record) -> Iterator[Problem]:
    """The parameters that a method declares, and those that its integration maps."""
    declared = method.get("requestParameters") or {}
    for name in declared:
        if not _PARAMETER.fullmatch(f"{name}"):
            yield _mapping(f"Invalid mapping expression specified: {name}")
    integration = method.get("methodIntegration") or {}
    for name, source in (integration.get("requestParameters") or {}).items():
        if not _MAPPED.fullmatch(f"{name}"):
            yield _mapping(f"Invalid mapping expression specified: {name}")
        place = re.sub(r"^(method\.request\.)multivalue", r"\1", f"{source}")
        if _PARAMETER.fullmatch(place) and place not in declared:
            yield _mapping(f"Invalid mapping expression parameter specified: {source}")


_OFFSETS = {"DAY": 0, "WEEK": 6, "MONTH": 27}


def usage_plan(api: str, record: Record, others: list[Record], given: set[str]) -> Problem | None:
    """A usage plan: its throttles and its quota."""
    throttles = [record.get("throttle") or {}]
    for one in record.get("apiStages") or []:
        throttles += (one.get("throttle") or {}).values() if isinstance(one, dict) else []
    for throttle in throttles:
        if problem := limits(throttle.get("rateLimit"), throttle.get("burstLimit")):
            return problem
    quota = record.get("quota") or {}
    if not quota:
        return None
    period, offset, limit = quota.get("period"), int(quota.get("offset") or 0), int(quota.get("limit") or 0)
    if period not in _OFFSETS:
        return bad(f"Usage Plan quota period {period} must be one of {', '.join(_OFFSETS)}")
    if not 0 <= offset <= _OFFSETS[period]:
        allowed = f"between 0 and {_OFFSETS[period]}" if _OFFSETS[period] else "0"
        return bad(f"Usage Plan quota offset {offset} must be {allowed} in the {period} period")
    return bad(f"Usage Plan quota limit {limit} must not be negative") if limit < 0 else None


def stage(api: str, record: Record, others: list[Record], given: set[str]) -> Problem | None:
    """A stage: its name, deployment, methods' settings, cache and access log."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", str(record.get("stageName"))):
        return bad("Stage name only allows a-zA-Z0-9_-")
    if record.get("deploymentId") not in apigateway_v1._deployments_v1.get(api, {}):
        return bad("Deployment id does not exist")
    size = record.get("cacheClusterSize")
    if size is not None and str(size) not in _SIZES:
        return bad(
            f"Invalid cache cluster size {size}: it must be one of {', '.join(sorted(_SIZES, key=float))}"
        )
    logs = bool((record.get("accessLogSettings") or {}).get("destinationArn"))
    for settings in (record.get("methodSettings") or {}).values():
        logs = logs or settings.get("loggingLevel") in ("INFO", "ERROR")
        ttl = settings.get("cacheTtlInSeconds")
        if ttl is not None and int(ttl) not in TTL:
            return bad(f"Invalid cache ttl value {ttl}: it must be between 0 and 3600")
        rate, burst = settings.get("throttlingRateLimit"), settings.get("throttlingBurstLimit")
        if not _is_unlimited(rate, burst) and (problem := limits(rate, burst)):
            return problem
    if logs and not (apigateway_v1._account_settings.get("settings") or {}).get("cloudwatchRoleArn"):
        return bad("CloudWatch Logs role ARN must be set in account settings to enable logging")
    return access_log(record)


def _is_unlimited(rate: Any, burst: Any) -> bool:
    """Whether throttling is off: both are -1."""
    return str(rate) in ("-1", "-1.0") and str(burst) == "-1"


def deployment(api: str, record: Record, others: list[Record], given: set[str]) -> Problem | None:
    """A deployment: what it deploys."""
    methods = [
        method
        for resource in apigateway_v1._resources.get(api, {}).values()
        for method in (resource.get("resourceMethods") or {}).values()
    ]
    if not methods:
        return bad("The REST API doesn't contain any methods")
    if any(not method.get("methodIntegration") for method in methods):
        return bad("No integration defined for method")
    return None


def authorizer(api: str, record: Record, others: list[Record], given: set[str]) -> Problem | None:
    """An authorizer: what its type needs."""
    kind, ttl = record.get("type"), record.get("authorizerResultTtlInSeconds")
    source = str(record.get("identitySource") or "") if not given or "identitySource" in given else ""
    if any(other.get("name") == record.get("name") for other in others):
        return bad(
            f"Authorizer name must be unique. Authorizer {record.get('name')} already exists in this RestApi."
        )
    if kind not in _TYPES:
        return bad(f"Invalid authorizer type {kind}: it must be one of {', '.join(sorted(_TYPES))}")
    if ttl is not None and ttl != "" and int(ttl) not in TTL:
        return bad(f"Authorizer result TTL {ttl} must be between 0 and 3600 seconds")
    if kind == "COGNITO_USER_POOLS" and not record.get("providerARNs"):
        return bad("Cognito user pool authorizers need at least one provider ARN")
    if kind in ("TOKEN", "REQUEST") and not record.get("authorizerUri"):
        return bad(f"{kind} authorizers need an authorizer URI")
    if kind != "REQUEST":
        if not re.fullmatch(r"method\.request\.header\.[\w-]+", source):
            return bad(
                "Invalid mapping expression specified: identity source must be method.request.header.NAME"
            )
        return None
    if not source and (ttl is None or int(ttl) > 0):
        return bad("Identity source must be set if authorizer caching is enabled (TTL is greater than 0)")
    for one in filter(None, source.split(",")):
        if not re.match(
            r"(method\.request\.(header|querystring)\.|context\.|stageVariables\.)\S", one.strip()
        ):
            return bad(f"Invalid mapping expression specified: {one.strip()}")
    return None


def model(api: str, record: Record, others: list[Record], given: set[str]) -> Problem | None:
    """A model: its name and schema."""
    if not re.fullmatch(r"[A-Za-z0-9]+", str(record.get("name"))):
        return bad(f"Model name must be alphanumeric: {record.get('name')}")
    import jsonschema  # takes a seventh of a second, and few APIs have models

    try:
        schema = json.loads(record.get("schema") or "{}")
        jsonschema.Draft4Validator.check_schema(schema)
    except ValueError as error:
        return bad(f"Invalid model specified: the schema is not JSON: {error}")
    except jsonschema.SchemaError as error:
        return bad(f"Invalid model specified: Validation Result: warnings : [], errors : [{error.message}]")
    return None
