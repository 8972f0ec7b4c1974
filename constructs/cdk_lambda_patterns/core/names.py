"""Names for resources to which CloudFormation gives none, different in each deployment of a template."""

from aws_cdk import Aws, Fn, Names
from constructs import Construct


def unique_name(scope: Construct, id: str, *, longest: int) -> str:
    """Return a name: that of the construct, and a part of the id that CloudFormation gives to the stack.

    The CDK's own generated names are made from the path of the construct. They are the same when one
    template is deployed twice in an account, and the second deployment fails.

    Args:
        scope: The parent of the resource.
        id: The id of the resource.
        longest: How many characters the service allows.
    """
    part = Fn.select(0, Fn.split("-", Fn.select(2, Fn.split("/", Aws.STACK_ID))))  # 8 hexadecimal digits
    name = Names.unique_resource_name(scope, max_length=longest - len(id) - 10, separator="-")
    return f"{name}-{id}-{part}"
