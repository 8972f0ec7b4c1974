"""Events in; thumbnails, rows and logs out, with S3, DynamoDB and SQS in moto."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError
from PIL import Image

from tests.handlers.storage.thumbnailer.pictures import encode, quadrants
from tests.handlers.storage.thumbnailer.world import (
    ENVIRONMENT,
    FIRST,
    SECOND,
    THIRD,
    Context,
    Raw,
    World,
    answering,
    record,
)

PICTURE = encode(quadrants(), "PNG")
OTHER_PICTURE = encode(quadrants().transpose(Image.Transpose.ROTATE_90), "PNG")


def size(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


# --- Uploads


def test_an_upload_gets_a_thumbnail_of_every_size_and_a_row(world: World) -> None:
    version = world.upload("cat.png", PICTURE)
    assert world.invoke(record("cat.png", sequencer=FIRST)) == {"made": 1}
    thumbnails = world.thumbnails()
    assert {key: size(data) for key, data in thumbnails.items()} == {
        "cat.png/64.webp": (64, 48),
        "cat.png/128.webp": (128, 96),
    }
    row = world.row("cat.png")
    assert row is not None
    assert row.pop("made_at")["S"].endswith("+00:00")
    assert row.pop("source_last_modified")["S"].endswith("+00:00")
    assert row.pop("etag")["S"].isalnum()
    assert row == {
        "source_key": {"S": "cat.png"},
        "source_bucket": {"S": "pictures"},
        "version_id": {"S": version},
        "sequencer": {"S": FIRST},
        "width": {"N": "200"},
        "height": {"N": "150"},
        "format": {"S": "png"},
        "size_bytes": {"N": str(len(PICTURE))},
        "thumbnails": {
            "L": [
                {
                    "M": {
                        "size": {"N": str(edge)},
                        "key": {"S": key},
                        "width": {"N": str(edge)},
                        "height": {"N": str(edge * 3 // 4)},
                        "bytes": {"N": str(len(thumbnails[key]))},
                    }
                }
                for edge, key in ((64, "cat.png/64.webp"), (128, "cat.png/128.webp"))
            ]
        },
    }


def test_thumbnails_have_their_content_type(world: World) -> None:
    world.upload("cat.png", PICTURE)
    world.invoke(record("cat.png"))
    answer = world.s3.head_object(Bucket="thumbnails", Key="cat.png/64.webp")
    assert answer["ContentType"] == "image/webp"


@pytest.mark.parametrize(
    "key",
    [
        "with space and+plus.png",
        "100% & more?.png",
        "写真/ねこ🐈.png",
        "a//b/../c.png",
        "é" * 512,
        "x" * 1024,
    ],
    ids=["plus", "percent", "unicode", "slashes", "1024 bytes of unicode", "1024 bytes"],
)
def test_thumbnails_are_made_and_deleted_under_any_key_that_s3_allows(world: World, key: str) -> None:
    world.upload(key, PICTURE)
    assert world.invoke(record(key)) == {"made": 1}
    row = world.row(key)
    assert row is not None
    keys = {one["M"]["key"]["S"] for one in row["thumbnails"]["L"]}
    assert set(world.thumbnails()) == keys
    assert all(len(one.encode()) <= 1024 for one in keys)
    world.remove(key)
    assert world.invoke(record(key, name="ObjectRemoved:DeleteMarkerCreated", sequencer=SECOND)) == {
        "removed": 1
    }
    assert world.thumbnails() == {}
    assert world.row(key) is None


@pytest.mark.parametrize(
    "key", ["a\x01b.png", "a\x1bb.png", "a\uffffb.png", "a\nb.png", "a+b.png"], ids=ascii
)
def test_an_object_is_gone_although_the_error_about_its_key_is_no_xml(world: World, key: str) -> None:
    """S3 writes the key into the error, as `&#x1;`, which XML 1.0 does not allow: botocore reads no code."""
    missing = f"<Error><Code>NoSuchKey</Code><Key>a&#x{ord(key[1]):x};b.png</Key></Error>".encode()

    def answer(request: AWSPreparedRequest) -> AWSResponse:
        return AWSResponse(request.url, 404, HTTPHeaders(), Raw(missing))

    with answering(world.function.s3, "GetObject", answer):
        gone = record(key, name="ObjectRemoved:DeleteMarkerCreated")
        assert world.invoke(gone) == {"removed": 1}


def test_an_overwritten_picture_gets_new_thumbnails(world: World) -> None:
    world.upload("cat.png", PICTURE)
    world.invoke(record("cat.png", sequencer=FIRST))
    version = world.upload("cat.png", OTHER_PICTURE)
    assert world.invoke(record("cat.png", sequencer=SECOND)) == {"made": 1}
    assert size(world.thumbnails()["cat.png/64.webp"]) == (48, 64)
    row = world.row("cat.png")
    assert row is not None
    assert (row["version_id"]["S"], row["sequencer"]["S"]) == (version, SECOND)


# --- Events that come twice, late, or out of order


def test_a_repeated_event_writes_nothing(world: World) -> None:
    world.upload("cat.png", PICTURE)
    event = world.about("cat.png")
    world.invoke(event)
    row = world.row("cat.png")

    def refuse(_: object) -> None:
        raise AssertionError("written again")

    s3, dynamodb = world.function.s3, world.function.dynamodb
    with answering(s3, "PutObject", refuse), answering(dynamodb, "PutItem", refuse):
        assert world.invoke(event) == {"unchanged": 1}
    assert world.row("cat.png") == row


def test_a_late_event_does_not_move_the_sequencer_back(world: World) -> None:
    world.upload("cat.png", PICTURE)
    world.invoke(record("cat.png", sequencer=SECOND))
    assert world.invoke(record("cat.png", sequencer=FIRST)) == {"made": 1}
    row = world.row("cat.png")
    assert row is not None
    assert row["sequencer"]["S"] == SECOND


def test_a_late_deletion_event_leaves_an_existing_object_its_thumbnails(world: World) -> None:
    world.upload("cat.png", PICTURE)
    world.invoke(record("cat.png", sequencer=SECOND))
    world.invoke(record("cat.png", name="ObjectRemoved:Delete", sequencer=FIRST))
    assert len(world.thumbnails()) == 2
    assert world.row("cat.png") is not None


def test_a_late_upload_event_makes_no_thumbnails_of_a_deleted_object(world: World) -> None:
    world.upload("cat.png", PICTURE)
    world.remove("cat.png")
    assert world.invoke(record("cat.png")) == {"removed": 1}
    assert (world.thumbnails(), world.row("cat.png"), world.failures()) == ({}, None, [])


def test_a_deletion_that_uncovers_an_older_version_brings_its_thumbnails_back(world: World) -> None:
    old = world.upload("cat.png", PICTURE)
    new = world.upload("cat.png", OTHER_PICTURE)
    world.invoke(record("cat.png", sequencer=SECOND))
    world.s3.delete_object(Bucket="pictures", Key="cat.png", VersionId=new)
    assert world.invoke(record("cat.png", name="ObjectRemoved:Delete", sequencer=THIRD)) == {"made": 1}
    row = world.row("cat.png")
    assert row is not None
    assert row["version_id"]["S"] == old
    assert size(world.thumbnails()["cat.png/64.webp"]) == (64, 48)


def test_a_bucket_without_versions_works_too(world: World) -> None:
    world.s3.create_bucket(
        Bucket="unversioned", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    world.s3.put_object(Bucket="unversioned", Key="cat.png", Body=PICTURE)
    event = world.about("cat.png", bucket="unversioned")
    assert world.invoke(event) == {"made": 1}
    assert world.invoke(event) == {"unchanged": 1}
    world.s3.delete_object(Bucket="unversioned", Key="cat.png")
    assert world.invoke(record("cat.png", bucket="unversioned", sequencer=SECOND)) == {"removed": 1}
    assert world.thumbnails() == {}


def test_thumbnails_of_sizes_that_are_no_longer_wanted_are_deleted(world: World) -> None:
    world.upload("cat.png", PICTURE)
    world.invoke(record("cat.png"))
    with world.settings(sizes=(32,)):
        assert world.invoke(record("cat.png")) == {"made": 1}  # no repetition: another size is wanted
    assert set(world.thumbnails()) == {"cat.png/32.webp"}


# --- Other events, and logs


def test_the_test_event_of_s3_is_ignored(world: World) -> None:
    event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "pictures", "HostId": "x"}
    assert world.send(event) == {}


def test_an_event_that_is_no_notification_is_refused_with_what_is_expected(world: World) -> None:
    with pytest.raises(ValueError, match="a notification of S3 has a list 'Records'"):
        world.send({"key1": "value1"})
    assert world.failures() == []


@pytest.fixture
def log(world: World) -> Iterator[io.StringIO]:
    """What the handler writes to its log."""
    log = io.StringIO()
    handler = world.function.logger.registered_handler
    before = handler.setStream(log)
    yield log
    handler.setStream(before)


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_each_record_is_logged_as_one_line_of_json(world: World, log: io.StringIO) -> None:
    world.upload("cat +.png", PICTURE)
    world.upload("bad.png", b"no picture")
    world.invoke(record("cat +.png"), record("bad.png"), {"x": 1})
    made, failed, invalid = lines(log)
    assert (made["key"], made["outcome"], made["level"]) == ("cat +.png", "made", "INFO")
    assert (failed["key"], failed["error_type"], failed["level"]) == ("bad.png", "NotAnImage", "WARNING")
    assert (invalid["error_type"], "key" in invalid) == ("InvalidRecord", False)
    assert made["function_request_id"] == Context.aws_request_id


def test_logs_of_failures_that_are_raised_name_the_object(world: World, log: io.StringIO) -> None:
    with pytest.raises(ClientError):
        world.invoke(record("cat.png", bucket="no-such-bucket"))
    [line] = lines(log)
    assert (line["level"], line["key"], line["exception_name"]) == ("ERROR", "cat.png", "NoSuchBucket")


def test_neither_contents_nor_credentials_are_logged(world: World, log: io.StringIO) -> None:
    world.upload("bad.png", b"CONFIDENTIAL letter")
    secret = {"eventSource": "aws:s3", "s3": {"object": {"key": 5}}, "userIdentity": "CONFIDENTIAL"}
    world.invoke(record("bad.png"), secret)
    assert len(lines(log)) == 2
    assert "CONFIDENTIAL" not in log.getvalue()
    assert ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in log.getvalue()
