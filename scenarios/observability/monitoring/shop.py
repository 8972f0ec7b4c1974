"""The shop: places orders, sees them processed, and takes parts of it out of service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from scenarios.framework import DeployedStack, NotYet, require
from scenarios.support.endpoints import Endpoint

_FAILURES = ("MailerFailureQueueUrl", "CountingFailureQueueUrl", "ShippingDeadLetterQueueUrl")


class Shop:
    """The deployed shop, and the orders of this run.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self._stack, self._orders, self._began = stack, list[str](), datetime.now(UTC)
        self.website, self.mailer, self.shipping, self.counting = (
            stack.output(f"{name}FunctionName") for name in ("Website", "Mailer", "Shipping", "Counting")
        )
        self._lambda, self._sqs = stack.client("lambda"), stack.client("sqs")
        self._before = {one: self._invocations(one) for one in (self.shipping, self.counting, self.mailer)}

    def place(self, count: int) -> None:
        """Place orders.

        Raises:
            ScenarioFailed: One was not placed.
        """
        answers = [self._post() for _ in range(count)]
        require(answers == [201] * count, f"orders were answered with {answers}")

    def request(self, count: int) -> list[int]:
        """Request to place orders, all at the same time; return the statuses."""
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda _: self._post(), range(count)))

    def send_mails(self, count: int) -> None:
        """Have mails sent, without orders."""
        for _ in range(count):
            event = json.dumps({"order": uuid4().hex, "mail": "customer@example.com"}).encode()
            self._lambda.invoke(FunctionName=self.mailer, InvocationType="Event", Payload=event)

    def wait_until_processed(self) -> None:
        """Wait until queue and stream have been read, and the orders of this run have been mailed or failed.

        Raises:
            ScenarioFailed: They were not in time.
        """
        urls = {"ShippingQueueUrl": self._stack.output("ShippingQueueUrl")}

        def check() -> None:
            for name, url in urls.items():
                waiting = self._messages(url)
                if waiting:
                    raise NotYet(f"{name}: {waiting} messages")
            for function, before in self._before.items():
                if self._invocations(function) <= before:
                    raise NotYet(f"{function} was not invoked")

        self._stack.wait_until(check, "the orders are processed")

    @contextmanager
    def shipping_disabled(self) -> Iterator[None]:
        """Disable the mapping that reads the queue while the body runs."""
        self._enable_shipping(enabled=False)
        try:
            yield
        finally:
            self._enable_shipping(enabled=True)

    @contextmanager
    def website_without_concurrency(self) -> Iterator[None]:
        """Leave the website's function no concurrency while the body runs."""
        self._lambda.put_function_concurrency(FunctionName=self.website, ReservedConcurrentExecutions=0)
        try:
            yield
        finally:
            self._lambda.delete_function_concurrency(FunctionName=self.website)

    def empty_failure_queues(self) -> None:
        """Take what failed out of the failure queues, as a person does once the cause is mended."""
        for name in _FAILURES:
            self._empty(self._stack.output(name))

    def close(self) -> None:
        """Delete the orders of this run, and the messages of its queues."""
        for order in self._orders:
            self._stack.client("dynamodb").delete_item(
                TableName=self._stack.output("OrdersTableName"), Key={"order": {"S": order}}
            )
        self.empty_failure_queues()
        self._empty(self._stack.output("NotificationsQueueUrl"))

    def _post(self) -> int:
        order = uuid4().hex
        self._orders.append(order)
        url = self._stack.output("ApiUrl") + "orders"
        endpoint, session = Endpoint.of(self._stack, url), self._stack.session
        body = json.dumps({"order": order, "mail": "customer@example.com"}).encode()
        request = AWSRequest(
            "POST",
            f"{endpoint.scheme}://{endpoint.host}{urlsplit(url).path}",
            headers={"Host": endpoint.host, "Content-Type": "application/json"},
            data=body,
        )
        signer: Any = session.get_credentials()
        SigV4Auth(signer, "execute-api", session.region_name).add_auth(request)
        headers = [line for line in request.headers.items() if line[0] != "Host"]
        answer = endpoint.request("POST", urlsplit(url).path, headers=headers, body=body)
        return answer.status

    def _enable_shipping(self, *, enabled: bool) -> None:
        mapping = self._stack.output("ShippingMappingId")
        self._lambda.update_event_source_mapping(UUID=mapping, Enabled=enabled)

        def check() -> None:
            state = self._lambda.get_event_source_mapping(UUID=mapping)["State"]
            if state != ("Enabled" if enabled else "Disabled"):
                raise NotYet(state)

        self._stack.wait_until(check, f"the mapping is {'enabled' if enabled else 'disabled'}")

    def _messages(self, url: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(map(int, found.values()))

    def _invocations(self, function: str) -> float:
        """How often a function was invoked, from some minutes before this run on."""
        points = self._stack.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName="Invocations",
            Dimensions=[{"Name": "FunctionName", "Value": function}],
            StartTime=self._began - timedelta(minutes=5),
            EndTime=datetime.now(UTC) + timedelta(minutes=1),
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        return sum(float(point["Sum"]) for point in points)

    def _empty(self, url: str) -> None:
        while found := self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(found)]
            self._sqs.delete_message_batch(QueueUrl=url, Entries=entries)
