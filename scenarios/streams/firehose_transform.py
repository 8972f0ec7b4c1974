"""Puts lines of web servers into a delivery stream: each is delivered, dropped, or error output."""

from __future__ import annotations

import base64
import gzip
import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any
from uuid import uuid4

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.support.faults import Faults

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

SITES, LINES, HEALTH_CHECKS, POISON = 4, 3_000, 200, 25
_MARK = re.compile(rb"^\x00again:\d\d\x00")
_PUT, _BATCH = "firehose:PutRecordBatch", 400
_POISON = (
    b"no line",
    b"\xff\xfe\x00",
    b'{"site": "../../etc"}',
    b"\x1f\x8bcut off",
    b'["JSON", "but no object"]',
)


class Lines:
    """The deployed stack, and the lines of this run in it."""

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self._s3 = stack.client("s3")
        self.run_id = uuid4().hex[:8]
        self._number = self._sent = 0
        self._records: set[bytes] = set()
        self._start = int(time.time() * 1000)
        self._seen: dict[tuple[str, str], bytes] = {}
        self._before = {(bucket, key) for bucket in self._buckets for key in self._keys(bucket)}

    @property
    def _buckets(self) -> list[str]:
        return [self._stack.output("BucketName"), self._stack.output("BackupBucketName")]

    def line(self, kind: int = 0) -> bytes:
        """A new line: JSON, or one of an access log. Its number is in its path."""
        self._number += 1
        site = f"site{self._number % SITES}.{self.run_id}.example"
        path = f"/{self._number}"
        if kind % 2:
            return (
                f'{site}:443 10.0.0.1 - - [27/Nov/2026:10:30:00 +0100] "GET {path} HTTP/2.0" 200 5'.encode()
            )
        return json.dumps({"site": site, "path": path}).encode()

    def health_check(self) -> bytes:
        """A line that is dropped."""
        return json.dumps({"site": f"health.{self.run_id}.example", "path": "/health"}).encode()

    def large(self, size: int) -> bytes:
        """A small record with a line that grows to this size."""
        self._number += 1
        site = f"large.{self.run_id}.example"
        line = {"site": site, "path": f"/{self._number}", "text": "x" * size}
        return gzip.compress(json.dumps(line).encode())

    def packed(self, lines: Sequence[bytes]) -> bytes:
        """Lines of one site in one record."""
        return gzip.compress(b"\n".join(lines))

    def put(self, records: Sequence[bytes]) -> None:
        """Put records.

        Raises:
            ScenarioFailed: Firehose rejected one.
        """
        for place in range(0, len(records), _BATCH):
            batch = records[place : place + _BATCH]
            answer = self._stack.client("firehose").put_record_batch(
                DeliveryStreamName=self._stack.output("DeliveryStreamName"),
                Records=[{"Data": data} for data in batch],
            )
            require(answer["FailedPutCount"] == 0, f"Firehose rejected records: {answer}")
            self._sent += sum(map(len, batch))
            self._records.update(batch)

    def delivered(self) -> Counter[str]:
        """How often each number was delivered, and into the right partition."""
        found: Counter[str] = Counter()
        for key, data in self._objects(0, "data/"):
            for line in data.splitlines() if self.run_id in key else ():
                document = json.loads(line)
                require(f"site={document['site']}/" in key, f"{document} is in {key}")
                found[document["path"][1:]] += 1
        return found

    def failed(self) -> list[dict[str, Any]]:
        """The records of this run in the error output."""
        lines = [line for _, data in self._objects(0, "errors/") for line in data.splitlines()]
        return [one for one in map(json.loads, lines) if _raw(one) in self._records]

    def wait_for(self, lines: int, failed: int = 0) -> Counter[str]:
        """Wait until so many lines are delivered, and so many records are error output; return the lines.

        Raises:
            ScenarioFailed: They are not in time.
        """

        def check() -> Counter[str]:
            delivered, lost = self.delivered(), self.failed()
            reasons = dict(Counter(one["errorCode"] for one in lost))
            seen = f"{len(delivered)} of {lines} lines, {len(lost)} of {failed} failed: {reasons}"
            require(len(delivered) <= lines and len(lost) <= failed, f"too many: {seen}")
            if (len(delivered), len(lost)) != (lines, failed):
                raise NotYet(seen)
            return delivered

        return self._stack.patient.wait_until(check, "the lines")

    def wait_for_originals(self) -> int:
        """Wait until the originals are complete, and return how many records were put again."""
        again = sum(int(one.get("put_again", 0)) for one in self._log(self._function_log))

        def check() -> None:
            data = b"".join(data for _, data in self._objects(1, "originals/"))
            marks = data.count(b"\x00again:")
            if marks < again or len(data) < self._sent:
                raise NotYet(f"{marks} of {again} put again, {len(data)} of {self._sent} bytes")

        self._stack.patient.wait_until(check, "the originals")
        return again

    def put_failed_again(self) -> int:
        """Put what is in the error output again, and return how many records that were.

        Then delete the objects that had it: not before, so that a failure in between loses nothing. Records
        may come twice then.
        """
        self.failed()
        read = [one for one in self._seen if one[1].startswith("errors/")]
        lost = [json.loads(line) for one in read for line in self._seen[one].splitlines()]
        self.put([_raw(one) for one in lost])
        for bucket, key in read:
            self._s3.delete_object(Bucket=bucket, Key=key)
            self._before.add((bucket, key))
            del self._seen[bucket, key]
        return len(lost)

    def problems(self) -> list[dict[str, Any]]:
        """What Firehose has logged since this run started."""
        return self._log(self._stack.output("DeliveryLogGroupName"))

    def wait_for_problem(self, code: str) -> None:
        """Wait until Firehose has logged this error."""

        def check() -> None:
            if code not in (found := {one["errorCode"] for one in self.problems()}):
                raise NotYet(f"{found}")

        self._stack.patient.wait_until(check, f"{code} in the log of Firehose")

    @property
    def _function_log(self) -> str:
        function = self._stack.output("FunctionName")
        found = self._stack.client("lambda").get_function_configuration(FunctionName=function)
        group: str = found["LoggingConfig"]["LogGroup"]
        return group

    def _log(self, group: str) -> list[dict[str, Any]]:
        pages = self._stack.client("logs").get_paginator("filter_log_events")
        found = pages.paginate(logGroupName=group, startTime=self._start)
        messages = [event["message"] for page in found for event in page["events"]]
        return [json.loads(message) for message in messages if message.startswith("{")]

    def _objects(self, bucket: int, prefix: str) -> Iterator[tuple[str, bytes]]:
        """The new objects with a prefix: their keys, and their data without GZIP."""
        name = self._buckets[bucket]
        for key in self._keys(name, prefix):
            if (name, key) in self._before:
                continue
            if (name, key) not in self._seen:
                data = self._s3.get_object(Bucket=name, Key=key)["Body"].read()
                self._seen[name, key] = gzip.decompress(data) if key.endswith(".gz") else data
            yield key, self._seen[name, key]

    def _keys(self, bucket: str, prefix: str = "") -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def close(self) -> None:
        """Delete what this run has put."""
        for bucket in self._buckets:
            for key in self._keys(bucket):
                if (bucket, key) not in self._before or (bucket, key) in self._seen:
                    self._s3.delete_object(Bucket=bucket, Key=key)


def _raw(failed: Mapping[str, Any]) -> bytes:
    """The data of a record in the error output, without the mark."""
    return _MARK.sub(b"", base64.b64decode(failed["rawData"]))


def run(stack: DeployedStack) -> Outcome:
    """Put lines, health checks, poison, and records that outgrow an answer: every one is accounted for.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story, chance = Story("Lines become objects", stack.tell), random.Random(18)
    with closing(Lines(stack)) as lines:
        single = [lines.line(number) for number in range(LINES // 3)]
        others = [lines.line(number) for number in range(LINES - len(single))]
        sites = [[line for line in others if f"site{site}.".encode() in line] for site in range(SITES)]
        packed = [lines.packed(one[place : place + 50]) for one in sites for place in range(0, len(one), 50)]
        poison = [_POISON[number % len(_POISON)] for number in range(POISON)]
        records = [*single, *packed, *poison, *(lines.health_check() for _ in range(HEALTH_CHECKS))]
        chance.shuffle(records)
        with story.timed("delivered"):
            lines.put(records)
            story.say(
                f"Put {LINES:,} lines in {len(single) + len(packed):,} records, some compressed with gzip, "
                f"{HEALTH_CHECKS} health checks and {POISON} records that are no lines."
            )
            delivered = lines.wait_for(LINES, POISON)
        raw = Counter(map(_raw, lines.failed()))
        require(raw == Counter(poison), f"the error output is not the poison: {raw}")
        story.fact("lines", len(delivered))
        story.fact("duplicates", delivered.total() - len(delivered))
        story.fact("failed", POISON)
        story.fact("dropped", HEALTH_CHECKS)
        story.say(
            f"{len(delivered):,} lines are in the partition of their site. The poison is error output, with "
            "its data. No health check is anywhere but in the backup."
        )

        with story.timed("outgrown"):
            lines.put([*(lines.large(2_000_000) for _ in range(6)), lines.large(5_000_000)])
            lines.wait_for(LINES + 6, POISON + 1)
            again = lines.wait_for_originals()
        # In AWS they may come in several batches.
        require(
            again > 0 or stack.faults is None, "no record was put again, and all do not fit into an answer"
        )
        story.fact("outgrown", 6)
        story.say(
            "Put six small records that grow to 2 MB each, more than an answer of 6 MB takes, and one that "
            f"grows to 5 MB. The six were delivered, after {again} records had been put again. The other "
            "one, too large for any answer, is error output."
        )
    return story.outcome()


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Crash the function, and take permissions away: records wait, or can be put again from the error output.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story, function = Story("Nothing is lost", stack.tell), stack.output("FunctionName")
    role = stack.output("DeliveryRoleArn").rpartition("/")[2]
    with closing(Lines(stack)) as lines:
        with stack.faults.function(function, killed=True, after_running=True, times=1):
            lines.put([lines.line(number) for number in range(100)])
            delivered = lines.wait_for(100)
        require(delivered.total() == 100, f"lines were delivered twice: {delivered}")
        story.fact("after a crash", delivered.total())
        story.say(
            "The function crashed after its work. Firehose invoked it again: each of 100 lines is there once."
        )

        with stack.faults.function(function, killed=True), story.timed("crashes"):
            lines.put([lines.line()])
            lines.wait_for(100, 1)
        with faults.without_permission(role, "lambda:InvokeFunction"):
            lines.put([lines.line()])
            lines.wait_for(100, 2)
        codes = sorted(one["errorCode"] for one in lines.failed())
        story.fact("error codes", ", ".join(codes))
        story.fact("put again", lines.put_failed_again())
        lines.wait_for(102)
        story.say(
            "A line of a function that crashed in every attempt, and one of a function that Firehose was not "
            f"allowed to invoke, were error output ({', '.join(codes)}). Put again, they were delivered."
        )

        with faults.without_permission(role, "s3:PutObject"):
            lines.put([lines.line()])
            lines.wait_for_problem("S3.AccessDenied")
            require(len(lines.delivered()) == 102, "a line was delivered without the permission to write")
        lines.wait_for(103)
        story.say("Without s3:PutObject, a line waits in Firehose. With it, the line is delivered.")

        large = [lines.large(2_500_000) for _ in range(3)]
        with faults.without_permission(faults.role_of(function), _PUT):
            lines.put(large)
            lines.wait_for(104, 2)
        with stack.faults.api(
            "firehose",
            "PutRecordBatch",
            error="ServiceUnavailableException",
            entries=1,
            role=faults.role_of(function),
            times=1,
        ) as fault:
            story.fact("put again by hand", lines.put_failed_again())
            lines.wait_for(106)
            story.fact("refused", fault.applied)
        lines.wait_for_originals()
        story.say(
            "Of three records one fits into an answer. Without the permission to put the others again, "
            "they are error output. With it they come back, although Firehose refused one at first."
        )
    return story.outcome()


def smoke_function(stack: DeployedStack) -> None:
    """Exercise each permission of the function's role once.

    Raises:
        ScenarioFailed: A record that does not fit into an answer did not come back.
    """
    with closing(Lines(stack)) as lines:
        lines.put([lines.large(2_500_000) for _ in range(2)])
        lines.wait_for(2)
        lines.wait_for_originals()


def smoke_delivery(stack: DeployedStack) -> None:
    """Exercise each permission of the delivery role once.

    Raises:
        ScenarioFailed: Firehose has logged a problem.
    """
    with closing(Lines(stack)) as lines:
        lines.put([lines.line()])

        def check() -> None:
            require(not (found := lines.problems()), f"Firehose has logged {found}")
            if len(lines.delivered()) < 1:
                raise NotYet("no line")

        stack.wait_until(check, "the line")
        lines.wait_for_originals()


def one_line(stack: DeployedStack) -> None:
    """Send a line."""
    with closing(Lines(stack)) as lines:
        lines.put([lines.line()])
        lines.wait_for(1)


EVENT = BilledEvent(
    "a record with one line, with a buffer of its own",
    one_line,
    also={"Firehose objects of partitions": 1},
)

ROLES = (
    Covered(role_of="FunctionName", scenario=smoke_function),
    Covered(role_of="DeliveryRoleArn", function="FunctionName", scenario=smoke_delivery, takes_long=True),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what is in the buckets."""
    return [
        f"{name}: {one['Key']}"
        for name, bucket in stack.outputs.items()
        if name.endswith("BucketName")
        for one in stack.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
    ]
