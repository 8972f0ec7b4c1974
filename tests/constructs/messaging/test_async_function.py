"""AsyncFunction: destinations and their permissions, dead letters, retries, the table for idempotency."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match

from cdk_lambda_patterns import AsyncOptions, FunctionOptions
from cdk_lambda_patterns.core.table import text
from cdk_lambda_patterns.messaging.async_function import AsyncFunction
from tests.templates import Resources, stack_with, walk

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
ARN = "arn:aws:{}:eu-west-1:123456789012:{}"


def make(stack: Stack, id: str = "Orders", **more: Any) -> AsyncFunction:
    return AsyncFunction(stack, id, code=CODE, handler="index.handler", **more)


#: Each kind of destination, with what the role may do there.
KINDS: dict[str, tuple[Callable[[Stack], Any], list[tuple[str, str]]]] = {
    "Queue": (
        lambda stack: sqs.Queue.from_queue_arn(stack, "Q", ARN.format("sqs", "q")),
        [("sqs:SendMessage", ARN.format("sqs", "q"))],
    ),
    "Topic": (
        lambda stack: sns.Topic.from_topic_arn(stack, "T", ARN.format("sns", "t")),
        [("sns:Publish", ARN.format("sns", "t"))],
    ),
    "Function": (
        lambda stack: lambda_.Function.from_function_arn(stack, "F", ARN.format("lambda", "function:f")),
        [("lambda:InvokeFunction", ARN.format("lambda", "function:f"))],
    ),
    "Bus": (
        lambda stack: events.EventBus.from_event_bus_arn(stack, "B", ARN.format("events", "event-bus/b")),
        [("events:PutEvents", ARN.format("events", "event-bus/b"))],
    ),
    "Bucket": (
        lambda stack: s3.Bucket.from_bucket_arn(stack, "S", "arn:aws:s3:::failures"),
        [("s3:ListBucket", "arn:aws:s3:::failures"), ("s3:PutObject", "arn:aws:s3:::failures/*")],
    ),
}


@stack_with
def failing(stack: Stack) -> None:
    for kind, (resource, _) in KINDS.items():
        assert make(stack, f"{kind}Orders", on_failure=resource(stack)).failure_queue is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_destination_is_granted_what_lambda_documents_for_it_and_no_more(
    failing: Resources, kind: str
) -> None:
    expected = KINDS[kind][1]
    configs = [one["DestinationConfig"] for one in failing.all("AWS::Lambda::EventInvokeConfig").values()]
    assert {"OnFailure": {"Destination": expected[0][1]}} in configs
    services = {action.partition(":")[0] for action, _ in expected}
    granted = [
        (one["Action"], one["Resource"])
        for one in failing.statements(f"{kind}OrdersFunctionServiceRole")
        if str(one["Action"]).partition(":")[0] in services
    ]
    assert granted == expected


@stack_with
def everything(stack: Stack) -> None:
    make(
        stack,
        on_success=sns.Topic(stack, "Done", master_key=kms.Key(stack, "Key")),
        on_failure=s3.Bucket(stack, "Failures", encryption_key=kms.Key(stack, "BucketKey")),
        asynchronous=AsyncOptions(
            retry_attempts=1,
            max_event_age=Duration.minutes(5),
            dead_letter_queue=sqs.Queue(
                stack, "Dead", encryption_master_key=kms.Key(stack, "DeadKey"), enforce_ssl=True
            ),
        ),
        expires_after=Duration.minutes(5),
    )


def test_destinations_and_a_dead_letter_queue_stand_together(everything: Resources) -> None:
    config = everything.only("AWS::Lambda::EventInvokeConfig")
    assert (config["MaximumRetryAttempts"], config["MaximumEventAgeInSeconds"]) == (1, 300)
    assert set(config["DestinationConfig"]) == {"OnSuccess", "OnFailure"}
    function = everything.only("AWS::Lambda::Function")
    assert function["DeadLetterConfig"]["TargetArn"]["Fn::GetAtt"][0].startswith("Dead")


def test_the_role_may_use_the_keys_of_what_it_sends_to(everything: Resources) -> None:
    allowed = [
        one["Resource"]
        for one in everything.statements("OrdersFunctionServiceRole")
        if "kms:GenerateDataKey" in one["Action"]
    ]
    assert everything.all("AWS::KMS::Key").keys() <= {one for one in walk(allowed) if isinstance(one, str)}


def test_the_function_knows_the_table_and_how_long_results_are_remembered(everything: Resources) -> None:
    (table,) = everything.all("AWS::DynamoDB::Table")
    variables = everything.only("AWS::Lambda::Function")["Environment"]["Variables"]
    assert variables["IDEMPOTENCY_TABLE_NAME"] == {"Ref": table}
    assert variables["IDEMPOTENCY_EXPIRES_AFTER"] == "300"
    properties = everything.only("AWS::DynamoDB::Table")
    assert properties["TimeToLiveSpecification"] == {"AttributeName": "expiration", "Enabled": True}


@stack_with
def to_topic(stack: Stack) -> None:
    make(stack, asynchronous=AsyncOptions(dead_letter_topic=sns.Topic(stack, "Dead")))


def test_dead_letters_may_go_to_a_topic(to_topic: Resources) -> None:
    (topic,) = to_topic.all("AWS::SNS::Topic")
    assert to_topic.only("AWS::Lambda::Function")["DeadLetterConfig"] == {"TargetArn": {"Ref": topic}}
    assert "sns:Publish" in to_topic.actions("OrdersFunctionServiceRole")
    assert len(to_topic.all("AWS::SQS::Queue")) == 1  # the default failure queue


def fifo_topic(stack: Stack) -> sns.ITopic:
    return sns.Topic.from_topic_arn(stack, "R", ARN.format("sns", "t.fifo"))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (lambda s: {"on_success": fifo_topic(s)}, ValueError, "on_success=Stack/R: it is a FIFO queue or t"),
        (
            lambda s: {"on_failure": sqs.Queue(s, "R", fifo=True)},
            ValueError,
            "on_failure=Stack/R: it is a FIFO",
        ),
        (
            lambda s: {"asynchronous": AsyncOptions(dead_letter_topic=fifo_topic(s))},
            ValueError,
            "asynchronous.dead_letter_topic=Stack/R: it is a FIFO",
        ),
        (lambda s: {"on_success": s3.Bucket(s, "R")}, TypeError, "on_success=<Bucket>: .* is needed"),
        (
            lambda s: {
                "on_success": sqs.Queue(s, "R"),
                "asynchronous": AsyncOptions(on_success=destinations.SqsDestination(sqs.Queue(s, "Q"))),
            },
            ValueError,
            "on_success and asynchronous.on_success: give one",
        ),
        (
            lambda s: {"expires_after": Duration.hours(5)},
            ValueError,
            "18,000 seconds: an event may be delivered again until it is 21,600 seconds old",
        ),
        (lambda s: {"expires_after": Duration.seconds(59)}, ValueError, "expires_after=59: this construct"),
        (
            lambda s: {"idempotency_table": dynamodb.Table(s, "R", partition_key=text("key"))},
            ValueError,
            r"its keys are key \(S\); the function needs the partition key id",
        ),
        (
            lambda s: {
                "idempotency_table": dynamodb.Table(
                    s, "R", partition_key=text("id"), time_to_live_attribute="ttl"
                )
            },
            ValueError,
            "its time to live attribute is ttl; the function sets expiration",
        ),
        (
            lambda _: {"function_options": FunctionOptions(environment={"IDEMPOTENCY_TABLE_NAME": "mine"})},
            ValueError,
            "environment variable IDEMPOTENCY_TABLE_NAME: the construct sets it itself",
        ),
    ],
)
def test_what_cannot_work_is_refused(
    arguments: Callable[[Stack], dict[str, Any]], error: type[Exception], message: str
) -> None:
    stack = Stack(App(), "Stack")
    with pytest.raises(error, match=message):
        make(stack, **arguments(stack))


def test_dead_letters_go_to_one_place() -> None:
    stack = Stack(App(), "Stack")
    with pytest.raises(ValueError, match="give the topic, and subscribe the queue to it"):
        AsyncOptions(dead_letter_queue=sqs.Queue(stack, "Q"), dead_letter_topic=sns.Topic(stack, "T"))


@pytest.mark.parametrize(("seconds", "warnings"), [(59, 0), (60, 1)])
def test_a_timeout_longer_than_the_wait_for_the_first_retry_is_warned_of(seconds: int, warnings: int) -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack")
    make(stack, function_options=FunctionOptions(timeout=Duration.seconds(seconds)))
    found: list[Any] = Annotations.from_stack(stack).find_warning(
        "*", Match.string_like_regexp("shorter than a minute")
    )
    assert len(found) == warnings


@pytest.mark.parametrize("argument", ["on_success", "on_failure"])
@pytest.mark.parametrize(("account", "warnings"), [("123456789012", 0), ("210987654321", 1)])
def test_the_owner_of_a_destination_of_another_account_must_allow_it(
    argument: str, account: str, warnings: int
) -> None:
    env = Environment(account="123456789012", region="eu-west-1")
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack", env=env)
    queue = sqs.Queue.from_queue_arn(stack, "Q", f"arn:aws:sqs:eu-west-1:{account}:records")
    make(stack, **{argument: queue})
    found: list[Any] = Annotations.from_stack(stack).find_warning(
        "*", Match.string_like_regexp("is in account 210987654321. Its owner must allow the role of Stack/")
    )
    assert len(found) == warnings
