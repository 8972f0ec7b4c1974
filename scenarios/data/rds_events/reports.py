"""The reports of one run, about the database and about one that does not exist, and what became of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import uuid4

from scenarios.framework import DeployedStack, NotYet, require, wait_until
from scenarios.support.failure_queue import FailureQueue, Messages
from scenarios.support.redrive import redrive

RDS = "events.rds.amazonaws.com"
_MANUAL = "http://docs.amazonwebservices.com/AmazonRDS/latest/UserGuide/USER_Events.html"
#: RDS takes up to five minutes, and so does a failover; Lambda retries for three.
_TAKES = 660
FAILOVER = ("RDS-EVENT-0013", "RDS-EVENT-0006", "RDS-EVENT-0049")


class Event(NamedTuple):
    """A kind of event."""

    id: str
    category: str
    message: str


#: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html
FULL = Event("RDS-EVENT-0007", "low storage", "Allocated storage has been exhausted.")
NEARLY_FULL = Event("RDS-EVENT-0089", "low storage", "The free storage capacity is low.")
NEW = Event("RDS-EVENT-9999", "notification", "Something new happened.")


class Reports:
    """The reports of one run.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.stack = stack
        self.database = stack.output("DatabaseIdentifier")
        self.topic = stack.output("TopicArn")
        self.run_id = f"run-{uuid4().hex[:8]}"  # the name of a database that does not exist
        self.began = _written(datetime.now(UTC) - timedelta(seconds=1))
        self._rds, self._sns, self._sqs = (stack.client(one) for one in ("rds", "sns", "sqs"))
        self._patience = stack.patience + _TAKES
        self._alerts: list[dict[str, Any]] = []
        self.failed = FailureQueue(
            stack, stack.output("FailureQueueUrl"), lambda one: self.run_id in json.dumps(one.event)
        )
        self.undelivered = Messages(
            stack,
            stack.output("UndeliveredQueueUrl"),
            lambda body: self.run_id in body or self.database in body,
        )

    def arn(self, kind: str, name: str) -> str:
        """The ARN of something in the account and Region of the stack."""
        _, partition, _, region, account, _ = self.topic.split(":")
        return f"arn:{partition}:{kind.partition(':')[0]}:{region}:{account}:{kind.partition(':')[2]}{name}"

    def fail_over(self) -> str:
        """Let the standby take over; return the time before, as the journal has it."""
        self._wait_for_status()
        before = _written(datetime.now(UTC) - timedelta(milliseconds=1))
        self._rds.reboot_db_instance(DBInstanceIdentifier=self.database, ForceFailover=True)
        return before

    def _wait_for_status(self) -> None:
        def check() -> None:
            answer = self._rds.describe_db_instances(DBInstanceIdentifier=self.database)
            if (status := answer["DBInstances"][0]["DBInstanceStatus"]) != "available":
                raise NotYet(status)

        wait_until(check, what="the database", timeout=self._patience)

    def status(self) -> str:
        """The status of the event subscription."""
        name = self.stack.output("SubscriptionName")
        (found,) = self._rds.describe_event_subscriptions(SubscriptionName=name)["EventSubscriptionsList"]
        return str(found["Status"])

    @contextmanager
    def closed_topic(self) -> Iterator[None]:
        """Take the statement for RDS out of the policy of the topic while the body runs."""
        before = self._sns.get_topic_attributes(TopicArn=self.topic)["Attributes"]["Policy"]
        policy = json.loads(before)
        policy["Statement"] = [one for one in policy["Statement"] if RDS not in json.dumps(one)]
        set_policy = partial(self._sns.set_topic_attributes, TopicArn=self.topic, AttributeName="Policy")
        set_policy(AttributeValue=json.dumps(policy))
        try:
            yield
        finally:
            set_policy(AttributeValue=before)

    def subscribe_again(self) -> None:
        """Make another event subscription with the topic."""
        self._rds.create_event_subscription(SubscriptionName=self.run_id, SnsTopicArn=self.topic)

    def report_both_ways(self, event: Event, time: datetime) -> None:
        """Deliver an event of the database as RDS does: to the topic, and to EventBridge."""
        deliver, source = self.stack.deliver_as, self.database
        require(deliver is not None, "only the embedded AWS delivers events as another service does")
        assert deliver is not None
        arn, written = self.arn("rds:db:", source), _written(time)
        detail = {
            "EventCategories": [event.category],
            "SourceType": "DB_INSTANCE",
            "SourceArn": arn,
            "Date": written,
            "Message": event.message,
            "SourceIdentifier": source,
            "EventID": event.id,
        }
        entry = {
            "source": "aws.rds",
            "detail-type": "RDS DB Instance Event",
            "resources": [arn],
            "detail": detail,
        }
        deliver(RDS, arn, self.topic, self._notification(event, source, written))
        deliver(RDS, arn, self.arn("events:event-bus/", "default"), {**entry, "detail": detail})

    def publish(self, event: Event, time: datetime) -> None:
        """Publish an event of a database that does not exist, with the permissions of the caller."""
        message = self._notification(event, self.run_id, _written(time))
        self._sns.publish(TopicArn=self.topic, Message=json.dumps(message))

    def publish_text(self, text: str) -> None:
        """Publish what is no event."""
        self._sns.publish(TopicArn=self.topic, Message=text)

    def _notification(self, event: Event, source: str, written: str) -> dict[str, str]:
        return {
            "Event Source": "db-instance",
            "Event Time": written.replace("T", " ").rstrip("Z"),
            "Identifier Link": f"https://console.aws.amazon.com/rds/home#dbinstance:id={source}",
            "Source ID": source,
            "Source ARN": self.arn("rds:db:", source),
            "Event ID": f"{_MANUAL}#{event.id}",
            "Event Message": event.message,
        }

    # --- What became of them

    def journal(self, source: str, since: str = "") -> dict[str, dict[str, str]]:
        """The rows of a database, by event id; the last one of each."""
        return {row["event_id"]: row for row in self._rows(source, since)}

    def _rows(self, source: str, since: str) -> list[dict[str, str]]:
        answer = self.stack.client("dynamodb").query(
            TableName=self.stack.output("JournalTableName"),
            ConsistentRead=True,
            KeyConditionExpression="#source = :source AND #event >= :since",
            ExpressionAttributeNames={"#source": "source", "#event": "event"},
            ExpressionAttributeValues={
                ":source": {"S": f"db-instance/{source}"},
                ":since": {"S": since or self.began},
            },
        )
        return [{name: value["S"] for name, value in item.items()} for item in answer["Items"]]

    def wait_for_rows(self, source: str, *event_ids: str, since: str = "") -> dict[str, dict[str, str]]:
        """Wait until the journal of a database has these events."""

        def check() -> dict[str, dict[str, str]]:
            rows = self.journal(source, since)
            if missing := set(event_ids) - rows.keys():
                raise NotYet(f"missing: {', '.join(sorted(missing))}; there: {', '.join(rows)}")
            return rows

        return wait_until(check, what=f"journal of {source}", timeout=self._patience)

    def wait_for_deliveries(self, source: str, event_id: str, count: int, since: str) -> None:
        """Wait until the function has logged that an event was delivered so often."""

        def check() -> None:
            if (seen := self._deliveries(since)[f"db-instance/{source}", event_id]) < count:
                raise NotYet(f"{seen} of {count}")

        wait_until(check, what=f"deliveries of {event_id} of {source}", timeout=self._patience)

    def _deliveries(self, since: str) -> Counter[tuple[str, str]]:
        function = self.stack.client("lambda").get_function_configuration(
            FunctionName=self.stack.output("FunctionName")
        )
        pages = (
            self.stack.client("logs")
            .get_paginator("filter_log_events")
            .paginate(
                logGroupName=function["LoggingConfig"]["LogGroup"],
                startTime=int(datetime.fromisoformat(since).timestamp() * 1000),
            )
        )
        lines = [line["message"] for page in pages for line in page["events"]]
        logged = [json.loads(line) for line in lines if '"event_id"' in line]
        return Counter((one["source"], one["event_id"]) for one in logged)

    def redrive(self) -> int:
        """Send what is in both queues to the function again; return how many were sent."""
        self.failed.release()
        self.undelivered.release()
        return sum(
            redrive(
                self.stack.session,
                queue_url=self.stack.output(f"{queue}QueueUrl"),
                function_name=self.stack.output("FunctionName"),
            ).resent
            for queue in ("Failure", "Undelivered")
        )

    def alerts(self, source: str) -> Counter[tuple[str, str]]:
        """How many alerts about a database there were, by event id and time; takes them out of the queue."""
        url = self.stack.output("AlertsQueueUrl")
        # A FIFO queue shows no more of a group whose messages are held, so they are deleted at once.
        # Long polling asks all servers of SQS.
        receive = partial(self._sqs.receive_message, QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        while messages := receive().get("Messages", []):
            for message in messages:
                self._alerts.append(json.loads(message["Body"]))
                self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        mine = (one for one in self._alerts if one["source"] == f"db-instance/{source}")
        return Counter((one["event_id"], one["time"]) for one in mine)

    def close(self) -> None:
        """Delete the rows and the messages of this run."""
        self.alerts(self.run_id)
        for source in (self.run_id, self.database):
            for row in self._rows(source, ""):
                self.stack.client("dynamodb").delete_item(
                    TableName=self.stack.output("JournalTableName"),
                    Key={name: {"S": row[name]} for name in ("source", "event")},
                )
        self.failed.close()
        self.undelivered.close()


def _written(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z"
