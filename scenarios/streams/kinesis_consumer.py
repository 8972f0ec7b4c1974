"""Puts readings of many devices into a stream, and compares the summaries with a fold of the readings."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any
from uuid import uuid4

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.support import leftovers as left
from scenarios.support.failure_queue import StreamFailures
from scenarios.support.faults import Faults
from scenarios.support.mixing import interleaved
from scenarios.support.streams import put_records

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

DEVICES, READINGS = 20, 20
Values = Mapping[str, Sequence[int]]
Record = tuple[str, bytes]


def fold(values: Sequence[int]) -> dict[str, int]:
    """The expected summary of a device's values, in this order."""
    return {
        "count": len(values),
        "total": sum(values),
        "minimum": min(values),
        "maximum": max(values),
        "last": values[-1],
    }


class Readings:
    """The deployed stack, and the devices of this run in it."""

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self._kinesis, self._dynamodb = stack.client("kinesis"), stack.client("dynamodb")
        self._stream, self._table = stack.output("StreamName"), stack.output("TableName")
        self.failures = StreamFailures(stack, stack.output("FailureQueueUrl"))
        self.run_id = uuid4().hex[:8]
        self._devices: set[str] = set()

    def device(self, name: object) -> str:
        """Return the name of a device of this run, whose summary is deleted at the end."""
        device = f"{self.run_id}-{name}"
        self._devices.add(device)
        return device

    def put(self, records: Sequence[Record]) -> list[str]:
        """Put records in this order, and return their sequence numbers."""
        numbers = put_records(self._stack, self._stream, records)
        self.failures.add(numbers)
        return numbers

    def summaries(self, devices: Iterable[str]) -> dict[str, dict[str, int]]:
        """Return the summaries of those devices that have one, without the sequence number."""
        found = {}
        for device in devices:
            key = {"device": {"S": device}}
            item = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
            if item:
                names = ("count", "total", "minimum", "maximum", "last")
                found[device] = {name: int(item[name]["N"]) for name in names}
        return found

    def wait_for(self, values: Values) -> None:
        """Wait until the summaries are the fold of these values.

        Raises:
            ScenarioFailed: They are not in time, or a reading was counted twice.
        """
        missing = {device: fold(given) for device, given in values.items()}

        def check() -> None:
            for device, seen in self.summaries(list(missing)).items():
                require(
                    seen["count"] <= missing[device]["count"],
                    f"{device}: counted {seen['count']} readings of {missing[device]['count']}",
                )
                if seen == missing[device]:
                    del missing[device]
            if missing:
                raise NotYet(f"{len(missing)} devices differ from {missing}")

        self._stack.wait_until(check, "the summaries")

    def put_again(self, failure: Mapping[str, Any]) -> int:
        """Read the records that a failure record names from the stream, put them again, return how many."""
        batch = failure["KinesisBatchInfo"]
        iterator = self._kinesis.get_shard_iterator(
            StreamName=self._stream,
            ShardId=batch["shardId"],
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            StartingSequenceNumber=batch["startSequenceNumber"],
        )["ShardIterator"]
        records = self._kinesis.get_records(ShardIterator=iterator, Limit=batch["batchSize"])["Records"]
        self.put([(record["PartitionKey"], record["Data"]) for record in records])
        return len(records)

    def close(self) -> None:
        """Delete the summaries and failure records of this run."""
        for device in self._devices:
            self._dynamodb.delete_item(TableName=self._table, Key={"device": {"S": device}})
        self.failures.close()


def reading(device: str, value: int) -> Record:
    """A record: the device is its partition key."""
    return device, json.dumps({"device": device, "value": value}).encode()


def run(stack: DeployedStack) -> Outcome:
    """Put readings of many devices and a poison record: the summaries are the fold, one record fails.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Readings become summaries", stack.tell)
    chance = random.Random(21)
    with closing(Readings(stack)) as readings:
        values = {
            readings.device(number): [chance.randrange(-1000, 1000) for _ in range(READINGS)]
            for number in range(DEVICES)
        }
        in_order = [[reading(device, value) for value in given] for device, given in values.items()]
        with story.timed("counted"):
            readings.put(interleaved(in_order, chance))
            story.say(f"Put {DEVICES * READINGS} readings of {DEVICES} devices, mixed, in order per device.")
            readings.wait_for(values)
        story.fact("devices", DEVICES)
        story.fact("readings", DEVICES * READINGS)
        story.say("Every summary is the fold of its readings: each was counted once, in order.")

        poisoned = readings.device("poisoned")
        with story.timed("poison"):
            _, poison, _ = readings.put(
                [reading(poisoned, 1), (poisoned, b"not a reading"), reading(poisoned, 2)]
            )
            [failure] = readings.failures.wait_for(1)
            readings.wait_for({poisoned: [1, 2]})
        batch, context = failure["KinesisBatchInfo"], failure["requestContext"]
        require(
            (batch["batchSize"], batch["startSequenceNumber"]) == (1, poison),
            f"the failure record should name only the poison record: {batch}",
        )
        require(context["condition"] == "RetryAttemptsExhausted", f"the failure record: {context}")
        story.fact("attempts", context["approximateInvokeCount"])
        story.say(
            "Put a record that is not a reading between two of one device: Lambda isolated it by bisecting, "
            f"and reported it to the failure queue after {context['approximateInvokeCount']} attempts; the "
            "readings around it were counted."
        )
    return story.outcome()


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Remove a permission: failure records name the discarded readings, which are put again later.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Discarded records can be put again", stack.tell)
    with closing(Readings(stack)) as readings:
        device = readings.device("device")
        role = faults.role_of(stack.output("FunctionName"))
        with faults.without_permission(role, "dynamodb:PutItem"):
            readings.put([reading(device, value) for value in (3, 5)])
            failures = readings.failures.wait_for(2)
        require(not readings.summaries([device]), "a reading was counted without the permission to write")
        story.say(f"Without dynamodb:PutItem, {len(failures)} failure records name the discarded readings.")
        readings.put([reading(device, 8)])
        readings.wait_for({device: [8]})
        story.say("The permission is restored: the shard was not blocked, and the next reading is counted.")
        again = sum(readings.put_again(failure) for failure in failures)
        readings.wait_for({device: [8, 3, 5]})
        story.fact("put again", again)
        story.say(f"The {again} discarded readings are still in the stream: read, put again, and counted.")
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission of the function's role once.

    Raises:
        ScenarioFailed: A reading was not counted, or a failure not reported.
    """
    with closing(Readings(stack)) as readings:
        device = readings.device("smoke")
        readings.put([reading(device, 5), (device, b"not a reading")])
        readings.wait_for({device: [5]})
        readings.failures.wait_for(1)


def one_reading(stack: DeployedStack) -> None:
    """Send a reading."""
    with closing(Readings(stack)) as readings:
        device = readings.device("event")
        readings.put([reading(device, 5)])
        readings.wait_for({device: [5]})


EVENT = BilledEvent("a reading, in a batch of one", one_reading)

ROLES = (Covered(role_of="FunctionName", scenario=smoke),)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what is in the table and in the failure queue."""
    return [*left.in_tables(stack), *left.in_queues(stack)]
