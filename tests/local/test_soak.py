"""Ten thousand events through each row that polls: none is lost, none counted twice, poison costs itself."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from localaws.server.processes import descendants
from scenarios.framework import DeployedStack, NotYet, require
from scenarios.messaging import sqs_consumer
from scenarios.streams import kinesis_consumer
from scenarios.support.faults import Faults
from scenarios.support.soak import Traffic, soak
from stacks.architecture import Architecture
from stacks.catalogue import find

pytestmark = [pytest.mark.local, pytest.mark.full]

EVENTS = 10_000
PATIENCE = 400


def kill_environments(function: str) -> int:
    """Kill the environments of a function on this process's embedded AWS, at once and without warning."""
    killed = 0
    for pid in descendants(os.getpid()):
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if f"AWS_LAMBDA_FUNCTION_NAME={function}".encode() in variables:
                os.kill(pid, signal.SIGKILL)
                killed += 1
        except OSError:  # it has ended
            continue
    return killed


class Entries:
    """Entries for the ledger through one of the two queues, some of them twice, and poison."""

    action = "dynamodb:UpdateItem"

    def __init__(self, ledger: sqs_consumer.Ledger, stack: DeployedStack, kind: str) -> None:
        self.function = stack.output(f"{kind}FunctionName")
        self._ledger, self._kind, self._queue = ledger, kind, ledger.queues[kind]
        self._chance = random.Random(26)
        self._sent: list[sqs_consumer.Entry] = []
        self._poison: list[str] = []

    def send(self, count: int) -> None:
        """Send entries, a tenth of them twice, and a poison message for every hundred."""
        entries = [
            self._ledger.entry(f"{self._kind}-{self._chance.randrange(40)}", self._chance.randrange(1, 100))
            for _ in range(count * 9 // 10)
        ]
        again = self._chance.choices(entries, k=count - len(entries))
        self._ledger.send(self._kind, [*entries, *again])
        self._sent += entries
        poison = [json.dumps({"entry_id": "\ud800", "run": self._ledger.run_id, "n": uuid4().hex})]
        self._poison += poison * 1
        group = {"MessageGroupId": poison[0][-10:-2], "MessageDeduplicationId": uuid4().hex}
        self._queue.send([{"MessageBody": poison[0]} | (group if self._kind == "Fifo" else {})])

    def poisoned_only(self) -> None:
        """All entries are booked, and the dead letters are the poison."""
        letters = self._queue.dead_letters()
        good = len(set(letters) - set(self._poison))
        require(not good, f"{good} good entries are dead letters")
        self._booked()
        if sorted(letters) != sorted(self._poison):
            raise NotYet(f"{len(letters)} dead letters of {len(self._poison)}")

    def recover(self) -> None:
        """Redrive as long as there are other dead letters than poison."""
        letters = self._queue.dead_letters()
        if not set(letters) <= set(self._poison):
            self._queue.redrive()
            raise NotYet(f"{len(letters)} dead letters")
        self.poisoned_only()

    def _booked(self) -> None:
        expected = sqs_consumer.fold(self._sent)
        seen = self._ledger.balances(expected)
        missing = sum(count - seen.get(account, (0, 0))[1] for account, (_, count) in expected.items())
        require(missing >= 0, f"{-missing} entries were booked twice")
        if seen != expected:
            raise NotYet(f"{missing} entries are missing; {self._queue.left()} messages in the queue")


class DeviceReadings:
    """Readings of devices through the stream, and poison."""

    action = "dynamodb:PutItem"

    def __init__(self, readings: kinesis_consumer.Readings, stack: DeployedStack) -> None:
        self.function = stack.output("FunctionName")
        self._readings = readings
        self._chance = random.Random(27)
        self._sent: dict[str, list[int]] = {}
        self._poison: set[str] = set()
        self._again: set[str] = set()

    def send(self, count: int) -> None:
        """Put readings, and one poison record among them."""
        records = []
        for _ in range(count):
            device, value = self._readings.device(self._chance.randrange(40)), self._chance.randrange(-99, 99)
            self._sent.setdefault(device, []).append(value)
            records.append(kinesis_consumer.reading(device, value))
        place = len(records) // 2
        records.insert(place, (records[place][0], b"not a reading"))
        self._poison.add(self._readings.put(records)[place])

    def poisoned_only(self) -> None:
        """All readings are counted, and the failure records name the poison."""
        self._check_failures(self._poison)
        self._check_summaries(("count", "total", "minimum", "maximum", "last"))

    def recover(self) -> None:
        """Put the discarded readings again: the last value of a device is then another one."""
        self._readings.failures.poll()
        for failure in self._readings.failures.poll():
            number = failure["KinesisBatchInfo"]["startSequenceNumber"]
            require(failure["KinesisBatchInfo"]["batchSize"] == 1, f"a batch was not split: {failure}")
            if number not in self._poison | self._again:
                self._readings.put_again(failure)
                self._again.add(number)
        self._check_failures(self._poison | self._again)
        self._check_summaries(("count", "total", "minimum", "maximum"))

    def _check_failures(self, allowed: set[str]) -> None:
        failures = self._readings.failures.poll()
        numbers = [failure["KinesisBatchInfo"]["startSequenceNumber"] for failure in failures]
        require(set(numbers) <= allowed, f"{len(set(numbers) - allowed)} good readings were discarded")
        if set(numbers) != allowed:
            raise NotYet(f"{len(set(numbers))} failures of {len(allowed)}")

    def _check_summaries(self, names: tuple[str, ...]) -> None:
        seen = self._readings.summaries(self._sent)
        for device, values in self._sent.items():
            expected, found = kinesis_consumer.fold(values), seen.get(device, {})
            require(found.get("count", 0) <= len(values), f"{device}: a reading was counted twice: {found}")
            if any(found.get(name) != expected[name] for name in names):
                raise NotYet(f"{device}: {found} instead of {expected}")


def entries(stack: DeployedStack, kind: str) -> tuple[sqs_consumer.Ledger, Traffic]:
    """The traffic of a queue."""
    ledger = sqs_consumer.Ledger(stack)
    return ledger, Entries(ledger, stack, kind)


def device_readings(stack: DeployedStack) -> tuple[kinesis_consumer.Readings, Traffic]:
    """The traffic of the stream."""
    readings = kinesis_consumer.Readings(stack)
    return readings, DeviceReadings(readings, stack)


@pytest.mark.parametrize(
    ("row", "make"),
    [
        pytest.param(find("sqs-consumer"), lambda stack: entries(stack, "Standard"), id="sqs-standard"),
        pytest.param(find("sqs-consumer"), lambda stack: entries(stack, "Fifo"), id="sqs-fifo"),
        pytest.param(find("kinesis-consumer"), device_readings, id="kinesis"),
    ],
)
def test_nothing_is_lost_and_nothing_counts_twice(
    row: Architecture,
    make: Callable[[DeployedStack], tuple[object, Traffic]],
    stack: DeployedStack,
    faults: Faults,
) -> None:
    scenario, traffic = make(stack)
    with closing(scenario):  # type: ignore[type-var]
        facts = soak(traffic, faults, kill_environments, EVENTS, PATIENCE)
    assert facts["killed"] > 0
    assert row.id == stack.name
