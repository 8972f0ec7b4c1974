"""The orders of one run: publishes them, and finds what the consumers did and what was not delivered."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from scenarios.framework import DeployedStack, NotYet, require
from scenarios.support.failure_queue import failed_of_run, undelivered_of_run

CONSUMERS = ("Invoices", "Mails")


class Orders:
    """The orders of one run.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.run_id = uuid4().hex[:8]
        self.stack = stack
        self.bus = stack.output("EventBusName")
        self.events = stack.client("events")
        self._lambda, self._dynamodb = stack.client("lambda"), stack.client("dynamodb")
        self._patient = stack.patient
        self._ids: set[str] = set()
        self.failed = failed_of_run(self._patient, self.run_id, CONSUMERS)
        self.undelivered = undelivered_of_run(stack, self.run_id, CONSUMERS)

    def order(self, quantity: Any = 1) -> dict[str, Any]:
        """Make an order; with a quantity of 0 it is malformed."""
        order_id = f"{self.run_id}-{uuid4().hex[:12]}"
        self._ids.add(order_id)
        return {"order_id": order_id, "quantity": quantity}

    def publish(self, *orders: dict[str, Any]) -> dict[str, Any]:
        """Let the shop publish orders; return its answer."""
        answer = self._lambda.invoke(
            FunctionName=self.stack.output("PublisherFunctionName"),
            Payload=json.dumps({"orders": orders}),
        )
        found: dict[str, Any] = json.load(answer["Payload"])
        return found

    def put(self, order: dict[str, Any], *, at: int | None = None, client: Any = None, bus: str = "") -> None:
        """Publish an order past the shop, which checks it."""
        entry = {"Source": "shop", "DetailType": "OrderPlaced", "Detail": json.dumps(order)}
        more = {"EventBusName": bus or self.bus} | ({"Time": at} if at else {})
        answer = (client or self.events).put_events(Entries=[{**entry, **more}])
        require(answer["FailedEntryCount"] == 0, f"the event was refused: {answer['Entries']}")

    def has(self, consumer: str, order: dict[str, Any]) -> bool:
        """Whether a consumer has acted on an order.

        Raises:
            ScenarioFailed: It has more than once.
        """
        key = {"consumer": {"S": consumer}, "order_id": {"S": order["order_id"]}}
        table = self.stack.output("EffectsTableName")
        item = self._dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
        require(item is None or item["times"] == {"N": "1"}, f"{consumer}: more than one effect: {item}")
        return item is not None

    def wait_for(self, *orders: dict[str, Any], consumers: tuple[str, ...] = CONSUMERS) -> None:
        """Wait until each consumer has acted on these orders."""

        def check() -> None:
            missing = [(one, order) for order in orders for one in consumers if not self.has(one, order)]
            if missing:
                raise NotYet(f"{len(missing)} are missing: {missing[0]}")

        self._patient.wait_until(check, "invoices and mails")

    def outcomes(self, consumer: str, order: dict[str, Any]) -> list[tuple[str, str]]:
        """What a consumer has logged about an order: each outcome, and the name of the replay."""
        lines = self._log(consumer)
        return [(one["outcome"], one["replay"]) for one in lines if one["order_id"] == order["order_id"]]

    def wait_for_outcomes(self, consumer: str, order: dict[str, Any], count: int) -> list[tuple[str, str]]:
        """Wait until a consumer has logged this number of outcomes of an order, and return them."""

        def check() -> list[tuple[str, str]]:
            if len(found := self.outcomes(consumer, order)) < count:
                raise NotYet(f"{found}")
            return found

        return self.stack.wait_until(check, f"log of {consumer}")

    def replay(self, at: int, *rules: str) -> str:
        """Replay the events of a second to some rules, or to all; return the name when it is complete."""
        name = f"{self.run_id}-{uuid4().hex[:8]}"
        self.events.start_replay(
            ReplayName=name,
            EventSourceArn=self.stack.output("ArchiveArn"),
            EventStartTime=at,
            EventEndTime=at + 1,
            Destination={"Arn": self.stack.output("EventBusArn"), "FilterArns": list(rules)},
        )

        def check() -> None:
            state = self.events.describe_replay(ReplayName=name)["State"]
            if state != "COMPLETED":
                raise NotYet(state)

        self.stack.wait_until(check, f"replay {name}")
        return name

    def moment(self) -> int:
        """A second that no other run uses, long ago."""
        return int(time.time()) - 10**6 - int(self.run_id, 16) % 10**8

    def close(self) -> None:
        """Delete invoices, mails and messages."""
        for consumer in CONSUMERS:
            for order_id in self._ids:
                self._dynamodb.delete_item(
                    TableName=self.stack.output("EffectsTableName"),
                    Key={"consumer": {"S": consumer}, "order_id": {"S": order_id}},
                )
            self.failed[consumer].close()
            self.undelivered[consumer].close()

    def _log(self, consumer: str) -> Iterator[dict[str, Any]]:
        settings = self._lambda.get_function_configuration(
            FunctionName=self.stack.output(f"{consumer}FunctionName")
        )
        pages = self.stack.client("logs").get_paginator("filter_log_events")
        for page in pages.paginate(logGroupName=settings["LoggingConfig"]["LogGroup"]):
            for event in page["events"]:
                if event["message"].startswith("{") and '"outcome"' in event["message"]:
                    yield json.loads(event["message"])
