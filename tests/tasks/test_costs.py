"""The costs on the pages: measured usage and templates times the price list."""

from __future__ import annotations

import math
from typing import Any

import pytest

from stacks.catalogue import ARCHITECTURES
from tasks import costs
from tasks.cdk import ROOT
from tasks.usage import differences, recorded

GET = "S3 GET requests"


def template(**resources: dict[str, Any]) -> dict[str, Any]:
    return {"Resources": resources}


def resource(kind: str, **properties: object) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def test_every_row_with_a_scenario_has_a_recorded_event() -> None:
    assert list(recorded()) == [row.id for row in ARCHITECTURES if row.has_scenario]


def test_each_page_says_what_its_architecture_costs() -> None:
    pages = [ROOT / "docs" / row.family / f"{row.id}.md" for row in ARCHITECTURES]
    without = [
        page.name for page in pages if page.exists() and "generated: costs -->" not in page.read_text()
    ]
    assert without == []


def test_everything_that_an_event_uses_is_in_the_price_list() -> None:
    used = {name for row in recorded().values() for name in costs.per_event(row)}
    assert used <= set(costs.prices()["prices"])


def test_each_price_says_where_it_was_seen() -> None:
    listed = costs.prices()
    assert listed["date"]
    for name, price in listed["prices"].items():
        assert price["page"].startswith("https://aws.amazon.com/"), name
        assert ("usd" in price) == (price.get("seen") in listed["seen"]), name


def test_one_more_read_is_another_sum_and_a_sentence() -> None:
    now = {GET: 3.0}
    assert differences("thumbnailer", now, {GET: 2.0}) == [
        "thumbnailer: S3 GET requests per event 3, recorded 2"
    ]
    assert costs._sum(costs.per_event({GET: 2}), 1_000_000) == "$0.80"
    assert costs._sum(costs.per_event(now), 1_000_000) == "$1.20"


@pytest.mark.parametrize(("logged", "count"), [(1000, 0), (1333, 0), (1334, 1), (666, 1), (667, 0)])
def test_logs_may_differ_by_a_third(logged: float, count: int) -> None:
    unit = "CloudWatch Logs bytes"
    assert len(differences("row", {unit: logged}, {unit: 1000})) == count


def test_a_function_costs_by_its_memory() -> None:
    assert costs.per_event({"Lambda requests of 512 MB (arm64)": 2}) == {
        "Lambda requests": 2,
        "Lambda GB-seconds (arm64)": pytest.approx(2 * 0.5 * costs.ASSUMED_SECONDS),
    }


def test_what_is_not_in_the_price_list_is_an_error_and_what_was_not_found_is_not_a_sum() -> None:
    with pytest.raises(LookupError, match=r"docs/prices\.toml"):
        costs._sum({"Snowballs": 1})
    assert costs._sum({"Amazon MQ mq.m7g.medium, hours": 1, "KMS keys": 1}) == "$1.00 and what is not priced"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (resource("EC2::NatGateway"), {"NAT gateway hours": 730}),
        (
            resource("EC2::VPCEndpoint", VpcEndpointType="Interface", SubnetIds=["a", "b"]),
            {"Interface endpoint hours": 1460},
        ),
        (resource("EC2::VPCEndpoint", VpcEndpointType="Gateway"), {}),
        (resource("CloudWatch::Alarm", MetricName="Errors"), {"CloudWatch alarm metrics": 1}),
        (
            resource(
                "CloudWatch::Alarm", Metrics=[{"Expression": "a/b"}, {"MetricStat": {}}, {"MetricStat": {}}]
            ),
            {"CloudWatch alarm metrics": 2},
        ),
        (
            resource(
                "RDS::DBInstance",
                MultiAZ=True,
                Engine="postgres",
                DBInstanceClass="db.t4g.micro",
                AllocatedStorage="20",
            ),
            {"RDS postgres db.t4g.micro, hours": 1460, "RDS storage GB": 40},
        ),
        (resource("Lambda::Function"), {}),
    ],
)
def test_what_a_resource_costs_by_the_hour(found: dict[str, Any], expected: dict[str, float]) -> None:
    assert costs.idle(template(One=found)) == expected


def test_a_type_of_which_nothing_is_said_is_an_error() -> None:
    with pytest.raises(LookupError, match="OpenSearch"):
        costs.idle(template(Search=resource("OpenSearchService::Domain")))


def test_an_idle_queue_is_polled() -> None:
    mapping = resource("Lambda::EventSourceMapping", EventSourceArn={"Fn::GetAtt": ["Queue", "Arn"]})
    polled = template(Queue=resource("SQS::Queue"), Mapping=mapping)
    assert costs.idle(polled) == {"SQS requests": 657_000}


@pytest.mark.parametrize(
    ("resources", "times"),
    [
        ({}, 1),
        ({"Queue": resource("SQS::Queue", RedrivePolicy={"maxReceiveCount": 4})}, 4),
        ({"Queue": resource("SQS::Queue")}, math.inf),
        ({"Config": resource("Lambda::EventInvokeConfig", FunctionName={"Ref": "F"})}, 3),
        (
            {
                "Config": resource(
                    "Lambda::EventInvokeConfig", FunctionName={"Ref": "F"}, MaximumRetryAttempts=0
                )
            },
            1,
        ),
        (
            {
                "Allowed": resource(
                    "Lambda::Permission", FunctionName={"Ref": "F"}, Principal="sns.amazonaws.com"
                )
            },
            3,
        ),
        (
            {
                "Mapping": resource(
                    "Lambda::EventSourceMapping",
                    EventSourceArn={"Fn::GetAtt": ["Stream", "Arn"]},
                    MaximumRetryAttempts=2,
                    BatchSize=100,
                    BisectBatchOnFunctionError=True,
                )
            },
            3 * 8,  # 100, 50, 25, 13, 7, 4, 2, 1
        ),
        (
            {
                "Mapping": resource(
                    "Lambda::EventSourceMapping", EventSourceArn={"Fn::GetAtt": ["Stream", "Arn"]}
                )
            },
            math.inf,
        ),
    ],
    ids=["none", "queue", "no redrive", "default", "no retries", "no config", "bisected", "no limit"],
)
def test_how_often_poison_is_tried(resources: dict[str, Any], times: float) -> None:
    if "Queue" in resources:
        source = {"Fn::GetAtt": ["Queue", "Arn"]}
        resources = {**resources, "Mapping": resource("Lambda::EventSourceMapping", EventSourceArn=source)}
    found, why = costs.attempts(template(**resources))
    assert (found, bool(why)) == (times, times > 1)
