"""DynamoDbStreamConsumer: what it builds for each kind of table, and what it refuses."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Aws, Duration, Environment, Fn, RemovalPolicy, Stack, Stage
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Annotations, Match

from cdk_lambda_patterns import HardenedFunction
from cdk_lambda_patterns.core.table import text
from cdk_lambda_patterns.streams.dynamodb_stream import DynamoDbStreamConsumer, DynamoDbStreamConsumerOptions
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): pass")
READING = {
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
}
ALWAYS = READING | {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
ROLE = "ChangesFunctionServiceRole"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/theirs"
STREAM = f"{TABLE}/stream/2026-01-01T00:00:00.000"
BOTH = dynamodb.StreamViewType.NEW_AND_OLD_IMAGES
REMOVED = lambda_.FilterCriteria.filter({"eventName": lambda_.FilterRule.is_equal("REMOVE")})
OLD_TOTAL = lambda_.FilterCriteria.filter({"dynamodb": {"OldImage": {"total": {"N": ["0"]}}}})
NEW_TOTAL = lambda_.FilterCriteria.filter({"dynamodb": {"NewImage": {"total": {"N": ["0"]}}}})
Options = DynamoDbStreamConsumerOptions


def table(stack: Stack, **settings: Any) -> dynamodb.Table:
    """A table with a stream of both images, unless another is given."""
    return dynamodb.Table(stack, "Orders", partition_key=text("order"), **{"stream": BOTH, **settings})


def consumer(stack: Stack, given: dynamodb.ITable | None = None, **settings: Any) -> DynamoDbStreamConsumer:
    """A consumer with a new function."""
    settings.setdefault("code", CODE)
    return DynamoDbStreamConsumer(
        stack, "Changes", table=given or table(stack), handler="index.handler", **settings
    )


def imported(stack: Stack, stream: str | None = STREAM, **name: Any) -> dynamodb.ITable:
    """A table that exists already."""
    name = name or {"table_arn": TABLE}
    return dynamodb.Table.from_table_attributes(stack, "Theirs", table_stream_arn=stream, **name)


def mapping(resources: Resources) -> dict[str, Any]:
    """Return the properties of the event source mapping."""
    return resources.only("AWS::Lambda::EventSourceMapping")


def patterns(resources: Resources) -> list[Any]:
    """Return the filters of the mapping."""
    return [json.loads(one["Pattern"]) for one in mapping(resources)["FilterCriteria"]["Filters"]]


@stack_with
def owned(stack: Stack) -> None:
    consumer(stack).metric_iterator_age().create_alarm(stack, "Late", threshold=1, evaluation_periods=1)


def test_by_default_a_failed_batch_is_bisected_retried_and_reported_to_a_queue(owned: Resources) -> None:
    given = mapping(owned)
    [queue] = owned.all("AWS::SQS::Queue")
    [orders] = owned.all("AWS::DynamoDB::Table")
    assert given["EventSourceArn"] == {"Fn::GetAtt": [orders, "StreamArn"]}
    assert (given["BisectBatchOnFunctionError"], given["MaximumRetryAttempts"]) == (True, 5)
    assert given["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert given["StartingPosition"] == "TRIM_HORIZON"
    assert given["DestinationConfig"] == {"OnFailure": {"Destination": {"Fn::GetAtt": [queue, "Arn"]}}}
    assert "FilterCriteria" not in given
    assert owned.only("AWS::CloudWatch::Alarm")["MetricName"] == "IteratorAge"


def test_the_role_may_read_this_stream_and_report_failures_and_nothing_else(owned: Resources) -> None:
    assert owned.actions(ROLE) == ALWAYS | {"sqs:SendMessage"}
    reading, listing = (one for one in owned.statements(ROLE) if "dynamodb:" in str(one["Action"]))
    assert reading["Resource"] == mapping(owned)["EventSourceArn"]
    [orders] = owned.all("AWS::DynamoDB::Table")
    streams = {"Fn::Join": ["", [{"Fn::GetAtt": [orders, "Arn"]}, "/stream/*"]]}
    assert (listing["Action"], listing["Resource"]) == ("dynamodb:ListStreams", streams)


@stack_with
def full(stack: Stack) -> None:
    consumer(
        stack,
        table(stack, time_to_live_attribute="expires", encryption_key=kms.Key(stack, "Key")),
        on_failure=s3.Bucket(stack, "Bucket"),
        options=Options(
            starting_position=lambda_.StartingPosition.LATEST,
            batch_size=500,
            max_batching_window=Duration.seconds(3),
            bisect_batch_on_error=False,
            retry_attempts=0,
            max_record_age=Duration.hours(1),
            filters=[REMOVED, OLD_TOTAL],
            tumbling_window=Duration.seconds(30),
            report_batch_item_failures=False,
            expired_items="only",
            view_type=dynamodb.StreamViewType.OLD_IMAGE,
        ),
        removal_policy=RemovalPolicy.DESTROY,
    )


def test_every_option_reaches_the_mapping(full: Resources) -> None:
    given = mapping(full)
    assert given["StartingPosition"] == "LATEST"
    assert (given["BatchSize"], given["MaximumBatchingWindowInSeconds"]) == (500, 3)
    assert (given["BisectBatchOnFunctionError"], given["MaximumRetryAttempts"]) == (False, 0)
    assert (given["MaximumRecordAgeInSeconds"], given["TumblingWindowInSeconds"]) == (3600, 30)
    assert "FunctionResponseTypes" not in given


def test_each_filter_asks_who_deleted_the_item(full: Resources) -> None:
    service = {"type": ["Service"], "principalId": ["dynamodb.amazonaws.com"]}
    assert patterns(full) == [
        {"eventName": ["REMOVE"], "userIdentity": service},
        {"dynamodb": {"OldImage": {"total": {"N": ["0"]}}}, "userIdentity": service},
    ]


def test_keys_and_buckets_are_granted_action_by_action(full: Resources) -> None:
    assert full.actions(ROLE) == ALWAYS | {"kms:Decrypt", "s3:ListBucket", "s3:PutObject"}


@stack_with
def of_users(stack: Stack) -> None:
    function = HardenedFunction(stack, "Worker", code=CODE, handler="index.handler")
    live = lambda_.Alias(stack, "Live", alias_name="live", version=function.current_version)
    DynamoDbStreamConsumer(
        stack,
        "Changes",
        table=imported(stack),
        function=live,
        on_failure=sns.Topic(stack, "Failures"),
        options=Options(expired_items="exclude", parallelization_factor=10),
    )


def test_changes_of_users_have_no_identity(of_users: Resources) -> None:
    assert patterns(of_users) == [{"userIdentity": {"principalId": [{"exists": False}]}}]
    assert mapping(of_users)["ParallelizationFactor"] == 10


def test_an_alias_reads_the_stream_of_an_imported_table(of_users: Resources) -> None:
    assert mapping(of_users)["EventSourceArn"] == STREAM
    assert of_users.actions("WorkerServiceRole") == ALWAYS | {"sns:Publish"}


@pytest.mark.parametrize("kind", [dynamodb.Table, dynamodb.TableV2])
def test_a_table_from_another_stack_in_a_stage_works(kind: Any) -> None:
    stage = Stage(App(builtin_cloud_formation_validation=False), "Stage")
    stream = {"stream" if kind is dynamodb.Table else "dynamo_stream": BOTH}
    orders = kind(Stack(stage, "Owner"), "Orders", partition_key=text("order"), **stream)
    consumer(Stack(stage, "Reader"), orders, options=Options(view_type=BOTH))
    stage.synth()


def replica(_: Stack) -> object:
    """A consumer of the replica of another Region's table, in the Region of that replica."""
    app = App()
    main, here = (
        Stack(app, name, env=Environment(account="123456789012", region=region))
        for name, region in (("M", "us-east-1"), ("S", "eu-west-1"))
    )
    orders = dynamodb.TableV2(
        main,
        "Orders",
        partition_key=text("order"),
        dynamo_stream=BOTH,
        replicas=[dynamodb.ReplicaTableProps(region="eu-west-1")],
    )
    return consumer(here, orders.replica("eu-west-1"))


def not_expiring(stack: Stack) -> dynamodb.Table:
    """A table whose time to live is off."""
    made = table(stack)
    resource = made.node.default_child
    assert isinstance(resource, dynamodb.CfnTable)
    resource.time_to_live_specification = dynamodb.CfnTable.TimeToLiveSpecificationProperty(
        enabled=False, attribute_name="expires"
    )
    return made


def pattern(**fields: Any) -> dict[str, str]:
    """A filter as a user writes it."""
    return {"pattern": json.dumps(fields)}


def one_of(*patterns: dict[str, Any]) -> dict[str, str]:
    """A filter with alternatives."""
    return pattern(**{"$or": list(patterns)})


NEW = {"dynamodb": {"NewImage": {"total": {"N": ["0"]}}}}


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        (pattern(eventSourceARN=["userIdentity"]), {"expired_items": "exclude"}),
        (pattern(eventName=["INSERT", "REMOVE"]), {"expired_items": "only"}),
        (pattern(eventName=[{"prefix": "REM"}]), {"expired_items": "only"}),
        (one_of({"eventName": ["INSERT"]}, {"eventName": ["REMOVE"]}), {"expired_items": "only"}),
        (one_of(NEW, {"dynamodb": {"Keys": {"order": {"S": ["1"]}}}}), {"expired_items": "only"}),
        (pattern(dynamodb={"NewImage": {"total": {"N": [{"exists": False}]}}}), {"expired_items": "only"}),
    ],
)
def test_filters_that_can_match_are_taken(given: dict[str, str], settings: dict[str, Any]) -> None:
    stack = Stack(App(), "S")
    keys = table(stack, stream=dynamodb.StreamViewType.KEYS_ONLY, time_to_live_attribute="expires")
    consumer(stack, keys, options=Options(filters=[given], **settings))


@pytest.mark.parametrize(
    "arn",
    [
        STREAM,
        f"arn:{Aws.PARTITION}:dynamodb:eu-west-1:123456789012:table/theirs/stream/x",
        Fn.import_value("x"),
    ],
)
@pytest.mark.parametrize(
    "name", [{"table_arn": TABLE}, {"table_name": "theirs"}, {"table_name": Fn.ref("Name")}]
)
def test_an_imported_table_may_have_tokens(arn: str, name: dict[str, str]) -> None:
    stack = Stack(App(), "S", env=Environment(account="123456789012", region="eu-west-1"))
    consumer(stack, imported(stack, arn, **name))


@pytest.mark.parametrize("number", [2, 3])
def test_a_third_reader_of_a_stream_is_warned_of(number: int) -> None:
    stack = Stack(App(), "S")
    orders = table(stack)
    for each in range(number):
        DynamoDbStreamConsumer(stack, f"Changes{each}", table=orders, code=CODE, handler="index.handler")
    text = Match.string_like_regexp("S/Orders has 3 consumers.*S/Changes0, S/Changes1")
    assert len(Annotations.from_stack(stack).find_warning("*", text)) == number - 2


def with_filter(stack: Stack, view: dynamodb.StreamViewType) -> object:
    """A consumer with a filter on the new image."""
    return consumer(stack, table(stack, stream=view), options=Options(filters=[NEW_TOTAL]))


def without_stream(stack: Stack) -> dynamodb.TableV2:
    """A TableV2, which names a stream that it does not have."""
    return dynamodb.TableV2(stack, "Orders", partition_key=text("order"))


IDENTITY = lambda_.FilterCriteria.filter({"userIdentity": {"type": ["Service"]}})
REFUSED: dict[str, tuple[Callable[[Stack], object], str]] = {
    "a table without a stream": (
        lambda stack: consumer(stack, table(stack, stream=None)),
        "table=S/Orders: it has no stream; give the table stream=",
    ),
    "a TableV2 without a stream": (
        lambda stack: consumer(stack, without_stream(stack)),
        "table=S/Orders: it has no stream; give the table dynamo_stream=",
    ),
    "an imported table without its stream": (
        lambda stack: consumer(stack, imported(stack, None)),
        "table=S/Theirs: it is imported without its stream; import it with Table.from_table_attributes(",
    ),
    "a table in another Region": (
        lambda _: consumer(overseas(), imported(overseas())),
        "table=S/Theirs: it is in eu-west-1, and this stack in us-east-1",
    ),
    "a stream without the image that the handler needs": (
        lambda stack: consumer(
            stack,
            table(stack, stream=dynamodb.StreamViewType.NEW_IMAGE),
            options=Options(view_type=BOTH),
        ),
        "view_type=NEW_AND_OLD_IMAGES: the stream of S/Orders is NEW_IMAGE, without OldImage",
    ),
    "a filter for an image that keys only lack": (
        lambda stack: with_filter(stack, dynamodb.StreamViewType.KEYS_ONLY),
        "filters[0] asks for NewImage, and the stream of S/Orders is KEYS_ONLY: nothing would match",
    ),
    "a filter for an image that old images lack": (
        lambda stack: with_filter(stack, dynamodb.StreamViewType.OLD_IMAGE),
        "filters[0] asks for NewImage, and the stream of S/Orders is OLD_IMAGE",
    ),
    "alternatives for images that keys only lack": (
        lambda stack: consumer(
            stack,
            table(stack, stream=dynamodb.StreamViewType.KEYS_ONLY),
            options=Options(filters=[one_of(NEW, {"dynamodb": {"OldImage": {"n": {"N": ["1"]}}}})]),
        ),
        "filters[0] asks for NewImage and OldImage, and the stream of S/Orders is KEYS_ONLY",
    ),
    "alternatives of images that keys only lack": (
        lambda stack: consumer(
            stack,
            table(stack, stream=dynamodb.StreamViewType.KEYS_ONLY),
            options=Options(filters=[pattern(dynamodb={"$or": [NEW["dynamodb"], NEW["dynamodb"]]})]),
        ),
        "filters[0] asks for NewImage, and the stream of S/Orders is KEYS_ONLY",
    ),
    "a replica, whose stream the CDK does not know": (
        replica,
        "table=M/Orders/ReplicaTableeu-west-1: its table_stream_arn ends with /stream/*",
    ),
    "the stream of another table": (
        lambda stack: consumer(stack, imported(stack, STREAM.replace("theirs", "theirs2"))),
        "theirs2/stream/2026-01-01T00:00:00.000': this is no stream of S/Theirs",
    ),
    "the stream of another Region": (
        lambda stack: consumer(stack, imported(stack, STREAM.replace("eu-west-1", "eu-west-3"))),
        "this is no stream of S/Theirs",
    ),
    "no stream at all": (
        lambda stack: consumer(stack, imported(stack, "hello", table_name=Fn.ref("Name"))),
        "table_stream_arn='hello': this is no stream of S/Theirs",
    ),
    "a table instead of its stream": (
        lambda stack: consumer(stack, imported(stack, TABLE, table_name=Fn.ref("Name"))),
        "this is no stream of S/Theirs",
    ),
    "a stream without its label": (
        lambda stack: consumer(stack, imported(stack, f"{TABLE}/stream/")),
        "this is no stream of S/Theirs",
    ),
    "only expired items of a table whose expiry is off": (
        lambda stack: consumer(stack, not_expiring(stack), options=Options(expired_items="only")),
        "expired_items='only': no item of S/Orders expires",
    ),
    "only expired items that were inserted": (
        lambda _: Options(filters=[REMOVED, pattern(eventName=["INSERT"])], expired_items="only"),
        "expired_items='only': filters[1] matches none of them",
    ),
    "only expired items with an eventName in the wrong place": (
        lambda _: Options(filters=[pattern(eventName=["INSERT"], dynamodb=["x"])], expired_items="only"),
        "expired_items='only': filters[0] matches none of them",
    ),
    "only expired items with a new image": (
        lambda _: Options(filters=[pattern(**NEW)], expired_items="only"),
        "expired_items='only': filters[0] matches none of them",
    ),
    "alternatives of which no expired item is one": (
        lambda _: Options(filters=[one_of(NEW, {"eventName": ["MODIFY"]})], expired_items="only"),
        "expired_items='only': filters[0] matches none of them",
    ),
    "new images of expired items": (
        lambda _: Options(expired_items="only", view_type=dynamodb.StreamViewType.NEW_IMAGE),
        "expired_items='only' cannot be combined with view_type=NEW_IMAGE",
    ),
    "an alternative that knows who deleted the item": (
        lambda _: Options(
            filters=[one_of({"userIdentity": {"type": ["Service"]}}, {"eventName": ["REMOVE"]})],
            expired_items="exclude",
        ),
        "expired_items='exclude' cannot be combined with filters[0], which has userIdentity",
    ),
    "only expired items of a table without expiry": (
        lambda stack: consumer(stack, options=Options(expired_items="only")),
        "expired_items='only': no item of S/Orders expires",
    ),
    "a filter that knows who deleted the item": (
        lambda _: Options(filters=[REMOVED, IDENTITY], expired_items="exclude"),
        "expired_items='exclude' cannot be combined with filters[1], which has userIdentity",
    ),
    "an unknown choice": (
        lambda _: Options(expired_items="none"),  # type: ignore[arg-type]
        "expired_items='none': choose one of 'include', 'exclude', 'only'",
    ),
    "a time to start at": (
        lambda _: Options(starting_position=lambda_.StartingPosition.AT_TIMESTAMP),
        "starting_position=AT_TIMESTAMP: Lambda reads streams of DynamoDB from TRIM_HORIZON or LATEST",
    ),
    "retries without limit": (lambda _: Options(retry_attempts=-1), "retry_attempts=-1: Lambda allows 0 to"),
    "concurrent batches with a tumbling window": (
        lambda _: Options(tumbling_window=Duration.seconds(9), parallelization_factor=2),
        "tumbling_window cannot be combined with parallelization_factor=2",
    ),
    "a fraction of a retry": (
        lambda _: Options(retry_attempts=0.5),  # type: ignore[arg-type]
        "retry_attempts=0.5: a whole number is needed, not float",
    ),
    "failures to a FIFO topic": (
        lambda stack: consumer(stack, on_failure=sns.Topic(stack, "T", fifo=True)),
        "Lambda sends to standard ones only",
    ),
    "a mapping that another construct makes": (
        lambda stack: DynamoDbStreamConsumer(
            stack, "Two", table=(one := consumer(stack)).table, function=one.function
        ),
        "Lambda has one event source mapping of the two, and S/Changes has it already",
    ),
    "neither code nor a function": (
        lambda stack: consumer(stack, code=None),
        "code and function are missing",
    ),
}


def overseas() -> Stack:
    return Stack(App(), "S", env=Environment(account="123456789012", region="us-east-1"))


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_arguments_are_refused(make: Callable[[Stack], object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make(Stack(App(), "S"))
