"""Sends jobs to a function with a large file in /tmp, ends it in the middle of some, and checks reports."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.support.failure_queue import FailureQueue
from scenarios.support.faults import Faults
from scenarios.support.leftovers import in_queues
from scenarios.support.redrive import redrive

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_YEAR = 2026
_LINES = 60_000  # 17 pieces
_BRANCHES = ("Bern", "Kyoto", "Lima")


class Jobs:
    """The files and jobs of one run.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.stack = stack
        self.run_id = uuid4().hex[:8]
        self.function = stack.output("FunctionName")
        self._s3, self._lambda = stack.client("s3"), stack.client("lambda")
        self._files, self._bucket = stack.output("FilesBucketName"), stack.output("CheckpointBucketName")
        self.failures = FailureQueue(
            stack, stack.output("FailureQueueUrl"), lambda one: self.run_id in json.dumps(one.event)
        )

    def store(self, name: str, lines: int = _LINES, cents: int = 1) -> tuple[str, dict[str, int]]:
        """Store a file of bookings; return its key and the totals of the year."""
        rows = [(_YEAR - number % 2, _BRANCHES[number % 3], cents + number % 7) for number in range(lines)]
        totals: Counter[str] = Counter()
        for year, branch, amount in rows:
            if year == _YEAR:
                totals[branch] += amount
        text = "".join(f"{year},{branch},{amount:06}\n" for year, branch, amount in rows)
        key = f"{self.run_id}/{name}.csv"
        self._s3.put_object(Bucket=self._files, Key=key, Body=text.encode())
        return key, dict(totals)

    def job(self, file: str, pause: float = 0) -> dict[str, Any]:
        """Make a job."""
        return {"job_id": f"{self.run_id}-{uuid4().hex[:8]}", "file": file, "year": _YEAR, "pause": pause}

    def send(self, job: dict[str, Any]) -> dict[str, Any]:
        """Send a job asynchronously, and return it."""
        self._lambda.invoke(FunctionName=self.function, InvocationType="Event", Payload=json.dumps(job))
        return job

    def call(self, job: dict[str, Any]) -> dict[str, Any]:
        """Invoke the function synchronously, and return its answer."""
        answer = self._lambda.invoke(FunctionName=self.function, Payload=json.dumps(job))
        payload: dict[str, Any] = json.loads(answer["Payload"].read())
        return payload

    def report(self, job: dict[str, Any]) -> dict[str, Any]:
        """Wait for the report of a job."""

        def check() -> dict[str, Any]:
            try:
                body = self._s3.get_object(Bucket=self._bucket, Key=f"reports/{job['job_id']}.json")["Body"]
            except self._s3.exceptions.NoSuchKey:
                raise NotYet("there is none") from None
            found: dict[str, Any] = json.loads(body.read())
            return found

        return self.stack.patient.wait_until(check, f"the report of job {job['job_id']}")

    def check(self, job: dict[str, Any], totals: dict[str, int], lines: int = _LINES) -> list[dict[str, Any]]:
        """Wait for a report, compare it with its file, and return who worked on it."""
        report = self.report(job)
        found = report["totals"]
        require(found["cents"] == totals, f"the totals are {found['cents']} instead of {totals}")
        require((found["lines"], found["bad_lines"]) == (lines, 0), f"the report has {found['lines']} lines")
        runs: list[dict[str, Any]] = report["runs"]
        starts = [run["from_piece"] for run in runs]
        require(starts == sorted(starts) and starts[0] == 0, f"a run began before the one before it: {runs}")
        return runs

    def wait_until_at(self, job: dict[str, Any], piece: int) -> None:
        """Wait until the checkpoint in S3 has come to a piece."""

        def check() -> None:
            try:
                head = self._s3.head_object(Bucket=self._bucket, Key=f"checkpoints/{job['job_id']}")
            except ClientError:
                raise NotYet("there is no checkpoint") from None
            if (seen := int(head["Metadata"]["next-piece"])) < piece:
                raise NotYet(f"it is at piece {seen}")

        self.stack.wait_until(check, f"the checkpoint of job {job['job_id']} at piece {piece}")

    def checkpoint(self, job: dict[str, Any]) -> bytes:
        """Return a checkpoint as it is in S3."""
        name = f"checkpoints/{job['job_id']}"
        body: bytes = self._s3.get_object(Bucket=self._bucket, Key=name)["Body"].read()
        return body

    def put_checkpoint(self, job: dict[str, Any], body: bytes | None) -> None:
        """Write a checkpoint, or delete it."""
        where = {"Bucket": self._bucket, "Key": f"checkpoints/{job['job_id']}"}
        if body is None:
            self._s3.delete_object(**where)
        else:
            self._s3.put_object(**where, Body=body)

    def redrive(self) -> int:
        """Send the failed jobs again, and return how many there were."""
        self.failures.release()
        url = self.stack.output("FailureQueueUrl")
        return redrive(self.stack.session, queue_url=url, function_name=self.function).resent

    def close(self) -> None:
        """Delete what this run has left: files, reports, checkpoints, failures."""
        for bucket, prefix in (
            (self._files, self.run_id),
            *((self._bucket, f"{kind}/{self.run_id}") for kind in ("reports", "checkpoints")),
        ):
            found = self._s3.list_object_versions(Bucket=bucket, Prefix=prefix)
            for one in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
                self._s3.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
        self.failures.close()


def run(stack: DeployedStack) -> Outcome:
    """Jobs on one file, one after another and two at once; a job that takes long, whose file is replaced.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("A large file is downloaded once, and a long job goes on", stack.tell)
    with closing(Jobs(stack)) as jobs:
        file, totals = jobs.store("bookings")
        answers = [jobs.call(jobs.job(file)) for _ in range(8)]
        downloads = _downloads(answers)
        story.fact("jobs one after another", len(answers))
        story.say(f"Sent {len(answers)} jobs on one file: {sum(downloads.values())} download.")
        with ThreadPoolExecutor(2) as pool:
            answers += pool.map(jobs.call, [jobs.job(file, pause=0.05), jobs.job(file, pause=0.05)])
        downloads = _downloads(answers)
        for answer in answers:
            jobs.check(answer, totals)
        story.fact("downloads", sum(downloads.values()))
        story.fact("environments", len(downloads))
        story.say("Sent two jobs at once, which takes two environments: each has downloaded the file once.")
        long = jobs.send(jobs.job(file, pause=0.3))
        jobs.wait_until_at(long, 8)
        _, newer = jobs.store("bookings", cents=5)
        runs = jobs.check(long, totals)
        require(len({one["request_id"] for one in runs}) > 1, f"it took one invocation: {runs}")
        story.fact("invocations of a long job", "several")
        story.say(f"A job that needs more than the timeout went on in {len(runs)} invocations.")
        jobs.check(jobs.call(jobs.job(file)), newer)
        story.fact("versions of a file", 2)
        story.say(
            "Its file was replaced meanwhile: it kept to its version, and the next job saw the new one."
        )
    return story.outcome()


def _downloads(answers: list[dict[str, Any]]) -> Counter[str]:
    """How often each environment has downloaded the file: once each."""
    found: Counter[str] = Counter()
    for answer in answers:
        require(answer.get("status") == "done", f"the job ended with {answer}")
        found[answer["environment"]] += answer["downloads"]
    require(set(found.values()) == {1}, f"downloads by environment: {found}")
    return found


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Kills and a timeout in the middle of a job, damaged checkpoints, a disabled key, a full cache.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Kill, timeout, damage, no key, no room", stack.tell)
    with closing(Jobs(stack)) as jobs:
        file, totals = jobs.store("bookings")
        kill, function = stack.faults.kill, jobs.function
        _interrupt(jobs, faults, "a timeout", story, file, totals)
        _interrupt(jobs, faults, "a crash", story, file, totals, lambda: kill(function))
        checkpoint = _interrupt(
            jobs, faults, "a lost environment", story, file, totals, lambda: kill(function, lost=True)
        )
        _refuse_checkpoints(jobs, file, totals, checkpoint, story)
        _disable_key(jobs, faults, file, totals, story)
        _fill_cache(jobs, faults, file, story)
    return story.outcome()


def _interrupt(
    jobs: Jobs,
    faults: Faults,
    name: str,
    story: Story,
    file: str,
    totals: dict[str, int],
    end: Callable[[], object] = lambda: None,
) -> bytes:
    """End an invocation in the middle of a job, while S3 does not answer; return a checkpoint of the job."""
    role = faults.role_of(jobs.function)
    job = jobs.send(jobs.job(file, pause=0.2))
    jobs.wait_until_at(job, 8)
    with jobs.stack.faults.api("s3", "PutObject", latency=7, role=role, times=1) as late:
        checkpoint = jobs.checkpoint(job)

        def check() -> None:
            if not late.applied:
                raise NotYet("no write hangs")

        jobs.stack.wait_until(check, "a write that hangs")
        end()
        runs = jobs.check(job, totals)
    ids = [one["request_id"] for one in runs]
    require(len(ids) > len(set(ids)), f"no event was retried: {runs}")
    require(runs[-1]["from_piece"] >= 8, f"it began again: {runs}")
    story.fact(f"resumed after {name}", runs[-1]["from_piece"])
    story.say(f"In the middle of a job, {name}: the retry went on from piece {runs[-1]['from_piece']}.")
    return checkpoint


def _refuse_checkpoints(
    jobs: Jobs, file: str, totals: dict[str, int], checkpoint: bytes, story: Story
) -> None:
    """Give one job a checkpoint that was changed, and another one that of a different job."""
    damaged, moved = jobs.job(file), jobs.job(file)
    jobs.put_checkpoint(damaged, checkpoint[:-1] + bytes([checkpoint[-1] ^ 1]))
    jobs.put_checkpoint(moved, checkpoint)
    for job in (damaged, moved):
        jobs.send(job)
    failed = jobs.failures.wait_for(2)
    require({one.reason.split(":")[0] for one in failed} == {"Damaged"}, f"the failures are {failed}")
    for job in (damaged, moved):
        jobs.put_checkpoint(job, None)
    story.fact("refused checkpoints", len(failed))
    story.fact("redriven", jobs.redrive())
    for job in (damaged, moved):
        jobs.check(job, totals)
    story.say(
        "A changed checkpoint, and that of another job, were refused; after a redrive, both jobs are done."
    )


def _disable_key(jobs: Jobs, faults: Faults, file: str, totals: dict[str, int], story: Story) -> None:
    kms, key = jobs.stack.client("kms"), jobs.stack.output("KeyId")
    kms.disable_key(KeyId=key)
    try:
        with faults.environment(jobs.function, NEW="environment"):
            job = jobs.send(jobs.job(file))
            (failed,) = jobs.failures.wait_for(1)
    finally:
        kms.enable_key(KeyId=key)
    require("DisabledException" in failed.reason, f"the failure is {failed}")
    require(jobs.redrive() == 1, "the job was not redriven")
    jobs.check(job, totals)
    story.fact("without the key", failed.reason.split(":")[0])
    story.say("With the key disabled, a job failed. Enabled it again and redrove the job: it is done.")


def _fill_cache(jobs: Jobs, faults: Faults, file: str, story: Story) -> None:
    small, _ = jobs.store("small", 20_000)
    with faults.environment(jobs.function, CACHE_MAX_BYTES="500000"):
        answers = [jobs.call(jobs.job(one)) for one in (small, jobs.store("other", 20_000)[0], small)]
        refused = jobs.call(jobs.job(file))
    require([one.get("downloads") for one in answers] == [1, 1, 1], f"the answers are {answers}")
    require(refused.get("errorType") == "TooLarge", f"a file that does not fit: {refused}")
    story.fact("evicted", 2)
    story.say(
        "Two files did not fit into a small cache: each made room for the other. A larger one was refused."
    )


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission that a job needs; the drill takes away those for a failed and a long one.

    Raises:
        ScenarioFailed: A job is not done.
    """
    with closing(Jobs(stack)) as jobs:
        file, totals = jobs.store("few", 1_000)
        answer = jobs.call(jobs.job(file))
        require(answer.get("status") == "done", f"the job ended with {answer}")
        jobs.check(answer, totals, 1_000)


def one_job(stack: DeployedStack) -> None:
    """Run a job with a file that the environment does not have yet."""
    with closing(Jobs(stack)) as jobs:
        file, _ = jobs.store("few", 1_000)
        jobs.call(jobs.job(file))


EVENT = BilledEvent("a job with a new file of 1,000 lines", one_job)

ROLES = (
    Covered(
        "FunctionName",
        smoke,
        new_instances=True,
        only_for_failures=frozenset({"lambda:InvokeFunction", "sqs:SendMessage"}),
    ),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what is in the buckets and in the failure queue."""
    s3 = stack.client("s3")
    return [
        *(
            one["Key"]
            for name in ("FilesBucketName", "CheckpointBucketName")
            for one in s3.list_object_versions(Bucket=stack.output(name)).get("Versions", [])
        ),
        *in_queues(stack),
    ]
