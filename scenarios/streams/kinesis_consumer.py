"""Puts readings of many devices into a stream, and compares the summaries with a fold of what was put."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any
from uuid import uuid4

from scenarios.framework import DeployedStack, NotYet, Outcome, Story, require
from scenarios.support.faults import Faults
from scenarios.support.stream_failures import StreamFailures

# What the embedded AWS accepts and does not do, and why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

DEVICES, READINGS = 20, 20
Values = Mapping[str, Sequence[int]]


def fold(values: Sequence[int]) -> dict[str, int]:
    """The model: the summary of a device's values, in this order."""
    return {
        "count": len(values),
        "total": sum(values),
        "minimum": min(values),
        "maximum": max(values),
        "last": values[-1],
    }


class Readings:
    """The deployed stack, and what is of this run in it."""

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self._kinesis, self._dynamodb = stack.client("kinesis"), stack.client("dynamodb")
        self._stream, self._table = stack.output("StreamName"), stack.output("TableName")
        self.failures = StreamFailures(stack, stack.output("FailureQueueUrl"))
        self.function = stack.output("FunctionName")
        self.run_id = uuid4().hex[:8]
        self._devices: set[str] = set()

    def device(self, name: str) -> str:
        """The name of a device of this run; its summary is deleted at the end."""
        device = f"{self.run_id}-{name}"
        self._devices.add(device)
        return device

    def put(self, records: Sequence[tuple[str, bytes]]) -> list[str]:
        """Put records in this order; returns their sequence numbers."""
        numbers: list[str] = []
        for start in range(0, len(records), 500):
            batch = records[start : start + 500]
            answer = self._kinesis.put_records(
                StreamName=self._stream,
                Records=[{"PartitionKey": key, "Data": data} for key, data in batch],
            )
            require(answer["FailedRecordCount"] == 0, f"Kinesis did not take all records: {answer}")
            numbers += [record["SequenceNumber"] for record in answer["Records"]]
        self.failures.add(numbers)
        return numbers

    def put_values(self, values: Values, chance: random.Random) -> None:
        """Put the values of several devices, mixed, in order for each."""
        left = {device: iter(given) for device, given in values.items()}
        order = [device for device, given in values.items() for _ in given]
        chance.shuffle(order)
        self.put([(device, reading(device, next(left[device]))) for device in order])

    def summaries(self, devices: Sequence[str]) -> dict[str, dict[str, int]]:
        """The summaries of those devices that have one, without the sequence number."""
        found = {}
        for device in devices:
            key = {"device": {"S": device}}
            item = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
            if item:
                names = ("count", "total", "minimum", "maximum", "last")
                found[device] = {name: int(item[name]["N"]) for name in names}
        return found

    def wait_for(self, values: Values) -> None:
        """Wait until the summaries are what the model says.

        Raises:
            ScenarioFailed: They are not in time.
        """
        missing = {device: fold(given) for device, given in values.items()}

        def check() -> None:
            for device, seen in self.summaries(list(missing)).items():
                require(
                    seen["count"] <= missing[device]["count"],
                    f"{device}: {seen['count']} readings were counted, and {missing[device]['count']} sent",
                )
                if seen == missing[device]:
                    del missing[device]
            if missing:
                raise NotYet(f"{len(missing)} devices differ from {missing}")

        self._stack.wait_until(check, "the summaries")

    def put_again(self, failure: Mapping[str, Any]) -> int:
        """Read the records that a failure record names from the stream, and put them again; how many.

        Their device decides which of the records between the two numbers belong to the batch.
        """
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


def reading(device: str, value: int) -> bytes:
    """A record's data."""
    return json.dumps({"device": device, "value": value}).encode()


def run(stack: DeployedStack) -> Outcome:
    """Readings of many devices and a poison record; summaries that equal the fold, and one failure record.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("Readings become summaries", stack.tell)
    chance = random.Random(21)
    with closing(Readings(stack)) as readings:
        values = _values(readings, chance)
        with story.timed("counted"):
            readings.put_values(values, chance)
            story.say(f"Put {DEVICES * READINGS} readings of {DEVICES} devices, mixed, in order for each.")
            readings.wait_for(values)
        story.say("Every summary is the fold of its readings: each was counted once, the last one last.")
        poisoned = readings.device("poisoned")
        before, after = reading(poisoned, 1), reading(poisoned, 2)
        records = [(poisoned, before), (poisoned, b"no reading"), (poisoned, after)]
        with story.timed("poison"):
            [_, poison, _] = readings.put(records)
            [failure] = readings.failures.wait(1)
            readings.wait_for({poisoned: [1, 2]})
        batch = failure["KinesisBatchInfo"]
        require(
            (batch["batchSize"], batch["startSequenceNumber"]) == (1, poison),
            f"the failure record should name the poison alone: {batch}",
        )
        require(
            failure["requestContext"]["condition"] == "RetryAttemptsExhausted",
            f"the failure record's condition: {failure['requestContext']}",
        )
        attempts = failure["requestContext"]["approximateInvokeCount"]
        story.say(
            "Put a record that is no reading between two of one device: bisecting left it alone, after "
            f"{attempts} attempts it was told to the failure queue, and the readings around it were counted."
        )
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """The shortest way past everything that the function may do: for checks that repeat it often.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    with closing(Readings(stack)) as readings:
        device = readings.device("smoke")
        readings.put([(device, reading(device, 5)), (device, b"no reading")])
        readings.wait_for({device: [5]})
        readings.failures.wait(1)


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """What is given up for want of a permission is found by its failure records, and put again.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("What was given up can be put again", stack.tell)
    role = stack.client("lambda").get_function_configuration(FunctionName=stack.output("FunctionName"))[
        "Role"
    ]
    with closing(Readings(stack)) as readings:
        device = readings.device("device")
        with faults.without_permission(role.rpartition("/")[2], "dynamodb:PutItem"):
            readings.put([(device, reading(device, value)) for value in (3, 5)])
            failures = readings.failures.wait(2)
        require(not readings.summaries([device]), "counted without the permission to write")
        story.say(
            f"Took dynamodb:PutItem from the role: {len(failures)} failure records name what was given up."
        )
        readings.put([(device, reading(device, 8))])
        readings.wait_for({device: [8]})
        story.say("Restored it: the shard had gone on, and the next reading is counted.")
        again = sum(readings.put_again(failure) for failure in failures)
        readings.wait_for({device: [8, 3, 5]})
        story.say(
            f"Read the {again} records from the stream, where they still are, and put them again: counted."
        )
    return story.outcome()


def _values(readings: Readings, chance: random.Random) -> dict[str, list[int]]:
    return {
        readings.device(str(number)): [chance.randrange(-1000, 1000) for _ in range(READINGS)]
        for number in range(DEVICES)
    }
