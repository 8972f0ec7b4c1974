"""Schedules start immediately, and invoke functions with their role."""

from __future__ import annotations

import json
import re
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import aws_cdk as cdk
import pytest
from aws_cdk import aws_scheduler
from aws_cdk import aws_scheduler_targets as targets
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Template
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, Queue, eventually
from helpers.stacks import DeploymentFailedError, Stack, deploy
from localaws import LocalAws

pytestmark = pytest.mark.local

SCHEDULER = "scheduler.amazonaws.com"
HANDLER = "def handler(event, context): return event"
# Seconds in which nothing must come: schedules are checked four times a second. What comes late on a busy
# machine is not seen, but fails no test.
LONG_ENOUGH = 0.8


def answering_function(functions: Functions) -> tuple[str, Queue]:
    """A function that no service may invoke, and the queue for its results."""
    queue = functions.queue()
    name = functions.make(HANDLER, role=functions.role(("sqs:SendMessage", queue.arn)))
    functions.settle(name, OnSuccess=queue.arn)
    return functions.arn("lambda", f"function:{name}"), queue


def schedule(
    functions: Functions,
    target: str,
    role: str,
    expression: str = "rate(1 hour)",
    name: str = "",
    **more: Any,
) -> str:
    """The ARN of a schedule that invokes a function."""
    answer = functions.aws.client("scheduler").create_schedule(
        Name=name or f"schedule-{uuid.uuid4().hex[:8]}",
        ScheduleExpression=expression,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": target, "RoleArn": role, **more},
    )
    arn: str = answer["ScheduleArn"]
    return arn


def bodies(queue: Queue, count: int) -> list[str]:
    """That many messages, which may arrive together."""
    found: list[str] = []

    def complete() -> bool:
        found.extend(each["Body"] for each in queue.receive())
        return len(found) >= count

    eventually(complete)
    return found


def test_a_rate_starts_immediately_and_needs_only_the_permission_of_its_role(functions: Functions) -> None:
    function, answers = answering_function(functions)
    role = functions.role(("lambda:InvokeFunction", function), service=SCHEDULER)
    began = schedule(functions, function, role)
    event = answers.wait_for_body()["responsePayload"]
    assert event["source"] == "aws.scheduler"
    assert event["resources"] == [began]
    time.sleep(LONG_ENOUGH)  # the next time is in an hour
    assert answers.receive() == []
    name = began.rpartition("/")[2]
    functions.aws.client("scheduler").delete_schedule(Name=name)
    schedule(functions, function, role, name=name)
    answers.wait()


@pytest.mark.parametrize(("group", "accepted"), [("default", True), ("other", False)])
def test_a_role_may_ask_for_the_group_of_the_schedule(
    functions: Functions, group: str, accepted: bool
) -> None:
    """The CDK's `Schedule` writes both conditions into the trust policy of its role."""
    function, answers = answering_function(functions)
    role = functions.role(("lambda:InvokeFunction", function), service=SCHEDULER)
    source = {
        "aws:SourceAccount": functions.aws.account,
        "aws:SourceArn": functions.arn("scheduler", f"schedule-group/{group}"),
    }
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": SCHEDULER},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": source},
    }
    functions.aws.client("iam").update_assume_role_policy(
        RoleName=role.rpartition("/")[2],
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    if accepted:
        schedule(functions, function, role)
        answers.wait()
    else:
        with pytest.raises(ClientError, match="must allow AWS EventBridge Scheduler to assume the role"):
            schedule(functions, function, role)


def test_the_function_gets_the_input_of_the_schedule(functions: Functions) -> None:
    function, answers = answering_function(functions)
    role = functions.role(("lambda:InvokeFunction", function), service=SCHEDULER)
    schedule(functions, function, role, Input=json.dumps({"start": "now"}))
    assert answers.wait_for_body()["responsePayload"] == {"start": "now"}


def test_a_role_that_may_not_invoke_invokes_nothing(functions: Functions) -> None:
    function, answers = answering_function(functions)
    schedule(functions, function, functions.role(service=SCHEDULER))
    time.sleep(LONG_ENOUGH)  # nothing must come
    assert answers.receive() == []
    role = functions.role(("lambda:InvokeFunction", function), service=SCHEDULER)
    schedule(functions, function, role)
    answers.wait()


@pytest.mark.parametrize(
    "expression",
    [
        "cron(61 * * * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 0 32 * ? *)",
        "cron(0 0 * 13 ? *)",
        "cron(0 0 ? * 8 *)",
        "cron(0 0 * * ? 1969)",
        "cron(0 0 ? * ? *)",
        "cron(0 0 * * * *)",
        "cron(? 0 * * ? *)",
        "cron(5-1 0 * * ? *)",
        "cron(0/0 0 * * ? *)",
        "cron(0 0 * * ?)",
        "cron(* * * * * * *)",
        "rate(0 minutes)",
        "rate(-1 minutes)",
        "rate(1.5 hours)",
        "rate(10 seconds)",
        "rate(5)",
        "at(2026-02-30T00:00:00)",
        "at(2026-01-01)",
        "at(2026-01-01T00:00:00Z)",
        "every day",
        "5 * * * *",
    ],
)
def test_an_expression_that_is_none_is_refused(functions: Functions, expression: str) -> None:
    target, role = functions.arn("lambda", "function:any"), functions.role(service=SCHEDULER)
    with pytest.raises(ClientError, match=re.escape(f"Invalid Schedule Expression {expression}.")) as refused:
        schedule(functions, target, role, expression)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    if expression.startswith("cron"):  # rules have the same expressions
        with pytest.raises(ClientError, match="ValidationException"):
            functions.aws.client("events").put_rule(Name="any", ScheduleExpression=expression)


@pytest.mark.parametrize(
    "expression",
    [
        "cron(0-15/1 8-8 ? * 2,3,4,5,6,7 *)",
        "cron(1-31/30 1-1 ? * 1,7 *)",
        "cron(15 10 ? * 6L 2022-2199)",
        "cron(0 8 LW * ? *)",
        "cron(0 8 3W JAN-MAR ? *)",
        "cron(0 9 ? * 2#1 *)",
        "cron(0/5 8-17 ? * MON-FRI *)",
        "rate(1 minute)",
        "rate(1 hours)",
        "rate(5 days)",
        "at(2199-12-31T23:59:59)",
    ],
)
def test_an_expression_of_the_user_guide_is_accepted(functions: Functions, expression: str) -> None:
    role = functions.role(service=SCHEDULER)
    name = f"schedule-{uuid.uuid4().hex[:8]}"
    schedule(functions, functions.arn("lambda", "function:any"), role, expression, name)
    found = functions.aws.client("scheduler").get_schedule(Name=name)
    assert found["ScheduleExpression"] == expression
    assert found["ScheduleExpressionTimezone"] == "UTC"
    assert found["Target"]["RetryPolicy"] == {
        "MaximumEventAgeInSeconds": 86_400,
        "MaximumRetryAttempts": 185,
    }


QUEUE = "arn:aws:sqs:us-east-1:123456789012:queue"
BUS = "arn:aws:events:us-east-1:123456789012:event-bus/default"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ScheduleExpressionTimezone": "Mars/Olympus"}, "Timezone Mars/Olympus"),
        ({"ScheduleExpressionTimezone": "CEST"}, "Timezone CEST"),
        ({"State": "ON"}, "Member must satisfy enum value set: .ENABLED, DISABLED."),
        ({"ActionAfterCompletion": "STOP"}, "'actionAfterCompletion'"),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "MaximumWindowInMinutes"),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1441}}, "1441"),
        ({"FlexibleTimeWindow": {"Mode": "OFF", "MaximumWindowInMinutes": 5}}, "mode is OFF"),
        ({"RetryPolicy": {"MaximumRetryAttempts": 186}}, "from 0 to 185"),
        ({"RetryPolicy": {"MaximumEventAgeInSeconds": 86_401}}, "from 60 to 86400"),
        ({"DeadLetterConfig": {"Arn": f"{QUEUE}.fifo"}}, "standard queue"),
        ({"Input": "hello"}, "well-formed JSON"),
        ({"Arn": f"{QUEUE}.fifo"}, "SqsParameters"),
        ({"Arn": BUS}, "EventBridgeParameters"),
        ({"RoleArn": "arn:aws:iam::123456789012:role/none"}, "assume the role"),
    ],
)
def test_settings_that_scheduler_refuses_are_refused(
    functions: Functions, changes: dict[str, Any], reason: str
) -> None:
    client, role = functions.aws.client("scheduler"), functions.role(service=SCHEDULER)
    target = {"Arn": functions.arn("lambda", "function:any"), "RoleArn": role}
    settings = {"ScheduleExpression": "rate(1 day)", "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": target}
    name = f"schedule-{uuid.uuid4().hex[:8]}"
    client.create_schedule(Name=name, **settings)
    for member, value in changes.items():
        (target if member in ("RetryPolicy", "DeadLetterConfig", "Input", "Arn", "RoleArn") else settings)[
            member
        ] = value
    for call, called in ((client.create_schedule, "another"), (client.update_schedule, name)):
        with pytest.raises(ClientError, match=f"(?s)ValidationException.*{reason}"):
            call(Name=called, **settings)


@pytest.mark.parametrize("name", ["a" * 65, "a@b"])
def test_a_name_that_scheduler_refuses_is_refused(functions: Functions, name: str) -> None:
    role = functions.role(service=SCHEDULER)
    with pytest.raises(ClientError, match=r"ValidationException.*'name'"):
        schedule(functions, functions.arn("lambda", "function:any"), role, name=name)


def test_a_group_is_made_once(local_aws: LocalAws) -> None:
    name = f"group-{uuid.uuid4().hex[:8]}"
    group = {"Group": {"Type": "AWS::Scheduler::ScheduleGroup", "Properties": {"Name": name}}}
    deploy(local_aws, group)
    with pytest.raises(DeploymentFailedError, match="already exists"):
        deploy(local_aws, group)
    assert local_aws.client("scheduler").get_schedule_group(Name=name)["State"] == "ACTIVE"


def test_a_time_is_that_of_the_time_zone_and_the_schedule_may_end_with_it(functions: Functions) -> None:
    """One in UTC and one in Berlin, which the emulator takes for a time one or two hours from now."""
    function, answers = answering_function(functions)
    role = functions.role(("lambda:InvokeFunction", function), service=SCHEDULER)
    client, soon = functions.aws.client("scheduler"), datetime.now(UTC) + timedelta(seconds=3)
    for zone in ("UTC", "Europe/Berlin"):
        client.create_schedule(
            Name=zone.replace("/", "-"),
            ScheduleExpression=f"at({soon.astimezone(ZoneInfo(zone)):%Y-%m-%dT%H:%M:%S})",
            ScheduleExpressionTimezone=zone,
            FlexibleTimeWindow={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5},
            ActionAfterCompletion="DELETE",
            Target={"Arn": function, "RoleArn": role, "Input": json.dumps({"zone": zone, **CONTEXT})},
        )
    got = {each["zone"]: each for each in (json.loads(one)["responsePayload"] for one in bodies(answers, 2))}
    assert set(got) == {"UTC", "Europe/Berlin"}
    assert got["UTC"]["at"] == f"{soon:%Y-%m-%dT%H:%M:%SZ}"
    assert got["UTC"]["arn"] == functions.arn("scheduler", "schedule/default/UTC")
    assert got["UTC"]["attempt"] == "1"
    assert str(uuid.UUID(got["UTC"]["execution"])) == got["UTC"]["execution"]
    eventually(lambda: not client.list_schedules(NamePrefix="UTC")["Schedules"])
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_schedule(Name="UTC")


CONTEXT = {
    "arn": "<aws.scheduler.schedule-arn>",
    "at": "<aws.scheduler.scheduled-time>",
    "execution": "<aws.scheduler.execution-id>",
    "attempt": "<aws.scheduler.attempt-number>",
}


def test_what_cannot_be_delivered_is_retried_and_then_a_dead_letter(functions: Functions) -> None:
    dead_letters = functions.queue()
    missing = functions.arn("lambda", "function:missing")
    role = functions.role(
        ("lambda:InvokeFunction", missing), ("sqs:SendMessage", dead_letters.arn), service=SCHEDULER
    )
    arn = schedule(
        functions,
        missing,
        role,
        Input=json.dumps(CONTEXT),
        DeadLetterConfig={"Arn": dead_letters.arn},
        RetryPolicy={"MaximumRetryAttempts": 1},
    )
    message = dead_letters.wait()
    found = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    execution = found.pop("EXECUTION_ID")
    body = json.loads(message["Body"])
    assert (body["arn"], body["execution"]) == (arn, execution)
    assert body["at"] == found.pop("SCHEDULED_TIME")
    assert "missing" in found.pop("ERROR_MESSAGE")
    assert found == {
        "ERROR_CODE": "ResourceNotFoundException",
        "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
        "IS_PAYLOAD_TRUNCATED": "false",
        "RETRY_ATTEMPTS": "1",
        "SCHEDULE_ARN": arn,
        "TARGET_ARN": missing,
    }


def test_a_schedule_that_is_deleted_after_completion_first_retries_its_last_invocation(
    functions: Functions,
) -> None:
    dead_letters, client = functions.queue(), functions.aws.client("scheduler")
    missing = functions.arn("lambda", "function:missing")
    role = functions.role(
        ("lambda:InvokeFunction", missing), ("sqs:SendMessage", dead_letters.arn), service=SCHEDULER
    )
    client.create_schedule(
        Name="once",
        ScheduleExpression=f"at({datetime.now(UTC):%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target={
            "Arn": missing,
            "RoleArn": role,
            "DeadLetterConfig": {"Arn": dead_letters.arn},
            "RetryPolicy": {"MaximumRetryAttempts": 1},
        },
    )
    attributes = dead_letters.wait()["MessageAttributes"]
    assert attributes["RETRY_ATTEMPTS"]["StringValue"] == "1"
    eventually(lambda: not client.list_schedules(NamePrefix="once")["Schedules"])


def test_other_targets_need_the_permission_of_the_role_and_no_policy(functions: Functions) -> None:
    queue, subscribed = functions.queue(), functions.queue(writable_by="sns.amazonaws.com")
    topic = functions.topic(subscribed)
    universal = functions.queue()
    role = functions.role(
        ("sqs:SendMessage", queue.arn),
        ("sns:Publish", topic),
        ("sqs:SendMessage", universal.arn),
        service=SCHEDULER,
    )
    schedule(functions, queue.arn, role, Input="plain text")
    schedule(functions, topic, role, Input="published")
    request = json.dumps({"QueueUrl": universal.url, "MessageBody": "at <aws.scheduler.scheduled-time>"})
    schedule(functions, "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", role, Input=request)
    assert queue.wait()["Body"] == "plain text"
    assert subscribed.wait()["Body"] == "published"
    assert re.fullmatch(r"at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", universal.wait()["Body"])


def test_streams_and_event_buses_are_targets(functions: Functions) -> None:
    aws, name, queue = functions.aws, f"n-{uuid.uuid4().hex[:8]}", functions.queue()
    kinesis, events = aws.client("kinesis"), aws.client("events")
    kinesis.create_stream(StreamName=name, ShardCount=1)
    kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    bus = events.create_event_bus(Name=name)["EventBusArn"]
    events.put_rule(Name=name, EventBusName=name, EventPattern='{"source": ["clock"]}')
    allow = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Resource": queue.arn}
    policy = {"Statement": [allow | {"Action": "sqs:SendMessage"}]}
    aws.client("sqs").set_queue_attributes(QueueUrl=queue.url, Attributes={"Policy": json.dumps(policy)})
    events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "queue", "Arn": queue.arn}])
    stream = functions.arn("kinesis", f"stream/{name}")
    role = functions.role(("kinesis:PutRecord", stream), ("events:PutEvents", bus), service=SCHEDULER)
    schedule(functions, stream, role, Input="a record", KinesisParameters={"PartitionKey": "p"})
    entry = {"DetailType": "tick", "Source": "clock"}
    schedule(functions, bus, role, Input='{"a": 1}', EventBridgeParameters=entry)
    event = queue.wait_for_body()
    assert (event["detail"], event["detail-type"]) == ({"a": 1}, "tick")
    (shard,) = kinesis.list_shards(StreamName=name)["Shards"]
    at = {"StreamName": name, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    iterator = kinesis.get_shard_iterator(**at)["ShardIterator"]
    records = eventually(lambda: kinesis.get_records(ShardIterator=iterator)["Records"])
    assert (records[0]["Data"], records[0]["PartitionKey"]) == (b"a record", "p")


def app(stack: cdk.Stack) -> None:
    """Schedules of the CDK, in a group and in none."""
    queue = sqs.Queue(stack, "Queue")
    cdk.CfnOutput(stack, "Url", value=queue.queue_url)
    minute = aws_scheduler.ScheduleExpression.rate(cdk.Duration.minutes(1))
    nightly = aws_scheduler.ScheduleExpression.cron(
        minute="0", hour="3", time_zone=cdk.TimeZone.EUROPE_BERLIN
    )
    for name, group, when in (
        ("Plain", None, minute),
        ("Grouped", aws_scheduler.ScheduleGroup(stack, "Group"), minute),
        ("Nightly", None, nightly),
    ):
        made = aws_scheduler.Schedule(
            stack,
            name,
            schedule=when,
            schedule_group=group,
            target=targets.SqsSendMessage(
                queue,
                input=aws_scheduler.ScheduleTargetInput.from_text(name),
                dead_letter_queue=sqs.Queue(stack, f"Failed{name}"),
                retry_attempts=1,
            ),
            time_window=aws_scheduler.TimeWindow.flexible(cdk.Duration.minutes(5)),
        )
        cdk.CfnOutput(stack, f"Name{name}", value=made.schedule_name)


def test_the_schedules_of_the_cdk_work_and_nothing_of_them_is_dropped(empty_aws: LocalAws) -> None:
    synthesised = cdk.App(analytics_reporting=False, builtin_cloud_formation_validation=False)
    stack = cdk.Stack(synthesised, "schedules", synthesizer=cdk.LegacyStackSynthesizer())
    app(stack)
    template = dict(Template.from_stack(stack).to_json())
    deployed = Stack(empty_aws, "schedules").deploy(template)
    queue = Queue(empty_aws, "", deployed.outputs["Url"], "")
    assert set(bodies(queue, 2)) == {"Plain", "Grouped"}
    client = empty_aws.client("scheduler")
    nightly = client.get_schedule(Name=deployed.outputs["NameNightly"])
    assert nightly["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert nightly["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 1
    dropped = [one for one in empty_aws.dropped_properties() if "Scheduler" in one.type]
    assert dropped == []
    properties = next(
        each["Properties"]
        for name, each in template["Resources"].items()
        if name.startswith("Nightly") and each["Type"] == "AWS::Scheduler::Schedule"
    )
    properties |= {"Description": "changed", "State": "DISABLED", "KmsKeyArn": "arn:aws:kms:::key/k"}
    deployed.deploy(template, "update_stack")
    changed = client.get_schedule(Name=deployed.outputs["NameNightly"])
    assert (changed["Description"], changed["State"]) == ("changed", "DISABLED")
    assert [str(one) for one in empty_aws.dropped_properties() if "Scheduler" in one.type] == [
        "AWS::Scheduler::Schedule.KmsKeyArn"
    ]
    properties["ScheduleExpression"] = "cron(61 * * * ? *)"
    with pytest.raises(DeploymentFailedError, match="Invalid Schedule Expression cron"):
        deployed.deploy(template, "update_stack")


@pytest.mark.full  # the emulator looks every ten seconds
def test_still_needed_the_stock_emulator_asks_no_role_and_begins_late(stock_functions: Functions) -> None:
    name = stock_functions.make("def handler(event, context): print(event)")
    function, role = (
        stock_functions.arn("lambda", f"function:{name}"),
        stock_functions.role(service=SCHEDULER),
    )
    schedule(stock_functions, function, role, Input='"by rate"')
    schedule(stock_functions, function, role, "at(2026-01-01T00:00:00)", Input='"late"')
    logs = stock_functions.aws.client("logs")

    def printed() -> str:
        groups = logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")["logGroups"]
        events = [event for group in groups for event in read(group["logGroupName"])]
        return " ".join(event["message"] for event in events)

    def read(group: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = logs.filter_log_events(logGroupName=group)["events"]
        return found

    eventually(lambda: "late" in printed(), seconds=60)
    assert "by rate" not in printed()
