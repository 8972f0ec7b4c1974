"""Least privilege for the roles that the CDK makes for its own custom resources.

The CDK attaches an AWS-managed policy to the functions behind its custom resources, which allows them to
write any log of the account. Here each gets a policy for its own log group instead. The CDK makes such a
function once a stack, under a fixed id; so one that the user's own constructs make in the same stack gets the
policy as well, and loses only the permission to write other log groups.
"""

from aws_cdk import ArnFormat, CfnResource, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct, IConstruct

from cdk_lambda_patterns.core.permissions import acknowledge_wildcard_in

NOTIFICATIONS_HANDLER = "BucketNotificationsHandler050a0587b7544547bf325f094a3db834"
AUTO_DELETE_OBJECTS = "Custom::S3AutoDeleteObjectsCustomResourceProvider"
TRIGGER = "AWSCDK.TriggerCustomResourceProviderCustomResourceProvider"

# The paths of the role and the function below each of them.
_PARTS = {
    NOTIFICATIONS_HANDLER: (("Role", "Resource"), ("Resource",)),
    AUTO_DELETE_OBJECTS: (("Role",), ("Handler",)),
    TRIGGER: (("Role",), ("Handler",)),
}
_POLICY_ID = "OwnLogs"


def write_out_provider_role(stack: Stack, id: str) -> None:
    """Replace the AWS-managed policy of a custom resource's function by statements about its own logs.

    Args:
        stack: The stack that may contain the function.
        id: ``NOTIFICATIONS_HANDLER``, ``AUTO_DELETE_OBJECTS`` or ``TRIGGER``.
    """
    provider = stack.node.try_find_child(id)
    if not isinstance(provider, Construct) or provider.node.try_find_child(_POLICY_ID) is not None:
        return
    role, function = (_descend(provider, path) for path in _PARTS[id])
    role.add_property_deletion_override("ManagedPolicyArns")
    if isinstance(role, iam.CfnRole):
        role.managed_policy_arns = None  # the same for checks that read the construct and not the template

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
    # A sibling of the role and not its child: the function depends on the children of its role, and this
    # policy needs the function's name.
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
