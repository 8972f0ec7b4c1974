"""Roles that the CDK makes for its own custom resources, held to this library's rules.

The CDK gives the functions behind its custom resources an AWS-managed policy that may write any log of the
account. Here each gets a policy of its own for its own log group. A function is told from another by the id
that the CDK gives it, once a stack, so a stack that makes it without this library gets the policy as well:
it loses nothing but the right to write the logs of others.
"""

from aws_cdk import ArnFormat, CfnResource, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct, IConstruct

from cdk_lambda_patterns.core.permissions import acknowledge_wildcard_in

NOTIFICATIONS_HANDLER = "BucketNotificationsHandler050a0587b7544547bf325f094a3db834"
AUTO_DELETE_OBJECTS = "Custom::S3AutoDeleteObjectsCustomResourceProvider"

# The children of each that are the role and the function, as paths.
_PARTS = {
    NOTIFICATIONS_HANDLER: (("Role", "Resource"), ("Resource",)),
    AUTO_DELETE_OBJECTS: (("Role",), ("Handler",)),
}
_POLICY_ID = "OwnLogs"


def write_out_provider_role(stack: Stack, id: str) -> None:
    """Replace the AWS-managed policy of a custom resource's function by statements about its own logs.

    Args:
        stack: Where the function is, if it is there.
        id: ``NOTIFICATIONS_HANDLER`` or ``AUTO_DELETE_OBJECTS``.
    """
    provider = stack.node.try_find_child(id)
    if not isinstance(provider, Construct) or provider.node.try_find_child(_POLICY_ID) is not None:
        return
    role, function = (_descend(provider, path) for path in _PARTS[id])
    role.add_property_deletion_override("ManagedPolicyArns")
    if isinstance(role, iam.CfnRole):
        role.managed_policy_arns = None  # the same for those who read the construct and not the template

    logs = stack.format_arn(
        service="logs",
        resource="log-group",
        resource_name=f"/aws/lambda/{function.ref}",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )
    document = iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(actions=["logs:CreateLogGroup"], resources=[logs]),
            iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[f"{logs}:log-stream:*"]
            ),
        ]
    )
    # Beside the role and not under it: the function waits for what is under its role, and would wait for
    # a policy that waits for the function's name.
    policy = iam.CfnPolicy(
        provider,
        _POLICY_ID,
        policy_name=_POLICY_ID,
        policy_document=document,
        roles=[role.ref],
    )
    acknowledge_wildcard_in(policy, f"{logs}:log-stream:*", "Lambda names the log streams.")


def _descend(construct: IConstruct, path: tuple[str, ...]) -> CfnResource:
    for child in path:
        construct = construct.node.find_child(child)
    assert isinstance(construct, CfnResource)
    return construct
