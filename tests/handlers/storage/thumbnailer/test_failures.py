"""Failures of an object, of a service, and of one of several records."""

import io
import json
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError, EndpointConnectionError, IncompleteReadError
from PIL import Image

from scenarios.support.redrive import parse
from storage.thumbnailer.stores import OpenedObject
from tests.handlers.storage.surroundings import REGION
from tests.handlers.storage.thumbnailer.pictures import encode, quadrants
from tests.handlers.storage.thumbnailer.world import (
    ARN,
    FIRST,
    SECOND,
    Context,
    Raw,
    World,
    answering,
    error,
    record,
)
from tests.handlers.tables import make_table

PICTURE = encode(quadrants(), "PNG")
OTHER_PICTURE = encode(quadrants(50, 60), "PNG")


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore retries at once."""
    monkeypatch.setattr("time.sleep", lambda _: None)


# --- Permanent failures

FAILURES = {
    "EmptyObject": b"",
    "NotAnImage": b"Dear Sir or Madam",
    "UnsupportedFormat": b"BM" + bytes(60),
    "TruncatedImage": encode(quadrants(), "JPEG")[:1500],
    "DamagedImage": PICTURE[:30] + bytes(30) + PICTURE[60:],
    "TooManyPixels": encode(Image.new("L", (1000, 1001)), "PNG"),
    "ObjectTooLarge": bytes(200_001),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_record_that_can_never_succeed_goes_to_the_failure_queue_at_once(world: World, kind: str) -> None:
    world.upload("bad +.png", FAILURES[kind])
    bad = record("bad +.png")
    assert world.invoke(bad) == {"failed": 1}
    [message] = world.failures()
    assert message.pop("timestamp").endswith("Z")
    assert message.pop("responsePayload")["errorType"] == kind
    assert message == {
        "version": "1.0",
        "requestContext": {
            "requestId": Context.aws_request_id,
            "functionArn": f"{ARN}:$LATEST",
            "condition": "PermanentFailure",
            "approximateInvokeCount": 1,
        },
        "requestPayload": {"Records": [bad]},
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
    }
    assert (world.thumbnails(), world.row("bad +.png")) == ({}, None)


def test_the_redrive_understands_the_message(world: World) -> None:
    world.upload("bad.png", b"no picture")
    bad = record("bad.png")
    world.invoke(bad)
    [message] = world.failures()
    failed = parse({"Body": json.dumps(message)})
    assert (failed.function, failed.event) == ("thumbnailer", {"Records": [bad]})
    assert (failed.condition, failed.reason.partition(":")[0]) == ("PermanentFailure", "NotAnImage")


def test_an_event_that_is_sent_again_after_the_cause_was_fixed_succeeds(world: World) -> None:
    world.upload("cat.png", PICTURE)
    with world.settings(max_pixels=10):
        world.invoke(record("cat.png"))
    [message] = world.failures()
    assert world.send(message["requestPayload"]) == {"made": 1}
    assert len(world.thumbnails()) == 2


def test_overwriting_a_picture_with_something_else_deletes_its_thumbnails(world: World) -> None:
    world.upload("cat.png", PICTURE)
    world.invoke(record("cat.png", sequencer=FIRST))
    world.upload("cat.png", b"no picture any more")
    assert world.invoke(record("cat.png", sequencer=SECOND)) == {"failed": 1}
    assert (world.thumbnails(), world.row("cat.png")) == ({}, None)


def test_an_object_over_the_limit_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_: object) -> bytes:
        raise AssertionError("read")

    monkeypatch.setattr(OpenedObject, "read", read)
    world.upload("huge.png", bytes(200_001))
    assert world.invoke(record("huge.png")) == {"failed": 1}


# --- Archived objects


def archive(world: World, key: str, storage_class: str = "GLACIER", data: bytes = PICTURE) -> None:
    world.s3.put_object(Bucket="pictures", Key=key, Body=data, StorageClass=storage_class)


def restore(world: World, key: str) -> None:
    request = {"Days": 1, "GlacierJobParameters": {"Tier": "Standard"}}
    world.s3.restore_object(Bucket="pictures", Key=key, RestoreRequest=request)


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_object_over_a_picture_deletes_its_thumbnails_until_it_is_restored(
    world: World, storage_class: str
) -> None:
    world.upload("cat.png", OTHER_PICTURE)
    world.invoke(record("cat.png", sequencer=FIRST))
    archive(world, "cat.png", storage_class)
    assert world.invoke(record("cat.png", sequencer=SECOND)) == {"failed": 1}
    assert (world.thumbnails(), world.row("cat.png")) == ({}, None)
    [message] = world.failures()
    assert message["responsePayload"] == {
        "errorType": "ObjectArchived",
        "errorMessage": "the object is in an archive storage class and cannot be read; "
        "restore it, and its thumbnails are made when the restore completes",
    }
    restore(world, "cat.png")
    assert world.invoke(record("cat.png", name="ObjectRestore:Completed", sequencer="")) == {"made": 1}
    assert len(world.thumbnails()) == 2


def test_a_picture_that_is_archived_later_keeps_its_thumbnails(world: World) -> None:
    """As a lifecycle rule does it: the object is the same, only its storage class changes."""
    world.upload("cat.png", PICTURE)
    world.invoke(record("cat.png", sequencer=FIRST))
    row = world.row("cat.png")
    head = world.s3.head_object(Bucket="pictures", Key="cat.png")
    with (
        answering(world.function.s3, "GetObject", error(403, "InvalidObjectState")),
        answering(world.function.s3, "HeadObject", archived(head)),
    ):
        late = record("cat.png", name="LifecycleExpiration:Delete", sequencer=SECOND)  # of an old version
        assert world.invoke(late) == {"unchanged": 1}
    assert len(world.thumbnails()) == 2
    assert world.row("cat.png") == row


def archived(head: dict[str, Any], **more: str) -> Callable[..., AWSResponse]:
    """Answer a HEAD request as for an archived object."""
    headers = HTTPHeaders()
    for name, value in {
        "ETag": head["ETag"],
        "Content-Length": str(head["ContentLength"]),
        "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
        "x-amz-version-id": head["VersionId"],
        **(more or {"x-amz-storage-class": "GLACIER"}),
    }.items():
        headers[name] = value
    return lambda request: AWSResponse(request.url, 200, headers, Raw())


def test_an_archive_tier_of_intelligent_tiering_counts_as_archived(world: World) -> None:
    world.upload("cat.png", PICTURE)
    head = world.s3.head_object(Bucket="pictures", Key="cat.png")
    tier = {"x-amz-storage-class": "INTELLIGENT_TIERING", "x-amz-archive-status": "DEEP_ARCHIVE_ACCESS"}
    with (
        answering(world.function.s3, "GetObject", error(403, "InvalidObjectState")),
        answering(world.function.s3, "HeadObject", archived(head, **tier)),
    ):
        assert world.invoke(record("cat.png")) == {"failed": 1}
    [message] = world.failures()
    assert message["responsePayload"]["errorType"] == "ObjectArchived"


def test_an_object_that_was_restored_between_two_requests_is_tried_again(world: World) -> None:
    world.upload("cat.png", PICTURE)
    with (
        answering(world.function.s3, "GetObject", error(403, "InvalidObjectState")),
        pytest.raises(ClientError, match="InvalidObjectState"),
    ):
        world.invoke(record("cat.png"))
    assert world.invoke(record("cat.png")) == {"made": 1}


# --- Folders and keys


def test_a_folder_made_in_the_console_is_no_failure(world: World) -> None:
    world.upload("2026/", b"")
    assert world.invoke(record("2026/")) == {"removed": 1}
    assert (world.failures(), world.thumbnails(), world.row("2026/")) == ([], {}, None)


def test_a_picture_whose_key_ends_in_a_slash_is_a_picture(world: World) -> None:
    world.upload("2026/", PICTURE)
    assert world.invoke(record("2026/", sequencer=FIRST)) == {"made": 1}
    world.upload("2026/", b"")
    assert world.invoke(record("2026/", sequencer=SECOND)) == {"removed": 1}
    assert (world.thumbnails(), world.row("2026/")) == ({}, None)


KMS_KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
UNREADABLE: dict[str, tuple[int, str, int]] = {  # GetObject's status and code, HeadObject's status
    "SSE-C": (400, "InvalidRequest", 400),
    "disabled": (400, "KMS.DisabledException", 200),
    "pending deletion": (400, "KMS.KMSInvalidStateException", 200),
    "denied": (403, "AccessDenied", 200),
}


@pytest.mark.parametrize("why", UNREADABLE)
def test_an_object_without_a_usable_key_fails_at_once_and_leaves_no_thumbnails_of_an_earlier_one(
    world: World, why: str
) -> None:
    world.upload("cat.png", OTHER_PICTURE)
    world.invoke(record("cat.png", sequencer=FIRST))
    world.upload("cat.png", PICTURE)
    head = world.s3.head_object(Bucket="pictures", Key="cat.png")
    status, code, status_of_head = UNREADABLE[why]
    looked = archived(head, **{"x-amz-server-side-encryption-aws-kms-key-id": KMS_KEY})
    with (
        answering(world.function.s3, "GetObject", error(status, code)),
        answering(
            world.function.s3, "HeadObject", looked if status_of_head == 200 else error(status_of_head)
        ),
    ):
        assert world.invoke(record("cat.png", sequencer=SECOND)) == {"failed": 1}
    [message] = world.failures()
    assert message["responsePayload"]["errorType"] == "ObjectEncrypted"
    assert ("SSE-C" if why == "SSE-C" else KMS_KEY) in message["responsePayload"]["errorMessage"]
    assert (world.thumbnails(), world.row("cat.png")) == ({}, None)


def test_a_picture_whose_key_is_disabled_later_keeps_its_thumbnails(world: World) -> None:
    world.upload("cat.png", PICTURE)
    world.invoke(record("cat.png", sequencer=FIRST))
    head = world.s3.head_object(Bucket="pictures", Key="cat.png")
    looked = archived(head, **{"x-amz-server-side-encryption-aws-kms-key-id": KMS_KEY})
    with (
        answering(world.function.s3, "GetObject", error(400, "KMS.DisabledException")),
        answering(world.function.s3, "HeadObject", looked),
    ):
        assert world.invoke(record("cat.png", sequencer=SECOND)) == {"unchanged": 1}
    assert len(world.thumbnails()) == 2


def test_a_missing_permission_for_all_objects_is_tried_again(world: World) -> None:
    world.upload("cat.png", PICTURE)
    with (
        answering(world.function.s3, "GetObject", error(403, "AccessDenied")),
        answering(world.function.s3, "HeadObject", error(403)),
        pytest.raises(ClientError, match="GetObject"),
    ):
        world.invoke(record("cat.png"))


def test_a_destination_without_a_usable_key_fails_at_once(world: World) -> None:
    world.upload("cat.png", PICTURE)
    with answering(world.function.s3, "PutObject", error(400, "KMS.DisabledException")):
        assert world.invoke(record("cat.png")) == {"failed": 1}
    assert [one["responsePayload"]["errorType"] for one in world.failures()] == ["KeyUnusable"]


# --- Tables


def test_a_table_with_other_keys_fails_at_once_with_the_keys_that_it_needs(world: World) -> None:
    make_table(world.dynamodb, "other", "id")
    world.upload("cat.png", PICTURE)
    with mock.patch.object(world.function.synchroniser.table, "_table", "other"):
        assert world.invoke(record("cat.png")) == {"failed": 1}
    [message] = world.failures()
    assert message["responsePayload"]["errorType"] == "WrongTable"
    assert "partition key source_key, a string" in message["responsePayload"]["errorMessage"]


def test_the_row_of_another_bucket_is_not_overwritten(world: World) -> None:
    world.upload("cat.png", PICTURE)
    world.invoke(record("cat.png"))
    row = world.row("cat.png")
    world.s3.create_bucket(Bucket="drawings", CreateBucketConfiguration={"LocationConstraint": REGION})
    world.s3.put_object(Bucket="drawings", Key="cat.png", Body=OTHER_PICTURE)
    assert world.invoke(record("cat.png", bucket="drawings")) == {"failed": 1}
    assert [one["responsePayload"]["errorType"] for one in world.failures()] == ["WrongTable"]
    assert world.row("cat.png") == row


# --- Recursion


def test_thumbnails_of_thumbnails_are_never_made(world: World) -> None:
    world.s3.put_object(Bucket="thumbnails", Key="cat.png/64.webp", Body=PICTURE)
    assert world.invoke(record("cat.png/64.webp", bucket="thumbnails")) == {"failed": 1}
    [message] = world.failures()
    assert message["responsePayload"]["errorType"] == "WouldRecurse"
    assert set(world.thumbnails()) == {"cat.png/64.webp"}


def test_one_bucket_for_both_works_while_the_prefixes_differ(world: World) -> None:
    world.s3.put_object(Bucket="thumbnails", Key="large/cat.png", Body=PICTURE)
    with world.settings(output_prefix="small/"):
        assert world.invoke(record("large/cat.png", bucket="thumbnails")) == {"made": 1}
        again = record("small/large/cat.png/64.webp", bucket="thumbnails")
        assert world.invoke(again) == {"failed": 1}
    assert set(world.thumbnails()) == {
        "large/cat.png",
        "small/large/cat.png/64.webp",
        "small/large/cat.png/128.webp",
    }


# --- What may succeed later


def test_a_missing_permission_is_raised_so_that_lambda_tries_again(world: World) -> None:
    world.upload("cat.png", PICTURE)
    s3 = world.function.s3
    with (
        answering(s3, "GetObject", error(403, "AccessDenied")),
        pytest.raises(ClientError, match="AccessDenied"),
    ):
        world.invoke(record("cat.png"))
    assert world.failures() == []
    assert world.invoke(record("cat.png")) == {"made": 1}


def test_a_deleted_bucket_is_not_mistaken_for_a_deleted_object(world: World) -> None:
    world.upload("cat.png", PICTURE)
    world.invoke(record("cat.png"))
    with pytest.raises(ClientError, match="NoSuchBucket"):
        world.invoke(record("cat.png", bucket="no-such-bucket"))
    assert len(world.thumbnails()) == 2


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    ("service", "operation", "answer", "raised"),
    [
        ("s3", "GetObject", error(503, "SlowDown"), "SlowDown"),
        ("s3", "PutObject", error(500, "InternalError"), "InternalError"),
        ("s3", "HeadObject", error(503), "503"),
        ("dynamodb", "PutItem", error(500), "500"),
        ("sqs", "SendMessage", error(500), "500"),
    ],
)
def test_throttling_and_server_errors_are_tried_again_and_then_raised(
    world: World, service: str, operation: str, answer: Callable[..., object], raised: str
) -> None:
    key = "bad.txt" if operation == "SendMessage" else "cat.png"
    world.upload(key, b"no picture" if operation == "SendMessage" else PICTURE)
    client = getattr(world.function, service)
    with (
        answering(client, operation, answer) as requests,
        pytest.raises(ClientError, match=raised),
    ):
        world.invoke(record(key))
    assert len(requests) == 4


@pytest.mark.usefixtures("no_waiting")
def test_a_connection_error_is_raised(world: World) -> None:
    def fail(_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://s3")

    world.upload("cat.png", PICTURE)
    with (
        answering(world.function.s3, "GetObject", fail),
        pytest.raises(EndpointConnectionError),
    ):
        world.invoke(record("cat.png"))


def test_a_connection_that_breaks_off_is_not_mistaken_for_a_truncated_picture(world: World) -> None:
    headers = HTTPHeaders()
    for name, value in {
        "ETag": '"x"',
        "Content-Length": str(len(PICTURE)),
        "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
    }.items():
        headers[name] = value
    world.upload("cat.png", PICTURE)
    with (
        answering(
            world.function.s3,
            "GetObject",
            lambda request: AWSResponse(request.url, 200, headers, io.BytesIO(PICTURE[:100])),
        ),
        pytest.raises(IncompleteReadError),
    ):
        world.invoke(record("cat.png"))
    assert world.failures() == []


# --- Several records in one event


def test_each_record_of_an_event_is_handled_on_its_own(world: World) -> None:
    world.upload("cat.png", PICTURE)
    world.upload("bad.png", b"no picture")
    outcomes = world.invoke(
        record("bad.png"), {"eventSource": "aws:s3"}, record("cat.png"), record("gone.png")
    )
    assert outcomes == {"failed": 2, "made": 1, "removed": 1}
    first, second = sorted(world.failures(), key=lambda one: str(one["responsePayload"]["errorType"]))
    assert first["responsePayload"]["errorType"] == "InvalidRecord"
    assert first["requestPayload"] == {"Records": [{"eventSource": "aws:s3"}]}
    assert second["requestPayload"] == {"Records": [record("bad.png")]}


def test_an_error_that_may_pass_is_raised_when_all_other_records_are_done(world: World) -> None:
    world.upload("one.png", PICTURE)
    world.upload("two.png", PICTURE)
    world.upload("bad.png", b"no picture")
    one, two = world.about("one.png"), world.about("two.png")
    denied = error(403, "AccessDenied")

    def deny_one(request: AWSPreparedRequest) -> object:
        return denied(request) if "one.png" in request.url else None

    with (
        answering(world.function.s3, "GetObject", deny_one),
        pytest.raises(ClientError, match="AccessDenied"),
    ):
        world.invoke(one, two, record("bad.png"))
    assert set(world.thumbnails()) == {"two.png/64.webp", "two.png/128.webp"}
    assert len(world.failures()) == 1
    assert world.invoke(one, two) == {"made": 1, "unchanged": 1}


def test_errors_of_several_records_are_raised_together(world: World) -> None:
    with pytest.raises(ExceptionGroup, match="2 records will be tried again") as caught:
        world.invoke(record("a.png", bucket="no-such-bucket"), record("b.png", bucket="no-such-bucket"))
    assert [type(one).__name__ for one in caught.value.exceptions] == ["NoSuchBucket", "NoSuchBucket"]
