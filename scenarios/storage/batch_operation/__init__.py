"""Backfills the rows of objects that were there before with S3 Batch Operations, and reads the report back.

The rule for live events is disabled while the objects are uploaded, so no event is sent about them: for the
architecture they were there before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.storage import metadata_sync
from scenarios.storage.batch_operation.jobs import Backfill
from scenarios.support import leftovers as left
from scenarios.support.faults import Faults

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

OBJECTS = 40
NAMES = ("a b.jpg", "ü€😀.jpg", "a+b.jpg", "100%.jpg", "%41.jpg", "a=b&c,d;e.jpg", 'it\'s "quoted".jpg')
_OF_THE_ROWS = ("FunctionName", "ReconcilerName", "ScheduleName")


def run(stack: DeployedStack) -> Outcome:
    """Backfill objects from a manifest, with a live event meanwhile, and some from a generated manifest.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Rows for objects that were there before", stack.tell)
    with closing(Backfill(stack)) as backfill:
        names = [*NAMES, *(f"photos/{number}.jpg" for number in range(OBJECTS - len(NAMES)))]
        versions = backfill.upload(names)
        story.say(
            f"Uploaded {len(versions)} objects without events; {len(backfill.rows())} of them have rows."
        )
        changed, gone = f"{backfill.run_id}/a b.jpg", f"{backfill.run_id}/gone.jpg"
        listed = {**versions, gone: next(iter(versions.values()))}
        job = backfill.start(backfill.manifest(listed, listed, pinned=True), confirm=True)
        backfill.wait(job, "Suspended")
        _overwrite(stack, backfill, changed)
        story.say("While the job waited for its confirmation, a live event wrote the row of a newer version.")
        with story.timed("backfilled"):
            backfill.confirm(job)
            progress = backfill.wait(job)["ProgressSummary"]
        report = backfill.report(job)
        story.fact("tasks", progress["TotalNumberOfTasks"])
        story.fact("succeeded", progress["NumberOfTasksSucceeded"])
        story.fact("failed", progress["NumberOfTasksFailed"])
        require(set(report) == set(listed), f"keys of report and manifest: {set(report) ^ set(listed)}")
        failed = {key: line for key, line in report.items() if line.task_status != "succeeded"}
        require(set(failed) == {gone}, f"these failed: {failed}")
        require(failed[gone].error_code == "PermanentFailure", f"the report says: {failed[gone]}")
        require("names another version" in report[changed].message, f"the report says: {report[changed]}")
        story.fact("rows", backfill.check_rows())
        story.say(f"The report has a line for each of {len(report)} keys; one failed: there is no object.")
        story.say("Each object has a row, also those with spaces, plus signs, percent signs and emoji.")

        again = backfill.ran(backfill.generated("photos/1"), schema="2.0")
        require({line.message for line in again.values()} == {"unchanged"}, f"the report says: {again}")
        story.fact("generated", len(again))
        story.say(f"S3 listed {len(again)} objects below a prefix itself; no row changed the second time.")
    return story.outcome()


def _overwrite(stack: DeployedStack, backfill: Backfill, key: str) -> None:
    """Overwrite an object, and wait until the event about it has written its row."""
    version = backfill.put(key, "new")

    def check() -> None:
        row = backfill.rows().get(key)
        if row is None or row["version_id"]["S"] != version:
            raise NotYet(f"the row is {row}")

    stack.wait_until(check, "the row of the live event")


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Throttle S3, kill the function, take a permission away; a job of the failed lines makes up for it.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("A second job for what failed in the first", stack.tell)
    with closing(Backfill(stack)) as backfill:
        first, *others = keys = list(backfill.upload(f"{number}.jpg" for number in range(8)))
        role = faults.role_of(backfill.function)
        with stack.faults.api("s3", "HeadObject", error="SlowDown", times=2, role=role) as throttle:
            report = backfill.ran(backfill.manifest([first]))
        require(throttle.applied == 2, f"S3 was throttled {throttle.applied} times")
        require(report[first].task_status == "succeeded", f"the report says: {report[first]}")
        story.say("A throttled object was a temporary failure, and succeeded when S3 tried it again.")

        with stack.faults.function(backfill.function, killed=True, after_running=True, times=2):
            report = backfill.ran(backfill.manifest(others))
        crashed = [key for key, line in report.items() if line.error_code == "PermanentFailure"]
        story.fact("crashed", len(crashed))
        require(all("ExitError" in report[key].message for key in crashed), f"the report says: {report}")
        story.say("S3 does not try again when the function dies: two objects are in the report as failed.")
        resumed = backfill.ran(backfill.manifest(crashed))
        require({line.message for line in resumed.values()} == {"unchanged"}, f"the report says: {resumed}")
        story.say("A job of these two lines found their rows: the function had died after its work.")

        role = backfill.role.rpartition("/")[2]
        with faults.without_permission(role, "lambda:InvokeFunction"):
            report = backfill.ran(backfill.manifest(keys))
        denied = [key for key, line in report.items() if line.task_status == "failed"]
        story.fact("denied", len(denied))
        resumed = backfill.ran(backfill.manifest(denied))
        story.fact("resumed", sum(line.task_status == "succeeded" for line in resumed.values()))
        story.fact("rows", backfill.check_rows())
        story.say("Without lambda:InvokeFunction every task failed; with it, a job of these lines succeeded.")
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission of the function and of the job once.

    Raises:
        ScenarioFailed: A job failed, or its report is not the expected one.
    """
    with closing(Backfill(stack)) as backfill:
        (key,) = backfill.upload(["smoke.jpg"])
        gone = f"{backfill.run_id}/gone.jpg"
        report = backfill.ran(backfill.manifest([key, gone], pinned=True))
        require(report[key].task_status == "succeeded", f"the report says: {report[key]}")
        require(report[gone].error_code == "PermanentFailure", f"the report says: {report[gone]}")
        for of_manifest in (backfill.manifest([key]), backfill.generated("smoke")):
            again = backfill.ran(of_manifest)
            require(again[key].message == "unchanged", f"the report says: {again[key]}")


def one_object(stack: DeployedStack) -> None:
    """Run a job with one object."""
    backfill = Backfill(stack)
    keys = backfill.upload(["smoke.jpg"])
    backfill.ran(backfill.manifest(list(keys), pinned=True))


EVENT = BilledEvent(
    "an object of a job, which costs another $0.25 and the upload of its manifest",
    one_object,
    also={"S3 Batch Operations objects": 1},
    without="JobRole",
    preparing=True,  # it uploads the object, which a backfill finds there, and a manifest that has only it
)

ROLES = (
    Covered(role_of="BackfillFunctionName", scenario=smoke),
    Covered(role_of="JobRoleArn", scenario=smoke, function="BackfillFunctionName"),
    # The row metadata-sync takes these apart in every run.
    *(replace(one, takes_long=True) for one in metadata_sync.ROLES if one.role_of in _OF_THE_ROWS),
)


def leftovers(stack: DeployedStack) -> Sequence[str]:
    """Return what is in the table, the queue and the buckets."""
    objects = [
        f"{bucket}: {one['Key']}"
        for bucket in (stack.output("BucketName"), stack.output("JobBucketName"))
        for one in stack.client("s3").list_object_versions(Bucket=bucket).get("Versions", [])
    ]
    # The state of the reconciler is an item of the table; `#` is in the name of no bucket.
    rows = [row for row in left.in_tables(stack) if "'#reconciler'" not in row]
    return [*rows, *left.in_queues(stack), *objects]
