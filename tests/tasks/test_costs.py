"""The costs on the pages: measured usage and templates times the price list."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from localaws import Usage
from scenarios.framework import BilledEvent
from stacks.catalogue import ARCHITECTURES
from tasks import costs, usage
from tasks.cdk import ROOT
from tasks.usage import differences, recorded

GET = "S3 GET requests"


def template(**resources: dict[str, Any]) -> dict[str, Any]:
    return {"Resources": resources}


def resource(kind: str, **properties: object) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def firehose(set_to: dict[str, str]) -> dict[str, Any]:
    arn = {"Fn::Join": ["", [{"Fn::GetAtt": ["F", "Arn"]}, ":$LATEST"]]}
    parameters = [
        {"ParameterName": name, "ParameterValue": value}
        for name, value in {"LambdaArn": arn, **set_to}.items()
    ]
    given = {"ProcessingConfiguration": {"Processors": [{"Type": "Lambda", "Parameters": parameters}]}}
    return resource("KinesisFirehose::DeliveryStream", ExtendedS3DestinationConfiguration=given)


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


@pytest.mark.parametrize(("preparing", "puts"), [(False, 3), (True, 1)])
def test_what_prepares_an_event_does_not_count(preparing: bool, puts: int) -> None:
    caller, function = "arn:aws:iam::1:root", "arn:aws:sts::1:assumed-role/F/F"
    aws: Any = SimpleNamespace(
        usage=lambda: [
            Usage(who, "PUT", "S3 PUT requests", amount) for who, amount in ((caller, 2), (function, 1))
        ]
    )
    event = BilledEvent("an object", lambda _: None, preparing=preparing)
    assert usage._used(aws, event) == {"S3 PUT requests": puts}


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
        (
            resource(
                "RDS::DBInstance",
                ManageMasterUserPassword=True,
                Engine="postgres",
                DBInstanceClass="db.t4g.micro",
                AllocatedStorage="20",
            ),
            {"RDS postgres db.t4g.micro, hours": 730, "RDS storage GB": 20, "Secrets Manager secrets": 1},
        ),
        (
            resource("ApplicationAutoScaling::ScalingPolicy", PolicyType="TargetTrackingScaling"),
            {"CloudWatch alarm metrics": 2},
        ),
        (resource("ApplicationAutoScaling::ScalingPolicy", PolicyType="StepScaling"), {}),
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


def test_health_checks_have_a_duration() -> None:
    function = resource("Lambda::Function", Code={}, MemorySize=512, Architectures=["arm64"])
    group = resource(
        "ElasticLoadBalancingV2::TargetGroup",
        HealthCheckEnabled=True,
        HealthCheckIntervalSeconds=60,
        TargetType="lambda",
        Targets=[{"Id": {"Fn::GetAtt": ["F", "Arn"]}}],
    )
    assert costs.idle(template(F=function, Group=group)) == {
        "Lambda requests": 2 * 60 * 730,
        "Lambda GB-seconds (arm64)": pytest.approx(2 * 60 * 730 * 0.5 * costs.ASSUMED_SECONDS),
    }


def test_a_sign_up_of_the_blog_is_written_in_the_replica_too() -> None:
    assert recorded()["blog-website"]["DynamoDB replicated write request units"] == 1


def test_poison_costs_what_the_attempts_of_its_function_cost() -> None:
    function = resource("Lambda::Function", Code={}, MemorySize=512, Architectures=["arm64"])
    alias = resource("Lambda::Alias", FunctionName={"Ref": "F"})
    mapping = resource(
        "Lambda::EventSourceMapping",
        EventSourceArn={"Fn::GetAtt": ["Queue", "Arn"]},
        FunctionName={"Ref": "Alias"},
    )
    queue = resource("SQS::Queue", RedrivePolicy={"maxReceiveCount": 4})
    said = costs._poison(template(F=function, Alias=alias, Mapping=mapping, Queue=queue))
    # 4 million requests, and 4 million times 0.05 GB-seconds.
    assert said == (
        "A million that always fail at `Alias`: about $3.47 for the requests and the duration of 4 attempts "
        "(`maxReceiveCount` 4 of a queue)."
    )


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
                    StartingPosition="LATEST",
                    MaximumRetryAttempts=2,
                    BatchSize=100,
                    BisectBatchOnFunctionError=True,
                )
            },
            3,  # nothing is left to bisect in a batch of one
        ),
        (
            {
                "Mapping": resource(
                    "Lambda::EventSourceMapping",
                    EventSourceArn={"Fn::GetAtt": ["Journal", "Arn"]},
                    StartingPosition="LATEST",
                )
            },
            math.inf,
        ),
        ({"Lines": firehose({"NumberOfRetries": "2"})}, 3),
        ({"Lines": firehose({})}, 4),
        (
            {
                "Allowed": resource(
                    "Lambda::Permission", FunctionName={"Ref": "F"}, Principal="cognito-idp.amazonaws.com"
                )
            },
            3,
        ),
        (
            {
                "Machine": resource(
                    "StepFunctions::StateMachine",
                    DefinitionString={"Fn::Join": ["", ['{"Retry":[{"MaxAttempts":2}]}']]},
                )
            },
            3,
        ),
    ],
    ids=[
        *("none", "queue", "no redrive", "default", "no retries", "no config", "stream", "no limit"),
        *("firehose", "firehose's default", "cognito", "workflow"),
    ],
)
def test_how_often_poison_is_tried(resources: dict[str, Any], times: float) -> None:
    if "Queue" in resources:
        source = {"Fn::GetAtt": ["Queue", "Arn"]}
        resources = {**resources, "Mapping": resource("Lambda::EventSourceMapping", EventSourceArn=source)}
    found, why, _ = costs.attempts(template(**resources))
    assert (found, bool(why)) == (times, times > 1)
