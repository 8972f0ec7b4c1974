"""SNS FIFO fan-out: events per second and API calls per event of each handler, by number of groups.

A fake client answers at once, so this measures our own code, Powertools and the interpreter in one process,
and counts the API calls. The latency of AWS comes on top. Each cell is the median of several runs.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import json
import logging
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

SOURCE = Path(__file__).parents[1] / "lambda_src"
GROUPS = (1, 10, 100, 1000)
_RECORDS, _MESSAGES = 100, 10  # the batches of the stream and of the queues


class Aws:
    """A client of every service that answers at once, and counts the calls."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.exceptions = SimpleNamespace(
            TransactionCanceledException=KeyError, ConditionalCheckFailedException=KeyError
        )

    def publish_batch(self, **_: object) -> dict[str, Any]:
        """Accept all messages."""
        self.calls["publish_batch"] += 1
        return {}

    def transact_write_items(self, **_: object) -> None:
        """Accept all writes."""
        self.calls["transact_write_items"] += 1

    def get_item(self, **_: object) -> dict[str, Any]:
        """Find no item."""
        self.calls["get_item"] += 1
        return {}

    def _query(self, **_: object) -> list[dict[str, Any]]:
        """Find the last event of an order."""
        self.calls["query"] += 1
        event = json.loads(body(10**6 - 1, "order"))
        item = {name: {"N" if name == "version" else "S": str(value)} for name, value in event.items()}
        return [{"Items": [item]}]

    def get_paginator(self, _: str) -> SimpleNamespace:
        """Find one page."""
        return SimpleNamespace(paginate=self._query)

    def put_item(self, **_: object) -> None:
        """Accept the item."""
        self.calls["put_item"] += 1


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="run.py bench fanout", description=__doc__, allow_abbrev=False)
    parser.add_argument("--events", type=int, default=5_000, help="events in each run (default: 5,000)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each cell (default: 3)")
    options = parser.parse_args(arguments)
    aws = Aws()
    handlers = load(aws)
    logging.disable(logging.CRITICAL)
    print(
        "| handler | " + " | ".join(f"{groups:,} groups: events/s | calls/event" for groups in GROUPS) + " |"
    )
    print("|---" * (1 + 2 * len(GROUPS)) + "|")
    for name, (handler, make, size) in handlers.items():
        cells = [measure(handler, make, size, groups, options, aws) for groups in GROUPS]
        print(f"| {name} | " + " | ".join(f"{rate:,.0f} | {calls:.2f}" for rate, calls in cells) + " |")
    return 0


Maker = Callable[[int, str], dict[str, Any]]
Handler = Callable[[dict[str, Any], object], dict[str, Any]]


def load(aws: Aws) -> dict[str, tuple[Handler, Maker, int]]:
    """Import the handlers with the fake client: each with the maker of its records and its batch size."""
    names = ("TOPIC_ARN", "FAILURE_QUEUE_URL", "STORE_TABLE", "STATUS_TABLE")
    variables = {name: name for name in names}
    sys.path.insert(0, str(SOURCE))
    variables["MAXIMUM_MESSAGE_SIZE"] = "262144"
    clients = mock.patch("shared.clients.make_quick_client", return_value=aws)
    with clients, mock.patch.dict(os.environ, variables):
        bridge, subscribers = (
            importlib.import_module(f"messaging.sns_fifo_fanout.{name}")
            for name in ("handler", "subscribers")
        )
    return {
        "bridge": (bridge.handler, record, _RECORDS),
        "append": (subscribers.append, message, _MESSAGES),
        "project": (subscribers.project, message, _MESSAGES),
    }


def measure(
    handler: Handler, make: Maker, size: int, groups: int, options: argparse.Namespace, aws: Aws
) -> tuple[float, float]:
    """Measure events per second and calls per event of one handler."""
    rates = []
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)
    for _ in range(options.rounds):
        aws.calls.clear()
        events = [make(number, f"order-{number % groups}") for number in range(options.events)]
        began = time.perf_counter()
        for start in range(0, len(events), size):
            answer = handler({"Records": events[start : start + size]}, context)
            if answer["batchItemFailures"]:
                raise RuntimeError(f"the handler failed: {answer}")
        rates.append(len(events) / (time.perf_counter() - began))
    return statistics.median(rates), aws.calls.total() / options.events


def body(number: int, group: str) -> str:
    """Make an event of an order."""
    event = {"event_id": str(number), "order_id": group, "version": number + 1, "type": "OrderPaid"}
    return json.dumps(event)


def record(number: int, group: str) -> dict[str, Any]:
    """Make a record with an event."""
    data = base64.b64encode(body(number, group).encode()).decode()
    return {
        "kinesis": {"partitionKey": group, "sequenceNumber": str(number), "data": data},
        "eventID": f"shardId-000000000000:{number}",
        "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
    }


def message(number: int, group: str) -> dict[str, Any]:
    """Make a message with an event."""
    return {
        "messageId": str(number),
        "body": body(number, group),
        "attributes": {"MessageGroupId": group},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:queue.fifo",
    }


if __name__ == "__main__":
    sys.exit(main())
