"""Sends orders to five functions with the same handler, and compares parcels and records with the orders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from typing import Any

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.messaging.async_function.orders import KINDS, Orders, Record
from scenarios.support import leftovers as left
from scenarios.support.faults import Faults
from scenarios.support.redrive import redrive

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

#: What each function needs to send to its destination.
_PERMISSIONS = {
    "Queue": ("sqs:SendMessage",),
    "Topic": ("sns:Publish",),
    "Function": ("lambda:InvokeFunction",),
    "Bus": ("events:PutEvents",),
    "Bucket": ("s3:ListBucket", "s3:PutObject"),
}


def run(stack: DeployedStack) -> Outcome:
    """Good and bad orders to each function, and duplicates: each is reported, and shipped once.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Every event is reported, and has one effect", stack.tell)
    with closing(Orders(stack)) as orders:
        good = {kind: orders.order() for kind in KINDS}
        sent = {kind: orders.send(kind, order) for kind, order in good.items()}
        for kind, order in good.items():
            parcel = orders.wait_until_shipped(order)
            require(parcel == sent[kind], f"{kind}: the order was shipped as {parcel}")
            if kind != "Bucket":  # a destination for failures only
                record = orders.record(kind, sent[kind])
                _check(kind, record, sent[kind], order, "Success", 1)
        story.fact("success records", len(KINDS) - 1)
        story.say(
            "Sent an order to each function: queue, topic, function and bus have the record of its success."
        )
        bad = {kind: orders.order(quantity=0) for kind in KINDS}
        refused = {kind: orders.send(kind, order) for kind, order in bad.items()}
        for kind, attempts in KINDS.items():
            record = orders.record(kind, refused[kind])
            _check(kind, record, refused[kind], bad[kind], "RetriesExhausted", attempts)
        story.fact("failure records", len(KINDS))
        story.say("Sent an order that cannot be shipped to each: these and the bucket have its failure.")
        for kind in ("Queue", "Topic"):
            letter = orders.dead_letter(refused[kind])
            require(json.loads(letter["Body"]) == bad[kind], f"{kind}: the dead letter is {letter['Body']}")
            error = letter["MessageAttributes"]["ErrorMessage"]["StringValue"]
            require("quantity must be" in error, f"{kind}: the dead letter has the error {error}")
        story.fact("dead letters", 2)
        story.say("The dead-letter queue and the dead-letter topic have the bare events as well.")
        ids = [line.get("function_request_id") for line in orders.log("Queue")]
        require(ids.count(refused["Queue"]) == KINDS["Queue"], f"the log has the request ids {ids}")
        story.fact("attempts with one request id", KINDS["Queue"])
        story.say(f"All {KINDS['Queue']} attempts of an event logged the same request id.")
        _send_twice(orders, good["Queue"], story)
    return story.outcome()


def _check(
    kind: str, record: Record, request_id: str, order: dict[str, Any], condition: str, attempts: int
) -> None:
    """Check the form of a record, as Lambda documents it."""
    good = condition == "Success"
    if kind == "Bus":
        expected = f"Lambda Function Invocation Result - {'Success' if good else 'Failure'}"
        require(record["detail-type"] == expected, f"the event of the bus is {record}")
        record = record["detail"]
    context, answer = record["requestContext"], record["responsePayload"]
    seen = {name: context[name] for name in ("requestId", "condition", "approximateInvokeCount")}
    expected_context = {
        "requestId": request_id,
        "condition": condition,
        "approximateInvokeCount": attempts,
    }
    require(seen == expected_context, f"{kind}: {seen} instead of {expected_context}")
    require(record["version"] == "1.0" and record["timestamp"].endswith("Z"), f"{kind}: {record}")
    require(context["functionArn"].endswith(":$LATEST"), f"{kind}: {context}")
    require(record["requestPayload"] == order, f"{kind}: the record has the event {record['requestPayload']}")
    response = {"statusCode": 200, "executedVersion": "$LATEST"}
    if good:
        require(answer == {"order_id": order["order_id"], "parcel": request_id}, f"{kind}: {answer}")
    else:
        response["functionError"] = "Unhandled"
        require(answer["errorType"] == "InvalidOrder", f"{kind}: the record has the error {answer}")
    require(record["responseContext"] == response, f"{kind}: {record['responseContext']}")


def _send_twice(orders: Orders, shipped: dict[str, Any], story: Story) -> None:
    """A late duplicate gets the first result, and so does one that comes while the first works."""
    again = orders.record("Queue", orders.send("Queue", shipped))
    require(again["responsePayload"]["parcel"] == orders.shipped(shipped), f"a duplicate got {again}")
    order = orders.order(pause=1)
    both = [orders.send("Queue", order) for _ in range(2)]
    records = [orders.record("Queue", one) for one in both]
    parcels = {record["responsePayload"]["parcel"] for record in records}
    require(parcels == {orders.shipped(order)}, f"an order that was sent twice at once: {parcels}")
    story.fact("duplicates", 2)
    story.say("Sent an order again, and another one twice at once: each has one parcel, and one result.")


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """A crash after the effect, throttles, and destinations that cannot be reached.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Crash, throttle, bad destination", stack.tell)
    with closing(Orders(stack)) as orders:
        crashing = orders.order(pause=30)  # longer than the function may run
        crashed = orders.send("Topic", crashing)
        _lose_records(orders, faults, story)
        _throttle(orders, story)
        record = orders.record("Topic", crashed)
        _check("Topic", record, crashed, crashing, "Success", 2)
        require(orders.shipped(crashing) == crashed, "after a crash the order has another parcel")
        story.fact("attempts of the crashed event", record["requestContext"]["approximateInvokeCount"])
        story.say("A function ended after it shipped an order, before it kept the result: shipped once.")
    return story.outcome()


def _lose_records(orders: Orders, faults: Faults, story: Story) -> None:
    for kind, actions in _PERMISSIONS.items():
        role = faults.role_of(orders.functions[kind])
        for action in actions:
            before = orders.count("DestinationDeliveryFailures", kind)
            with faults.without_permission(role, action):
                order = orders.order(quantity=0 if kind == "Bucket" else 1)
                orders.send(kind, order)
                _wait_for_metric(orders, kind, before + 1)
            require(kind == "Bucket" or orders.shipped(order) is not None, f"{kind}: it is not shipped")
    story.fact("undelivered records", sum(map(len, _PERMISSIONS.values())))
    story.say("Without its permission no destination gets a record: DestinationDeliveryFailures counts it.")


def _wait_for_metric(orders: Orders, kind: str, expected: float) -> None:
    def check() -> None:
        if (seen := orders.count("DestinationDeliveryFailures", kind)) < expected:
            raise NotYet(f"{seen} of {expected}")

    orders.stack.wait_until(check, f"DestinationDeliveryFailures of {kind}")


def _throttle(orders: Orders, story: Story) -> None:
    """Events of a throttled function wait, at most for their maximum age; a redrive sends them again."""
    dropped, late, stopped = orders.count("AsyncEventsDropped", "Queue"), orders.order(), orders.order()
    with orders.maximum_age("Queue", 60), orders.concurrency("Queue", 1), orders.timeout("Queue", 30):
        holding = orders.order(pause=10)  # much longer than the late event may wait on the embedded AWS
        held = orders.send("Queue", holding)
        orders.wait_until_shipped(holding)
        request_id = orders.send("Queue", late)
        context = orders.record("Queue", request_id)["requestContext"]
    require(context["condition"] == "EventAgeExceeded", f"a throttled event: {context}")
    require(context["approximateInvokeCount"] == 0, f"a throttled event was tried: {context}")
    story.fact("throttled for too long", context["condition"])
    story.say("An event that was throttled for its whole maximum age: EventAgeExceeded, not invoked once.")
    with orders.concurrency("Queue", 0):
        context = orders.record("Queue", orders.send("Queue", stopped))["requestContext"]
    require(context["condition"] == "ZeroReservedConcurrency", f"with no concurrency: {context}")
    require(orders.count("AsyncEventsDropped", "Queue") == dropped + 2, "AsyncEventsDropped is wrong")
    orders.failed.release()
    report = redrive(
        orders.stack.session,
        queue_url=orders.stack.output("QueueFailureQueueUrl"),
        function_name=orders.functions["Queue"],
    )
    for order in (late, stopped):
        orders.wait_until_shipped(order)
    orders.record("Queue", held)
    story.fact("redriven", report.resent)
    story.say("With a reserved concurrency of 0, events fail at once. The redrive shipped both orders.")


def smoke(stack: DeployedStack, kind: str) -> None:
    """Exercise each permission of a function for its tables; the drill takes away those for destinations.

    Raises:
        ScenarioFailed: An order was not shipped, or not refused as it should be.
    """
    with closing(Orders(stack)) as orders:
        sent = orders.send(kind, order := orders.order())
        orders.wait_until_shipped(order)
        if kind != "Bucket":  # the result is stored after the order is shipped, and reported after that
            reported = orders.record(kind, sent)
            condition = reported.get("detail", reported)["requestContext"]["condition"]
            require(condition == "Success", f"the order is shipped, and its record says {reported}")
        failed = orders.record(kind, orders.send(kind, orders.order(quantity=0)))
        failed = failed.get("detail", failed)["responsePayload"]
        require(failed["errorType"] == "InvalidOrder", f"the order was refused with {failed}")


def one_order(stack: DeployedStack) -> None:
    """Send an order whose result is sent to a queue."""
    with closing(Orders(stack)) as orders:
        orders.record("Queue", orders.send("Queue", orders.order()))


EVENT = BilledEvent("an order, whose result is sent to an SQS queue", one_order)

ROLES = tuple(
    Covered(
        f"{kind}FunctionName",
        partial(smoke, kind=kind),
        only_for_failures=frozenset(actions),
        takes_long=kind != "Queue",
    )
    for kind, actions in _PERMISSIONS.items()
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what is in the tables, in the queues and in the bucket."""
    found = stack.client("s3").list_objects_v2(Bucket=stack.output("BucketName")).get("Contents", [])
    return [*left.in_tables(stack), *left.in_queues(stack), *(one["Key"] for one in found)]
