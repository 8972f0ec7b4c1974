"""The reports in DynamoDB: one for each scheduled time."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.storable import NotStorable, check_text

_MAX_PAUSE = 60


class InvalidRun(ValueError):
    """The event is not from the schedule; the message says what to change."""


@dataclass(frozen=True)
class Run:
    """What Scheduler says of a run.

    Args:
        scheduled_time: When it should run, in UTC; the same in each delivery.
        execution_id: Scheduler's id of the invocation.
        pause: For demonstrations: seconds between the report and the end of the work.
    """

    scheduled_time: str
    execution_id: str
    pause: float = 0

    @classmethod
    def parse(cls, event: Any) -> "Run":
        """Read an event.

        Raises:
            InvalidRun: It is not the event of a run.
        """
        if not isinstance(event, dict) or not isinstance(payload := event.get("payload", {}), dict):
            raise InvalidRun("the event must be an object, with an object as payload")
        try:
            scheduled_time = datetime.strptime(str(event.get("scheduled_time")), "%Y-%m-%dT%H:%M:%S%z")
            scheduled_time = scheduled_time.astimezone(UTC)
            execution_id = check_text(
                "execution_id", event.get("execution_id"), max_characters=256, max_bytes=1_024
            )
        except NotStorable as reason:
            raise InvalidRun(str(reason)) from None
        except (ValueError, OverflowError):  # the latter: in UTC it is before year 1 or after year 9999
            raise InvalidRun("scheduled_time must be a time such as 2026-03-29T01:00:00Z") from None
        pause = payload.get("pause", 0)
        if isinstance(pause, bool) or not isinstance(pause, int | float) or not 0 <= pause <= _MAX_PAUSE:
            raise InvalidRun(f"payload.pause must be a number of seconds from 0 to {_MAX_PAUSE}")
        return cls(f"{scheduled_time:%Y-%m-%dT%H:%M:%SZ}", execution_id, pause)


class Reports:
    """Writes reports.

    Args:
        client: A DynamoDB client.
        table: Partition key ``scheduled_time``.
    """

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def write(self, run: Run) -> bool:
        """Write the report of a run; return whether it is new.

        After a crash between the report and the end of the run, the run is repeated. So the work is
        idempotent, too. ``times`` counts how often it had an effect.
        """
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"scheduled_time": {"S": run.scheduled_time}},
                UpdateExpression="SET execution_id = :id, written_at = :now ADD times :one",
                ConditionExpression="attribute_not_exists(scheduled_time)",
                ExpressionAttributeValues={
                    ":id": {"S": run.execution_id},
                    ":now": {"S": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"},
                    ":one": {"N": "1"},
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
