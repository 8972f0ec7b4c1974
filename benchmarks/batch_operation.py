"""S3 Batch Operations: objects per second in the handler, and the API calls of an object, against a loop.

Clients that answer at once replace AWS, so this measures the time in our code, in Powertools and in the
interpreter; AWS adds the latency of each call. The obvious loop looks at each object of a listing and puts
what it saw into the table, without a condition: an object cannot cost less, but a live event that comes
between look and put is lost, and nothing says which objects failed. Both take turns on the same objects.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote

from benchmarks.metadata_sync import Aws, Context

SOURCE = Path(__file__).parents[1] / "lambda_src"
_VARIABLES = {
    "TARGET": "dynamodb",
    "TABLE_NAME": "metadata",
    "BUCKET_NAME": "photos",
    "PREFIX": "",
    "SUFFIXES": "[]",
    "USER_METADATA": "false",
    "TAGS": "false",
    "TOMBSTONE_DAYS": "15",
    "POWERTOOLS_SERVICE_NAME": "batch-operation",
}
BASE = "the obvious loop"


class LambdaContext(Context):
    """Lambda's context object, with time left."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the time that is left."""
        return 60_000


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a table with the ratios to the obvious loop."""
    parser = argparse.ArgumentParser(
        prog="run.py bench batch_operation", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--objects", type=int, default=3_000, help="objects in each run (default: 3,000)")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved runs (default: 7)")
    options = parser.parse_args(arguments)
    aws = Aws()
    tasks = load(aws)
    keys = [f"photos/{number} of them.jpg" for number in range(options.objects)]
    cases: dict[str, Callable[[str], object]] = {
        BASE: lambda key: put(aws, key),
        "a task, no row yet": lambda key: tasks(event(key), LambdaContext()),
        "a task, the row is right": lambda key: tasks(event(key), LambdaContext()),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    calls: dict[str, Counter[str]] = {}
    logging.disable(logging.CRITICAL)
    for _ in range(options.rounds):
        for name, work_on in cases.items():
            if "right" not in name:  # that case finds the rows of the one before
                aws.items.clear()
            aws.calls.clear()
            began = time.perf_counter()
            for key in keys:
                work_on(key)
            times[name].append((time.perf_counter() - began) / len(keys))
            calls[name] = aws.calls.copy()
    print_table(times, calls, options.objects)
    return 0


def print_table(times: dict[str, list[float]], calls: dict[str, Counter[str]], objects: int) -> None:
    """Print a row for each case."""
    print("| object | µs in the handler | to the loop | objects/s of one process | API calls of one object |")
    print("|---|---|---|---|---|")
    for name, measured in times.items():
        ratio = statistics.median(one / other for one, other in zip(measured, times[BASE], strict=True))
        seconds = statistics.median(measured)
        made = ", ".join(f"{count / objects:.0f} {call}" for call, count in calls[name].items())
        print(f"| {name} | {seconds * 1e6:.0f} | {ratio:.2f} | {1 / seconds:,.0f} | {made} |")


def load(aws: Aws) -> Callable[[dict[str, Any], object], object]:
    """Import the handler with clients that answer at once."""
    sys.path.insert(0, str(SOURCE))
    with mock.patch.dict(os.environ, _VARIABLES):
        clients: Any = importlib.import_module("shared.clients")
        with (
            mock.patch.object(clients, "make_clients", lambda *services: [aws] * len(services)),
            mock.patch.object(clients, "make_quick_client", return_value=aws),
        ):
            module: Any = importlib.import_module("storage.batch_operation.handler")
    handler: Callable[[dict[str, Any], object], object] = module.handler
    return handler


def put(aws: Aws, key: str) -> None:
    """Look at an object, and put what was seen."""
    head = aws.head_object(Bucket="photos", Key=key)
    item = {
        "bucket": {"S": "photos"},
        "key": {"S": key},
        "size": {"N": str(head["ContentLength"])},
        "etag": {"S": head["ETag"]},
    }
    aws.put_item(TableName="metadata", Item=item)


def event(key: str) -> dict[str, Any]:
    """Make the event of a task."""
    task = {"taskId": "dGFza2lk", "s3Key": quote(key), "s3VersionId": None, "s3Bucket": "photos"}
    return {"invocationSchemaVersion": "2.0", "invocationId": "i", "job": {"id": "j"}, "tasks": [task]}


if __name__ == "__main__":
    sys.exit(main())
