"""Makes hundreds of changes at once, compares each object with its row; drops events, checks the repair."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

from scenarios.framework import BilledEvent, Covered, DeployedStack, Outcome, ScenarioFailed, Story, require
from scenarios.storage.metadata_sync.bucket import RUNS, SyncedBucket, deployed
from scenarios.storage.metadata_sync.drill import drill
from scenarios.storage.metadata_sync.objects import FIELDS, send_traffic
from scenarios.support.migration import migrate

__all__ = [
    "ACCEPTED_NOT_EMULATED",
    "EVENT",
    "ROLES",
    "drill",
    "leftovers",
    "run",
    "smoke",
    "smoke_of_reconciler",
    "smoke_of_schedule",
]

# What the embedded AWS accepts but does not emulate, and why the scenario is still a proof.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {
    "AWS::Lambda::Function.VpcConfig": "functions run on this machine and no packet is filtered; the tests "
    "of the template check the security groups",
    "AWS::RDS::DBInstance.DeleteAutomatedBackups": "there are no backups that could outlive the database",
    "AWS::RDS::DBInstance.EnableCloudwatchLogsExports": "the scenario does not read the server's log",
}

_OBJECTS = 60  # in each bucket
_OF_POSTGRES = "Relational"


def run(stack: DeployedStack) -> Outcome:
    """The rows agree with the objects after hundreds of changes, old events and events that cannot be read.

    Raises:
        ScenarioFailed: A check failed.
    """
    story = Story("The table agrees with the bucket", stack.tell)
    with ExitStack() as runs:
        for which in deployed(stack):
            bucket = runs.enter_context(SyncedBucket(stack, which))
            _check_traffic(bucket, story)
            if bucket.is_readable:
                _check_questions(bucket, story)
                _check_old_events(bucket, story)
                if bucket.kind == "versioned":
                    _check_deleted_delete_marker(bucket, story)
                _check_poison(bucket, story)
            counts = bucket.reconcile()
            bucket.require_reconciled(counts)
            story.say(f"The reconciler compared {counts['checked']} keys and found nothing to repair.")
            story.fact(f"{bucket.kind}_repaired", counts["repaired"])
    story.say("Deleted all objects, and all rows became tombstones.")
    return story.outcome()


def smoke(stack: DeployedStack, which: str = "") -> None:
    """Use each permission of the function that S3 invokes once.

    Raises:
        ScenarioFailed: A check failed.
    """
    with SyncedBucket(stack, which) as bucket:
        key = f"{bucket.prefix}object"
        bucket.put(key, "a")
        row = bucket.wait_for_row(key)
        # Only an event without a sequencer reads the row first.
        tagged = {"bucket": {"name": bucket.name}, "object": {"key": key}}
        bucket.invoke(bucket.record(key, row) | {"eventName": "ObjectTagging:Put", "s3": tagged})
        bucket.invoke(bucket.poison(key, row))
        bucket.failures.wait_for(1)
        bucket.remove([key])


def smoke_of_reconciler(stack: DeployedStack, which: str = "") -> None:
    """Use each permission of the reconciler once.

    Raises:
        ScenarioFailed: A check failed.
    """
    with SyncedBucket(stack, which) as bucket, _object_without_event(bucket):
        counts = bucket.reconcile()
        # A run that the schedule began may have repaired it a moment before; the table shows that.
        repaired = counts["repaired"] > 0 or bucket.is_readable
        require(repaired and not counts["failed"], f"the reconciler found {counts}")
        bucket.wait_until_true()


def smoke_of_schedule(stack: DeployedStack, which: str = "") -> None:
    """Make a copy of the stack's schedule, which invokes the reconciler at once; it repairs something.

    Raises:
        ScenarioFailed: A check failed.
    """
    scheduler = stack.client("scheduler")
    name = stack.output(f"{which}ScheduleName")
    schedule = scheduler.get_schedule(Name=name)
    settings = ("FlexibleTimeWindow", "ScheduleExpression", "Target")
    with SyncedBucket(stack, which) as bucket, _object_without_event(bucket):
        bucket.table.forget_reconciliations()
        copy = f"{name[:50]}-copy"
        scheduler.create_schedule(Name=copy, **{setting: schedule[setting] for setting in settings})
        try:
            bucket.wait_until_true()
        except ScenarioFailed as failed:
            raise ScenarioFailed(
                f"{failed}. The schedule has no effect: Scheduler logs nothing if its role is not allowed to "
                "lambda:InvokeFunction"
            ) from failed
        finally:
            scheduler.delete_schedule(Name=copy)


def smoke_of_proxy(stack: DeployedStack) -> None:
    """Let the proxy log in as the owner with the secret, and as the functions' user with IAM.

    Raises:
        ScenarioFailed: A check failed.
    """
    migrate(stack, _OF_POSTGRES)
    smoke(stack, _OF_POSTGRES)


@contextmanager
def _object_without_event(bucket: SyncedBucket) -> Iterator[None]:
    """Write an object without an event; the bucket sends none while the body runs."""
    with bucket.silenced():
        bucket.put(f"{bucket.prefix}object", "a")
        yield


# The reconciler's failure queue is for failed invocations by the schedule; a separate test covers it.
_RECONCILER = partial(Covered, only_for_failures=frozenset({"sqs:SendMessage"}))


# With PostgreSQL new execution environments, because an open connection outlives the permission to connect.
# Each grant of them takes a cold start, and a schedule is waited for.
def one_object(stack: DeployedStack) -> None:
    """Write an object; it stays, because its deletion would be another event."""
    bucket = SyncedBucket(stack, "")
    bucket.put(f"{bucket.prefix}object", "a")
    bucket.wait_for_row(f"{bucket.prefix}object")


EVENT = BilledEvent("an object is written; the table is DynamoDB", one_object, without="Reconcil")

ROLES = (
    Covered("FunctionName", smoke),
    _RECONCILER("ReconcilerName", smoke_of_reconciler),
    Covered("ScheduleName", smoke_of_schedule, function="ReconcilerName", patience=4, takes_long=True),
    Covered(
        "RelationalFunctionName", partial(smoke, which=_OF_POSTGRES), new_instances=True, takes_long=True
    ),
    _RECONCILER(
        "RelationalReconcilerName",
        partial(smoke_of_reconciler, which=_OF_POSTGRES),
        new_instances=True,
        takes_long=True,
    ),
    Covered(
        "RelationalScheduleName",
        partial(smoke_of_schedule, which=_OF_POSTGRES),
        function="RelationalReconcilerName",
        patience=4,
        takes_long=True,
    ),
    Covered("RelationalMigrationName", partial(migrate, which=_OF_POSTGRES)),
    Covered(
        "RelationalProxyName",
        smoke_of_proxy,
        function="RelationalFunctionName",
        new_instances=True,
        takes_long=True,
    ),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what a run or a drill left behind in buckets, tables and failure queues."""
    found = []
    for which in deployed(stack):
        bucket = SyncedBucket(stack, which)
        found += [f"object in the {bucket.kind} bucket: {one}" for one in bucket.versions(RUNS)]
        if bucket.is_readable:
            found += [f"row of the {bucket.kind} bucket: {key}" for key in bucket.table.rows(RUNS)]
        answer = stack.client("sqs").receive_message(QueueUrl=bucket.queue_url, VisibilityTimeout=0)
        found += [f"message about the {bucket.kind} bucket: {one}" for one in answer.get("Messages", [])]
    return found


# --- The parts of a run


def _check_traffic(bucket: SyncedBucket, story: Story) -> None:
    """Change many objects at once, and compare each with its row."""
    traffic = send_traffic(bucket.s3, bucket.name, bucket.prefix, _OBJECTS)
    story.say(
        f"Wrote {traffic.written} objects into the {bucket.kind} bucket, under keys of 1,024 bytes, with "
        "spaces, plus and percent signs; then, all at the same time, overwrote "
        f"{traffic.overwritten // 2} of them twice, tagged {traffic.tagged} and deleted {traffic.deleted}."
    )
    began = time.monotonic()
    with story.timed(f"{bucket.kind} bucket: rows agree"):
        objects = bucket.wait_until_true()
    story.fact(f"{bucket.kind}_objects", len(objects))
    if not bucket.is_readable:
        story.say("The database cannot be reached from here; the reconciler found nothing to repair.")
        return
    tombstones = len(bucket.rows()) - len(objects)
    story.say(
        f"{bucket.table.name} agreed {time.monotonic() - began:.1f} s after the last change: {len(objects)} "
        f"rows, {len(FIELDS)} fields of each the same as in S3's own answers, and {tombstones} tombstones."
    )
    story.fact(f"{bucket.kind}_tombstones", tombstones)


def _check_questions(bucket: SyncedBucket, story: Story) -> None:
    """Ask the two questions that the table is for."""
    objects, prefix = bucket.objects(), f"{bucket.prefix}3/"
    below = bucket.table.keys_below(prefix)
    expected = sorted((key for key in objects if key.startswith(prefix)), key=str.encode)
    require(below == expected, f"below 3/ the table has {len(below)} objects, the bucket {len(expected)}")
    times = sorted(one["last_modified"] for one in objects.values())
    since = times[len(times) // 2]
    changed = bucket.table.keys_since(since, bucket.prefix)
    recent = {key for key, one in objects.items() if one["last_modified"] >= since}
    require(changed == recent, f"since {since}: {len(changed)} objects, in the bucket {len(recent)}")
    story.say(f"Asked the table: {len(below)} objects below {prefix}, {len(changed)} changed since {since}.")


def _check_old_events(bucket: SyncedBucket, story: Story) -> None:
    """Deliver all events of one object again: each twice, in any order."""
    key = f"{bucket.prefix}twice + late"
    records, row = [], None
    for content in ("first", "second", None, "third"):
        if content is None:
            bucket.remove([key])
        else:
            bucket.put(key, content)
        row = bucket.wait_for_row(key, newer_than=row)
        records.append(bucket.record(key, row))
    again = records * 2
    random.Random(0).shuffle(again)
    answers = [bucket.invoke(record) for record in again]
    after = bucket.row(key)
    require(after == row, f"after old events the row is {after}, before it was {row}")
    require(all(answer == {"unchanged": 1} for answer in answers), f"the function answered {answers}")
    story.say(f"Delivered the {len(records)} events of an object twice more, out of order: nothing changed.")
    story.fact(f"{bucket.kind}_old_events", len(answers))


def _check_deleted_delete_marker(bucket: SyncedBucket, story: Story) -> None:
    """Delete a delete marker, which brings an object back, and then the version below it."""
    s3, key = bucket.s3, f"{bucket.prefix}twice + late"
    before = bucket.wait_for_row(key)
    marker = s3.delete_object(Bucket=bucket.name, Key=key)["VersionId"]
    row = bucket.wait_for_row(key, newer_than=before)
    require(row["deleted"], f"the object is deleted, but its row is {row}")
    s3.delete_object(Bucket=bucket.name, Key=key, VersionId=marker)
    row = bucket.wait_for_row(key, newer_than=row)
    require(not row["deleted"] and row["version_id"] == before["version_id"], f"the row is {row}")
    s3.delete_object(Bucket=bucket.name, Key=key, VersionId=before["version_id"])
    row = bucket.wait_for_row(key, newer_than=row)
    found = bucket.differences()
    require(not found, f"after a version was deleted: {found}")
    require(row["deleted"], f"below the deleted version is an older delete marker: {row}")
    story.say(
        "Deleted an object, then its delete marker: its row is back. Deleted that version as well: below it "
        "is an older delete marker, and the row is a tombstone."
    )


def _check_poison(bucket: SyncedBucket, story: Story) -> None:
    """Deliver a record that cannot be read between two good ones."""
    keys = [f"{bucket.prefix}before", f"{bucket.prefix}after"]
    for key in keys:
        bucket.put(key, key)
    rows = [bucket.wait_for_row(key) for key in keys]
    before, after = (bucket.record(key, row, after="1") for key, row in zip(keys, rows, strict=True))
    answer = bucket.invoke(before, bucket.poison(keys[0], rows[0]), after)
    require(answer == {"written": 2, "failed": 1}, f"the function answered {answer}")
    [failed] = bucket.failures.wait_for(1)
    require(len(failed.event["Records"]) == 1, f"more than the poison record in the queue: {failed.event}")
    require(failed.condition == "PermanentFailure", f"{failed.condition}: {failed.reason}")
    story.say(
        f"A poison record between two good ones: these were handled, it is in the queue: {failed.reason}."
    )
    story.fact(f"{bucket.kind}_poison", failed.reason.partition(":")[0])
