"""Entries of one account of the ledger, and batches of a broker with them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from scenarios.framework import DeployedStack, ScenarioFailed, require
from scenarios.support.tables import query

CENTS = 100
_ON_ALL = (
    *("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces"),
    *("ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"),
)


class Entries:
    """The deployed stack, and an account of this run in its ledger."""

    def __init__(self, stack: DeployedStack) -> None:
        self.stack, self.account = stack, f"mq-{uuid4().hex[:8]}"
        self.broker, self.secret = stack.output("BrokerArn"), stack.output("SecretArn")
        self.function = stack.output("FunctionName")
        mapping = stack.client("lambda").get_event_source_mapping(UUID=stack.output("MappingId"))
        access = {one["Type"]: one["URI"] for one in mapping["SourceAccessConfigurations"]}
        require(access["BASIC_AUTH"] == self.secret, f"the mapping logs in with {access['BASIC_AUTH']}")
        (self.queue,) = mapping["Queues"]
        self.virtual_host = access["VIRTUAL_HOST"]
        self.batch_size: int = mapping["BatchSize"]
        self.window: int = mapping["MaximumBatchingWindowInSeconds"]

    def body(self, entry: str) -> str:
        """The content of a message with an entry."""
        return json.dumps({"entry_id": entry, "account": self.account, "cents": CENTS})

    def rabbitmq(self, *bodies: str, redelivered: bool = False) -> dict[str, Any]:
        """A batch of RabbitMQ as AWS documents it."""
        records = [
            {
                "basicProperties": {
                    "contentType": "text/plain",
                    "contentEncoding": None,
                    "headers": {"header1": {"bytes": [118, 97, 108, 117, 101, 49]}, "numberInHeader": 10},
                    "deliveryMode": 1,
                    "priority": 34,
                    "correlationId": None,
                    "replyTo": None,
                    "expiration": "60000",
                    "messageId": None,
                    "timestamp": "Jan 1, 1970, 12:33:41 AM",
                    "type": None,
                    "userId": "AIDACKCEVSQ6C2EXAMPLE",
                    "appId": None,
                    "clusterId": None,
                    "bodySize": len(body.encode()),
                },
                "redelivered": redelivered,
                "data": _base64(body),
            }
            for body in bodies
        ]
        return self.event({f"{self.queue}::{self.virtual_host}": records})

    def event(self, messages_by_queue: dict[str, Any]) -> dict[str, Any]:
        """The event of a batch of RabbitMQ."""
        return {
            "eventSource": "aws:rmq",
            "eventSourceArn": self.broker,
            "rmqMessagesByQueue": messages_by_queue,
        }

    def activemq(self, *bodies: str) -> dict[str, Any]:
        """A batch of ActiveMQ as AWS documents it: texts, and the last one as bytes."""
        kinds = [*["jms/text-message"] * (len(bodies) - 1), "jms/bytes-message"]
        messages = [
            {
                "messageID": f"ID:b-9bcfa592-423a-4942-879d-eb284b418fc8-1.mq-37557-1234520418293-4:1:1:{n}",
                "messageType": kind,
                "deliveryMode": 1,
                "replyTo": None,
                "type": None,
                "expiration": "60000",
                "priority": 1,
                "correlationId": "myJMSCoID",
                "redelivered": False,
                "destination": {"physicalName": self.queue},
                "data": _base64(body),
                "timestamp": 1598827811958,
                "brokerInTime": 1598827811958,
                "brokerOutTime": 1598827811959,
                "properties": {"index": "1", "doAlarm": "false"},
            }
            for n, (kind, body) in enumerate(zip(kinds, bodies, strict=True))
        ]
        return {"eventSource": "aws:amq", "eventSourceArn": self.broker, "messages": messages}

    def deliver(self, event: dict[str, Any]) -> str | None:
        """Invoke the function as Lambda's poller, or in a real account as the caller; return its error.

        Raises:
            ScenarioFailed: The poller may not do what it does before: the role lacks a permission.
        """
        client = self.stack.client("lambda")
        if self.stack.deliver_as is None:
            answer = client.invoke(FunctionName=self.function, Payload=json.dumps(event))
            failed, payload = answer.get("FunctionError"), json.loads(answer["Payload"].read())
        else:
            role = client.get_function_configuration(FunctionName=self.function)["Role"]
            reads = {"mq:DescribeBroker": self.broker, "secretsmanager:GetSecretValue": self.secret}
            try:
                delivered = self.stack.deliver_as(
                    "lambda.amazonaws.com",
                    self.broker,
                    self.stack.output("FunctionArn"),
                    event,
                    role=role,
                    reads=reads | dict.fromkeys(_ON_ALL, "*"),
                )
            except ClientError as error:
                raise ScenarioFailed(f"the poller was stopped: {error}") from error
            failed, payload = delivered.function_error, delivered.payload
        return str(payload["errorMessage"]) if failed else None

    def check(self, entries: Sequence[str]) -> None:
        """Compare the ledger with the entries.

        Raises:
            ScenarioFailed: One is missing or was booked twice.
        """
        items = {item["item"]["S"]: item for item in self._items()}
        balance = items.pop("balance", None)
        booked = sorted(name.removeprefix("entry#") for name in items)
        require(booked == sorted(entries), f"the ledger has {booked}, and not {sorted(entries)}")
        cents = int(balance["cents"]["N"]) if balance else 0
        require(cents == CENTS * len(entries), f"the balance is {cents}, of {len(entries)} entries")

    def close(self) -> None:
        """Delete the account of this run."""
        for item in self._items():
            key = {name: item[name] for name in ("account", "item")}
            self.stack.client("dynamodb").delete_item(TableName=self.stack.output("TableName"), Key=key)

    def _items(self) -> list[dict[str, Any]]:
        return query(
            self.stack.client("dynamodb"),
            TableName=self.stack.output("TableName"),
            KeyConditionExpression="account = :account",
            ExpressionAttributeValues={":account": {"S": self.account}},
        )


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
