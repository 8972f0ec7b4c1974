"""The orders of one run: sends them, and collects what became of them at every kind of destination."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from scenarios.framework import DeployedStack, NotYet, require
from scenarios.support.failure_queue import Messages

Record = dict[str, Any]

#: The kinds of destination, with the number of attempts that the function with each of them makes.
KINDS = {"Queue": 3, "Topic": 2, "Function": 1, "Bus": 1, "Bucket": 1}


class Orders:
    """The orders of one run.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.run_id = uuid4().hex[:8]
        self.stack = stack
        self.functions = {kind: stack.output(f"{kind}FunctionName") for kind in KINDS}
        self._lambda = stack.client("lambda")
        self._dynamodb = stack.client("dynamodb")
        self._patient = stack.patient
        self._records, self.failed, self._letters = (
            Messages(stack, stack.output(f"{name}QueueUrl"), lambda body: self.run_id in body)
            for name in ("Records", "QueueFailure", "DeadLetters")
        )
        self._stored: dict[str, Record] = {}
        self._ids: set[str] = set()

    def order(self, quantity: int = 1, **more: float) -> dict[str, Any]:
        """Make an order; with a quantity of 0 it cannot be shipped."""
        order_id = f"{self.run_id}-{uuid4().hex[:12]}"
        self._ids.add(order_id)
        return {"order_id": order_id, "quantity": quantity, **more}

    def send(self, kind: str, order: dict[str, Any]) -> str:
        """Send an order asynchronously, and return the request id."""
        answer = self._lambda.invoke(
            FunctionName=self.functions[kind], InvocationType="Event", Payload=json.dumps(order)
        )
        return str(answer["ResponseMetadata"]["RequestId"])

    def shipped(self, order: dict[str, Any]) -> str | None:
        """The parcel of an order, if it is shipped.

        Raises:
            ScenarioFailed: It is shipped more than once.
        """
        key = {"order_id": {"S": order["order_id"]}}
        table = self.stack.output("ShipmentsTableName")
        item = self._dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
        if item is None:
            return None
        require(item["times"] == {"N": "1"}, f"an order was shipped more than once: {item}")
        return str(item["parcel"]["S"])

    def wait_until_shipped(self, order: dict[str, Any]) -> str:
        """Wait until an order is shipped, and return its parcel."""

        def check() -> str:
            if (found := self.shipped(order)) is None:
                raise NotYet("it is not shipped")
            return found

        return self.stack.wait_until(check, f"order {order['order_id']}")

    def record(self, kind: str, request_id: str) -> Record:
        """Wait for the record of an event at the destination of its function."""

        def check() -> Record:
            for record in self._arrived(kind):
                if record.get("detail", record)["requestContext"]["requestId"] == request_id:
                    return record
            raise NotYet("there is none")

        return self._patient.wait_until(check, f"the record of an event at the {kind}")

    def dead_letter(self, request_id: str) -> dict[str, Any]:
        """Wait for the dead letter of an event."""

        def check() -> dict[str, Any]:
            for letter in self._letters.poll():
                if letter["MessageAttributes"]["RequestID"]["StringValue"] == request_id:
                    return letter
            raise NotYet("there is none")

        return self._patient.wait_until(check, "the dead letter of an event")

    def log(self, kind: str) -> list[dict[str, Any]]:
        """The lines that the function of a kind has logged as JSON."""
        settings = self._lambda.get_function_configuration(FunctionName=self.functions[kind])
        return list(self._lines(settings["LoggingConfig"]["LogGroup"]))

    def count(self, metric: str, kind: str) -> float:
        """The sum of a metric of a function over the last hour."""
        now = datetime.now(UTC)
        points = self.stack.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName=metric,
            Dimensions=[{"Name": "FunctionName", "Value": self.functions[kind]}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=1),
            Period=3600 * 2,
            Statistics=["Sum"],
        )["Datapoints"]
        return sum(float(point["Sum"]) for point in points)

    @contextmanager
    def concurrency(self, kind: str, reserved: int) -> Iterator[None]:
        """Reserve concurrency for a function while the body runs."""
        function = self.functions[kind]
        self._lambda.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=reserved)
        try:
            yield
        finally:
            self._lambda.delete_function_concurrency(FunctionName=function)

    @contextmanager
    def maximum_age(self, kind: str, seconds: int) -> Iterator[None]:
        """Change the maximum age of the events of a function while the body runs."""
        where = {"FunctionName": self.functions[kind], "Qualifier": "$LATEST"}
        before = self._lambda.get_function_event_invoke_config(**where)["MaximumEventAgeInSeconds"]
        self._lambda.update_function_event_invoke_config(**where, MaximumEventAgeInSeconds=seconds)
        try:
            yield
        finally:
            self._lambda.update_function_event_invoke_config(**where, MaximumEventAgeInSeconds=before)

    @contextmanager
    def timeout(self, kind: str, seconds: int) -> Iterator[None]:
        """Change the timeout of a function while the body runs; what is running keeps the one that it had."""
        function = self.functions[kind]
        before = self._lambda.get_function_configuration(FunctionName=function)["Timeout"]
        self._lambda.update_function_configuration(FunctionName=function, Timeout=seconds)
        try:
            self._lambda.get_waiter("function_updated_v2").wait(FunctionName=function)
            yield
        finally:
            self._lambda.update_function_configuration(FunctionName=function, Timeout=before)
            self._lambda.get_waiter("function_updated_v2").wait(FunctionName=function)

    def close(self) -> None:
        """Delete what this run has left: rows, results, records, dead letters."""
        for order_id in self._ids:
            key = {"order_id": {"S": order_id}}
            self._dynamodb.delete_item(TableName=self.stack.output("ShipmentsTableName"), Key=key)
        table = self.stack.output("IdempotencyTableName")
        for page in self._dynamodb.get_paginator("scan").paginate(TableName=table):
            for item in page["Items"]:
                if self.run_id in item.get("data", {"S": ""})["S"]:
                    self._dynamodb.delete_item(TableName=table, Key={"id": item["id"]})
        for queue in (self._records, self.failed, self._letters):
            while queue.poll():
                queue.close()
        self._arrived("Bucket")
        for name in self._stored:
            self.stack.client("s3").delete_object(Bucket=self.stack.output("BucketName"), Key=name)

    def _arrived(self, kind: str) -> list[Record]:
        """The records of this run at the destination of a kind so far."""
        if kind == "Function":
            return list(self._lines(self.stack.output("PrinterLogGroupName")))
        if kind == "Bucket":
            s3, bucket = self.stack.client("s3"), self.stack.output("BucketName")
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for name in {one["Key"] for one in page.get("Contents", [])} - self._stored.keys():
                    text = s3.get_object(Bucket=bucket, Key=name)["Body"].read().decode()
                    if self.run_id in text:
                        self._stored[name] = json.loads(text)
            return list(self._stored.values())
        messages = [*self._records.poll(), *(self.failed.poll() if kind == "Queue" else [])]
        return [json.loads(message["Body"]) for message in messages]

    def _lines(self, group: str) -> Iterator[dict[str, Any]]:
        logs = self.stack.client("logs").get_paginator("filter_log_events")
        for page in logs.paginate(logGroupName=group):
            for event in page["events"]:
                if event["message"].startswith("{") and (
                    self.run_id in event["message"] or "function_request_id" in event["message"]
                ):
                    yield json.loads(event["message"])
