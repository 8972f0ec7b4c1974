"""Metric filters publish the values of matching log events, and patterns distinguish case."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.refusals import Row, check, ids
from helpers.stacks import DeploymentFailedError, Stack, template
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


def test_values_and_dimensions_are_taken_from_fields(local_aws: LocalAws) -> None:
    group = Logged(local_aws)
    group.filter("[ip, verb, status = 4*, bytes]", "$bytes", dimensions={"Verb": "$verb"})
    group.write("10.0.0.1 GET 404 10", "10.0.0.1 GET 200 99", "10.0.0.2 GET 403 20")
    assert group.sums(Verb="GET") == (30, 2)


def test_a_filter_can_be_tested(local_aws: LocalAws) -> None:
    def found(pattern: str, *messages: str) -> list[dict[str, Any]]:
        request = {"filterPattern": pattern, "logEventMessages": list(messages)}
        matches: list[dict[str, Any]] = local_aws.client("logs").test_metric_filter(**request)["matches"]
        return matches

    assert found("[verb, status = 4*]", "GET 200", "GET 404") == [
        {"eventNumber": 2, "eventMessage": "GET 404", "extractedValues": {"$verb": "GET", "$status": "404"}}
    ]
    (match,) = found("{ $.a > 1 }", '{"a": 2}')
    assert match["extractedValues"] == {"$.a": "2"}


METRIC = {"metricNamespace": "n", "metricName": "m", "metricValue": "1"}
PLACE = {"logGroupName": "held", "filterName": "f"}
INVALID = "InvalidParameterException"
REFUSED: list[Row] = [
    (
        "filter_log_events",
        {"logGroupName": "held", "filterPattern": "{ a }"},
        INVALID,
        "Invalid filter pattern",
    ),
    (
        "test_metric_filter",
        {"filterPattern": "{ a }", "logEventMessages": ["a"]},
        INVALID,
        "Invalid metric filter",
    ),
    (
        "put_metric_filter",
        {**PLACE, "filterPattern": "a:b", "metricTransformations": [METRIC]},
        INVALID,
        "Invalid character(s) in term ':'",
    ),
    (
        "put_subscription_filter",
        {
            **PLACE,
            "filterPattern": "{ a }",
            "destinationArn": "arn:aws:lambda:us-east-1:123456789012:function:f",
        },
        INVALID,
        "Invalid subscription filter pattern",
    ),
    (
        "put_metric_filter",
        {
            **PLACE,
            "filterPattern": "ERROR",
            "metricTransformations": [{**METRIC, "dimensions": {"a": "$.a"}}],
        },
        INVALID,
        "does not support dimensions",
    ),
    (
        "put_metric_filter",
        {
            **PLACE,
            "filterPattern": "{ $.a = * }",
            "metricTransformations": [{**METRIC, "dimensions": {"a": "$.a"}, "defaultValue": 0}],
        },
        INVALID,
        "mutually exclusive",
    ),
]


@pytest.mark.parametrize("row", REFUSED, ids=ids(REFUSED))
def test_a_filter_is_refused(local_aws: LocalAws, row: Row) -> None:
    check(local_aws, "logs", row)


def test_only_log_groups_of_the_class_standard_have_filters(local_aws: LocalAws) -> None:
    logs, name = local_aws.client("logs"), f"group-{uuid.uuid4().hex[:8]}"
    logs.create_log_group(logGroupName=name, logGroupClass="INFREQUENT_ACCESS")
    place = {"logGroupName": name, "filterName": "f", "filterPattern": ""}
    destination = "arn:aws:lambda:us-east-1:123456789012:function:f"
    for operation, request in (
        ("put_metric_filter", {**place, "metricTransformations": [METRIC]}),
        ("put_subscription_filter", {**place, "destinationArn": destination}),
        ("describe_subscription_filters", {"logGroupName": name}),
    ):
        with pytest.raises(ClientError, match="only supported on the Standard log class"):
            getattr(logs, operation)(**request)


def test_a_stack_with_what_is_no_pattern_fails(local_aws: LocalAws) -> None:
    group = Logged(local_aws)
    transformation = {"MetricNamespace": "n", "MetricName": "m", "MetricValue": "1"}
    properties = {
        "LogGroupName": group.name,
        "FilterPattern": "{ $.a EXISTS }",
        "MetricTransformations": [transformation],
    }
    stack = Stack(local_aws, f"stack-{group.name}")
    with pytest.raises(DeploymentFailedError, match="Invalid metric filter pattern"):
        stack.deploy(template({"Filter": {"Type": "AWS::Logs::MetricFilter", "Properties": properties}}))


def test_the_emulator_still_publishes_nothing(stock_aws: LocalAws) -> None:
    group = Logged(stock_aws)
    group.filter("ERROR")
    group.write("ERROR: one")
    assert group.sums() == (0, 0)
