"""Sends orders to a function whose extension ships its log, and compares the bucket with what was logged."""

from __future__ import annotations

import gzip
import itertools
import json
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.support.faults import Faults

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

#: Whether the embedded AWS has to give functions a file system of their own; not every machine lets it.
NEEDS_NAMESPACES = True

#: More than the buffer of the extension (256 KiB) holds: a line is about 250 bytes.
_FLOOD = 3000


class Shop:
    """Sends orders, and reads what the extension has shipped."""

    def __init__(self, stack: DeployedStack) -> None:
        self.stack = stack
        self.function = stack.output("FunctionName")
        self._numbers = itertools.count()
        self._run = uuid.uuid4().hex[:8]
        self._read: dict[str, list[dict[str, Any]]] = {}

    def order(self, items: int) -> str:
        """Send an order; returns its id."""
        order = f"{self._run}-{next(self._numbers)}"
        answer = self.invoke({"order_id": order, "items": items})
        require(answer == {"order_id": order, "items": items}, f"the order {order} was answered {answer}")
        return order

    def invoke(self, event: dict[str, Any]) -> Any:
        """Invoke the function; returns its answer.

        It has one environment, which is busy until the extension has done its work.
        """
        lambda_ = self.stack.client("lambda")

        def call() -> Any:
            try:
                answer = lambda_.invoke(FunctionName=self.function, Payload=json.dumps(event))
            except lambda_.exceptions.TooManyRequestsException as error:
                raise NotYet(str(error)) from None
            return json.load(answer["Payload"])

        return self.stack.wait_until(call, "the environment")

    def records(self) -> list[dict[str, Any]]:
        """All records in the bucket; each object is read once."""
        s3, bucket = self.stack.client("s3"), self.stack.output("BucketName")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        for found in (one for page in pages for one in page.get("Contents", [])):
            if found["Key"] not in self._read:
                body = s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
                lines = gzip.decompress(body).decode().splitlines()
                self._read[found["Key"]] = [json.loads(line) for line in lines]
        return list(itertools.chain.from_iterable(self._read.values()))

    def shipped(self) -> Counter[str]:
        """How many different lines of each order are in the bucket."""
        logged = [one["record"] for one in self.records() if one["type"] == "function"]
        lines = {(one["order_id"], one["item"]) for one in logged if isinstance(one, dict) and "item" in one}
        return Counter(order for order, _ in lines)

    def wait_until_shipped(self, *orders: str, items: int, tick: bool = True) -> None:
        """Wait until all lines of some orders are in the bucket.

        Args:
            *orders: Their ids.
            items: How many lines each has.
            tick: Whether to invoke the function meanwhile: an extension can only act then, or at the end.
        """

        def check() -> None:
            if tick:
                self.order(0)
            found = self.shipped()
            missing = {order: found[order] for order in orders if found[order] < items}
            if missing:
                raise NotYet(f"of {items} lines each, {missing} are in the bucket")

        self.stack.wait_until(check, "the lines of the orders in the bucket")


def run(stack: DeployedStack) -> Outcome:
    """Orders are answered, and all of their lines come to the bucket, with the reports of the platform.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story, shop = Story("Every line that a function logs is shipped", stack.tell), Shop(stack)
    orders = [shop.order(3) for _ in range(5)]
    story.say(f"Sent {len(orders)} orders, which log 3 lines each; all were answered.")
    shop.wait_until_shipped(*orders, items=3)
    story.fact("lines", sum(shop.shipped()[order] for order in orders))
    story.say(f"All {story.outcome().facts['lines']} lines are in the bucket, in compressed batches.")
    reported = stack.wait_until(lambda: _reported(shop, len(orders)), "the reports of the platform")
    story.fact("invocations with a report", min(reported, len(orders)))
    story.say("So are the start and the report of their invocations, with its duration.")
    return story.outcome()


def _reported(shop: Shop, least: int) -> int:
    """How many invocations have their start and their report in the bucket."""
    shop.order(0)
    ids: dict[str, set[str]] = {"platform.start": set(), "platform.report": set()}
    for one in shop.records():
        if one["type"] in ids:
            ids[one["type"]].add(one["record"]["requestId"])
    found = len(ids["platform.start"] & ids["platform.report"])
    if found < least:
        raise NotYet(f"{found} of {least}")
    return found


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """The bucket refuses, is slow, and gets too much; the environment ends; the extension crashes.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story, shop = Story("Refusal, delay, flood, end, crash", stack.tell), Shop(stack)
    _refuse(shop, faults, story)
    _delay(shop, story)
    _flood(shop, faults, story)
    last = shop.order(3)
    with faults.environment(shop.function, RELEASE="next"):
        shop.wait_until_shipped(last, items=3, tick=False)
    story.fact("lines shipped at the end", shop.shipped()[last])
    story.say("Changed the function: its environment ended, and shipped the last order on SHUTDOWN.")
    with faults.environment(shop.function, LOG_SHIPPING_BUFFER_BYTES="many"):
        failed = shop.invoke({"order_id": "none", "items": 0})
    require(failed.get("errorType") == "Extension.Crash", f"with a broken extension: {failed}")
    story.fact("with a broken extension", failed["errorType"])
    story.say("With an extension that cannot start, every invocation fails: Extension.Crash. Repaired it.")
    shop.wait_until_shipped(shop.order(3), items=3)
    return story.outcome()


def _refuse(shop: Shop, faults: Faults, story: Story) -> None:
    with faults.without_permission(faults.role_of(shop.function), "s3:PutObject"):
        orders = [shop.order(3) for _ in range(3)]
        _wait_for_warning(shop, "not shipped")
    shop.wait_until_shipped(*orders, items=3)
    story.fact("lines retained", sum(shop.shipped()[order] for order in orders))
    story.say(
        "Without its permission the extension retained 9 lines; all orders were answered. Shipped later."
    )


def _delay(shop: Shop, story: Story) -> None:
    with shop.stack.faults.api("s3", "PutObject", latency=5) as slow:
        orders = [shop.order(3)]

        def check() -> None:
            orders.append(shop.order(3))
            if not slow.applied:
                raise NotYet("the extension has not written")

        shop.stack.wait_until(check, "a batch that the bucket does not take in time")
    story.fact("answered while the bucket was slow", len(orders) > 1)
    shop.wait_until_shipped(*orders, items=3)
    story.say(
        "While the bucket took 5 s for each batch, orders were answered as before, and nothing was lost."
    )


def _flood(shop: Shop, faults: Faults, story: Story) -> None:
    role = faults.role_of(shop.function)
    before = _dropped(shop)
    with faults.without_permission(role, "s3:PutObject"):
        flood = shop.order(_FLOOD)

    def check() -> None:
        shop.order(0)
        if (found := shop.shipped()[flood] + _dropped(shop) - before) < _FLOOD:
            raise NotYet(f"{found} of {_FLOOD} lines are shipped or reported as dropped")

    shop.stack.wait_until(check, "the flood")
    shipped, dropped = shop.shipped()[flood], _dropped(shop) - before
    require(dropped > 0 and shipped > 0, f"{shipped} lines were shipped, and {dropped} dropped")
    story.fact("lines of the flood", shipped + dropped)
    story.fact("some were dropped", dropped > 0)
    story.say(f"Logged {_FLOOD:,} lines at once: the buffer took {shipped:,}, and {dropped:,} are reported.")


def _dropped(shop: Shop) -> int:
    reports = [one["record"] for one in shop.records() if one["type"] == "extension.dropped"]
    return sum(one.get("function", 0) for one in reports)


def _wait_for_warning(shop: Shop, text: str) -> None:
    """Wait until the extension has written into the log of the function that it could not ship."""
    logs, group = shop.stack.client("logs"), shop.stack.output("LogGroupName")

    def check() -> None:
        shop.order(0)
        if not logs.filter_log_events(logGroupName=group, filterPattern=f'"log shipping: {text}"')["events"]:
            raise NotYet("no warning yet")

    shop.stack.wait_until(check, f"the warning '{text}'")


def smoke(stack: DeployedStack) -> None:
    """Exercise the permission to write.

    Raises:
        ScenarioFailed: The lines of an order were not shipped.
    """
    shop = Shop(stack)
    shop.wait_until_shipped(shop.order(1), items=1)


#: The next call stores the lines.
EVENT = BilledEvent(
    "a call, whose lines make an object of their own",
    lambda stack: Shop(stack).order(1),
    also={"S3 PUT requests": 1},
)

ROLES = (Covered("FunctionName", smoke),)


def leftovers(stack: DeployedStack) -> list[str]:
    """Nothing: the bucket is a log, in which records stay."""
    return []
