"""StartMessageMoveTask: the redrive of a dead-letter queue, which the emulator does not know.

Faithful to: messages go back to the queue they came from, or to the destination that the request names, as
new messages: with an id, a time and a receive count of their own; the group and the order of a FIFO queue are
kept; a queue that is nobody's dead-letter queue is refused; ListMessageMoveTasks tells how many were moved.
Not to: a task moves all at once and is complete when it is answered, so there is nothing to cancel
(CancelMessageMoveTask is unknown) and no rate; the permissions on the queues beside the call's own
(`sqs:ReceiveMessage`, `DeleteMessage` at the source, `SendMessage` at the destination) are not asked for.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import lambda_svc, sqs

from localaws.services import reset_hooks

_tasks: dict[str, list[dict[str, Any]]] = {}


def install() -> None:
    """Add the two actions."""
    sqs._HANDLERS["StartMessageMoveTask"] = _start
    sqs._HANDLERS["ListMessageMoveTasks"] = _list
    reset_hooks.append(_tasks.clear)


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


def _list(request: dict[str, Any], _url: str) -> dict[str, Any]:
    tasks = _tasks.get(request.get("SourceArn", ""), [])[: int(request.get("MaxResults") or 1)]
    # Only a running task has a handle: it could be cancelled.
    return {"Results": [{key: task[key] for key in task if key != "TaskHandle"} for task in tasks]}


def _moved(messages: Iterable[dict[str, Any]], to: dict[str, Any] | None) -> Iterable[dict[str, Any]]:
    """Send each message on as a new one; yields those for which there was a queue."""
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
