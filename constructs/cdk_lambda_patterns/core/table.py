"""A table as the architectures of this library make it: paid by request, with point-in-time recovery."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct


def make_table(
    scope: Construct,
    id: str,
    *,
    partition_key: dynamodb.Attribute,
    sort_key: dynamodb.Attribute | None = None,
    time_to_live_attribute: str | None = None,
    removal_policy: RemovalPolicy,
) -> dynamodb.Table:
    """Make a table that needs no capacity to be planned.

    Args:
        scope: The parent.
        id: The id under the parent.
        partition_key: Its partition key: ``text("account")``.
        sort_key: Its sort key, if it has one.
        time_to_live_attribute: The attribute that says when an item may go, in seconds since 1970.
        removal_policy: What happens to it when the stack is deleted.
    """
    return dynamodb.Table(
        scope,
        id,
        partition_key=partition_key,
        sort_key=sort_key,
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        time_to_live_attribute=time_to_live_attribute,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True
        ),
        removal_policy=removal_policy,
    )


def text(name: str) -> dynamodb.Attribute:
    """A key attribute that is a string."""
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
