"""Orders on a bus, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from scenarios.events.event_bus import publish
from scenarios.events.event_bus.orders import Orders
from scenarios.framework import DeployedStack, Outcome, Story
from scenarios.support.faults import Faults
from tasks import redrive

pytestmark = pytest.mark.local


def test_each_order_has_one_effect_and_only_good_ones_are_published(outcome: Outcome) -> None:
    facts = outcome.facts
    assert (facts["orders"], facts["malformed order"]) == (12, "InvalidEvent")
    assert facts["requests that were throttled in part"] == 1
    assert facts["outcomes of an order published twice"] == "done, duplicate"
    assert [facts[f"attempts of the poison event, {name}"] for name in ("Invoices", "Mails")] == [3, 3]


def test_a_real_account_is_not_throttled(stack: DeployedStack) -> None:
    story = Story("")
    with closing(Orders(stack)) as orders:
        good = [orders.order() for _ in range(12)]
        publish(replace(stack, faults=None), orders, good, story)
        orders.wait_for(*good)
    assert story.outcome().facts == {}


def test_a_lost_event_is_replayed_to_one_rule_and_other_accounts_need_both_policies(drilled: Outcome) -> None:
    facts = drilled.facts
    assert (facts["retries after NO_RESOURCE"], facts["retries after NO_PERMISSIONS"]) == (0, 0)
    assert facts["outcomes of two replays of a lost order"] == "done, duplicate"
    assert (facts["replays that reached the mails"], facts["redriven"]) == (1, 1)
    published = [name for name, seen in facts.items() if seen == "published"]
    assert published == [
        "a statement for the account, with identity policy",
        "a statement for the organization, with identity policy",
    ]


def test_the_task_redrive_sends_what_eventbridge_could_not_deliver(
    stack: DeployedStack, faults: Faults
) -> None:
    with closing(Orders(stack)) as orders:
        with faults.not_admitting(stack.output("MailsFunctionName"), "events.amazonaws.com"):
            lost = orders.order()
            orders.put(lost)
            orders.undelivered["Mails"].wait_for(1)
        orders.undelivered["Mails"].release()
        assert redrive.run(stack, limit=10, dry_run=False).resent == 1
        orders.wait_for(lost)
