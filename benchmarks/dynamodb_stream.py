"""DynamoDB stream: records per second of the handler, against a loop that puts the item of each record.

A fake client answers after a fixed time, so this measures batches of 500 records in one process: what the
handler saves by folding a batch and writing its rows concurrently, and what its own code, Powertools and the
interpreter take if the client answers at once. Each cell is the median of several runs.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

SOURCE = Path(__file__).parents[1] / "lambda_src"
BATCH = 500
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
ORDERS = (1, 50, 500)  # different orders in a batch
CONTEXT = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)
Batch = list[dict[str, Any]]


class DynamoDb:
    """A client that answers after some seconds, and counts the calls."""

    exceptions = SimpleNamespace(ConditionalCheckFailedException=KeyError)

    def __init__(self) -> None:
        self.latency = 0.0
        self.calls = 0

    def put_item(self, **_: object) -> None:
        """Accept the item."""
        self.calls += 1
        if self.latency:
            time.sleep(self.latency)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        prog="run.py bench dynamodb_stream", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--batches", type=int, default=2, help="batches in each run (default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each cell (default: 3)")
    parser.add_argument("--latency", type=float, default=4.0, help="milliseconds of a call (default: 4)")
    options = parser.parse_args(arguments)
    client = DynamoDb()
    module = load(client)
    logging.disable(logging.CRITICAL)
    print(
        "| orders in a batch | loop: records/s | handler: records/s | ratio | calls/record | own µs/record |"
    )
    print("|---:|---:|---:|---:|---:|---:|")

    def loop(batch: Batch) -> None:
        for one in batch:
            client.put_item(TableName="rows", Item=one["dynamodb"]["NewImage"])

    def handler(batch: Batch) -> None:
        answer = module.handler({"Records": batch}, CONTEXT)
        if answer["batchItemFailures"]:
            raise RuntimeError(f"the handler failed: {answer}")

    for orders in ORDERS:
        rates: dict[str, list[float]] = {"loop": [], "handler": [], "own": []}
        for _ in range(options.rounds):  # in turns
            client.latency = options.latency / 1000
            rates["loop"].append(rate(loop, orders, options.batches))
            client.calls = 0
            rates["handler"].append(rate(handler, orders, options.batches))
            calls = client.calls / (BATCH * options.batches)
            client.latency = 0
            rates["own"].append(rate(handler, orders, options.batches))
        theirs, ours, own = (statistics.median(found) for found in rates.values())
        cells = f"{theirs:,.0f} | {ours:,.0f} | {ours / theirs:.1f} | {calls:.3f} | {1e6 / own:.0f}"
        print(f"| {orders} | {cells} |")
    return 0


def load(client: DynamoDb) -> ModuleType:
    """Import the handler with the fake client."""
    sys.path.insert(0, str(SOURCE))
    clients = mock.patch("shared.clients.make_quick_client", return_value=client)
    with clients, mock.patch.dict(os.environ, {"PROJECTION_TABLE_NAME": "rows"}):
        return importlib.import_module("streams.dynamodb_stream.handler")


def rate(process: Callable[[Batch], None], orders: int, batches: int) -> float:
    """Return the records per second of one run."""
    prepared = [
        [record(number, number % orders) for number in range(start, start + BATCH)]
        for start in range(0, batches * BATCH, BATCH)
    ]
    began = time.perf_counter()
    for batch in prepared:
        process(batch)
    return batches * BATCH / (time.perf_counter() - began)


def record(number: int, order: int) -> dict[str, Any]:
    """Make a record of a changed order."""
    key = {"order": {"S": f"order-{order}"}}
    image = {**key, "customer": {"S": f"customer-{order % 7}"}, "total": {"N": f"{number}.25"}}
    return {
        "eventName": "MODIFY",
        "dynamodb": {
            "Keys": key,
            "OldImage": image | {"total": {"N": "0"}},
            "NewImage": image,
            "SequenceNumber": str(10**20 + number),
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": f"{TABLE}/stream/2026-01-01T00:00:00.000",
    }


if __name__ == "__main__":
    sys.exit(main())
