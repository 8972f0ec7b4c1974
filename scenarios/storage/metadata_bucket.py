"""A bucket with its table as the scenario handles it: change, compare, reconcile, tidy up."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any
from urllib.parse import quote_plus

from scenarios.framework import DeployedStack, NotYet, ScenarioFailed, require
from scenarios.storage.metadata_tables import DynamoTable, PostgresTable, Row, Table
from scenarios.storage.metadata_truth import Described, differences, objects_in
from scenarios.support.failure_queue import FailureQueue
from scenarios.support.redrive import FailedEvent

COUNTS = ("missing", "outdated", "superfluous", "repaired", "failed")


class SyncedBucket:
    """One of the stack's buckets, for one run: its keys have a prefix of their own, and all of it goes.

    Args:
        stack: The deployed stack.
        which: What the names of its outputs start with.

    Attributes:
        bucket: Name of the bucket.
        prefix: What the keys of this run start with.
        function: Name of the function that S3 invokes.
        reconciler: Name of the function that compares.
        table: The table; None where it cannot be read from here.
        failures: The failure queue, seen from this run.
    """

    def __init__(self, stack: DeployedStack, which: str = "") -> None:
        self._stack = stack
        self._s3 = stack.client("s3")
        self._lambda = stack.client("lambda")
        self.bucket = stack.output(f"{which}BucketName")
        self.function = stack.output(f"{which}FunctionName")
        self.queue_url = stack.output(f"{which}FailureQueueUrl")
        self.reconciler = stack.output(f"{which}ReconcilerName")
        self.prefix = f"run-{uuid.uuid4().hex[:10]}/"
        self.failures = FailureQueue(stack, self.queue_url, self._is_ours)
        self.table = self._find_table()

    def __enter__(self) -> SyncedBucket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tidy_up(was_well=kind is None)

    def _find_table(self) -> Table | None:
        configuration = self._lambda.get_function_configuration(FunctionName=self.function)
        self.role = configuration["Role"].rpartition("/")[2]
        variables = configuration["Environment"]["Variables"]
        if variables["TARGET"] == "dynamodb":
            return DynamoTable(self._stack, self.bucket, variables["TABLE_NAME"])
        table = PostgresTable(
            self._stack, self.bucket, variables["DB_HOST"], variables["DB_USER"], variables["DB_NAME"]
        )
        return table if table.is_reachable() else None

    # --- Bucket and table

    def objects(self) -> dict[str, Described]:
        """What is in the bucket, of this run."""
        return objects_in(self._stack, self.bucket, self.prefix)

    def rows(self) -> dict[str, Row]:
        """What is in the table, of this run."""
        return self._rows(self.prefix)

    def row(self, key: str) -> Row | None:
        """What the table says of one key."""
        return self._rows(key).get(key)

    def _rows(self, prefix: str) -> dict[str, Row]:
        if self.table is None:
            raise ScenarioFailed("the table cannot be read from here")
        return self.table.rows(prefix)

    def wait_until_true(self) -> Mapping[str, Described]:
        """Wait until the table says what is in the bucket, and return that."""
        objects = self.objects()

        def check() -> None:
            found = differences(objects, self.rows())
            if found:
                self._check_that_nothing_failed()
                raise NotYet(f"{len(found)} differences: {'; '.join(found[:3])}")

        if self.table is None:
            self._stack.wait_until(self._check_by_reconciler, f"the reconciler of {self.bucket} is content")
        else:
            self._stack.wait_until(check, f"the table says what is in {self.bucket}")
        return objects

    def _check_by_reconciler(self) -> None:
        counts = self.reconcile()
        if any(counts[name] for name in COUNTS):
            raise NotYet(f"the reconciler found {counts}")

    def wait_for_row(self, key: str, *, newer_than: Row | None = None) -> Row:
        """Wait for the row that the next event writes."""
        before = newer_than["sequencer"] if newer_than else ""

        def check() -> Row:
            row = self.row(key)
            if row is None or str(row["sequencer"]) <= before:
                self._check_that_nothing_failed()
                raise NotYet("no row" if row is None else f"the row of {row['event_name']}")
            return row

        return self._stack.wait_until(check, f"row of {key}")

    def _check_that_nothing_failed(self) -> None:
        failed = self.failures.poll()
        require(not failed, f"failed: {'; '.join(one.reason for one in failed)}")

    def restored(self, key: str) -> Callable[[], None]:
        """A check that waits until a row says how long its restored copy stays."""

        def check() -> None:
            row = self.row(key) or {}
            if not row.get("restored_until"):
                raise NotYet(f"restore: {row.get('restore')}")

        return check

    # --- The functions

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """Hand the function an event, wait for its answer, which must be a success, and return it."""
        return self._invoke(self.function, event)

    def reconcile(self, **payload: str) -> dict[str, int]:
        """Let the reconciler compare all of it, in as many invocations as it takes, and return its counts.

        Args:
            payload: For the first invocation. Default: begin now. Nothing else is what the schedule sends.
        """
        first: Mapping[str, str] = payload or {"start": "now"}

        def begin() -> dict[str, Any]:
            answer: dict[str, Any] = self._invoke(self.reconciler, first)
            if answer["status"] == "busy":
                raise NotYet("it is still at the run before")
            return answer

        answer = self._stack.wait_until(begin, "a run of the reconciler begins")
        while not answer["finished"]:
            answer = self._invoke(self.reconciler, {})
        counts: dict[str, int] = answer["run"]["counts"]
        return counts

    def tick(self) -> Any:
        """Invoke the reconciler as the schedule does."""
        return self._invoke(self.reconciler, {})

    def _invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        answer = self._lambda.invoke(FunctionName=function, Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise ScenarioFailed(f"the function {function} failed: {payload}")
        return payload

    def record(self, key: str, row: Row, *, after: str = "") -> dict[str, Any]:
        """The record that S3 sent about a row's event, or one about a change just after it.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html

        Args:
            key: Of the object.
            row: Its row, as that event left it.
            after: What is added to the sequencer.
        """
        described = {"key": quote_plus(key, safe="/"), "sequencer": f"{row['sequencer']}{after}"}
        if row.get("version_id"):
            described["versionId"] = row["version_id"]
        return {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": self._stack.session.region_name,
            "eventTime": str(row["event_time"]),
            "eventName": str(row["event_name"]),
            "s3": {"bucket": {"name": self.bucket}, "object": described},
        }

    # --- Faults

    @contextmanager
    def silenced(self) -> Iterator[None]:
        """Let the bucket tell nobody what happens while the body runs: neither functions nor EventBridge.

        What happens at its very end may still be told: S3 looks a moment later who is to be told.
        """
        configuration = self._s3.get_bucket_notification_configuration(Bucket=self.bucket)
        configuration.pop("ResponseMetadata")
        self._notify({})
        try:
            yield
        finally:
            self._notify(configuration)

    def _notify(self, configuration: Mapping[str, Any]) -> None:
        self._s3.put_bucket_notification_configuration(
            Bucket=self.bucket, NotificationConfiguration=configuration, SkipDestinationValidation=True
        )

    # --- Afterwards

    def remove(self, keys: Sequence[str]) -> None:
        """Delete objects as a user does."""
        for start in range(0, len(keys), 1000):
            objects = [{"Key": key} for key in keys[start : start + 1000]]
            answer = self._s3.delete_objects(Bucket=self.bucket, Delete={"Objects": objects})
            require(not answer.get("Errors"), f"S3 did not delete: {answer.get('Errors')}")

    def versions(self) -> list[dict[str, str]]:
        """Every version and delete marker of this run."""
        return [
            {"Key": one["Key"], "VersionId": one["VersionId"]}
            for page in self._s3.get_paginator("list_object_versions").paginate(
                Bucket=self.bucket, Prefix=self.prefix
            )
            for kind in ("Versions", "DeleteMarkers")
            for one in page.get(kind, [])
        ]

    def _tidy_up(self, *, was_well: bool) -> None:
        """Delete every object, version, row and message of this run, whatever became of it."""
        self.remove([one["Key"] for one in self.versions() if one["VersionId"] == "null"])
        left = [one for one in self.versions() if one["VersionId"] != "null"]
        for start in range(0, len(left), 1000):
            self._s3.delete_objects(
                Bucket=self.bucket, Delete={"Objects": left[start : start + 1000], "Quiet": True}
            )
        if self.table is not None:
            if was_well:  # an event that comes later would leave a row behind
                self._stack.wait_until(self._check_that_all_is_deleted, "the table knows that all is deleted")
            self.table.forget(self.rows())
        self.failures.close()

    def _check_that_all_is_deleted(self) -> None:
        if found := differences({}, self.rows()):
            raise NotYet("; ".join(found[:3]))

    def _is_ours(self, failed: FailedEvent) -> bool:
        return self.prefix in json.dumps(failed.event)
