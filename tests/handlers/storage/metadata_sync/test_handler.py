"""The function in its surroundings: what a row says, and what becomes of records that are wrong."""

import pytest

from tests.handlers.storage.metadata_sync.world import World, bridge_event, record


def test_a_row_says_what_s3_says_of_the_object(world: World) -> None:
    version = world.put(
        "a b+ü.txt",
        b"hello",
        ContentType="text/plain",
        Metadata={"author": "ann"},
        Tagging="colour=red&size=l",
        ChecksumAlgorithm="SHA256",
        StorageClass="STANDARD_IA",
    )
    assert world.invoke(record("a b+ü.txt", sequencer="0055AED6DCD90281E0")) == {"written": 1}
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
    handled = world.send(event), world.invoke(record(key, sequencer="0B"))
    assert handled == ({"deleted": 1}, {"deleted": 1})  # nothing is there: that is what the row says
    assert (world.row(key) or {})["deleted"] == {"BOOL": True}
