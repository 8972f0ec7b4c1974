"""Topics to which an AWS service publishes: their policy and their key."""

from aws_cdk import Annotations, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct, IDependable

# The key that AWS manages. Its policy cannot be changed, and lets no service use it.
_AWS_KEY = "alias/aws/sns"


def check_topic_key(name: str, topic: sns.ITopic | None, service: str) -> None:
    """Check that a service can use the key of a topic.

    Args:
        name: What the message calls the topic.
        topic: The topic; ``None`` (not given) passes.
        service: The name of the service: ``"S3"``.

    Raises:
        ValueError: The topic is encrypted with the key that AWS manages.

    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    """
    if topic is None:
        return
    key, own = topic.master_key, getattr(topic.node.default_child, "kms_master_key_id", None)
    if str(own).endswith(_AWS_KEY) or (key is not None and key.key_arn.endswith(_AWS_KEY)):
        raise ValueError(
            f"{name} is encrypted with {_AWS_KEY}, which {service} may not use; give a topic with a customer "
            "managed key, or without a key."
        )


def allow_service_to_publish(
    scope: Construct,
    topic: sns.ITopic,
    principal: str,
    source_arn: str,
    *,
    owner_must_allow: str,
) -> IDependable | None:
    """Let a service publish to a topic for a resource, and use the topic's key for this account.

    Args:
        scope: Where a warning is shown, if the topic is imported. Its stack is in the resource's account.
        topic: The topic.
        principal: The service: ``"s3.amazonaws.com"``.
        source_arn: The ARN of the resource that the service publishes for; ``*`` may be in it.
        owner_must_allow: What the warning asks of the owner of an imported topic.

    Returns:
        The policy of the topic; None if the topic is imported.

    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    """
    for_account = {"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}}
    caller = iam.ServicePrincipal(
        principal, conditions={"ArnLike": {"aws:SourceArn": source_arn}, **for_account}
    )
    statement = iam.PolicyStatement(actions=["sns:Publish"], principals=[caller], resources=[topic.topic_arn])
    added = topic.add_to_resource_policy(statement)
    if not added.statement_added:
        Annotations.of(scope).add_warning_v2(
            "cdk-lambda-patterns:notGranted",
            f"{topic.node.path} is imported, so its policy cannot be changed here. Its owner must allow "
            f"{owner_must_allow}.",
        )
    if topic.master_key is not None:
        let_service_encrypt(scope, topic.master_key, principal)
    return added.policy_dependable


def let_service_encrypt(scope: Construct, key: kms.IKey, principal: str) -> None:
    """Let a service use the key of a topic for this account.

    Args:
        scope: Its stack is in the account. A warning is shown there, if the key is imported.
        key: The key.
        principal: The service.
    """
    # Without an ARN: a bucket may be encrypted with the same key, and neither could be made first.
    for_account = {"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}}
    statement = iam.PolicyStatement(
        actions=["kms:GenerateDataKey", "kms:Decrypt"],
        principals=[iam.ServicePrincipal(principal, conditions=for_account)],
        resources=["*"],
    )
    if not key.add_to_resource_policy(statement).statement_added:
        Annotations.of(scope).add_warning_v2(
            "cdk-lambda-patterns:keyNotGranted",
            f"{key.node.path} is imported, so its policy cannot be changed here. Its owner must allow "
            f"{principal} kms:GenerateDataKey and kms:Decrypt, or the topic gets no messages from it.",
        )
