"""An argument of another type is refused when the construct is made, with what to give instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Duration, Fn, Size, Stack, Token
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs

from cdk_lambda_patterns import AsyncOptions, FunctionOptions, HardenedFunction, LogOptions, NetworkOptions
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.delivery.environments import Environments, Weighted
from cdk_lambda_patterns.messaging.sqs_consumer import SqsConsumer, SqsConsumerOptions
from cdk_lambda_patterns.storage.thumbnailer import Thumbnailer, ThumbnailOptions

CODE = lambda_.Code.from_inline("def handler(event, context): ...")


@pytest.fixture(scope="module")
def stack() -> Stack:
    return Stack(App(), "Stack")


@pytest.mark.parametrize(
    ("make", "argument", "value", "problem"),
    [
        (FunctionOptions, "timeout", 30, "Duration is needed, not int; give Duration.seconds(30)."),
        (
            FunctionOptions,
            "ephemeral_storage_size",
            1024,
            "Size is needed, not int; give Size.mebibytes(1024).",
        ),
        (FunctionOptions, "memory_size", "512", "a whole number is needed, not str; give the number 512."),
        (
            FunctionOptions,
            "memory_size",
            512.5,
            "a whole number is needed, not float; give 512, for example.",
        ),
        (FunctionOptions, "memory_size", True, "a whole number is needed, not bool."),
        (FunctionOptions, "memory_size", float("inf"), "a whole number is needed, not inf."),
        (AsyncOptions, "retry_attempts", False, "a whole number is needed, not bool."),
        (
            SqsConsumerOptions,
            "batch_size",
            None,
            "a whole number is needed, not None; leave it out for the default.",
        ),
        (FunctionOptions, "environment", "A=b", "a mapping is needed, not str."),
        (
            FunctionOptions,
            "architecture",
            "arm64",
            "aws_lambda.Architecture is needed, not str; give a member of the class, such as "
            "Architecture.ARM_64.",
        ),
        (
            LogOptions,
            "retention",
            "one_month",
            "aws_logs.RetentionDays is needed, not str; give a member of the class, such as "
            "RetentionDays.ONE_MONTH.",
        ),
        (
            NetworkOptions,
            "vpc",
            "vpc-1",
            "aws_ec2.IVpc is needed, not str; give Vpc(...), or import an existing one with "
            "Vpc.from_lookup(...).",
        ),
        (
            ThumbnailOptions,
            "suffixes",
            ".jpg",
            "give a sequence of strings, such as ('.jpg',).",
        ),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_a_value_of_another_type_is_refused_with_what_to_give(
    make: Callable[..., Any], argument: str, value: Any, problem: str
) -> None:
    with pytest.raises(TypeError) as refused:
        make(**{argument: value})
    assert str(refused.value) == f"{argument}={value!r}: {problem}"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: FunctionOptions(environment={"NN": 1}),  # type: ignore[dict-item]
            "environment['NN']=1: a string is needed, not int; give '1'.",
        ),
        (
            lambda: FunctionOptions(environment={1: "x"}),  # type: ignore[dict-item]
            "a key of environment=1: a string is needed, not int; give '1'.",
        ),
        (
            lambda: ThumbnailOptions(suffixes=(".jpg", None)),  # type: ignore[arg-type]
            "suffixes[1]=None: a string is needed, not None.",
        ),
        (
            lambda: FunctionOptions(environment={"AA": "\ud800"}),
            "environment['AA']='\\ud800': a string is needed, not a lone surrogate, which is no character.",
        ),
        (
            lambda: Weighted(1, additional_version=2, weight=float("nan")),
            "weight=nan: a number is needed, not nan.",
        ),
        (
            lambda: FunctionOptions(logs={"retention": 7}),  # type: ignore[arg-type]
            "logs=<dict>: LogOptions is needed, not dict; give LogOptions(...).",
        ),
        (
            lambda: SqsConsumerOptions(filters={"a": 1}),  # type: ignore[arg-type]
            "filters=<dict>: a sequence is needed, not dict.",
        ),
    ],
)
def test_the_item_is_named_that_is_of_another_type(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError) as refused:
        make()
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"sizes": (128.5,)},
            r"sizes\[0\]=128.5: a whole number is needed, not float; give 128, for example",
        ),
        ({"sizes": 128}, "sizes=128: a sequence is needed, not int"),
        ({"source": "bucket"}, r"source='bucket': .* or import an existing one with Bucket.from_bucket_name"),
        ({"removal_policy": "destroy"}, "removal_policy='destroy': .* such as RemovalPolicy.DESTROY"),
    ],
)
def test_a_construct_checks_before_it_makes_anything(
    stack: Stack, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        Thumbnailer(stack, "Refused", **arguments)
    assert stack.node.try_find_child("Refused") is None


def test_a_resource_of_another_kind_is_refused(stack: Stack) -> None:
    queue = sqs.Queue(stack, "NotABucket")
    with pytest.raises(TypeError, match=r"source=<Queue>: aws_s3.IBucket is needed, not Queue"):
        Thumbnailer(stack, "OfAQueue", source=queue)  # type: ignore[arg-type]


def test_methods_are_checked_as_well(stack: Stack) -> None:
    consumer = SqsConsumer(stack, "Consumer", code=CODE, handler="index.handler")
    with pytest.raises(TypeError, match=r"grantee='role': aws_iam.IGrantable is needed"):
        consumer.grant_send("role")  # type: ignore[arg-type]


def test_a_choice_or_a_number_is_described_as_both(stack: Stack) -> None:
    function = HardenedFunction(stack, "Function", code=CODE, handler="index.handler")
    with pytest.raises(
        TypeError, match=r"aliases\['prod'\]=True: a number or 'newest' or Weighted is needed"
    ):
        Environments(stack, "Environments", function=function, aliases={"prod": True})


def test_a_token_that_is_not_encoded_is_refused_with_how_to_encode_it(stack: Stack) -> None:
    with pytest.raises(TypeError, match=r"memory_size=<.*give Token\.as_number\(\.\.\.\) of it"):
        FunctionOptions(memory_size=Fn.get_att("Size", "Value"))  # type: ignore[arg-type]


def test_unknown_and_missing_arguments_keep_pythons_own_errors(stack: Stack) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'memorysize'"):
        FunctionOptions(memorysize=512)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="required keyword-only argument: 'code'"):
        HardenedFunction(stack, "NoCode")  # type: ignore[call-arg]


def test_values_that_are_known_only_at_deployment_pass(stack: Stack) -> None:
    number, text = Token.as_number({"Ref": "Number"}), Token.as_string({"Ref": "Text"})
    sizes = Token.as_list({"Ref": "Sizes"})
    FunctionOptions(
        memory_size=number,  # type: ignore[arg-type]
        timeout=Duration.seconds(number),
        ephemeral_storage_size=Size.mebibytes(number),
        environment={"NAME": text},
    )
    ThumbnailOptions(output_format=text)  # type: ignore[arg-type]
    bucket = s3.Bucket.from_bucket_name(stack, "Pictures", "other-pictures")
    Thumbnailer(stack, "Thumbnails", source=bucket, sizes=sizes)  # type: ignore[arg-type]


def test_what_the_cdk_imports_is_of_its_interface(stack: Stack) -> None:
    Thumbnailer(stack, "OfAnImportedBucket", source=s3.Bucket.from_bucket_name(stack, "Imported", "pictures"))


@pytest.mark.parametrize(
    "value", [1.5, True, float("inf"), float("nan"), Duration.millis(1500), Size.kibibytes(1500)]
)
def test_a_limit_takes_whole_numbers_unless_it_says_otherwise(value: Any) -> None:
    with pytest.raises(ValueError, match=r"name=.*: Lambda allows 1 to 900, whole numbers only"):
        Limit("Lambda", 1, 900).check("name", value)
    Limit("Aurora", 0.5, 256, whole=False).check("name", 1.5)
