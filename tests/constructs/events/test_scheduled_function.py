"""ScheduledFunction: schedule, role, queues, and the expressions that Scheduler would refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aws_cdk import App, Aws, Duration, Environment, Stack, TimeZone
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.events.scheduled_function import ScheduledFunction
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
EU = Environment(account="123456789012", region="eu-west-1")
HOURLY = scheduler.ScheduleExpression.rate(Duration.hours(1))


def make(stack: Stack, id: str = "Report", **more: Any) -> ScheduledFunction:
    return ScheduledFunction(
        stack, id, **{"code": CODE, "handler": "index.handler", "schedule": HOURLY, **more}
    )


def expression(text: str, zone: str = "UTC") -> scheduler.ScheduleExpression:
    return scheduler.ScheduleExpression.expression(text, TimeZone.of(zone))


@stack_with
def nightly(stack: Stack) -> None:
    make(
        stack,
        schedule=scheduler.ScheduleExpression.cron(minute="30", hour="2", time_zone=TimeZone.EUROPE_BERLIN),
        flexible_window=Duration.minutes(15),
        retry_attempts=3,
        max_event_age=Duration.hours(1),
        payload={"kind": "daily"},
    )


@stack_with
def imported(stack: Stack) -> None:
    make(
        stack,
        schedule_group=scheduler.ScheduleGroup.from_schedule_group_name(stack, "Group", "reports"),
        undelivered_queue=sqs.Queue.from_queue_arn(stack, "Q", "arn:aws:sqs:eu-west-1:123456789012:dead"),
        runs_table=dynamodb.Table.from_table_name(stack, "T", "runs"),
        enabled=False,
    )


def test_the_schedule_keeps_its_zone_window_retries_and_queue(nightly: Resources) -> None:
    schedule = nightly.only("AWS::Scheduler::Schedule")
    (queue,) = (name for name in nightly.all("AWS::SQS::Queue") if "Undelivered" in name)
    assert schedule["ScheduleExpression"] == "cron(30 2 * * ? *)"
    assert schedule["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    target = schedule["Target"]
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 3}
    assert target["DeadLetterConfig"]["Arn"] == {"Fn::GetAtt": [queue, "Arn"]}


def test_the_event_has_the_context_attributes_and_the_payload(nightly: Resources) -> None:
    event = json.loads(nightly.only("AWS::Scheduler::Schedule")["Target"]["Input"])
    assert event == {
        "scheduled_time": "<aws.scheduler.scheduled-time>",
        "execution_id": "<aws.scheduler.execution-id>",
        "attempt_number": "<aws.scheduler.attempt-number>",
        "schedule_arn": "<aws.scheduler.schedule-arn>",
        "payload": {"kind": "daily"},
    }


def test_the_role_may_invoke_this_function_only(nightly: Resources) -> None:
    (function,) = nightly.all("AWS::Lambda::Function")
    (invoke,) = (
        one for one in nightly.statements("ReportScheduleRole") if one["Action"] == "lambda:InvokeFunction"
    )
    assert invoke["Resource"] == {"Fn::GetAtt": [function, "Arn"]}
    assert nightly.actions("ReportScheduleRole") == {"lambda:InvokeFunction", "sqs:SendMessage"}


@pytest.mark.parametrize(("made", "group"), [("nightly", "default"), ("imported", "reports")])
def test_only_schedules_of_this_account_and_group_may_use_the_role(
    request: pytest.FixtureRequest, made: str, group: str
) -> None:
    stack: Resources = request.getfixturevalue(made)
    ((name, _),) = ((n, r) for n, r in stack.all("AWS::IAM::Role").items() if "ScheduleRole" in n)
    (trust,) = stack.all("AWS::IAM::Role")[name]["AssumeRolePolicyDocument"]["Statement"]
    condition = trust["Condition"]["StringEquals"]
    assert condition["aws:SourceAccount"] == {"Ref": "AWS::AccountId"}
    assert condition["aws:SourceArn"]["Fn::Join"][1][-1] == f":schedule-group/{group}"


def test_imported_resources_are_used_as_they_are(imported: Resources) -> None:
    schedule = imported.only("AWS::Scheduler::Schedule")
    assert (schedule["GroupName"], schedule["State"]) == ("reports", "DISABLED")
    assert schedule["Target"]["DeadLetterConfig"]["Arn"].endswith(":dead")
    assert imported.all("AWS::DynamoDB::Table") == {}


@pytest.mark.parametrize(
    "text",
    [
        "rate(1 minute)",
        "rate(1 hours)",  # the API's reference lists all six units, for any number
        "rate(5 minutes)",
        "cron(0/15 8-17 ? * MON-FRI 2026-2030)",
        "cron(0 8 L * ? *)",
        "cron(0 8 LW,15W * ? *)",
        "cron(15 10 ? jan,JUN 6L *)",
        "cron(15 10 ? * FRIL *)",
        "cron(0 9 ? * 2#1 *)",
        "cron(*/5 * * * ? 2199)",
        "cron(0 3 29 2 ? *)",
        "cron(0 3 L-28,31 2 ? *)",
        "cron(0 3 L-30 2,3 ? *)",
    ],
)
def test_an_expression_that_scheduler_accepts_is_accepted(text: str) -> None:
    make(Stack(App(), "Stack", env=EU), schedule=expression(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cron(60 3 * * ? *)", "minutes is 60; Scheduler allows 0 to 59"),
        ("cron(0 24 * * ? *)", "hours is 24; Scheduler allows 0 to 23"),
        ("cron(0 3 32 * ? *)", "day of month is 32"),
        ("cron(0 3 0W * ? *)", "day of month is 0W"),
        ("cron(0 3 L-31 * ? *)", "day of month is L-31"),
        ("cron(0 3 31 2 ? *)", "no month that it names has the day 31"),
        ("cron(0 3 31 4,JUN ? *)", "no month that it names has the day 31"),
        ("cron(0 3 L-30 4 ? *)", "no month that it names has the day L-30"),
        ("cron(0 3 31W 2 ? *)", "no month that it names has the day 31W"),
        ("cron(0 3 29 FEB ? 2027)", "no month that it names has the day 29"),
        ("cron(\u0665 3 * * ? *)", "minutes is \u0665"),
        ("cron(0 \u0663/2 * * ? *)", "hours is \u0663/2"),
        ("cron(0 3 \u0661W * ? *)", "day of month is \u0661W"),
        ("rate(\u0665 minutes)", "Scheduler allows rate"),
        ("rate(1\u0665 minutes)", "Scheduler allows rate"),
        ("at(\u0662030-01-01T00:00:00)", "Scheduler allows rate"),
        ("cron(0 3 * 13 ? *)", "month is 13; Scheduler allows 1 to 12 or JAN to DEC"),
        ("cron(0 3 * MON ? *)", "month is MON"),
        ("cron(0 3 ? * 0 *)", "day of week is 0; Scheduler allows 1 to 7 or SUN to SAT"),
        ("cron(0 3 ? * 2#6 *)", "day of week is 2#6"),
        ("cron(0 3 ? * MON-FRY *)", "day of week is MON-FRY"),
        ("cron(0 3 * * ? 1969)", "year is 1969; Scheduler allows 1970 to 2199"),
        ("cron(0/0 3 * * ? *)", "minutes is 0/0"),
        ("cron(0, 3 * * ? *)", "minutes is 0,;"),
        ("cron(? 3 * * ? *)", "minutes is"),
        ("cron(0 3 * * MON *)", "day of month is . and day of week is MON; Scheduler requires . in exactly"),
        ("cron(0 3 ? * ? *)", "requires . in exactly one"),
        ("cron(0 3 * * ?)", "5 fields; give six"),
        ("cron()", "0 fields"),
        ("rate(0 minutes)", "Scheduler allows rate"),
        ("rate(5 seconds)", "Scheduler allows rate"),
        ("rate(1.5 hours)", "Scheduler allows rate"),
        ("every day", "Scheduler allows rate"),
        ("at(2030-01-01)", "Scheduler allows rate"),
        ("at(2030-02-30T00:00:00)", "give a time that exists"),
    ],
)
def test_an_expression_that_scheduler_refuses_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(Stack(App(), "Stack", env=EU), schedule=expression(text))


@pytest.mark.parametrize(("zone", "warned"), [("America/New_York", False), ("Asia/Tokyo", True)])
def test_a_time_that_has_passed_in_its_zone_is_warned_of(zone: str, warned: bool) -> None:
    soon = f"at({datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%S})"
    stack = Stack(App(), "Stack", env=EU)
    make(stack, schedule=expression(soon, zone))
    found: list[Any] = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("has passed"))
    assert bool(found) is warned


@pytest.mark.parametrize(
    ("years", "warned"),
    [("2020,2021-2025", True), ("2020,2199", False), ("*", False), (Aws.ACCOUNT_ID, False)],
)
def test_a_schedule_of_years_that_have_passed_is_warned_of(years: str, warned: bool) -> None:
    stack = Stack(App(), "Stack", env=EU)
    make(stack, schedule=expression(f"cron(0 3 * * ? {years})"))
    found: list[Any] = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("has passed"))
    assert bool(found) is warned


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda s: {"schedule": expression("rate(1 day)", "Europe/Bonn")}, "time_zone='Europe/Bonn': it is"),
        (lambda s: {"flexible_window": Duration.seconds(30)}, "flexible_window=0.5: EventBridge Scheduler"),
        (lambda s: {"flexible_window": Duration.minutes(1441)}, "flexible_window=1,441: .* 1 to 1,440 min"),
        (lambda s: {"retry_attempts": 186}, "retry_attempts=186: EventBridge Scheduler allows 0 to 185"),
        (lambda s: {"max_event_age": Duration.seconds(59)}, "max_event_age=59: .* 60 to 86,400 seconds"),
        (lambda s: {"max_event_age": Duration.days(2)}, "max_event_age=172,800"),
        (lambda _: {"payload": {"a": float("nan")}}, "payload: Out of range float values"),
        (lambda _: {"payload": {"a": [1, {"b": None}]}}, r"payload\['a'\]\[1\]\['b'\]: the CDK drops None"),
        (lambda _: {"payload": {"a": 2**53}}, r"payload\['a'\]=9007199254740992: the CDK rounds whole"),
        (lambda _: {"payload": {"a": -(10**25)}}, "the CDK rounds whole numbers"),
        (
            lambda _: {"function_options": FunctionOptions(environment={"RUNS_TABLE_NAME": "mine"})},
            "environment variable RUNS_TABLE_NAME: the construct sets it itself",
        ),
        (lambda _: {"payload": {"a": b"x"}}, "payload: Object of type bytes is not JSON serializable"),
        (
            lambda s: {
                "schedule_group": scheduler.ScheduleGroup.from_schedule_group_arn(
                    s, "G", "arn:aws:scheduler:eu-west-1:111122223333:schedule-group/g"
                )
            },
            "schedule_group=.*: it is in 111122223333",
        ),
        (
            lambda s: {"undelivered_queue": sqs.Queue(s, "Q", fifo=True)},
            "undelivered_queue=Stack/Q: it is a .*EventBridge",
        ),
        (
            lambda s: {
                "undelivered_queue": sqs.Queue.from_queue_arn(
                    s, "Q", "arn:aws:sqs:eu-west-3:123456789012:dead"
                )
            },
            "eu-west-3",
        ),
        (
            lambda s: {
                "runs_table": dynamodb.Table(
                    s,
                    "T",
                    partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
                )
            },
            "its keys are pk",
        ),
        (
            lambda s: {
                "runs_table": dynamodb.TableV2(
                    s,
                    "T",
                    partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
                )
            },
            "its time to live attribute is None; the function sets expires_at",
        ),
    ],
)
def test_what_cannot_work_is_refused(arguments: Callable[[Stack], dict[str, Any]], message: str) -> None:
    stack = Stack(App(), "Stack", env=EU)
    with pytest.raises(ValueError, match=message):
        make(stack, **arguments(stack))


@pytest.mark.parametrize(("minutes", "warnings"), [(2, 0), (3, 1)])
def test_a_timeout_longer_than_the_retries_is_a_warning(minutes: int, warnings: int) -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack", env=EU)
    make(stack, function_options=FunctionOptions(timeout=Duration.minutes(minutes)))
    found: list[Any] = Annotations.from_stack(stack).find_warning(
        "*", Match.string_like_regexp("the lease is held until this time is over")
    )
    assert len(found) == warnings
