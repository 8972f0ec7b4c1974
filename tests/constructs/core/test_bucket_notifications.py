"""Filters of S3 notifications have encoded values, and what S3 would refuse is refused in the app."""

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Environment, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as notifications
from aws_cdk import aws_sqs as sqs

from cdk_lambda_patterns.core.bucket_notifications import check_suffixes, filter_value, notify_function

CREATED, REMOVED = s3.EventType.OBJECT_CREATED, s3.EventType.OBJECT_REMOVED
OVERLAP = "S3 refuses filters that overlap"


def notify(stack: Stack, id: str, bucket: s3.IBucket, *events: s3.EventType, **filters: Any) -> None:
    """Let a bucket invoke a function."""
    arn = "arn:aws:lambda:eu-west-1:111111111111:function:pictures"
    function = lambda_.Function.from_function_arn(stack, id, arn)
    notify_function(function, bucket, function, *(events or (CREATED,)), **filters)


def owned(stack: Stack) -> Callable[[], s3.IBucket]:
    bucket = s3.Bucket(stack, "Bucket")
    return lambda: bucket


def imported_each_time(stack: Stack) -> Callable[[], s3.IBucket]:
    numbers = iter(range(10))
    return lambda: s3.Bucket.from_bucket_name(stack, f"Bucket{next(numbers)}", "pictures")


def owned_and_imported(stack: Stack) -> Callable[[], s3.IBucket]:
    buckets = iter(
        (s3.Bucket(stack, "A", bucket_name="pictures"), s3.Bucket.from_bucket_name(stack, "B", "pictures"))
    )
    return lambda: next(buckets)


def from_another_stack(stack: Stack) -> Callable[[], s3.IBucket]:
    bucket = s3.Bucket(Stack(stack, "Elsewhere"), "Bucket")
    return lambda: bucket


SOURCES = [owned, imported_each_time, owned_and_imported, from_another_stack]
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no filters": ({}, {}),
    "one without a filter": ({"prefix": "images/"}, {}),
    "equal prefixes": ({"prefix": "images/"}, {"prefix": "images/"}),
    "one prefix begins with the other": ({"prefix": "images"}, {"prefix": "images/a"}),
    "one suffix ends with the other": ({"suffixes": (".jpg",)}, {"suffixes": ("pg",)}),
    "a prefix and a suffix": ({"prefix": "images"}, {"suffixes": (".jpg",)}),
    "encoded": ({"prefix": "ü"}, {"prefix": "ü/"}),
}
ALLOWED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "other prefixes": ({"prefix": "images/"}, {"prefix": "logs/"}),
    "other suffixes": ({"suffixes": (".jpg",)}, {"suffixes": (".png",)}),
    "one prefix, other suffixes": (
        {"prefix": "a", "suffixes": (".jpg",)},
        {"prefix": "a", "suffixes": (".png",)},
    ),
    "one suffix, other prefixes": (
        {"prefix": "a", "suffixes": (".jpg",)},
        {"prefix": "b", "suffixes": (".jpg",)},
    ),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("case", REFUSED)
def test_two_constructs_with_overlapping_filters_are_refused(
    source: Callable[[Stack], Callable[[], s3.IBucket]], case: str
) -> None:
    stack = Stack(App(), "Stack")
    bucket = source(stack)
    one, other = REFUSED[case]
    notify(stack, "One", bucket(), **one)
    with pytest.raises(ValueError, match=OVERLAP):
        notify(stack, "Other", bucket(), **other)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("case", ALLOWED)
def test_two_constructs_whose_filters_exclude_each_other_are_allowed(
    source: Callable[[Stack], Callable[[], s3.IBucket]], case: str
) -> None:
    app = App(builtin_cloud_formation_validation=False)
    stack = Stack(app, "Stack")
    bucket = source(stack)
    for name, filters in zip(("One", "Other"), ALLOWED[case], strict=True):
        notify(stack, name, bucket(), **filters)
    app.synth()


@pytest.mark.parametrize(
    ("one", "other", "refused"),
    [
        (CREATED, s3.EventType.OBJECT_CREATED_PUT, True),
        (s3.EventType.OBJECT_CREATED_COPY, s3.EventType.OBJECT_CREATED_PUT, False),
        (CREATED, REMOVED, False),
        (s3.EventType.OBJECT_REMOVED_DELETE, s3.EventType.OBJECT_REMOVED_DELETE_MARKER_CREATED, False),
    ],
)
def test_filters_overlap_only_for_the_same_event(
    one: s3.EventType, other: s3.EventType, refused: bool
) -> None:
    stack = Stack(App(), "Stack")
    bucket = s3.Bucket(stack, "Bucket")
    notify(stack, "One", bucket, one)
    if refused:
        with pytest.raises(ValueError, match=OVERLAP):
            notify(stack, "Other", bucket, other)
    else:
        notify(stack, "Other", bucket, other)


def add_own(stack: Stack, bucket: s3.IBucket) -> None:
    """Add a notification as an app does that has other consumers."""
    bucket.add_event_notification(CREATED, notifications.SqsDestination(sqs.Queue(stack, "Queue")))


def test_notifications_that_the_app_adds_itself_count() -> None:
    stack = Stack(App(), "Stack")
    bucket = s3.Bucket(stack, "Bucket")
    add_own(stack, bucket)
    with pytest.raises(ValueError, match=OVERLAP):
        notify(stack, "One", bucket, prefix="images/")


def test_notifications_that_the_app_adds_later_are_refused_at_synthesis() -> None:
    app = App(builtin_cloud_formation_validation=False)
    stack = Stack(app, "Stack")
    bucket = s3.Bucket(stack, "Bucket")
    notify(stack, "One", bucket, prefix="images/")
    add_own(stack, bucket)
    with pytest.raises(RuntimeError, match=OVERLAP):
        app.synth()


def test_more_than_100_notifications_of_one_bucket_are_refused() -> None:
    stack = Stack(App(), "Stack")
    bucket = s3.Bucket(stack, "Bucket")
    with pytest.raises(
        ValueError, match="51 suffixes with 2 events each: 102 notifications, and S3 allows 100"
    ):
        notify(stack, "One", bucket, CREATED, REMOVED, suffixes=[f".{number:02}" for number in range(51)])
    notify(stack, "Two", bucket, suffixes=[f".{number:02}" for number in range(60)])
    with pytest.raises(ValueError, match="101 notifications, and S3 allows 100"):
        notify(stack, "Three", bucket, suffixes=[f".x{number:02}" for number in range(41)])


ELSEWHERE: dict[str, Any] = {
    "Region": {"region": "us-east-1", "account": "111111111111"},
    "account": {"region": "eu-west-1", "account": "222222222222"},
}


@pytest.mark.parametrize("what", ELSEWHERE)
def test_a_bucket_elsewhere_is_refused(what: str) -> None:
    stack = Stack(App(), "Stack", env=Environment(region="eu-west-1", account="111111111111"))
    bucket = s3.Bucket.from_bucket_attributes(stack, "Bucket", bucket_name="pictures", **ELSEWHERE[what])
    with pytest.raises(ValueError, match=f"Stack/Bucket is in {what} {ELSEWHERE[what][what.lower()]}"):
        notify(stack, "One", bucket)


def test_suffixes_known_only_at_the_deployment_are_refused() -> None:
    parameter = CfnParameter(Stack(), "Suffixes", type="CommaDelimitedList")
    with pytest.raises(ValueError, match="suffixes is known only when the stack is deployed"):
        check_suffixes(parameter.value_as_list)


# --- Encoding


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("photos/", "photos/"),
        ("my photos/", "my+photos/"),
        ("dt=2026/", "dt%3D2026/"),
        ("ü", "%C3%BC"),
        ("a+b", "a%2Bb"),
        ("100%", "100%25"),
        ("a&b@c:d,e?f;g$h", "a%26b%40c%3Ad%2Ce%3Ff%3Bg%24h"),
        ("~", "%7E"),
        ("Safe-1_2.3!4'5(6)/", "Safe-1_2.3!4'5(6)/"),
        ("two\nlines", "two%0Alines"),
        ("😀", "%F0%9F%98%80"),
        ("", ""),
    ],
)
def test_a_filter_is_encoded_as_s3_compares_it(text: str, encoded: str) -> None:
    assert filter_value("prefix", text) == encoded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("*.jpg", r"no wildcard"),
        ("a*", r"no wildcard"),
        ("\ud800", "valid Unicode"),
        ("=" * 342, "at most 1024"),
    ],
)
def test_a_filter_that_s3_does_not_have_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"prefix: .*{message}"):
        filter_value("prefix", text)


def test_a_value_of_the_deployment_is_unchanged() -> None:
    token = CfnParameter(Stack(), "Prefix").value_as_string
    assert filter_value("prefix", token) == token


@pytest.mark.parametrize("suffixes", [("=", "3D"), (".jpg", "jpg"), (".a", ".a")])
def test_suffixes_that_overlap_in_the_form_that_s3_compares_are_refused(suffixes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="overlap"):
        check_suffixes(suffixes)


def test_suffixes_may_have_spaces_and_no_wildcards() -> None:
    check_suffixes((" copy.jpg", "=.jpg"))
    with pytest.raises(ValueError, match="no wildcard"):
        check_suffixes(("*.jpg",))
