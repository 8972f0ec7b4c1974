"""SQS queues as event sources: polls a queue and invokes a function with batches of messages.

The emulator ignores batching windows and batches of more than 10 messages, processes one batch of a FIFO
queue at a time, pauses the whole mapping after a failure, takes an invalid partial batch response for
success, and leaves filtered messages in the queue when the rest of their batch fails.

Faithful to:
- Batch size (up to 10,000) and batching window of standard queues, whichever is reached first, and 6 MB of
  payload.
- Batches of a FIFO queue run in parallel, but never two with messages of the same message group. A failed
  message blocks the later messages of its group until it succeeds or moves to the dead-letter queue.
- Filtered messages are deleted immediately.
- Partial batch responses, MaximumConcurrency, DeadLetterQueueSourceArn.
Not to: the time until a failed message returns, see `lambda_.event_source_mappings` (the visibility timeout
itself holds while the function runs); scaling: at most five batches run at a time, or MaximumConcurrency if
that is less; `kms:Decrypt` of the function's role on the key of the queue.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import lambda_svc, sqs

from localaws.patching import on_reset, replaces
from localaws.services.lambda_ import segments
from localaws.services.lambda_.event_source_mappings import (
    MAX_PAYLOAD_BYTES,
    RETRY_DELAY,
    failed_items,
    run_function,
    wake_in,
)
from localaws.usage import amounts

logger = logging.getLogger("localaws.sqs")

Message = dict[str, Any]

#: Lambda starts with five concurrent batches and scales up from there.
CONCURRENCY = 5


@dataclass
class _Waiting:
    """Received messages that wait until their batch is full or its window ends."""

    since: float = field(default_factory=time.monotonic)
    messages: list[Message] = field(default_factory=list)


_waiting: dict[str, _Waiting] = {}
on_reset(_waiting.clear)


@replaces(lambda_svc, "_poll_sqs")
def _poll_all() -> bool:
    """Poll the queue of each mapping once; returns whether there were messages."""
    found = False
    for account, region, mapping in lambda_svc._iter_all_esms():
        with request_scope(account, region):
            found = _poll(mapping) or found
    return found


def _poll(mapping: dict[str, Any]) -> bool:
    source = mapping.get("EventSourceArn", "")
    queue = sqs._queue_by_arn(source) if ":sqs:" in source else None
    mapping_id = mapping["UUID"]
    limit = (mapping.get("ScalingConfig") or {}).get("MaximumConcurrency") or CONCURRENCY
    if (
        queue is None
        or not mapping.get("Enabled", True)
        or lambda_svc._esm_inflight.get(mapping_id, 0) >= min(int(limit), CONCURRENCY)
    ):
        return False
    waiting = _waiting.setdefault(mapping_id, _Waiting())
    size, window = int(mapping["BatchSize"]), float(mapping.get("MaximumBatchingWindowInSeconds") or 0)
    received = _receive(queue, size - len(waiting.messages))
    if received and not waiting.messages:
        waiting.since = time.monotonic()
        if window:
            wake_in(window)
    waiting.messages += received
    over = time.monotonic() >= waiting.since + window
    if not waiting.messages or (len(waiting.messages) < size and not over):
        return bool(received)
    del _waiting[mapping_id]
    for batch in _within_payload(_matching(mapping, queue, waiting.messages)):
        lambda_svc._dispatch_esm_batch(mapping_id, _run, mapping, queue, batch)
    return True


def _receive(queue: dict[str, Any], count: int) -> list[Message]:
    with sqs._queues_lock:
        sqs._expire_retained(queue)
        sqs._dlq_sweep(queue)
        visibility = int(queue["attributes"].get("VisibilityTimeout", "30"))
        messages: list[Message] = sqs._collect_msgs(queue, count, visibility)
        return messages


def _matching(mapping: dict[str, Any], queue: dict[str, Any], messages: list[Message]) -> list[Message]:
    """The messages that match the mapping's filters; the others are deleted."""
    records = [_record(mapping, message) for message in messages]
    passed = {record["messageId"] for record in lambda_svc._apply_filter_criteria(records, mapping)}
    _delete(queue, [message for message in messages if message["id"] not in passed])
    return [message for message in messages if message["id"] in passed]


def _within_payload(messages: list[Message]) -> Iterable[list[Message]]:
    batch: list[Message] = []
    size = 0
    for message in messages:
        length = len(message["body"].encode())
        if batch and size + length > MAX_PAYLOAD_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += length
    if batch:
        yield batch


def _run(mapping: dict[str, Any], queue: dict[str, Any], batch: list[Message]) -> None:
    """Invoke the function with a batch, delete what succeeded, and make the rest visible again soon."""
    # If the function runs past the visibility timeout, the messages get new receipt handles meanwhile.
    receipts = {message["id"]: message["receipt_handle"] for message in batch}
    records = [_record(mapping, message) for message in batch]
    segments.messages.set(segments.contexts_of(records))
    result = run_function(mapping, {"Records": records})
    failed = failed_items(mapping, result, receipts)
    if failed:
        reason = json.dumps(result.get("body")) if result.get("error") else "its partial batch response"
        logger.info(
            "%s: %d of %d messages failed: %s", mapping["FunctionArn"], len(failed), len(batch), reason
        )
    mine = [one for one in batch if one["receipt_handle"] == receipts[one["id"]]]
    done = [one for one in mine if one["id"] not in failed]
    _delete(queue, done)
    unit = f"SQS {'FIFO ' if queue['attributes'].get('FifoQueue') == 'true' else ''}requests"
    amounts.add("", unit, 2 if done else 1)  # received, and deleted
    back = time.time() + RETRY_DELAY
    with sqs._queues_lock:
        for message in mine:
            if message["id"] in failed:
                message["visible_at"] = min(message["visible_at"], back)
    if failed:
        wake_in(RETRY_DELAY)
    mapping["LastProcessingResult"] = "PROBLEM: Function call failed" if result.get("error") else "OK"


def _delete(queue: dict[str, Any], messages: list[Message]) -> None:
    gone = {message["receipt_handle"] for message in messages}
    if gone:
        with sqs._queues_lock:
            # The receipt handle of a message that was never received is None.
            queue["messages"] = [one for one in queue["messages"] if one["receipt_handle"] not in gone]


def _record(mapping: dict[str, Any], message: Message) -> dict[str, Any]:
    """A message in the form of the event."""
    system = message.get("sys") or {}
    attributes = {
        "ApproximateReceiveCount": str(message["receive_count"]),
        "SentTimestamp": str(int(message["sent_at"] * 1000)),
        "SenderId": system.get("SenderId", ""),
        "ApproximateFirstReceiveTimestamp": str(int(message["first_receive_at"] * 1000)),
    }
    for name, value in (
        ("AWSTraceHeader", system.get("AWSTraceHeader")),
        ("DeadLetterQueueSourceArn", system.get("DeadLetterQueueSourceArn")),
        ("MessageGroupId", message.get("group_id")),
        ("MessageDeduplicationId", message.get("dedup_id")),
        ("SequenceNumber", message.get("seq")),
    ):
        if value:
            attributes[name] = str(value)
    return {
        "messageId": message["id"],
        "receiptHandle": message["receipt_handle"],
        "body": message["body"],
        "attributes": attributes,
        "messageAttributes": lambda_svc._sqs_message_attributes_to_camel_case(
            message.get("message_attributes") or {}
        ),
        "md5OfBody": message["md5_body"],
        "eventSource": "aws:sqs",
        "eventSourceARN": mapping["EventSourceArn"],
        "awsRegion": mapping["EventSourceArn"].split(":")[3],
    }
