"""Dead-letter queue redrive: StartMessageMoveTask and ListMessageMoveTasks, which the emulator lacks.

Faithful to: messages return to their source queue, or go to the destination in the request, as new messages
with a new id, sent time and receive count. Message groups and the order of a FIFO queue are preserved. A
queue that is not configured as a dead-letter queue is refused. ListMessageMoveTasks returns the number of
messages that were moved.
Not to: a task moves all messages at once and is complete when StartMessageMoveTask returns, so there is no
rate limit and nothing to cancel (CancelMessageMoveTask is unknown). Of the permissions, only that of the call
itself is checked, not `sqs:ReceiveMessage` and `sqs:DeleteMessage` on the source and `sqs:SendMessage` on the
destination.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import lambda_svc, sqs

from localaws.patching import new_action, on_reset

_tasks: dict[str, list[dict[str, Any]]] = {}
on_reset(_tasks.clear)


@new_action(sqs, "StartMessageMoveTask")
def _start(request: dict[str, Any], _url: str) -> dict[str, Any]:
    source = _queue(request.get("SourceArn", ""))
    if not any(_dead_letters_of(queue) == request["SourceArn"] for queue in sqs._queues.values()):
        raise sqs._Err("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
    destination = _queue(request["DestinationArn"]) if request.get("DestinationArn") else None
    with sqs._queues_lock:
        now = time.time()
        movable = [message for message in source["messages"] if message["visible_at"] <= now]
        moved = list(_moved(movable, destination))
        source["messages"] = [message for message in source["messages"] if message not in moved]
    lambda_svc._esm_wake.set()
    task = {
        "TaskHandle": new_uuid(),
        "Status": "COMPLETED",
        "SourceArn": request["SourceArn"],
        "ApproximateNumberOfMessagesMoved": len(moved),
        "ApproximateNumberOfMessagesToMove": len(movable),
        "StartedTimestamp": int(now * 1000),
        **({"DestinationArn": request["DestinationArn"]} if destination else {}),
    }
    _tasks.setdefault(request["SourceArn"], []).insert(0, task)
    return {"TaskHandle": task["TaskHandle"]}


@new_action(sqs, "ListMessageMoveTasks")
def _list(request: dict[str, Any], _url: str) -> dict[str, Any]:
    tasks = _tasks.get(request.get("SourceArn", ""), [])[: int(request.get("MaxResults") or 1)]
    # Only a running task has a handle, with which it can be cancelled.
    return {"Results": [{key: task[key] for key in task if key != "TaskHandle"} for task in tasks]}


def _moved(messages: Iterable[dict[str, Any]], to: dict[str, Any] | None) -> Iterable[dict[str, Any]]:
    """Move each message as a new one; yields the messages whose destination exists."""
    for message in messages:
        system = dict(message.get("sys") or {})
        origin = system.pop("DeadLetterQueueSourceArn", None)
        destination = to or (sqs._queue_by_arn(origin) if origin else None)
        if destination is None:
            continue
        now = time.time()
        destination["messages"].append(
            {
                **message,
                "id": new_uuid(),
                "sys": {**system, "SentTimestamp": str(int(now * 1000))},
                "sent_at": now,
                "visible_at": now,
                "receive_count": 0,
                "first_receive_at": None,
                "receipt_handle": None,
            }
        )
        yield message


def _queue(arn: str) -> dict[str, Any]:
    queue: dict[str, Any] | None = sqs._queue_by_arn(arn)
    if queue is None:
        raise sqs._Err("ResourceNotFoundException", f"The resource that you specified does not exist: {arn}")
    return queue


def _dead_letters_of(queue: dict[str, Any]) -> str | None:
    policy = queue["attributes"].get("RedrivePolicy")
    return json.loads(policy).get("deadLetterTargetArn") if policy else None
