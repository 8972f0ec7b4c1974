"""A soak of the stream: of thousands of readings none is lost or counted twice, and poison costs itself."""

from __future__ import annotations

import random
from contextlib import closing

import pytest

from localaws import LocalAws
from scenarios.framework import DeployedStack, NotYet, require
from scenarios.streams import kinesis_consumer
from scenarios.support.faults import Faults
from scenarios.support.soak import soak
from tests.local.killing import kill_environments

pytestmark = [pytest.mark.local, pytest.mark.full]

EVENTS = 10_000
PATIENCE = 400


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


def test_no_reading_is_lost_and_none_is_counted_twice(
    stack: DeployedStack, faults: Faults, local_aws: LocalAws
) -> None:
    with closing(kinesis_consumer.Readings(stack)) as readings:
        traffic = DeviceReadings(readings, stack)
        soak(traffic, faults, lambda: kill_environments(local_aws, traffic.function), EVENTS, PATIENCE)
