"""Values that are known only at deployment: a reference in the template, or an error that says why not."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from aws_cdk import App, CfnParameter, Duration, Fn, RemovalPolicy, Stack, Tokenization
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template

from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.data.rds_proxy import DatabaseOptions, PoolOptions
from cdk_lambda_patterns.data.rds_proxy.pooled_database import check_pooled_database, make_pooled_database
from cdk_lambda_patterns.delivery import (
    CanaryAlias,
    Environments,
    ReleaseAlarms,
    SmokeCase,
    SmokeTest,
    TrafficCheck,
    Weighted,
)
from cdk_lambda_patterns.storage import MetadataOptions, MetadataSync, ReconcilerOptions
from tasks.synthesis import app_context

Make = Callable[[Stack, float], object]


def function(stack: Stack) -> lambda_.Function:
    return lambda_.Function(
        stack,
        "Function",
        code=lambda_.Code.from_inline("def handler(event, context): pass"),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
    )


def canary(stack: Stack, **options: Any) -> CanaryAlias:
    return CanaryAlias(stack, "Canary", function=function(stack), **options)


def database(stack: Stack, pool: PoolOptions | None = None, **options: Any) -> object:
    return make_pooled_database(
        stack,
        options=DatabaseOptions(**options),
        pool=pool,
        network=None,
        removal_policy=RemovalPolicy.RETAIN,
    )


def smoke(timeout: Duration) -> SmokeTest:
    return SmokeTest(cases=[SmokeCase(name=name, payload={}, timeout=timeout) for name in ("a", "b")])


def routing(kind: str, percentage: float, interval: Duration) -> codedeploy.TrafficRouting:
    make = getattr(codedeploy.TrafficRouting, f"time_based_{kind}")
    return cast(codedeploy.TrafficRouting, make(percentage=percentage, interval=interval))


def as_int(value: float) -> int:
    return cast(int, value)


def stack_and_token() -> tuple[Stack, float]:
    stack = Stack(App(context=app_context()), "Stack")
    return stack, CfnParameter(stack, "Value", type="Number").value_as_number


REFERRED_TO: dict[str, Make] = {
    "statement timeout": lambda stack, value: database(
        stack, PoolOptions(statement_timeout=Duration.millis(value))
    ),
    "lock timeout": lambda stack, value: database(stack, PoolOptions(lock_timeout=Duration.millis(value))),
    "lock timeout of MySQL": lambda stack, value: database(
        stack, PoolOptions(lock_timeout=Duration.seconds(value)), engine="mysql"
    ),
    "every": lambda stack, value: MetadataSync(
        stack, "Sync", reconciler=ReconcilerOptions(every=Duration.seconds(value))
    ),
    "tombstones": lambda stack, value: MetadataSync(
        stack, "Sync", options=MetadataOptions(tombstones=Duration.days(value))
    ),
    "error percentage": lambda stack, value: canary(stack, post_hook=TrafficCheck(error_percentage=value)),
    "smoke cases": lambda stack, value: canary(stack, pre_hook=smoke(Duration.seconds(value))),
    "maximum of connections": lambda stack, value: database(
        stack, PoolOptions(max_connections_percent=as_int(value), max_idle_connections_percent=10)
    ),
    "weight": lambda stack, value: Environments(
        stack,
        "Environments",
        function=function(stack),
        aliases={"prod": Weighted(1, additional_version=2, weight=value)},
    ),
    "percentage of a canary": lambda stack, value: canary(
        stack, deployment_config=routing("canary", value, Duration.minutes(10))
    ),
    "interval of a canary": lambda stack, value: canary(
        stack, deployment_config=routing("canary", 10, Duration.minutes(value))
    ),
    "percentage of a linear shift": lambda stack, value: canary(
        stack, deployment_config=routing("linear", value, Duration.minutes(10))
    ),
    "interval of a linear shift": lambda stack, value: canary(
        stack, deployment_config=routing("linear", 10, Duration.minutes(value))
    ),
    "p99 duration": lambda stack, value: canary(
        stack, alarms=ReleaseAlarms(p99_duration=Duration.millis(value))
    ),
    "evaluation periods": lambda stack, value: canary(
        stack, alarms=ReleaseAlarms(evaluation_periods=as_int(value))
    ),
}


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in REFERRED_TO.items()])
def test_a_number_that_is_known_only_at_deployment_is_a_reference(make: Make) -> None:
    stack, value = stack_and_token()
    make(stack, value)
    text = str(Template.from_stack(stack).to_json())
    assert "{'Ref': 'Value'}" in text
    assert "-1888154" not in text.replace(".", "")  # how the CDK writes a number token in Python


REFUSED: dict[str, tuple[Make, str]] = {
    "statement timeout": (
        lambda stack, value: database(stack, PoolOptions(statement_timeout=Duration.seconds(value))),
        r"statement_timeout: .*give Duration\.millis",
    ),
    "lock timeout of MySQL": (
        lambda stack, value: database(
            stack, PoolOptions(lock_timeout=Duration.millis(value)), engine="mysql"
        ),
        r"lock_timeout: .*give Duration\.seconds",
    ),
    "every": (
        lambda stack, value: MetadataSync(
            stack, "Sync", reconciler=ReconcilerOptions(every=Duration.hours(value))
        ),
        r"every: .*give Duration\.seconds",
    ),
    "tombstones": (
        lambda stack, value: MetadataSync(
            stack, "Sync", options=MetadataOptions(tombstones=Duration.hours(value))
        ),
        r"tombstones: .*give Duration\.days",
    ),
    "smoke cases": (
        lambda stack, value: canary(stack, pre_hook=smoke(Duration.minutes(value))),
        r"timeout of the case 'a': .*give Duration\.seconds",
    ),
    "version of the engine": (
        lambda stack, value: database(stack, engine_version=Tokenization.stringify_number(value)),
        r"engine_version: .*family of the parameter group",
    ),
    "interval of a canary": (
        lambda stack, value: canary(stack, deployment_config=routing("canary", 10, Duration.seconds(value))),
        r"interval: .*give Duration\.minutes",
    ),
    "p99 duration": (
        lambda stack, value: canary(stack, alarms=ReleaseAlarms(p99_duration=Duration.seconds(value))),
        r"p99_duration: .*give Duration\.millis",
    ),
    "period of alarms": (
        lambda stack, value: canary(stack, alarms=ReleaseAlarms(period=Duration.minutes(value))),
        r"period: .*checked before",
    ),
    "NAT gateways": (
        lambda stack, value: PrivateNetwork(stack, "Network", nat_gateways=as_int(value)),
        r"nat_gateways: .*how many resources",
    ),
    "Availability Zones": (
        lambda stack, value: PrivateNetwork(stack, "Network", max_azs=as_int(value)),
        r"max_azs: .*how many resources",
    ),
}


@pytest.mark.parametrize(
    ("make", "message"), [pytest.param(*case, id=name) for name, case in REFUSED.items()]
)
def test_a_value_that_the_template_cannot_have_is_refused_with_the_reason(make: Make, message: str) -> None:
    stack, value = stack_and_token()
    with pytest.raises(ValueError, match=message):
        make(stack, value)


@pytest.mark.parametrize("zones", ["of a parameter", "of the Region"])
def test_a_database_takes_a_vpc_whose_availability_zones_are_known_only_at_deployment(zones: str) -> None:
    stack = Stack(App(context=app_context()), "Stack")
    subnets = CfnParameter(stack, "Subnets", type="List<AWS::EC2::Subnet::Id>").value_as_list
    given = CfnParameter(stack, "Zones", type="List<AWS::EC2::AvailabilityZone::Name>").value_as_list
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-0123456789abcdef0",
        availability_zones=given if zones == "of a parameter" else Fn.get_azs(),
        isolated_subnet_ids=subnets,
    )
    network = PrivateNetwork(stack, "Network", vpc=vpc)
    options = DatabaseOptions(instance_type=ec2.InstanceType("t4g.medium"))
    check_pooled_database(options, None, network, Duration.seconds(30))
    make_pooled_database(
        stack, options=options, pool=None, network=network, removal_policy=RemovalPolicy.RETAIN
    )
    Template.from_stack(stack).has_resource_properties(
        "AWS::RDS::DBSubnetGroup", {"SubnetIds": {"Ref": "Subnets"}}
    )
    with pytest.raises(ValueError, match="network=Stack/Network: how many subnets"):
        check_pooled_database(DatabaseOptions(), None, network, Duration.seconds(30))
