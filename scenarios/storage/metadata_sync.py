"""Changes hundreds of objects at the same time, compares each with its row, drops events and mends that."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

from scenarios.framework import DeployedStack, Outcome, Story, require
from scenarios.storage.metadata_bucket import COUNTS, SyncedBucket
from scenarios.storage.metadata_tables import Row
from scenarios.storage.metadata_traffic import in_parallel, put, send_traffic
from scenarios.storage.metadata_truth import FIELDS, differences
from scenarios.support.faults import Faults
from scenarios.support.redrive import redrive

# What the embedded AWS accepts and does not do, and why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {
    "AWS::Lambda::Function.VpcConfig": "functions run on this machine, no packet is routed: who may reach "
    "whom is in the security groups of the template, and tested there",
    "AWS::RDS::DBInstance.DeleteAutomatedBackups": "there are no backups that could outlive the database",
    "AWS::RDS::DBInstance.EnableCloudwatchLogsExports": "the server's log is not what this scenario reads",
    "AWS::Scheduler::Schedule.ScheduleExpressionTimezone": "every 5 minutes is the same in all time zones",
    "AWS::Scheduler::Schedule.Target.RetryPolicy": "the scenario ticks itself; a tick that fails is made up "
    "for by the next one, so there are no retries",
}

_OBJECTS = 150  # in each bucket
_NAMES = {"": "versioned bucket", "Relational": "bucket without versions"}


def run(stack: DeployedStack) -> Outcome:
    """Whatever happens to the objects of a bucket, and whatever becomes of the events, the table is true.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("The table says what is in the bucket", stack.tell)
    with ExitStack() as runs:
        for which in _deployed(stack):
            bucket = runs.enter_context(SyncedBucket(stack, which))
            _check_traffic(stack, bucket, story, _NAMES[which])
            _check_questions(bucket, story)
            if bucket.table is not None:
                _check_old_events(stack, bucket, story, is_versioned=not which)
                _check_poison(stack, bucket, story)
            counts = bucket.reconcile()
            _require_counts(counts, {})
            story.say(f"The reconciler compared {counts['checked']} keys: there was nothing to repair.")
    story.say("Deleted all of it: the tables said so, too.")
    return story.outcome()


def smoke(stack: DeployedStack, which: str = "") -> None:
    """The shortest way past everything that the function may do: for checks that repeat it often.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    with SyncedBucket(stack, which) as bucket:
        key = f"{bucket.prefix}object"
        put(stack.client("s3"), bucket.bucket, key, "a")
        row = bucket.wait_for_row(key)
        # What has no sequencer reads the row first.
        bucket.invoke({"Records": [bucket.record(key, row) | _tagged(bucket, key)]})
        bucket.invoke({"Records": [_poison(bucket, key, row)]})
        bucket.failures.wait_for(1)
        bucket.remove([key])


def smoke_of_reconciler(stack: DeployedStack, which: str = "") -> None:
    """The shortest way past everything that the reconciler may do.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    with SyncedBucket(stack, which) as bucket, _object_in_the_dark(stack, bucket):
        counts = bucket.reconcile()
        require(counts["repaired"] > 0 and not counts["failed"], f"the reconciler found {counts}")
        bucket.wait_until_true()


def smoke_of_schedule(stack: DeployedStack, which: str = "") -> None:
    """A schedule like the stack's own, which begins now, lets the reconciler repair something.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    scheduler = stack.client("scheduler")
    name = stack.output(f"{which}ScheduleName")
    schedule = scheduler.get_schedule(Name=name)
    settings = ("FlexibleTimeWindow", "ScheduleExpression", "Target")
    with SyncedBucket(stack, which) as bucket, _object_in_the_dark(stack, bucket):
        assert bucket.table is not None
        bucket.table.forget_reconciliations()
        copy = f"{name[:50]}-copy"
        scheduler.create_schedule(Name=copy, **{setting: schedule[setting] for setting in settings})
        try:
            bucket.wait_until_true()
        finally:
            scheduler.delete_schedule(Name=copy)


@contextmanager
def _object_in_the_dark(stack: DeployedStack, bucket: SyncedBucket) -> Iterator[None]:
    """An object that no event told of; none does while the body runs, either."""
    with bucket.silenced():
        put(stack.client("s3"), bucket.bucket, f"{bucket.prefix}object", "a")
        yield


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Events that never came are made up for by the reconciler; those that failed, by a redrive.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("What events missed is repaired", stack.tell)
    for which in _deployed(stack):
        with SyncedBucket(stack, which) as bucket:
            _drop_events(stack, bucket, story, _NAMES[which])
            _fill_anew(bucket, story)
            _restore_from_archive(stack, bucket, story)
            if which:
                _refuse_and_redrive(stack, bucket, story, faults)
            else:
                _fail_and_redrive(stack, bucket, story, faults)
    return story.outcome()


def _deployed(stack: DeployedStack) -> list[str]:
    """Which of the two buckets the stack has: PostgreSQL can be left out."""
    return [which for which in _NAMES if f"{which}BucketName" in stack.outputs]


# --- The parts of a run


def _check_traffic(stack: DeployedStack, bucket: SyncedBucket, story: Story, name: str) -> None:
    traffic = send_traffic(stack.client("s3"), bucket.bucket, bucket.prefix, _OBJECTS)
    story.say(
        f"{name.capitalize()}: wrote {traffic.written} objects, under keys of 1,024 bytes, with spaces, plus "
        f"and percent signs; then, all at the same time, overwrote {traffic.overwritten // 2} of them twice, "
        f"gave {traffic.tagged} other tags and deleted {traffic.deleted}."
    )
    began = time.monotonic()
    with story.timed(f"{name}: table = bucket"):
        objects = bucket.wait_until_true()
    if bucket.table is None:
        story.say("The database cannot be reached from here; the reconciler found nothing to repair.")
        return
    tombstones = len(bucket.rows()) - len(objects)
    story.say(
        f"{bucket.table.name} says what is in the bucket, {time.monotonic() - began:.1f} s after the last "
        f"change: {len(objects)} objects, {len(FIELDS)} fields of each compared with S3's own answers; "
        f"{tombstones} deleted ones have a tombstone."
    )


def _check_questions(bucket: SyncedBucket, story: Story) -> None:
    """The two questions that the table is for."""
    if bucket.table is None:
        return
    objects = bucket.objects()
    below = bucket.table.keys_below(f"{bucket.prefix}3/")
    expected = sorted((key for key in objects if key.startswith(f"{bucket.prefix}3/")), key=str.encode)
    require(below == expected, f"below 3/ the table has {len(below)} objects, the bucket {len(expected)}")
    times = sorted(one["last_modified"] for one in objects.values())
    since = times[len(times) // 2]

    def check() -> int:
        assert bucket.table is not None
        changed = bucket.table.keys_since(since, bucket.prefix)
        expected = {key for key, one in objects.items() if one["last_modified"] >= since}
        require(changed == expected, f"since {since}: {len(changed)} objects, in the bucket {len(expected)}")
        return len(changed)

    story.say(
        f"Asked the table: {len(below)} objects below {bucket.prefix}3/, {check()} changed since {since}."
    )


def _check_old_events(
    stack: DeployedStack, bucket: SyncedBucket, story: Story, *, is_versioned: bool
) -> None:
    """Everything that S3 told about one object once more: twice, in any order."""
    s3, key = stack.client("s3"), f"{bucket.prefix}told twice + late"
    records, row = [], None
    for content in ("first", "second", None, "third"):
        if content is None:
            s3.delete_object(Bucket=bucket.bucket, Key=key)
        else:
            put(s3, bucket.bucket, key, content)
        row = bucket.wait_for_row(key, newer_than=row)
        records.append(bucket.record(key, row))
    again = records * 2
    random.Random(0).shuffle(again)
    answers = [bucket.invoke({"Records": [record]}) for record in again]
    after = bucket.row(key)
    require(after == row, f"after old events the row is {after}, before it was {row}")
    require(all(answer == {"unchanged": 1} for answer in answers), f"the function said {answers}")
    story.say(f"Delivered the {len(records)} events of an object twice more, in disorder: nothing changed.")
    if is_versioned:
        _check_deleted_deletion(stack, bucket, story, key)


def _check_deleted_deletion(stack: DeployedStack, bucket: SyncedBucket, story: Story, key: str) -> None:
    """Deleting a delete marker is a deletion for S3, and brings an object back."""
    s3, before = stack.client("s3"), bucket.wait_for_row(key)
    marker = s3.delete_object(Bucket=bucket.bucket, Key=key)["VersionId"]
    row = bucket.wait_for_row(key, newer_than=before)
    require(row["deleted"], f"the object is deleted, and its row is {row}")
    s3.delete_object(Bucket=bucket.bucket, Key=key, VersionId=marker)
    row = bucket.wait_for_row(key, newer_than=row)
    require(not row["deleted"] and row["version_id"] == before["version_id"], f"the row is {row}")
    s3.delete_object(Bucket=bucket.bucket, Key=key, VersionId=before["version_id"])
    row = bucket.wait_for_row(key, newer_than=row)
    found = differences(bucket.objects(), bucket.rows())
    require(not found, f"after a version was deleted: {found}")
    require(row["deleted"], f"below the deleted version is an older delete marker: {row}")
    story.say(
        "Deleted an object, then its delete marker: its row is back. Deleted that version, too: below it is "
        "an older delete marker, and the row says deleted."
    )


def _check_poison(stack: DeployedStack, bucket: SyncedBucket, story: Story) -> None:
    """A record that nobody can read, between two that are well."""
    keys = [f"{bucket.prefix}before", f"{bucket.prefix}after"]
    for key in keys:
        put(stack.client("s3"), bucket.bucket, key, key)
    rows = [bucket.wait_for_row(key) for key in keys]
    before, after = (bucket.record(key, row, after="1") for key, row in zip(keys, rows, strict=True))
    answer = bucket.invoke({"Records": [before, _poison(bucket, keys[0], rows[0]), after]})
    require(answer == {"written": 2, "failed": 1}, f"the function said {answer}")
    [failed] = bucket.failures.wait_for(1)
    require(len(failed.event["Records"]) == 1, f"more than the poison in the queue: {failed.event}")
    require(
        failed.condition == "PermanentFailure" and failed.reason.startswith("InvalidRecord: "),
        f"{failed.condition}: {failed.reason}",
    )
    story.say(f"A poison record between two others: they were handled; it is in the queue: {failed.reason}.")


def _poison(bucket: SyncedBucket, key: str, row: Row) -> dict[str, object]:
    record = bucket.record(key, row)
    return {**record, "s3": {**record["s3"], "object": {"key": f"{bucket.prefix}%FF", "sequencer": "1"}}}


def _tagged(bucket: SyncedBucket, key: str) -> dict[str, object]:
    """What a record says of new tags."""
    about = {"bucket": {"name": bucket.bucket}, "object": {"key": key}}
    return {"eventName": "ObjectTagging:Put", "s3": about}


def _require_counts(counts: Mapping[str, int], expected: Mapping[str, int]) -> None:
    found = {name: counts[name] for name in COUNTS}
    wanted = dict.fromkeys(COUNTS, 0) | dict(expected)
    require(found == wanted, f"the reconciler was to find {wanted}, and found {found}")


# --- The parts of the drill


def _drop_events(stack: DeployedStack, bucket: SyncedBucket, story: Story, name: str) -> None:
    s3 = stack.client("s3")
    keys = [f"{bucket.prefix}object {number}" for number in range(60)]
    kept, deleted, new = keys[:25], keys[25:40], keys[40:]
    in_parallel([partial(put, s3, bucket.bucket, key, "before") for key in kept + deleted])
    bucket.wait_until_true()
    with bucket.silenced():
        in_parallel([partial(put, s3, bucket.bucket, key, "in the dark") for key in kept + new])
        bucket.remove(deleted)
        found = differences(bucket.objects(), bucket.rows())
        require(len(found) >= len(keys), f"the table knows although nobody told: {len(found)} differences")
        counts = bucket.reconcile()
        _require_counts(
            counts,
            {
                "missing": len(new),
                "outdated": len(kept),
                "superfluous": len(deleted),
                "repaired": len(keys),
            },
        )
    bucket.wait_until_true()
    story.say(
        f"{name.capitalize()}: its events were switched off while {len(new)} objects were written, "
        f"{len(kept)} overwritten and {len(deleted)} deleted. The reconciler found {counts['missing']} "
        f"missing, {counts['outdated']} outdated and {counts['superfluous']} superfluous rows and repaired "
        f"{counts['repaired']}: the table is true again."
    )
    _require_counts(bucket.reconcile(), {})
    story.say("It compared once more: nothing to repair.")


def _fill_anew(bucket: SyncedBucket, story: Story) -> None:
    """A bucket that has objects, a table that has never seen it."""
    assert bucket.table is not None
    objects = bucket.objects()
    bucket.table.forget(bucket.rows())
    bucket.table.forget_reconciliations()
    counts = bucket.reconcile(time="of the first tick")
    _require_counts(counts, {"missing": len(objects), "repaired": len(objects)})
    bucket.wait_until_true()
    idle = bucket.tick()
    require(idle["status"] == "idle", f"the next tick was to do nothing, and did {idle}")
    story.say(
        f"Emptied the table: the first tick of the schedule filled it with {counts['repaired']} rows; the "
        "next one had nothing to do."
    )


def _restore_from_archive(stack: DeployedStack, bucket: SyncedBucket, story: Story) -> None:
    s3, key = stack.client("s3"), f"{bucket.prefix}archived"
    put(s3, bucket.bucket, key, "old", StorageClass="GLACIER")
    bucket.wait_until_true()
    s3.restore_object(
        Bucket=bucket.bucket,
        Key=key,
        RestoreRequest={"Days": 2, "GlacierJobParameters": {"Tier": "Expedited"}},
    )
    stack.wait_until(bucket.restored(key), "the row of a restored object")
    bucket.wait_until_true()
    row = bucket.wait_for_row(key)
    story.say(f"Restored an object from {row['storage_class']}: its row says until {row['restored_until']}.")


def _fail_and_redrive(stack: DeployedStack, bucket: SyncedBucket, story: Story, faults: Faults) -> None:
    key = f"{bucket.prefix}no permission"
    with faults.without_permission(bucket.role, "dynamodb:UpdateItem"), story.timed("three attempts"):
        put(stack.client("s3"), bucket.bucket, key, "a")
        [failed] = bucket.failures.wait_for(1)
    require(
        failed.condition == "RetriesExhausted" and failed.attempts == 3,
        f"{failed.condition} after {failed.attempts} attempts, not RetriesExhausted after 3: {failed.reason}",
    )
    _redrive(stack, bucket)
    story.say(
        f"Took dynamodb:UpdateItem from the function: after {failed.attempts} attempts the event was in the "
        "failure queue. Gave it back, and a redrive wrote the row; the queue is empty."
    )


def _refuse_and_redrive(stack: DeployedStack, bucket: SyncedBucket, story: Story, faults: Faults) -> None:
    key = f"{bucket.prefix}not admitted"
    with faults.not_admitting(bucket.function, "events.amazonaws.com"):
        put(stack.client("s3"), bucket.bucket, key, "a")
        [failed] = bucket.failures.wait_for(1)
    require(failed.condition == "NotDelivered", f"{failed.condition}: {failed.reason}")
    _redrive(stack, bucket)
    story.say(
        f"Took EventBridge's permission to invoke the function: the event is in the failure queue, "
        f"{failed.reason.partition(':')[0]}. Gave it back, and a redrive wrote the row; the queue is empty."
    )


def _redrive(stack: DeployedStack, bucket: SyncedBucket) -> None:
    bucket.failures.release()
    report = redrive(stack.session, queue_url=bucket.queue_url, function_name=bucket.function, limit=1)
    require(report.resent == 1 and not report.left, f"the redrive was to resend 1 event: {report}")
    bucket.wait_until_true()
    require(not bucket.failures.poll(), "the failure queue is not empty after the redrive")
