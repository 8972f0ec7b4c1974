"""What aliases of this library have in common: their names, versions that stay, failures that are kept."""

import re

from aws_cdk import RemovalPolicy, Token
from aws_cdk import aws_lambda as lambda_

# https://docs.aws.amazon.com/lambda/latest/api/API_CreateAlias.html
_NAME = re.compile(r"(?!\d+$)[A-Za-z0-9_-]{1,128}")


def check_alias_name(argument: str, name: str) -> None:
    """Check that an alias could be called so.

    Args:
        argument: What the caller wrote, for the message.
        name: The name.

    Raises:
        ValueError: Lambda allows no such name.
    """
    if not _NAME.fullmatch(name) and not Token.is_unresolved(name):
        raise ValueError(
            f"{argument}: Lambda allows 1 to 128 letters, digits, hyphens and underscores for the name of an "
            "alias, and not digits alone; choose such a name."
        )


def publish(function: lambda_.Function) -> lambda_.Version:
    """Publish a version whenever the function changes, for as long as the function is there."""
    keep(function.current_version)
    return function.current_version


def keep(version: lambda_.Version) -> None:
    """Leave a version where it is when the next one is published."""
    # Kept when the next one takes its place in the template, since an alias may name it; but not when the
    # deployment that publishes it is rolled back: Lambda publishes no code twice in a row, so that the next
    # attempt with the same code would find a version there and fail.
    version.apply_removal_policy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)


def keep_failures(function: lambda_.IFunction, alias: lambda_.Alias) -> None:
    """Give the alias the function's retries and destinations, which hold for ``$LATEST`` alone.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
    """
    configured = function.node.try_find_child("EventInvokeConfig")
    resource = configured and configured.node.default_child
    if isinstance(resource, lambda_.CfnEventInvokeConfig):
        # Under the id at which the CDK looks before it configures an alias a second time.
        lambda_.CfnEventInvokeConfig(
            alias,
            "EventInvokeConfig",
            function_name=resource.function_name,
            qualifier=alias.alias_name,
            destination_config=resource.destination_config,
            maximum_event_age_in_seconds=resource.maximum_event_age_in_seconds,
            maximum_retry_attempts=resource.maximum_retry_attempts,
        ).node.add_dependency(alias)
