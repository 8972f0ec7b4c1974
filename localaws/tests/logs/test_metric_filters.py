"""Metric filters publish the values of matching log events, and patterns distinguish case."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from localaws import LocalAws

pytestmark = pytest.mark.local


class Logged:
    """A log group with a stream, whose metric filters publish to a namespace of their own."""

    def __init__(self, aws: LocalAws) -> None:
        self.aws, self.logs, self.name = aws, aws.client("logs"), f"group-{uuid.uuid4().hex[:8]}"
        self.logs.create_log_group(logGroupName=self.name)
        self.logs.create_log_stream(logGroupName=self.name, logStreamName="stream")

    def filter(self, pattern: str, value: str = "1", **settings: Any) -> None:
        """Put a metric filter."""
        metric = {"metricNamespace": self.name, "metricName": "found", "metricValue": value, **settings}
        place = {"logGroupName": self.name, "filterName": "filter"}
        self.logs.put_metric_filter(**place, filterPattern=pattern, metricTransformations=[metric])

    def write(self, *messages: str) -> None:
        """Put the events together."""
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": message} for message in messages]
        self.logs.put_log_events(logGroupName=self.name, logStreamName="stream", logEvents=events)

    def sums(self, **dimensions: str) -> tuple[float, float]:
        """The sum and the number of the published values."""
        now = datetime.now(UTC)
        found = self.aws.client("cloudwatch").get_metric_statistics(
            Namespace=self.name,
            MetricName="found",
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=60,
            Statistics=["Sum", "SampleCount"],
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        )["Datapoints"]
        return sum(one["Sum"] for one in found), sum(one["SampleCount"] for one in found)


def test_each_matching_event_is_a_value_and_none_the_default(local_aws: LocalAws) -> None:
    group = Logged(local_aws)
    group.filter("ERROR", defaultValue=0)
    group.write("ERROR: one", "error: two", "ERROR: three")
    assert group.sums() == (2, 2)
    group.write("all is well")
    assert group.sums() == (2, 3)


def test_values_and_dimensions_are_taken_from_json(local_aws: LocalAws) -> None:
    group = Logged(local_aws)
    group.filter("{ $.latency > 0 }", "$.latency", dimensions={"Service": "$.service"})
    group.write(
        *(json.dumps({"latency": number, "service": "shop"}) for number in (20, 30)), '{"latency": 5}'
    )
    assert group.sums(Service="shop") == (50, 2)


def test_a_search_distinguishes_case_and_reads_json(local_aws: LocalAws) -> None:
    group = Logged(local_aws)
    group.write('{"level": "ERROR"}', '{"level": "INFO"}', "error")

    def found(pattern: str) -> list[str]:
        answer = local_aws.client("logs").filter_log_events(logGroupName=group.name, filterPattern=pattern)
        return [event["message"] for event in answer["events"]]

    assert found("ERROR") == ['{"level": "ERROR"}']
    assert found('{ $.level = "INFO" }') == ['{"level": "INFO"}']


def test_what_is_no_pattern_is_refused(local_aws: LocalAws) -> None:
    group = Logged(local_aws)
    with pytest.raises(group.logs.exceptions.InvalidParameterException, match="Invalid filter pattern"):
        group.filter("{ level }")


def test_the_emulator_still_publishes_nothing(stock_aws: LocalAws) -> None:
    group = Logged(stock_aws)
    group.filter("ERROR")
    group.write("ERROR: one")
    assert group.sums() == (0, 0)
