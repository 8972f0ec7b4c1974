"""What the stacks of this repository have in common."""

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
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        context = scope.node.try_get_context
        super().__init__(
            scope,
            architecture.id,
            stack_name=f"{context('stack-prefix') or ''}{architecture.id}",
            description=f"cdk-lambda-patterns: {architecture.title.replace('→', '->')}",
            env=Environment(account=context("account"), region=context("region")),
        )
        Tags.of(self).add("cdk-lambda-patterns:architecture", architecture.id)

    def output(self, name: str, value: str) -> None:
        """Export a value for what drives the stack: its scenario, or a person."""
        CfnOutput(self, name, value=value)
