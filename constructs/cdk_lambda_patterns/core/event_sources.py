"""What Lambda's event source mappings have in common, whether they poll a queue or a stream.

The function of a mapping is a new one, or one that exists: also an alias, so that releases shift the traffic
of a consumer like that of any other caller.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from aws_cdk import Annotations, Duration, IResource, RemovalPolicy, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.aliases import is_alias, is_version
from cdk_lambda_patterns.core.event_patterns import check_pattern
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.options import FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import Grantee
from cdk_lambda_patterns.core.regions import check_region
from cdk_lambda_patterns.core.sharing import claim, identity

# https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
BATCH_SIZE = Limit("Lambda", 1, 10_000, whole=True)
MAX_BATCHING_WINDOW = Limit("Lambda", 0, 300, "seconds")
# https://docs.aws.amazon.com/lambda/latest/api/API_Filter.html
_PATTERN = Limit("Lambda", 0, 4_096, "characters")
_FILTERS = Limit("Lambda", 1, 10, "filters")  # 5 by default, and up to 10 on request

Code: TypeAlias = str | os.PathLike[str] | lambda_.Code


def check_filters(filters: Sequence[Mapping[str, Any]] | None) -> None:
    """Check the filters of an event source mapping.

    Args:
        filters: A sequence of what ``lambda_.FilterCriteria.filter`` returns; ``None`` (not given) passes.

    Raises:
        ValueError: There are too many, or one is too long, no JSON object or no valid pattern.
    """
    if filters is None:
        return
    _FILTERS.check("len(filters)", len(filters))
    for number, one in enumerate(filters):
        pattern = one.get("pattern")
        if isinstance(pattern, str) and Token.is_unresolved(pattern):
            continue
        try:
            parsed = json.loads(pattern or "")
        except (TypeError, ValueError):
            parsed = None
        if not isinstance(parsed, dict):
            raise ValueError(
                f"filters[{number}]={str(pattern)[:40]!r}: a pattern is a JSON object; give what "
                "lambda_.FilterCriteria.filter returns."
            )
        _PATTERN.check(f"length of filters[{number}]", len(str(pattern)))
        if parsed:  # an empty one passes every record
            check_pattern(f"filters[{number}]", parsed)


def check_function(
    function: lambda_.IFunction | None,
    code: Code | None,
    handler: str,
    function_options: FunctionOptions | None,
    network: NetworkOptions | None,
) -> Code | lambda_.IFunction:
    """Check that a construct got either the code of a new function, or a function; return which.

    Raises:
        ValueError: It got both or none, or settings of a new function with an existing one.
    """
    if function is None:
        if code is None:
            raise ValueError(
                "code and function are missing; give code for a new function, or function for an existing "
                "function or an alias of it."
            )
        return code
    refuse_settings(
        "function",
        {
            "code": code is not None,
            "handler": handler != DEFAULT_HANDLER,
            "function_options": function_options is not None,
            "network": network is not None,
        },
    )
    return function


def check_place_of_mapping(scope: Construct, source: str, **parts: IResource | None) -> None:
    """Check that a mapping's source is in the Region of the stack, and its function in the account as well.

    https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html

    Args:
        scope: A construct of the stack.
        source: What is read: ``"queues"``.
        **parts: The source by its argument, and ``function``.

    Raises:
        ValueError: One is elsewhere.
    """
    function = {"function": parts.pop("function", None)}
    check_region(scope, f"Lambda reads {source} of its own Region only", {**parts, **function})
    check_region(scope, "A mapping is in the account of its function", function, in_account=True)


def refuse_settings(resource: str, settings: Mapping[str, bool]) -> None:
    """Check that an existing resource was given without settings of a new one.

    Args:
        resource: The argument that names the resource.
        settings: Whether each setting was given.

    Raises:
        ValueError: Settings were given.
    """
    if given := [name for name, is_given in settings.items() if is_given]:
        raise ValueError(
            f"{', '.join(given)} cannot be combined with {resource}; configure the {resource} where it is "
            "made."
        )


def make_reader(
    scope: Construct,
    target: Code | lambda_.IFunction,
    handler: str,
    function_options: FunctionOptions,
    network: NetworkOptions | None,
    removal_policy: RemovalPolicy,
) -> tuple[lambda_.IFunction, Grantee]:
    """Make the function of a mapping unless it exists; return it, and what gets the mapping's permissions.

    The mapping must depend on the latter: Lambda refuses a mapping whose role may not read the source yet.
    An existing function's role gets a policy of its own in ``scope``. A statement in the role's default
    policy would make the function's stack depend on this one, which depends on the function's.
    """
    if isinstance(target, str | os.PathLike | lambda_.Code):
        made = HardenedFunction(
            scope,
            "Function",
            code=target,
            handler=handler,
            options=function_options,
            network=network,
            removal_policy=removal_policy,
        )
        return made, made.execution_role
    role = unqualified(target).role
    if role is None:
        Annotations.of(scope).add_warning_v2(
            "cdk-lambda-patterns:importedFunctionRole",
            f"{target.node.path} is imported without its role. Make sure that the role may read the source "
            "and report failures, or import the function with its role (Function.from_function_attributes).",
        )
    # Without a role, the policy is not part of the template.
    return target, iam.Policy(scope, "FunctionPolicy", roles=[role] if role else None)


def claim_mapping(scope: Construct, source: IResource, attribute: str, function: lambda_.IFunction) -> None:
    """Refuse a mapping that another construct of the app makes: Lambda has one of a source and a function.

    https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html

    Args:
        scope: The construct that makes the mapping.
        source: The queue or the stream.
        attribute: The attribute with its ARN.
        function: What the mapping invokes.

    Raises:
        ValueError: Another construct makes it.
    """
    claim(
        scope,
        "mapping",
        [identity(source, attribute), identity(function, "function_arn")],
        f"{source.node.path} with {function.node.path}: Lambda has one event source mapping of the two, and",
    )


def unqualified(function: lambda_.IFunction) -> lambda_.IFunction:
    """Return the function itself of an alias or a version."""
    if is_alias(function):
        function = function.version
    return function.lambda_ if is_version(function) else function


def timeout_of(function: lambda_.IFunction) -> Duration | None:
    """Return the timeout of an existing function; ``None`` if it is imported, so that it is unknown here."""
    function = unqualified(function)
    resource = function.node.default_child
    if not isinstance(function, lambda_.Function) or not isinstance(resource, lambda_.CfnFunction):
        return None
    # https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
    return Duration.seconds(3 if resource.timeout is None else resource.timeout)
