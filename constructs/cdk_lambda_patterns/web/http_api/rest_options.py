"""Options of a REST API, of its methods and its stage, and which of them contradict each other."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from aws_cdk import Duration, Size, Token
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.limits import Limit, check_choice
from cdk_lambda_patterns.core.options import LogOptions
from cdk_lambda_patterns.web.cors import check_headers, check_origins
from cdk_lambda_patterns.web.http_api.parts import check_once, check_path, check_scopes, check_throttle

Authorization: TypeAlias = apigateway.IAuthorizer | apigateway.AuthorizationType

# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-caching.html
_CACHE_TTL = Limit("API Gateway", 1, 3600, "seconds")
# https://docs.aws.amazon.com/apigateway/latest/api/API_CreateStage.html
_STAGE = re.compile(r"[A-Za-z0-9_-]{1,128}")
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-openapi-minimum-compression-size.html
_COMPRESSION = Limit("API Gateway", 0, 10, "MiB", whole=False)
# https://docs.aws.amazon.com/apigateway/latest/api/API_QuotaSettings.html: 32-bit integers. The offsets are
# as in internal/service/apigateway/validate.go of https://github.com/hashicorp/terraform-provider-aws.
_QUOTA = Limit("API Gateway", 1, 2**31 - 1, "requests")
_OFFSETS = {
    period: Limit(f"API Gateway with the period {period}", 0, high)
    for period, high in (("DAY", 0), ("WEEK", 6), ("MONTH", 27))
}
_HTTP_METHODS = ("ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
# https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.aws_apigateway.Resource.html
_PART = re.compile(r"[A-Za-z0-9._:$-]+")
_PARAMETER = re.compile(r"method\.request\.(header|querystring|path)\.\S+")
# https://docs.aws.amazon.com/apigateway/latest/api/API_PutMethodResponse.html
_STATUS = re.compile(r"[1-5]\d\d")
_CACHE_SIZES = ("0.5", "1.6", "6.1", "13.5", "28.4", "58.2", "118", "237")


@check_types
@dataclass(frozen=True, kw_only=True)
class RestApiMethod:
    """Requests that the API sends to the function.

    Args:
        path: The path, such as ``/notes/{name}``; ``{proxy+}`` at the end stands for all that follows.
        http_methods: The methods, such as ``("GET", "PUT")``. Default: any.
        authorization: Who may call this method. Default: as the API says. ``AuthorizationType.NONE`` opens
            it.
        authorization_scopes: The scopes of which an access token of Cognito needs one.
        api_key_required: Whether a request needs an API key of the usage plan. That limits and counts the
            requests of a caller; it is no authorization.
        request_models: The JSON schema of the body by content type. API Gateway does not validate a body of
            a content type that is not here; ``$default`` stands for all. A schema with a ``title`` of letters
            and digits becomes a model of this name, which all methods of the API share.
        request_parameters: Whether a parameter is required, by its name, such as
            ``method.request.querystring.tag``.
        throttle: Limits of this method. Default: those of the stage.
        cache_ttl: How long the stage caches a response, 1 to 3,600 seconds. The key has the parameters of
            the path, all ``request_parameters``, and what the authorizer identifies the caller by. Other
            parameters must not change the response. Only for GET. Default: not at all.
        function: The function that answers these requests: an existing one, or a version or alias of it.
            Default: that of the API.
        operation_name: The ``operationId`` in the OpenAPI document that API Gateway exports, from which
            generated clients name their functions. Only for one method; unique in the API.
        response_models: The JSON schema of the body by status code, such as ``"200"``, for the same document.
            API Gateway compares no response with it.

    Raises:
        ValueError: A value is not allowed, or contradicts another.

    Example::

        RestApiMethod(path="/notes/{name}", http_methods=("GET",), cache_ttl=Duration.minutes(1))
    """

    path: str
    http_methods: Sequence[str] = ("ANY",)
    authorization: Authorization | None = None
    authorization_scopes: Sequence[str] | None = None
    api_key_required: bool = False
    request_models: Mapping[str, apigateway.JsonSchema] | None = None
    request_parameters: Mapping[str, bool] | None = None
    throttle: apigateway.ThrottleSettings | None = None
    cache_ttl: Duration | None = None
    function: lambda_.IFunction | None = None
    operation_name: str | None = None
    response_models: Mapping[str, apigateway.JsonSchema] | None = None

    def __post_init__(self) -> None:
        if Token.is_unresolved(self.path):
            raise ValueError(
                "path: a REST API has a resource for each part of a path, so that it must be known before "
                "the deployment; give a plain string."
            )
        check_path(self.path, _PART, "letters, digits, '.', '_', '-', ':' and '$'")
        for method in self.http_methods:
            check_choice("http_methods", method, _HTTP_METHODS)
        for name in self.request_parameters or {}:
            if not _PARAMETER.fullmatch(name):
                raise ValueError(
                    f"request_parameters={name!r}: give method.request.header.NAME, "
                    "method.request.querystring.NAME or method.request.path.NAME."
                )
        if not self.http_methods:
            raise ValueError("http_methods=(): no request would match; leave http_methods out for any.")
        if self.throttle is not None:
            check_throttle("throttle", self.throttle.rate_limit, self.throttle.burst_limit)
        _CACHE_TTL.check("cache_ttl", self.cache_ttl)
        if self.cache_ttl is not None and tuple(self.http_methods) != ("GET",):
            raise ValueError(
                f"cache_ttl with http_methods={tuple(self.http_methods)}: what the cache answers "
                "never reaches the function; give http_methods=('GET',)."
            )
        if self.operation_name is not None and (len(self.http_methods) > 1 or "ANY" in self.http_methods):
            raise ValueError(
                f"operation_name={self.operation_name!r} with http_methods={tuple(self.http_methods)}: it is "
                "the name of one operation; give a RestApiMethod for each method."
            )
        for status in self.response_models or {}:
            if not _STATUS.fullmatch(status):
                raise ValueError(
                    f"response_models={status!r}: give the status code of the response, such as '200'."
                )


@check_types
@dataclass(frozen=True, kw_only=True)
class RestApiOptions:
    """Settings of the API and its stage.

    Args:
        rest_api_name: The name of the API in the console, and the title of the OpenAPI document that API
            Gateway exports. Default: ``Api``.
        stage_name: The name of the stage, the first part of each path.
        default_cors_preflight_options: Which pages of other origins may call the API. Preflight requests of
            browsers are answered without authorization and without the function. If there is one origin,
            errors of API Gateway carry its headers too. Default: none.
        throttle: Limits of each method. Default: only the quota of the account in the Region.
        usage_plan: Limits of each API key, for the methods with ``api_key_required``.
        cache_cluster_size: Memory of the cache in GB, ``"0.5"`` to ``"237"``. It costs by the hour. Default:
            ``"0.5"``, if a method has a ``cache_ttl``.
        gateway_responses: What API Gateway answers by itself, by the type of the error.
        binary_media_types: Media types of bodies that are not text.
        min_compression_size: From which size on responses are compressed for clients that accept it.
        endpoint_configuration: Regional, private, or optimized for edges. A private API needs a resource
            policy: ``api.add_to_resource_policy``. Default: as in the CDK.
        cloud_watch_role: Whether the stack gives API Gateway the role with which it writes logs. An account
            needs one in each Region, for all of its REST APIs; without it the deployment fails.
        logs: Settings of the access log.

    Raises:
        ValueError: A value is not allowed.

    Example::

        RestApiOptions(throttle=apigateway.ThrottleSettings(rate_limit=100, burst_limit=50))
    """

    rest_api_name: str | None = None
    stage_name: str = "prod"
    default_cors_preflight_options: apigateway.CorsOptions | None = None
    throttle: apigateway.ThrottleSettings | None = None
    usage_plan: apigateway.UsagePlanProps | None = None
    cache_cluster_size: str | None = None
    gateway_responses: Sequence[apigateway.GatewayResponseOptions] = ()
    binary_media_types: Sequence[str] | None = None
    min_compression_size: Size | None = None
    endpoint_configuration: apigateway.EndpointConfiguration | None = None
    cloud_watch_role: bool = False
    logs: LogOptions | None = None

    def __post_init__(self) -> None:
        if self.throttle is not None:
            check_throttle("throttle", self.throttle.rate_limit, self.throttle.burst_limit)
        if not _STAGE.fullmatch(self.stage_name) and not Token.is_unresolved(self.stage_name):
            raise ValueError(
                f"stage_name={self.stage_name!r}: API Gateway allows 1 to 128 letters, digits, hyphens and "
                "underscores; choose such a name."
            )
        cors = self.default_cors_preflight_options
        if cors is not None:
            name = "default_cors_preflight_options"
            check_origins(f"{name}.allow_origins", cors.allow_origins, cors.allow_credentials)
            check_headers(f"{name}.allow_headers", cors.allow_headers)
            check_headers(f"{name}.expose_headers", cors.expose_headers)
            if "*" in cors.allow_origins and len(cors.allow_origins) > 1:
                raise ValueError(
                    f"{name}.allow_origins={list(cors.allow_origins)}: '*' admits every page; leave the "
                    "others out, or leave '*' out."
                )
        if self.usage_plan is not None:
            _check_usage_plan(self.usage_plan)
        _COMPRESSION.check("min_compression_size", self.min_compression_size)
        if self.cache_cluster_size is not None:
            check_choice("cache_cluster_size", self.cache_cluster_size, _CACHE_SIZES)


def _check_usage_plan(plan: apigateway.UsagePlanProps) -> None:
    if plan.throttle is not None:
        check_throttle("usage_plan.throttle", plan.throttle.rate_limit, plan.throttle.burst_limit)
    if plan.api_stages:
        raise ValueError(
            "usage_plan.api_stages: the plan is for the stage of this API; leave api_stages out, and add "
            "others with usage_plan.add_api_stage(...) of the construct."
        )
    quota = plan.quota
    if quota is None:
        return
    if quota.limit is None or quota.period is None:
        missing = "limit" if quota.limit is None else "period"
        raise ValueError(f"usage_plan.quota without {missing}: a quota has a number and a period; give both.")
    _QUOTA.check("usage_plan.quota.limit", quota.limit)
    _OFFSETS[quota.period.name].check("usage_plan.quota.offset", quota.offset)


def check_methods(
    authorization: Authorization, methods: Sequence[RestApiMethod], options: RestApiOptions
) -> None:
    """Check what the methods of an API say together with it.

    Raises:
        ValueError: They contradict each other.
    """
    if not methods:
        raise ValueError("methods=(): no request would reach the function; leave methods out for all.")
    _check_siblings([method.path for method in methods])
    for method in (None, *methods):
        given = authorization if method is None else method.authorization
        if given in (apigateway.AuthorizationType.CUSTOM, apigateway.AuthorizationType.COGNITO):
            raise ValueError(
                f"authorization=AuthorizationType.{given.name}: give the authorizer itself, such as "
                "TokenAuthorizer(...) or CognitoUserPoolsAuthorizer(...)."
            )
        is_iam = (given or authorization) == apigateway.AuthorizationType.IAM
        if method is not None and method.cache_ttl is not None and is_iam:
            raise ValueError(
                f"cache_ttl of {method.path} with AuthorizationType.IAM: the key of the cache cannot hold "
                "the caller, whose signature differs each time, so that a caller would get the response of "
                "another one; leave cache_ttl out, or give an authorizer."
            )
        if method is not None:
            who = given or authorization
            kind = who if isinstance(who, apigateway.AuthorizationType) else who.authorization_type
            check_scopes(method.path, method.authorization_scopes, kind.name if kind else "COGNITO")
        if method is not None and "OPTIONS" in method.http_methods and options.default_cors_preflight_options:
            raise ValueError(
                f"http_methods of {method.path} with 'OPTIONS' and default_cors_preflight_options: API "
                "Gateway answers these requests itself; leave one of the two out."
            )
    check_once(f"{one} {method.path}" for method in methods for one in method.http_methods)
    check_once(method.operation_name for method in methods if method.operation_name is not None)
    with_key = [method.path for method in methods if method.api_key_required]
    if with_key and options.usage_plan is None:
        raise ValueError(
            f"api_key_required of {with_key[0]} without options.usage_plan: API Gateway accepts only keys of "
            "a usage plan; give usage_plan=UsagePlanProps(...) with its throttle and quota."
        )
    if options.usage_plan is not None and not with_key:
        raise ValueError(
            "options.usage_plan without a method that has api_key_required: it would limit nothing; give "
            "RestApiMethod(api_key_required=True)."
        )
    if options.cache_cluster_size is not None and all(method.cache_ttl is None for method in methods):
        raise ValueError(
            f"cache_cluster_size={options.cache_cluster_size!r} without a method that has cache_ttl: the "
            "cache would cost by the hour and hold nothing; give RestApiMethod(cache_ttl=...)."
        )


def _check_siblings(paths: Sequence[str]) -> None:
    """Check that only one variable is in each place.

    https://docs.aws.amazon.com/apigateway/latest/api/API_CreateResource.html
    """
    known: dict[str, tuple[str, str]] = {}
    for path in paths:
        before = ""
        for part in path.split("/")[1:]:
            if part.startswith("{"):
                other, where = known.setdefault(before, (part, path))
                if other != part:
                    raise ValueError(
                        f"path={path!r}: {part} is in the place of {other} in {where!r}, and a REST API has "
                        "one variable in a place; give both the same name, or use HttpApi."
                    )
            before += f"/{part}"
