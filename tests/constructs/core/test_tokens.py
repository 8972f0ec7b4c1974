"""Values that are known only at deployment: a reference in the template, or an error that says why not."""

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, RemovalPolicy, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template

from cdk_lambda_patterns.data.rds_proxy import DatabaseOptions, PoolOptions
from cdk_lambda_patterns.data.rds_proxy.pooled_database import make_pooled_database
from cdk_lambda_patterns.delivery import CanaryAlias, SmokeCase, SmokeTest, TrafficCheck
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
}


@pytest.mark.parametrize(
    ("make", "message"), [pytest.param(*case, id=name) for name, case in REFUSED.items()]
)
def test_a_value_that_the_template_cannot_have_is_refused_with_the_reason(make: Make, message: str) -> None:
    stack, value = stack_and_token()
    with pytest.raises(ValueError, match=message):
        make(stack, value)
