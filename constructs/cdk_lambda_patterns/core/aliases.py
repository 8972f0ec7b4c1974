"""Parts of every construct with aliases: names, versions, failure handling, provisioned concurrency."""

import re
from typing import TypeGuard

from aws_cdk import RemovalPolicy, Stack, Token
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.sharing import claim, identity
from cdk_lambda_patterns.core.unseen_changes import warn_of_unseen_changes

# https://docs.aws.amazon.com/lambda/latest/api/API_CreateAlias.html
ALIAS_PLACE = "An alias is in the account and the Region of its function"
# Far above any account's quota: it catches a slip and refuses no real value.
PROVISIONED = Limit("Lambda", 1, 1_000_000)
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


def check_not_on_version(version: lambda_.IVersion, argument: str) -> None:
    """Check that a version has no provisioned concurrency of its own, so that its alias may have it.

    https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html

    Raises:
        ValueError: It has.
    """
    resource = version.node.default_child
    if isinstance(resource, lambda_.CfnVersion) and resource.provisioned_concurrency_config is not None:
        raise ValueError(
            f"{argument} and {version.node.path}: the version has provisioned_concurrent_executions of its "
            "own, and Lambda does not allow both; leave them out of the version."
        )


def check_provisioned(function: lambda_.IFunction, argument: str, provisioned: int | None) -> None:
    """Check that a function may have provisioned concurrency, as far as its settings are known.

    Args:
        function: The function.
        argument: The argument that asks for it.
        provisioned: How much.

    https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
    https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html

    Raises:
        ValueError: Its reserved concurrency is less, or it has SnapStart.
    """
    resource = function.node.default_child
    if provisioned is None or not isinstance(resource, lambda_.CfnFunction):
        return
    snap_start = resource.snap_start
    if isinstance(snap_start, lambda_.CfnFunction.SnapStartProperty) and snap_start.apply_on != "None":
        raise ValueError(
            f"{argument}={provisioned:,} with SnapStart: Lambda does not support both; leave out one of them."
        )
    reserved = resource.reserved_concurrent_executions
    unknown = Token.is_unresolved(reserved) or Token.is_unresolved(provisioned)
    if reserved is not None and not unknown and provisioned > reserved:
        raise ValueError(
            f"{argument}={provisioned:,} and "
            f"reserved_concurrent_executions={reserved:,.0f}: Lambda provisions no more than "
            "is reserved; lower the one or raise the other."
        )


def version_of(function: lambda_.IFunction, stack: Stack) -> lambda_.IVersion:
    """Return the version that an alias of the stack points at.

    Raises:
        ValueError: Versions of this function cannot be released here.
    """
    # isinstance does not work with the CDK's interfaces, and imported resources have private classes.
    if is_alias(function):
        raise ValueError(
            f"function={function.node.path}: an alias cannot point at an alias; give the function itself."
        )
    if isinstance(function, lambda_.Function | lambda_.Version) and Stack.of(function) is not stack:
        raise ValueError(
            f"function={function.node.path}: the function is from another stack. Its versions change with "
            "every release, but CloudFormation lets no exported value change while another stack imports it; "
            "make the alias in the stack of the function."
        )
    if isinstance(function, lambda_.Function):
        return publish(function)
    if not is_version(function):
        raise ValueError(
            f"function={function.node.path}: the function is imported, so this app does not know when it "
            "changes; give a version of it (lambda_.Version.from_version_arn)."
        )
    version = function
    if isinstance(version, lambda_.Version):
        retain(version)
    if not Token.is_unresolved(version.version) and version.version == "$LATEST":
        raise ValueError(
            f"function={function.node.path}: $LATEST is not a published version; give the function "
            "itself or one of its versions."
        )
    return version
