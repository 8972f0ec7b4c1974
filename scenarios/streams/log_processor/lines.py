"""The log events of one run, and what became of them."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

from scenarios.framework import DeployedStack, NotYet
from scenarios.support.failure_queue import FailureQueue, Messages
from scenarios.support.tables import query

#: A stack trace as Python prints it, each line an event of its own.
TRACE = (
    "Traceback (most recent call last):",
    '  File "till.py", line 7, in pay',
    "    raise Refused",
    "a.RefusedError",
)
# Older numbers of a metric take CloudWatch hours to show.
_OLDEST_MINUTE = 100
_MINUTE = "%Y-%m-%dT%H:%MZ"


class Lines:
    """What one run writes, and what the processor makes of it.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self._stack, self.run_id = stack, f"run-{uuid4().hex[:8]}"
        self._logs, self._dynamodb = stack.client("logs"), stack.client("dynamodb")
        self._lambda = stack.client("lambda")
        self.till, self.shop = stack.output("TillLogGroupName"), stack.output("ShopLogGroupName")
        self._table = {"TableName": stack.output("FindingsTableName")}
        self._streams: list[str] = []
        self._sent = {self.till: 0, self.shop: 0}
        self._began = int(time.time() * 1000) - 1000
        self.minute = self._free_minute()
        self.timestamp = int(datetime.fromisoformat(self.minute).timestamp() * 1000)
        self.alerts = Messages(stack.patient, stack.output("InboxQueueUrl"), lambda body: self.run_id in body)
        self.failed = FailureQueue(
            stack.patient, stack.output("FailureQueueUrl"), lambda one: self.run_id in _text_of(one.event)
        )

    # --- What the run writes

    def sell(self, invocations: int, lines: int) -> int:
        """Let the shop write lines in JSON; return how many of them are errors."""
        payload = json.dumps({"run": self.run_id, "lines": lines})
        for _ in range(invocations):
            self._lambda.invoke(FunctionName=self._stack.output("ShopFunctionName"), Payload=payload)
        self._sent[self.shop] += (errors := invocations * len(range(0, lines, 50)))
        return errors

    def write(self, *messages: str) -> None:
        """Write lines to the log of the till, at the minute of this run."""
        stream = f"{self.run_id}/{len(self._streams)}"
        self._logs.create_log_stream(logGroupName=self.till, logStreamName=stream)
        self._streams.append(stream)
        events = [{"timestamp": self.timestamp, "message": message} for message in messages]
        self._logs.put_log_events(logGroupName=self.till, logStreamName=stream, logEvents=events)
        self._sent[self.till] += len(events)

    def error(self, number: int) -> Sequence[str]:
        """An error with its stack trace, in several events."""
        return f"ERROR {self.run_id}: payment {number} refused", *TRACE

    def deliver(self, events: Sequence[Any]) -> None:
        """Invoke the processor with a batch, as CloudWatch Logs does."""
        envelope = {
            "messageType": "DATA_MESSAGE",
            "owner": "",
            "logGroup": self.till,
            "logStream": f"{self.run_id}/again",
            "subscriptionFilters": ["again"],
            "logEvents": events,
        }
        self._sent[self.till] += len(events)
        self.invoke(gzip.compress(json.dumps(envelope).encode()))

    def invoke(self, data: bytes) -> None:
        """Invoke the processor with anything."""
        payload = json.dumps({"awslogs": {"data": base64.b64encode(data).decode()}})
        function = self._stack.output("FunctionName")
        self._lambda.invoke(FunctionName=function, InvocationType="Event", Payload=payload)

    def delivered(self) -> list[dict[str, Any]]:
        """What the till has written, as CloudWatch Logs sends it."""
        pages = self._logs.get_paginator("filter_log_events").paginate(
            logGroupName=self.till, logStreamNames=self._streams
        )
        return [
            {"id": one["eventId"], "timestamp": one["timestamp"], "message": one["message"]}
            for page in pages
            for one in page["events"]
        ]

    # --- What became of it

    def wait_for_problems(self, count: int) -> list[dict[str, Any]]:
        """Wait until there are as many problems of this run in the table; return their rows."""

        def check() -> list[dict[str, Any]]:
            rows = self.problems()
            if len(rows) < count:
                raise NotYet(f"{len(rows)} of {count}")
            return rows

        return self._stack.patient.wait_until(check, f"{count} problems of {self.run_id}")

    def problems(self) -> list[dict[str, Any]]:
        """The rows of the problems of this run."""
        return [
            {name: next(iter(value.values())) for name, value in item.items()}
            for group in (self.till, self.shop)
            for item in self._items(group, "problem#")
            if self.run_id in item["summary"]["S"]
        ]

    def _items(self, group: str, prefix: str) -> list[dict[str, Any]]:
        return query(
            self._dynamodb,
            **self._table,
            KeyConditionExpression="log_group = :group AND begins_with(entry, :prefix)",
            ExpressionAttributeValues={":group": {"S": group}, ":prefix": {"S": prefix}},
        )

    def numbers(self, group: str) -> dict[str, int]:
        """The numbers of all minutes of a log group."""
        items = self._items(group, "minute#")
        return {one["entry"]["S"].partition("#")[2]: int(one["problems"]["N"]) for one in items}

    def wait_for_metric(self, number: int) -> None:
        """Wait until the metric of the till and of the minute of this run is the number."""

        def check() -> None:
            if (seen := self._metric().get(self.minute)) != number:
                raise NotYet(str(seen))

        self._stack.wait_until(check, f"metric of {self.minute} at {number}")

    def _metric(self) -> dict[str, int]:
        """The metric of the till, by minutes."""
        now = datetime.now(UTC)
        found = self._stack.client("cloudwatch").get_metric_statistics(
            Namespace=self._stack.output("MetricNamespace"),
            MetricName="Problems",
            Dimensions=[
                {"Name": "LogGroup", "Value": self.till},
                {"Name": "service", "Value": "log-processor"},
            ],
            StartTime=now - timedelta(minutes=_OLDEST_MINUTE + 5),
            EndTime=now,
            Period=60,
            Statistics=["Maximum"],
        )
        return {
            f"{one['Timestamp'].astimezone(UTC):{_MINUTE}}": int(one["Maximum"])
            for one in found["Datapoints"]
        }

    def _free_minute(self) -> str:
        """A minute that has passed, of which neither table nor metric know: only this run writes of it."""
        taken, now = self.numbers(self.till).keys() | self._metric().keys(), datetime.now(UTC)
        minutes = (f"{now - timedelta(minutes=ago):{_MINUTE}}" for ago in range(5, _OLDEST_MINUTE))
        return next(minute for minute in minutes if minute not in taken)

    def settle(self, lost: int = 0) -> None:
        """Wait until the function has processed all that was written, as its log says.

        Args:
            lost: How many events of the till it did not get.
        """
        settings = self._lambda.get_function_configuration(FunctionName=self._stack.output("FunctionName"))
        pages = self._logs.get_paginator("filter_log_events")
        for group, where in ((self.till, f'log_stream = "{self.run_id}/*"'), (self.shop, "log_stream = *")):
            pattern = f'{{ $.message = "processed" && $.log_group = "{group}" && $.{where} }}'
            expected = self._sent[group] - (lost if group == self.till else 0)
            ask = partial(
                pages.paginate,
                logGroupName=settings["LoggingConfig"]["LogGroup"],
                startTime=self._began,
                filterPattern=pattern,
            )

            def check(ask: Any = ask, expected: int = expected) -> None:
                events = [json.loads(one["message"])["events"] for page in ask() for one in page["events"]]
                if sum(events) < expected:
                    raise NotYet(f"{sum(events)} of {expected} events")

            self._stack.patient.wait_until(check, f"log of what was processed of {group}")

    def close(self) -> None:
        """Delete the rows, the messages and the log streams of this run."""
        mine = self.problems()
        minutes = {(one["log_group"], f"minute#{one['minute']}") for one in mine}
        for group, entry in {(one["log_group"], one["entry"]) for one in mine} | minutes:
            self._dynamodb.delete_item(**self._table, Key={"log_group": {"S": group}, "entry": {"S": entry}})
        for stream in self._streams:
            self._logs.delete_log_stream(logGroupName=self.till, logStreamName=stream)
        self.alerts.close()
        self.failed.close()


def _text_of(event: Any) -> str:
    try:
        data = base64.b64decode(event["awslogs"]["data"])
        return (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode()
    except (KeyError, TypeError, ValueError, OSError):
        return str(event)
