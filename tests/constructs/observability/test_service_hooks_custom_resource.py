"""CustomResourceFunction: your function, the one that answers, and the time limits of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Environment, RemovalPolicy, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Annotations, Match

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.observability.service_hooks import CustomResourceFunction
from tests.templates import Resources, stack_with

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:tea"


def seed(stack: Stack, **more: Any) -> CustomResourceFunction:
    code = lambda_.Code.from_inline("def handler(event, context): ...")
    return CustomResourceFunction(stack, "Seed", code=code, handler="index.handler", **more)


@stack_with
def owned(stack: Stack) -> None:
    made = seed(stack, timeout=Duration.minutes(5), function_options=FunctionOptions(memory_size=512))
    made.add_resource("Row", resource_type="Custom::Row", properties={"Key": "hours"})


@stack_with
def imported(stack: Stack) -> None:
    function = lambda_.Function.from_function_arn(stack, "Tea", ARN)
    made = CustomResourceFunction(stack, "Seed", function=function, removal_policy=RemovalPolicy.DESTROY)
    made.add_resource("Kept", scope=stack, removal_policy=RemovalPolicy.RETAIN)


def function_of(resources: Resources, name: str) -> dict[str, Any]:
    (found,) = (one for key, one in resources.all("AWS::Lambda::Function").items() if key.startswith(name))
    return found


def test_each_waits_a_little_longer_than_what_it_waits_for(owned: Resources) -> None:
    (row,) = owned.all("Custom::Row").values()
    yours, answers = function_of(owned, "SeedFunction"), function_of(owned, "SeedAnswers")
    assert (yours["Timeout"], answers["Timeout"], row["ServiceTimeout"]) == (300, 320, "380")
    assert yours["MemorySize"] == 512
    assert row["Key"] == "hours"


def test_the_answering_function_may_invoke_yours_and_tries_once(owned: Resources) -> None:
    (policy,) = (
        one for key, one in owned.all("AWS::IAM::Policy").items() if key.startswith("SeedAnswersServiceRole")
    )
    (invoke,) = (
        one for one in policy["PolicyDocument"]["Statement"] if one["Action"] == "lambda:InvokeFunction"
    )
    assert invoke["Resource"]["Fn::GetAtt"][0].startswith("SeedFunction")
    (asynchronous,) = owned.all("AWS::Lambda::EventInvokeConfig").values()
    assert asynchronous["MaximumRetryAttempts"] == 0
    assert asynchronous["MaximumEventAgeInSeconds"] == 60


def test_an_imported_function_is_invoked_and_the_default_is_two_minutes(imported: Resources) -> None:
    assert len(imported.all("AWS::Lambda::Function")) == 1
    answers = function_of(imported, "SeedAnswers")
    assert answers["Environment"]["Variables"]["PROVIDER_ARN"] == ARN
    (kept,) = imported.all("AWS::CloudFormation::CustomResource").values()
    assert (answers["Timeout"], kept["ServiceTimeout"]) == (140, "200")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda stack, function: CustomResourceFunction(stack, "Seed"), "give one of them"),
        (lambda stack, function: seed(stack, function=function), "give one of them"),
        (
            lambda stack, function: CustomResourceFunction(stack, "Seed", function=function, handler="a.b"),
            "leave them out",
        ),
        (
            lambda stack, function: seed(stack, timeout=Duration.minutes(15)),
            "timeout=900: .*1 to 880 seconds",
        ),
        (
            lambda stack, function: seed(
                stack, timeout=Duration.seconds(CfnParameter(stack, "P", type="Number").value_as_number)
            ),
            "give a value, not a token",
        ),
        (
            lambda stack, function: seed(
                stack, function_options=FunctionOptions(timeout=Duration.seconds(5))
            ),
            "give it as timeout",
        ),
        (
            lambda stack, function: seed(stack).add_resource("Row", resource_type="Row"),
            "resource_type='Row': .*Custom::Row",
        ),
        (
            lambda stack, function: seed(stack).add_resource("Row", properties={"ServiceTimeout": 3600}),
            "ServiceTimeout is set by this construct",
        ),
    ],
)
def test_what_cannot_work_is_an_error_that_says_what_to_do(
    make: Callable[[Stack, lambda_.IFunction], object], message: str
) -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack")
    function = lambda_.Function.from_function_arn(stack, "Tea", ARN)
    with pytest.raises(ValueError, match=message):
        make(stack, function)


def test_a_function_that_may_work_longer_than_its_deployment_waits_is_refused() -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack")
    tea = lambda_.Function(
        stack,
        "Tea",
        code=lambda_.Code.from_inline("def handler(event, context): ..."),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
        timeout=Duration.seconds(300),
    )
    alias = lambda_.Alias(stack, "Live", alias_name="live", version=tea.current_version)
    for one in (tea, tea.current_version, alias):
        with pytest.raises(ValueError, match="its time limit is 300 seconds, and timeout=120"):
            CustomResourceFunction(stack, "Seed", function=one)
    CustomResourceFunction(stack, "Seed", function=alias, timeout=Duration.seconds(300))


def test_the_owner_of_a_function_in_another_account_must_let_it_be_invoked() -> None:
    env = Environment(account="111111111111", region="eu-west-1")
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack", env=env)
    function = lambda_.Function.from_function_arn(stack, "Tea", ARN)
    CustomResourceFunction(stack, "Seed", function=function)
    Annotations.from_stack(stack).has_warning(
        "/Stack/Seed", Match.string_like_regexp("in account 1234567890")
    )


def test_a_function_of_another_region_is_refused() -> None:
    env = Environment(account="123456789012", region="us-east-1")
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack", env=env)
    with pytest.raises(ValueError, match="it is in eu-west-1, and this stack in us-east-1"):
        CustomResourceFunction(stack, "Seed", function=lambda_.Function.from_function_arn(stack, "Tea", ARN))
