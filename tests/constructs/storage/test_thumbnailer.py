"""Thumbnailer: what it builds, from nothing and from resources that the user already has."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, RemovalPolicy, Size, Stack, Stage
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.core.table import text
from cdk_lambda_patterns.storage.thumbnailer import Thumbnailer, ThumbnailOptions
from tasks.synthesis import app_context
from tests.templates import Resources, read_templates, stack_with, walk

ALWAYS = {
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "s3:DeleteObject",
    "s3:GetObject",
    "s3:ListBucket",
    "s3:PutObject",
    "sqs:SendMessage",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
EVENTS = [
    "s3:ObjectCreated:*",
    "s3:ObjectRemoved:*",
    "s3:LifecycleExpiration:*",
    "s3:ObjectRestore:Completed",
]


@stack_with
def owned(stack: Stack) -> None:
    Thumbnailer(stack, "Thumbnails")


def test_it_makes_two_private_encrypted_buckets_and_versions_the_source(owned: Resources) -> None:
    buckets = owned.all("AWS::S3::Bucket")
    assert len(buckets) == 2
    for bucket in buckets.values():
        assert all(bucket["PublicAccessBlockConfiguration"].values())
        assert "BucketEncryption" in bucket
        assert "BucketName" not in bucket
    versioned = [name for name, bucket in buckets.items() if "VersioningConfiguration" in bucket]
    assert len(versioned) == 1
    assert versioned[0].startswith("ThumbnailsSource")


def test_stateful_resources_are_retained_unless_asked_otherwise(owned: Resources, demo: Resources) -> None:
    for resources, policy in ((owned, "Retain"), (demo, "Delete")):
        for kind in ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Logs::LogGroup"):
            for name in resources.all(kind):
                resource = resources.template["Resources"][name]
                assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == (policy, policy)


def test_removal_policy_destroy_also_empties_the_buckets(owned: Resources, demo: Resources) -> None:
    assert not owned.all("Custom::S3AutoDeleteObjects")
    assert len(demo.all("Custom::S3AutoDeleteObjects")) == 2


def test_the_table_is_keyed_by_the_source_key_and_can_be_restored(owned: Resources) -> None:
    table = owned.only("AWS::DynamoDB::Table")
    assert table["KeySchema"] == [{"AttributeName": "source_key", "KeyType": "HASH"}]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_created_removed_and_expired_objects_invoke_the_function(owned: Resources) -> None:
    assert owned.notified() == [(event, {}) for event in EVENTS]


def test_only_the_source_bucket_of_this_account_may_invoke_the_function(owned: Resources) -> None:
    permission = owned.only("AWS::Lambda::Permission")
    assert permission["Principal"] == "s3.amazonaws.com"
    assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}
    assert permission["SourceArn"]["Fn::GetAtt"][0].startswith("ThumbnailsSource")


def test_the_role_holds_these_actions_and_no_others(owned: Resources) -> None:
    assert owned.actions("ThumbnailsFunctionServiceRole") == ALWAYS


def test_lambda_and_the_handler_share_the_failure_queue(owned: Resources) -> None:
    (queue_id,) = owned.all("AWS::SQS::Queue")
    config = owned.only("AWS::Lambda::EventInvokeConfig")
    assert config["DestinationConfig"]["OnFailure"]["Destination"] == {"Fn::GetAtt": [queue_id, "Arn"]}
    assert owned.function()["Environment"]["Variables"]["FAILURE_QUEUE_URL"] == {"Ref": queue_id}


def test_it_writes_no_output_and_no_literal_partition(owned: Resources) -> None:
    assert "Outputs" not in owned.template
    assert not [text for text in walk(owned.template["Resources"]) if str(text).startswith("arn:aws:")]


def test_the_notification_handler_writes_its_own_logs_without_a_managed_policy(owned: Resources) -> None:
    role = "BucketNotificationsHandler"
    assert owned.actions(role) == {
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "s3:PutBucketNotification",
    }
    assert not [value for value in walk(owned.template) if "ManagedPolicyArns" in str(value)]


@stack_with
def demo(stack: Stack) -> None:
    Thumbnailer(
        stack,
        "Thumbnails",
        sizes=(64, 640),
        options=ThumbnailOptions(
            prefix="photos/",
            suffixes=(".jpg", ".png"),
            output_prefix="small/",
            output_format="jpeg",
            quality=90,
            background="#336699",
            max_object_size=Size.mebibytes(10),
            max_pixels=5_000_000,
            incomplete_jpeg=True,
        ),
        function_options=FunctionOptions(memory_size=512),
        removal_policy=RemovalPolicy.DESTROY,
    )


def test_options_reach_the_handler(demo: Resources) -> None:
    variables = demo.function()["Environment"]["Variables"]
    assert variables["SIZES"] == "64,640"
    assert variables["OUTPUT_FORMAT"] == "jpeg"
    assert variables["OUTPUT_PREFIX"] == "small/"
    assert variables["QUALITY"] == "90"
    assert variables["BACKGROUND"] == "#336699"
    assert variables["MAX_OBJECT_SIZE"] == str(10 * 1024 * 1024)
    assert variables["MAX_PIXELS"] == "5000000"
    assert variables["INCOMPLETE_JPEG"] == "true"
    assert demo.function()["MemorySize"] == 512


def test_prefix_and_suffixes_filter_every_event(demo: Resources) -> None:
    assert sorted(demo.notified(), key=str) == sorted(
        [(event, {"prefix": "photos/", "suffix": suffix}) for event in EVENTS for suffix in (".jpg", ".png")],
        key=str,
    )


def test_the_role_reaches_only_objects_under_the_prefixes(demo: Resources) -> None:
    on_objects = {
        statement["Resource"]["Fn::Join"][1][1]: statement["Action"]
        for statement in demo.statements("ThumbnailsFunctionServiceRole")
        if "Fn::Join" in statement["Resource"]
    }
    assert on_objects == {"/photos/*": "s3:GetObject", "/small/*": ["s3:DeleteObject", "s3:PutObject"]}


@stack_with
def imported(stack: Stack) -> None:
    Thumbnailer(
        stack,
        "Thumbnails",
        source=s3.Bucket.from_bucket_name(stack, "Uploads", "uploads"),
        destination=s3.Bucket.from_bucket_name(stack, "Website", "website"),
        table=dynamodb.Table.from_table_name(stack, "Pictures", "pictures"),
        failure_queue=sqs.Queue.from_queue_arn(stack, "Failed", "arn:aws:sqs:eu-west-1:123456789012:failed"),
    )


def test_with_imported_resources_it_makes_none(imported: Resources) -> None:
    for kind in ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::SQS::Queue"):
        assert not imported.all(kind)
    variables = imported.function()["Environment"]["Variables"]
    assert (variables["DESTINATION_BUCKET"], variables["TABLE_NAME"]) == ("website", "pictures")


def test_notifications_of_an_imported_bucket_are_merged_with_those_it_has(imported: Resources) -> None:
    notifications = imported.only("Custom::S3BucketNotifications")
    assert notifications["BucketName"] == "uploads"
    assert notifications["Managed"] is False
    assert "s3:GetBucketNotification" in imported.actions("BucketNotificationsHandler")


def test_the_role_holds_the_same_actions_on_imported_resources(imported: Resources) -> None:
    assert imported.actions("ThumbnailsFunctionServiceRole") == ALWAYS


@stack_with
def encrypted(stack: Stack) -> None:
    def bucket(id: str) -> s3.Bucket:
        return s3.Bucket(stack, id, encryption_key=kms.Key(stack, f"{id}Key"))

    Thumbnailer(
        stack,
        "Thumbnails",
        source=bucket("Source"),
        destination=bucket("Destination"),
        table=dynamodb.Table(
            stack,
            "Table",
            partition_key=dynamodb.Attribute(name="source_key", type=dynamodb.AttributeType.STRING),
            encryption_key=kms.Key(stack, "TableKey"),
        ),
        failure_queue=sqs.Queue(stack, "Failed", encryption_master_key=kms.Key(stack, "FailedKey")),
    )


def test_customer_keys_are_granted_action_by_action(encrypted: Resources) -> None:
    granted = {
        statement["Resource"]["Fn::GetAtt"][0][:-8]: statement["Action"]
        for statement in encrypted.statements("ThumbnailsFunctionServiceRole")
        if "kms:" in str(statement["Action"])
    }
    assert granted == {
        "SourceKey": "kms:Decrypt",
        "DestinationKey": "kms:GenerateDataKey",
        "TableKey": ["kms:Decrypt", "kms:DescribeKey"],
        "FailedKey": ["kms:Decrypt", "kms:GenerateDataKey"],
    }


@stack_with
def one_bucket(stack: Stack) -> None:
    bucket = s3.Bucket(stack, "Both")
    Thumbnailer(
        stack,
        "Thumbnails",
        source=bucket,
        destination=bucket,
        options=ThumbnailOptions(prefix="photos/", output_prefix="thumbnails/"),
    )


def test_one_bucket_can_be_both_if_the_prefixes_do_not_overlap(one_bucket: Resources) -> None:
    assert len(one_bucket.all("AWS::S3::Bucket")) == 1
    assert {str(key_filter) for _, key_filter in one_bucket.notified()} == {"{'prefix': 'photos/'}"}


@stack_with
def twice(stack: Stack) -> None:
    Thumbnailer(stack, "Photos", removal_policy=RemovalPolicy.DESTROY)
    Thumbnailer(stack, "Drawings", removal_policy=RemovalPolicy.DESTROY)


def test_a_stack_can_hold_two(twice: Resources) -> None:
    assert len(twice.all("AWS::S3::Bucket")) == 4
    assert len(twice.all("Custom::S3BucketNotifications")) == 2
    assert not [value for value in walk(twice.template) if "ManagedPolicyArns" in str(value)]


def test_the_source_may_come_from_another_stack_in_a_stage(tmp_path: Path) -> None:
    app = App(context=app_context(), outdir=str(tmp_path), builtin_cloud_formation_validation=False)
    stage = Stage(app, "Production")
    uploads = Stack(stage, "Uploads")
    source = s3.Bucket(uploads, "Bucket", encryption_key=kms.Key(uploads, "Key"))
    Thumbnailer(Stack(stage, "Pictures"), "Thumbnails", source=source)
    app.synth()

    stacks = {name: stack for name, stack in read_templates(tmp_path).items() if "Production" in name}
    (pictures,) = (stack for name, stack in stacks.items() if "Pictures" in name)
    assert pictures.only("Custom::S3BucketNotifications")["Managed"] is False
    assert pictures.actions("ThumbnailsFunctionServiceRole") == ALWAYS | {"kms:Decrypt"}


REFUSED: dict[str, Callable[[], object]] = {
    "quality=101: the encoder allows 1 to 100": lambda: ThumbnailOptions(quality=101),
    "output_format='png': choose one of 'webp', 'jpeg'": lambda: ThumbnailOptions(
        output_format="png"  # type: ignore[arg-type]
    ),
    "background='white': give a colour": lambda: ThumbnailOptions(background="white"),
    "max_pixels=0: Thumbnailer allows 1 to 1,000,000,000 pixels": lambda: ThumbnailOptions(max_pixels=0),
    "max_object_size=6,144: S3 allows 1 to 5,120 MB": lambda: ThumbnailOptions(
        max_object_size=Size.gibibytes(6)
    ),
    "suffixes=('.jpg', 'g'): S3 refuses filters that overlap": lambda: ThumbnailOptions(
        suffixes=(".jpg", "g")
    ),
    "suffixes=('.jpg', '.jpg'): S3 refuses filters that overlap": lambda: ThumbnailOptions(
        suffixes=(".jpg", ".jpg")
    ),
    "suffixes=('',): S3 refuses": lambda: ThumbnailOptions(suffixes=("",)),
    "suffixes='.jpg': give a sequence of strings": lambda: ThumbnailOptions(suffixes=".jpg"),
    "len(prefix)=1,025: S3 allows 0 to 1,024 bytes": lambda: ThumbnailOptions(prefix="ä" * 512 + "x"),
    "len(output_prefix)=901: Thumbnailer allows 0 to 900 bytes": lambda: ThumbnailOptions(
        output_prefix="x" * 901
    ),
    "len(sizes)=0: Thumbnailer allows 1 to 20 sizes": lambda: Thumbnailer(Stack(), "T", sizes=()),
    "sizes[0]=0: Thumbnailer allows 1 to 4,096 pixels": lambda: Thumbnailer(Stack(), "T", sizes=(0,)),
    "sizes[1]=4,097: Thumbnailer allows 1 to 4,096 pixels": lambda: Thumbnailer(
        Stack(), "T", sizes=(64, 4097)
    ),
    "sizes=(64, 64): duplicate size 64": lambda: Thumbnailer(Stack(), "T", sizes=(64, 64)),
    "sizes='64': give a sequence of numbers, such as (64,)": lambda: Thumbnailer(
        Stack(),
        "T",
        sizes="64",  # type: ignore[arg-type]
    ),
    "sizes[0]='64': a whole number is needed, not str; give the number 64": lambda: Thumbnailer(
        Stack(),
        "T",
        sizes=("64",),  # type: ignore[arg-type]
    ),
    "sizes[0]=64.5: a whole number is needed, not float": lambda: Thumbnailer(
        Stack(),
        "T",
        sizes=(64.5,),  # type: ignore[arg-type]
    ),
    "quality=80.5: a whole number is needed, not float": lambda: ThumbnailOptions(
        quality=80.5  # type: ignore[arg-type]
    ),
    "memory_size=882: max_pixels=64,000,000 takes up to 883 MB; set memory_size to at least 883": lambda: (
        Thumbnailer(Stack(), "T", function_options=FunctionOptions(memory_size=882))
    ),
    "memory_size=1,769: max_pixels=200,000,000 takes up to 2,439 MB": lambda: Thumbnailer(
        Stack(), "T", options=ThumbnailOptions(max_pixels=200_000_000)
    ),
    "memory_size=1,769: max_pixels=64,000,000 takes up to 2,867 MB": lambda: Thumbnailer(
        Stack(), "T", options=ThumbnailOptions(max_object_size=Size.gibibytes(2))
    ),
}


def test_the_memory_may_be_just_enough_for_the_pixels() -> None:
    Thumbnailer(Stack(), "T", function_options=FunctionOptions(memory_size=883))
    few = ThumbnailOptions(max_pixels=1_000_000)
    Thumbnailer(Stack(), "T", options=few, function_options=FunctionOptions(memory_size=256))


KEYS: dict[str, Any] = {
    "id (S)": {"partition_key": text("id")},
    "source_key (N)": {
        "partition_key": dynamodb.Attribute(name="source_key", type=dynamodb.AttributeType.NUMBER)
    },
    "source_key (S), version (S)": {"partition_key": text("source_key"), "sort_key": text("version")},
}


@pytest.mark.parametrize("kind", [dynamodb.Table, dynamodb.TableV2])
@pytest.mark.parametrize("found", KEYS)
def test_a_table_with_other_keys_is_refused(
    kind: type[dynamodb.Table | dynamodb.TableV2], found: str
) -> None:
    stack = Stack(App(), "Stack")
    table = kind(stack, "Rows", **KEYS[found])
    with pytest.raises(ValueError, match=re.escape(f"table=Stack/Rows: its keys are {found}; the function")):
        Thumbnailer(stack, "T", table=table)
    Thumbnailer(stack, "U", table=kind(stack, "Right", partition_key=text("source_key")))


def test_two_sources_do_not_share_a_table_or_a_place_for_thumbnails() -> None:
    stack = Stack(App(), "Stack")
    one = Thumbnailer(stack, "One", options=ThumbnailOptions(output_prefix="one/"))
    with pytest.raises(ValueError, match=r"^table: another Thumbnailer uses it for another source"):
        Thumbnailer(stack, "Two", table=one.table)
    for number, prefix in enumerate(("", "one/", "one/two/")):
        with pytest.raises(ValueError, match=r"^destination: another Thumbnailer uses it"):
            Thumbnailer(
                stack,
                f"Three{number}",
                destination=one.destination_bucket,
                options=ThumbnailOptions(output_prefix=prefix),
            )
    two = ThumbnailOptions(output_prefix="two/")
    Thumbnailer(stack, "Four", destination=one.destination_bucket, options=two)


def test_a_table_that_is_imported_twice_is_one_table() -> None:
    stack = Stack(App(), "Stack")
    Thumbnailer(stack, "One", table=dynamodb.Table.from_table_name(stack, "A", "rows"))
    with pytest.raises(ValueError, match=r"^table: another Thumbnailer"):
        Thumbnailer(stack, "Two", table=dynamodb.Table.from_table_name(stack, "B", "rows"))


def test_two_prefixes_of_one_source_share_everything() -> None:
    stack = Stack(App(), "Stack")
    one = Thumbnailer(stack, "One", options=ThumbnailOptions(prefix="one/"))
    Thumbnailer(
        stack,
        "Two",
        source=one.source_bucket,
        destination=one.destination_bucket,
        table=one.table,
        options=ThumbnailOptions(prefix="two/"),
    )


@stack_with
def with_list(stack: Stack) -> None:
    sizes = CfnParameter(stack, "Sizes", type="List<Number>").value_as_list
    Thumbnailer(stack, "Thumbnails", sizes=sizes)  # type: ignore[arg-type]


def test_sizes_that_are_a_list_of_the_deployment_reach_the_handler(with_list: Resources) -> None:
    sizes = with_list.function()["Environment"]["Variables"]["SIZES"]
    assert sizes == {"Fn::Join": [",", {"Ref": "Sizes"}]}


@pytest.mark.parametrize("message", REFUSED)
def test_values_outside_the_limits_are_refused(message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        REFUSED[message]()


@pytest.mark.parametrize(
    ("prefix", "output_prefix"), [("", ""), ("a/", "a/b/"), ("a/b/", "a/"), ("", "thumbnails/"), ("a/", "")]
)
def test_thumbnails_that_would_invoke_the_function_again_are_refused(prefix: str, output_prefix: str) -> None:
    stack = Stack()
    options = ThumbnailOptions(prefix=prefix, output_prefix=output_prefix)
    for first, second in (
        (bucket := s3.Bucket(stack, "Bucket"), bucket),
        (s3.Bucket.from_bucket_name(stack, "A", "same"), s3.Bucket.from_bucket_name(stack, "B", "same")),
    ):
        with pytest.raises(ValueError, match="each thumbnail would invoke the function again"):
            Thumbnailer(stack, "T", source=first, destination=second, options=options)


def test_a_bucket_with_a_name_and_its_import_are_one_bucket() -> None:
    stack = Stack()
    owned = s3.Bucket(stack, "Owned", bucket_name="pictures")
    same = s3.Bucket.from_bucket_name(stack, "Same", "pictures")
    with pytest.raises(ValueError, match="each thumbnail would invoke the function again"):
        Thumbnailer(stack, "T", source=owned, destination=same)


def _chain(*options: ThumbnailOptions, buckets: str = "") -> list[Thumbnailer]:
    """Thumbnailers from each bucket to the next, and from the last one to the first."""
    app = App()
    names = buckets or "abcdefgh"[: len(options)]
    made = []
    for number, option in enumerate(options):
        stack = Stack(app, f"Stack{number}")
        source, destination = (names[one % len(names)] for one in (number, number + 1))
        made.append(
            Thumbnailer(
                stack,
                "T",
                source=s3.Bucket.from_bucket_name(stack, "Source", f"bucket-{source}"),
                destination=s3.Bucket.from_bucket_name(stack, "Destination", f"bucket-{destination}"),
                options=option,
            )
        )
    return made


def small(prefix: str = "", output_prefix: str = "", **options: Any) -> ThumbnailOptions:
    return ThumbnailOptions(prefix=prefix, output_prefix=output_prefix, **options)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([small(), small()], id="two"),
        pytest.param([small(), small(), small(), small()], id="four"),
        pytest.param([small("a/", "b/"), small("b/", "a/")], id="prefixes"),
        pytest.param(
            [small("a/"), small("a/")], id="the prefix of the pictures is in the key of a thumbnail"
        ),
        pytest.param([small(suffixes=(".png", ".webp")), small(suffixes=("p",))], id="suffixes"),
        pytest.param(
            [small(suffixes=(".jpg",)), small(suffixes=("/64.webp",), output_format="jpeg")], id="formats"
        ),
    ],
)
def test_thumbnailers_that_feed_each_other_are_refused(options: list[ThumbnailOptions]) -> None:
    loop = " -> ".join(f"Stack{number}/T" for number in (len(options) - 1, *range(len(options))))
    with pytest.raises(ValueError, match=f"^{loop}: the thumbnails of each are the pictures of the next"):
        _chain(*options)


def test_thumbnailers_that_feed_each_other_in_one_bucket_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^Stack1/T -> Stack0/T -> Stack1/T: "):
        _chain(small("a/", "b/"), small("b/", "a/"), buckets="a")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([small(suffixes=(".jpg",)), small()], id="thumbnails that are not watched"),
        pytest.param(
            [small("photos/", "mid/"), small("mid/", "tiny/")], id="thumbnails under another prefix"
        ),
        pytest.param([small("a/"), small("b/")], id="pictures under another prefix"),
    ],
)
def test_thumbnailers_in_a_row_are_allowed(options: list[ThumbnailOptions]) -> None:
    assert len(_chain(*options)) == len(options)


@stack_with
def with_parameters(stack: Stack) -> None:
    def number(id: str) -> Any:
        return CfnParameter(stack, id, type="Number").value_as_number

    Thumbnailer(
        stack,
        "Thumbnails",
        sizes=(64, number("Size")),
        options=ThumbnailOptions(
            background=CfnParameter(stack, "Background").value_as_string,
            quality=number("Quality"),
            max_pixels=number("Pixels"),
        ),
    )


def test_values_that_only_the_deployment_knows_reach_the_handler(with_parameters: Resources) -> None:
    variables = with_parameters.function()["Environment"]["Variables"]
    assert variables["SIZES"] == {"Fn::Join": ["", ["64,", {"Ref": "Size"}]]}
    assert variables["BACKGROUND"] == {"Ref": "Background"}
    assert variables["QUALITY"] == {"Ref": "Quality"}
    assert variables["MAX_PIXELS"] == {"Ref": "Pixels"}
