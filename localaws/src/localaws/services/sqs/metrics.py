"""Metrics of queues in the namespace AWS/SQS, which the emulator does not have at all.

Faithful to: ApproximateNumberOfMessagesVisible, …NotVisible and …Delayed and ApproximateAgeOfOldestMessage,
by QueueName, each minute while a queue is active: for six hours after it had a message, or was read. The age
leaves out messages of a standard queue that were received three times, and starts anew in a dead-letter
queue. NumberOfMessagesSent and SentMessageSize, which do not count a move to a dead-letter queue, and
NumberOfMessagesReceived.
Not to: the other metrics; their delay of some minutes; the six hours, which a call other than ReceiveMessage
prolongs in AWS, too. A message counts as sent when it is first received, or seen at the end of a minute. The
length of minutes is that of `pace`, and ages are real ones.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-monitoring-using-cloudwatch.html
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import cloudwatch, sqs

from localaws.pace import shortened
from localaws.patching import around, on_start

logger = logging.getLogger("localaws.sqs")

Queue = dict[str, Any]
_MINUTE, _ACTIVE = 60, 6 * 3600
_POISON = 3  # receives
_SHORTEST = 0.05  # seconds between two samples, whatever the pace


@around(sqs, "_collect_msgs", after=["sqs.messages", "sqs.faults"])
def _collect_msgs(
    stock: Callable[..., list[Any]], q: dict[str, Any], max_n: int, vis_timeout: int
) -> list[Any]:
    received = stock(q, max_n, vis_timeout)
    q["localaws_active"] = time.time()
    if received:
        _count_sent(q, received)
        _put(q, "NumberOfMessagesReceived", len(received))
    return received


def _count_sent(queue: Queue, messages: Iterable[dict[str, Any]]) -> None:
    """Count those that were not counted before; the mark stays with a message that moves."""
    for message in messages:
        if not message.setdefault("localaws_counted", False):
            message["localaws_counted"] = True
            _put(queue, "NumberOfMessagesSent", 1)
            _put(queue, "SentMessageSize", len(str(message.get("body", "")).encode()), "Bytes")


def levels(messages: Iterable[dict[str, Any]], fifo: bool, now: float) -> dict[str, float]:
    """The metrics of a queue that are no counts.

    Args:
        messages: Its messages.
        fifo: Whether it is a FIFO queue.
        now: The time.
    """
    visible = delayed = in_flight = 0
    ages = [0.0]
    for message in messages:
        if message["visible_at"] <= now:
            visible += 1
        elif message["receive_count"] == 0:
            delayed += 1
        else:
            in_flight += 1
        if "DeadLetterQueueSourceArn" in (message.get("sys") or {}):
            since = message.setdefault("localaws_moved", now)
        else:
            since = message["sent_at"]
        if fifo or message["receive_count"] < _POISON:
            ages.append(now - since)
    prefix = "ApproximateNumberOfMessages"
    return {
        f"{prefix}Visible": visible,
        f"{prefix}NotVisible": in_flight,
        f"{prefix}Delayed": delayed,
        "ApproximateAgeOfOldestMessage": max(ages),
    }


def _sample(queue: Queue) -> None:
    now = time.time()
    with sqs._queues_lock:
        sqs._expire_retained(queue)
        sqs._dlq_sweep(queue)
        messages = list(queue["messages"])
    _count_sent(queue, messages)
    if messages:
        queue["localaws_active"] = now
    if now - queue.get("localaws_active", -math.inf) > shortened(_ACTIVE):
        return
    for name, value in levels(messages, queue["is_fifo"], now).items():
        _put(queue, name, value, "Seconds" if "Age" in name else "Count")


def _put(queue: Queue, metric: str, value: float, unit: str = "Count") -> None:
    *_, region, account, name = queue["attributes"]["QueueArn"].split(":")
    with request_scope(account, region):
        cloudwatch.record_metric("AWS/SQS", metric, value, unit, {"QueueName": name})


@on_start
def _start() -> None:
    threading.Thread(target=_run, daemon=True, name="localaws-sqs-metrics").start()


def _run() -> None:
    while True:
        time.sleep(max(shortened(_MINUTE), _SHORTEST))
        for _scope, queue in list(sqs._queues.all_items()):
            try:
                _sample(queue)
            except Exception:  # the others must still be counted
                logger.exception("%s could not be measured", queue.get("name"))
