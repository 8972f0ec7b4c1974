"""The function for S3 Batch Operations: tasks of both schemas, the result of each, the right rows."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from shared.s3_events import InvalidEvent
from storage.batch_operation.tasks import read
from storage.metadata_sync.objects import StoredObject, Unstorable
from storage.metadata_sync.sync import MAX_ROUNDS, Synchroniser
from tests.handlers.importing import import_handler
from tests.handlers.storage.metadata_sync.doubles import BUCKET, Bucket, Rows
from tests.handlers.storage.metadata_sync.world import ENVIRONMENT, Context


@dataclass
class Looked(Bucket):
    """A bucket that remembers the last look, as that of the handler does."""

    seen: StoredObject | None = None

    def look(self, key: str) -> StoredObject | None:
        """Return the current object, and remember it."""
        self.seen = super().look(key)
        return self.seen


@dataclass
class Backfill:
    """The function, with a bucket and a table in memory."""

    module: ModuleType
    bucket: Bucket
    table: Rows

    def run(self, *keys: str, milliseconds: int = 60_000, **of_task: Any) -> list[tuple[str, str]]:
        """Invoke the function with a task for each key, which is encoded; return codes and texts."""
        event = event_of(*keys, **of_task)
        answer = self.module.handler(event, Context(milliseconds=milliseconds))
        assert answer["invocationId"] == event["invocationId"]
        assert answer["invocationSchemaVersion"] == "2.0"
        assert [one["taskId"] for one in answer["results"]] == [one["taskId"] for one in event["tasks"]]
        return [(one["resultCode"], one["resultString"]) for one in answer["results"]]


def event_of(*keys: str, **of_task: Any) -> dict[str, Any]:
    tasks = [
        {"taskId": f"task-{key}", "s3Key": key, "s3VersionId": None, "s3Bucket": BUCKET, **of_task}
        for key in keys
    ]
    return {"invocationSchemaVersion": "2.0", "invocationId": "i", "job": {"id": "j"}, "tasks": tasks}


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return import_handler("storage.batch_operation.handler", ENVIRONMENT)


@pytest.fixture
def backfill(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Backfill:
    bucket, table = Looked(versioned=True, chance=Random(1)), Rows()
    monkeypatch.setattr(module, "source", bucket)
    monkeypatch.setattr(module, "table", table)
    monkeypatch.setattr(module, "synchroniser", Synchroniser(bucket, table))
    return Backfill(module, bucket, table)


@pytest.mark.parametrize(
    ("encoded", "key"),
    [("a%20b", "a b"), ("a+b", "a b"), ("a%2Bb", "a+b"), ("%E2%82%AC%2F100%25", "€/100%"), ("a/b", "a/b")],
)
def test_keys_are_decoded(backfill: Backfill, encoded: str, key: str) -> None:
    backfill.bucket.put(key)
    assert backfill.run(encoded) == [("Succeeded", "written")]
    row = backfill.table.read(key)
    assert row is not None
    assert row.object == backfill.bucket.current(key)


@pytest.mark.parametrize(
    "place",
    [
        {"s3Bucket": BUCKET},
        {"s3BucketArn": f"arn:aws:s3:::{BUCKET}"},
        {"s3BucketArn": f"arn:aws-cn:s3:cn-north-1:123456789012:{BUCKET}"},
    ],
)
def test_the_bucket_is_that_of_either_schema(place: dict[str, str]) -> None:
    task = read({"taskId": "1", "s3Key": "a.jpg", "s3VersionId": "v1", **place})
    assert task == (BUCKET, "a.jpg", "v1")


def test_a_task_that_runs_twice_changes_nothing_the_second_time(backfill: Backfill) -> None:
    backfill.bucket.put("a")
    assert backfill.run("a") == [("Succeeded", "written")]
    before = backfill.table.read("a")
    assert backfill.run("a") == [("Succeeded", "unchanged")]
    assert backfill.table.read("a") == before


@pytest.mark.parametrize(
    ("key", "of_task", "reason"),
    [
        ("gone", {}, "there is no object"),
        ("%FF", {}, "not URL-encoded UTF-8"),
        ("a" * 1025, {}, "1,025 bytes"),
        ("a", {"s3Bucket": "other"}, "works on 'photos'"),
        ("a", {"s3Bucket": None}, "s3Bucket is missing"),
        ("a", {"s3Key": 7}, "s3Key is missing, empty, or not text"),
    ],
)
def test_garbage_costs_its_own_task_only(
    backfill: Backfill, key: str, of_task: dict[str, Any], reason: str
) -> None:
    [(code, text)] = backfill.run(key, **of_task)
    assert code == "PermanentFailure"
    assert reason in text
    backfill.bucket.put("b")
    assert backfill.run("%FF", "b")[1] == ("Succeeded", "written")


def test_the_reason_of_a_failure_is_in_the_log(backfill: Backfill, caplog: pytest.LogCaptureFixture) -> None:
    backfill.run("gone")
    (line,) = (vars(one) for one in caplog.records if one.message == "handled")
    assert (line["levelname"], line["code"]) == ("WARNING", "PermanentFailure")
    assert line["result"] == "NotBackfilled: there is no object"


def test_an_object_that_is_gone_leaves_a_tombstone_and_is_reported(backfill: Backfill) -> None:
    backfill.bucket.put("a")
    backfill.run("a")
    backfill.bucket.delete("a")
    [(code, text)] = backfill.run("a")
    row = backfill.table.read("a")
    assert (code, text) == ("PermanentFailure", "NotBackfilled: there is no object")
    assert row is not None
    assert row.object is None


def test_a_manifest_that_is_older_than_the_object_does_not_bring_the_old_version_back(
    backfill: Backfill,
) -> None:
    backfill.bucket.put("a")
    old = backfill.bucket.current("a")
    backfill.bucket.put("a")
    new = backfill.bucket.current("a")
    assert old is not None
    assert new is not None
    [(code, text)] = backfill.run("a", s3VersionId=old.version_id)
    assert code == "Succeeded"
    assert text == f"written; the manifest names another version than {new.version_id}, the current one"
    row = backfill.table.read("a")
    assert row is not None
    assert row.object == new


def test_a_live_event_between_look_and_write_wins(backfill: Backfill) -> None:
    backfill.bucket.put("a")
    events = iter([True])

    def live_event(step: str) -> None:
        """Overwrite the object, and handle its event, before the first write of the backfill."""
        if step.startswith("write") and next(events, False):
            event = backfill.bucket.put("a")
            Synchroniser(backfill.bucket, backfill.table).handle(event)

    backfill.table.before_step = live_event
    assert backfill.run("a") == [("Succeeded", "unchanged")]
    row = backfill.table.read("a")
    assert row is not None
    assert row.object == backfill.bucket.current("a")
    assert row.sequencer


def refused(code: str, **metadata: Any) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": metadata}, "UpdateItem")  # type: ignore[typeddict-item]


def raising(error: Exception) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise error

    return refuse


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (refused("ThrottlingException", MaxAttemptsReached=True), "TemporaryFailure"),
        (refused("SlowDown", RetryQuotaReached=True), "TemporaryFailure"),
        (EndpointConnectionError(endpoint_url="https://dynamodb"), "TemporaryFailure"),
        (refused("AccessDenied", RetryAttempts=0), "PermanentFailure"),
        (Unstorable("too large"), "PermanentFailure"),
        (TypeError("a fault of the code"), "PermanentFailure"),
    ],
)
def test_what_may_succeed_later_is_tried_again(
    backfill: Backfill, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    backfill.bucket.put("a")
    monkeypatch.setattr(backfill.table, "write_instead", raising(error))
    [(answered, text)] = backfill.run("a")
    assert answered == code
    assert text.startswith(type(error).__name__)


def test_a_row_that_others_keep_writing_is_tried_again(
    backfill: Backfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    backfill.bucket.put("a")
    monkeypatch.setattr(backfill.table, "write_instead", lambda *_, **__: False)
    [(code, text)] = backfill.run("a")
    assert code == "TemporaryFailure"
    assert f"{MAX_ROUNDS} attempts" in text


def test_tasks_for_which_no_time_is_left_are_tried_again(backfill: Backfill) -> None:
    for key in ("a", "b"):
        backfill.bucket.put(key)
    first, second = backfill.run("a", "b", milliseconds=5_000)
    assert first == ("Succeeded", "written")
    assert second[0] == "TemporaryFailure"
    assert backfill.table.read("b") is None


@pytest.mark.parametrize(
    "event", [{}, None, {**event_of("a"), "tasks": [{}]}, {"Records": []}, {"tasks": []}]
)
def test_other_events_are_refused(backfill: Backfill, event: object) -> None:
    with pytest.raises(InvalidEvent, match="S3 Batch Operations"):
        backfill.module.handler(event, Context())
