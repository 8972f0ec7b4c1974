"""Resources in other Regions and accounts than the stack: checked as far as both are known at synthesis."""

from aws_cdk import IResource, Stack, Token
from constructs import Construct

SAME_REGION = "The function calls it in its own Region only"


def check_region(scope: Construct, why: str, **resources: IResource | None) -> None:
    """Check that resources are in the Region of the stack, as far as both Regions are known.

    Args:
        scope: A construct of the stack.
        why: Why AWS requires it, as a sentence without its full stop.
        **resources: By argument; ``None`` (not given) passes.

    Raises:
        ValueError: One is in another Region.
    """
    for name, resource in resources.items():
        if resource is None:
            continue
        region = resource.env.region
        arn = getattr(resource, "table_arn", "")  # the CDK takes no Region from the ARN of a table
        if arn and not Token.is_unresolved(arn):
            region = arn.split(":")[3]
        if differ(region, Stack.of(scope).region):
            raise ValueError(
                f"{name}={resource.node.path}: it is in {region}, and this stack in "
                f"{Stack.of(scope).region}. {why}; give one of the same Region, or deploy this stack there."
            )


def differ(one: str, other: str) -> bool:
    """Whether two Regions or accounts differ; false if one is known only at deployment."""
    return one != other and not Token.is_unresolved(one) and not Token.is_unresolved(other)
