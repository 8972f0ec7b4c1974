"""Events of S3 at EventBridge, of delete markers and of tags."""

from __future__ import annotations

import itertools
import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from helpers.lambda_functions import Functions, Queue
from localaws.services.s3 import events as s3_events

pytestmark = pytest.mark.local


@dataclass
class Bucket:
    """A bucket that sends all its events to EventBridge and to a queue.

    Args:
        name: Its name.
        client: S3.
        events: The queue with the events of EventBridge.
        records: The queue with the events of S3.
    """

    name: str
    client: Any
    events: Queue
    records: Queue

    def put(self, key: str, **settings: Any) -> dict[str, Any]:
        """Put an object, and remove its event."""
        answer: dict[str, Any] = self.client.put_object(Bucket=self.name, Key=key, Body=b"hello", **settings)
        self.detail()
        self.record()
        return answer

    def detail(self) -> dict[str, Any]:
        """The detail of the next event at EventBridge, with its type."""
        event = self.events.wait_for_body()
        return {"type": event["detail-type"], **event["detail"]}

    def record(self) -> dict[str, Any]:
        """The next record."""
        return dict(self.records.wait_for_body()["Records"][0])


def make_bucket(functions: Functions, *, versioned: bool = True) -> Bucket:
    """A bucket whose events are sent to queues."""
    client, name = functions.aws.client("s3"), f"bucket-{uuid.uuid4().hex[:8]}"
    events = functions.queue(writable_by="events.amazonaws.com")
    records = functions.queue(writable_by="s3.amazonaws.com")
    client.create_bucket(Bucket=name)
    if versioned:
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    kinds = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectRestore:*", "s3:ObjectTagging:*"]
    to_queue = {"QueueArn": records.arn, "Events": kinds}
    client.put_bucket_notification_configuration(
        Bucket=name,
        NotificationConfiguration={"EventBridgeConfiguration": {}, "QueueConfigurations": [to_queue]},
    )
    assert records.wait_for_body()["Event"] == "s3:TestEvent"
    pattern = json.dumps({"source": ["aws.s3"], "detail": {"bucket": {"name": [name]}}})
    functions.aws.client("events").put_rule(Name=name, EventPattern=pattern)
    functions.aws.client("events").put_targets(Rule=name, Targets=[{"Id": "1", "Arn": events.arn}])
    return Bucket(name, client, events, records)


@pytest.fixture
def bucket(functions: Functions) -> Bucket:
    """A versioned bucket."""
    return make_bucket(functions)


def test_a_created_object_has_its_version_and_sequencer_at_eventbridge(bucket: Bucket) -> None:
    put = bucket.client.put_object(Bucket=bucket.name, Key="a b+c", Body=b"hello")
    detail = bucket.detail()
    assert (detail["type"], detail["reason"]) == ("Object Created", "PutObject")
    sequencer = bucket.record()["s3"]["object"]["sequencer"]
    assert detail["object"] == {
        "key": "a b+c",
        "size": 5,
        "etag": put["ETag"].strip('"'),
        "version-id": put["VersionId"],
        "sequencer": sequencer,
    }


def test_a_deleted_object_has_its_version_and_how_it_was_deleted(bucket: Bucket) -> None:
    put = bucket.put("photo")
    marker = bucket.client.delete_object(Bucket=bucket.name, Key="photo")
    detail = bucket.detail()
    assert (detail["type"], detail["deletion-type"]) == ("Object Deleted", "Delete Marker Created")
    assert detail["object"] == {
        "key": "photo",
        "etag": "d41d8cd98f00b204e9800998ecf8427e",
        "version-id": marker["VersionId"],
        "sequencer": bucket.record()["s3"]["object"]["sequencer"],
    }
    bucket.client.delete_object(Bucket=bucket.name, Key="photo", VersionId=put["VersionId"])
    detail = bucket.detail()
    assert detail["deletion-type"] == "Permanently Deleted"
    assert detail["object"]["version-id"] == put["VersionId"]
    assert set(detail["object"]) == {"key", "version-id", "sequencer"}


def test_an_object_without_versions_has_none(functions: Functions) -> None:
    bucket = make_bucket(functions, versioned=False)
    bucket.client.put_object(Bucket=bucket.name, Key="photo", Body=b"hello")
    assert set(bucket.detail()["object"]) == {"key", "size", "etag", "sequencer"}


@pytest.mark.parametrize("batch", [False, True])
def test_deleting_a_missing_key_makes_a_delete_marker_and_its_event(bucket: Bucket, batch: bool) -> None:
    if batch:
        answer = bucket.client.delete_objects(Bucket=bucket.name, Delete={"Objects": [{"Key": "never"}]})
        version = answer["Deleted"][0]["DeleteMarkerVersionId"]
    else:
        version = bucket.client.delete_object(Bucket=bucket.name, Key="never")["VersionId"]
    record = bucket.record()
    assert record["eventName"] == "ObjectRemoved:DeleteMarkerCreated"
    assert record["s3"]["object"]["versionId"] == version
    assert bucket.detail()["deletion-type"] == "Delete Marker Created"
    assert bucket.records.receive() == []


def test_tags_that_change_raise_events_without_a_sequencer(bucket: Bucket) -> None:
    put = bucket.put("photo")
    tags = {"TagSet": [{"Key": "of", "Value": "cats"}]}
    bucket.client.put_object_tagging(Bucket=bucket.name, Key="photo", Tagging=tags)
    record, detail = bucket.record(), bucket.detail()
    assert record["eventName"] == "ObjectTagging:Put"
    assert record["s3"]["object"]["versionId"] == put["VersionId"]
    assert "sequencer" not in record["s3"]["object"]
    assert detail["type"] == "Object Tags Added"
    assert "reason" not in detail
    assert detail["object"]["version-id"] == put["VersionId"]
    assert "sequencer" not in detail["object"]
    bucket.client.delete_object_tagging(Bucket=bucket.name, Key="photo")
    assert bucket.record()["eventName"] == "ObjectTagging:Delete"
    assert bucket.detail()["type"] == "Object Tags Deleted"


def test_a_restore_sends_events_when_it_starts_and_when_it_completes(bucket: Bucket) -> None:
    put = bucket.put("photo", StorageClass="GLACIER")
    named = {"Bucket": bucket.name, "Key": "photo"}
    with pytest.raises(bucket.client.exceptions.InvalidObjectState):
        bucket.client.get_object(**named)
    bucket.client.restore_object(**named, RestoreRequest={"Days": 1})
    head = bucket.client.head_object(**named)
    assert (head["StorageClass"], head["Restore"]) == ("GLACIER", 'ongoing-request="true"')
    record, detail = bucket.record(), bucket.detail()
    assert record["eventName"] == "ObjectRestore:Post"
    assert record["s3"]["object"]["versionId"] == put["VersionId"]
    assert (detail["type"], detail["source-storage-class"]) == ("Object Restore Initiated", "GLACIER")
    assert detail["object"]["version-id"] == put["VersionId"]
    assert "sequencer" not in detail["object"]
    record, detail = bucket.record(), bucket.detail()
    assert record["eventName"] == "ObjectRestore:Completed"
    assert detail["type"] == "Object Restore Completed"
    assert (
        detail["restore-expiry-time"]
        == record["glacierEventData"]["restoreEventData"]["lifecycleRestorationExpiryTime"]
    )
    assert bucket.client.head_object(**named)["Restore"].startswith('ongoing-request="false", expiry-date="')
    assert bucket.client.get_object(**named)["Body"].read() == b"hello"


def test_still_needed_the_emulator_sends_eventbridge_less(stock_functions: Functions) -> None:
    bucket = make_bucket(stock_functions)
    bucket.client.delete_object(Bucket=bucket.name, Key="never")
    bucket.client.put_object(Bucket=bucket.name, Key="photo", Body=b"hello")
    detail = bucket.detail()
    assert detail["type"] == "Object Created"  # none for the delete marker
    assert "version-id" not in detail["object"]
    tags = {"TagSet": [{"Key": "of", "Value": "cats"}]}
    bucket.client.put_object_tagging(Bucket=bucket.name, Key="photo", Tagging=tags)
    bucket.client.put_object(Bucket=bucket.name, Key="other", Body=b"hello")
    assert bucket.detail()["object"]["key"] == "other"  # none for the tags


@pytest.mark.parametrize(
    ("prefix", "key", "fires"),
    [
        ("my+photos/", "my photos/a", True),
        ("my photos/", "my photos/a", False),
        ("dt%3D2026/", "dt=2026/a", True),
        ("dt=2026/", "dt=2026/a", False),
        ("%C3%BC", "ü", True),
        ("ü", "ü", False),
        ("a%2Bb", "a+b", True),
        ("a+b", "a+b", False),
        ("a*", "ab", False),
        ("photos/", "photos/(1)!.jpg", True),
    ],
)
def test_a_filter_is_compared_with_the_encoded_key(
    functions: Functions, prefix: str, key: str, fires: bool
) -> None:
    client, name = functions.aws.client("s3"), f"bucket-{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=name)
    records = functions.queue(writable_by="s3.amazonaws.com")
    rules = {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}}
    both = [
        {"QueueArn": records.arn, "Events": ["s3:ObjectCreated:*"], "Filter": rules},
        {"QueueArn": records.arn, "Events": ["s3:ObjectRemoved:*"]},
    ]
    client.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"QueueConfigurations": both}
    )
    records.receive()  # the test event
    client.put_object(Bucket=name, Key=key, Body=b"")
    names = {records.wait_for_body()["Records"][0]["eventName"]} if fires else set()
    client.delete_object(Bucket=name, Key=key)
    names.add(records.wait_for_body()["Records"][0]["eventName"])
    assert ("ObjectCreated:Put" in names) is fires


def test_a_record_names_the_caller_with_ids_as_long_as_those_of_s3(functions: Functions) -> None:
    bucket = make_bucket(functions)
    bucket.client.put_object(Bucket=bucket.name, Key="x", Body=b"x")
    record = bucket.record()
    assert record["userIdentity"] == {"principalId": f"AWS:{functions.aws.account}"}
    assert re.fullmatch(r"[0-9A-F]{16}", record["responseElements"]["x-amz-request-id"])
    assert re.fullmatch(r"[A-Za-z0-9+/]{76}", record["responseElements"]["x-amz-id-2"])
    assert re.fullmatch(r"[A-Za-z0-9._]{32}", record["s3"]["object"]["versionId"])
    assert re.fullmatch(r"(?:[0-9A-F]{2}){8,9}", record["s3"]["object"]["sequencer"])
    assert record["s3"]["configurationId"]


def test_sequencers_have_different_lengths_and_compare_after_padding() -> None:
    numbers = itertools.count(0x6613DEB45B974)
    made = [
        s3_events._next_event_sequencer(lambda _: f"{next(numbers):018X}", "s3:ObjectCreated:Put")
        for _ in range(50)
    ]
    sequencers = [sequencer for sequencer in made if sequencer]
    assert {len(sequencer) for sequencer in sequencers} == {16, 18}
    padded = [sequencer.ljust(18, "0") for sequencer in sequencers]
    assert sorted(set(padded)) == padded
    assert sequencers != sorted(sequencers, key=lambda sequencer: int(sequencer, 16))
    assert s3_events._next_event_sequencer(lambda _: None, "s3:ObjectTagging:Put") is None
