"""What the stacks of this repository have in common."""

import re
from functools import lru_cache

from aws_cdk import CfnOutput, Environment, Stack, Tags
from constructs import Construct

from stacks.architecture import Architecture


class PatternStack(Stack):
    """A stack that deploys one architecture of the catalogue.

    Its name is the architecture's id; the context ``stack-prefix`` puts something before it, so that an
    account can hold it twice. It goes to the account and region of the CLI's profile, unless the context
    ``account`` and ``region`` fix them (what needs to know the region at synthesis, such as the access logs
    of a load balancer, asks for that).

    Args:
        scope: The app, or a stage.
        architecture: The row of the catalogue.
        default_region: The region without the context, for what cannot do without. Default: that of the CLI.
        environment: The name of a copy, at the end of the stack's name.

    Raises:
        ValueError: A value of the context is not allowed.
    """

    def __init__(
        self,
        scope: Construct,
        architecture: Architecture,
        *,
        default_region: str | None = None,
        environment: str | None = None,
    ) -> None:
        account = context(scope, "account", r"[0-9]{12}", "the 12 digits of an account")
        region = context(scope, "region", r"[a-z]{2,}(-[a-z]+)+-\d", "a Region, such as 'eu-west-1'")
        prefix = context(
            scope,
            "stack-prefix",
            r"[A-Za-z][A-Za-z0-9-]{0,79}",
            "letters, digits and hyphens, a letter first",
        )
        super().__init__(
            scope,
            architecture.id,
            stack_name=f"{prefix or ''}{architecture.id}{f'-{environment}' if environment else ''}",
            description=f"cdk-lambda-patterns: {architecture.title.replace('→', '->')}",
            env=Environment(account=account, region=region or default_region),
        )
        Tags.of(self).add("cdk-lambda-patterns:architecture", architecture.id)

    def output(self, name: str, value: str) -> None:
        """Export a value for what drives the stack: its scenario, or a person."""
        CfnOutput(self, name, value=value)


@lru_cache(maxsize=8)  # it is the same for each stack of the app, and each question to jsii costs
def context(scope: Construct, name: str, pattern: str, allowed: str) -> str | None:
    """Return a value of the context, ``-c name=value``; ``None`` if it is not there.

    Args:
        scope: A construct.
        name: The name.
        pattern: A regular expression of what is allowed.
        allowed: The same for a person.

    Raises:
        ValueError: The value is not allowed.
    """
    value = scope.node.try_get_context(name)
    if value in (None, ""):
        return None
    if isinstance(value, bool) or not re.fullmatch(pattern, str(value)):
        raise ValueError(f"-c {name}={value}: give {allowed}.")
    return str(value)


@lru_cache(maxsize=8)
def switch(scope: Construct, name: str, *, default: bool) -> bool:
    """Return whether a value of the context is true: ``-c name=false``, or a boolean in ``cdk.json``.

    Args:
        scope: A construct.
        name: The name.
        default: What holds if it is not there.

    Raises:
        ValueError: The value is neither true nor false.
    """
    value = scope.node.try_get_context(name)
    if value in (None, ""):
        return default
    if str(value).lower() not in ("true", "false"):
        raise ValueError(f"-c {name}={value}: give true or false.")
    return str(value).lower() == "true"
