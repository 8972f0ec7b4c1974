"""HTTP request → API Gateway REST API → Lambda.

Use it where an HTTP API is not enough: API keys with quotas, validation of requests, a cache, private APIs,
resource policies, AWS WAF, X-Ray. Do not use it only because it is older: it costs about three times as much,
and a function has 29 seconds.
"""

import re
from collections.abc import Sequence
from typing import Any

import jsii
from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct, IConstruct, IValidation

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import Code, timeout_of
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.options import FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import acknowledge, acknowledge_wildcard_in
from cdk_lambda_patterns.web.http_api.parts import (
    access_log_format,
    check_timeout,
    existing_function,
    make_access_log,
    make_function,
    variables_of,
)
from cdk_lambda_patterns.web.http_api.rest_options import (
    Authorization,
    RestApiMethod,
    RestApiOptions,
    check_methods,
)

# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
_TIMEOUT = Limit("a REST API", 1, 29, "seconds")

# https://docs.aws.amazon.com/apigateway/latest/api/API_CreateModel.html
_MODEL_NAME = re.compile(r"[A-Za-z0-9]+")
_IN_KEY = re.compile(r"method\.request\.(header|querystring|path)\.")
# What an authorizer may look at too, since it is the same for all requests that the cache compares.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
_SAME_FOR_ALL = re.compile(r"context\.(apiId|httpMethod|resourcePath|stage)|stageVariables\..+")
# https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonAPIGatewayPushToCloudWatchLogs.html
_LOG_ACTIONS = (
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:DescribeLogGroups",
    "logs:DescribeLogStreams",
    "logs:FilterLogEvents",
    "logs:GetLogEvents",
    "logs:PutLogEvents",
)

_EVERYTHING = (RestApiMethod(path="/"), RestApiMethod(path="/{proxy+}"))


@check_types
class RestApi(Construct):
    """A function behind a REST API, with an access log and X-Ray traces.

    Args:
        authorization: Who may call the API: ``TokenAuthorizer`` or ``RequestAuthorizer`` (a function that
            returns an IAM policy), ``CognitoUserPoolsAuthorizer``, ``AuthorizationType.IAM``; or
            ``AuthorizationType.NONE`` for everybody on the internet.
        code: The folder of a new function's handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        function: An existing function instead, or a version or alias of it.
        function_options: Settings of a new function. Default: 256 MB, 29 seconds.
        network: The VPC that a new function runs in. Default: none of yours.
        methods: Which requests reach the function, or a function of their own; others are answered 403.
            Default: all.
        options: Settings of the API and its stage.
        removal_policy: What happens to the logs when the stack is deleted. Default: they are retained.

    Raises:
        ValueError: The function may run longer than the 29 seconds that the API waits, or an argument is
            missing or contradicts another.

    Attributes:
        api (RestApi): The API of the CDK. Its ``deployment_stage`` is the stage.
        function (IFunction): The function.
        access_log_group (LogGroup): A line of JSON for each request.
        usage_plan (UsagePlan | None): The plan of the API keys. ``api.add_api_key`` makes a key, and
            ``usage_plan.add_api_key`` adds it.

    Example::

        iam_only = apigateway.AuthorizationType.IAM
        partners = RestApi(self, "Partners", code="worker", authorization=iam_only)
        partners.api.metric_server_error().create_alarm(
            self, "Failing", threshold=1, evaluation_periods=3
        )

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-rest-api.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        authorization: Authorization,
        code: Code | None = None,
        handler: str = DEFAULT_HANDLER,
        function: lambda_.IFunction | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        methods: Sequence[RestApiMethod] | None = None,
        options: RestApiOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        check_timeout(_TIMEOUT, code, handler, function, function_options, network)
        methods, options = _EVERYTHING if methods is None else methods, options or RestApiOptions()
        check_methods(authorization, methods, options)
        super().__init__(scope, id)
        self.function = make_function(
            self, _TIMEOUT, code, handler, function, function_options, network, removal_policy
        )
        self.access_log_group: logs.LogGroup = make_access_log(self, options.logs, removal_policy)
        self.api = self._make_api(methods, options)
        self._validator: apigateway.RequestValidator | None = None
        self._named_models: dict[str, tuple[apigateway.JsonSchema, apigateway.Model]] = {}
        for method in methods:
            self._add(method, method.authorization or authorization)
        if self._validator is None:
            reason = "No method has request_models or required request_parameters: the function validates."
            acknowledge(self.api, {"AwsSolutions-APIG2": reason})
        self._add_gateway_responses(options)
        self.usage_plan: apigateway.UsagePlan | None = None
        if options.usage_plan is not None:
            self.usage_plan = self.api.add_usage_plan(
                "UsagePlan",
                name=options.usage_plan.name,
                description=options.usage_plan.description,
                quota=options.usage_plan.quota,
                throttle=options.usage_plan.throttle,
                api_stages=[apigateway.UsagePlanPerApiStage(stage=self.api.deployment_stage)],
            )

    @property
    def url(self) -> str:
        """The URL of the API, with the name of the stage and a slash at its end."""
        return self.api.url

    def _make_api(self, methods: Sequence[RestApiMethod], options: RestApiOptions) -> apigateway.RestApi:
        throttle = options.throttle or apigateway.ThrottleSettings()
        api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=options.rest_api_name,
            cloud_watch_role=options.cloud_watch_role,
            default_cors_preflight_options=options.default_cors_preflight_options,
            binary_media_types=options.binary_media_types,
            min_compression_size=options.min_compression_size,
            endpoint_configuration=options.endpoint_configuration,
            deploy_options=apigateway.StageOptions(
                stage_name=options.stage_name,
                throttling_rate_limit=throttle.rate_limit,
                throttling_burst_limit=throttle.burst_limit,
                cache_cluster_size=options.cache_cluster_size,
                tracing_enabled=True,
                access_log_destination=apigateway.LogGroupLogDestination(self.access_log_group),
                access_log_format=apigateway.AccessLogFormat.custom(
                    access_log_format(resourcePath="resourcePath", apiKeyId="identity.apiKeyId")
                ),
                method_options={
                    f"{method.path}/{http_method}": _settings(method, throttle)
                    for method in methods
                    for http_method in method.http_methods
                    if method.throttle is not None or method.cache_ttl is not None
                },
            ),
        )
        acknowledge(
            api.deployment_stage,
            {
                "AwsSolutions-APIG3": "A web ACL costs by the month and fits one application.",
                "AwsSolutions-APIG6": "The access log has the errors; a log of executions is never deleted.",
            },
        )
        endpoint = options.endpoint_configuration
        if endpoint is not None and apigateway.EndpointType.PRIVATE in endpoint.types:
            api.node.add_validation(_HasResourcePolicy(api))
        if options.cloud_watch_role:
            _write_out_role(api.node.find_child("CloudWatchRole"))
        return api

    def _add(self, method: RestApiMethod, authorization: Authorization) -> None:
        parameters, keys = dict(method.request_parameters or {}), None
        if method.cache_ttl is not None:
            path = [f"method.request.path.{name}" for name in variables_of(method.path)]
            for key in (*path, *_callers(method, authorization)):
                parameters.setdefault(key, key.startswith("method.request.path."))
            keys = list(parameters)
        function = self.function
        if method.function is not None:
            _TIMEOUT.check(f"function.timeout of {method.path}", timeout_of(method.function))
            function = existing_function(self, _TIMEOUT, method.function)
        integration = apigateway.LambdaIntegration(
            function, allow_test_invoke=False, cache_key_parameters=keys
        )
        validated = method.request_models or any((method.request_parameters or {}).values())
        name = f"{method.http_methods[0]} {method.path}"
        models = {
            content_type: self._model(f"{name} {content_type}", schema)
            for content_type, schema in (method.request_models or {}).items()
        }
        responses = [
            apigateway.MethodResponse(
                status_code=status,
                response_models={"application/json": self._model(f"{name} {status}", schema)},
            )
            for status, schema in (method.response_models or {}).items()
        ]
        is_type = isinstance(authorization, apigateway.AuthorizationType)
        who: dict[str, Any] = {"authorization_type" if is_type else "authorizer": authorization}
        for http_method in method.http_methods:
            made = self.api.root.resource_for_path(method.path).add_method(
                http_method,
                integration,
                api_key_required=method.api_key_required or None,
                **who,
                authorization_scopes=method.authorization_scopes,
                request_parameters=parameters or None,
                request_models=models or None,
                operation_name=method.operation_name,
                method_responses=responses or None,
                request_validator=self._request_validator() if validated else None,
            )
            if authorization == apigateway.AuthorizationType.NONE:
                acknowledge(
                    made, {"AwsSolutions-APIG4": "The app opens this method: AuthorizationType.NONE."}
                )
            acknowledge(made, {"AwsSolutions-COG4": "The app chooses who may call the method."})

    def _model(self, id: str, schema: apigateway.JsonSchema) -> apigateway.IModel:
        """Make a model, or return that of the same title.

        Raises:
            ValueError: Another schema has this title.
        """
        title = schema.title
        if title is None or not _MODEL_NAME.fullmatch(title):
            return self.api.add_model(id, schema=schema)
        if title not in self._named_models:
            model = self.api.add_model(f"Model {title}", model_name=title, schema=schema)
            self._named_models[title] = schema, model
        known, model = self._named_models[title]
        if known != schema:
            raise ValueError(
                f"{id}: another schema of this API has the title {title!r}, and models are named by it; give "
                "each schema a title of its own."
            )
        return model

    def _request_validator(self) -> apigateway.RequestValidator:
        """Return the validator of the API, which is made for the first method that needs it."""
        if self._validator is None:
            self._validator = self.api.add_request_validator(
                "Validator", validate_request_body=True, validate_request_parameters=True
            )
        return self._validator

    def _add_gateway_responses(self, options: RestApiOptions) -> None:
        given = {response.type.response_type: response for response in options.gateway_responses}
        cors = options.default_cors_preflight_options
        if cors is not None and len(cors.allow_origins) == 1:
            # Without these headers, a page of another origin cannot read which error it got.
            headers = {"Access-Control-Allow-Origin": f"'{cors.allow_origins[0]}'"}
            if cors.allow_credentials:
                headers["Access-Control-Allow-Credentials"] = "'true'"
            for errors in (apigateway.ResponseType.DEFAULT_4_XX, apigateway.ResponseType.DEFAULT_5_XX):
                response = apigateway.GatewayResponseOptions(type=errors, response_headers=headers)
                given.setdefault(errors.response_type, response)
        for name, response in given.items():
            self.api.add_gateway_response(
                name,
                type=response.type,
                status_code=response.status_code,
                response_headers=response.response_headers,
                templates=response.templates,
            )


@jsii.implements(IValidation)
class _HasResourcePolicy:
    """Says when the app is synthesised that a private API has no resource policy, which may be added late.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-private-apis.html
    """

    def __init__(self, api: apigateway.RestApi) -> None:
        self._api = api

    def validate(self) -> list[str]:
        """Return the error, if there is one. The CDK calls this."""
        resource = self._api.node.default_child
        if not isinstance(resource, apigateway.CfnRestApi) or Stack.of(resource).resolve(resource.policy):
            return []
        return [
            "endpoint_configuration with EndpointType.PRIVATE: API Gateway deploys no private API without a "
            "resource policy; say who may call with api.add_to_resource_policy(...)."
        ]


def _write_out_role(role: IConstruct) -> None:
    """Replace the AWS-managed policy of API Gateway's role by the same statement.

    It is part of the role itself: API Gateway tests the role as soon as it gets it.
    """
    resource = role.node.default_child
    assert isinstance(resource, iam.CfnRole)
    resource.managed_policy_arns = None
    statement = iam.PolicyStatement(actions=list(_LOG_ACTIONS), resources=["*"])
    document = iam.PolicyDocument(statements=[statement])
    resource.policies = [iam.CfnRole.PolicyProperty(policy_name="Logs", policy_document=document)]
    reason = "API Gateway asks for these actions, and writes the logs of all REST APIs of the account."
    acknowledge_wildcard_in(role, "*", reason)


def _settings(
    method: RestApiMethod, throttle: apigateway.ThrottleSettings
) -> apigateway.MethodDeploymentOptions:
    """Settings of a method. They replace those of the stage, so that they repeat its limits."""
    limits = method.throttle or throttle
    is_cached = method.cache_ttl is not None
    return apigateway.MethodDeploymentOptions(
        throttling_rate_limit=limits.rate_limit,
        throttling_burst_limit=limits.burst_limit,
        caching_enabled=is_cached or None,
        cache_ttl=method.cache_ttl,
        cache_data_encrypted=is_cached or None,
    )


def _callers(method: RestApiMethod, authorization: Authorization) -> list[str]:
    """Return the parameters that tell one caller from another, for the key of the cache.

    Without them, a caller would get the response that another one was authorized for.

    Raises:
        ValueError: The authorizer identifies callers by nothing that a key can hold.
    """
    keys = ["method.request.header.x-api-key"] if method.api_key_required else []
    if isinstance(authorization, apigateway.AuthorizationType):
        return keys
    child = authorization.node.default_child if isinstance(authorization, apigateway.Authorizer) else None
    given = child.identity_source if isinstance(child, apigateway.CfnAuthorizer) else None
    sources = [source.strip() for source in (given or "").split(",") if source]
    found = [source for source in sources if _IN_KEY.match(source)]
    if not found or not all(_IN_KEY.match(one) or _SAME_FOR_ALL.fullmatch(one) for one in sources):
        known = f"identifies callers by {sources}" if sources else "does not say how it identifies callers"
        raise ValueError(
            f"cache_ttl of {method.path}: its authorizer {known}, and the key of the cache holds only "
            "headers, query strings and paths; leave cache_ttl out, or give the authorizer "
            "IdentitySource.header(...) or IdentitySource.query_string(...) and nothing else."
        )
    return [*keys, *found]
