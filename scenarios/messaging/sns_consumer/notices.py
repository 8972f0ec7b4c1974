"""The notices of one run: publishes them, and finds them in the table and in the two queues of a consumer."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from scenarios.framework import DeployedStack, NotYet
from scenarios.support.failure_queue import failed_of_run, undelivered_of_run
from scenarios.support.redrive import redrive
from scenarios.support.tables import query

CONSUMERS = ("Urgent", "Large", "Uploads")


class Notices:
    """The notices of one run.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.run_id = uuid4().hex[:8]
        self.stack = stack
        self.topic = stack.output("TopicArn")
        self._sns = stack.client("sns")
        self._patient = stack.patient
        self.failed = failed_of_run(stack, self.run_id, CONSUMERS)
        self.undelivered = undelivered_of_run(stack, self.run_id, CONSUMERS)
        self._keys: set[str] = set()

    def publish(self, *, severity: str = "high", cents: int = 10, text: str = "notice", **more: Any) -> str:
        """Publish a notice, and return the id of the message."""
        answer = self._sns.publish(
            TopicArn=self.topic,
            Message=json.dumps({"run": self.run_id, "text": text, "cents": cents, **more}),
            MessageAttributes={"severity": {"DataType": "String", "StringValue": severity}},
        )
        return str(answer["MessageId"])

    def upload(self, name: str) -> str:
        """Store an object, and return its key."""
        key = f"{self.run_id}/{name}"
        self._keys.add(key)
        self.stack.client("s3").put_object(Bucket=self.stack.output("BucketName"), Key=key, Body=b"x")
        return key

    def stored(self, consumer: str) -> dict[str, list[str]]:
        """What a consumer has stored, the texts by message id."""
        items = query(
            self.stack.client("dynamodb"),
            TableName=self.stack.output("NoticesTableName"),
            KeyConditionExpression="consumer = :consumer",
            ExpressionAttributeValues={":consumer": {"S": consumer}},
        )
        return {item["message_id"]["S"]: [text["S"] for text in item["texts"]["L"]] for item in items}

    def wait_for(self, consumer: str, *message_ids: str) -> None:
        """Wait until a consumer has stored these messages."""

        def check() -> None:
            if missing := set(message_ids) - self.stored(consumer).keys():
                raise NotYet(f"{len(missing)} of {len(message_ids)} are missing")

        self._patient.wait_until(check, f"notices of {consumer}")

    def wait_for_text(self, consumer: str, text: str) -> None:
        """Wait until a consumer has stored a text."""

        def check() -> None:
            if [text] not in (seen := self.stored(consumer)).values():
                raise NotYet(f"it has stored {seen}")

        self._patient.wait_until(check, f"notices of {consumer}")

    def redrive(self, consumer: str) -> int:
        """Send what is in both queues of a consumer to its function again; return how many were sent."""
        self.failed[consumer].release()
        self.undelivered[consumer].release()
        return sum(
            redrive(
                self.stack.session,
                queue_url=self.stack.output(f"{consumer}{queue}QueueUrl"),
                function_name=self.stack.output(f"{consumer}FunctionName"),
            ).resent
            for queue in ("Failure", "Undelivered")
        )

    def close(self) -> None:
        """Delete objects, notices and messages."""
        for key in self._keys:
            self.stack.client("s3").delete_object(Bucket=self.stack.output("BucketName"), Key=key)
        for name in CONSUMERS:
            for message_id in self.stored(name):
                self.stack.client("dynamodb").delete_item(
                    TableName=self.stack.output("NoticesTableName"),
                    Key={"consumer": {"S": name}, "message_id": {"S": message_id}},
                )
            self.failed[name].close()
            self.undelivered[name].close()
