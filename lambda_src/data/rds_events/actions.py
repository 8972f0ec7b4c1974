"""What is done about an event: the decision table, the alerts, and the journal."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from shared.items import to_item

from .events import RdsEvent

Action: TypeAlias = Literal["alarm", "notify", "ignore", "unknown"]

#: What is done about each kind of event: ``alarm`` needs a person at once, ``notify`` does not.
#: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html
DECISIONS: Mapping[str, Action] = {
    # A restart: connections have ended, and come back.
    "RDS-EVENT-0004": "ignore",  # shutdown; the restart follows, or does not and is an alarm of a metric
    "RDS-EVENT-0006": "notify",  # restarted
    "RDS-EVENT-0022": "alarm",  # MySQL did not restart
    # A failover of an instance, or of a cluster.
    "RDS-EVENT-0013": "alarm",  # started: the database is away
    "RDS-EVENT-0049": "notify",  # completed
    "RDS-EVENT-0015": "ignore",  # completed, too: the DNS record follows
    "RDS-EVENT-0072": "alarm",
    "RDS-EVENT-0073": "alarm",
    "RDS-EVENT-0071": "notify",
    "RDS-EVENT-0069": "alarm",  # failed
    # Low storage: soon the database only reads, or stops.
    "RDS-EVENT-0007": "alarm",  # allocated storage is used up
    "RDS-EVENT-0089": "alarm",  # more than 90% is used
    "RDS-EVENT-0221": "alarm",  # the database has been shut down
    "RDS-EVENT-0222": "alarm",  # it will be
    "RDS-EVENT-0218": "notify",  # storage autoscaling has added some
    # Backups come every day.
    "RDS-EVENT-0001": "ignore",
    "RDS-EVENT-0002": "ignore",
}


def decide(event: RdsEvent) -> Action:
    """Look up what to do. AWS adds kinds of events: one that is not in the table is recorded, not refused."""
    return DECISIONS.get(event.event_id, "unknown")


class Actions:
    """Sends alerts and writes the journal, once for each event.

    A duplicate is recognised by the journal, and in the moment before it is written by the FIFO queue, which
    drops a message with a known deduplication id for five minutes.

    Args:
        sqs: An SQS client.
        queue: The URL of a FIFO queue.
        dynamodb: A DynamoDB client.
        table: Partition key ``source``, sort key ``event``.
    """

    def __init__(self, sqs: Any, queue: str, dynamodb: Any, table: str) -> None:
        self._sqs, self._queue, self._dynamodb, self._table = sqs, queue, dynamodb, table

    def take(self, event: RdsEvent, action: Action) -> bool:
        """Do what was decided; return whether the event is new."""
        key = to_item({"source": event.source, "event": event.key})
        found = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        if "Item" in found:
            return False
        values = {"event_id": event.event_id, "time": event.time, "message": event.message, "action": action}
        if action in ("alarm", "notify"):
            self._sqs.send_message(
                QueueUrl=self._queue,
                MessageBody=json.dumps({"source": event.source, **values}),
                MessageGroupId=_hash(event.source),
                MessageDeduplicationId=_hash(f"{event.source}/{event.key}"),
            )
        self._dynamodb.put_item(TableName=self._table, Item={**key, **to_item(values)})
        return True


def _hash(text: str) -> str:
    """Return an id that SQS takes: identifiers of databases may be longer, or have other characters."""
    return hashlib.sha256(text.encode()).hexdigest()
