"""Sends readings to two functions that share a file system; kills a writer, and takes the mount away."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from scenarios.framework import (
    BilledEvent,
    Covered,
    DeployedStack,
    NotYet,
    Outcome,
    ScenarioFailed,
    Story,
    require,
)
from scenarios.support.faults import Faults

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {
    "AWS::Lambda::Function.VpcConfig": "no packet is routed; before a mount, the embedded AWS compares "
    "subnets and security groups with those of the mount targets"
}
#: The scenario needs functions that have a file system of their own.
NEEDS_NAMESPACES = True

_WRITERS, _BATCHES = 4, 6


class Sensors:
    """The functions, and the sensors of one run, whose readings are its own.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.stack = stack
        self.function, self.other = stack.output("FunctionName"), stack.output("OtherFunctionName")
        self.sensor = f"s-{uuid4().hex[:8]}"
        self._lambda = stack.client("lambda")
        self.sent: dict[str, int] = {}
        self.environments: set[str] = set()

    def readings(self, count: int) -> list[dict[str, Any]]:
        """Make new readings."""
        values = {uuid4().hex: number + 1 for number in range(count)}
        self.sent.update(values)
        return [{"id": name, "sensor": self.sensor, "value": value} for name, value in values.items()]

    def call(self, event: dict[str, Any], function: str = "") -> dict[str, Any]:
        """Invoke a function, and return its answer."""
        answer = self._lambda.invoke(FunctionName=function or self.function, Payload=json.dumps(event))
        payload: dict[str, Any] = json.loads(answer["Payload"].read())
        if "environment" in payload:
            self.environments.add(payload["environment"])
        return payload

    def check(self, function: str = "") -> dict[str, Any]:
        """Compare what the shared files say with what was sent: everything, once."""
        answer = self.call({"readings": [], "sensors": [self.sensor]}, function)
        require("totals" in answer, f"the function answered {answer}")
        found = answer["totals"].get(self.sensor, 0)
        require(found == sum(self.sent.values()), f"the total is {found}, not {sum(self.sent.values())}")
        return answer

    def error(self) -> str:
        """The error with which an invocation ends before the function runs."""
        try:
            return f"none, but {self.call({'readings': []})}"
        except ClientError as error:
            return str(error.response["Error"]["Code"])


def run(stack: DeployedStack) -> Outcome:
    """Many writers at once, through two functions; a duplicate; a model that new environments load.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Many environments write the same files", stack.tell)
    sensors = Sensors(stack)
    functions = [sensors.function, sensors.other]
    batches = [sensors.readings(5) for _ in range(_WRITERS * _BATCHES)]
    with ThreadPoolExecutor(_WRITERS) as pool:
        answers = list(
            pool.map(
                lambda numbered: sensors.call(
                    {"readings": numbered[1], "pause": 0.02}, functions[numbered[0] % 2]
                ),
                enumerate(batches),
            )
        )
    require(all(one.get("new") == 5 for one in answers), f"an answer is not as it should be: {answers}")
    for function in functions:
        sensors.check(function)
    require(len(sensors.environments) > 1, "all readings went to one environment")
    story.fact("readings", len(sensors.sent))
    story.fact("environments", "several")
    story.say(
        f"Sent {len(sensors.sent)} readings by {_WRITERS} writers at once, to {len(sensors.environments)} "
        "environments of two functions: the journal has each, once."
    )
    again = sensors.call({"readings": batches[0]})
    require((again["new"], again["duplicates"]) == (0, 5), f"a duplicate: {again}")
    mixed = sensors.call({"readings": [{"id": 1}, *sensors.readings(1)]})
    require((mixed["new"], len(mixed["bad"])) == (1, 1), f"a bad reading among good ones: {mixed}")
    sensors.check()
    story.fact("duplicates", again["duplicates"])
    story.say(
        "Sent a batch again, and a bad reading: the duplicates did not count, the bad one was returned."
    )
    return story.outcome()


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """A writer that is killed, a new model, missing permissions, a mount target that cannot be reached.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Killed writer, no permission, unreachable mount target", stack.tell)
    sensors = Sensors(stack)
    _kill(sensors, story)
    model = {"version": sensors.check()["model"] + 1, "factors": {sensors.sensor: 10}}
    sensors.call({"model": model}, sensors.other)
    require(sensors.check()["model"] < model["version"], "a warm environment has loaded the model again")
    with faults.environment(sensors.function, NEW="environments"):
        require(sensors.check()["model"] == model["version"], "a new environment has not loaded the model")
        sensors.call({"readings": [{"id": uuid4().hex, "sensor": sensors.sensor, "value": 1}]})
        sensors.sent["by the model"] = 10
        sensors.check()
    story.fact("files survive a new configuration", "yes")
    story.say(
        "Published a model, and changed the function: its new environments loaded it; the files are there."
    )
    role = faults.role_of(sensors.function)
    for action, expected in (
        ("elasticfilesystem:ClientMount", "EFSMountFailureException"),
        ("elasticfilesystem:ClientWrite", "OSError"),
    ):
        with faults.without_permission(role, action), faults.environment(sensors.function, NEW=action):
            found = sensors.error() if "Mount" in action else str(sensors.call({"readings": []}))
        require(expected in found, f"without {action}: {found}")
        story.fact(f"without {action.partition(':')[2]}", expected)
    story.say("Without ClientMount, no new environment starts; without ClientWrite, files can only be read.")
    with _unreachable(stack, sensors.function), faults.environment(sensors.function, NEW="zone"):
        found = sensors.error()
    require(found == "EFSMountConnectivityException", f"with an unreachable mount target: {found}")
    story.fact("unreachable mount target", found)
    sensors.check(sensors.other)
    sensors.check()
    story.say("With a mount target that lets nothing in, the same. Put back, all readings are there.")
    return story.outcome()


def _kill(sensors: Sensors, story: Story) -> None:
    """Kill a writer after it has written the journal, before it replaces the summary."""
    batch = sensors.readings(5)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(sensors.call, {"readings": batch, "pause": 8})

        def check() -> None:
            if not sensors.call({}, sensors.other)["uncounted"]:
                raise NotYet("the summary is complete")

        sensors.stack.wait_until(check, "a writer that has written the journal only")
        sensors.stack.faults.kill(sensors.function)
        died = writing.result()
    require(died.get("errorType") == "Runtime.ExitError", f"the writer ended with {died}")
    again = sensors.call({"readings": batch}, sensors.other)
    require((again["new"], again["duplicates"]) == (0, 5), f"the retry of its sender: {again}")
    sensors.check()
    story.fact("readings of a killed writer", "counted once")
    story.say("Killed a writer between its two files, and sent its batch again: each reading counts once.")


@contextmanager
def _unreachable(stack: DeployedStack, function: str) -> Iterator[None]:
    """Give one mount target a security group that lets nothing in, while the body runs."""
    efs = stack.client("efs")
    network = stack.client("lambda").get_function_configuration(FunctionName=function)["VpcConfig"]
    targets = efs.describe_mount_targets(FileSystemId=stack.output("FileSystemId"))["MountTargets"]
    target = targets[0]["MountTargetId"]
    before = efs.describe_mount_target_security_groups(MountTargetId=target)["SecurityGroups"]
    efs.modify_mount_target_security_groups(MountTargetId=target, SecurityGroups=network["SecurityGroupIds"])
    try:
        yield
    finally:
        efs.modify_mount_target_security_groups(MountTargetId=target, SecurityGroups=before)


def smoke(stack: DeployedStack, output: str) -> None:
    """Exercise each permission of a function.

    Raises:
        ScenarioFailed: The readings are not in the files.
    """
    sensors = Sensors(stack)
    function = stack.output(output)
    try:
        answer = sensors.call({"readings": sensors.readings(1)}, function)
    except ClientError as error:
        raise ScenarioFailed(f"{error.response['Error']}") from error
    require(answer.get("new") == 1, f"the answer is {answer}")
    sensors.check(function)


def one_batch(stack: DeployedStack) -> None:
    """Send a reading."""
    sensors = Sensors(stack)
    sensors.call({"readings": sensors.readings(1)})


EVENT = BilledEvent("a call with one reading", one_batch)

ROLES = tuple(
    Covered(output, partial(smoke, output=output), new_instances=True)
    for output in ("FunctionName", "OtherFunctionName")
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return nothing: what is in the files is the journal, which only grows."""
    del stack
    return []
