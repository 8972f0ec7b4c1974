"""Log events in the embedded metric format publish metrics."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from helpers.lambda_functions import Functions, eventually
from localaws import LocalAws

pytestmark = pytest.mark.local


def document(namespace: str, **changes: Any) -> dict[str, Any]:
    directive = {
        "Namespace": namespace,
        "Dimensions": [["Service"], []],
        "Metrics": [{"Name": "Latency", "Unit": "Milliseconds"}, {"Name": "Bad"}],
    }
    head = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    return {"_aws": head, "Service": "shop", "Latency": [10, 20], "Bad": "x"} | changes


def sums(aws: LocalAws, namespace: str, *dimensions: dict[str, str]) -> list[tuple[float, str]]:
    now = datetime.now(UTC)
    found = aws.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName="Latency",
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=3600,
        Statistics=["Sum"],
        Dimensions=list(dimensions),
    )["Datapoints"]
    return [(one["Sum"], one["Unit"]) for one in found]


def test_what_a_function_prints_is_a_metric_for_each_set_of_dimensions(
    functions: Functions, local_aws: LocalAws
) -> None:
    namespace = f"n-{uuid.uuid4().hex[:8]}"
    function = functions.make("import json\ndef handler(event, context): print(json.dumps(event))")
    functions.invoke(function, document(namespace))
    service = {"Name": "Service", "Value": "shop"}
    assert eventually(lambda: sums(local_aws, namespace, service)) == [(30, "Milliseconds")]
    assert sums(local_aws, namespace) == [(30, "Milliseconds")]
    assert len(local_aws.client("cloudwatch").list_metrics(Namespace=namespace)["Metrics"]) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"_aws": []},
        {"_aws": {"CloudWatchMetrics": []}},
        {"Service": 5, "Latency": "x"},
        {"Latency": [1] * 101},
        {"Latency": True},
    ],
)
def test_what_is_not_as_specified_publishes_nothing(local_aws: LocalAws, changes: dict[str, Any]) -> None:
    logs, namespace = local_aws.client("logs"), f"n-{uuid.uuid4().hex[:8]}"
    place = {"logGroupName": namespace, "logStreamName": "s"}
    logs.create_log_group(logGroupName=namespace)
    logs.create_log_stream(**place)
    message = json.dumps(document(namespace) | changes)
    logs.put_log_events(**place, logEvents=[{"timestamp": int(time.time() * 1000), "message": message}])
    assert not local_aws.client("cloudwatch").list_metrics(Namespace=namespace)["Metrics"]


def test_the_emulator_still_publishes_none(stock_functions: Functions, stock_aws: LocalAws) -> None:
    namespace = f"n-{uuid.uuid4().hex[:8]}"
    function = stock_functions.make("import json\ndef handler(event, context): print(json.dumps(event))")
    stock_functions.invoke(function, document(namespace))
    logs, group = stock_aws.client("logs"), f"/aws/lambda/{function}"
    eventually(lambda: logs.filter_log_events(logGroupName=group, filterPattern="REPORT")["events"])
    assert not stock_aws.client("cloudwatch").list_metrics(Namespace=namespace)["Metrics"]
