"""Sends orders to a function that leaves its network through three VPC endpoints only; checks the network."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.support.faults import Faults

# What the embedded AWS accepts but does not emulate, and why the scenario is still a proof.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {
    "AWS::Lambda::Function.VpcConfig": "functions run on this machine and no packet is routed; the scenario "
    "reads routes, endpoints and security groups from EC2 instead"
}

ENDPOINTS = {"dynamodb": "Gateway", "lambda": "Interface", "sqs": "Interface"}


def priced(order: Mapping[str, str]) -> dict[str, Any]:
    """Return an order with the price that it gets."""
    return {**order, "cents": 100 + 10 * len(order["item"])}


class Orders:
    """The deployed function, its table and its queue, used by one run with order ids of its own.

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
        """Return a new order of this run."""
        self._sent.append(f"{self._run}-{len(self._sent)}")
        return {"order_id": self._sent[-1], "item": item}

    def send(self, event: object) -> tuple[dict[str, Any], str | None]:
        """Invoke the function; return its response, and the type of its error if it failed."""
        response = self._lambda.invoke(FunctionName=self.function, Payload=json.dumps(event))
        payload = json.loads(response["Payload"].read())
        return payload, payload["errorType"] if "FunctionError" in response else None

    def stored_item(self, order: Mapping[str, str]) -> str | None:
        """Return the item that the table has for an order's id."""
        key = {"order_id": {"S": order["order_id"]}}
        found = self._stack.client("dynamodb").get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return found["Item"]["item"]["S"] if "Item" in found else None

    def receive(self, order: Mapping[str, str]) -> dict[str, Any]:
        """Wait for the message with an order, and delete it from the queue."""
        sqs = self._stack.client("sqs")

        def check() -> dict[str, Any]:
            answer = sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10, VisibilityTimeout=5)
            for message in answer.get("Messages", []):
                body: dict[str, Any] = json.loads(message["Body"])
                if body["order_id"].startswith(self._run):
                    sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
                if body["order_id"] == order["order_id"]:
                    return body
            raise NotYet("no message with it")

        return self._stack.wait_until(check, what=f"message with order {order['order_id']}")

    def close(self) -> None:
        """Delete the rows of this run. Its messages were deleted when they were received."""
        for order_id in self._sent:
            self._stack.client("dynamodb").delete_item(
                TableName=self._table, Key={"order_id": {"S": order_id}}
            )


def run(stack: DeployedStack) -> Outcome:
    """Orders reach the table and the queue, and the network has no other route out.

    Raises:
        ScenarioFailed: A check failed.
    """
    story = Story("A function without internet access does its work", stack.tell)
    with closing(Orders(stack)) as orders:
        with story.timed("an order"):
            _check_order(orders, story)
        _check_invalid_order(orders, story)
        _check_network(stack, orders, story)
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission once.

    Raises:
        ScenarioFailed: The function failed.
    """
    with closing(Orders(stack)) as orders:
        order = orders.order("tea")
        response, error = orders.send(order)
        require(error is None, f"the function failed: {error}: {response.get('errorMessage')}")
        orders.receive(order)


EVENT = BilledEvent("an order", smoke)

ROLES = (Covered("FunctionName", smoke),)


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """An endpoint grants no permission: an order is sent, or gets its price, once that is allowed again.

    Raises:
        ScenarioFailed: A check failed.
    """
    story = Story("An endpoint grants no permission", stack.tell)
    with closing(Orders(stack)) as orders:
        order = orders.order("tea for later")
        with faults.without_permission(orders.role, "sqs:SendMessage"):
            response, error = orders.send(order)
        denied = f"{error}: {response.get('errorMessage', '')}"
        require("AccessDenied" in denied, f"without sqs:SendMessage the function returned: {response}")
        require(orders.stored_item(order) == order["item"], "the order was not stored before sending failed")
        story.say(f"Removed sqs:SendMessage: the order was stored, sending it failed: {denied[:90]}…")
        response, error = orders.send(order)
        require(error is None and response["known"], f"the repeated order was answered with {response}")
        require(orders.receive(order) == priced(order), "the queue received something else than the order")
        story.fact("sent_after_denial", 1)
        story.say("Granted it again and repeated the order: it was stored already, and was sent this time.")
        order = orders.order("tea of unknown price")
        with faults.without_permission(orders.role, "lambda:InvokeFunction"):
            response, error = orders.send(order)
        denied = f"{error}: {response.get('errorMessage', '')}"
        require("AccessDenied" in denied, f"without lambda:InvokeFunction the function returned: {response}")
        require(orders.stored_item(order) is None, "an order without a price was stored")
        story.fact("stored_without_price", 0)
        story.say(f"Removed lambda:InvokeFunction: nothing was stored: {denied[:90]}…")
    return story.outcome()


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what a run or a drill left in the table and in the queue."""
    rows = stack.client("dynamodb").scan(TableName=stack.output("TableName"))["Items"]
    answer = stack.client("sqs").receive_message(QueueUrl=stack.output("QueueUrl"), VisibilityTimeout=0)
    return [f"row: {row['order_id']['S']}" for row in rows] + [
        f"message: {message['Body']}" for message in answer.get("Messages", [])
    ]


def _check_order(orders: Orders, story: Story) -> None:
    order = orders.order("a pot of tea")
    response, error = orders.send(order)
    require(error is None and response["known"] is False, f"a new order was answered with {response}")
    require(orders.stored_item(order) == order["item"], f"the table has {orders.stored_item(order)!r}")
    require(orders.receive(order) == priced(order), "the queue received something else than the order")
    story.say(
        "Sent an order: it has its price (Lambda), and is in the table (DynamoDB) and in the queue (SQS)."
    )
    response, error = orders.send(order)
    require(error is None and response["known"] is True, f"a repeated order was answered with {response}")
    orders.receive(order)
    story.fact("messages", 2)
    story.say("Repeated it: it was stored already, and was sent to the queue again.")


def _check_invalid_order(orders: Orders, story: Story) -> None:
    response, error = orders.send({"item": "tea"})
    require(error == "InvalidOrder", f"an order without an id was answered with {response}")
    story.say(f"Sent an order without an id: {error}: {response['errorMessage']}.")


def _check_network(stack: DeployedStack, orders: Orders, story: Story) -> None:
    """Check the function's subnets, the routes, the endpoints and their security groups, as EC2 has them."""
    ec2 = stack.client("ec2")
    network = orders.configuration["VpcConfig"]
    in_vpc = [{"Name": "vpc-id", "Values": [stack.output("VpcId")]}]
    tables = ec2.describe_route_tables(Filters=in_vpc)["RouteTables"]
    default_routes = [
        route
        for table in tables
        for route in table.get("Routes", [])
        if route.get("DestinationCidrBlock") == "0.0.0.0/0"
    ]
    require(bool(tables) and not default_routes, f"the network has a route out: {default_routes}")
    story.fact("default_routes", len(default_routes))
    subnets = ec2.describe_subnets(SubnetIds=network["SubnetIds"])["Subnets"]
    require(
        {subnet["VpcId"] for subnet in subnets} == {stack.output("VpcId")} and len(subnets) == 2,
        f"the function is in subnets {network['SubnetIds']}",
    )
    endpoints = ec2.describe_vpc_endpoints(Filters=in_vpc)["VpcEndpoints"]
    found = {one["ServiceName"].rpartition(".")[2]: one["VpcEndpointType"] for one in endpoints}
    require(found == ENDPOINTS, f"the network has endpoints {found}, not {ENDPOINTS}")
    story.fact("endpoints", ", ".join(sorted(found)))
    story.say("No route leaves the network. It has endpoints for three services: dynamodb, lambda and sqs.")
    groups = [group["GroupId"] for one in endpoints for group in one.get("Groups", [])]
    for group in ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]:
        rules = group["IpPermissions"]
        allowed = [pair["GroupId"] for rule in rules for pair in rule.get("UserIdGroupPairs", [])]
        addresses = [rule for rule in rules if rule.get("IpRanges") or rule.get("Ipv6Ranges")]
        require(
            allowed == network["SecurityGroupIds"] and not addresses,
            f"the endpoint allows {allowed} and {addresses}, not only {network['SecurityGroupIds']}",
        )
    story.say("The endpoints of lambda and sqs allow only the function's security group.")
