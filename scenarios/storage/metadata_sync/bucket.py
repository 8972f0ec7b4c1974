"""One of the stack's buckets with its table, for one run: change, compare, reconcile, tidy up."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import quote_plus

from scenarios.framework import DeployedStack, NotYet, ScenarioFailed, require
from scenarios.storage.metadata_sync.objects import Described, differences, in_parallel, objects_in, put
from scenarios.storage.metadata_sync.tables import DynamoTable, PostgresTable, Row, Table
from scenarios.support.failure_queue import FailureQueue
from scenarios.support.redrive import FailedEvent

#: The kind of each bucket, by what the names of its outputs start with.
KINDS = {"": "versioned", "Relational": "unversioned"}
RUNS = "run-"  # what the keys of all runs start with

COUNTS = ("missing", "outdated", "superfluous", "repaired", "failed")


def deployed(stack: DeployedStack) -> list[str]:
    """Return which of the two buckets the stack has: the one with PostgreSQL can be left out."""
    return [which for which in KINDS if f"{which}BucketName" in stack.outputs]


class SyncedBucket:
    """One of the stack's buckets, for one run: its keys share a prefix, and are deleted at the end.

    Args:
        stack: The deployed stack.
        which: What the names of its outputs start with.

    Attributes:
        name: The name of the bucket.
        kind: ``"versioned"`` or ``"unversioned"``.
        prefix: What the keys of this run start with.
        function: The name of the function that S3 invokes.
        role: The name of its role.
        reconciler: The name of the reconciler's function.
        failures: The failure queue, reduced to this run.
    """

    def __init__(self, stack: DeployedStack, which: str = "") -> None:
        self._stack = stack
        self._lambda = stack.client("lambda")
        self.s3 = stack.client("s3")
        self.kind = KINDS[which]
        self.name = stack.output(f"{which}BucketName")
        self.function = stack.output(f"{which}FunctionName")
        self.queue_url = stack.output(f"{which}FailureQueueUrl")
        self.reconciler = stack.output(f"{which}ReconcilerName")
        self.prefix = f"{RUNS}{uuid.uuid4().hex[:10]}/"
        self.failures = FailureQueue(stack, self.queue_url, self._is_of_this_run)
        configuration = self._lambda.get_function_configuration(FunctionName=self.function)
        self.role = configuration["Role"].rpartition("/")[2]
        self._table = self._find_table(configuration["Environment"]["Variables"])

    def __enter__(self) -> SyncedBucket:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._tidy_up(succeeded=kind is None)

    def _find_table(self, variables: Mapping[str, str]) -> Table | None:
        if variables["TARGET"] == "dynamodb":
            return DynamoTable(self._stack, self.name, variables["TABLE_NAME"])
        table = PostgresTable(
            self._stack, self.name, variables["DB_HOST"], variables["DB_USER"], variables["DB_NAME"]
        )
        return table if table.is_reachable() else None

    # --- Bucket and table

    @property
    def is_readable(self) -> bool:
        """Whether this process can read the table: in AWS, the proxy admits only the functions."""
        return self._table is not None

    @property
    def table(self) -> Table:
        """The table.

        Raises:
            ScenarioFailed: This process cannot read it.
        """
        if self._table is None:
            raise ScenarioFailed(f"the table of {self.name} cannot be read from here")
        return self._table

    def put(self, key: str, content: object, **more: Any) -> None:
        """Write an object."""
        put(self.s3, self.name, key, content, **more)

    def objects(self) -> dict[str, Described]:
        """Return the objects of this run."""
        return objects_in(self._stack, self.name, self.prefix)

    def rows(self) -> dict[str, Row]:
        """Return the rows of this run."""
        return self.table.rows(self.prefix)

    def row(self, key: str) -> Row | None:
        """Return the row of one key."""
        return self.table.rows(key).get(key)

    def differences(self) -> list[str]:
        """Return how the rows differ from the objects."""
        return differences(self.objects(), self.rows())

    def wait_until_true(self) -> Mapping[str, Described]:
        """Wait until the rows agree with the objects, and return these."""
        objects = self.objects()

        def check() -> None:
            found = differences(objects, self.rows())
            if found:
                self._check_that_nothing_failed()
                raise NotYet(f"{len(found)} differences: {'; '.join(found[:3])}")

        def check_by_reconciler() -> None:
            counts = self.reconcile()
            if any(counts[name] for name in COUNTS):
                raise NotYet(f"the reconciler found {counts}")

        check = check if self.is_readable else check_by_reconciler
        self._stack.wait_until(check, f"the rows agree with the objects in {self.name}")
        return objects

    def wait_for_row(self, key: str, *, newer_than: Row | None = None) -> Row:
        """Wait for the row that the next event writes, and return it."""
        before = newer_than["sequencer"] if newer_than else ""

        def check() -> Row:
            row = self.row(key)
            if row is None or str(row["sequencer"]) <= before:
                self._check_that_nothing_failed()
                raise NotYet("no row" if row is None else f"the row of {row['event_name']}")
            return row

        return self._stack.wait_until(check, f"row of {key}")

    def wait_for_restored_copy(self, key: str) -> Row:
        """Wait until the row says when the restored copy expires, and return it."""

        def check() -> Row:
            row = self.row(key)
            if row is None or not row.get("restored_until"):
                raise NotYet(f"the row is {row}")
            return row

        return self._stack.wait_until(check, f"the row of the restored {key}")

    def _check_that_nothing_failed(self) -> None:
        failed = self.failures.poll()
        require(not failed, f"failed: {'; '.join(one.reason for one in failed)}")

    # --- The functions

    def invoke(self, *records: Mapping[str, Any]) -> Any:
        """Invoke the function with a notification; return its answer, which must be a success."""
        return self._invoke(self.function, {"Records": records})

    def tick(self) -> Any:
        """Invoke the reconciler once, as the schedule does."""
        return self._invoke(self.reconciler, {})

    def reconcile(self, **payload: str) -> dict[str, int]:
        """Run the reconciler to its end, in as many invocations as it takes, and return its counts.

        Args:
            payload: For the first invocation. Default: begin at once.
        """

        def begin() -> dict[str, Any]:
            answer: dict[str, Any] = self._invoke(self.reconciler, payload or {"start": "now"})
            if answer["status"] == "busy":
                raise NotYet("another invocation is working")
            return answer

        answer = self._stack.wait_until(begin, "the reconciler begins")
        while not answer["finished"]:
            answer = self.tick()
        counts: dict[str, int] = answer["run"]["counts"]
        return counts

    def require_reconciled(self, counts: Mapping[str, int], **expected: int) -> None:
        """Require these counts of the reconciler, and 0 for the others."""
        found, wanted = {name: counts[name] for name in COUNTS}, dict.fromkeys(COUNTS, 0) | expected
        require(found == wanted, f"the reconciler should find {wanted}, but found {found}")

    def _invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        answer = self._lambda.invoke(FunctionName=function, Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise ScenarioFailed(f"the function {function} failed: {payload}")
        return payload

    def record(self, key: str, row: Row, *, after: str = "") -> dict[str, Any]:
        """Return the record that S3 sent for a row's event, or one for a change just after it.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html

        Args:
            key: The key of the object.
            row: Its row, as the event left it.
            after: Is appended to the sequencer.
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
            "s3": {"bucket": {"name": self.name}, "object": described},
        }

    def poison(self, key: str, row: Row) -> dict[str, Any]:
        """Return a record whose key is not valid UTF-8."""
        described = {"key": f"{self.prefix}%FF", "sequencer": "1"}
        return self.record(key, row) | {"s3": {"bucket": {"name": self.name}, "object": described}}

    # --- Faults

    @contextmanager
    def silenced(self) -> Iterator[None]:
        """Switch the bucket's events off while the body runs, both notifications and EventBridge.

        Changes at the very end of the body may still cause events, because S3 sends them a moment later.
        """
        configuration = self.s3.get_bucket_notification_configuration(Bucket=self.name)
        configuration.pop("ResponseMetadata")
        self._configure_events({})
        try:
            yield
        finally:
            self._configure_events(configuration)

    def _configure_events(self, configuration: Mapping[str, Any]) -> None:
        self.s3.put_bucket_notification_configuration(
            Bucket=self.name, NotificationConfiguration=configuration, SkipDestinationValidation=True
        )

    # --- Afterwards

    def remove(self, keys: Sequence[str]) -> None:
        """Delete objects as a user does."""
        # One by one: the XML of DeleteObjects cannot contain a key with a control character.
        in_parallel([partial(self.s3.delete_object, Bucket=self.name, Key=key) for key in keys])

    def versions(self, prefix: str) -> list[dict[str, str]]:
        """Return every version and delete marker below a prefix."""
        return [
            {"Key": one["Key"], "VersionId": one["VersionId"]}
            for page in self.s3.get_paginator("list_object_versions").paginate(
                Bucket=self.name, Prefix=prefix
            )
            for kind in ("Versions", "DeleteMarkers")
            for one in page.get(kind, [])
        ]

    def _tidy_up(self, *, succeeded: bool) -> None:
        """Delete every object, version, row and message of this run."""
        self.remove([one["Key"] for one in self.versions(self.prefix) if one["VersionId"] == "null"])
        left = [one for one in self.versions(self.prefix) if one["VersionId"] != "null"]
        in_parallel([partial(self.s3.delete_object, Bucket=self.name, **one) for one in left])
        if self.is_readable:
            if succeeded:  # an event that arrives later would leave a row behind
                self._stack.wait_until(self._check_that_all_is_deleted, "all rows are tombstones")
            self.table.forget(self.rows())
        self.failures.close()

    def _check_that_all_is_deleted(self) -> None:
        if found := differences({}, self.rows()):
            raise NotYet("; ".join(found[:3]))

    def _is_of_this_run(self, failed: FailedEvent) -> bool:
        return self.prefix in json.dumps(failed.event)
