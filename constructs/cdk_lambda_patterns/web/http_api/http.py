"""HTTP request → API Gateway HTTP API → Lambda.

Use it for an API in front of a function: it costs about a third of a REST API, and verifies the tokens of
Cognito and any other OpenID Connect issuer by itself. Do not use it for API keys, request validation, a cache
or private APIs (use ``RestApi``), for a function that takes longer than 30 seconds, or to stream a response
(use a function URL).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from aws_cdk import RemovalPolicy
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk.aws_apigatewayv2_integrations import HttpLambdaIntegration
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.options import FunctionOptions, LogOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import acknowledge
from cdk_lambda_patterns.web.cors import check_headers, check_origins
from cdk_lambda_patterns.web.http_api.parts import (
    access_log_format,
    check_once,
    check_path,
    check_scopes,
    check_throttle,
    check_timeout,
    make_access_log,
    make_function,
)

# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
_TIMEOUT = Limit("an HTTP API", 1, 30, "seconds")

# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
_ORIGINS = ("*", "https://*", "http://*")
_MAX_AGE = Limit("API Gateway", 0, 86_400, "seconds")
_PART = re.compile(r"[^\s?#{}]+")

_ANY: Final = apigatewayv2.HttpMethod.ANY
_ALL_BUT_OPTIONS: Final = (
    apigatewayv2.HttpMethod.DELETE,
    apigatewayv2.HttpMethod.GET,
    apigatewayv2.HttpMethod.HEAD,
    apigatewayv2.HttpMethod.PATCH,
    apigatewayv2.HttpMethod.POST,
    apigatewayv2.HttpMethod.PUT,
)


@check_types
@dataclass(frozen=True, kw_only=True)
class HttpApiRoute:
    """Requests that the API sends to the function.

    Args:
        path: The path, such as ``/notes/{name}``; ``{proxy+}`` at the end stands for all that follows.
        methods: The methods. Default: any.
        authorization: Who may call this route. Default: as the API says. ``HttpNoneAuthorizer()`` opens it.
        authorization_scopes: The scopes of which an access token needs one.
        throttle: Limits of this route. Default: those of the stage.

    Raises:
        ValueError: The path is malformed, there is no method, or a limit is not allowed.

    Example::

        HttpApiRoute(path="/notes/{name}", methods=(apigatewayv2.HttpMethod.GET,))
    """

    path: str
    methods: Sequence[apigatewayv2.HttpMethod] = (_ANY,)
    authorization: apigatewayv2.IHttpRouteAuthorizer | None = None
    authorization_scopes: Sequence[str] | None = None
    throttle: apigatewayv2.ThrottleSettings | None = None

    def __post_init__(self) -> None:
        check_path(self.path, _PART, "no space, question mark or number sign")
        if not self.methods:
            raise ValueError("methods=(): the route would match no request; leave methods out for any.")
        if self.throttle is not None:
            check_throttle("throttle", self.throttle.rate_limit, self.throttle.burst_limit)


@check_types
@dataclass(frozen=True, kw_only=True)
class HttpApiOptions:
    """Settings of the API and its stage.

    Args:
        cors_preflight: Which pages of other origins may call the API. API Gateway answers the preflight
            requests of browsers itself, without authorization. Default: none.
        throttle: Limits of each route. Default: only the quota of the account in the Region.
        payload_format_version: Version of the event. Default: 2.0.
        default_domain_mapping: A custom domain name for the API.
        disable_execute_api_endpoint: Whether the API has only its custom domain name.
        detailed_metrics_enabled: Whether CloudWatch has metrics for each route, at a price.
        logs: Settings of the access log.

    Raises:
        ValueError: A limit is not allowed.

    Example::

        HttpApiOptions(throttle=apigatewayv2.ThrottleSettings(rate_limit=100, burst_limit=50))
    """

    cors_preflight: apigatewayv2.CorsPreflightOptions | None = None
    throttle: apigatewayv2.ThrottleSettings | None = None
    payload_format_version: apigatewayv2.PayloadFormatVersion | None = None
    default_domain_mapping: apigatewayv2.DomainMappingOptions | None = None
    disable_execute_api_endpoint: bool = False
    detailed_metrics_enabled: bool = False
    logs: LogOptions | None = None

    def __post_init__(self) -> None:
        if self.throttle is not None:
            check_throttle("throttle", self.throttle.rate_limit, self.throttle.burst_limit)
        if (cors := self.cors_preflight) is not None:
            origins, credentials = cors.allow_origins, cors.allow_credentials
            check_origins("cors_preflight.allow_origins", origins, credentials, patterns=_ORIGINS)
            check_headers("cors_preflight.allow_headers", cors.allow_headers)
            check_headers("cors_preflight.expose_headers", cors.expose_headers)
            _MAX_AGE.check("cors_preflight.max_age", cors.max_age)


@check_types
class HttpApi(Construct):
    """A function behind an HTTP API, with an access log.

    Args:
        authorization: Who may call the API: ``HttpUserPoolAuthorizer`` (tokens of a Cognito user pool),
            ``HttpJwtAuthorizer`` (of any issuer), ``HttpLambdaAuthorizer``, ``HttpIamAuthorizer``; or
            ``HttpNoneAuthorizer()`` for everybody on the internet.
        code: The folder of a new function's handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        function: An existing function instead, or a version or alias of it.
        function_options: Settings of a new function. Default: 256 MB, 30 seconds.
        network: The VPC that a new function runs in. Default: none of yours.
        routes: Which requests reach the function; others are answered 404. Default: all.
        options: Settings of the API and its stage.
        removal_policy: What happens to the logs when the stack is deleted. Default: they are retained.

    Raises:
        ValueError: The function may run longer than the 30 seconds that the API waits, or an argument is
            missing or contradicts another.

    Attributes:
        api (HttpApi): The API of the CDK.
        stage (HttpStage): Its stage ``$default``.
        function (IFunction): The function.
        access_log_group (LogGroup): A line of JSON for each request.

    Example::

        from aws_cdk import aws_cognito as cognito
        from aws_cdk.aws_apigatewayv2_authorizers import HttpUserPoolAuthorizer

        users = HttpUserPoolAuthorizer("Users", cognito.UserPool(self, "Users"))
        notes = HttpApi(self, "Notes", code="worker", authorization=users)
        notes.api.metric_server_error().create_alarm(
            self, "Failing", threshold=1, evaluation_periods=3
        )

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        authorization: Annotated[apigatewayv2.IHttpRouteAuthorizer, "has a reason of its own"],
        code: Code | None = None,
        handler: str = DEFAULT_HANDLER,
        function: lambda_.IFunction | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        routes: Sequence[HttpApiRoute] | None = None,
        options: HttpApiOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        if not hasattr(authorization, "bind") or isinstance(authorization, type):
            raise ValueError(
                f"authorization={authorization!r}: give an authorizer, such as HttpUserPoolAuthorizer(...), "
                "or HttpNoneAuthorizer() for an API that everybody on the internet may call."
            )
        check_timeout(_TIMEOUT, code, handler, function, function_options, network)
        options = options or HttpApiOptions()
        everything = (HttpApiRoute(path="/"), HttpApiRoute(path="/{proxy+}"))
        routes = everything if routes is None else routes
        named = [f"{method.value} {route.path}" for route in routes for method in route.methods]
        _check_routes(authorization, routes, named)
        super().__init__(scope, id)
        self.function = make_function(
            self, _TIMEOUT, code, handler, function, function_options, network, removal_policy
        )
        self.api = apigatewayv2.HttpApi(
            self,
            "Api",
            create_default_stage=False,
            cors_preflight=options.cors_preflight,
            default_authorizer=authorization,
            disable_execute_api_endpoint=options.disable_execute_api_endpoint or None,
        )
        self.access_log_group: logs.LogGroup = make_access_log(self, options.logs, removal_policy)
        self.stage = apigatewayv2.HttpStage(
            self,
            "Stage",
            http_api=self.api,
            auto_deploy=True,
            throttle=options.throttle,
            detailed_metrics_enabled=options.detailed_metrics_enabled or None,
            domain_mapping=options.default_domain_mapping,
        )
        integration = HttpLambdaIntegration(
            "Integration", self.function, payload_format_version=options.payload_format_version
        )
        throttles: dict[str, Mapping[str, float | None]] = {}
        for route in routes:
            authorizer = route.authorization or authorization
            is_open = isinstance(authorizer, apigatewayv2.HttpNoneAuthorizer)
            methods = route.methods
            if _ANY in methods and options.cors_preflight is not None and not is_open:
                # Otherwise the route takes the preflight requests, which have no token, and refuses them.
                # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
                others = set(named) - {f"{method.value} {route.path}" for method in methods}
                methods = [one for one in _ALL_BUT_OPTIONS if f"{one.value} {route.path}" not in others]
            self._add(route, methods, authorizer, integration)
            if route.throttle is not None:
                setting = {
                    "ThrottlingRateLimit": route.throttle.rate_limit,
                    "ThrottlingBurstLimit": route.throttle.burst_limit,
                }
                throttles |= {f"{method.value} {route.path}": setting for method in methods}
        self._configure_stage(throttles)

    @property
    def url(self) -> str:
        """The URL of the API, with a slash at its end."""
        return self.stage.url

    def _add(
        self,
        route: HttpApiRoute,
        methods: Sequence[apigatewayv2.HttpMethod],
        authorizer: apigatewayv2.IHttpRouteAuthorizer,
        integration: HttpLambdaIntegration,
    ) -> None:
        made = self.api.add_routes(
            path=route.path,
            methods=list(methods),
            integration=integration,
            authorizer=authorizer,
            authorization_scopes=route.authorization_scopes,
        )
        for one in made:
            if isinstance(authorizer, apigatewayv2.HttpNoneAuthorizer):
                acknowledge(one, {"AwsSolutions-APIG4": "The app opens this route with HttpNoneAuthorizer."})
            if route.throttle is not None:  # API Gateway refuses settings of a route that does not exist yet
                self.stage.node.add_dependency(one)

    def _configure_stage(self, throttles: Mapping[str, Mapping[str, float | None]]) -> None:
        """Set what the CDK's stage has no arguments for."""
        resource = self.stage.node.default_child
        assert isinstance(resource, apigatewayv2.CfnStage)
        destination = apigatewayv2.LogGroupLogDestination(self.access_log_group).bind(self.stage)
        resource.access_log_settings = apigatewayv2.CfnStage.AccessLogSettingsProperty(
            destination_arn=destination.destination_arn,
            format=access_log_format(routeKey="routeKey", subject="authorizer.claims.sub"),
        )
        if throttles:
            resource.route_settings = throttles


def _check_routes(
    authorization: apigatewayv2.IHttpRouteAuthorizer, routes: Sequence[HttpApiRoute], named: Sequence[str]
) -> None:
    """Check what the routes of an API say together with it.

    Raises:
        ValueError: There is none, or they contradict each other.
    """
    if not routes:
        raise ValueError("routes=(): no request would reach the function; leave routes out for all.")
    check_once(named)
    known: dict[str, str] = {}
    for name in named:
        other = known.setdefault(re.sub(r"{[^{}+]+(\+?)}", r"{\1}", name), name)
        if other != name:
            raise ValueError(
                f"{name} and {other}: a request that matches one matches the other; leave one of them out."
            )
    for route in routes:
        authorizer = route.authorization or authorization
        kind = getattr(authorizer, "authorization_type", "JWT")  # of one that the app implements, unknown
        check_scopes(route.path, route.authorization_scopes, getattr(kind, "value", kind))
