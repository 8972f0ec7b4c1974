"""SQS event source mappings, and the redrive of dead letters."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from itertools import chain
from typing import Any

import pytest

from helpers.lambda_functions import Functions, Queue, eventually

pytestmark = pytest.mark.local

# Writes the bodies of each batch into a queue, and then does what the bodies say.
SOURCE = """
import json, os, time, urllib.parse
import boto3
sqs = boto3.client("sqs")
def received():
    names = ["ApproximateNumberOfMessages"]
    answer = sqs.get_queue_attributes(QueueUrl=os.environ["SEEN"], AttributeNames=names)
    return int(answer["Attributes"][names[0]])
def handler(event, context):
    bodies = [record["body"] for record in event["Records"]]
    sqs.send_message(QueueUrl=os.environ["SEEN"], MessageBody=json.dumps(bodies))
    failures = []
    for record in event["Records"]:
        word = record["body"].partition(" ")[0]
        if word == "raise":
            raise RuntimeError("as requested")
        if word == "fail" or (word == "once" and record["attributes"]["ApproximateReceiveCount"] == "1"):
            failures.append({"itemIdentifier": record["messageId"]})
        if word == "last":  # ends when three other batches were received
            end = time.monotonic() + 25
            while received() < 4 and time.monotonic() < end:
                time.sleep(0.05)
        if word == "answer":
            return json.loads(record["body"][7:])
    return {"batchItemFailures": failures}
"""
READING = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:SendMessage")


class Source:
    """A queue with dead letters and a function that reads it."""

    def __init__(
        self,
        functions: Functions,
        *,
        fifo: bool = False,
        attempts: int = 2,
        **mapping: Any,
    ) -> None:
        self._functions = functions
        self._sqs = functions.aws.client("sqs")
        self._fifo = fifo
        self.dead = self._queue({})
        redrive = json.dumps({"deadLetterTargetArn": self.dead.arn, "maxReceiveCount": attempts})
        self.queue = self._queue({"RedrivePolicy": redrive, "VisibilityTimeout": "60"})
        self.seen = functions.queue()
        role = functions.role(*[(action, "*") for action in READING])
        name = functions.make(SOURCE, role=role, Environment={"Variables": {"SEEN": self.seen.url}})
        self.id = functions.aws.client("lambda").create_event_source_mapping(
            FunctionName=name,
            EventSourceArn=self.queue.arn,
            **{"FunctionResponseTypes": ["ReportBatchItemFailures"]} | mapping,
        )["UUID"]

    def _queue(self, attributes: dict[str, str]) -> Queue:
        name = f"queue-{uuid.uuid4().hex[:8]}{'.fifo' if self._fifo else ''}"
        kind = {"FifoQueue": "true", "ContentBasedDeduplication": "true"} if self._fifo else {}
        url = self._sqs.create_queue(QueueName=name, Attributes={**attributes, **kind})["QueueUrl"]
        return Queue(self._functions.aws, name, url, self._functions.arn("sqs", name))

    def send(self, *bodies: str, groups: Sequence[str] = ()) -> None:
        """Send messages together, each in its group if the queue is a FIFO queue."""
        entries = [
            {"Id": str(index), "MessageBody": body, **({"MessageGroupId": groups[index]} if groups else {})}
            for index, body in enumerate(bodies)
        ]
        self._sqs.send_message_batch(QueueUrl=self.queue.url, Entries=entries)

    def batches(self, count: int) -> list[list[str]]:
        """The next batches of the function."""
        found: list[list[str]] = []

        def enough() -> bool:
            found.extend(json.loads(message["Body"]) for message in self.seen.receive())
            return len(found) >= count

        eventually(enough)
        return found

    def left(self) -> int:
        """The number of messages in the queue, visible or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = self._sqs.get_queue_attributes(QueueUrl=self.queue.url, AttributeNames=names)["Attributes"]
        return sum(int(counts[name]) for name in names)


def test_only_the_messages_that_failed_come_back(functions: Functions) -> None:
    source = Source(functions)
    source.send("one", "once", "three")
    eventually(lambda: source.left() == 0)
    seen = source.batches(2)
    assert list(chain(*seen)).count("once") == 2
    assert len(list(chain(*seen))) == 4


def test_a_message_that_always_fails_becomes_a_dead_letter_after_its_attempts(functions: Functions) -> None:
    source = Source(functions, attempts=3)
    source.send("fail")
    assert source.dead.wait()["Body"] == "fail"
    assert source.batches(3) == [["fail"]] * 3


@pytest.mark.parametrize(
    ("answer", "succeeds"),
    [
        ("null", True),
        ("{}", True),
        ('{"batchItemFailures": []}', True),
        ('{"batchItemFailures": null}', True),
        ('{"batchItemFailures": [{"itemIdentifier": ""}]}', False),
        ('{"batchItemFailures": [{"itemIdentifier": null}]}', False),
        ('{"batchItemFailures": [{"identifier": "x"}]}', False),
        ('{"batchItemFailures": [{"itemIdentifier": "of no message"}]}', False),
        ('"not an answer"', False),
    ],
)
def test_an_answer_that_lambda_does_not_understand_fails_the_batch(
    functions: Functions, answer: str, succeeds: bool
) -> None:
    source = Source(functions, attempts=1)
    source.send(f"answer {answer}")
    source.batches(1)
    eventually(lambda: source.left() == 0)
    assert bool(source.dead.receive()) is not succeeds


def test_a_batching_window_collects_more_than_ten_messages(functions: Functions) -> None:
    source = Source(functions, BatchSize=15, MaximumBatchingWindowInSeconds=300)
    source.send(*map(str, range(8)))
    source.send(*map(str, range(8, 15)))
    [batch] = source.batches(1)
    assert sorted(batch, key=int) == [str(number) for number in range(15)]


def test_a_filtered_message_is_deleted_even_if_another_one_fails(functions: Functions) -> None:
    criteria = {"Filters": [{"Pattern": json.dumps({"body": {"kind": ["good"]}})}]}
    source = Source(functions, attempts=1, FilterCriteria=criteria, FunctionResponseTypes=[])
    source.send('{"kind": "bad"}', '{"kind": "good"}')
    assert source.batches(1) == [['{"kind": "good"}']]
    eventually(lambda: source.left() == 0)


def test_groups_run_in_parallel_and_a_failure_blocks_only_its_group(functions: Functions) -> None:
    source = Source(functions, fifo=True, attempts=2, BatchSize=1)
    source.send("fail a1", "last b1", "a2", "b2", groups=["a", "b", "a", "b"])
    eventually(lambda: source.left() == 0)
    seen = list(chain(*source.batches(5)))
    assert [body for body in seen if "a" in body.split()[-1]] == ["fail a1", "fail a1", "a2"]
    assert [body for body in seen if "b" in body] == ["last b1", "b2"]
    # The group that waits for the other one did not block it.
    assert seen.index("a2") < seen.index("b2")
    assert source.dead.wait()["Body"] == "fail a1"


def test_a_redrive_sends_dead_letters_back_as_new_messages(functions: Functions) -> None:
    source = Source(functions, attempts=1)
    source.send("once")
    eventually(lambda: source.left() == 0)
    sqs = functions.aws.client("sqs")
    sqs.start_message_move_task(SourceArn=source.dead.arn)
    source.batches(2)  # it is counted anew: it fails once more, and is a dead letter again
    [task] = sqs.list_message_move_tasks(SourceArn=source.dead.arn)["Results"]
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 1)
    eventually(lambda: source.left() == 0)
    assert source.dead.wait()["Body"] == "once"


def test_a_queue_of_no_dead_letters_is_not_redriven(functions: Functions) -> None:
    queue = functions.queue()
    sqs = functions.aws.client("sqs")
    with pytest.raises(sqs.exceptions.ClientError, match="must be configured as a Dead Letter Queue"):
        sqs.start_message_move_task(SourceArn=queue.arn)


def test_still_needed_the_emulator_takes_an_invalid_response_for_success(stock_functions: Functions) -> None:
    source = Source(stock_functions, attempts=1)
    source.send('answer {"batchItemFailures": [{"itemIdentifier": "of no message"}]}')
    source.batches(1)
    eventually(lambda: source.left() == 0)
    assert source.dead.receive() == []  # still needed: in AWS it is a dead letter


def test_still_needed_the_emulator_does_not_wait_for_the_window(stock_functions: Functions) -> None:
    source = Source(stock_functions, BatchSize=15, MaximumBatchingWindowInSeconds=300)
    source.send(*map(str, range(8)))
    source.send(*map(str, range(8, 15)))
    assert max(map(len, source.batches(2))) <= 10  # still needed: in AWS it is one batch of 15


def test_still_needed_the_emulator_has_no_redrive(stock_functions: Functions) -> None:
    sqs = stock_functions.aws.client("sqs")
    with pytest.raises(sqs.exceptions.ClientError, match="StartMessageMoveTask is not valid"):
        sqs.start_message_move_task(SourceArn=stock_functions.queue().arn)
