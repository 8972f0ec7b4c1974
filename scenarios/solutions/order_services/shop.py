"""The customers, products and orders of a run, and what each service has stored about them."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from scenarios.framework import DeployedStack, NotYet, require
from scenarios.solutions.order_services.client import generated_client
from scenarios.support.endpoints import Endpoint
from scenarios.support.queues import SourceQueue


@dataclass(frozen=True)
class Customer:
    """A customer who has signed in, with the client that was generated for the API.

    Args:
        shop: The shop.
        client: The client, with the customer's token.
    """

    shop: Shop
    client: Any

    def call(self, operation: str, *arguments: Any, **more: Any) -> tuple[int, Any]:
        """Call an operation of the API; return the status, and the body as an object of a model."""
        answer = self.shop.generated.operations[operation](*arguments, client=self.client, **more)
        return int(answer.status_code), answer.parsed

    def put(self, order: str, product: str, quantity: int) -> tuple[int, Any]:
        """Place an order."""
        self.shop.orders.add(order)
        return self.call(
            "put_order", order, body=self.shop.generated.models.NewOrder(product=product, quantity=quantity)
        )

    def order(self, product: str, quantity: int) -> str:
        """Place an order that is accepted, and return its id."""
        order = str(uuid.uuid4())
        status, body = self.put(order, product, quantity)
        require(status == 202, f"PUT /orders: {status}, not 202: {body}")
        return order

    def wait_for(self, order: str, status: str) -> Any:
        """Wait until an order has this status, and return it."""

        def check() -> Any:
            code, found = self.call("get_order", order)
            if code != 200 or found.status != status:
                raise NotYet(f"{code}: {found}")
            return found

        return self.shop.stack.wait_until(check, f"an order that is {status}")


class Shop:
    """The deployed stack; what a run stored in it is deleted when the ``with`` block ends.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.stack = stack
        self.run_id = uuid.uuid4().hex[:8]
        self.generated = generated_client(stack)
        self.orders: set[str] = set()
        self.wanted = SourceQueue(
            stack,
            stack.output("ShippingQueueUrl"),
            stack.output("ShippingDeadLetterQueueUrl"),
            mine=lambda body: any(order in body for order in self.orders),
        )
        self._url = urlsplit(stack.output("Url"))
        self._endpoint = Endpoint.of(stack, f"{self._url.scheme}://{self._url.netloc}")
        self._cognito, self._dynamodb = stack.client("cognito-idp"), stack.client("dynamodb")
        self._customers: list[str] = []
        self._products: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.wanted.wait_until_empty()
            self.wait_for_rows(self._statuses("OrdersTableName"))  # a later row would be left behind
        else:
            self._stop()
        self.wanted.close()
        for order in self.orders:
            self._delete("CatalogueTableName", kind="reservation", id=order)
            self._delete("OrdersTableName", order=order)
            self._delete("ShipmentsTableName", order=order)
        for product in self._products:
            self._delete("CatalogueTableName", kind="product", id=product)
        for row in self._items("ByCustomerTableName"):
            self._delete("ByCustomerTableName", **{name: row[name]["S"] for name in ("customer", "order")})
        for name in self._customers:
            self._cognito.admin_delete_user(UserPoolId=self.stack.output("UserPoolId"), Username=name)

    def customer(self) -> Customer:
        """Create a customer, and sign in."""
        name, password = f"{self.run_id}-{len(self._customers)}", f"Aa1!{secrets.token_hex(12)}"
        pool = {"UserPoolId": self.stack.output("UserPoolId")}
        self._cognito.admin_create_user(**pool, Username=name, MessageAction="SUPPRESS")
        self._customers.append(name)
        self._cognito.admin_set_user_password(**pool, Username=name, Password=password, Permanent=True)
        answer = self._cognito.admin_initiate_auth(
            **pool,
            ClientId=self.stack.output("ClientId"),
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": name, "PASSWORD": password},
        )
        return self.signed_in(answer["AuthenticationResult"]["IdToken"])

    def signed_in(self, token: str) -> Customer:
        """A customer with a token."""
        http = self._endpoint.client(headers={"Authorization": f"Bearer {token}"})
        http.base_url = http.base_url.join(self._url.path)
        client = self.generated.authenticated(base_url=str(http.base_url), token=token)
        return Customer(self, client.set_httpx_client(http))

    def product(self, name: str, in_stock: int) -> str:
        """Put a product into the catalogue, and return its name."""
        product = f"{name}/{self.run_id}"
        self._products.append(product)
        item = {"kind": {"S": "product"}, "id": {"S": product}, "in_stock": {"N": str(in_stock)}}
        self._dynamodb.put_item(TableName=self.stack.output("CatalogueTableName"), Item=item)
        return product

    def in_stock(self, product: str) -> int:
        """Return how many of a product the catalogue has."""
        key = {"kind": {"S": "product"}, "id": {"S": product}}
        table = self.stack.output("CatalogueTableName")
        found = self._dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)
        return int(found["Item"]["in_stock"]["N"])

    def wait_for_shipments(self, expected: Mapping[str, str]) -> None:
        """Wait until the shipments of orders have these states; an empty one stands for no shipment."""

        def check() -> None:
            states = {one["order"]["S"]: one["state"]["S"] for one in self._items("ShipmentsTableName")}
            seen = {order: states.get(order, "") for order in expected}
            if seen != expected:
                raise NotYet(f"the shipments: {seen}")

        self.stack.wait_until(check, "the shipments")

    def wait_for_rows(self, expected: Mapping[str, str]) -> None:
        """Wait until the read model has these orders, with their status, and no others of this run."""

        def check() -> None:
            if (seen := self._statuses("ByCustomerTableName")) != expected:
                raise NotYet(f"the rows: {seen}")

        self.stack.wait_until(check, "the read model")

    def _statuses(self, table: str) -> dict[str, str]:
        """The status of each order of this run."""
        return {one["order"]["S"]: one["status"]["S"] for one in self._items(table)}

    def _stop(self) -> None:
        """Stop the workflows that still run."""
        workflows, machine = self.stack.client("stepfunctions"), self.stack.output("StateMachineArn")
        running = workflows.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]
        for one in running:
            if one["name"] in self.orders:
                with suppress(ClientError):  # it has ended meanwhile
                    workflows.stop_execution(executionArn=one["executionArn"])

    def _items(self, table: str) -> list[dict[str, Any]]:
        """The items of this run's orders."""
        found = self._dynamodb.scan(TableName=self.stack.output(table), ConsistentRead=True)["Items"]
        return [item for item in found if item["order"]["S"] in self.orders]

    def _delete(self, table: str, **key: str) -> None:
        typed = {name: {"S": value} for name, value in key.items()}
        self._dynamodb.delete_item(TableName=self.stack.output(table), Key=typed)
