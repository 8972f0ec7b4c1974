"""What both kinds of API have in common: the function, the limits, and the access log."""

import json
from collections import Counter
from collections.abc import Iterable

from aws_cdk import Annotations, Duration, RemovalPolicy, Token
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk_lambda_patterns.core.event_sources import Code, check_function, timeout_of
from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.options import FunctionOptions, LogOptions, NetworkOptions

# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html: quotas of an account are higher.
_RATE = Limit("API Gateway", 0, 1_000_000, "requests per second", whole=False)
_BURST = Limit("API Gateway", 0, 1_000_000, "requests")

# The fields of both kinds of API.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html
_FIELDS = {
    "requestId": "requestId",
    "requestTime": "requestTime",
    "ip": "identity.sourceIp",
    "httpMethod": "httpMethod",
    "path": "path",
    "status": "status",
    "protocol": "protocol",
    "responseLength": "responseLength",
    "responseLatency": "responseLatency",
    "integrationLatency": "integration.latency",
    "integrationStatus": "integration.status",
    "integrationError": "integration.error",
    "lambdaRequestId": "integration.requestId",
    "authorizerError": "authorizer.error",
    "principal": "authorizer.principalId",
    "caller": "identity.caller",
    "errorType": "error.responseType",
}


def check_path(path: str) -> None:
    """Check the path of a route or method.

    Raises:
        ValueError: It does not begin with a slash, or ends with one.
    """
    if Token.is_unresolved(path) or path == "/":
        return
    right = f"/{path.strip('/')}"
    if path != right:
        raise ValueError(
            f"path={path!r}: a path begins with a slash and does not end with one; give {right!r}."
        )


def check_once(keys: Iterable[str]) -> None:
    """Check that no method of a path is there twice: ``GET /notes``.

    Raises:
        ValueError: One is.
    """
    for key, count in Counter(keys).items():
        if count > 1:
            raise ValueError(f"{key} is there {count} times: an API has one of each; leave the others out.")


def check_throttle(name: str, rate_limit: float | None, burst_limit: float | None) -> None:
    """Check the two limits of a throttle.

    Raises:
        ValueError: API Gateway does not allow a value, or one is missing.
    """
    if rate_limit is None or burst_limit is None:
        missing = "rate_limit" if rate_limit is None else "burst_limit"
        raise ValueError(f"{name} without {missing}: a token bucket has a rate and a size; give both.")
    _RATE.check(f"{name}.rate_limit", rate_limit)
    _BURST.check(f"{name}.burst_limit", burst_limit)


def make_function(
    scope: Construct,
    limit: Limit,
    code: Code | None,
    handler: str,
    function: lambda_.IFunction | None,
    function_options: FunctionOptions | None,
    network: NetworkOptions | None,
    removal_policy: RemovalPolicy,
) -> lambda_.IFunction:
    """Return the function of an API: a new one, or one that exists."""
    if function is not None:
        if timeout_of(function) is None:
            Annotations.of(scope).add_warning_v2(
                "cdk-lambda-patterns:apiTimeout",
                f"{function.node.path} is imported, so its timeout is unknown here. {limit.service} answers "
                f"after {limit.high:g} seconds without waiting longer; make sure that the function's timeout "
                "is not longer.",
            )
        return function
    assert code is not None  # check_timeout has seen that one of both is given
    return HardenedFunction(
        scope,
        "Function",
        code=code,
        handler=handler,
        options=(function_options or FunctionOptions()).with_defaults(timeout=Duration.seconds(limit.high)),
        network=network,
        removal_policy=removal_policy,
    )


def check_timeout(
    limit: Limit,
    code: Code | None,
    handler: str,
    function: lambda_.IFunction | None,
    function_options: FunctionOptions | None,
    network: NetworkOptions | None,
) -> None:
    """Check that there is either code or a function, which does not run longer than the API waits.

    Raises:
        ValueError: There are both or none, or the timeout is too long.
    """
    check_function(function, code, handler, function_options, network)
    if function is not None:
        limit.check("function.timeout", timeout_of(function))
    elif function_options is not None:
        limit.check("function_options.timeout", function_options.timeout)


def make_access_log(
    scope: Construct, options: LogOptions | None, removal_policy: RemovalPolicy
) -> logs.LogGroup:
    """Make the log group for the access log of a stage."""
    options = options or LogOptions()
    return logs.LogGroup(
        scope,
        "AccessLog",
        retention=options.retention,
        encryption_key=options.encryption_key,
        removal_policy=options.removal_policy or removal_policy,
    )


def access_log_format(**more: str) -> str:
    """Return the format of the access log: an object of JSON on each line.

    Args:
        **more: Fields of one kind of API, with the names of their variables.
    """
    return json.dumps({field: f"$context.{variable}" for field, variable in {**_FIELDS, **more}.items()})
