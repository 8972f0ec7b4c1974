"""Reads one run's messages from a failure queue that other runs may be using too."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from scenarios.framework import DeployedStack, NotYet
from scenarios.support.queues import make_visible
from scenarios.support.redrive import FailedEvent, NotUnderstood, parse

Failure = TypeVar("Failure")

_HOLD_SECONDS = 120


class _FailureQueue(ABC, Generic[Failure]):
    """The failures of one run; messages of other runs are released when the run ends.

    Args:
        stack: Reaches the queue.
        url: The queue.
    """

    def __init__(self, stack: DeployedStack, url: str) -> None:
        self._stack = stack
        self._sqs = stack.client("sqs")
        self._url = url
        self._held: dict[str, dict[str, Any]] = {}

    @abstractmethod
    def _read(self, message: dict[str, Any]) -> Failure | None:
        """Return the failure in a message; ``None`` if it is from another run."""

    def poll(self) -> list[Failure]:
        """Receive from the queue once more, and return all failures of this run so far."""
        answer = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=_HOLD_SECONDS,
            MessageAttributeNames=["All"],
        )
        self._held.update({message["MessageId"]: message for message in answer.get("Messages", [])})
        return [found for message in self._held.values() if (found := self._read(message)) is not None]

    def wait_for(self, count: int) -> list[Failure]:
        """Wait for this number of failures.

        Raises:
            ScenarioFailed: They do not arrive in time.
        """

        def check() -> list[Failure]:
            found = self.poll()
            if len(found) < count:
                raise NotYet(f"{len(found)} of {count}: {found}")
            return found

        return self._stack.wait_until(check, f"{count} messages in the failure queue")

    def release(self) -> None:
        """Make all held messages visible to other readers again."""
        make_visible(self._sqs, self._url, self._held.values())
        self._held.clear()

    def close(self) -> None:
        """Delete the messages of this run from the queue, and release the others."""
        self.poll()
        for message_id, message in list(self._held.items()):
            if self._read(message) is not None:
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
                del self._held[message_id]
        self.release()


class FailureQueue(_FailureQueue[FailedEvent]):
    """The events of one run that a function could not process.

    Args:
        stack: Reaches the queue.
        url: The queue.
        mine: Whether a failed event belongs to this run.
    """

    def __init__(self, stack: DeployedStack, url: str, mine: Callable[[FailedEvent], bool]) -> None:
        super().__init__(stack, url)
        self._mine = mine

    def _read(self, message: dict[str, Any]) -> FailedEvent | None:
        try:
            failed = parse(message)
        except NotUnderstood:
            return None
        return failed if self._mine(failed) else None


class Messages(_FailureQueue[dict[str, Any]]):
    """The messages of one run as they are.

    Args:
        stack: Reaches the queue.
        url: The queue.
        mine: Whether a message with this body belongs to this run.
    """

    def __init__(self, stack: DeployedStack, url: str, mine: Callable[[str], bool]) -> None:
        super().__init__(stack, url)
        self._mine = mine

    def _read(self, message: dict[str, Any]) -> dict[str, Any] | None:
        return message if self._mine(message["Body"]) else None


class StreamFailures(_FailureQueue[dict[str, Any]]):
    """Lambda's records of the stream batches of one run that it discarded.

    https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html

    Args:
        stack: Reaches the queue.
        url: The on-failure destination of an event source mapping.
    """

    def __init__(self, stack: DeployedStack, url: str) -> None:
        super().__init__(stack, url)
        self._numbers: list[int] = []

    def add(self, numbers: Sequence[str]) -> None:
        """Note the sequence numbers of records that this run has put into the stream."""
        self._numbers += map(int, numbers)

    def _read(self, message: dict[str, Any]) -> dict[str, Any] | None:
        body: dict[str, Any] = json.loads(message["Body"])
        batch = body["KinesisBatchInfo"]
        first, last = int(batch["startSequenceNumber"]), int(batch["endSequenceNumber"])
        return body if any(first <= number <= last for number in self._numbers) else None


def failed_of_run(stack: DeployedStack, run_id: str, consumers: Iterable[str]) -> dict[str, FailureQueue]:
    """Return what the functions of a stack could not process, by the consumer that names their outputs."""
    return {
        name: FailureQueue(
            stack, stack.output(f"{name}FailureQueueUrl"), lambda one: run_id in json.dumps(one.event)
        )
        for name in consumers
    }


def undelivered_of_run(stack: DeployedStack, run_id: str, consumers: Iterable[str]) -> dict[str, Messages]:
    """Return what SNS or EventBridge could not deliver to the functions, likewise."""
    return {
        name: Messages(stack, stack.output(f"{name}UndeliveredQueueUrl"), lambda body: run_id in body)
        for name in consumers
    }
