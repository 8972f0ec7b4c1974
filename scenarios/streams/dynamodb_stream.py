"""Changes thousands of orders, and compares each customer's orders in the read model with the table."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from uuid import uuid4

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.support import leftovers as left
from scenarios.support.failure_queue import Messages
from scenarios.support.faults import Faults
from scenarios.support.queues import batches

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

ORDERS, ROUNDS, CUSTOMERS = 40, 50, 5
PRECISE = "0.1234567890123456789012345678901234"  # 34 digits, more than a float has
_BATCH = 25  # the maximum of BatchWriteItem
Rows = dict[str, tuple[str, str]]  # customer and total by order


class Shop:
    """The deployed stack, and the orders of this run in it."""

    def __init__(self, stack: DeployedStack) -> None:
        self.stack, self.run_id = stack, uuid4().hex[:8]
        self._dynamodb, self._streams = stack.client("dynamodb"), stack.client("dynamodbstreams")
        self._orders, self._rows = stack.output("OrdersTableName"), stack.output("ByCustomerTableName")
        self.failures = Messages(stack, stack.output("FailureQueueUrl"), self._is_mine)
        self.expected: Rows = {}
        self._placed: set[str] = set()

    def customer(self, number: int) -> str:
        """Return the name of a customer of this run."""
        return f"{self.run_id}-{number}"

    def put(self, orders: Iterable[tuple[object, str | None, str]], **more: Any) -> None:
        """Write orders, each with its customer and total; one without a customer is none."""
        for batch in batches(list(orders), _BATCH):
            requests = []
            for name, customer, total in batch:
                item = {"order": {"S": self.order(name)}, "total": {"N": total}, **more}
                if customer is not None:
                    item["customer"] = {"S": customer}
                    self.expected[self.order(name)] = (customer, total)
                requests.append({"PutRequest": {"Item": item}})
            self._write(requests)

    def delete(self, names: Iterable[object]) -> None:
        """Delete orders."""
        for batch in batches([self.order(name) for name in names], _BATCH):
            self._write([{"DeleteRequest": {"Key": {"order": {"S": name}}}} for name in batch])
            for name in batch:
                self.expected.pop(name, None)

    def rows(self) -> list[dict[str, str]]:
        """Return the rows of this run's customers, with plain values."""
        return [
            {name: next(iter(value.values())) for name, value in item.items()}
            for number in range(CUSTOMERS)
            for item in self._dynamodb.query(
                TableName=self._rows,
                KeyConditionExpression="customer = :customer",
                ExpressionAttributeValues={":customer": {"S": self.customer(number)}},
                ConsistentRead=True,
            )["Items"]
        ]

    def there(self) -> list[dict[str, str]]:
        """Return the rows that were not removed."""
        return [row for row in self.rows() if "removed" not in row]

    def removed(self) -> dict[tuple[str, str], str]:
        """Return why rows were removed, by customer and order."""
        found = [row for row in self.rows() if "removed" in row]
        return {(row["customer"], row["order"]): row["removed"] for row in found}

    def wait(self, what: str = "the read model is the table") -> None:
        """Wait until the rows are the orders.

        Raises:
            ScenarioFailed: They are not in time.
        """

        def wrong() -> object:
            found = {(row["order"], row["customer"], row["total"]) for row in self.there()}
            return sorted(found ^ {(name, *value) for name, value in self.expected.items()})[:3]

        self._wait(what, wrong)

    def wait_for_removal(self, name: str, reason: str) -> None:
        """Wait until the row of an order of the first customer was removed for a reason."""
        key = self.customer(0), self.order(name)
        self._wait(f"an order is {reason}", lambda: self.removed().get(key) != reason)

    def damage(self, count: int) -> None:
        """Delete rows, change others and add some: what a bug, or an operator, may do."""
        for row in self.there()[:count]:
            key = {name: {"S": row[name]} for name in ("customer", "order")}
            self._dynamodb.delete_item(TableName=self._rows, Key=key)
        for row in self.there()[:count]:
            item = {name: {"S": row[name]} for name in ("customer", "order", "version")}
            self._dynamodb.put_item(TableName=self._rows, Item=item | {"total": {"N": "-1"}})
        for number in range(count):
            key = {"customer": {"S": self.customer(0)}, "order": {"S": self.order(f"ghost-{number}")}}
            self._dynamodb.put_item(TableName=self._rows, Item=key | {"total": {"N": "0"}})

    def rebuild(self) -> dict[str, int]:
        """Rebuild the read model; return how many rows were written, unchanged, and changed meanwhile."""
        place: dict[str, Any] | None = {}
        counts: dict[str, int] = {}
        while place is not None:
            answer = self.stack.client("lambda").invoke(
                FunctionName=self.stack.output("RebuildFunctionName"), Payload=json.dumps(place).encode()
            )
            result = json.loads(answer["Payload"].read())
            require("FunctionError" not in answer, f"the rebuild failed: {result}")
            place = result.pop("next")
            counts = {name: counts.get(name, 0) + result.get(name, 0) for name in counts | result}
        return counts

    def close(self) -> None:
        """Delete the orders of this run, then the rows that are left when their deletion was read."""
        rows = {(customer, order) for order, (customer, _) in self.expected.items()}
        self.delete(list(self._placed))
        try:
            self._wait("the deletion of the orders", lambda: rows - self.removed().keys())
        finally:
            for row in self.rows():
                key = {name: {"S": row[name]} for name in ("customer", "order")}
                self._dynamodb.delete_item(TableName=self._rows, Key=key)
            self.failures.close()

    def order(self, name: object) -> str:
        """Return the name of an order of this run."""
        return str(name) if str(name).startswith(self.run_id) else f"{self.run_id}-{name}"

    def _wait(self, what: str, wrong: Callable[[], object]) -> None:
        def check() -> None:
            if found := wrong():
                raise NotYet(str(found))

        self.stack.wait_until(check, what)

    def _write(self, requests: list[dict[str, Any]]) -> None:
        for request in requests:
            self._placed.update(one["order"]["S"] for name in request for one in request[name].values())
        while requests:
            answer = self._dynamodb.batch_write_item(RequestItems={self._orders: requests})
            requests = answer["UnprocessedItems"].get(self._orders, [])

    def _is_mine(self, body: str) -> bool:
        """Whether a failure record is about an order of this run: it only says where the records are."""
        batch = json.loads(body)["DDBStreamBatchInfo"]
        iterator = self._streams.get_shard_iterator(
            StreamArn=batch["streamArn"],
            ShardId=batch["shardId"],
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            SequenceNumber=batch["startSequenceNumber"],
        )["ShardIterator"]
        records = self._streams.get_records(ShardIterator=iterator, Limit=1)["Records"]
        return any(one["dynamodb"]["Keys"]["order"]["S"].startswith(self.run_id) for one in records)


def changes(shop: Shop, rounds: int, chance: random.Random) -> int:
    """Change every order, again and again; some get another customer, some are deleted and come back."""
    count = 0
    owner = {order: shop.customer(chance.randrange(CUSTOMERS)) for order in range(ORDERS)}
    for number in range(rounds):
        gone = [order for order in shop.expected if chance.random() < 0.05]
        shop.delete(gone)
        for order in [order for order in owner if chance.random() < 0.1]:
            owner[order] = shop.customer(chance.randrange(CUSTOMERS))
        shop.put([(order, customer, f"{number}{PRECISE[1:]}") for order, customer in owner.items()])
        count += len(gone) + ORDERS
    return count


def run(stack: DeployedStack) -> Outcome:
    """Change orders thousands of times, with a poison order; let one expire; rebuild during changes.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story, chance = Story("A read model follows its table", stack.tell), random.Random(18)
    with closing(Shop(stack)) as shop:
        with story.timed("projected"):
            count = changes(shop, ROUNDS, chance)
            shop.wait()
        story.fact("changes", count)
        story.say(
            f"{count:,} changes of {ORDERS} orders of {CUSTOMERS} customers: each row is what the last said."
        )
        require(all(row["total"].endswith(PRECISE[1:]) for row in shop.rows() if "total" in row), "rounded")
        story.say(f"Totals kept all of their digits, such as {shop.expected[shop.order(0)][1]}.")

        with story.timed("poison"):
            shop.put(
                [("before", shop.customer(0), "1"), ("poison", None, "2"), ("after", shop.customer(0), "3")]
            )
            [failure] = [json.loads(message["Body"]) for message in shop.failures.wait_for(1)]
            shop.wait()
        batch, context = failure["DDBStreamBatchInfo"], failure["requestContext"]
        require(batch["batchSize"] == 1, f"the failure record should name only the poison order: {batch}")
        require(context["condition"] == "RetryAttemptsExhausted", f"the failure record: {context}")
        story.fact("attempts", context["approximateInvokeCount"])
        story.say(
            "An order without a customer: Lambda isolated its change by bisecting, and reported it to the "
            f"failure queue after {context['approximateInvokeCount']} attempts; the others were projected."
        )

        _deletions(stack, shop, story)

        with story.timed("rebuilt"), ThreadPoolExecutor(1) as pool:
            shop.damage(3)
            rebuilding = pool.submit(shop.rebuild)
            changes(shop, 5, chance)
            counts = rebuilding.result()
            shop.wait()
        require(counts["written"] > 0, f"the rebuild wrote nothing: {counts}")
        story.fact("rebuilt", counts["written"])
        story.say(
            "Nine rows were deleted, falsified and invented. A rebuild from the table mended them while its "
            "orders went on changing: no newer change was undone."
        )
    return story.outcome()


def _deletions(stack: DeployedStack, shop: Shop, story: Story) -> None:
    """Rows say whether a user or the time to live deleted an order."""
    shop.put([("deleted", shop.customer(0), "1")])
    shop.delete(["deleted"])
    shop.wait_for_removal("deleted", "deleted")
    if stack.faults is None:
        story.say("Not shown: an order that expires. That takes DynamoDB up to a few days.")
        return
    shop.put([("expired", shop.customer(0), "1")], expires={"N": str(int(time.time()) - 1)})
    shop.expected.pop(shop.order("expired"))
    shop.wait_for_removal("expired", "expired")
    story.fact("removed", "deleted, expired")
    story.say("One order was deleted by a user, and one by its time to live: their rows say which.")


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Kill the function in the middle of its work, then remove a permission until changes are discarded.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story, chance = Story("Lost changes come back with a rebuild", stack.tell), random.Random(81)
    function = stack.output("FunctionName")
    role = faults.role_of(function)
    with closing(Shop(stack)) as shop:
        # No change fails more than twice: the third failure would discard it.
        with stack.faults.function(function, killed=True, after_running=True, times=2) as killed:
            changes(shop, 10, chance)
            shop.wait()
        error = "ThrottlingException"
        with stack.faults.api("dynamodb", "PutItem", error=error, role=role, times=4) as throttled:
            changes(shop, 10, chance)
            shop.wait()
        story.fact("killed", killed.applied)
        story.fact("throttled", throttled.applied)
        story.say(
            f"The function was killed {killed.applied} times after it had written, and {throttled.applied} "
            "writes were throttled: Lambda delivered the changes again, and every row is right."
        )
        with faults.without_permission(role, "dynamodb:PutItem"):
            shop.put([("lost-1", shop.customer(1), "4"), ("lost-2", shop.customer(2), "5")])
            failures = shop.failures.wait_for(2)
        story.say(f"Without dynamodb:PutItem, {len(failures)} failure records name the discarded changes.")
        lost = {name: shop.expected.pop(name) for name in map(shop.order, ("lost-1", "lost-2"))}
        shop.put([("next", shop.customer(1), "6")])
        shop.wait("the next change is projected")
        story.say("The permission is restored: the shard was not blocked, and the next change is projected.")
        counts = shop.rebuild()
        shop.expected |= lost
        shop.wait("the discarded changes are projected")
        story.fact("recovered", counts["written"])
        story.say(f"A rebuild wrote the {counts['written']} rows that were missing, from the table.")
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission of the function's role once.

    Raises:
        ScenarioFailed: An order was not projected, or a failure not reported.
    """
    with closing(Shop(stack)) as shop:
        shop.put([("smoke", shop.customer(0), "1"), ("poison", None, "2")])
        shop.wait()
        shop.failures.wait_for(1)


def smoke_rebuild(stack: DeployedStack) -> None:
    """Exercise each permission of the role of the rebuild once.

    Raises:
        ScenarioFailed: The rebuild failed.
    """
    with closing(Shop(stack)) as shop:
        shop.put([("smoke", shop.customer(0), "1")])
        shop.wait()
        shop.damage(1)
        shop.rebuild()
        shop.wait()


def one_order(stack: DeployedStack) -> None:
    """Write an order; it stays, because its deletion would be another event."""
    shop = Shop(stack)
    shop.put([("event", shop.customer(0), "1")])
    shop.wait()


EVENT = BilledEvent("an order is written, in a batch of one", one_order, without="Rebuild")

ROLES = (
    Covered(role_of="FunctionName", scenario=smoke),
    Covered(role_of="RebuildFunctionName", scenario=smoke_rebuild),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what is in the tables and in the failure queue."""
    return [*left.in_tables(stack), *left.in_queues(stack)]
