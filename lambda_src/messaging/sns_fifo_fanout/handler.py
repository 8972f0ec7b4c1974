"""Kinesis records → SNS FIFO topic, in order within each message group, each published once.

A batch of ten never holds two messages of one group, because SNS may refuse one message of a batch and take
the next. When one is refused, the later ones of its group are left for the retry, and those of other groups
go on. The retry publishes under the same deduplication ids, made of the records' sequence numbers, and SNS
drops what it took before: for five minutes. What is published again after that, the consumers recognise by
the id of the event.
"""

# through all of it again and again takes a third of the start.
import gc

gc.disable()

import base64
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools.logging import Logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_BATCH = 10  # the most that PublishBatch takes

logger = Logger()
topic_arn = os.environ["TOPIC_ARN"]
client = boto3.client("sns")
gc.enable()


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Publish a batch of records and answer from where on it failed, if it did.

    Raises:
        ValueError: The first of several records is not a JSON object: so that Lambda halves the batch.
    """
    records = [record["kinesis"] for record in event["Records"]]
    refused: dict[str, int] = {}  # by group: from where on its messages were not published
    messages: list[dict[str, Any]] = []
    for number, record in enumerate(records):
        try:
            messages.append(_message(number, record))
        except ValueError as reason:
            if number == 0 and len(records) > 1:
                raise
            logger.warning("not published", sequence_number=record["sequenceNumber"], reason=str(reason))
            refused[""] = number
            break
    for batch in _batches(messages, refused):
        answer = client.publish_batch(TopicArn=topic_arn, PublishBatchRequestEntries=batch)
        for failure in answer.get("Failed", []):
            number = int(failure["Id"])
            refused[records[number]["partitionKey"]] = number
            logger.warning(
                "refused", code=failure.get("Code"), sequence_number=records[number]["sequenceNumber"]
            )
    logger.info("batch done", records=len(records), groups_refused=len(refused))
    failed = [records[min(refused.values())]["sequenceNumber"]] if refused else []
    return {"batchItemFailures": [{"itemIdentifier": number} for number in failed]}


def _message(number: int, record: dict[str, Any]) -> dict[str, Any]:
    body = base64.b64decode(record["data"]).decode()
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError("the data is not a JSON object")
    entry: dict[str, Any] = {
        "Id": str(number),
        "Message": body,
        "MessageGroupId": record["partitionKey"],
        "MessageDeduplicationId": record["sequenceNumber"],
    }
    kind = document.get("type")
    if isinstance(kind, str) and kind:
        entry["MessageAttributes"] = {"type": {"DataType": "String", "StringValue": kind}}
    return entry


def _batches(messages: list[dict[str, Any]], refused: dict[str, int]) -> Iterator[list[dict[str, Any]]]:
    """Batches in which no group stands twice; nothing more of a group once it is refused."""
    waiting = messages
    while waiting:
        batch: dict[str, dict[str, Any]] = {}
        later = []
        for message in waiting:
            group = message["MessageGroupId"]
            if group in refused:
                continue
            if group in batch or len(batch) == _BATCH:
                later.append(message)
            else:
                batch[group] = message
        if batch:
            yield list(batch.values())
        waiting = later
