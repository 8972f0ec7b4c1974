"""Grants of exactly the actions that are needed, and acknowledgements of the findings they cause.

The grant methods of the CDK's L2 constructs grant groups of actions (``s3:GetObject*``, ``s3:List*``). The
roles of this library hold single actions instead, and a check removes them one by one to see that each is
needed.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

import jsii
from aws_cdk import Acknowledgment, Annotations, IResource, Resource, Stack, Token, Validations
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct, Dependable, IConstruct, IValidation

from cdk_lambda_patterns.core.regions import is_known

# What gets a permission: a role, or a policy for the role of an existing function.
Grantee: TypeAlias = iam.IRole | iam.Policy


def acknowledge(scope: IConstruct, findings: Mapping[str, str]) -> None:
    """Acknowledge a checker's (cdk-nag's) finding on one resource, with the reason.

    Args:
        scope: The resource.
        findings: The reason by the id of the finding, which names one finding and not a whole rule.
    """
    Validations.of(scope).acknowledge(
        *(Acknowledgment(id=finding, reason=reason) for finding, reason in findings.items())
    )


def grant_on_objects(
    role: Grantee, bucket: s3.IBucket, *actions: str, prefix: str = "", reason: str
) -> iam.Grant:
    """Allow a role actions on the objects of a bucket whose keys start with a prefix.

    Args:
        role: The role.
        bucket: Owned or imported. If it is in another account, the CDK extends its policy where it can.
        *actions: Actions on objects: ``"s3:GetObject"``.
        prefix: What the keys start with; empty for all.
        reason: Why all keys under the prefix are needed, for checkers that report the wildcard.
    """
    objects = bucket.arn_for_objects(f"{prefix}*")
    grant = iam.Grant.add_to_principal_or_resource(
        grantee=role, actions=list(actions), resource_arns=[objects], resource=bucket
    )
    acknowledge_wildcard(role, objects, reason, target=bucket)
    return grant


def grant_on_bucket(role: Grantee, bucket: s3.IBucket, *actions: str) -> iam.Grant:
    """Allow a role actions on a bucket itself, such as ``"s3:ListBucket"``."""
    return iam.Grant.add_to_principal_or_resource(
        grantee=role, actions=list(actions), resource_arns=[bucket.bucket_arn], resource=bucket
    )


def grant_use_of_key(role: Grantee, key: kms.IKey | None, *actions: str) -> None:
    """Allow a role to use the customer managed key that encrypts a resource, if there is one."""
    if key is not None:
        key.grant(role, *actions)


def grant_on_table(role: Grantee, table: dynamodb.ITable, *actions: str) -> None:
    """Allow a role actions on a table, and the use of the customer managed key that encrypts it, if any.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
    """
    table.grant(role, *actions)
    grant_use_of_key(role, table.encryption_key, "kms:Decrypt", "kms:DescribeKey")


def warn_if_not_granted(
    scope: Construct, grant: iam.Grant, grantee: iam.IGrantable, resource: IResource
) -> iam.Grant:
    """Warn if a principal needs a statement in the policy of an imported resource; return the grant.

    Services, accounts and principals of other accounts need one. The CDK cannot add it to an imported
    resource, and its grants say nothing about that.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html

    Args:
        scope: The construct whose method grants.
        grant: What the CDK's own grant returned.
        grantee: The principal.
        resource: A queue, topic, stream or key.
    """
    principal = grantee.grant_principal
    here = principal.principal_account is not None and Token.is_unresolved(principal.principal_account)
    if grant.resource_statement is not None and not here and not Resource.is_owned_resource(resource):
        name = Stack.of(scope).resolve(principal.policy_fragment.principal_json)
        Annotations.of(scope).add_warning_v2(
            "cdk-lambda-patterns:notGranted",
            f"{resource.node.path} is imported, so its policy cannot be changed here. Its owner must allow "
            f"the principal {name} {', '.join(grant.resource_statement.actions)}.",
        )
    return grant


def warn_if_unchanged(scope: Construct, grant: iam.Grant, grantee: iam.IGrantable, needed: str) -> None:
    """Warn if a role got no policy, which the CDK counts as a success: immutable, or of another account.

    Args:
        scope: The construct whose method grants.
        grant: What the CDK's own grant returned.
        grantee: The role.
        needed: What its owner must allow it: ``"s3:PutObject on Shop/Logs"``.
    """
    role = grantee.grant_principal
    unchanged = not isinstance(role, iam.Role) and not Dependable.of(grant).dependency_roots
    if unchanged and hasattr(role, "node"):
        Annotations.of(scope).add_warning_v2(
            "cdk-lambda-patterns:notGranted",
            f"{role.node.path} is of another account or immutable, so it gets no policy here. Its owner "
            f"must allow it {needed}.",
        )


def grant_to_identity(
    scope: Construct,
    grantee: iam.IGrantable,
    action: str,
    resource: str,
    *,
    on: str,
    conditions: Mapping[str, Mapping[str, object]] | None = None,
    otherwise: str = "give a role, a user or a group of this account.",
) -> iam.Grant:
    """Allow a principal an action by a statement in its own policy; warn if that cannot be changed here.

    The CDK counts a role that is immutable or of another account as a success, and changes nothing.

    Args:
        scope: The construct whose method grants.
        grantee: The principal.
        action: The action.
        resource: What goes into the statement.
        on: The resource in the words of messages.
        conditions: The conditions of the statement.
        otherwise: What to do with a principal that has no policy here.

    Raises:
        ValueError: The grantee has no identity policy here: an account, a service, an ARN.
    """
    grant = iam.Grant.add_to_principal(
        grantee=grantee, actions=[action], resource_arns=[resource], conditions=conditions
    )
    principal = grantee.grant_principal
    if not grant.success:
        raise ValueError(f"grantee={_name_of(principal)}: it has no identity policy here; {otherwise}")
    warn_if_unchanged(scope, grant, grantee, f"{action} on {on}")
    return grant


def _name_of(principal: iam.IPrincipal) -> str:
    """Name a principal: AccountPrincipal(123456789012)."""
    given = principal.to_string() if isinstance(principal, iam.PrincipalBase) else ""
    return type(principal).__name__ if not given or Token.is_unresolved(given) else str(given)


def acknowledge_wildcard(
    role: Grantee, resource: str, reason: str, *, target: IConstruct | None = None
) -> None:
    """Acknowledge cdk-nag's finding about a wildcard in a resource of a role's own statements.

    Args:
        role: The role.
        resource: The resource in the statement, with its wildcard.
        reason: Why the wildcard is needed.
        target: What ``resource`` refers to, if that may be from another stack.
    """
    policy = role if isinstance(role, iam.Policy) else role.node.try_find_child("DefaultPolicy")
    if policy is None:  # an imported role has no policy here, so there is no finding
        return
    if target is not None and Stack.of(target) is not Stack.of(policy):
        policy.node.add_validation(_LateAcknowledgment(policy, resource, reason))
    else:
        acknowledge_wildcard_in(policy, resource, reason)


def acknowledge_wildcard_in(policy: IConstruct, resource: str, reason: str) -> None:
    """Acknowledge cdk-nag's finding about a wildcard in a resource of a policy."""
    arn = _flatten(resource if is_known(resource) else Stack.of(policy).resolve(resource))
    acknowledge(policy, {f"AwsSolutions-IAM5[Resource::{arn}]": reason})


@jsii.implements(IValidation)
class _LateAcknowledgment:
    """Acknowledges a finding about a resource from another stack, which cdk-nag names after its import.

    The CDK makes the imports before it validates the constructs, and cdk-nag looks afterwards.
    """

    def __init__(self, policy: IConstruct, resource: str, reason: str) -> None:
        self._arguments = policy, resource, reason

    def validate(self) -> list[str]:
        """Acknowledge the finding; there is no error. The CDK calls this."""
        acknowledge_wildcard_in(*self._arguments)
        return []


def _flatten(value: Any) -> str:
    """Spell a CloudFormation expression as cdk-nag does in the ids of its findings."""
    match value:
        case str():
            return value.replace("${", "<").replace("}", ">")
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(map(_flatten, parts))
        case {"Fn::Sub": template} | {"Fn::ImportValue": template}:
            return _flatten(template)
        case _:
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@jsii.implements(lambda_.IDestination)
class QueueDestination:
    """A queue as destination of asynchronous invocations, with the only permission that this needs.

    ``aws_lambda_destinations.SqsDestination`` also grants two read actions that Lambda does not use:
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html

    Args:
        queue: A standard queue, owned or imported.
    """

    def __init__(self, queue: sqs.IQueue) -> None:
        self._queue = queue

    def bind(
        self, _scope: Construct, fn: lambda_.IFunction, *, type: lambda_.DestinationType
    ) -> lambda_.DestinationConfig:
        """Grant the function's role the permission and return the queue's ARN. The CDK calls this."""
        if fn.role is not None:
            grant_send(fn.role, self._queue)
        return lambda_.DestinationConfig(destination=self._queue.queue_arn)


def grant_send(role: Grantee, queue: sqs.IQueue) -> None:
    """Allow a role to send messages to a queue, whether or not a customer managed key encrypts it."""
    queue.grant(role, "sqs:SendMessage")
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
    grant_use_of_key(role, queue.encryption_master_key, "kms:GenerateDataKey", "kms:Decrypt")


def grant_publish(role: Grantee, topic: sns.ITopic) -> None:
    """Allow a role to publish to a topic, whether or not a customer managed key encrypts it."""
    iam.Grant.add_to_principal_or_resource(
        grantee=role, actions=["sns:Publish"], resource_arns=[topic.topic_arn], resource=topic
    )
    # https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    grant_use_of_key(role, topic.master_key, "kms:GenerateDataKey", "kms:Decrypt")
