"""PutBucketNotificationConfiguration refuses what S3 refuses."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions
from localaws import LocalAws

pytestmark = pytest.mark.local

INVALID = "InvalidArgument"
CREATED, PUT, REMOVED = "s3:ObjectCreated:*", "s3:ObjectCreated:Put", "s3:ObjectRemoved:*"


class Bucket:
    """A bucket, and a queue for its notifications."""

    def __init__(self, functions: Functions) -> None:
        self.client, self.name = functions.aws.client("s3"), f"bucket-{uuid.uuid4().hex[:8]}"
        self.client.create_bucket(Bucket=self.name)
        self.queue = functions.queue(writable_by="s3.amazonaws.com").arn

    def configuration(self, *events: str, id: str = "", **rules: str) -> dict[str, Any]:
        """A configuration with a filter."""
        filters = [{"Name": name, "Value": value} for name, value in rules.items()]
        made: dict[str, Any] = {"QueueArn": self.queue, "Events": list(events or (CREATED,))}
        if filters:
            made["Filter"] = {"Key": {"FilterRules": filters}}
        return made | ({"Id": id} if id else {})

    def put(self, *configurations: dict[str, Any]) -> str | None:
        """Put configurations; return S3's error if it refuses them."""
        wanted = {"QueueConfigurations": list(configurations)}
        try:
            self.client.put_bucket_notification_configuration(
                Bucket=self.name, NotificationConfiguration=wanted
            )
        except ClientError as error:
            return f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
        return None


@pytest.fixture(scope="module")
def bucket(local_aws: LocalAws) -> Bucket:
    return Bucket(Functions(local_aws))


# The first five are the examples of the page on filtering.
@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ({"prefix": "images"}, {"prefix": "images/jpg"}, True),
        ({"suffix": ".jpg"}, {"suffix": "jpg"}, True),
        ({"prefix": "images"}, {"suffix": ".jpg"}, True),
        ({"prefix": "images", "suffix": ".jpg"}, {"prefix": "images", "suffix": ".png"}, False),
        ({"prefix": "images/"}, {"prefix": "logs/"}, False),
        ({}, {}, True),
        ({}, {"prefix": "images"}, True),
        ({"prefix": "images", "suffix": ".jpg"}, {"prefix": "images/a", "suffix": "g"}, True),
        ({"prefix": "images", "suffix": ".jpg"}, {"prefix": "images/a", "suffix": ".png"}, False),
        ({"prefix": "a", "suffix": ".jpg"}, {"prefix": "b", "suffix": ".jpg"}, False),
    ],
)
def test_filters_that_overlap_for_one_event_are_refused(
    bucket: Bucket, one: dict[str, str], other: dict[str, str], overlap: bool
) -> None:
    message = bucket.put(bucket.configuration(**one), bucket.configuration(**other))
    if overlap:
        assert message == (
            f"{INVALID}: Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules "
            "if the prefixes are overlapping for the same event type."
        )
    else:
        assert message is None
    assert bucket.put(bucket.configuration(CREATED, **one), bucket.configuration(REMOVED, **other)) is None


def test_an_event_type_with_a_wildcard_overlaps_with_those_that_it_contains(bucket: Bucket) -> None:
    assert bucket.put(bucket.configuration(CREATED), bucket.configuration(PUT))
    copied = bucket.configuration("s3:ObjectCreated:Copy")
    assert bucket.put(copied, bucket.configuration(PUT)) is None


def test_what_is_refused_changes_nothing(bucket: Bucket) -> None:
    assert bucket.put(bucket.configuration(PUT, id="stays")) is None
    assert bucket.put(bucket.configuration(), bucket.configuration())
    stored = bucket.client.get_bucket_notification_configuration(Bucket=bucket.name)
    assert [one["Id"] for one in stored["QueueConfigurations"]] == ["stays"]


def test_a_bucket_has_at_most_100_configurations(bucket: Bucket) -> None:
    many = [bucket.configuration(suffix=f".{number:03}") for number in range(101)]
    assert "100" in (bucket.put(*many) or "")
    assert bucket.put(*many[:100]) is None


def test_other_mistakes_have_the_words_of_s3(bucket: Bucket) -> None:
    one, other = bucket.configuration(PUT, id="a"), bucket.configuration(REMOVED, id="a")
    assert (
        bucket.put(one, other) == f"{INVALID}: Same ID used for multiple configurations. IDs must be unique"
    )
    assert (
        bucket.put(bucket.configuration("s3:Nothing"))
        == f"{INVALID}: The event is not supported for notifications"
    )
    twice = bucket.configuration(prefix="a")
    twice["Filter"]["Key"]["FilterRules"] *= 2
    assert bucket.put(twice) == f"{INVALID}: Cannot specify more than one prefix rule in a filter."
    assert "1024 bytes" in (bucket.put(bucket.configuration(prefix="x" * 1025)) or "")


def test_a_destination_in_another_region_is_refused(bucket: Bucket) -> None:
    elsewhere = bucket.configuration() | {"QueueArn": bucket.queue.replace("us-east-1", "eu-west-1")}
    assert bucket.put(elsewhere) == (
        f"{INVALID}: The notification destination service region is not valid for the bucket location "
        "constraint"
    )


# --- Still needed


def test_the_emulator_still_accepts_filters_that_overlap(stock_functions: Functions) -> None:
    bucket = Bucket(stock_functions)
    assert bucket.put(bucket.configuration(), bucket.configuration()) is None
