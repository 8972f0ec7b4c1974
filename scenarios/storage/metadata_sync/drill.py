"""Drops events, empties the table, takes permissions away: the reconciler and a redrive make up for it."""

from __future__ import annotations

from functools import partial

from scenarios.framework import DeployedStack, Outcome, Story, require
from scenarios.storage.metadata_sync.bucket import SyncedBucket, deployed
from scenarios.storage.metadata_sync.objects import in_parallel
from scenarios.support.faults import Faults
from scenarios.support.redrive import redrive


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """The reconciler makes up for events that never arrived, a redrive for those that failed.

    Raises:
        ScenarioFailed: A check failed.
    """
    story = Story("What events missed is repaired", stack.tell)
    for which in deployed(stack):
        with SyncedBucket(stack, which) as bucket:
            _drop_events(bucket, story)
            _empty_the_table(bucket, story)
            _restore_from_archive(bucket, story)
            if bucket.kind == "versioned":
                _fail_and_redrive(stack, bucket, story, faults)
            else:
                _refuse_and_redrive(stack, bucket, story, faults)
    return story.outcome()


def _drop_events(bucket: SyncedBucket, story: Story) -> None:
    """Change objects while the bucket sends no events."""
    keys = [f"{bucket.prefix}object {number}" for number in range(60)]
    overwritten, deleted, new = keys[:25], keys[25:40], keys[40:]
    in_parallel([partial(bucket.put, key, "before") for key in overwritten + deleted])
    bucket.wait_until_true()
    with bucket.silenced():
        in_parallel([partial(bucket.put, key, "without event") for key in overwritten + new])
        bucket.remove(deleted)
        found = bucket.differences()
        require(len(found) >= len(keys), f"without events there are only {len(found)} differences")
        counts = bucket.reconcile()
    bucket.require_reconciled(
        counts, missing=len(new), outdated=len(overwritten), superfluous=len(deleted), repaired=len(keys)
    )
    bucket.wait_until_true()
    story.say(
        f"Switched the events of the {bucket.kind} bucket off; wrote {len(new)} objects, overwrote "
        f"{len(overwritten)} and deleted {len(deleted)}. The reconciler found {counts['missing']} missing, "
        f"{counts['outdated']} outdated and {counts['superfluous']} superfluous rows and repaired all."
    )
    for name in ("missing", "outdated", "superfluous", "repaired"):
        story.fact(f"{bucket.kind}_{name}", counts[name])
    bucket.require_reconciled(bucket.reconcile())
    story.say("It ran again and found nothing to repair.")


def _empty_the_table(bucket: SyncedBucket, story: Story) -> None:
    """Begin with a bucket that has objects and a table that has no rows, as when the stack is deployed."""
    objects = bucket.objects()
    bucket.table.forget(bucket.rows())
    bucket.table.forget_reconciliations()
    counts = bucket.reconcile(time="of the first tick")
    bucket.require_reconciled(counts, missing=len(objects), repaired=len(objects))
    bucket.wait_until_true()
    again = bucket.tick()
    require(again["status"] == "idle", f"the next invocation should do nothing, but did {again}")
    story.say(
        f"Emptied the table: the schedule's first invocation filled it with {counts['repaired']} rows, the "
        "next one had nothing to do."
    )
    story.fact(f"{bucket.kind}_filled", counts["repaired"])


def _restore_from_archive(bucket: SyncedBucket, story: Story) -> None:
    key = f"{bucket.prefix}archived"
    bucket.put(key, "old", StorageClass="GLACIER")
    bucket.wait_until_true()
    bucket.s3.restore_object(
        Bucket=bucket.name,
        Key=key,
        RestoreRequest={"Days": 2, "GlacierJobParameters": {"Tier": "Expedited"}},
    )
    row = bucket.wait_for_restored_copy(key)
    bucket.wait_until_true()
    story.say(f"Restored an object from {row['storage_class']}: in its row until {row['restored_until']}.")
    story.fact(f"{bucket.kind}_restored_from", str(row["storage_class"]))


def _fail_and_redrive(stack: DeployedStack, bucket: SyncedBucket, story: Story, faults: Faults) -> None:
    with faults.without_permission(bucket.role, "dynamodb:UpdateItem"), story.timed("three attempts"):
        bucket.put(f"{bucket.prefix}no permission", "a")
        [failed] = bucket.failures.wait_for(1)
    require(failed.condition == "RetriesExhausted", f"{failed.condition}: {failed.reason}")
    _redrive(stack, bucket)
    story.say(
        f"Took dynamodb:UpdateItem from the function: after {failed.attempts} attempts the event was in the "
        "failure queue. Restored the permission, and a redrive wrote the row."
    )
    story.fact("attempts", failed.attempts or 0)


def _refuse_and_redrive(stack: DeployedStack, bucket: SyncedBucket, story: Story, faults: Faults) -> None:
    with faults.not_admitting(bucket.function, "events.amazonaws.com"):
        bucket.put(f"{bucket.prefix}not admitted", "a")
        [failed] = bucket.failures.wait_for(1)
    require(failed.condition == "Undelivered", f"{failed.condition}: {failed.reason}")
    _redrive(stack, bucket)
    error = failed.reason.partition(":")[0]
    story.say(
        f"Took EventBridge's permission to invoke the function: the event was in the failure queue with "
        f"{error}. Restored the permission, and a redrive wrote the row."
    )
    story.fact("not_delivered", error)


def _redrive(stack: DeployedStack, bucket: SyncedBucket) -> None:
    bucket.failures.release()
    report = redrive(stack.session, queue_url=bucket.queue_url, function_name=bucket.function, limit=1)
    require(report.resent == 1 and not report.left, f"the redrive should resend 1 event: {report}")
    bucket.wait_until_true()
    require(not bucket.failures.poll(), "the failure queue is not empty after the redrive")
