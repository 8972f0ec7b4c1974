"""Orders for asynchronous functions, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any

import pytest

from localaws import LocalAws
from scenarios.framework import DeployedStack, NotYet, Outcome, require
from scenarios.messaging.async_function.orders import Orders
from scenarios.support.faults import Faults
from scenarios.support.redrive import parse, redrive
from scenarios.support.soak import soak
from tests.local.killing import kill_environments

pytestmark = pytest.mark.local

#: How many events the soak sends.
EVENTS = int(os.environ.get("SOAK_EVENTS", "10000"))
PATIENCE = 400


def test_each_kind_of_destination_gets_its_records(outcome: Outcome) -> None:
    facts = outcome.facts
    assert (facts["success records"], facts["failure records"], facts["dead letters"]) == (4, 5, 2)
    assert facts["attempts with one request id"] == 3


def test_nothing_is_lost_or_repeated_by_a_crash_a_throttle_or_a_bad_destination(drilled: Outcome) -> None:
    facts = drilled.facts
    assert facts["attempts of the crashed event"] == 2
    assert (facts["throttled for too long"], facts["redriven"]) == ("EventAgeExceeded", 2)
    assert facts["undelivered records"] == 6


class Traffic:
    """Orders, some of them twice, and some that cannot be shipped."""

    action = "dynamodb:UpdateItem"

    def __init__(self, orders: Orders, stack: DeployedStack) -> None:
        self.function = orders.functions["Queue"]
        self._orders, self._stack = orders, stack
        self._sent: list[dict[str, Any]] = []
        self._poison: set[str] = set()
        self._done = 0

    def send(self, count: int) -> None:
        """Send orders, a tenth of them twice, and one of a hundred that cannot be shipped."""
        with self._orders.concurrency("Queue", 3):  # fewer than the events that Lambda tries at a time
            good = [self._orders.order() for _ in range(count * 9 // 10)]
            for order in [*good, *good[: count - len(good)]]:
                self._orders.send("Queue", order)
            for poison in [self._orders.order(quantity=0) for _ in range(max(1, count // 100))]:
                self._orders.send("Queue", poison)
                self._poison.add(poison["order_id"])
        self._sent += good

    def poisoned_only(self) -> None:
        """All good orders are shipped, once each, and the failure queue has all poison.

        An order whose attempts all came while a killed one still counted as in progress is redriven: here
        the retries come after less than a timeout.
        """
        self._redrive_good()
        while self._done < len(self._sent):
            if self._orders.shipped(self._sent[self._done]) is None:
                raise NotYet(f"{self._done} of {len(self._sent)} orders are shipped")
            self._done += 1
        failed = {parse(one).event["order_id"] for one in self._orders.failed.poll()}
        if not failed >= self._poison:
            raise NotYet(f"{len(self._poison - failed)} bad orders are not in the failure queue")

    recover = poisoned_only

    def _redrive_good(self) -> None:
        failed = [parse(one) for one in self._orders.failed.poll()]
        good = [one for one in failed if one.event["order_id"] not in self._poison]
        wrong = [one.reason for one in good if "InvalidOrder" in one.reason]
        require(not wrong, f"good orders were refused: {wrong}")
        if good:
            self._orders.failed.release()
            queue = self._stack.output("QueueFailureQueueUrl")
            redrive(self._stack.session, queue_url=queue, function_name=self.function)


@pytest.mark.full
def test_ten_thousand_events_with_crashes_and_throttles_have_one_effect_each(
    stack: DeployedStack, faults: Faults, local_aws: LocalAws
) -> None:
    with closing(Orders(stack)) as orders:
        traffic = Traffic(orders, stack)
        soak(traffic, faults, lambda: kill_environments(local_aws, traffic.function), EVENTS, PATIENCE)
