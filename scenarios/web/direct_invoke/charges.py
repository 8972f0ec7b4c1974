"""The charges of one run, in the table and as the caller sees them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from scenarios.framework import DeployedStack, NotYet, require
from scenarios.support.failure_queue import FailureQueue


class Charges:
    """The charges of one run.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.run_id = uuid4().hex[:8]
        self._stack = stack
        self._lambda = stack.client("lambda")
        self._dynamodb = stack.client("dynamodb")
        self._table = stack.output("TableName")
        self._keys: set[str] = set()
        self.failed = FailureQueue(
            stack, stack.output("FailureQueueUrl"), lambda failed: self.run_id in json.dumps(failed.event)
        )

    def request(self, cents: int = 1250, **more: float) -> dict[str, Any]:
        """A request to charge an account of this run."""
        return {"account": f"{self.run_id}-account", "cents": cents, **more}

    def key(self) -> str:
        """A new idempotency key."""
        key = f"{self.run_id}-{uuid4().hex}"
        self._keys.add(key)
        return key

    def call(self, key: str, request: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Let the caller send a request, and return what its client returned or raised."""
        event = {"request": request, "idempotency_key": key, **more}
        answer = self._lambda.invoke(
            FunctionName=self._stack.output("CallerFunctionName"), Payload=json.dumps(event)
        )
        body = json.load(answer["Payload"])
        require("FunctionError" not in answer, f"the caller failed: {body}")
        return dict(body)

    def booked(self, key: str) -> str | None:
        """The id of the charge with a key, if it is booked."""
        answer = self._dynamodb.get_item(
            TableName=self._table, Key={"idempotency_key": {"S": key}}, ConsistentRead=True
        )
        return answer["Item"]["charge_id"]["S"] if "Item" in answer else None

    def wait_for(self, key: str) -> None:
        """Wait until a charge is booked."""

        def check() -> None:
            if self.booked(key) is None:
                raise NotYet("it is not booked")

        self._stack.wait_until(check, f"charge {key}")

    def throttles(self) -> float:
        """How often the function was throttled in the last hour."""
        now = datetime.now(UTC)
        points = self._stack.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName="Throttles",
            Dimensions=[{"Name": "FunctionName", "Value": self._stack.output("FunctionName")}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=1),
            Period=3600 * 2,
            Statistics=["Sum"],
        )["Datapoints"]
        return sum(float(point["Sum"]) for point in points)

    def wait_for_throttle(self, before: float) -> None:
        """Wait until the function is throttled once more."""

        def check() -> None:
            if self.throttles() <= before:
                raise NotYet(f"{before:g} so far")

        self._stack.wait_until(check, "a throttle")

    def close(self) -> None:
        """Delete the charges and failed events of this run."""
        for key in self._keys:
            self._dynamodb.delete_item(TableName=self._table, Key={"idempotency_key": {"S": key}})
        self.failed.close()
