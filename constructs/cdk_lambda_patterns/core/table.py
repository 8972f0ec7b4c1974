"""The DynamoDB tables of this library: on-demand, with point-in-time recovery."""

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct


def make_table(
    scope: Construct,
    id: str,
    *,
    partition_key: dynamodb.Attribute,
    sort_key: dynamodb.Attribute | None = None,
    time_to_live_attribute: str | None = None,
    stream: dynamodb.StreamViewType | None = None,
    removal_policy: RemovalPolicy,
) -> dynamodb.Table:
    """Make an on-demand table with point-in-time recovery.

    Args:
        scope: The parent.
        id: The id under the parent.
        partition_key: Its partition key: ``text("account")``.
        sort_key: Its sort key, if it has one.
        time_to_live_attribute: The attribute with the time at which an item expires, in seconds since 1970.
        stream: The images in its stream, if it has one.
        removal_policy: What happens to it when the stack is deleted.
    """
    return dynamodb.Table(
        scope,
        id,
        partition_key=partition_key,
        sort_key=sort_key,
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        time_to_live_attribute=time_to_live_attribute,
        stream=stream,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True
        ),
        removal_policy=removal_policy,
    )


def text(name: str) -> dynamodb.Attribute:
    """Return a key attribute of type string."""
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)


def check_keys(table: dynamodb.ITable | None, *names: str, time_to_live_attribute: str | None = None) -> None:
    """Check that a table has the keys that a handler uses. Nothing is known of an imported table.

    Args:
        table: The table, if one was given.
        *names: Partition key, and sort key if there is one; both strings.
        time_to_live_attribute: The attribute with the time at which an item expires, if the handler sets one.

    Raises:
        ValueError: It has other keys, or lets items expire by another attribute or never.
    """
    resource = table.node.default_child if table else None
    if table is None or not isinstance(resource, dynamodb.CfnTable | dynamodb.CfnGlobalTable):
        return
    stack = Stack.of(resource)
    schema, attributes = stack.resolve(resource.key_schema), stack.resolve(resource.attribute_definitions)
    types = {one["attributeName"]: one["attributeType"] for one in attributes}
    keys = {one["keyType"]: one["attributeName"] for one in schema}
    found = [f"{name} ({types[name]})" for name in (keys.get("HASH"), keys.get("RANGE")) if name]
    if found != [f"{name} (S)" for name in names]:
        raise ValueError(
            f"table={table.node.path}: its keys are {', '.join(found)}; the function needs the partition key "
            + " and the sort key ".join(names)
            + ", of type string (S)."
        )
    if time_to_live_attribute is not None:
        setting = stack.resolve(resource.time_to_live_specification) or {}
        attribute = setting.get("attributeName") if setting.get("enabled") else None
        if attribute != time_to_live_attribute:
            raise ValueError(
                f"table={table.node.path}: its time to live attribute is {attribute}; the function sets "
                f"{time_to_live_attribute}, so that no item would expire when it should. Give the table "
                f"time_to_live_attribute={time_to_live_attribute!r}."
            )
