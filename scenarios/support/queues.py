"""Queues in scenarios: sends many messages, collects dead letters and redrives them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from scenarios.framework import DeployedStack, NotYet, wait_until

T = TypeVar("T")

_BATCH = 10  # the maximum of SendMessageBatch and ReceiveMessage
_HOLD_SECONDS = 120


class SourceQueue:
    """The queue that a function reads, and its dead-letter queue.

    Args:
        stack: Reaches the queues.
        url: The queue.
        dead_letters_url: Its dead-letter queue.
        mine: Whether the body of a dead letter belongs to this run.
    """

    def __init__(
        self, stack: DeployedStack, url: str, dead_letters_url: str, mine: Callable[[str], bool]
    ) -> None:
        self._sqs = stack.client("sqs")
        self._mine = mine
        self._held: dict[str, dict[str, Any]] = {}
        self.url = url
        self.dead_letters_url = dead_letters_url
        attributes = self._attributes(url)
        self.attempts = int(json.loads(attributes["RedrivePolicy"])["maxReceiveCount"])
        visibility = int(attributes["VisibilityTimeout"])
        #: Seconds until a message that always fails is a dead letter, at most.
        self.patience = stack.patience + (self.attempts + 1) * visibility

    def send(self, messages: Sequence[Mapping[str, str]]) -> None:
        """Send messages in this order.

        Args:
            messages: Entries of SendMessageBatch, without their ids.
        """
        for batch in batches(messages):
            entries = [{"Id": str(index), **message} for index, message in enumerate(batch)]
            answer = self._sqs.send_message_batch(QueueUrl=self.url, Entries=entries)
            if answer.get("Failed"):
                raise RuntimeError(f"SQS rejected: {answer['Failed']}")

    def left(self) -> int:
        """Return the approximate number of messages in the queue, visible or in flight."""
        attributes = self._attributes(self.url)
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        return sum(int(attributes[name]) for name in names)

    def wait_until_empty(self) -> None:
        """Wait until the queue has no message left: a late duplicate could undo the clean-up.

        Raises:
            ScenarioFailed: It takes too long.
        """

        def check() -> None:
            if left := self.left():
                raise NotYet(f"{left} messages")

        wait_until(check, what="an empty queue", timeout=self.patience)

    def dead_letters(self) -> list[str]:
        """Return the bodies of the dead letters of this run so far, in order within a group."""
        self.release()  # a FIFO queue delivers nothing from a group that has a message in flight
        while True:
            answer = self._sqs.receive_message(
                QueueUrl=self.dead_letters_url,
                MaxNumberOfMessages=_BATCH,
                VisibilityTimeout=_HOLD_SECONDS,
            )
            found = answer.get("Messages", [])
            self._held.update({message["MessageId"]: message for message in found})
            if not found:
                return [one["Body"] for one in self._held.values() if self._mine(one["Body"])]

    def wait_for_dead_letters(self, count: int) -> list[str]:
        """Wait until this number of messages of this run are dead letters.

        Raises:
            ScenarioFailed: They do not arrive in time.
        """

        def check() -> list[str]:
            found = self.dead_letters()
            if len(found) < count:
                raise NotYet(f"{len(found)} dead letters: {found}")
            return found

        return wait_until(check, what=f"{count} dead letters", timeout=self.patience)

    def redrive(self) -> None:
        """Move the dead letters back to the source queue with SQS's own redrive."""
        self.release()
        source = self._attributes(self.dead_letters_url)["QueueArn"]
        self._sqs.start_message_move_task(SourceArn=source)

        def check() -> None:
            [task] = self._sqs.list_message_move_tasks(SourceArn=source, MaxResults=1)["Results"]
            if task["Status"] != "COMPLETED":
                raise NotYet(f"the redrive is {task['Status']}")

        wait_until(check, what="redrive", timeout=self.patience)

    def release(self) -> None:
        """Make all held dead letters visible to other readers again."""
        make_visible(self._sqs, self.dead_letters_url, self._held.values())
        self._held.clear()

    def close(self) -> None:
        """Delete the dead letters of this run, and release the others."""
        self.dead_letters()
        for message_id, message in list(self._held.items()):
            if self._mine(message["Body"]):
                self._sqs.delete_message(
                    QueueUrl=self.dead_letters_url, ReceiptHandle=message["ReceiptHandle"]
                )
                del self._held[message_id]
        self.release()

    def _attributes(self, url: str) -> dict[str, str]:
        answer: dict[str, str] = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])[
            "Attributes"
        ]
        return answer


def batches(items: Sequence[T], size: int = _BATCH) -> Iterator[Sequence[T]]:
    """Yield consecutive parts of a list, each of at most this size."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def make_visible(sqs: Any, url: str, messages: Iterable[Mapping[str, Any]]) -> None:
    """Make messages visible to other readers; those that were held for too long are already."""
    for message in messages:
        with suppress(sqs.exceptions.MessageNotInflight, sqs.exceptions.ReceiptHandleIsInvalid):
            sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
