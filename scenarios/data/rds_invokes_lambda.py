"""Inserts orders whose trigger invokes a function, rolls back, and takes the role of the database away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.support.failure_queue import Messages
from scenarios.support.faults import Faults
from scenarios.support.leftovers import in_queues, in_tables
from scenarios.support.migration import migrate

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {
    "AWS::Lambda::Function.VpcConfig": "functions run on this machine and no packet is filtered; the tests "
    "of the template check the security groups",
    "AWS::RDS::DBInstance.DeleteAutomatedBackups": "there are no backups that could outlive the database",
    "AWS::RDS::DBInstance.EnableCloudwatchLogsExports": "the scenario does not read the server's log",
}

_ITEM, _UNKNOWN = "book", "unicorn"
_TIMEOUT = "aws_lambda.request_timeout_ms"


class Orders:
    """The orders of one run.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.stack = stack
        self._lambda, self._dynamodb = stack.client("lambda"), stack.client("dynamodb")
        self._placed: list[str] = []

    def place(self, notify: str, item: str = _ITEM) -> dict[str, Any]:
        """Place a new order, and return the answer."""
        self._placed.append(f"order-{uuid4().hex[:12]}")
        return self._call({"order_id": self._placed[-1], "item": item, "notify": notify})

    def deliver(self) -> dict[str, Any]:
        """Deliver the outbox, as the schedule does every minute."""
        return self._call({"deliver": True})

    def received(self, order: Mapping[str, Any]) -> bool:
        """Whether the receiver has recorded an order."""
        answer = self._dynamodb.get_item(
            TableName=self.stack.output("ReceivedTableName"),
            Key={"order_id": {"S": order["order_id"]}},
            ConsistentRead=True,
        )
        return "Item" in answer

    def wait_for(self, order: Mapping[str, Any], before: Callable[[], object] = lambda: None) -> None:
        """Wait until the receiver has recorded an order."""

        def check() -> None:
            before()
            if not self.received(order):
                raise NotYet(f"{order['order_id']} is not there")

        self.stack.wait_until(check, what=f"order by {order['notify']} at the receiver")

    def close(self) -> None:
        """Delete what the receiver has recorded. The database keeps its orders."""
        for order_id in self._placed:
            self._dynamodb.delete_item(
                TableName=self.stack.output("ReceivedTableName"), Key={"order_id": {"S": order_id}}
            )

    def _call(self, event: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._lambda.invoke(
            FunctionName=self.stack.output("FunctionName"), Payload=json.dumps(event)
        )
        payload: dict[str, Any] = json.loads(answer["Payload"].read())
        require("FunctionError" not in answer, f"{event} failed: {payload}")
        return payload


@contextmanager
def _ordering(stack: DeployedStack) -> Iterator[Orders]:
    orders = Orders(stack)
    try:
        yield orders
    finally:
        orders.close()


def run(stack: DeployedStack) -> Outcome:
    """Each way to notify, with a commit and with a rollback.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("What a rollback does not undo", stack.tell)
    with _ordering(stack) as orders:
        for notify in ("RequestResponse", "Event"):
            order = orders.place(notify)
            require(order["accepted"], f"the order was not accepted: {order}")
            orders.wait_for(order)
        story.say("Inserted an order by RequestResponse and one by Event: the receiver has both.")
        phantoms = 0
        for notify in ("RequestResponse", "Event"):
            order = orders.place(notify, _UNKNOWN)
            require(not order["accepted"], f"an order for what does not exist was accepted: {order}")
            orders.wait_for(order)
            phantoms += 1
        story.fact("phantom orders", phantoms)
        story.say(
            "Inserted the same for an item that does not exist: each transaction was rolled back at its "
            f"commit, and the receiver has {phantoms} orders that are not in the database."
        )
        rolled_back = orders.place("outbox", _UNKNOWN)
        require(not rolled_back["accepted"], "an order for what does not exist was accepted")
        order = orders.place("outbox")
        orders.wait_for(order, before=orders.deliver)
        require(not orders.received(rolled_back), "the outbox has a message of a transaction rolled back")
        story.fact("phantom orders of the outbox", 0)
        story.say(
            "Through the outbox: a message was rolled back with its order, and that of a commit arrived."
        )
    return story.outcome()


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """No role, no permission, a receiver that fails, a time-out.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("The receiver cannot be invoked", stack.tell)
    role = stack.output("DatabaseRoleArn").rpartition("/")[2]
    with _ordering(stack) as orders:
        with _without_role(stack):
            _refused(orders, story, "role", "credentials", "Removed the role from the instance")
            kept = orders.place("outbox")
            require(kept["accepted"], f"the outbox needs no role to take an order: {kept}")
            _wait_for_a_failure(orders)
        orders.wait_for(kept, before=orders.deliver)
        story.say("An order through the outbox was accepted meanwhile, and delivered when the role was back.")
        with faults.without_permission(role, "lambda:InvokeFunction"):
            reason = "not authorized to perform: lambda:InvokeFunction"
            _refused(orders, story, "permission", reason, "Removed lambda:InvokeFunction from the role")
        receiver = faults.role_of(stack.output("ReceiverName"))
        with faults.without_permission(receiver, "dynamodb:PutItem"):
            _refused(orders, story, "receiver", "lambda invocation failed", "Broke the receiver")
            event = orders.place("Event")
            require(event["accepted"], f"an Event waits for no answer: {event}")
            _wait_for_failed(stack, event)
            story.fact("failed event", "in the failure queue")
            story.say(
                "An Event was accepted with its order, and is in the failure queue after three attempts."
            )
        with _timeout_of(stack, "1"):
            order = orders.place("RequestResponse")
            require("Timeout" in order.get("reason", ""), f"a time-out was answered with {order}")
            orders.wait_for(order)
        story.fact("time-out", "rolled back, and received")
        story.say("With a time-out of 1 ms the order was rolled back, and the receiver got it all the same.")
    return story.outcome()


def _refused(orders: Orders, story: Story, what: str, reason: str, did: str) -> None:
    """Place an order whose invocation fails: it is rolled back, and the receiver has nothing of it."""
    order = orders.place("RequestResponse")
    require(not order["accepted"], f"the order was accepted: {order}")
    require(reason in order["reason"], f"without {what}: {order['reason']}")
    require(not orders.received(order), "the receiver has the order")
    story.fact(f"without {what}", "rolled back")
    story.say(f"{did}: the statement failed ({reason}), and the order was rolled back.")


def _wait_for_a_failure(orders: Orders) -> None:
    def check() -> None:
        if not orders.deliver()["failed"]:
            raise NotYet("no message failed; the schedule has it")

    orders.stack.wait_until(check, what="a failed delivery")


def _wait_for_failed(stack: DeployedStack, order: Mapping[str, Any]) -> None:
    queue = Messages(stack.patient, stack.output("FailedQueueUrl"), lambda body: order["order_id"] in body)
    queue.wait_for(1)
    queue.close()


@contextmanager
def _without_role(stack: DeployedStack) -> Iterator[None]:
    rds, which = (
        stack.client("rds"),
        {
            "DBInstanceIdentifier": stack.output("DatabaseIdentifier"),
            "RoleArn": stack.output("DatabaseRoleArn"),
            "FeatureName": "Lambda",
        },
    )
    rds.remove_role_from_db_instance(**which)
    try:
        yield
    finally:
        rds.add_role_to_db_instance(**which)


@contextmanager
def _timeout_of(stack: DeployedStack, milliseconds: str) -> Iterator[None]:
    rds, name = stack.client("rds"), stack.output("DatabaseIdentifier")
    [instance] = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
    group = instance["DBParameterGroups"][0]["DBParameterGroupName"]

    def change(value: str) -> None:
        changed = {"ParameterName": _TIMEOUT, "ParameterValue": value, "ApplyMethod": "immediate"}
        rds.modify_db_parameter_group(DBParameterGroupName=group, Parameters=[changed])

    change(milliseconds)
    try:
        yield
    finally:
        change("30000")


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission once.

    Raises:
        ScenarioFailed: The order was not accepted, or did not arrive.
    """
    with _ordering(stack) as orders:
        order = orders.place("RequestResponse")
        require(order["accepted"], f"the order was not accepted: {order}")
        require(orders.received(order), "the order did not arrive")


def smoke_of_proxy(stack: DeployedStack) -> None:
    """Let the proxy log in as the owner with the secret, and as the function's user with IAM.

    Raises:
        ScenarioFailed: Migration or order failed.
    """
    migrate(stack)
    smoke(stack)


# What rds-proxy proves of the first three in every run, the longer proofs prove here, too. New execution
# environments, because an open connection outlives the permission to connect.
def one_order(stack: DeployedStack) -> None:
    """Place an order; it stays."""
    Orders(stack).place("RequestResponse")


EVENT = BilledEvent("an order, whose trigger invokes the receiver", one_order)

ROLES = (
    Covered("FunctionName", smoke, new_instances=True, takes_long=True),
    Covered("MigrationName", migrate, takes_long=True),
    Covered("ProxyName", smoke_of_proxy, function="FunctionName", new_instances=True, takes_long=True),
    # Only the drill sends to the failure queue.
    Covered("ReceiverName", smoke, only_for_failures=frozenset({"sqs:SendMessage"})),
    Covered("DatabaseRoleArn", smoke, function="ReceiverName"),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what a run or a drill left behind."""
    return in_tables(stack) + in_queues(stack)
