"""The runs of one scenario: one-time copies of the deployed schedule, and what became of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from scenarios.framework import DeployedStack, NotYet, require
from scenarios.support.failure_queue import FailureQueue, Messages

ZONE = "Europe/Berlin"


class Nights:
    """The runs of one scenario.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.run_id = uuid4().hex[:8]
        self.stack = stack
        self.function = stack.output("FunctionName")
        self._scheduler = stack.client("scheduler")
        self._dynamodb = stack.client("dynamodb")
        deployed = self._scheduler.get_schedule(Name=stack.output("ScheduleName"))
        self.deployed: dict[str, Any] = deployed
        self._last, self._times = 0, list[str]()
        self.failed = FailureQueue(
            stack, stack.output("FailureQueueUrl"), lambda one: self.run_id in json.dumps(one.event)
        )
        self.undelivered = Messages(
            stack, stack.output("UndeliveredQueueUrl"), lambda body: self.run_id in body
        )

    def schedule(self, at: str = "", **payload: Any) -> str:
        """Make a one-time copy of the schedule, for the next second that is free; return its time in UTC.

        Args:
            at: Another time: that of an earlier copy, for a duplicate.
            **payload: More for the function.
        """
        at = at or self.next_time()
        local = datetime.fromisoformat(at.replace("Z", "+00:00")).astimezone(ZoneInfo(ZONE))
        target = dict(self.deployed["Target"])
        event = {**json.loads(target["Input"]), "payload": {"run": self.run_id, **payload}}
        self._scheduler.create_schedule(
            Name=f"once-{self.run_id}-{uuid4().hex[:8]}",
            ScheduleExpression=f"at({local:%Y-%m-%dT%H:%M:%S})",
            ScheduleExpressionTimezone=ZONE,
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={**target, "Input": json.dumps(event)},
        )
        return at

    def next_time(self) -> str:
        """The next second that is free."""
        self._last = max(int(time.time()) + 1, self._last + 1)
        self._times.append(f"{datetime.fromtimestamp(self._last, UTC):%Y-%m-%dT%H:%M:%SZ}")
        return self._times[-1]

    def report(self, at: str) -> dict[str, Any] | None:
        """The report of a scheduled time.

        Raises:
            ScenarioFailed: It had more than one effect.
        """
        item = self._get("ReportsTableName", {"scheduled_time": {"S": at}})
        require(item is None or item["times"] == {"N": "1"}, f"more than one effect: {item}")
        return item

    def wait_for_report(self, at: str) -> dict[str, Any]:
        """Wait for the report of a scheduled time.

        Raises:
            ScenarioFailed: It does not come, or Scheduler could not deliver.
        """

        def check() -> dict[str, Any]:
            for letter in self.undelivered.poll():
                error = letter["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]
                require(at not in letter["Body"], f"the event of {at} was not delivered: {error}")
            if (item := self.report(at)) is None:
                raise NotYet("there is no report")
            return item

        return self.stack.wait_until(check, f"report of {at}")

    def wait_for_end(self, at: str) -> str:
        """Wait until a run has ended, and return how."""

        def check() -> str:
            item = self._get("RunsTableName", {"id": {"S": f"{self.function}#{at}"}})
            if item is None:
                raise NotYet("it has not ended")
            return str(item["outcome"]["S"])

        return self.stack.patient.wait_until(check, f"run of {at}")

    def wait_for_outcomes(self, at: str, count: int) -> list[str]:
        """Wait until the function has logged this number of ends of a run, and return them."""

        def check() -> list[str]:
            found = [line["outcome"] for line in self._log() if line.get("scheduled_time") == at]
            if len(found) < count:
                raise NotYet(f"{found}")
            return sorted(found)

        return self.stack.patient.wait_until(check, f"log of {at}")

    def lease(self) -> dict[str, Any] | None:
        """The lease, if a run holds it."""
        return self._get("RunsTableName", {"id": {"S": f"{self.function}#lease"}})

    def take_lease(self, at: str, *, until: float) -> None:
        """Take the lease as the run of a time does, until another time."""
        item = {
            "id": {"S": f"{self.function}#lease"},
            "token": {"S": self.run_id},
            "scheduled_time": {"S": at},
            "held_until": {"N": f"{until:.3f}"},
        }
        self._dynamodb.put_item(TableName=self.stack.output("RunsTableName"), Item=item)

    @contextmanager
    def concurrency(self, reserved: int) -> Iterator[None]:
        """Reserve concurrency for the function while the body runs."""
        client = self.stack.client("lambda")
        client.put_function_concurrency(FunctionName=self.function, ReservedConcurrentExecutions=reserved)
        try:
            yield
        finally:
            client.delete_function_concurrency(FunctionName=self.function)

    def close(self) -> None:
        """Delete reports, runs and messages."""
        for at in self._times:
            self._delete("ReportsTableName", {"scheduled_time": {"S": at}})
            self._delete("RunsTableName", {"id": {"S": f"{self.function}#{at}"}})
        lease = self.lease()  # left if the run could not give it back
        if lease is not None and lease["scheduled_time"]["S"] in self._times:
            self._delete("RunsTableName", {"id": lease["id"]})
        self.failed.close()
        self.undelivered.close()

    def met(self, at: str) -> int:
        """How many attempts of other runs met the run of a time at work."""
        return sum(f"the run of {at} holds the lease" in message for message in self._messages())

    def timed_out(self) -> bool:
        """Whether Lambda has ended a run of the function that took too long."""
        return any("Task timed out" in message for message in self._messages())

    def _log(self) -> Iterator[dict[str, Any]]:
        for message in self._messages():
            if message.startswith("{") and '"outcome"' in message:
                yield json.loads(message)

    def _messages(self) -> Iterator[str]:
        settings = self.stack.client("lambda").get_function_configuration(FunctionName=self.function)
        pages = self.stack.client("logs").get_paginator("filter_log_events")
        for page in pages.paginate(logGroupName=settings["LoggingConfig"]["LogGroup"]):
            yield from (event["message"] for event in page["events"])

    def _get(self, table: str, key: dict[str, Any]) -> dict[str, Any] | None:
        found = self._dynamodb.get_item(TableName=self.stack.output(table), Key=key, ConsistentRead=True)
        item: dict[str, Any] | None = found.get("Item")
        return item

    def _delete(self, table: str, key: dict[str, Any]) -> None:
        self._dynamodb.delete_item(TableName=self.stack.output(table), Key=key)
