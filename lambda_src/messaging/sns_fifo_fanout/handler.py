"""Kinesis records → SNS FIFO topic, in order within each message group, each published once.

A batch for SNS never contains two messages of a group, because SNS may reject one message of a batch and
accept the next. After a rejection, the later messages of that group wait for the retry; other groups
continue. The retry publishes with the same deduplication ids, which are the sequence numbers of the records,
so that SNS drops the messages that it accepted within the last five minutes. Subscribers recognise older
duplicates by the id of the event.
"""

import base64
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    import boto3
    from aws_lambda_powertools.logging import Logger

    logger = Logger()
    topic_arn = os.environ["TOPIC_ARN"]
    client = boto3.client("sns")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_BATCH = 10  # the maximum of PublishBatch


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Publish a batch of records and return the first one that failed, if any.

    Raises:
        ValueError: The first of several records is not a JSON object. Lambda then splits the batch.
    """
    records = [record["kinesis"] for record in event["Records"]]
    failed: list[int] = []
    messages: list[dict[str, Any]] = []
    for number, record in enumerate(records):
        try:
            messages.append(_message(number, record))
        except ValueError as reason:
            if number == 0 and len(records) > 1:
                raise
            logger.warning("not published", sequence_number=record["sequenceNumber"], reason=str(reason))
            failed.append(number)
            break
    rejected_groups: set[str] = set()
    for batch in _batches(messages, rejected_groups):
        answer = client.publish_batch(TopicArn=topic_arn, PublishBatchRequestEntries=batch)
        for rejection in answer.get("Failed", []):
            record = records[int(rejection["Id"])]
            logger.warning("rejected", code=rejection.get("Code"), sequence_number=record["sequenceNumber"])
            rejected_groups.add(record["partitionKey"])
            failed.append(int(rejection["Id"]))
    logger.info("batch done", records=len(records), failed=len(failed))
    first = [records[min(failed)]["sequenceNumber"]] if failed else []
    return {"batchItemFailures": [{"itemIdentifier": number} for number in first]}


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


def _batches(messages: list[dict[str, Any]], rejected_groups: set[str]) -> Iterator[list[dict[str, Any]]]:
    """Yield batches without two messages of a group, and without those of groups rejected meanwhile."""
    waiting = messages
    while waiting:
        batch: dict[str, dict[str, Any]] = {}
        later = []
        for message in waiting:
            group = message["MessageGroupId"]
            if group in rejected_groups:
                continue
            if group in batch or len(batch) == _BATCH:
                later.append(message)
            else:
                batch[group] = message
        if batch:
            yield list(batch.values())
        waiting = later
