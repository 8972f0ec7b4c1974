"""SqsConsumer: what it builds, with its own and with given resources, and what it refuses."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Environment, RemovalPolicy, Stack, Stage
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match, Template

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
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


def queues(resources: Resources) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the properties of the queue, and of its dead-letter queue."""
    found = resources.all("AWS::SQS::Queue")
    [source] = [queue for queue in found.values() if "RedrivePolicy" in queue]
    [dead] = [queue for queue in found.values() if "RedrivePolicy" not in queue]
    return source, dead


def test_after_five_attempts_a_message_moves_to_the_dead_letter_queue_for_two_weeks(
    consumer: Resources,
) -> None:
    source, dead = queues(consumer)
    [dead_id] = [name for name, queue in consumer.all("AWS::SQS::Queue").items() if queue == dead]
    assert source["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": [dead_id, "Arn"]},
        "maxReceiveCount": 5,
    }
    assert dead["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_a_dead_letter_of_a_standard_queue_is_retained_for_at_least_a_week(
    consumer: Resources, fifo: Resources
) -> None:
    # Its age counts from when it was first sent; in a FIFO queue it starts anew.
    days = [[queue["MessageRetentionPeriod"] // 86_400 for queue in queues(one)] for one in (consumer, fifo)]
    assert days == [[7, 14], [14, 14]]


def test_the_visibility_timeout_is_six_times_the_function_timeout(consumer: Resources) -> None:
    source, _ = queues(consumer)
    assert source["VisibilityTimeout"] == 6 * consumer.only("AWS::Lambda::Function")["Timeout"] == 180


def test_batch_responses_are_partial(consumer: Resources) -> None:
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


def test_no_other_queue_may_use_it_for_dead_letters_and_requests_need_tls(consumer: Resources) -> None:
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


def test_queues_and_logs_are_retained_by_default(consumer: Resources, fifo: Resources) -> None:
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


def test_the_dead_letter_queue_of_a_fifo_queue_is_a_fifo_queue(fifo: Resources) -> None:
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


def test_the_mapping_limits_the_concurrency(fifo: Resources) -> None:
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


def test_the_batching_window_adds_to_the_visibility_timeout(large: Resources) -> None:
    mapping = large.only("AWS::Lambda::EventSourceMapping")
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == (1000, 20)
    assert queues(large)[0]["VisibilityTimeout"] == 6 * 60 + 20


def test_filters_and_provisioned_pollers_reach_the_mapping(large: Resources) -> None:
    mapping = large.only("AWS::Lambda::EventSourceMapping")
    assert mapping["FilterCriteria"]["Filters"] == [{"Pattern": '{"body":{"kind":["order"]}}'}]
    assert mapping["ProvisionedPollerConfig"] == {"MinimumPollers": 2, "MaximumPollers": 20}


@stack_with
def imported(stack: Stack) -> None:
    work(stack, queue=sqs.Queue.from_queue_arn(stack, "Imported", ARN))


def test_an_imported_queue_is_read_and_none_is_made(imported: Resources) -> None:
    assert not imported.all("AWS::SQS::Queue")
    assert imported.only("AWS::Lambda::EventSourceMapping")["EventSourceArn"] == ARN
    assert imported.actions(ROLE) == ALWAYS


def test_the_unknown_settings_of_an_imported_queue_are_a_warning() -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "S")
    consumer = work(stack, queue=sqs.Queue.from_queue_arn(stack, "Imported", ARN))
    assert consumer.dead_letter_queue is None
    message = Match.string_like_regexp("visibility timeout is at least 180 seconds.*redrive policy")
    Annotations.from_stack(stack).has_warning("/S/Work", message)


def test_a_queue_from_another_stack_in_a_stage_works_twice() -> None:
    stage = Stage(App(builtin_cloud_formation_validation=False), "Stage")
    owner = Stack(stage, "Owner")
    dead = sqs.DeadLetterQueue(queue=sqs.Queue(owner, "Dead"), max_receive_count=3)
    queue = sqs.Queue(owner, "Queue", visibility_timeout=Duration.minutes(3), dead_letter_queue=dead)
    stack = Stack(stage, "Consumer")
    for name in ("One", "Two"):
        made = SqsConsumer(stack, name, code=CODE, handler="index.handler", queue=queue)
        assert made.dead_letter_queue is dead.queue
    stage.synth()


@stack_with
def released(stack: Stack) -> None:
    function = HardenedFunction(
        stack,
        "Worker",
        code=CODE,
        handler="index.handler",
        options=FunctionOptions(timeout=Duration.seconds(20)),
    )
    live = lambda_.Alias(stack, "Live", alias_name="live", version=function.current_version)
    key = kms.Key(stack, "Key")
    for name in ("One", "Two"):
        SqsConsumer(stack, name, function=live, options=SqsConsumerOptions(encryption_key=key))


def test_an_alias_is_what_the_mapping_invokes(released: Resources) -> None:
    mappings = released.all("AWS::Lambda::EventSourceMapping").values()
    assert len(released.all("AWS::Lambda::Function")) == 1
    for mapping in mappings:
        assert str(mapping["FunctionName"]).endswith("':live']]}")
    assert [queue["VisibilityTimeout"] for queue in queues_read(released)] == [120, 120]


def test_the_role_of_an_existing_function_gets_a_policy_on_which_the_mapping_depends(
    released: Resources,
) -> None:
    assert released.actions("WorkerServiceRole") == ALWAYS | {"kms:Decrypt"}
    for resource in released.template["Resources"].values():
        if resource["Type"] == "AWS::Lambda::EventSourceMapping":
            assert any("FunctionPolicy" in name for name in resource["DependsOn"])


def queues_read(resources: Resources) -> list[dict[str, object]]:
    """Return the properties of the queues that have a dead-letter queue."""
    return [queue for queue in resources.all("AWS::SQS::Queue").values() if "RedrivePolicy" in queue]


def test_a_function_from_another_stack_and_a_queue_of_this_one_make_no_cycle() -> None:
    app = App(builtin_cloud_formation_validation=False)
    theirs = HardenedFunction(Stack(app, "Theirs"), "Worker", code=CODE, handler="index.handler")
    SqsConsumer(Stack(app, "Mine"), "Work", function=theirs)
    app.synth()


def test_the_unknown_role_of_an_imported_function_is_a_warning() -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "S")
    options = SqsConsumerOptions(visibility_timeout=Duration.minutes(3))
    SqsConsumer(stack, "Work", function=imported_function(stack), options=options)
    message = Match.string_like_regexp("S/Imported is imported without its role.*may read the source")
    Annotations.from_stack(stack).has_warning("/S/Work", message)


def test_the_unknown_timeout_of_an_imported_function_is_a_warning_for_a_given_queue() -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "S")
    consumer = SqsConsumer(
        stack, "Work", function=imported_function(stack), queue=queue_with_dead_letters(stack)
    )
    assert consumer.dead_letter_queue is not None
    warns(stack, UNKNOWN)


UNKNOWN = "Whether the visibility timeout of S/.* is long enough is known only at deployment"


def seconds(stack: Stack) -> Duration:
    return Duration.seconds(CfnParameter(stack, "Seconds", type="Number").value_as_number)


@pytest.mark.parametrize(
    "make",
    [
        lambda stack: work(
            stack,
            function_options=FunctionOptions(timeout=seconds(stack)),
            options=SqsConsumerOptions(visibility_timeout=Duration.minutes(3)),
        ),
        lambda stack: work(stack, options=SqsConsumerOptions(visibility_timeout=seconds(stack))),
        lambda stack: work(stack, queue=queue_with_dead_letters(stack, visibility_timeout=seconds(stack))),
    ],
    ids=["function timeout", "visibility timeout", "visibility timeout of a given queue"],
)
def test_a_timeout_that_is_known_only_at_deployment_is_a_warning(make: Callable[[Stack], object]) -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "S")
    make(stack)
    warns(stack, UNKNOWN)


@pytest.mark.parametrize(("days", "warned"), [(7, True), (8, False)])
def test_a_dead_letter_queue_that_retains_messages_no_longer_than_its_source_is_a_warning(
    days: int, warned: bool
) -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "S")
    work(stack, dead_letter_queue=sqs.Queue(stack, "Dead", retention_period=Duration.days(days)))
    found = Annotations.from_stack(stack).find_warning("/S/Work", Match.string_like_regexp("can expire"))
    assert bool(found) == warned


def test_numbers_that_are_known_only_at_deployment_pass() -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "S")
    number = CfnParameter(stack, "Number", type="Number").value_as_number
    options = SqsConsumerOptions(
        batch_size=number,  # type: ignore[arg-type]
        max_concurrency=10,
        max_batching_window=seconds(stack),
        visibility_timeout=Duration.minutes(5),
        max_receive_count=number,  # type: ignore[arg-type]
    )
    reserved = FunctionOptions(reserved_concurrent_executions=number)  # type: ignore[arg-type]
    for fifo in (False, True):
        SqsConsumer(
            stack,
            f"Fifo{fifo}",
            code=CODE,
            handler="index.handler",
            fifo=fifo,
            options=options,
            function_options=reserved,
        )
    SqsConsumerOptions(minimum_pollers=number, maximum_pollers=2)  # type: ignore[arg-type]


def test_a_window_of_zero_is_no_window() -> None:
    options = SqsConsumerOptions(max_batching_window=Duration.seconds(0))
    work(Stack(App(builtin_cloud_formation_validation=False), "S"), fifo=True, options=options)


SERVICE = iam.ServicePrincipal("s3.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": "1"}})


@stack_with
def granted(stack: Stack) -> None:
    consumer = work(stack, options=SqsConsumerOptions(encryption_key=kms.Key(stack, "Key")))
    for principal in (SERVICE, iam.AccountPrincipal("210987654321")):
        consumer.grant_send(principal)


def test_a_service_and_an_account_get_statements_in_the_policies_of_queue_and_key(
    granted: Resources,
) -> None:
    policies = [one["PolicyDocument"] for one in granted.all("AWS::SQS::QueuePolicy").values()]
    for policy in (*policies, granted.only("AWS::KMS::Key")["KeyPolicy"]):
        statements = [one for one in policy["Statement"] if one["Effect"] == "Allow"]
        if not statements:  # that of the dead-letter queue
            continue
        [service] = [one for one in statements if "s3.amazonaws.com" in str(one["Principal"])]
        assert service["Condition"] == {"StringEquals": {"aws:SourceAccount": "1"}}
        assert any("210987654321" in str(one["Principal"]) for one in statements)


@pytest.mark.parametrize(
    ("principal", "warned"),
    [(SERVICE, True), (iam.AccountPrincipal("210987654321"), True), (None, False)],
    ids=["service", "account", "role of this app"],
)
def test_a_principal_that_needs_the_policy_of_an_imported_queue_is_a_warning(
    principal: iam.IPrincipal | None, warned: bool
) -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "S")
    consumer = work(stack, queue=sqs.Queue.from_queue_arn(stack, "Imported", ARN))
    consumer.grant_send(principal or iam.Role(stack, "Role", assumed_by=iam.AccountRootPrincipal()))
    message = Match.string_like_regexp("Its owner must allow the principal .*sqs:SendMessage")
    assert bool(Annotations.from_stack(stack).find_warning("/S/Work", message)) == warned


def warns(stack: Stack, message: str) -> None:
    Annotations.from_stack(stack).has_warning("/S/Work", Match.string_like_regexp(message))


def imported_function(stack: Stack) -> lambda_.IFunction:
    return lambda_.Function.from_function_arn(
        stack, "Imported", "arn:aws:lambda:eu-west-1:123456789012:function:theirs"
    )


def own_function(stack: Stack, timeout: int = 30, reserved: int | None = None) -> HardenedFunction:
    options = FunctionOptions(timeout=Duration.seconds(timeout), reserved_concurrent_executions=reserved)
    return HardenedFunction(stack, "Worker", code=CODE, handler="index.handler", options=options)


def test_a_handler_that_returns_something_else_can_do_without_partial_batch_responses() -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "S")
    options = SqsConsumerOptions(report_batch_item_failures=False)
    SqsConsumer(stack, "Own", code=CODE, handler="index.handler", options=options)
    Template.from_stack(stack).has_resource_properties(
        "AWS::Lambda::EventSourceMapping", {"FunctionResponseTypes": Match.absent()}
    )


REFUSED: dict[str, tuple[Callable[[Stack], object], str]] = {
    "a filter that is not JSON": (
        lambda _: SqsConsumerOptions(filters=[{"pattern": "kind = order"}]),
        "filters[0]='kind = order': a pattern is a JSON object",
    ),
    "a filter without a pattern": (
        lambda _: SqsConsumerOptions(filters=[{}]),
        "filters[0]='None': a pattern",
    ),
    "a list as a filter": (
        lambda _: SqsConsumerOptions(filters=[{"pattern": "[]"}]),
        "filters[0]='[]': a pattern",
    ),
    "a filter too long": (
        lambda _: SqsConsumerOptions(filters=[{"pattern": '{"a": ["' + "x" * 4_096 + '"]}'}]),
        "length of filters[0]=4,107: Lambda allows 0 to 4,096 characters",
    ),
    "a mapping that another construct makes": (
        lambda stack: SqsConsumer(
            stack,
            "Two",
            function=(one := SqsConsumer(stack, "One", code=CODE, handler="index.handler")).function,
            queue=one.queue,
        ),
        "S/One/Queue with S/One/Function: Lambda has one event source mapping of the two, and S/One has it",
    ),
    "a batch too large": (
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
    "concurrency of one": (
        lambda _: SqsConsumerOptions(max_concurrency=1),
        "max_concurrency=1: Lambda allows 2",
    ),
    "pollers and concurrency": (
        lambda _: SqsConsumerOptions(max_concurrency=2, minimum_pollers=2),
        "max_concurrency cannot be combined with minimum_pollers or maximum_pollers",
    ),
    "too many filters": (
        lambda _: SqsConsumerOptions(filters=[{}] * 11),
        "len(filters)=11: Lambda allows 1 to 10",
    ),
    "too few pollers": (
        lambda _: SqsConsumerOptions(minimum_pollers=1),
        "minimum_pollers=1: Lambda allows 2 to 200",
    ),
    "too many pollers": (
        lambda _: SqsConsumerOptions(maximum_pollers=2001),
        "maximum_pollers=2,001: the CDK allows 2 to 2,000",
    ),
    "more pollers at least than at most": (
        lambda _: SqsConsumerOptions(minimum_pollers=3, maximum_pollers=2),
        "minimum_pollers must not exceed maximum_pollers",
    ),
    "a fraction of a message": (
        lambda _: SqsConsumerOptions(batch_size=1.5),  # type: ignore[arg-type]
        "batch_size=1.5: a whole number is needed, not float",
    ),
    "a visibility timeout beyond that of SQS": (
        lambda _: SqsConsumerOptions(visibility_timeout=Duration.seconds(43_201)),
        "visibility_timeout=43,201: SQS allows 0 to 43,200 seconds",
    ),
    "no attempt": (
        lambda _: SqsConsumerOptions(max_receive_count=0),
        "max_receive_count=0: SQS allows 1 to 1,000;",
    ),
    "a short visibility timeout": (
        lambda stack: work(stack, options=SqsConsumerOptions(visibility_timeout=Duration.seconds(179))),
        "visibility_timeout=179: AWS advises at least 180",
    ),
    "a given queue's short visibility timeout": (
        lambda stack: work(stack, queue=queue_with_dead_letters(stack)),
        "visibility_timeout=30: AWS advises at least 180",
    ),
    "a queue in another Region": (
        lambda _: work(in_ireland(), queue=sqs.Queue.from_queue_arn(in_ireland(), "Q", OVERSEAS)),
        "queue=S/Q: it is in us-east-1, and this stack in eu-west-1",
    ),
    "a function in another Region": (
        lambda _: SqsConsumer(
            in_ireland(),
            "Work",
            function=lambda_.Function.from_function_arn(
                in_ireland(), "F", "arn:aws:lambda:us-east-1:123456789012:function:theirs"
            ),
            options=SqsConsumerOptions(visibility_timeout=Duration.minutes(3)),
        ),
        "function=S/F: it is in us-east-1",
    ),
    "a dead-letter queue in another Region": (
        lambda _: work(in_ireland(), dead_letter_queue=sqs.Queue.from_queue_arn(in_ireland(), "Q", OVERSEAS)),
        "dead_letter_queue=S/Q: it is in account 123456789012 and Region us-east-1",
    ),
    "a dead-letter queue in another account": (
        lambda _: work(
            in_ireland(),
            dead_letter_queue=sqs.Queue.from_queue_arn(
                in_ireland(), "Q", "arn:aws:sqs:eu-west-1:210987654321:dead"
            ),
        ),
        "dead_letter_queue=S/Q: it is in account 210987654321",
    ),
    "a given queue with dead letters of another kind": (
        lambda stack: work(
            stack, queue=queue_with_dead_letters(stack, fifo=True, visibility_timeout=Duration.minutes(3))
        ),
        "dead_letter_queue.fifo=False and fifo=True",
    ),
    "a given queue without dead letters": (
        lambda stack: work(stack, queue=sqs.Queue(stack, "Q", visibility_timeout=Duration.minutes(3))),
        "it has no dead-letter queue",
    ),
    "settings of a given queue": (
        lambda stack: work(stack, queue=queue_with_dead_letters(stack), fifo=True),
        "fifo cannot be combined with queue; configure the queue where it is made",
    ),
    "a window on a FIFO queue": (
        lambda stack: work(
            stack, fifo=True, options=SqsConsumerOptions(max_batching_window=Duration.seconds(1))
        ),
        "with a FIFO queue: Lambda allows batches of at most 10 and no window",
    ),
    "deduplication without order": (
        lambda stack: work(stack, options=SqsConsumerOptions(content_based_deduplication=True)),
        "only FIFO queues have them",
    ),
    "a dead-letter queue of another kind": (
        lambda stack: work(stack, fifo=True, dead_letter_queue=sqs.Queue(stack, "Dead")),
        "SQS requires a dead-letter queue of the same kind",
    ),
    "neither code nor a function": (
        lambda stack: SqsConsumer(stack, "Work"),
        "code and function are missing; give code for a new function",
    ),
    "settings of a given function": (
        lambda stack: work(stack, function=own_function(stack), function_options=FunctionOptions()),
        "code, handler, function_options cannot be combined with function",
    ),
    "a given function's timeout with a shorter visibility timeout": (
        lambda stack: SqsConsumer(
            stack,
            "Work",
            function=own_function(stack, timeout=60).current_version,
            options=SqsConsumerOptions(visibility_timeout=Duration.seconds(359)),
        ),
        "visibility_timeout=359: AWS advises at least 360",
    ),
    "an unknown timeout without a visibility timeout": (
        lambda stack: SqsConsumer(stack, "Work", function=imported_function(stack)),
        "visibility_timeout is missing: the timeout of the function",
    ),
    "a given function with less reserved than read concurrently": (
        lambda stack: SqsConsumer(
            stack,
            "Work",
            function=own_function(stack, reserved=3),
            options=SqsConsumerOptions(max_concurrency=4),
        ),
        "max_concurrency=4 and reserved_concurrent_executions=3",
    ),
    "less reserved than read concurrently": (
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


def queue_with_dead_letters(stack: Stack, **arguments: Any) -> sqs.Queue:
    dead = sqs.DeadLetterQueue(queue=sqs.Queue(stack, "Dead"), max_receive_count=3)
    return sqs.Queue(stack, "Queue", dead_letter_queue=dead, **arguments)


OVERSEAS = "arn:aws:sqs:us-east-1:123456789012:theirs"


def in_ireland() -> Stack:
    return Stack(App(), "S", env=Environment(account="123456789012", region="eu-west-1"))


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_arguments_are_refused(make: Callable[[Stack], object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make(Stack(App(), "S"))
