"""The construct of `provisioned-concurrency`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack, TimeZone
from aws_cdk import aws_applicationautoscaling as appscaling
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template

from cdk_lambda_patterns import AsyncOptions, FunctionOptions, HardenedFunction
from cdk_lambda_patterns.delivery.provisioned_concurrency import ProvisionedConcurrencyAlias

CODE = lambda_.Code.from_inline("def handler(event, context): ...")
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:theirs"
FIRST_DAY, SECOND_DAY = datetime(2031, 1, 1, tzinfo=UTC), datetime(2031, 1, 2, tzinfo=UTC)
MORNING = appscaling.Schedule.cron(hour="8", minute="0")


def empty_stack() -> Stack:
    """An empty stack."""
    return Stack(App(builtin_cloud_formation_validation=False), "Stack")


def function(stack: Stack, **settings: Any) -> HardenedFunction:
    """A function with inline code."""
    return HardenedFunction(stack, "Prices", code=CODE, handler="index.handler", **settings)


def add(stack: Stack, of: Any = None, **settings: Any) -> ProvisionedConcurrencyAlias:
    """The construct, with target tracking."""
    given = {"min_capacity": 1, "max_capacity": 4, "utilization_target": 0.7} | settings
    return ProvisionedConcurrencyAlias(stack, "Live", function=of or function(stack), **given)


def test_auto_scaling_changes_the_provisioned_concurrency_of_an_alias() -> None:
    stack = empty_stack()
    live = add(
        stack,
        function(stack, asynchronous=AsyncOptions()),
        schedules={
            "Morning": appscaling.ScalingSchedule(
                schedule=MORNING, time_zone=TimeZone.EUROPE_BERLIN, min_capacity=3, max_capacity=9
            )
        },
        scale_in_cooldown=Duration.minutes(5),
        scale_out_cooldown=Duration.minutes(0),
    )
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::ApplicationAutoScaling::ScalableTarget",
        {
            "MinCapacity": 1,
            "MaxCapacity": 4,
            "ScalableDimension": "lambda:function:ProvisionedConcurrency",
            "ScheduledActions": [
                {
                    "ScheduledActionName": "Morning",
                    "Schedule": "cron(0 8 * * ? *)",
                    "Timezone": "Europe/Berlin",
                    "ScalableTargetAction": {"MinCapacity": 3, "MaxCapacity": 9},
                }
            ],
        },
    )
    template.has_resource_properties(
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        {
            "TargetTrackingScalingPolicyConfiguration": {
                "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "LambdaProvisionedConcurrencyUtilization"
                },
                "TargetValue": 0.7,
                "ScaleInCooldown": 300,
                "ScaleOutCooldown": 0,
            }
        },
    )
    (alias,) = template.find_resources("AWS::Lambda::Alias").values()
    assert alias["Properties"]["Name"] == live.alias.alias_name == "live"
    assert "ProvisionedConcurrencyConfig" not in alias["Properties"]  # a deployment would set it again
    configured = template.find_resources("AWS::Lambda::EventInvokeConfig").values()
    assert {one["Properties"]["Qualifier"] for one in configured} == {"$LATEST", "live"}


def test_an_alias_of_the_app_is_used() -> None:
    stack = empty_stack()
    alias = lambda_.Alias(stack, "Alias", alias_name="mine", version=function(stack).current_version)
    assert add(stack, alias).alias is alias
    Template.from_stack(stack).resource_count_is("AWS::Lambda::Alias", 1)


def test_an_imported_version_gets_an_alias() -> None:
    stack = empty_stack()
    version = lambda_.Version.from_version_arn(stack, "Version", f"{ARN}:7")
    add(stack, version, alias_name="quick")
    Template.from_stack(stack).has_resource_properties(
        "AWS::Lambda::Alias", {"FunctionVersion": "7", "Name": "quick"}
    )


def test_a_fixed_number_needs_nothing_that_changes_it() -> None:
    stack = empty_stack()
    add(stack, min_capacity=2, max_capacity=2, utilization_target=None)
    Template.from_stack(stack).resource_count_is("AWS::ApplicationAutoScaling::ScalingPolicy", 0)


def given_alias(stack: Stack, **settings: Any) -> lambda_.Alias:
    """An alias of the app."""
    version = function(stack).current_version
    return lambda_.Alias(stack, "Alias", alias_name="mine", version=version, **settings)


def imported_alias(stack: Stack) -> lambda_.IAlias:
    """An alias of which only the name is known."""
    version = lambda_.Version.from_version_arn(stack, "Version", f"{ARN}:7")
    return lambda_.Alias.from_alias_attributes(stack, "Alias", alias_name="a", alias_version=version)


def schedule(**settings: Any) -> dict[str, Any]:
    """A schedule with a name."""
    return {"schedules": {"Morning": appscaling.ScalingSchedule(schedule=MORNING, **settings)}}


def schedules(**each: dict[str, Any]) -> dict[str, Any]:
    """Schedules with names."""
    return {
        "schedules": {
            name: appscaling.ScalingSchedule(**{"schedule": MORNING, **one}) for name, one in each.items()
        }
    }


def function_with_an_alias(stack: Stack) -> HardenedFunction:
    """A function of which most is provisioned."""
    prices = function(stack, options=FunctionOptions(reserved_concurrent_executions=6))
    ProvisionedConcurrencyAlias(stack, "First", function=prices, min_capacity=4, max_capacity=4)
    return prices


WRONG: dict[str, tuple[Callable[[Stack], dict[str, Any]], str]] = {
    "a range that is none": (
        lambda _: {"min_capacity": 5},
        "^min_capacity=5 is more than max_capacity=4; lower",
    ),
    "less than none": (
        lambda _: {"min_capacity": -1},
        "^min_capacity=-1: Application Auto Scaling allows 0 to",
    ),
    "no capacity": (lambda _: {"min_capacity": 0, "max_capacity": 0}, "^max_capacity=0: Lambda allows 1 to"),
    "all of it": (lambda _: {"utilization_target": 1}, "^utilization_target=1: the CDK allows 0.1 to 0.9"),
    "nothing that changes it": (lambda _: {"utilization_target": None}, "nothing changes the number; give"),
    "a schedule for nothing": (
        lambda _: schedule(),
        r"^schedules\['Morning'\]: it changes nothing; give min",
    ),
    "a schedule beyond the range": (
        lambda _: schedule(min_capacity=7),
        r"^schedules\['Morning'\]\.min_capacity=7 is more than max_capacity=4",
    ),
    "more than is reserved": (
        lambda stack: {"of": function(stack, options=FunctionOptions(reserved_concurrent_executions=3))},
        "^max_capacity=4 and reserved_concurrent_executions=3: Lambda provisions no more than is reserved",
    ),
    "an imported function": (
        lambda stack: {"of": lambda_.Function.from_function_arn(stack, "Theirs", ARN)},
        "the function is imported, so this app does not know when it changes; give a version",
    ),
    "an imported alias": (
        lambda stack: {"of": imported_alias(stack)},
        "the alias is imported, and belongs to",
    ),
    "an alias with another name": (
        lambda stack: {"of": given_alias(stack), "alias_name": "live"},
        "^alias_name='live': function=Stack/Alias is an alias, which has a name",
    ),
    "an alias with a number": (
        lambda stack: {"of": given_alias(stack, provisioned_concurrent_executions=1)},
        "it has provisioned_concurrent_executions, to which a deployment would set the number again",
    ),
    "a range that another schedule has left": (
        lambda _: schedules(Evening={"max_capacity": 2}, Morning={"min_capacity": 3}),
        r"^schedules\['Morning'\]\.min_capacity=3 is more than schedules\['Evening'\]\.max_capacity=2",
    ),
    "a schedule below the least": (
        lambda _: {"min_capacity": 3} | schedules(Evening={"max_capacity": 2}),
        r"^min_capacity=3 is more than schedules\['Evening'\]\.max_capacity=2",
    ),
    "a schedule beyond what is reserved": (
        lambda stack: (
            {"of": function(stack, options=FunctionOptions(reserved_concurrent_executions=5))}
            | schedules(Morning={"min_capacity": 5, "max_capacity": 50})
        ),
        r"^schedules\['Morning'\]\.max_capacity=50 and reserved_concurrent_executions=5",
    ),
    "two aliases beyond what is reserved": (
        lambda stack: {"of": function_with_an_alias(stack), "alias_name": "second"},
        "^with 4 of other aliases, max_capacity=8 and reserved_concurrent_executions=6",
    ),
    "a version with a number": (
        lambda stack: {
            "of": lambda_.Version(stack, "V", lambda_=function(stack), provisioned_concurrent_executions=1)
        },
        "^function and Stack/V: the version has provisioned_concurrent_executions of its own",
    ),
    "none that could grow": (lambda _: {"min_capacity": 0}, "^min_capacity=0, and no schedule gives more"),
    "a cooldown of nothing": (
        lambda _: {"utilization_target": None, "scale_in_cooldown": Duration.minutes(1)},
        "are for target tracking; give utilization_target",
    ),
    "too many schedules": (
        lambda _: schedules(**{f"S{number}": {"min_capacity": 1} for number in range(201)}),
        "^schedules=201: Application Auto Scaling allows 0 to 200 schedules",
    ),
    "a time that does not exist": (
        lambda _: schedules(M={"min_capacity": 1, "schedule": appscaling.Schedule.cron(hour="25")}),
        r"^schedules\['M'\]\.schedule=.*: hours is 25; Application Auto Scaling allows 0 to 23",
    ),
    "no expression": (
        lambda _: schedules(M={"min_capacity": 1, "schedule": appscaling.Schedule.expression("noon")}),
        r"^schedules\['M'\]\.schedule='noon': Application Auto Scaling allows rate",
    ),
    "a zone of another planet": (
        lambda _: schedules(M={"min_capacity": 1, "time_zone": TimeZone.of("Mars/Base")}),
        r"^schedules\['M'\]\.time_zone='Mars/Base': it is not in the IANA",
    ),
    "an end before the start": (
        lambda _: schedules(M={"min_capacity": 1, "start_time": SECOND_DAY, "end_time": FIRST_DAY}),
        r"^schedules\['M'\]: end_time is not after start_time",
    ),
    "an empty name": (lambda _: {"alias_name": ""}, "^alias_name='': Lambda allows 1 to 128 letters"),
    "a bad name": (lambda _: {"alias_name": "1"}, "^alias_name='1': Lambda allows 1 to 128 letters"),
}


@pytest.mark.parametrize(("settings", "error"), WRONG.values(), ids=WRONG)
def test_what_aws_would_refuse_is_refused(settings: Callable[[Stack], dict[str, Any]], error: str) -> None:
    stack = empty_stack()
    with pytest.raises(ValueError, match=error):
        add(stack, **settings(stack))


@pytest.mark.parametrize("name", ["Morning: 8", "", "M" * 257, "Mor/ning", "a|b", " M", "M ", "M\n"])
def test_a_name_that_no_scheduled_action_may_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 256 characters in the name"):
        add(empty_stack(), **schedules(**{name: {"min_capacity": 1}}))


def test_schedules_that_give_both_ends_or_fit_each_other_are_accepted() -> None:
    both = {
        "Evening": {"min_capacity": 0, "max_capacity": 2},
        "Morning": {"min_capacity": 3, "max_capacity": 9},
    }
    add(empty_stack(), **schedules(**both, **{"M 8.00": {"min_capacity": 5, "max_capacity": 5}}))
    add(empty_stack(), min_capacity=0, **schedules(Morning={"min_capacity": 2}, Evening={"min_capacity": 0}))
