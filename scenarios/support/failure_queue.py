"""Reads the messages of one run from a failure queue that others may be using too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scenarios.framework import DeployedStack, NotYet
from scenarios.support.redrive import FailedEvent, NotUnderstood, parse


class FailureQueue:
    """The messages of a failure queue that are about this run; the others go back when the run ends.

    Args:
        stack: Reaches the queue.
        url: The queue.
        mine: Whether a failed event is of this run.
    """

    def __init__(self, stack: DeployedStack, url: str, mine: Callable[[FailedEvent], bool]) -> None:
        self._stack = stack
        self._sqs = stack.client("sqs")
        self._url = url
        self._mine = mine
        self._receipts: dict[str, str] = {}
        self._failed: dict[str, FailedEvent] = {}

    def poll(self) -> list[FailedEvent]:
        """Look into the queue once more, and return everything that came so far."""
        answer = self._sqs.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=10, VisibilityTimeout=120, MessageAttributeNames=["All"]
        )
        for message in answer.get("Messages", []):
            self._receipts[message["MessageId"]] = message["ReceiptHandle"]
            failed = _parsed(message)
            if failed is not None and self._mine(failed):
                self._failed[message["MessageId"]] = failed
        return list(self._failed.values())

    def wait_for(self, count: int) -> list[FailedEvent]:
        """Wait until so many events of this run are in the queue."""

        def check() -> list[FailedEvent]:
            came = self.poll()
            if len(came) < count:
                raise NotYet(f"{len(came)} of {count}: {[one.reason for one in came]}")
            return came

        return self._stack.wait_until(check, f"{count} messages in the failure queue")

    def release(self) -> None:
        """Show every message that was looked at to other readers again."""
        for receipt in self._receipts.values():
            self._sqs.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=0
            )
        self._receipts.clear()
        self._failed.clear()

    def close(self) -> None:
        """Delete what is of this run from the queue, and release the rest."""
        for message_id in self._failed:
            receipt = self._receipts.pop(message_id)
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=receipt)
        self.release()


def _parsed(message: dict[str, Any]) -> FailedEvent | None:
    try:
        return parse(message)
    except NotUnderstood:
        return None
