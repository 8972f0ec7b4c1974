"""Reads from a failure queue which records of a stream one run has lost, while others may be using it too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from scenarios.framework import DeployedStack, NotYet


class StreamFailures:
    """The failure records about this run; those about others go back when the run ends.

    Args:
        stack: Reaches the queue.
        url: The on-failure destination of an event source mapping.
    """

    def __init__(self, stack: DeployedStack, url: str) -> None:
        self._stack = stack
        self._sqs = stack.client("sqs")
        self._url = url
        self._numbers: list[int] = []
        self._held: dict[str, dict[str, Any]] = {}

    def add(self, numbers: Sequence[str]) -> None:
        """Note which records are of this run, by their sequence numbers."""
        self._numbers += map(int, numbers)

    def poll(self) -> list[dict[str, Any]]:
        """Look into the queue once more, and return every failure record about this run so far."""
        answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, VisibilityTimeout=120)
        for message in answer.get("Messages", []):
            self._held[message["MessageId"]] = message
        return [body for message in self._held.values() if (body := self._mine(message))]

    def wait(self, count: int) -> list[dict[str, Any]]:
        """Wait for that many failure records.

        Raises:
            ScenarioFailed: They do not come in time.
        """

        def check() -> list[dict[str, Any]]:
            found = self.poll()
            if len(found) < count:
                raise NotYet(f"{len(found)} failure records")
            return found

        return self._stack.wait_until(check, f"{count} failure records")

    def close(self) -> None:
        """Delete what is about this run from the queue, and release the rest."""
        self.poll()
        for message in self._held.values():
            receipt = {"QueueUrl": self._url, "ReceiptHandle": message["ReceiptHandle"]}
            if self._mine(message):
                self._sqs.delete_message(**receipt)
            else:
                self._sqs.change_message_visibility(**receipt, VisibilityTimeout=0)

    def _mine(self, message: dict[str, Any]) -> dict[str, Any] | None:
        body: dict[str, Any] = json.loads(message["Body"])
        batch = body["KinesisBatchInfo"]
        first, last = int(batch["startSequenceNumber"]), int(batch["endSequenceNumber"])
        return body if any(first <= number <= last for number in self._numbers) else None
