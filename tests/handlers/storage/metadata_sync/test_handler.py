"""The function in moto: what a row contains, and what happens to bad records."""

import re
import time
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from shared.s3_events import order_key
from storage.metadata_sync.bucket import _decoded, _restore
from storage.metadata_sync.settings import Settings
from tests.handlers.records import sequencer
from tests.handlers.storage.metadata_sync.world import ENVIRONMENT, World, bridge_event, record
from tests.handlers.tables import make_table

FIRST, SECOND, THIRD = sequencer(10), sequencer(11), sequencer(12)
digits = st.text("0123456789abcdefABCDEF", max_size=20)


def test_a_row_contains_what_s3_says_about_the_object(world: World) -> None:
    version = world.put(
        "a b+ü.txt",
        b"hello",
        ContentType="text/plain",
        Metadata={"author": "ann"},
        Tagging="colour=red&size=l",
        ChecksumAlgorithm="SHA256",
        StorageClass="STANDARD_IA",
    )
    assert world.invoke(record("a b+ü.txt", order="0055AED6DCD90281E0")) == {"written": 1}
    head = world.s3.head_object(Bucket="photos", Key="a b+ü.txt")
    row = world.row("a b+ü.txt")
    assert row is not None
    assert row.pop("modified_shard")["S"].startswith("photos#")
    assert row == {
        "bucket": {"S": "photos"},
        "key": {"S": "a b+ü.txt"},
        "version_id": {"S": version},
        "size": {"N": "5"},
        "etag": {"S": head["ETag"].strip('"')},
        "checksum": {"S": "SHA256:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="},
        "storage_class": {"S": "STANDARD_IA"},
        "content_type": {"S": "text/plain"},
        "last_modified": {"S": head["LastModified"].strftime("%Y-%m-%dT%H:%M:%SZ")},
        "metadata": {"M": {"author": {"S": "ann"}}},
        "tags": {"M": {"colour": {"S": "red"}, "size": {"S": "l"}}},
        "event_name": {"S": "ObjectCreated:Put"},
        "event_time": {"S": "2026-01-01T00:00:00.000Z"},
        "sequencer": {"S": "0055AED6DCD90281E"},
        "revision": {"N": "1"},
        "deleted": {"BOOL": False},
    }


@pytest.mark.parametrize("key", ["é" * 512, "a/" * 512, "\U0001f408" * 256, "a\0b", " ", "%2B+"])
def test_any_key_that_s3_can_have_gets_a_row(world: World, key: str) -> None:
    event = bridge_event(key)
    handled = world.send(event), world.invoke(record(key, order=SECOND))
    assert handled == ({"deleted": 1}, {"deleted": 1})  # there is no object, and the row says so
    assert (world.row(key) or {})["deleted"] == {"BOOL": True}


def refusing(status: int, code: str) -> Any:
    """A client of S3 that refuses to look at an object."""

    class Refusing:
        def head_object(self, **_: Any) -> Any:
            response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise ClientError(response, "HeadObject")

        refuse = head_object

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

    client: Any = None

    def made(real: Any) -> Refusing:
        nonlocal client
        client = real
        return Refusing()

    return made


@pytest.mark.parametrize("code", ["404", "NoSuchKey", "NotFound"])
def test_an_object_is_gone_whatever_the_code_of_the_404(
    world: World, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    key = "a+%\nß"
    world.put(key)
    assert world.invoke(record(key, order=FIRST)) == {"written": 1}
    monkeypatch.setattr(world.function.source, "_s3", refusing(404, code)(world.s3))
    event = record(key, name="ObjectRemoved:Delete", order=SECOND)
    assert world.invoke(event) == {"deleted": 1}


def test_a_bucket_that_is_gone_deletes_no_row(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.function.source, "_s3", refusing(404, "NoSuchBucket")(world.s3))
    with pytest.raises(ClientError, match="NoSuchBucket"):
        world.invoke(record("cat.png"))


def test_an_archived_object_over_another_one_replaces_its_row(world: World) -> None:
    world.put("cat.png", b"1")
    world.invoke(record("cat.png", order=FIRST))
    version = world.put("cat.png", b"22", StorageClass="GLACIER")
    assert world.invoke(record("cat.png", order=SECOND)) == {"written": 1}
    row = world.row("cat.png") or {}
    assert (row["version_id"], row["size"], row["storage_class"]) == (
        {"S": version},
        {"N": "2"},
        {"S": "GLACIER"},
    )


def test_a_row_of_an_object_with_a_customers_key_has_what_a_listing_says(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("cat.png", b"1")
    world.invoke(record("cat.png", order=FIRST))
    world.put("cat.png", b"22")
    world.put("cat.png.old", b"333")
    monkeypatch.setattr(world.function.source, "_s3", refusing(400, "400")(world.s3))
    assert world.invoke(record("cat.png", order=SECOND), record("cat", order=SECOND)) == {
        "written": 1,
        "deleted": 1,
    }
    row = world.row("cat.png") or {}
    assert row["size"] == {"N": "2"}
    assert "version_id" not in row


@pytest.mark.parametrize("status", [400, 403])
def test_an_object_whose_kms_key_is_not_usable_has_its_row_without_the_checksum(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    version = world.put("cat.png", b"22", ChecksumAlgorithm="CRC32")
    refused, head = refusing(status, str(status))(world.s3), world.s3.head_object
    monkeypatch.setattr(world.function.source, "_s3", refused)
    monkeypatch.setattr(
        type(refused),
        "head_object",
        lambda _, **asked: refused.refuse() if "ChecksumMode" in asked else head(**asked),
    )
    assert world.invoke(record("cat.png")) == {"written": 1}
    row = world.row("cat.png") or {}
    assert (row["version_id"], row["size"]) == ({"S": version}, {"N": "2"})
    assert "checksum" not in row


def test_a_table_with_other_keys_fails_at_once_with_the_keys_that_it_needs(world: World) -> None:
    make_table(world.dynamodb, "other", "bucket")
    world.put("cat.png")
    with mock.patch.object(world.function.synchroniser._table, "_table", "other"):
        assert world.invoke(record("cat.png"), record("cat.png", order="")) == {"failed": 2}
    for message in world.failures():
        assert message["responsePayload"]["errorType"] == "WrongTable"
        assert "sort key key, both strings" in message["responsePayload"]["errorMessage"]


METADATA = {
    "=?UTF-8?B?w7w=?=": "ü",
    "=?UTF-8?Q?a_=C3=BC?=": "a ü",
    "=?UTF-8?Q?a=00b?=": "=?UTF-8?Q?a=00b?=",  # NUL
    "=?UTF-8?Q?=ED=A0=80?=": "=?UTF-8?Q?=ED=A0=80?=",  # a lone surrogate
    "=?nonsense?Q?a?=": "=?nonsense?Q?a?=",
    "=?UTF-8?B?a?=": "=?UTF-8?B?a?=",
    "plain =?": "plain =?",
    "": "",
}


@pytest.mark.parametrize("value", METADATA)
def test_metadata_is_decoded_unless_the_result_could_not_be_stored(value: str) -> None:
    assert _decoded({"note": value}) == {"note": METADATA[value]}


def test_a_record_that_dynamodb_cannot_store_goes_to_the_queue(world: World) -> None:
    huge = record("huge.png") | {"eventTime": "x" * 500_000}
    world.put("good.png")
    assert world.invoke(huge, record("good.png")) == {"failed": 1, "written": 1}
    [message] = world.failures()
    assert message["responsePayload"]["errorType"] == "Unstorable"


def test_a_deletion_leaves_a_tombstone_that_expires(world: World) -> None:
    world.put("cat.png")
    world.invoke(record("cat.png", order=FIRST))
    world.s3.delete_object(Bucket="photos", Key="cat.png")
    event = record("cat.png", name="ObjectRemoved:DeleteMarkerCreated", order=SECOND)
    assert world.invoke(event) == {"deleted": 1}
    row = world.row("cat.png") or {}
    days = (int(row.pop("expires_at")["N"]) - time.time()) / 86_400
    assert 14.9 < days < 15.1
    assert row == {
        "bucket": {"S": "photos"},
        "key": {"S": "cat.png"},
        "event_name": {"S": "ObjectRemoved:DeleteMarkerCreated"},
        "event_time": {"S": "2026-01-01T00:00:00.000Z"},
        "sequencer": {"S": SECOND},
        "revision": {"N": "2"},
        "deleted": {"BOOL": True},
    }


def test_deleting_the_newest_version_brings_the_older_one_back(world: World) -> None:
    first, second = world.put("cat.png", b"1"), world.put("cat.png", b"22")
    world.invoke(record("cat.png", order=SECOND))
    world.s3.delete_object(Bucket="photos", Key="cat.png", VersionId=second)
    event = record("cat.png", name="ObjectRemoved:Delete", order=THIRD)
    assert world.invoke(event) == {"written": 1}
    assert (world.row("cat.png") or {})["version_id"] == {"S": first}


def test_an_object_that_is_written_again_loses_its_tombstone(world: World) -> None:
    world.invoke(record("cat.png", name="ObjectRemoved:Delete", order=FIRST))
    world.put("cat.png")
    world.invoke(record("cat.png", order=SECOND))
    row = world.row("cat.png") or {}
    assert row["deleted"] == {"BOOL": False}
    assert "expires_at" not in row


def test_an_event_that_arrives_twice_or_late_changes_nothing(world: World) -> None:
    world.put("cat.png")
    world.invoke(record("cat.png", order=SECOND))
    before = world.row("cat.png")
    assert world.invoke(record("cat.png", order=SECOND), record("cat.png", order=FIRST)) == {"unchanged": 2}
    assert world.row("cat.png") == before


def test_an_older_event_repairs_what_a_lost_one_would_have_written(world: World) -> None:
    world.put("cat.png", b"1")
    world.invoke(record("cat.png", order=SECOND))
    world.put("cat.png", b"22")  # its event is lost
    assert world.invoke(record("cat.png", order=FIRST)) == {"written": 1}
    row = world.row("cat.png") or {}
    assert (row["size"], row["sequencer"]) == ({"N": "2"}, {"S": SECOND})


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (record("cat.png"), "written"),
        (record("cat.png", name="ObjectTagging:Put", order=""), "written"),
        (record("cat.png", name="ObjectRestore:Completed", order=""), "written"),
        (record("cat.png", name="LifecycleExpiration:Delete"), "written"),
        (bridge_event("cat.png"), "written"),
        (bridge_event("cat.png", name="Object Tags Added", order=""), "written"),
        (bridge_event("no such.png", name="Object Deleted"), "deleted"),
        (bridge_event("no such.png", name="Object Tags Deleted", order=""), "unchanged"),
    ],
)
def test_every_kind_of_event_makes_the_function_look_at_the_object(
    world: World, event: dict[str, Any], outcome: str
) -> None:
    world.put("cat.png")
    sent = event if "detail" in event else {"Records": [event]}
    assert world.send(sent) == {outcome: 1}
    assert (world.row("cat.png") is not None) is (outcome == "written")


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"Records": [{"eventSource": "aws:sqs"}]}, "InvalidRecord"),
        ({"Records": [record("x" * 1025)]}, "InvalidRecord"),
        ({"Records": [record("x", bucket="other")]}, "OtherBucket"),
        (bridge_event("x" * 1025), "InvalidRecord"),
        (bridge_event("x") | {"source": "mine"}, "InvalidRecord"),
        (bridge_event("x\ud800"), "InvalidRecord"),
        (bridge_event("x") | {"time": "\ud800"}, "InvalidRecord"),
        ({"Records": [record("x", name="Object\ud800")]}, "InvalidRecord"),
        (bridge_event("x") | {"detail": []}, "InvalidRecord"),
    ],
)
def test_a_permanent_failure_goes_to_the_queue_in_a_form_that_can_be_sent_again(
    world: World, event: dict[str, Any], reason: str
) -> None:
    assert world.send(event) == {"failed": 1}
    [message] = world.failures()
    assert message["responsePayload"]["errorType"] == reason
    assert message["requestPayload"] == event


def test_a_bad_record_does_not_affect_the_other_records(world: World) -> None:
    world.put("a.png")
    assert world.invoke(record("a.png"), {"no": "record"}, record("gone.png")) == {
        "written": 1,
        "failed": 1,
        "deleted": 1,
    }


def test_what_may_succeed_later_is_raised_after_the_other_records_are_done(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("b.png")
    look = world.function.source.look

    def deny_one(key: str) -> Any:
        if key == "a.png":
            raise PermissionError("denied")
        return look(key)

    monkeypatch.setattr(world.function.source, "look", deny_one)
    with pytest.raises(PermissionError, match="denied"):
        world.invoke(record("a.png"), record("b.png"))
    assert world.row("b.png")
    assert world.failures() == []
    with pytest.raises(ExceptionGroup, match="2 records will be tried again"):
        world.invoke(record("a.png"), record("a.png"))


def test_objects_outside_the_filters_are_ignored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = world.function.settings._replace(prefix="in/", suffixes=(".png", ".jpg"))
    monkeypatch.setattr(world.function, "settings", narrow)
    assert world.invoke(*map(record, ["in/a.png", "in/a.txt", "out/a.png"])) == {"deleted": 1, "ignored": 2}


def test_the_test_message_that_s3_sends_when_it_is_configured_does_nothing(world: World) -> None:
    assert world.send({"Service": "Amazon S3", "Event": "s3:TestEvent"}) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"TARGET": "redis"}, "TARGET='redis': give 'dynamodb' or 'postgres'"),
        ({"SUFFIXES": ".png"}, "SUFFIXES='.png': give a JSON list"),
        ({"SUFFIXES": '[""]'}, "give a JSON list"),
        ({"TAGS": "yes"}, "TAGS='yes': give 'true' or 'false'"),
        ({"TOMBSTONE_DAYS": "0"}, "TOMBSTONE_DAYS='0': give a whole number, 1 or more"),
        ({"BUCKET_NAME": ""}, "BUCKET_NAME='': must not be empty"),
    ],
)
def test_settings_that_cannot_work_stop_the_function_when_it_starts(
    change: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Settings.from_environment({**ENVIRONMENT, **change})


RESTORES = {
    "": ("", ""),
    'ongoing-request="true"': ("ongoing", ""),
    'ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"': ("", "2012-12-21T00:00:00Z"),
}


@pytest.mark.parametrize("header", RESTORES)
def test_the_header_about_a_restored_copy_is_read(header: str) -> None:
    assert _restore(header) == RESTORES[header]


@given(one=digits, other=digits)
def test_order_keys_compare_as_s3_compares_sequencers(one: str, other: str) -> None:
    width = max(len(one), len(other))
    padded = [text.upper().ljust(width, "0") for text in (one, other)]
    assert (order_key(one) < order_key(other)) == (padded[0] < padded[1])
    assert (order_key(one) == order_key(other)) == (padded[0] == padded[1])
