"""A lane of a shard: invokes the function with its records in order, until each succeeds or is discarded.

Used by `lambda_.stream_event_source` and `lambda_.dynamodb_event_source`. Records of discarded batches are
sent through the emulator's API with the credentials of the function's role: if it may not send, the record is
lost, as in AWS.

https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ministack.services import cloudwatch, lambda_svc, sqs

from localaws.services.lambda_.destinations import client_of
from localaws.services.lambda_.event_source_mappings import (
    MAX_PAYLOAD_BYTES,
    RETRY_DELAY,
    failed_items,
    run_function,
    wake_in,
)
from localaws.services.lambda_.metrics import put_metric

Record = dict[str, Any]

#: Only the first of these conditions is in the documentation.
RETRIES_EXHAUSTED, TOO_OLD = "RetryAttemptsExhausted", "RecordAgeExceeded"


def sequence_of(record: Record) -> str:
    """The sequence number of a record of Kinesis or DynamoDB."""
    return str(
        record["kinesis"]["sequenceNumber"] if "kinesis" in record else record["dynamodb"]["SequenceNumber"]
    )


def arrival_of(record: Record) -> float:
    """When a record arrived, in seconds."""
    if "kinesis" in record:
        return float(record["kinesis"]["approximateArrivalTimestamp"])
    return float(record["dynamodb"]["ApproximateCreationDateTime"])


def _size_of(record: Record) -> int:
    """What a record adds to the event, in bytes."""
    return len(json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()) + 1


@dataclass
class Batch:
    """Records that are sent in one invocation."""

    records: list[Record]
    attempts: int = 0
    not_before: float = 0.0


@dataclass
class Lane:
    """The records of a shard whose partition keys share a lane."""

    mapping: dict[str, Any]
    shard: str
    fresh: deque[Record] = field(default_factory=deque)
    retries: deque[Batch] = field(default_factory=deque)
    since: float = 0.0
    busy: bool = False
    window_start: float | None = None
    state: Any = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Append a new record."""
        if not self.fresh:
            self.since = time.monotonic()
            wake_in(self._collecting)
        self.fresh.append(record)

    def next(self) -> Batch | None:
        """The batch to send now; None if there is none yet."""
        if self.busy:
            return None
        if self.retries:
            return self.retries.popleft() if self.retries[0].not_before <= time.monotonic() else None
        if self._window_is_over():
            return Batch([])
        full = len(self.fresh) >= int(self.mapping["BatchSize"])
        if self.fresh and (full or time.monotonic() >= self.since + self._collecting):
            return Batch(self._take())
        return None

    def run(self, batch: Batch) -> None:
        """Invoke the function with a batch, and schedule or discard what failed."""
        batch.records = self._without_expired(batch)
        if not batch.records and not self._window_is_over():
            return
        result = run_function(self.mapping, self._event(batch))
        self._measure(batch)
        numbers = [sequence_of(record) for record in batch.records]
        failed = failed_items(self.mapping, result, numbers)
        self.mapping["LastProcessingResult"] = "PROBLEM: Function call failed" if failed else "OK"
        if result.get("error") and not batch.records:  # the final invocation of a window
            failed = {""}
        if failed:
            self._failed(batch, result, failed)
        else:
            self._succeeded(batch, result)

    # --- After an invocation

    def _succeeded(self, batch: Batch, result: dict[str, Any]) -> None:
        if self._window:
            body = result.get("body")
            self.state = body.get("state") or {} if isinstance(body, dict) else {}
            if not batch.records:
                self.window_start, self.state = None, {}

    def _failed(self, batch: Batch, result: dict[str, Any], failed: set[str]) -> None:
        throttled = bool(result.get("throttle"))
        bisects = str(self.mapping.get("BisectBatchOnFunctionError")).lower() == "true"
        records = batch.records
        # Everything from the first failed record is retried.
        first = next((i for i, record in enumerate(records) if sequence_of(record) in failed), 0)
        attempts = batch.attempts + (0 if throttled else 1)
        if first and bisects:  # split at the first failed record
            self._again(Batch(records[first:], batch.attempts))
        elif result.get("error") and not throttled and bisects and len(records) > 1:
            middle = len(records) // 2
            self._again(Batch(records[:middle], batch.attempts), Batch(records[middle:], batch.attempts))
        elif 0 <= self._number("MaximumRetryAttempts") < attempts and records:
            self._discard(records[first:], RETRIES_EXHAUSTED, attempts)
        else:
            self._again(Batch(records[first:], attempts))

    def _again(self, *batches: Batch) -> None:
        for batch in reversed(batches):
            batch.not_before = time.monotonic() + RETRY_DELAY
            self.retries.appendleft(batch)
        wake_in(RETRY_DELAY)

    def _discard(self, records: list[Record], condition: str, attempts: int) -> None:
        send_failure(
            self.mapping,
            records,
            shard=self.shard,
            condition=condition,
            attempts=attempts,
            answered=attempts > 0,
        )

    def _without_expired(self, batch: Batch) -> list[Record]:
        age = self._number("MaximumRecordAgeInSeconds")
        if age < 0:
            return batch.records
        oldest = time.time() - age
        expired = [one for one in batch.records if arrival_of(one) < oldest]
        if expired:
            self._discard(expired, TOO_OLD, batch.attempts)
        return batch.records[len(expired) :]

    # --- The next invocation

    def _take(self) -> list[Record]:
        records: list[Record] = []
        size = 0
        while self.fresh and len(records) < int(self.mapping["BatchSize"]):
            record = self.fresh[0]
            size += _size_of(record)
            if records and (size > MAX_PAYLOAD_BYTES or self._starts_window(record)):
                break
            if self._starts_window(record):
                self.window_start, self.state = self._window_of(record), {}
                wake_in(max(0.0, self.window_start + self._window - time.time()))
            records.append(self.fresh.popleft())
        self.since = time.monotonic()
        return records

    def _event(self, batch: Batch) -> dict[str, Any]:
        event: dict[str, Any] = {"Records": batch.records}
        if self._window:
            assert self.window_start is not None
            event |= {
                "window": {
                    "start": _stamp(self.window_start),
                    "end": _stamp(self.window_start + self._window),
                },
                "state": self.state,
                "shardId": self.shard,
                "eventSourceARN": self.mapping["EventSourceArn"],
                "isFinalInvokeForWindow": not batch.records,
                "isWindowTerminatedEarly": False,
            }
        return event

    def _window_of(self, record: Record) -> float:
        return math.floor(arrival_of(record) / self._window) * self._window

    def _starts_window(self, record: Record) -> bool:
        return bool(self._window) and self.window_start != self._window_of(record)

    def _window_is_over(self) -> bool:
        """Whether the window has ended and all of its records are processed."""
        if not self._window or self.window_start is None:
            return False
        over = time.time() >= self.window_start + self._window
        return over and not (self.fresh and not self._starts_window(self.fresh[0]))

    @property
    def _window(self) -> float:
        return float(self.mapping.get("TumblingWindowInSeconds") or 0)

    @property
    def _collecting(self) -> float:
        return float(self.mapping.get("MaximumBatchingWindowInSeconds") or 0)

    def _number(self, name: str) -> int:
        return int(self.mapping.get(name, -1))

    def _measure(self, batch: Batch) -> None:
        if batch.records:
            arrival = arrival_of(batch.records[-1])
            put_metric(
                self.mapping["FunctionArn"], "IteratorAge", (time.time() - arrival) * 1000, "Milliseconds"
            )


def lane_of(mapping: dict[str, Any], partition_key: str) -> int:
    """The number of the lane for records with a partition key."""
    lanes = 1 if mapping.get("TumblingWindowInSeconds") else int(mapping.get("ParallelizationFactor") or 1)
    digest = hashlib.md5(partition_key.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest) % lanes


def run_lane(lane: Lane) -> bool:
    """Start the invocation with the next batch of a lane; returns whether there is one."""
    batch = lane.next()
    if batch is None:
        return False
    lane.busy = True
    lambda_svc._dispatch_esm_batch(lane.mapping["UUID"], _run, lane, batch)
    return True


def _run(lane: Lane, batch: Batch) -> None:
    try:
        lane.run(batch)
    finally:
        lane.busy = False


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


# --- On-failure records


logger = logging.getLogger("localaws.streams")


def send_failure(
    mapping: dict[str, Any],
    records: Sequence[dict[str, Any]],
    *,
    shard: str,
    condition: str,
    attempts: int,
    answered: bool,
) -> None:
    """Send a record of a discarded batch to the mapping's on-failure destination.

    Args:
        mapping: The event source mapping.
        records: The batch, in the form of the event.
        shard: The id of the shard.
        condition: Why the batch was discarded.
        attempts: How often the function was invoked.
        answered: Whether the function was invoked at all.
    """
    destination = ((mapping.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
    _, config, _ = lambda_svc._get_func_record_for_ref(mapping["FunctionArn"])
    if not destination or not config:
        return
    document: dict[str, Any] = {
        "requestContext": {
            "requestId": str(uuid.uuid4()),
            "functionArn": mapping["FunctionArn"],
            "condition": condition,
            "approximateInvokeCount": attempts,
        },
        "version": "1.0",
        "timestamp": _iso(time.time()),
        "KinesisBatchInfo" if "kinesis" in records[0] else "DDBStreamBatchInfo": {
            "shardId": shard,
            "startSequenceNumber": sequence_of(records[0]),
            "endSequenceNumber": sequence_of(records[-1]),
            "approximateArrivalOfFirstRecord": _arrival(records[0]),
            "approximateArrivalOfLastRecord": _arrival(records[-1]),
            "batchSize": len(records),
            "streamArn": records[0]["eventSourceARN"],
        },
    }
    if answered:
        document["responseContext"] = {
            "statusCode": 200,
            "executedVersion": config["Version"],
            "functionError": "Unhandled",
        }
    try:
        _send(config, mapping, shard, destination, document, records)
    except Exception as error:
        # AWS only counts a metric; here the log also names the missing permission.
        mapping["LastProcessingResult"] = f"PROBLEM: the failure record did not reach {destination}: {error}"
        logger.warning("%s: the failure record did not reach %s: %s", mapping["UUID"], destination, error)
        cloudwatch.record_metric(
            "AWS/Lambda",
            "DestinationDeliveryFailures",
            1,
            "Count",
            {"FunctionName": config["FunctionName"]},
        )


def _send(
    config: dict[str, Any],
    mapping: dict[str, Any],
    shard: str,
    destination: str,
    document: dict[str, Any],
    records: Sequence[dict[str, Any]],
) -> None:
    service, name = destination.split(":")[2], destination.split(":")[-1]
    client = client_of(config, service)
    if service == "sqs":
        client.send_message(QueueUrl=sqs._queue_url(name), MessageBody=json.dumps(document))
    elif service == "sns":
        client.publish(TopicArn=destination, Message=json.dumps(document))
    else:  # only a bucket gets the records
        document["payload"] = json.dumps({"Records": records})
        now = time.gmtime()
        folder = f"aws/lambda/{mapping['UUID']}/{shard}/{time.strftime('%Y/%m/%d', now)}"
        key = f"{folder}/{time.strftime('%Y-%m-%dT%H.%M.%S', now)}-{uuid.uuid4()}"
        client.put_object(Bucket=name, Key=key, Body=json.dumps(document))


def _arrival(record: Record) -> str:
    """Streams of DynamoDB know the second only."""
    return _iso(arrival_of(record), "milliseconds" if "kinesis" in record else "seconds")


def _iso(seconds: float, precision: str = "milliseconds") -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=precision).replace("+00:00", "Z")
