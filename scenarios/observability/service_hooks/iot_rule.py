"""The part of the scenario about an IoT rule: a sensor publishes readings, and the high ones are recorded."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from scenarios.framework import Covered, DeployedStack, Story, require
from scenarios.observability.service_hooks.rows import Rows, rows_of_run
from scenarios.support.failure_queue import FailureQueue, Messages
from scenarios.support.faults import Faults

ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_FAILURES = frozenset({"sqs:SendMessage"})


class Sensor:
    """A sensor with a name of its own.

    Args:
        stack: The deployed stack.
        rows: The rows of this run.
    """

    def __init__(self, stack: DeployedStack, rows: Rows) -> None:
        self.rows, self.name = rows, rows.run_id
        self._iot = stack.client("iot-data")
        self.topic = f"sensors/{self.name}/readings"
        self.failed = FailureQueue(
            stack, stack.output("IotFailureQueueUrl"), lambda one: self.name in json.dumps(one.event)
        )
        self.undelivered = Messages(stack, stack.output("IotErrorQueueUrl"), lambda body: self.topic in body)

    def publish(self, message: Mapping[str, Any] | bytes) -> None:
        """Publish as a device does that waits for an acknowledgement (QoS 1)."""
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        self._iot.publish(topic=self.topic, qos=1, payload=payload)

    def row(self, sequence: int) -> str:
        """The id of the row of a reading."""
        return f"reading#{self.name}#{sequence}"


@contextmanager
def _sensor(stack: DeployedStack) -> Iterator[Sensor]:
    with rows_of_run(stack) as rows:
        sensor = Sensor(stack, rows)
        try:
            yield sensor
        finally:
            sensor.failed.close()
            sensor.undelivered.close()


def run(stack: DeployedStack, story: Story) -> None:
    """High readings, low ones, one that comes twice, a lie about the device, and what is no reading.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    with _sensor(stack) as sensor:
        sensor.publish(b"no JSON")
        sensor.publish({"sequence": 1, "temperature": 21})
        for _ in range(2):
            sensor.publish({"sequence": 2, "temperature": 35.5, "device": "another", "secret": 1})
        sensor.publish({"temperature": 99, "device": "another"})
        sensor.publish({"sequence": 3, "temperature": 41})
        high = [sensor.rows.wait_for(sensor.row(sequence)) for sequence in (2, 3)]
        require([one["temperature"] for one in high] == ["35.5", "41"], f"the rows are {high}")
        require(all(one["device"] == sensor.name for one in high), f"the rows are {high}")
        (failed,) = sensor.failed.wait_for(1)
        require("sequence must be" in failed.reason and failed.attempts == 3, f"the queue has {failed}")
        require("secret" not in failed.event, f"the event has what the rule did not select: {failed.event}")
        require(sensor.rows.find(sensor.row(1)) is None, "a reading that is not high is recorded")
        story.fact("high readings", len(high))
        story.fact("attempts of a malformed reading", failed.attempts or 0)
    story.say("IoT: six messages of a sensor. Two high readings are recorded, one of them although it came")
    story.say("     twice; one without a number is in the failure queue; the rule dropped the others.")


def drill(stack: DeployedStack, faults: Faults, story: Story) -> None:
    """Without its permission, AWS IoT sends the message to the error queue; with it, nothing is missing.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    function = stack.output("IotFunctionName")
    with _sensor(stack) as sensor:
        with faults.not_admitting(function, "iot.amazonaws.com"):
            sensor.publish({"sequence": 1, "temperature": 50})
            (message,) = sensor.undelivered.wait_for(1)
        report = json.loads(message["Body"])
        (failure,) = report["failures"]
        require(report["ruleName"] == stack.output("IotRuleName"), f"the error action says {report}")
        require(failure["failedAction"] == "LambdaAction", f"the error action says {report}")
        require(sensor.rows.find(sensor.row(1)) is None, "the function was invoked without a permission")
        sensor.publish(base64.b64decode(report["base64OriginalPayload"]))
        sensor.rows.wait_for(sensor.row(1))
        story.fact("failed action", failure["failedAction"])
    story.say("IoT: without its permission, AWS IoT sent the message to the error queue. Published again")
    story.say("     from there, it is recorded.")


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission of the function.

    Raises:
        ScenarioFailed: The reading is not recorded.
    """
    with _sensor(stack) as sensor:
        sensor.publish({"sequence": 1, "temperature": 50})
        sensor.rows.wait_for(sensor.row(1))


ROLES = (
    # `run` and the drill read both queues.
    Covered("IotFunctionName", smoke, only_for_failures=_FAILURES),
    Covered("IotErrorRoleArn", smoke, function="IotFunctionName", only_for_failures=_FAILURES),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what the others do not see: nothing."""
    return []
