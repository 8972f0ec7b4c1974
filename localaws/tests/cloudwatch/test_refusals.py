"""Alarms, metric data and queries that CloudWatch refuses."""

from __future__ import annotations

import time
from typing import Any

import pytest

from helpers.refusals import Row, check, client, ids
from localaws import LocalAws

pytestmark = pytest.mark.local

TOPIC = "arn:aws:sns:us-east-1:123456789012:any"
INVALID, VALUE = "ValidationError", "InvalidParameterValue"
NOW = time.time()
ALARM = {
    "AlarmName": "alarm",
    "MetricName": "m",
    "Namespace": "n",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1,
    "ComparisonOperator": "GreaterThanThreshold",
}


def alarm(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**ALARM, **changes}.items() if value is not None}


def metric(*, count: int = 1, namespace: str = "n", **changes: Any) -> dict[str, Any]:
    datum = {
        name: value for name, value in {"MetricName": "m", "Value": 1, **changes}.items() if value is not None
    }
    return {"Namespace": namespace, "MetricData": [datum] * count}


def statistics(**changes: Any) -> dict[str, Any]:
    given = {"Namespace": "n", "MetricName": "m", "Period": 60, "Statistics": ["Sum"]}
    return {**given, "StartTime": NOW - 3600, "EndTime": NOW, **changes}


def query(number: int) -> dict[str, Any]:
    stat = {"Metric": {"Namespace": "n", "MetricName": "m"}, "Period": 60, "Stat": "Sum"}
    return {"Id": f"m{number}", "MetricStat": stat, "ReturnData": False}


def math_alarm(count: int) -> dict[str, Any]:
    total = {"Id": "e", "Expression": "+".join(f"m{number}" for number in range(count))}
    only = {
        name: ALARM[name] for name in ("AlarmName", "EvaluationPeriods", "Threshold", "ComparisonOperator")
    }
    return {**only, "Metrics": [*map(query, range(count)), total]}


def composite(count: int) -> dict[str, Any]:
    rule = " OR ".join(f'ALARM("a{number}")' for number in range(count))
    return {"AlarmName": "all", "AlarmRule": rule}


def data(count: int, *, same: bool = False) -> dict[str, Any]:
    queries = [{**query(0 if same else number), "ReturnData": True} for number in range(count)]
    return {"MetricDataQueries": queries, "StartTime": NOW - 60, "EndTime": NOW}


def dimensions(count: int) -> list[dict[str, str]]:
    return [{"Name": f"d{number}", "Value": "v"} for number in range(count)]


REFUSED: list[Row] = [
    ("put_metric_alarm", alarm(AlarmName=""), INVALID, "Value '' at 'alarmName' failed"),
    ("put_metric_alarm", alarm(AlarmName="x" * 256), INVALID, "less than or equal to 255"),
    ("put_metric_alarm", alarm(AlarmDescription="x" * 1025), INVALID, "less than or equal to 1024"),
    ("put_metric_alarm", alarm(Namespace=":n"), INVALID, "Value ':n' at 'namespace' failed"),
    ("put_metric_alarm", alarm(Unit="Meter"), INVALID, "Value 'Meter' at 'unit' failed"),
    ("put_metric_alarm", alarm(Dimensions=dimensions(31)), INVALID, "less than or equal to 30"),
    ("put_metric_alarm", alarm(AlarmActions=[TOPIC] * 6), INVALID, "less than or equal to 5"),
    ("put_metric_alarm", alarm(OKActions=["topic"]), INVALID, "Invalid arn syntax: topic"),
    (
        "put_metric_alarm",
        alarm(AlarmActions=[TOPIC.replace("us-east-1", "eu-west-1")]),
        INVALID,
        "Invalid region eu-west-1 specified. Only us-east-1 is supported.",
    ),
    ("put_metric_alarm", alarm(Namespace="AWS/Lambda", Period=10), INVALID, "Only a period greater than 60s"),
    ("put_metric_alarm", alarm(Period=45), INVALID, ""),
    ("put_metric_alarm", alarm(EvaluationPeriods=0), INVALID, "greater than or equal to 1"),
    ("put_metric_alarm", alarm(Period=3600, EvaluationPeriods=169), INVALID, ""),
    ("put_metric_alarm", alarm(DatapointsToAlarm=2), INVALID, ""),
    ("put_metric_alarm", alarm(ExtendedStatistic="p99"), INVALID, ""),
    ("put_metric_alarm", alarm(Statistic=None), INVALID, ""),
    ("put_metric_alarm", alarm(Statistic=None, ExtendedStatistic="p101"), INVALID, ""),
    ("put_metric_alarm", alarm(TreatMissingData="no"), INVALID, ""),
    ("put_metric_alarm", math_alarm(11), INVALID, "10 queries with MetricStat"),
    ("put_metric_alarm", alarm(EvaluateLowSampleCountPercentile="nope"), INVALID, "nope"),
    ("put_composite_alarm", composite(101), INVALID, "101 alarms; it may name 100"),
    ("put_dashboard", {"DashboardName": "d d", "DashboardBody": "{}"}, "InvalidParameterInput", "d d"),
    ("get_metric_data", data(501), INVALID, "size greater than 500"),
    ("get_metric_data", data(2, same=True), INVALID, "not unique"),
    ("get_metric_data", {**data(1), "StartTime": NOW + 60}, INVALID, "must be less than"),
    ("put_metric_data", metric(namespace="AWS/Lambda"), VALUE, "for parameter Namespace is invalid"),
    ("put_metric_data", metric(count=1001), VALUE, "must not have a size greater than 1000"),
    ("put_metric_data", metric(Unit="Meter"), INVALID, "at 'metricData.1.member.unit' failed"),
    ("put_metric_data", metric(Dimensions=dimensions(31)), INVALID, "less than or equal to 30"),
    ("put_metric_data", metric(Value=2e108 * 2), VALUE, "for parameter MetricData.member.1.Value is invalid"),
    ("put_metric_data", metric(Value=None), "MissingParameter", "must be specified"),
    ("put_metric_data", metric(Values=[1.0]), "InvalidParameterCombination", "mutually exclusive"),
    ("put_metric_data", metric(Value=None, Values=[1.0] * 151), VALUE, "size greater than 150"),
    ("put_metric_data", metric(Value=None, Values=[1.0], Counts=[1.0, 2.0]), VALUE, "of the same size"),
    ("put_metric_data", metric(StorageResolution=5), VALUE, "The value 5 for parameter StorageResolution"),
    ("put_metric_data", metric(Timestamp=NOW - 15 * 86_400), VALUE, "within the past two weeks"),
    ("put_metric_data", metric(Timestamp=NOW + 3 * 3600), VALUE, "no more than two hours in the future"),
    ("get_metric_statistics", statistics(Statistics=[]), INVALID, ""),
    ("get_metric_statistics", statistics(Period=61), VALUE, "must be a multiple of 60"),
    (
        "get_metric_statistics",
        statistics(StartTime=NOW + 1),
        VALUE,
        "must be less than the parameter EndTime",
    ),
    (
        "get_metric_statistics",
        statistics(StartTime=NOW - 86_460),
        "InvalidParameterCombination",
        "1,441 datapoints",
    ),
]


@pytest.mark.parametrize("row", REFUSED, ids=ids(REFUSED))
def test_a_request_is_refused(local_aws: LocalAws, row: Row) -> None:
    check(local_aws, "cloudwatch", row)


def test_values_at_the_limits_are_accepted(local_aws: LocalAws) -> None:
    cloudwatch = client(local_aws, "cloudwatch")
    cloudwatch.put_metric_alarm(**alarm(Dimensions=dimensions(30), AlarmActions=[TOPIC], AlarmName="x" * 255))
    cloudwatch.put_metric_data(**metric(count=1000, Timestamp=NOW - 13 * 86_400))
    cloudwatch.put_metric_data(**metric(Value=None, Values=[1.0] * 150, Counts=[1.0] * 150))
    cloudwatch.get_metric_statistics(**statistics(StartTime=NOW - 86_400))
    cloudwatch.put_metric_alarm(**math_alarm(10))
    cloudwatch.get_metric_data(**data(500))


def test_an_alarm_says_when_its_state_changed(local_aws: LocalAws) -> None:
    cloudwatch = client(local_aws, "cloudwatch")
    cloudwatch.put_metric_alarm(**ALARM)
    before = cloudwatch.describe_alarms(AlarmNames=["alarm"])["MetricAlarms"][0]["StateTransitionedTimestamp"]
    cloudwatch.set_alarm_state(AlarmName="alarm", StateValue="ALARM", StateReason="a")
    changed = cloudwatch.describe_alarms(AlarmNames=["alarm"])["MetricAlarms"][0]
    assert before <= changed["StateTransitionedTimestamp"] == changed["StateUpdatedTimestamp"]
