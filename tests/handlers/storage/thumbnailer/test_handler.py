"""The handler with S3, DynamoDB and SQS around it: what goes in as events, and what is there afterwards."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError, EndpointConnectionError, IncompleteReadError
from PIL import Image

from scenarios.redrive import parse
from tests.handlers.storage.thumbnailer.pictures import encode, quadrants
from tests.handlers.storage.thumbnailer.world import ARN, ENVIRONMENT, Client, Context, World, record

PICTURE = encode(quadrants(), "PNG")
OTHER_PICTURE = encode(quadrants().transpose(Image.Transpose.ROTATE_90), "PNG")


def size(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


@contextmanager
def answering(client: Client, operation: str, answer: Callable[..., object]) -> Iterator[list[object]]:
    """Let an operation of a client be answered without reaching its service; collects the requests."""
    requests: list[object] = []

    def before_send(request: object, **_: object) -> object:
        requests.append(request)
        return answer(request)

    event = f"before-send.{client.meta.service_model.service_id.hyphenize()}.{operation}"
    client.meta.events.register_first(event, before_send)
    try:
        yield requests
    finally:
        client.meta.events.unregister(event, before_send)


def error(status: int, code: str = "") -> Callable[..., AWSResponse]:
    """Answer with an error, in the XML of S3 or without a word, as HEAD does."""
    body = f"<Error><Code>{code}</Code><Message>so it is</Message></Error>".encode() if code else b""

    class Raw(io.BytesIO):
        def stream(self, **_: object) -> Iterator[bytes]:
            yield self.read()

    return lambda request: AWSResponse(request.url, status, HTTPHeaders(), Raw(body))


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries of botocore follow each other at once."""
    monkeypatch.setattr("time.sleep", lambda _: None)


# --- Uploads


def test_an_upload_gets_a_thumbnail_of_every_size_and_a_row(world: World) -> None:
    version = world.upload("cat.png", PICTURE)
    assert world.invoke(record("cat.png", sequencer="0055AED6DCD90281E5")) == {"made": 1}
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
        "version_id": {"S": version},
        "sequencer": {"S": "0055AED6DCD90281E5"},
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
def test_any_key_that_s3_allows_gets_thumbnails_and_loses_them_again(world: World, key: str) -> None:
    world.upload(key, PICTURE)
    assert world.invoke(record(key)) == {"made": 1}
    row = world.row(key)
    assert row is not None
    keys = {one["M"]["key"]["S"] for one in row["thumbnails"]["L"]}
    assert set(world.thumbnails()) == keys
    assert all(len(one.encode()) <= 1024 for one in keys)
    world.remove(key)
    assert world.invoke(record(key, name="ObjectRemoved:DeleteMarkerCreated", sequencer="0B")) == {
        "removed": 1
    }
    assert world.thumbnails() == {}
    assert world.row(key) is None


def test_an_overwritten_picture_gets_new_thumbnails(world: World) -> None:
    world.upload("cat.png", PICTURE)
    world.invoke(record("cat.png", sequencer="0A"))
    version = world.upload("cat.png", OTHER_PICTURE)
    assert world.invoke(record("cat.png", sequencer="0B")) == {"made": 1}
    assert size(world.thumbnails()["cat.png/64.webp"]) == (48, 64)
    row = world.row("cat.png")
    assert row is not None
    assert (row["version_id"]["S"], row["sequencer"]["S"]) == (version, "0B")


# --- Events that come twice, late, or out of order


def test_a_repeated_event_writes_nothing(world: World) -> None:
    world.upload("cat.png", PICTURE)
    world.invoke(record("cat.png"))
    row = world.row("cat.png")

    def refuse(_: object) -> None:
        raise AssertionError("written again")

    s3, dynamodb = world.modules.handler.clients.s3, world.modules.handler.clients.dynamodb
    with answering(s3, "PutObject", refuse), answering(dynamodb, "PutItem", refuse):
        assert world.invoke(record("cat.png")) == {"unchanged": 1}
    assert world.row("cat.png") == row


def test_a_late_event_does_not_turn_the_sequencer_back(world: World) -> None:
    world.upload("cat.png", PICTURE)
    world.invoke(record("cat.png", sequencer="0B"))
    assert world.invoke(record("cat.png", sequencer="0A")) == {"made": 1}
    row = world.row("cat.png")
    assert row is not None
    assert row["sequencer"]["S"] == "0B"


def test_a_late_event_of_a_deletion_takes_nothing_from_an_object_that_is_there(world: World) -> None:
    world.upload("cat.png", PICTURE)
    world.invoke(record("cat.png", sequencer="0B"))
    world.invoke(record("cat.png", name="ObjectRemoved:Delete", sequencer="0A"))
    assert len(world.thumbnails()) == 2
    assert world.row("cat.png") is not None


def test_a_late_event_of_an_upload_makes_nothing_of_an_object_that_is_gone(world: World) -> None:
    world.upload("cat.png", PICTURE)
    world.remove("cat.png")
    assert world.invoke(record("cat.png")) == {"removed": 1}
    assert (world.thumbnails(), world.row("cat.png"), world.failures()) == ({}, None, [])


def test_a_deletion_that_uncovers_an_older_version_brings_its_thumbnails_back(world: World) -> None:
    old = world.upload("cat.png", PICTURE)
    new = world.upload("cat.png", OTHER_PICTURE)
    world.invoke(record("cat.png", sequencer="0B"))
    world.s3.delete_object(Bucket="pictures", Key="cat.png", VersionId=new)
    assert world.invoke(record("cat.png", name="ObjectRemoved:Delete", sequencer="0C")) == {"made": 1}
    row = world.row("cat.png")
    assert row is not None
    assert row["version_id"]["S"] == old
    assert size(world.thumbnails()["cat.png/64.webp"]) == (64, 48)


def test_a_bucket_without_versions_works_too(world: World) -> None:
    world.s3.create_bucket(
        Bucket="unversioned", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    world.s3.put_object(Bucket="unversioned", Key="cat.png", Body=PICTURE)
    assert world.invoke(record("cat.png", bucket="unversioned")) == {"made": 1}
    assert world.invoke(record("cat.png", bucket="unversioned")) == {"unchanged": 1}
    world.s3.delete_object(Bucket="unversioned", Key="cat.png")
    assert world.invoke(record("cat.png", bucket="unversioned", sequencer="0B")) == {"removed": 1}
    assert world.thumbnails() == {}


def test_thumbnails_of_sizes_that_are_no_longer_asked_for_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upload("cat.png", PICTURE)
    world.invoke(record("cat.png"))
    monkeypatch.setitem(world.modules.handler.settings.__dict__, "sizes", (32,))
    assert world.invoke(record("cat.png")) == {"made": 1}  # no repetition: something else is asked for
    assert set(world.thumbnails()) == {"cat.png/32.webp"}


# --- What fails for good

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
def test_what_can_never_succeed_goes_to_the_failure_queue_at_once(world: World, kind: str) -> None:
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


def test_an_event_that_is_sent_again_after_the_cause_was_mended_succeeds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upload("cat.png", PICTURE)
    with monkeypatch.context() as patch:
        patch.setitem(world.modules.handler.settings.__dict__, "max_pixels", 10)
        world.invoke(record("cat.png"))
    [message] = world.failures()
    assert world.send(message["requestPayload"]) == {"made": 1}
    assert len(world.thumbnails()) == 2


def test_thumbnails_of_a_picture_that_was_overwritten_with_something_else_go(world: World) -> None:
    world.upload("cat.png", PICTURE)
    world.invoke(record("cat.png", sequencer="0A"))
    world.upload("cat.png", b"no picture any more")
    assert world.invoke(record("cat.png", sequencer="0B")) == {"failed": 1}
    assert (world.thumbnails(), world.row("cat.png")) == ({}, None)


def test_an_object_over_the_limit_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_: object) -> bytes:
        raise AssertionError("read")

    monkeypatch.setattr(world.modules.aws._S3Object, "read", read)
    world.upload("huge.png", bytes(200_001))
    assert world.invoke(record("huge.png")) == {"failed": 1}


def test_an_archived_object_fails_with_what_to_do(world: World) -> None:
    world.upload("old.png", PICTURE)
    s3 = world.modules.handler.clients.s3
    with answering(s3, "GetObject", error(403, "InvalidObjectState")):
        assert world.invoke(record("old.png")) == {"failed": 1}
    [message] = world.failures()
    assert message["responsePayload"] == {
        "errorType": "ObjectArchived",
        "errorMessage": "the object is in an archive storage class; restore it, then send its event again",
    }


def test_thumbnails_of_thumbnails_are_never_made(world: World) -> None:
    world.s3.put_object(Bucket="thumbnails", Key="cat.png/64.webp", Body=PICTURE)
    assert world.invoke(record("cat.png/64.webp", bucket="thumbnails")) == {"failed": 1}
    [message] = world.failures()
    assert message["responsePayload"]["errorType"] == "WouldRecurse"
    assert set(world.thumbnails()) == {"cat.png/64.webp"}


def test_one_bucket_for_both_works_while_the_prefixes_differ(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(world.modules.handler.settings.__dict__, "output_prefix", "small/")
    world.s3.put_object(Bucket="thumbnails", Key="large/cat.png", Body=PICTURE)
    assert world.invoke(record("large/cat.png", bucket="thumbnails")) == {"made": 1}
    assert set(world.thumbnails()) == {
        "large/cat.png",
        "small/large/cat.png/64.webp",
        "small/large/cat.png/128.webp",
    }
    assert world.invoke(record("small/large/cat.png/64.webp", bucket="thumbnails")) == {"failed": 1}


# --- What may succeed later


def test_a_missing_permission_is_raised_so_that_lambda_tries_again(world: World) -> None:
    world.upload("cat.png", PICTURE)
    s3 = world.modules.handler.clients.s3
    with (
        answering(s3, "GetObject", error(403, "AccessDenied")),
        pytest.raises(ClientError, match="AccessDenied"),
    ):
        world.invoke(record("cat.png"))
    assert world.failures() == []
    assert world.invoke(record("cat.png")) == {"made": 1}


def test_a_bucket_that_is_gone_is_not_taken_for_a_deleted_object(world: World) -> None:
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
    client = getattr(world.modules.handler.clients, service)
    with (
        answering(client, operation, answer) as requests,
        pytest.raises(ClientError, match=raised),
    ):
        world.invoke(record(key))
    assert len(requests) == 4


@pytest.mark.usefixtures("no_waiting")
def test_no_connection_is_raised(world: World) -> None:
    def fail(_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://s3")

    world.upload("cat.png", PICTURE)
    with (
        answering(world.modules.handler.clients.s3, "GetObject", fail),
        pytest.raises(EndpointConnectionError),
    ):
        world.invoke(record("cat.png"))


def test_a_body_that_breaks_off_is_not_taken_for_a_truncated_picture(world: World) -> None:
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
            world.modules.handler.clients.s3,
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


def test_what_may_succeed_later_is_raised_when_all_other_records_are_done(world: World) -> None:
    world.upload("one.png", PICTURE)
    world.upload("two.png", PICTURE)
    world.upload("bad.png", b"no picture")
    denied = error(403, "AccessDenied")

    def deny_one(request: AWSPreparedRequest) -> object:
        return denied(request) if "one.png" in request.url else None

    with (
        answering(world.modules.handler.clients.s3, "GetObject", deny_one),
        pytest.raises(ClientError, match="AccessDenied"),
    ):
        world.invoke(record("one.png"), record("two.png"), record("bad.png"))
    assert set(world.thumbnails()) == {"two.png/64.webp", "two.png/128.webp"}
    assert len(world.failures()) == 1
    assert world.invoke(record("one.png"), record("two.png")) == {"made": 1, "unchanged": 1}


def test_several_records_that_may_succeed_later_are_raised_together(world: World) -> None:
    with pytest.raises(ExceptionGroup, match="2 records will be tried again") as caught:
        world.invoke(record("a.png", bucket="no-such-bucket"), record("b.png", bucket="no-such-bucket"))
    assert [type(one).__name__ for one in caught.value.exceptions] == ["NoSuchBucket", "NoSuchBucket"]


# --- Events that are none, and logs


def test_the_test_event_of_s3_is_ignored(world: World) -> None:
    event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "pictures", "HostId": "x"}
    assert world.send(event) == {}


def test_an_event_that_is_no_notification_says_what_is_expected(world: World) -> None:
    with pytest.raises(ValueError, match="a notification of S3 has a list 'Records'"):
        world.send({"key1": "value1"})
    assert world.failures() == []


@pytest.fixture
def log(world: World) -> Iterator[io.StringIO]:
    """What the handler writes to its log."""
    log = io.StringIO()
    handler = world.modules.handler.logger.registered_handler
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
