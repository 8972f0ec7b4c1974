"""What both kinds of API have in common: the function, the limits, and the access log."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from aws_cdk import Annotations, Duration, RemovalPolicy, Token
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk_lambda_patterns.core.aliases import check_no_latest
from cdk_lambda_patterns.core.event_sources import Code, check_function, timeout_of
from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.options import FunctionOptions, LogOptions, NetworkOptions
from cdk_lambda_patterns.core.regions import check_region

# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html: quotas of an account are higher.
_RATE = Limit("API Gateway", 0, 1_000_000, "requests per second", whole=False)
_BURST = Limit("API Gateway", 0, 1_000_000, "requests")

_VARIABLE = re.compile(r"\{[A-Za-z0-9._-]+\+?\}")

# The owner of a function elsewhere has to add it, with the id of the API:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-cross-account-lambda-integrations.html
_REGION = "An API invokes functions of its own Region"

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


def check_path(path: str, literal: re.Pattern[str], allowed: str) -> None:
    """Check the path of a route or method.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html

    Args:
        path: What was given. A token passes.
        literal: What a part that is no variable must match.
        allowed: What that is, in words.

    Raises:
        ValueError: A slash is missing or too many, or a part is malformed or not in its place.
    """
    if Token.is_unresolved(path) or path == "/":
        return
    parts = [part for part in path.split("/") if part]
    right = f"/{'/'.join(parts)}"
    if path != right:
        raise ValueError(
            f"path={path!r}: a path begins with a slash and does not end with one, and no part is empty; "
            f"give {right!r}."
        )
    for part in parts:
        if "{" in part or "}" in part:
            if not _VARIABLE.fullmatch(part):
                raise ValueError(
                    f"path={path!r}: {part!r} is no variable; give one that is a whole part of the path, of "
                    "letters, digits, '.', '_' and '-', such as '{name}' or '{proxy+}'."
                )
        elif not literal.fullmatch(part):
            raise ValueError(f"path={path!r}: {part!r} is not allowed; give {allowed}, or a variable.")
    if any(part.endswith("+}") for part in parts[:-1]):
        raise ValueError(
            f"path={path!r}: a greedy variable stands for all that follows; put it at the end, or leave "
            "its + out."
        )
    for name, count in Counter(variables_of(path)).items():
        if count > 1:
            raise ValueError(f"path={path!r}: {name!r} is there {count} times; name each variable once.")


def variables_of(path: str) -> list[str]:
    """Return the names of the variables of a path."""
    return re.findall(r"{([^{}+]+)\+?}", path)


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


def check_scopes(path: str, scopes: Sequence[str] | None, kind: str) -> None:
    """Check that a route or method with scopes has an authorizer that looks at them.

    Raises:
        ValueError: Its type of authorization is another one.
    """
    if scopes and kind not in ("JWT", "COGNITO", "COGNITO_USER_POOLS"):
        raise ValueError(
            f"authorization_scopes of {path} with the authorization type {kind}: only tokens of a user pool "
            "or of another issuer have scopes; leave them out, or give an authorizer for such tokens."
        )


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
        return existing_function(scope, limit, function)
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


def existing_function(scope: Construct, limit: Limit, function: lambda_.IFunction) -> lambda_.IFunction:
    """Return a function that exists, if the API may invoke it; warn if its timeout is unknown.

    Raises:
        ValueError: It is in another Region, or the version ``$LATEST``.
    """
    check_no_latest(function)
    check_region(scope, _REGION, {"function": function})  # the CDK warns of another account
    if timeout_of(function) is None:
        Annotations.of(scope).add_warning_v2(
            "cdk-lambda-patterns:apiTimeout",
            f"{function.node.path} is imported, so its timeout is unknown here; {limit.service} answers "
            f"after {limit.high:g} seconds without waiting longer. Make sure that the function's timeout "
            "is not longer.",
        )
    return function


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
