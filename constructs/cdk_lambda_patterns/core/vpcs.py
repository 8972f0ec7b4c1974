"""Which VPC a security group is in, as far as the app knows."""

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from constructs import IConstruct


def is_in_other_vpc(group: ec2.ISecurityGroup, vpc: ec2.IVpc) -> bool:
    """Whether a security group is in another VPC; false if one of the two is unknown here.

    Args:
        group: Owned, from another stack, or imported.
        vpc: The VPC.
    """
    made = group.node.default_child
    theirs, ours = made.vpc_id if isinstance(made, ec2.CfnSecurityGroup) else None, vpc.vpc_id
    if not theirs or theirs == ours:
        return False
    return _kind(group, theirs) == _kind(vpc, ours) != "unknown"


def _kind(scope: IConstruct, vpc_id: str) -> str:
    """Say whether a VPC is known by its id or as a resource; two that differ are not the same VPC then."""
    resolved = Stack.of(scope).resolve(vpc_id)
    if isinstance(resolved, str):
        return "id"
    return "resource" if "Ref" in resolved else "unknown"
