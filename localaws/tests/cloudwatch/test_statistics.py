"""GetMetricStatistics returns the metric with exactly the given dimensions and unit."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from localaws import LocalAws

pytestmark = pytest.mark.local

SHOP = [{"Name": "Shop", "Value": "1"}]
TILL = [*SHOP, {"Name": "Till", "Value": "2"}]


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ({}, 1),
        ({"Dimensions": SHOP}, 10),
        ({"Dimensions": TILL}, 100),
        ({"Dimensions": TILL[1:]}, None),
        ({"Dimensions": SHOP, "Unit": "Count"}, 10),
        ({"Dimensions": SHOP, "Unit": "Bytes"}, None),
    ],
)
def test_a_metric_is_that_with_exactly_the_dimensions_and_the_unit(
    local_aws: LocalAws, query: dict[str, Any], total: float | None
) -> None:
    cloudwatch, name = local_aws.client("cloudwatch"), f"shop-{uuid.uuid4().hex[:8]}"
    now = datetime.now(UTC)
    metric = {"MetricName": "sold", "Unit": "Count", "Timestamp": now}
    data = [
        {**metric, "Value": value, "Dimensions": given} for value, given in ((1, []), (10, SHOP), (100, TILL))
    ]
    cloudwatch.put_metric_data(Namespace=name, MetricData=data)
    hour = timedelta(hours=1)
    points = cloudwatch.get_metric_statistics(
        Namespace=name,
        MetricName="sold",
        Period=60,
        StartTime=now - hour,
        EndTime=now + hour,
        **query,
        Statistics=["Sum", "SampleCount"],
        ExtendedStatistics=["p50"],
    )["Datapoints"]
    assert [(one["Sum"], one["SampleCount"], one["Unit"]) for one in points] == (
        [(total, 1, "Count")] if total else []
    )
    assert [one["ExtendedStatistics"] for one in points] == ([{"p50": total}] if total else [])
    assert all(one["Timestamp"].second == 0 for one in points)
