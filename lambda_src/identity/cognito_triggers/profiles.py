"""The profiles of users in DynamoDB: one row per user, however often Cognito invokes a trigger."""

from dataclasses import dataclass
from typing import Any

FREE = "free"


@dataclass(frozen=True)
class User:
    """The user of an event.

    Args:
        id: The ``sub``, which never changes and is never used again.
        email: The address at that time; empty if the user has none.
    """

    id: str
    email: str

    @classmethod
    def of(cls, event: dict[str, Any]) -> "User":
        """Read the user of a trigger's event."""
        attributes = event["request"]["userAttributes"]
        return cls(attributes["sub"], attributes.get("email", ""))


class Profiles:
    """The table of profiles.

    Args:
        dynamodb: A client of DynamoDB.
        table: Its name.
    """

    def __init__(self, dynamodb: Any, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def create(self, user: User, now: str) -> bool:
        """Create a profile; return whether it is new. An existing one stays as it is."""
        item = {"user_id": user.id, "email": user.email, "plan": FREE, "created_at": now}
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item={name: {"S": value} for name, value in item.items()},
                ConditionExpression="attribute_not_exists(user_id)",
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def record_login(self, user: User, now: str) -> None:
        """Set the time of the last login, and create the profile if post confirmation could not."""
        values = {":email": user.email, ":plan": FREE, ":now": now}
        self._dynamodb.update_item(
            TableName=self._table,
            Key={"user_id": {"S": user.id}},
            UpdateExpression="SET last_login = :now, email = if_not_exists(email, :email), "
            "#plan = if_not_exists(#plan, :plan), created_at = if_not_exists(created_at, :now)",
            ExpressionAttributeNames={"#plan": "plan"},  # a reserved word
            ExpressionAttributeValues={name: {"S": value} for name, value in values.items()},
        )

    def plan_of(self, user: User) -> str:
        """Return the plan that a user has; the free one without a profile."""
        found = self._dynamodb.get_item(
            TableName=self._table,
            Key={"user_id": {"S": user.id}},
            ProjectionExpression="#plan",
            ExpressionAttributeNames={"#plan": "plan"},
            ConsistentRead=True,
        )
        plan: str = found.get("Item", {}).get("plan", {"S": FREE})["S"]
        return plan
