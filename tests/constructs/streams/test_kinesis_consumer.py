"""KinesisConsumer: what it builds, with its own and with given resources, and what it refuses."""

import re
from collections.abc import Callable

import pytest
from aws_cdk import App, Duration, Environment, RemovalPolicy, Stack, Stage
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match, Template

from cdk_lambda_patterns import HardenedFunction
from cdk_lambda_patterns.streams.kinesis_consumer import KinesisConsumer, KinesisConsumerOptions
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): pass")
READING = {
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
}
ALWAYS = READING | {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
ROLE = "ClicksFunctionServiceRole"
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/imported"


def mapping(resources: Resources) -> dict[str, object]:
    """Return the properties of the event source mapping."""
    return resources.only("AWS::Lambda::EventSourceMapping")


@stack_with
def consumer(stack: Stack) -> None:
    clicks = KinesisConsumer(stack, "Clicks", code=CODE, handler="index.handler")
    clicks.grant_put(iam.Role(stack, "Sender", assumed_by=iam.AccountRootPrincipal()))
    clicks.metric_iterator_age().create_alarm(stack, "Late", threshold=1, evaluation_periods=1)


def test_by_default_a_failed_batch_is_bisected_and_retried_five_times(consumer: Resources) -> None:
    given = mapping(consumer)
    assert given["BisectBatchOnFunctionError"] is True
    assert given["MaximumRetryAttempts"] == 5
    assert given["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert given["StartingPosition"] == "TRIM_HORIZON"


def test_by_default_discarded_batches_are_reported_to_a_new_queue(consumer: Resources) -> None:
    [queue] = consumer.all("AWS::SQS::Queue")
    assert mapping(consumer)["DestinationConfig"] == {
        "OnFailure": {"Destination": {"Fn::GetAtt": [queue, "Arn"]}}
    }


def test_the_stream_is_encrypted_and_retained_by_default(consumer: Resources, full: Resources) -> None:
    stream = consumer.only("AWS::Kinesis::Stream")
    _, without_the_key, encryption = stream["StreamEncryption"]["Fn::If"]
    assert without_the_key == {"Ref": "AWS::NoValue"}  # two regions in China
    assert encryption == {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}
    assert stream["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
    for resources, policy in ((consumer, "Retain"), (full, "Delete")):
        [found] = [
            one["DeletionPolicy"]
            for one in resources.template["Resources"].values()
            if one["Type"] == "AWS::Kinesis::Stream"
        ]
        assert found == policy


def test_the_role_may_read_and_report_failures_and_nothing_else(consumer: Resources) -> None:
    assert consumer.actions(ROLE) == ALWAYS | {"sqs:SendMessage"}


def test_a_sender_may_put_and_nothing_else(consumer: Resources) -> None:
    assert consumer.actions("Sender") == {"kinesis:PutRecord", "kinesis:PutRecords"}


def test_the_iterator_age_is_the_maximum_of_this_function_per_minute(consumer: Resources) -> None:
    alarm = consumer.only("AWS::CloudWatch::Alarm")
    assert (alarm["MetricName"], alarm["Statistic"], alarm["Period"]) == ("IteratorAge", "Maximum", 60)
    assert alarm["Dimensions"][0]["Name"] == "FunctionName"


def test_options_of_a_metric_replace_its_defaults(full: Resources) -> None:
    alarm = full.only("AWS::CloudWatch::Alarm")
    assert (alarm["Statistic"], alarm["Period"]) == ("Maximum", 300)


@stack_with
def full(stack: Stack) -> None:
    clicks = KinesisConsumer(
        stack,
        "Clicks",
        code=CODE,
        handler="index.handler",
        options=KinesisConsumerOptions(
            starting_position=lambda_.StartingPosition.AT_TIMESTAMP,
            starting_position_timestamp=1_700_000_000,
            batch_size=500,
            max_batching_window=Duration.seconds(3),
            parallelization_factor=10,
            bisect_batch_on_error=False,
            retry_attempts=0,
            max_record_age=Duration.hours(1),
            filters=[lambda_.FilterCriteria.filter({"data": {"kind": lambda_.FilterRule.is_equal("a")}})],
        ),
        removal_policy=RemovalPolicy.DESTROY,
    )
    age = clicks.metric_iterator_age(cloudwatch.MetricOptions(period=Duration.minutes(5)))
    age.create_alarm(stack, "Late", threshold=1, evaluation_periods=1)


def test_every_option_reaches_the_mapping(full: Resources) -> None:
    given = mapping(full)
    assert given["StartingPosition"] == "AT_TIMESTAMP"
    assert given["StartingPositionTimestamp"] == 1_700_000_000
    assert (given["BatchSize"], given["MaximumBatchingWindowInSeconds"]) == (500, 3)
    assert given["ParallelizationFactor"] == 10
    assert given["BisectBatchOnFunctionError"] is False
    assert given["MaximumRetryAttempts"] == 0
    assert given["MaximumRecordAgeInSeconds"] == 3600
    assert given["FilterCriteria"] == {"Filters": [{"Pattern": '{"data":{"kind":["a"]}}'}]}


@stack_with
def fan_out(stack: Stack) -> None:
    for name in ("Clicks", "Others"):
        KinesisConsumer(
            stack,
            name,
            code=CODE,
            handler="index.handler",
            stream=kinesis.Stream.from_stream_arn(stack, f"{name}Imported", STREAM),
            on_failure=sns.Topic(stack, f"{name}Failures"),
            options=KinesisConsumerOptions(enhanced_fan_out=True, tumbling_window=Duration.seconds(60)),
        )


def test_with_enhanced_fan_out_the_mapping_reads_from_a_registered_consumer(fan_out: Resources) -> None:
    consumers = fan_out.all("AWS::Kinesis::StreamConsumer")
    assert len({one["ConsumerName"] for one in consumers.values()}) == 2
    read = [one["EventSourceArn"] for one in fan_out.all("AWS::Lambda::EventSourceMapping").values()]
    assert read == [{"Fn::GetAtt": [name, "ConsumerARN"]} for name in consumers]
    assert {
        one["TumblingWindowInSeconds"] for one in fan_out.all("AWS::Lambda::EventSourceMapping").values()
    } == {60}


def test_with_enhanced_fan_out_the_role_may_subscribe_and_publish_failures(fan_out: Resources) -> None:
    subscribing = {"kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"}
    assert fan_out.actions(ROLE) == ALWAYS | subscribing | {"sns:Publish"}


@stack_with
def bucket(stack: Stack) -> None:
    key = kms.Key(stack, "Key")
    KinesisConsumer(
        stack,
        "Clicks",
        code=CODE,
        handler="index.handler",
        stream=kinesis.Stream(stack, "Stream", encryption_key=key),
        on_failure=s3.Bucket(stack, "Bucket", encryption_key=key),
    )


def test_a_bucket_as_destination_and_customer_managed_keys_are_granted_action_by_action(
    bucket: Resources,
) -> None:
    assert bucket.actions(ROLE) == ALWAYS | {
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "s3:ListBucket",
        "s3:PutObject",
    }
    [statement] = [one for one in bucket.statements(ROLE) if one["Action"] == "s3:PutObject"]
    assert statement["Resource"]["Fn::Join"][1][1] == "/aws/lambda/*"


def test_a_stream_from_another_stack_in_a_stage_works() -> None:
    stage = Stage(App(builtin_cloud_formation_validation=False), "Stage")
    stream = kinesis.Stream(Stack(stage, "Owner"), "Stream")
    KinesisConsumer(Stack(stage, "Reader"), "Clicks", code=CODE, handler="index.handler", stream=stream)
    stage.synth()


@stack_with
def released(stack: Stack) -> None:
    function = HardenedFunction(stack, "Worker", code=CODE, handler="index.handler")
    live = lambda_.Alias(stack, "Live", alias_name="live", version=function.current_version)
    key = kms.Key(stack, "Key")
    KinesisConsumer(
        stack,
        "Clicks",
        function=live,
        stream=kinesis.Stream(stack, "Stream", encryption_key=key),
        on_failure=s3.Bucket(stack, "Bucket", encryption_key=key),
        options=KinesisConsumerOptions(enhanced_fan_out=True),
    ).metric_iterator_age().create_alarm(stack, "Late", threshold=1, evaluation_periods=1)


def test_an_alias_is_what_the_mapping_invokes_and_the_metric_is_its_own(released: Resources) -> None:
    assert len(released.all("AWS::Lambda::Function")) == 1
    assert str(mapping(released)["FunctionName"]).endswith("':live']]}")
    dimensions = released.only("AWS::CloudWatch::Alarm")["Dimensions"]
    assert {one["Name"] for one in dimensions} == {"FunctionName", "Resource"}


def test_the_role_of_an_existing_function_gets_a_policy_of_single_actions(released: Resources) -> None:
    subscribing = {"kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"}
    storing = {"kms:Decrypt", "kms:GenerateDataKey", "s3:ListBucket", "s3:PutObject"}
    assert released.actions("WorkerServiceRole") == ALWAYS | subscribing | storing
    [resource] = [
        one
        for one in released.template["Resources"].values()
        if one["Type"] == "AWS::Lambda::EventSourceMapping"
    ]
    assert any("FunctionPolicy" in name for name in resource["DependsOn"])


def test_a_function_from_another_stack_and_a_stream_of_this_one_make_no_cycle() -> None:
    app = App(builtin_cloud_formation_validation=False)
    theirs = HardenedFunction(Stack(app, "Theirs"), "Worker", code=CODE, handler="index.handler")
    KinesisConsumer(Stack(app, "Mine"), "Clicks", function=theirs)
    app.synth()


def test_a_function_may_read_a_stream_by_registered_consumers_of_its_own() -> None:
    stack = Stack(App(), "S")
    one = KinesisConsumer(stack, "One", code=CODE, handler="index.handler")
    options = KinesisConsumerOptions(enhanced_fan_out=True)
    for name in ("Two", "Three"):
        KinesisConsumer(stack, name, function=one.function, stream=one.stream, options=options)
    assert len(Template.from_stack(stack).find_resources("AWS::Lambda::EventSourceMapping")) == 3


@pytest.mark.parametrize("id", ["My clicks", "größe+1", "x" * 200, "Clicks.v2_a-b"])
def test_the_name_of_a_registered_consumer_is_one_that_kinesis_allows(id: str) -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "S")
    options = KinesisConsumerOptions(enhanced_fan_out=True)
    consumer = KinesisConsumer(stack, id, code=CODE, handler="index.handler", options=options)
    assert consumer.stream_consumer is not None
    name = consumer.stream_consumer.consumer_name
    assert re.fullmatch(r"[a-zA-Z0-9_.-]{1,128}", name)
    if id == "Clicks.v2_a-b":
        assert name.startswith(f"{id}-")


@stack_with
def granted(stack: Stack) -> None:
    stream = kinesis.Stream(stack, "Stream", encryption_key=kms.Key(stack, "Key"))
    clicks = KinesisConsumer(stack, "Clicks", code=CODE, handler="index.handler", stream=stream)
    clicks.grant_put(iam.AccountPrincipal("210987654321"))


def test_an_account_gets_statements_in_the_policies_of_stream_and_key(granted: Resources) -> None:
    assert "210987654321" in str(granted.only("AWS::Kinesis::ResourcePolicy"))
    assert "210987654321" in str(granted.only("AWS::KMS::Key"))


def test_an_account_that_needs_the_policy_of_an_imported_stream_is_a_warning() -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "S")
    stream = kinesis.Stream.from_stream_arn(stack, "Imported", STREAM)
    clicks = KinesisConsumer(stack, "Clicks", code=CODE, handler="index.handler", stream=stream)
    clicks.grant_put(iam.Role(stack, "Role", assumed_by=iam.AccountRootPrincipal()))
    message = Match.string_like_regexp("Its owner must allow the principal .*kinesis:PutRecord")
    assert not Annotations.from_stack(stack).find_warning("/S/Clicks", message)
    clicks.grant_put(iam.AccountPrincipal("210987654321"))
    Annotations.from_stack(stack).has_warning("/S/Clicks", message)


def test_a_handler_that_returns_something_else_can_do_without_partial_batch_responses() -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "S")
    options = KinesisConsumerOptions(report_batch_item_failures=False)
    KinesisConsumer(stack, "Own", code=CODE, handler="index.handler", options=options)
    Template.from_stack(stack).has_resource_properties(
        "AWS::Lambda::EventSourceMapping", {"FunctionResponseTypes": Match.absent()}
    )


REFUSED: dict[str, tuple[Callable[[Stack], object], str]] = {
    "a filter that is not JSON": (
        lambda _: KinesisConsumerOptions(filters=[{"pattern": "kind = order"}]),
        "filters[0]='kind = order': a pattern is a JSON object",
    ),
    "a timestamp in milliseconds": (
        lambda _: KinesisConsumerOptions(
            starting_position=lambda_.StartingPosition.AT_TIMESTAMP, starting_position_timestamp=1.7e12
        ),
        "starting_position_timestamp=1,700,000,000,000.0: Lambda allows 1 to 4,102,444,800 seconds",
    ),
    "a timestamp before 1970": (
        lambda _: KinesisConsumerOptions(
            starting_position=lambda_.StartingPosition.AT_TIMESTAMP, starting_position_timestamp=-5
        ),
        "starting_position_timestamp=-5: Lambda allows",
    ),
    "a filter without a pattern": (
        lambda _: KinesisConsumerOptions(filters=[{}]),
        "filters[0]='None': a pattern",
    ),
    "a filter without lists": (
        lambda _: KinesisConsumerOptions(filters=[{"pattern": '{"data": {"kind": "a"}}'}]),
        "filters[0]: data.kind is 'a', and a pattern takes lists of values; give ['a']",
    ),
    "a filter that nothing passes": (
        lambda _: KinesisConsumerOptions(filters=[{"pattern": '{"data": []}'}]),
        "filters[0]: data is empty, so that nothing would match",
    ),
    "a filter with an operator that does not exist": (
        lambda _: KinesisConsumerOptions(filters=[{"pattern": '{"data": {"kind": [{"begins": "a"}]}}'}]),
        "filters[0]: data.kind has the operator 'begins', which does not exist; use one of anything-but",
    ),
    "a list as a filter": (
        lambda _: KinesisConsumerOptions(filters=[{"pattern": "[]"}]),
        "filters[0]='[]': a pattern",
    ),
    "a filter too long": (
        lambda _: KinesisConsumerOptions(filters=[{"pattern": '{"a": ["' + "x" * 4_096 + '"]}'}]),
        "length of filters[0]=4,107: Lambda allows 0 to 4,096 characters",
    ),
    "a mapping that another construct makes": (
        lambda stack: KinesisConsumer(
            stack,
            "Two",
            function=(one := KinesisConsumer(stack, "One", code=CODE, handler="index.handler")).function,
            stream=one.stream,
        ),
        "S/One/Stream with S/One/Function: Lambda has one event source mapping of the two, and S/One has it",
    ),
    "a batch too large": (
        lambda _: KinesisConsumerOptions(batch_size=10_001),
        "batch_size=10,001: Lambda allows",
    ),
    "eleven concurrent batches": (
        lambda _: KinesisConsumerOptions(parallelization_factor=11),
        "parallelization_factor=11: Lambda allows 1 to 10",
    ),
    "retries without limit": (
        lambda _: KinesisConsumerOptions(retry_attempts=-1),
        "retry_attempts=-1: Lambda allows 0 to 10,000",
    ),
    "a maximum age too low": (
        lambda _: KinesisConsumerOptions(max_record_age=Duration.seconds(59)),
        "max_record_age=59: Lambda allows 60",
    ),
    "a window too long": (
        lambda _: KinesisConsumerOptions(tumbling_window=Duration.seconds(901)),
        "tumbling_window=901: Lambda allows 0 to 900",
    ),
    "too many filters": (lambda _: KinesisConsumerOptions(filters=[{}] * 11), "len(filters)=11"),
    "a batching window too long": (
        lambda _: KinesisConsumerOptions(max_batching_window=Duration.seconds(301)),
        "max_batching_window=301: Lambda allows 0 to 300 seconds",
    ),
    "a timestamp without the position": (
        lambda _: KinesisConsumerOptions(starting_position_timestamp=1),
        "AT_TIMESTAMP needs a timestamp",
    ),
    "concurrent batches with a tumbling window": (
        lambda _: KinesisConsumerOptions(tumbling_window=Duration.seconds(9), parallelization_factor=2),
        "tumbling_window cannot be combined with parallelization_factor=2",
    ),
    "a fraction of a retry": (
        lambda _: KinesisConsumerOptions(retry_attempts=0.5),  # type: ignore[arg-type]
        "retry_attempts=0.5: a whole number is needed, not float",
    ),
    "a stream in another Region": (
        lambda _: KinesisConsumer(
            overseas(), "C", code=CODE, stream=kinesis.Stream.from_stream_arn(overseas(), "Theirs", STREAM)
        ),
        "stream=S/Theirs: it is in eu-west-1, and this stack in us-east-1",
    ),
    "neither code nor a function": (
        lambda stack: KinesisConsumer(stack, "C"),
        "code and function are missing",
    ),
    "failures to an imported FIFO queue": (
        lambda stack: KinesisConsumer(
            stack,
            "C",
            code=CODE,
            on_failure=sqs.Queue.from_queue_arn(
                stack, "Q", stack.format_arn(service="sqs", resource="theirs.fifo")
            ),
        ),
        "Lambda sends to standard ones only",
    ),
    "failures to a FIFO topic": (
        lambda stack: KinesisConsumer(stack, "C", code=CODE, on_failure=sns.Topic(stack, "T", fifo=True)),
        "Lambda sends to standard ones only",
    ),
    "failures to a FIFO queue": (
        lambda stack: KinesisConsumer(stack, "C", code=CODE, on_failure=sqs.Queue(stack, "Q", fifo=True)),
        "Lambda sends to standard ones only",
    ),
}


def overseas() -> Stack:
    return Stack(App(), "S", env=Environment(account="123456789012", region="us-east-1"))


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_arguments_are_refused(make: Callable[[Stack], object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make(Stack(App(), "S"))
