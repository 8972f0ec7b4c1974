"""Publishes orders, good and bad, once and twice; breaks the delivery, and replays what got lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

from scenarios.events.event_bus.orders import CONSUMERS, Orders
from scenarios.events.event_bus.other_account import publish_from_another_account
from scenarios.framework import BilledEvent, Covered, DeployedStack, Outcome, Story, require
from scenarios.support import leftovers as left
from scenarios.support.faults import Faults
from scenarios.support.redrive import redrive

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}


def run(stack: DeployedStack) -> Outcome:
    """Each order has one invoice and one mail; the publisher refuses a malformed one, a poison one fails.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("What happened is published once, and acted on once by each consumer", stack.tell)
    with closing(Orders(stack)) as orders:
        good = [orders.order() for _ in range(12)]
        publish(stack, orders, good, story)
        poison = orders.order(quantity=0)
        orders.put(poison)
        orders.wait_for(*good)
        story.fact("orders", len(good))
        story.say("Each order has an invoice and a mail.")
        mixed = [orders.order(), orders.order(quantity=0)]
        answer = orders.publish(*mixed)
        require(answer.get("errorType") == "InvalidEvent", f"the shop answered {answer}")
        story.fact("malformed order", answer["errorType"])
        story.say(f"The publisher refused a request with a malformed order: {answer['errorMessage']}.")
        orders.publish(*good[:2])
        for consumer in CONSUMERS:
            for order in good[:2]:
                seen = sorted(outcome for outcome, _ in orders.wait_for_outcomes(consumer, order, 2))
                require(seen == ["done", "duplicate"], f"{consumer}: the outcomes of a duplicate are {seen}")
                require(orders.has(consumer, order), "an invoice or mail is gone")
            require(not orders.has(consumer, mixed[0]), "a part of a refused request was published")
        story.fact("outcomes of an order published twice", "done, duplicate")
        story.say("Published two orders again: both consumers recognised them by their id.")
        for consumer in CONSUMERS:
            (failed,) = orders.failed[consumer].wait_for(1)
            require((failed.condition, failed.attempts) == ("RetriesExhausted", 3), f"it has {failed}")
            require(not orders.undelivered[consumer].poll(), f"{consumer}: an event was not delivered")
            story.fact(f"attempts of the poison event, {consumer}", failed.attempts or 0)
        story.say(
            "A poison event, past the publisher: it was tried three times, and is in both failure queues."
        )
    return story.outcome()


def publish(stack: DeployedStack, orders: Orders, good: list[dict[str, Any]], story: Story) -> None:
    """Publish orders, of which EventBridge refuses some the first time."""
    if stack.faults is None:
        answer = orders.publish(*good)
        sent = (
            "Published 12 orders in two requests. Not shown: a request of which EventBridge throttles a part."
        )
    else:
        throttled = {"error": "ThrottlingException", "entries": 3, "times": 1}
        with stack.faults.api("events", "PutEvents", **throttled) as fault:
            answer = orders.publish(*good)
            story.fact("requests that were throttled in part", fault.applied)
        sent = "Published 12 orders in two requests, and again the 3 of the first one that were throttled."
    require(answer == {"published": 12}, f"the shop answered {answer}")
    story.say(sent)


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """EventBridge cannot deliver, an archive brings the events back, and other accounts publish.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("What EventBridge cannot deliver is not lost", stack.tell)
    with closing(Orders(stack)) as orders:
        at, function = orders.moment(), stack.output("InvoicesFunctionName")
        lost, before = orders.order(), orders.order()
        orders.put(before, at=at)
        with _bad_target(stack, orders):
            orders.put(lost, at=at)
            (letter,) = orders.undelivered["Invoices"].wait_for(1)
        _check(letter, "NO_RESOURCE", f"{function}-gone", story)
        story.say(
            "The target of a rule was gone: its event is at once in the dead-letter queue of the target."
        )
        orders.wait_for(lost, consumers=("Mails",))
        orders.wait_for(before)
        _replay(stack, orders, at, lost, before, story)
        with faults.not_admitting(function, "events.amazonaws.com"):
            refused = orders.order()
            orders.put(refused)
            letters = orders.undelivered["Invoices"].wait_for(2)
        (letter,) = (one for one in letters if refused["order_id"] in one["Body"])
        _check(letter, "NO_PERMISSIONS", function, story)
        orders.undelivered["Invoices"].release()
        queue = stack.output("InvoicesUndeliveredQueueUrl")
        story.fact("redriven", redrive(stack.session, queue_url=queue, function_name=function).resent)
        orders.wait_for(refused)
        story.say(
            "Without its permission to invoke the function, EventBridge sent the next event to that queue as "
            "well. Restored the permission and redrove the event."
        )
        publish_from_another_account(stack, orders, story)
    return story.outcome()


def _replay(
    stack: DeployedStack,
    orders: Orders,
    at: int,
    lost: dict[str, Any],
    before: dict[str, Any],
    story: Story,
) -> None:
    """Replay twice to one rule, and then to all: one effect, and no old mail."""
    rule = stack.output("InvoicesRuleArn")
    for _ in range(2):
        orders.replay(at, rule)
    seen = [outcome for outcome, _ in orders.wait_for_outcomes("Invoices", lost, 2)]
    require(sorted(seen) == ["done", "duplicate"], f"the outcomes of the lost order are {seen}")
    seen = [outcome for outcome, _ in orders.wait_for_outcomes("Invoices", before, 3)]
    require(sorted(seen) == ["done", "duplicate", "duplicate"], f"those of the other one are {seen}")
    story.fact("outcomes of two replays of a lost order", "done, duplicate")
    story.say("Replayed that second twice, to the rule of the invoices only: the lost order has its invoice.")
    name = orders.replay(at)
    for order in (lost, before):
        mails = orders.wait_for_outcomes("Mails", order, 2)
        require(mails == [("done", ""), ("skipped", name)], f"the outcomes of the mails are {mails}")
        require(orders.has("Invoices", order) and orders.has("Mails", order), "an effect is gone")
    story.fact("replays that reached the mails", 1)
    story.say("Replayed it to all rules: the mails skipped it, by its replay-name. They saw no other replay.")


def _check(letter: dict[str, Any], code: str, target: str, story: Story) -> None:
    found = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    expected = {"RULE_ARN", "TARGET_ARN", "ERROR_CODE", "ERROR_MESSAGE", "RETRY_ATTEMPTS"}
    require(found.keys() == expected, f"the dead letter has the attributes {sorted(found)}")
    require(found["TARGET_ARN"].endswith(f":{target}"), f"the target is {found['TARGET_ARN']}")
    require((found["ERROR_CODE"], found["RETRY_ATTEMPTS"]) == (code, "0"), f"the dead letter says {found}")
    story.fact(f"retries after {code}", int(found["RETRY_ATTEMPTS"]))


@contextmanager
def _bad_target(stack: DeployedStack, orders: Orders) -> Iterator[None]:
    """Let the rule of the invoices point to a function that does not exist while the body runs."""
    name = stack.output("InvoicesRuleArn").rpartition("/")[2]
    named = {"Rule": name, "EventBusName": orders.bus}
    targets = orders.events.list_targets_by_rule(**named)["Targets"]
    gone = [{**target, "Arn": f"{target['Arn']}-gone"} for target in targets]
    orders.events.put_targets(**named, Targets=gone)
    try:
        yield
    finally:
        orders.events.put_targets(**named, Targets=targets)


def smoke(stack: DeployedStack, consumer: str) -> None:
    """Exercise each permission of a consumer and of the publisher, unless one fails.

    Raises:
        ScenarioFailed: The order has no effect.
    """
    with closing(Orders(stack)) as orders:
        order = orders.order()
        answer = orders.publish(order)
        require(answer == {"published": 1}, f"the shop answered {answer}")
        orders.wait_for(order, consumers=(consumer,))


def one_order(stack: DeployedStack) -> None:
    """Publish an order that concerns every consumer."""
    with closing(Orders(stack)) as orders:
        order = orders.order()
        orders.publish(order)
        orders.wait_for(order)


EVENT = BilledEvent("an order that concerns every consumer", one_order)

ROLES = (
    Covered("PublisherFunctionName", partial(smoke, consumer="Invoices")),
    *(
        # Only events that failed permanently are sent to the failure queue; `run` has one.
        Covered(
            f"{name}FunctionName",
            partial(smoke, consumer=name),
            only_for_failures=frozenset({"sqs:SendMessage"}),
            takes_long=name != "Invoices",
        )
        for name in CONSUMERS
    ),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what is in table and queues, and what a drill has changed of rule and bus."""
    client, bus = stack.client("events"), stack.output("EventBusName")
    rule = stack.output("InvoicesRuleArn").rpartition("/")[2]
    targets = client.list_targets_by_rule(Rule=rule, EventBusName=bus)["Targets"]
    changed = [one["Arn"] for one in targets if one["Arn"].endswith("-gone")]
    added = (
        ["a statement of a drill"]
        if '"drill' in client.describe_event_bus(Name=bus).get("Policy", "")
        else []
    )
    return [*left.in_tables(stack), *left.in_queues(stack), *changed, *added]
