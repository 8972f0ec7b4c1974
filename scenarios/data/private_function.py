"""Sends orders to a function that has no way out but two endpoints, and looks at the network around it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from scenarios.framework import DeployedStack, NotYet, Outcome, Story, require
from scenarios.support.faults import Faults

# What the embedded AWS accepts and does not do, and why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {
    "AWS::Lambda::Function.VpcConfig": "functions run on this machine and no packet is routed: that there is "
    "no way out but the endpoints is read from routes, endpoints and security groups, and not tried"
}

SERVICES = {"dynamodb": "Gateway", "sqs": "Interface"}


class Orders:
    """The deployed stack, for one run: its orders have ids of their own, and all of them go at the end.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self._lambda = stack.client("lambda")
        self.function = stack.output("FunctionName")
        self._table = stack.output("TableName")
        self._queue = stack.output("QueueUrl")
        self.configuration = self._lambda.get_function_configuration(FunctionName=self.function)
        self.role = self.configuration["Role"].rpartition("/")[2]
        self._run = f"run-{uuid.uuid4().hex[:10]}"
        self._sent: list[str] = []

    def order(self, item: str) -> dict[str, str]:
        """A new order of this run."""
        self._sent.append(f"{self._run}-{len(self._sent)}")
        return {"order_id": self._sent[-1], "item": item}

    def send(self, event: object) -> tuple[dict[str, Any], str | None]:
        """Invoke the function; return its answer, and the type of its error if it failed."""
        answer = self._lambda.invoke(FunctionName=self.function, Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read())
        return payload, payload["errorType"] if "FunctionError" in answer else None

    def row(self, order: Mapping[str, str]) -> str | None:
        """What is kept under an order's id."""
        key = {"order_id": {"S": order["order_id"]}}
        found = self._stack.client("dynamodb").get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return found["Item"]["item"]["S"] if "Item" in found else None

    def told(self, order: Mapping[str, str]) -> dict[str, str]:
        """Wait for the message about an order, and take it out of the queue."""
        sqs = self._stack.client("sqs")

        def check() -> dict[str, str]:
            answer = sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10, VisibilityTimeout=5)
            for message in answer.get("Messages", []):
                body: dict[str, str] = json.loads(message["Body"])
                if body["order_id"].startswith(self._run):
                    sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
                if body["order_id"] == order["order_id"]:
                    return body
            raise NotYet("no message about it")

        return self._stack.wait_until(check, what=f"message about order {order['order_id']}")

    def close(self) -> None:
        """Delete the rows of this run; its messages have been read."""
        for order_id in self._sent:
            self._stack.client("dynamodb").delete_item(
                TableName=self._table, Key={"order_id": {"S": order_id}}
            )


def run(stack: DeployedStack) -> Outcome:
    """Orders reach the table and the queue, and the network has no other way out.

    Raises:
        ScenarioFailed: Something is not as it should be.
    """
    story = Story("A function without a way out does its work", stack.tell)
    with closing(Orders(stack)) as orders:
        with story.timed("an order"):
            _check_order(orders, story)
        _check_what_is_no_order(orders, story)
        _check_network(stack, orders, story)
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """The shortest way past everything that the function may do: for checks that repeat it often.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    with closing(Orders(stack)) as orders:
        answer, error = orders.send(orders.order("tea"))
        require(error is None, f"the function failed: {error}: {answer.get('errorMessage')}")


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """An endpoint is a way and not a right: without the permission, nothing is told until it is back.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("A way is not a right", stack.tell)
    with closing(Orders(stack)) as orders:
        order = orders.order("tea for later")
        with faults.without_permission(orders.role, "sqs:SendMessage"):
            answer, error = orders.send(order)
        denied = f"{error}: {answer.get('errorMessage', '')}"
        require("AccessDenied" in denied, f"without sqs:SendMessage the function answered: {answer}")
        require(orders.row(order) == "tea for later", "the order was not kept before the queue refused it")
        story.say(f"Took sqs:SendMessage away: the order was kept, telling it failed: {denied[:90]}…")
        answer, error = orders.send(order)
        require(error is None and answer["known"], f"the repeated order was answered with {answer}")
        orders.told(order)
        story.say("Gave it back and sent the same order again: it was known already, and now it was told.")
    return story.outcome()


def _check_order(orders: Orders, story: Story) -> None:
    order = orders.order("a pot of tea")
    answer, error = orders.send(order)
    require(error is None and answer["known"] is False, f"a new order was answered with {answer}")
    require(orders.row(order) == order["item"], f"the table holds {orders.row(order)!r}")
    require(orders.told(order) == order, "the queue was told something else than the order")
    story.say("Sent an order: it is in the table (DynamoDB) and in the queue (SQS).")
    answer, error = orders.send(order)
    require(error is None and answer["known"] is True, f"a repeated order was answered with {answer}")
    orders.told(order)
    story.say("Sent it again: it was known, kept once, and told once more.")


def _check_what_is_no_order(orders: Orders, story: Story) -> None:
    answer, error = orders.send({"item": "tea"})
    require(error == "InvalidOrder", f"an order without an id was answered with {answer}")
    story.say(f"Sent an order without an id: {error}: {answer['errorMessage']}.")


def _check_network(stack: DeployedStack, orders: Orders, story: Story) -> None:
    """The function's subnets, their routes, the endpoints and who may enter these, as EC2 has them."""
    ec2 = stack.client("ec2")
    network = orders.configuration["VpcConfig"]
    here = [{"Name": "vpc-id", "Values": [stack.output("VpcId")]}]
    tables = ec2.describe_route_tables(Filters=here)["RouteTables"]
    ways_out = [
        route
        for table in tables
        for route in table.get("Routes", [])
        if route.get("DestinationCidrBlock") == "0.0.0.0/0"
    ]
    require(bool(tables) and not ways_out, f"the network has a way out: {ways_out}")
    subnets = ec2.describe_subnets(SubnetIds=network["SubnetIds"])["Subnets"]
    require(
        {subnet["VpcId"] for subnet in subnets} == {stack.output("VpcId")} and len(subnets) == 2,
        f"the function is in subnets {network['SubnetIds']}",
    )
    endpoints = ec2.describe_vpc_endpoints(Filters=here)["VpcEndpoints"]
    found = {one["ServiceName"].rpartition(".")[2]: one["VpcEndpointType"] for one in endpoints}
    require(found == SERVICES, f"the network has endpoints {found}, not {SERVICES}")
    story.say("No route leads out of the network; it has endpoints of two services: dynamodb and sqs.")
    groups = [group["GroupId"] for one in endpoints for group in one.get("Groups", [])]
    rules = [
        rule
        for group in ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
        for rule in group["IpPermissions"]
    ]
    admitted = [pair["GroupId"] for rule in rules for pair in rule.get("UserIdGroupPairs", [])]
    addresses = [rule for rule in rules if rule.get("IpRanges") or rule.get("Ipv6Ranges")]
    require(
        admitted == network["SecurityGroupIds"] and not addresses,
        f"the endpoint admits {admitted} and {addresses}, not only {network['SecurityGroupIds']}",
    )
    story.say("The endpoint of sqs admits the function's security group alone.")
