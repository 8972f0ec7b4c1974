"""S3 metadata sync: time in the handler and API calls of one event, against one put for each event.

Clients that answer at once replace AWS, so this measures the time in our code, in Powertools and in the
interpreter; AWS adds the latency of each call. The obvious handler puts what the event says into the table,
without a look and without a condition: an event cannot cost less, but the row is wrong after a late event or
after two quick writes. Both handlers take turns on the same events.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote_plus, unquote_plus

from botocore.exceptions import ClientError

SOURCE = Path(__file__).parents[1] / "lambda_src"
_VARIABLES = {
    "TARGET": "dynamodb",
    "TABLE_NAME": "metadata",
    "BUCKET_NAME": "photos",
    "PREFIX": "",
    "SUFFIXES": "[]",
    "USER_METADATA": "true",
    "TAGS": "false",
    "TOMBSTONE_DAYS": "15",
    "FAILURE_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/failures",
    "POWERTOOLS_SERVICE_NAME": "metadata-sync",
}

Handler = Callable[[dict[str, Any], object], object]


class Aws:
    """A client of all services, with an object under each key and rows that keep their sequencer."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.sequencers: dict[str, str] = {}
        self.items: dict[str, Any] = {}

    def head_object(self, **_: object) -> dict[str, Any]:
        """Describe the object."""
        self.calls["HeadObject"] += 1
        modified = datetime(2026, 1, 1, tzinfo=UTC)
        return {"ContentLength": 5, "ETag": '"e"', "LastModified": modified, "Metadata": {}, "VersionId": "v"}

    def get_item(self, **asked: Any) -> dict[str, Any]:
        """Read a row."""
        self.calls["GetItem"] += 1
        item = self.items.get(asked["Key"]["key"]["S"])
        return {"Item": item} if item else {}

    def put_item(self, **_: object) -> None:
        """Write a row."""
        self.calls["PutItem"] += 1

    def update_item(self, **asked: Any) -> dict[str, Any]:
        """Write a row, unless its sequencer is not newer."""
        self.calls["UpdateItem"] += 1
        key, values = asked["Key"]["key"]["S"], asked["ExpressionAttributeValues"]
        item = {name[1:]: value for name, value in values.items()} | {"revision": {"N": "1"}}
        if ":sequencer" in values:
            sequencer = values[":sequencer"]["S"]
            if sequencer <= self.sequencers.get(key, ""):
                raise _refused(self.items[key])
            self.sequencers[key] = sequencer
        self.items[key] = item
        return {"Attributes": item}


def _refused(item: dict[str, Any]) -> ClientError:
    answer: Any = {"Error": {"Code": "ConditionalCheckFailedException"}, "Item": item}
    return ClientError(answer, "UpdateItem")


class Context:
    """Lambda's context object."""

    function_name = "metadata-sync"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:metadata-sync"
    aws_request_id = "b4a7f1c2-0000-4000-8000-000000000000"
    function_version = "1"


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a table with the ratios to the obvious handler."""
    parser = argparse.ArgumentParser(
        prog="run.py bench metadata_sync", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--events", type=int, default=3_000, help="events in each run (default: 3,000)")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved runs (default: 7)")
    options = parser.parse_args(arguments)
    aws = Aws()
    ours = load(aws)
    cases: dict[str, tuple[Handler, list[dict[str, Any]]]] = {
        "one put for each event": (naive(aws), [event(number, number) for number in range(options.events)]),
        "a new event": (ours, [event(number, number) for number in range(options.events)]),
        "an event that arrives twice": (ours, [event(number, 1) for number in range(options.events)]),
        "an event without a sequencer": (ours, [event(number, None) for number in range(options.events)]),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    calls: dict[str, Counter[str]] = {}
    logging.disable(logging.CRITICAL)
    for _ in range(options.rounds):
        for name, (handler, events) in cases.items():
            prepare(aws, name, events, handler)
            began = time.perf_counter()
            for one in events:
                handler(one, Context())
            times[name].append((time.perf_counter() - began) / len(events))
            calls[name] = aws.calls.copy()
    print_table(times, calls, options.events)
    return 0


def prepare(aws: Aws, name: str, events: list[dict[str, Any]], handler: Handler) -> None:
    """Empty the table; for duplicates, fill it with the events that arrive again."""
    aws.sequencers.clear()
    aws.items.clear()
    if "twice" in name:
        for one in events:
            handler(one, Context())
    aws.calls.clear()


def print_table(times: dict[str, list[float]], calls: dict[str, Counter[str]], events: int) -> None:
    """Print a row for each case."""
    print("| event | µs in the handler | to one put | events/s of one process | API calls of one event |")
    print("|---|---|---|---|---|")
    base = times["one put for each event"]
    for name, measured in times.items():
        ratio = statistics.median(one / other for one, other in zip(measured, base, strict=True))
        seconds = statistics.median(measured)
        made = ", ".join(f"{count / events:.0f} {call}" for call, count in calls[name].items())
        print(f"| {name} | {seconds * 1e6:.0f} | {ratio:.2f} | {1 / seconds:,.0f} | {made} |")


def load(aws: Aws) -> Handler:
    """Import the handler with a client that answers at once."""
    sys.path.insert(0, str(SOURCE))
    with mock.patch.dict(os.environ, _VARIABLES):
        clients: Any = importlib.import_module("shared.clients")
        with mock.patch.object(clients, "make_clients", lambda *services: [aws] * len(services)):
            handler: Handler = importlib.import_module("storage.metadata_sync.handler").handler
    return handler


def naive(aws: Aws) -> Handler:
    """Make the obvious handler, with the same logger."""
    from aws_lambda_powertools.logging import Logger

    logger = Logger(service="metadata-sync")

    @logger.inject_lambda_context
    def handler(event: dict[str, Any], context: object) -> None:
        for one in event["Records"]:
            found = one["s3"]["object"]
            key = unquote_plus(found["key"])
            item = {
                "bucket": {"S": one["s3"]["bucket"]["name"]},
                "key": {"S": key},
                "size": {"N": str(found["size"])},
                "etag": {"S": found["eTag"]},
                "event_name": {"S": one["eventName"]},
            }
            aws.put_item(TableName="metadata", Item=item)
            logger.info("handled", key=key)

    return handler


def event(number: int, sequencer: int | None) -> dict[str, Any]:
    """Make an event from S3 about one of 500 objects; later events have later sequencers."""
    about = {
        "key": quote_plus(f"photos/{number % 500} of them.jpg"),
        "size": 5,
        "eTag": "e",
        "versionId": "v",
    }
    if sequencer is not None:
        about["sequencer"] = f"0055AED6DCD9{sequencer:06X}"
    name = "ObjectCreated:Put" if sequencer is not None else "ObjectTagging:Put"
    record = {
        "eventSource": "aws:s3",
        "eventName": name,
        "eventTime": "2026-01-01T00:00:00.000Z",
        "s3": {"bucket": {"name": "photos"}, "object": about},
    }
    made: dict[str, Any] = json.loads(json.dumps({"Records": [record]}))
    return made


if __name__ == "__main__":
    sys.exit(main())
