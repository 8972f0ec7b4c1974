"""Parts of every construct with aliases: valid names, retained versions, failure handling."""

import re
from typing import TypeGuard

from aws_cdk import RemovalPolicy, Token
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.sharing import claim, identity
from cdk_lambda_patterns.core.unseen_changes import warn_of_unseen_changes

# https://docs.aws.amazon.com/lambda/latest/api/API_CreateAlias.html
ALIAS_PLACE = "An alias is in the account and the Region of its function"
_NAME = re.compile(r"(?!\d+$)[A-Za-z0-9_-]{1,128}")


# isinstance does not work with the CDK's interfaces, and the classes of imported resources are not public.
def is_alias(function: lambda_.IFunction) -> TypeGuard[lambda_.IAlias]:
    """Whether a function is an alias, owned or imported."""
    return hasattr(function, "alias_name")


def is_version(function: lambda_.IFunction) -> TypeGuard[lambda_.IVersion]:
    """Whether a function is a version, owned or imported. An alias is none, although it has one."""
    return hasattr(function, "version") and not is_alias(function)


def check_no_latest(function: lambda_.IFunction) -> None:
    """Check that an ARN does not name $LATEST, for what Lambda refuses it for: permissions and URLs.

    https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunctionUrlConfig.html

    Raises:
        ValueError: It ends with ``:$LATEST``.
    """
    if not Token.is_unresolved(function.function_arn) and function.function_arn.endswith(":$LATEST"):
        raise ValueError(
            f"function={function.node.path}: its ARN ends with ':$LATEST', which Lambda refuses here; import "
            "the function without it, which means the same."
        )


def check_alias_name(argument: str, name: str) -> None:
    """Check that Lambda allows a name for an alias.

    Args:
        argument: The argument and its value, as the caller wrote them.
        name: The name.

    Raises:
        ValueError: Lambda does not allow the name.
    """
    if not _NAME.fullmatch(name) and not Token.is_unresolved(name):
        raise ValueError(
            f"{argument}: Lambda allows 1 to 128 letters, digits, hyphens and underscores in the name of an "
            "alias, and at least one of them must not be a digit; choose such a name."
        )


def claim_alias(scope: Construct, function: lambda_.IFunction, name: str) -> None:
    """Refuse an alias that another construct of the app makes on the same function.

    https://docs.aws.amazon.com/lambda/latest/api/API_CreateAlias.html

    Raises:
        ValueError: Another construct makes it.
    """
    claim(
        scope,
        "alias",
        [identity(function, "function_arn"), name],
        f"the alias {name!r} of {function.node.path}: the name of an alias is unique for its function, and",
    )


def publish(function: lambda_.Function) -> lambda_.Version:
    """Publish a version whenever the function changes, and retain all versions while the function exists."""
    retain(function.current_version)
    return function.current_version


def retain(version: lambda_.Version) -> None:
    """Retain a version when the next one is published, but not when its own deployment is rolled back.

    An alias may point at the earlier version. A version that a failed deployment left behind, however, would
    make the next attempt fail: Lambda does not publish the same code and configuration twice in a row.

    The CDK then warns of values that change without a new version.
    """
    version.apply_removal_policy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
    warn_of_unseen_changes(version.lambda_)


def copy_async_configuration(function: lambda_.IFunction, alias: lambda_.Alias) -> None:
    """Give an alias the function's retries and destinations, which apply to ``$LATEST`` only.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
    """
    configured = function.node.try_find_child("EventInvokeConfig")
    resource = configured and configured.node.default_child
    if isinstance(resource, lambda_.CfnEventInvokeConfig):
        # The CDK looks for this id before it configures an alias a second time.
        lambda_.CfnEventInvokeConfig(
            alias,
            "EventInvokeConfig",
            function_name=resource.function_name,
            qualifier=alias.alias_name,
            destination_config=resource.destination_config,
            maximum_event_age_in_seconds=resource.maximum_event_age_in_seconds,
            maximum_retry_attempts=resource.maximum_retry_attempts,
        ).node.add_dependency(alias)
