"""SqsConsumer: what it builds, what it takes from others, and what it refuses."""

import re
from collections.abc import Callable

import pytest
from aws_cdk import App, Duration, RemovalPolicy, Stack, Stage
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.messaging.sqs_consumer import SqsConsumer, SqsConsumerOptions
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): pass")
READING = {"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"}
ALWAYS = READING | {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
ROLE = "WorkFunctionServiceRole"
ARN = "arn:aws:sqs:eu-west-1:123456789012:imported"


@stack_with
def consumer(stack: Stack) -> None:
    work = SqsConsumer(stack, "Work", code=CODE, handler="index.handler")
    work.grant_send(iam.Role(stack, "Sender", assumed_by=iam.AccountRootPrincipal()))


def queues(resources: Resources) -> tuple[dict[str, object], dict[str, object]]:
    """The properties of the queue that is read, and of its dead-letter queue."""
    found = resources.all("AWS::SQS::Queue")
    [source] = [queue for queue in found.values() if "RedrivePolicy" in queue]
    [dead] = [queue for queue in found.values() if "RedrivePolicy" not in queue]
    return source, dead


def test_a_message_is_tried_five_times_and_then_kept_for_two_weeks(consumer: Resources) -> None:
    source, dead = queues(consumer)
    [dead_id] = [name for name, queue in consumer.all("AWS::SQS::Queue").items() if queue == dead]
    assert source["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": [dead_id, "Arn"]},
        "maxReceiveCount": 5,
    }
    assert dead["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_the_visibility_timeout_is_six_times_the_functions(consumer: Resources) -> None:
    source, _ = queues(consumer)
    assert source["VisibilityTimeout"] == 6 * consumer.only("AWS::Lambda::Function")["Timeout"] == 180


def test_the_handler_answers_which_messages_failed(consumer: Resources) -> None:
    mapping = consumer.only("AWS::Lambda::EventSourceMapping")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BatchSize"] == 10


def test_the_mapping_waits_for_the_permission_to_read(consumer: Resources) -> None:
    [mapping] = [
        resource
        for resource in consumer.template["Resources"].values()
        if resource["Type"] == "AWS::Lambda::EventSourceMapping"
    ]
    assert any(name.startswith(f"{ROLE}DefaultPolicy") for name in mapping["DependsOn"])


def test_the_role_may_read_and_delete_and_nothing_else(consumer: Resources) -> None:
    assert consumer.actions(ROLE) == ALWAYS


def test_a_sender_may_send_and_nothing_else(consumer: Resources) -> None:
    assert consumer.actions("Sender") == {"sqs:SendMessage"}


def test_nobody_may_use_the_queue_for_dead_letters_and_everything_needs_tls(consumer: Resources) -> None:
    source, _ = queues(consumer)
    assert source["RedriveAllowPolicy"] == {"redrivePermission": "denyAll"}
    policies = consumer.all("AWS::SQS::QueuePolicy").values()
    assert len(policies) == 2
    for policy in policies:
        [statement] = policy["PolicyDocument"]["Statement"]
        assert (statement["Effect"], statement["Condition"]) == (
            "Deny",
            {"Bool": {"aws:SecureTransport": "false"}},
        )


def test_queues_and_logs_are_kept_unless_told_otherwise(consumer: Resources, fifo: Resources) -> None:
    for resources, policy in ((consumer, "Retain"), (fifo, "Delete")):
        for resource in resources.template["Resources"].values():
            if resource["Type"] in ("AWS::SQS::Queue", "AWS::Logs::LogGroup"):
                assert resource["DeletionPolicy"] == policy


@stack_with
def fifo(stack: Stack) -> None:
    SqsConsumer(
        stack,
        "Work",
        code=CODE,
        handler="index.handler",
        fifo=True,
        options=SqsConsumerOptions(
            content_based_deduplication=True,
            high_throughput=True,
            max_concurrency=7,
            max_receive_count=3,
            encryption_key=kms.Key(stack, "Key"),
        ),
        removal_policy=RemovalPolicy.DESTROY,
    )


def test_a_fifo_queue_and_its_dead_letter_queue_are_of_one_kind(fifo: Resources) -> None:
    source, dead = queues(fifo)
    assert (source["FifoQueue"], dead["FifoQueue"]) == (True, True)
    assert source["ContentBasedDeduplication"] is True
    assert source["DeduplicationScope"] == "messageGroup"
    assert source["FifoThroughputLimit"] == "perMessageGroupId"


def test_a_customer_key_encrypts_both_queues_and_the_role_may_decrypt(fifo: Resources) -> None:
    key = {"Fn::GetAtt": [next(iter(fifo.all("AWS::KMS::Key"))), "Arn"]}
    assert [queue["KmsMasterKeyId"] for queue in queues(fifo)] == [key, key]
    [statement] = [one for one in fifo.statements(ROLE) if "kms" in str(one["Action"])]
    assert (statement["Action"], statement["Resource"]) == ("kms:Decrypt", key)


def test_the_concurrency_is_bounded_at_the_mapping(fifo: Resources) -> None:
    assert fifo.only("AWS::Lambda::EventSourceMapping")["ScalingConfig"] == {"MaximumConcurrency": 7}


@stack_with
def large(stack: Stack) -> None:
    SqsConsumer(
        stack,
        "Work",
        code=CODE,
        handler="index.handler",
        options=SqsConsumerOptions(
            batch_size=1000,
            max_batching_window=Duration.seconds(20),
            filters=[lambda_.FilterCriteria.filter({"body": {"kind": lambda_.FilterRule.is_equal("order")}})],
            minimum_pollers=2,
            maximum_pollers=20,
        ),
        function_options=FunctionOptions(timeout=Duration.minutes(1)),
    )


def test_large_batches_have_a_window_that_counts_for_the_visibility_timeout(large: Resources) -> None:
    mapping = large.only("AWS::Lambda::EventSourceMapping")
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == (1000, 20)
    assert queues(large)[0]["VisibilityTimeout"] == 6 * 60 + 20


def test_filters_and_provisioned_pollers_reach_the_mapping(large: Resources) -> None:
    mapping = large.only("AWS::Lambda::EventSourceMapping")
    assert mapping["FilterCriteria"]["Filters"] == [{"Pattern": '{"body":{"kind":["order"]}}'}]
    assert mapping["ProvisionedPollerConfig"] == {"MinimumPollers": 2, "MaximumPollers": 20}


@stack_with
def imported(stack: Stack) -> None:
    queue = sqs.Queue.from_queue_arn(stack, "Imported", ARN)
    assert (
        SqsConsumer(stack, "Work", code=CODE, handler="index.handler", queue=queue).dead_letter_queue is None
    )


def test_an_imported_queue_is_read_and_none_is_made(imported: Resources) -> None:
    assert not imported.all("AWS::SQS::Queue")
    assert imported.only("AWS::Lambda::EventSourceMapping")["EventSourceArn"] == ARN
    assert imported.actions(ROLE) == ALWAYS


def test_what_nobody_can_check_of_an_imported_queue_is_a_warning() -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "S")
    queue = sqs.Queue.from_queue_arn(stack, "Imported", ARN)
    SqsConsumer(stack, "Work", code=CODE, handler="index.handler", queue=queue)
    message = Match.string_like_regexp("visibility timeout is at least 180 seconds.*redrive policy")
    Annotations.from_stack(stack).has_warning("/S/Work", message)


def test_a_queue_of_another_stack_in_a_stage_works_twice() -> None:
    stage = Stage(App(builtin_cloud_formation_validation=False), "Stage")
    owner = Stack(stage, "Owner")
    dead = sqs.DeadLetterQueue(queue=sqs.Queue(owner, "Dead"), max_receive_count=3)
    queue = sqs.Queue(owner, "Queue", visibility_timeout=Duration.minutes(3), dead_letter_queue=dead)
    stack = Stack(stage, "Consumer")
    for name in ("One", "Two"):
        made = SqsConsumer(stack, name, code=CODE, handler="index.handler", queue=queue)
        assert made.dead_letter_queue is dead.queue
    stage.synth()


REFUSED: dict[str, tuple[Callable[[Stack], object], str]] = {
    "a batch without end": (
        lambda _: SqsConsumerOptions(batch_size=10_001),
        "batch_size=10,001: Lambda allows",
    ),
    "a large batch without a window": (
        lambda _: SqsConsumerOptions(batch_size=11),
        "batch_size=11 without max_batching_window",
    ),
    "a window too long": (
        lambda _: SqsConsumerOptions(max_batching_window=Duration.seconds(301)),
        "max_batching_window=301: Lambda allows 0 to 300",
    ),
    "one at a time": (lambda _: SqsConsumerOptions(max_concurrency=1), "max_concurrency=1: Lambda allows 2"),
    "pollers and concurrency": (
        lambda _: SqsConsumerOptions(max_concurrency=2, minimum_pollers=2),
        "max_concurrency beside minimum_pollers",
    ),
    "too many filters": (lambda _: SqsConsumerOptions(filters=[{}] * 11), "len(filters)=11"),
    "no attempt": (lambda _: SqsConsumerOptions(max_receive_count=0), "max_receive_count=0: SQS allows"),
    "a short visibility timeout": (
        lambda stack: work(stack, options=SqsConsumerOptions(visibility_timeout=Duration.seconds(179))),
        "visibility_timeout=179: AWS advises at least 180",
    ),
    "a given queue's short visibility timeout": (
        lambda stack: work(stack, queue=queue_with_dead_letters(stack)),
        "queue.visibility_timeout=30: AWS advises at least 180",
    ),
    "a given queue without dead letters": (
        lambda stack: work(stack, queue=sqs.Queue(stack, "Q", visibility_timeout=Duration.minutes(3))),
        "it has no dead-letter queue",
    ),
    "settings of a given queue": (
        lambda stack: work(stack, queue=queue_with_dead_letters(stack), fifo=True),
        "fifo beside queue: set that on the queue itself",
    ),
    "a window on a FIFO queue": (
        lambda stack: work(
            stack, fifo=True, options=SqsConsumerOptions(max_batching_window=Duration.seconds(1))
        ),
        "with a FIFO queue: Lambda allows batches of at most 10 and no window",
    ),
    "deduplication without order": (
        lambda stack: work(stack, options=SqsConsumerOptions(content_based_deduplication=True)),
        "SQS has them for FIFO queues only",
    ),
    "dead letters of another kind": (
        lambda stack: work(stack, fifo=True, dead_letter_queue=sqs.Queue(stack, "Dead")),
        "SQS asks for a dead-letter queue of the same kind",
    ),
    "less reserved than read": (
        lambda stack: work(
            stack,
            options=SqsConsumerOptions(max_concurrency=10),
            function_options=FunctionOptions(reserved_concurrent_executions=9),
        ),
        "max_concurrency=10 and reserved_concurrent_executions=9",
    ),
}


def work(stack: Stack, **arguments: object) -> SqsConsumer:
    return SqsConsumer(stack, "Work", code=CODE, handler="index.handler", **arguments)  # type: ignore[arg-type]


def queue_with_dead_letters(stack: Stack) -> sqs.Queue:
    dead = sqs.DeadLetterQueue(queue=sqs.Queue(stack, "Dead"), max_receive_count=3)
    return sqs.Queue(stack, "Queue", dead_letter_queue=dead)


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused(make: Callable[[Stack], object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make(Stack(App(), "S"))
