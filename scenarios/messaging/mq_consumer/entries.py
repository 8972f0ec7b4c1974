"""Entries of one account of the ledger, and batches of a broker with them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Source:
    """A queue, and the function that reads it.

    Args:
        function: The ARN of the function.
        broker: The ARN of the broker.
        secret: The ARN of the secret with its user.
        queue: The name of the queue.
        virtual_host: Its virtual host, in RabbitMQ.
    """

    function: str
    broker: str
    secret: str
    queue: str
    virtual_host: str | None


class Entries:
    """The deployed stack, and an account of this run in its ledger."""

    def __init__(self, stack: DeployedStack) -> None:
        self.stack, self.account = stack, f"mq-{uuid4().hex[:8]}"
        self.rabbitmq, self.activemq = self._source("MappingId"), self._source("ActiveMqMappingId")

    def _source(self, output: str) -> Source:
        mapping = self.stack.client("lambda").get_event_source_mapping(UUID=self.stack.output(output))
        access = {one["Type"]: one["URI"] for one in mapping["SourceAccessConfigurations"]}
        (queue,) = mapping["Queues"]
        return Source(
            mapping["FunctionArn"],
            mapping["EventSourceArn"],
            access["BASIC_AUTH"],
            queue,
            access.get("VIRTUAL_HOST"),
        )

    def body(self, entry: str) -> str:
        """The content of a message with an entry."""
        return json.dumps({"entry_id": entry, "account": self.account, "cents": CENTS})

    def rabbitmq_batch(self, *bodies: str, redelivered: bool = False) -> dict[str, Any]:
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
        source = self.rabbitmq
        return {
            "eventSource": "aws:rmq",
            "eventSourceArn": source.broker,
            "rmqMessagesByQueue": {f"{source.queue}::{source.virtual_host}": records},
        }

    def activemq_batch(self, *bodies: str) -> dict[str, Any]:
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
                "destination": {"physicalName": self.activemq.queue},
                "data": _base64(body),
                "timestamp": 1598827811958,
                "brokerInTime": 1598827811958,
                "brokerOutTime": 1598827811959,
                "properties": {"index": "1", "doAlarm": "false"},
            }
            for n, (kind, body) in enumerate(zip(kinds, bodies, strict=True))
        ]
        return {"eventSource": "aws:amq", "eventSourceArn": self.activemq.broker, "messages": messages}

    def deliver(self, event: dict[str, Any]) -> str | None:
        """Invoke the function as Lambda's poller, or in a real account as the caller; return its error.

        Raises:
            ScenarioFailed: The poller may not do what it does before: the role lacks a permission.
        """
        client = self.stack.client("lambda")
        sources = {one.broker: one for one in (self.rabbitmq, self.activemq)}
        source = sources[event["eventSourceArn"]]
        if self.stack.deliver_as is None:
            answer = client.invoke(FunctionName=source.function, Payload=json.dumps(event))
            failed, payload = answer.get("FunctionError"), json.loads(answer["Payload"].read())
        else:
            role = client.get_function_configuration(FunctionName=source.function)["Role"]
            reads = {"mq:DescribeBroker": source.broker, "secretsmanager:GetSecretValue": source.secret}
            try:
                delivered = self.stack.deliver_as(
                    "lambda.amazonaws.com",
                    source.broker,
                    source.function,
                    event,
                    role=role,
                    reads=reads | dict.fromkeys(_ON_ALL, "*"),
                )
            except ClientError as error:
                raise ScenarioFailed(f"the poller was stopped: {error}") from error
            failed, payload = delivered.function_error, delivered.payload
        return str(payload["errorMessage"]) if failed else None

    def login(self, source: Source) -> tuple[str, str]:
        """The user in the secret of a source, and the password."""
        secret = self.stack.client("secretsmanager").get_secret_value(SecretId=source.secret)
        login = json.loads(secret["SecretString"])
        return login["username"], login["password"]

    def attempts(self, source: Source, since: float) -> int:
        """How often the function refused a message of this queue, by its logs since a time."""
        queue = source.queue if source.virtual_host is None else f"{source.queue}::{source.virtual_host}"
        group = self.stack.client("lambda").get_function_configuration(FunctionName=source.function)
        logs = (
            self.stack.client("logs")
            .get_paginator("filter_log_events")
            .paginate(
                logGroupName=group["LoggingConfig"]["LogGroup"],
                startTime=int(since * 1_000),
                filterPattern='{ $.message = "not booked" }',
            )
        )
        lines = [json.loads(event["message"]) for page in logs for event in page["events"]]
        return sum(line["queue"] == queue for line in lines)

    def booked(self) -> list[str]:
        """The entries in the ledger."""
        found = [item["item"]["S"] for item in self._items()]
        return sorted(name.removeprefix("entry#") for name in found if name != "balance")

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
