"""Kinesis records → SNS FIFO topic, in order within each message group, each published once.

A batch for SNS never contains two messages of a group, because SNS may reject one message of a batch and
accept the next. There are two kinds of failure:

- A record that can never be published (too large, not JSON, forbidden characters) goes to the failure queue
  at once, with its data. The records after it continue, those of its group too.
- Anything else is tried again. The later messages of that group wait for the retry; other groups continue.

The retry publishes with the same deduplication ids, so that SNS drops the messages that it accepted within
the last five minutes. Subscribers recognise older duplicates by the id of the event.
"""

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger
    from botocore.exceptions import BotoCoreError, ClientError

    from shared.clients import FailureQueue, make_quick_client

    from .failures import failure_message
    from .messages import Message, NotPublishable, next_batch

    logger = Logger()
    topic_arn = os.environ["TOPIC_ARN"]
    maximum_size = int(os.environ["MAXIMUM_MESSAGE_SIZE"])
    client = make_quick_client("sns")
    failure_queue = FailureQueue(make_quick_client("sqs"), os.environ["FAILURE_QUEUE_URL"])

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# What SNS would say again. https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html#API_PublishBatch_Errors
_PERMANENT = {"InvalidParameter", "ParameterValueInvalid", "ValidationException", "BatchRequestTooLong"}
_RESERVE = 15_000  # milliseconds, enough for a call of SNS, one of SQS and the response


class NotPublished(Exception):
    """The first of several records could not be published now: Lambda splits the batch and tries again."""


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Publish a batch of records and return the first one to try again, if any.

    Raises:
        NotPublished: It is the first of several records. Lambda would try a batch that is returned as a whole
            again without splitting it, and give it up as a whole.
    """
    records = event["Records"]
    refused: dict[int, str] = {}
    messages: list[Message] = []
    for number, record in enumerate(records):
        try:
            messages.append(Message.of(number, record))
        except NotPublishable as reason:
            refused[number] = str(reason)
    retry = _publish(messages, refused, context)
    retry = _report(records, refused, retry, context)
    logger.info("batch done", records=len(records), refused=len(refused), retry_from=retry)
    if retry is None:
        return {"batchItemFailures": []}
    number = records[retry]["kinesis"]["sequenceNumber"]
    if retry == 0 and len(records) > 1:
        raise NotPublished(f"sequence number {number}")
    return {"batchItemFailures": [{"itemIdentifier": number}]}


def _publish(waiting: list[Message], refused: dict[int, str], context: "LambdaContext") -> int | None:
    """Publish all messages in batches, add what SNS refuses, and return the first one to try again."""
    retry: set[int] = set()
    held: set[str] = set()
    while waiting := [message for message in waiting if message.group not in held]:
        batch, later = next_batch(waiting, maximum_size)
        try:
            if context.get_remaining_time_in_millis() < _RESERVE:
                raise TimeoutError("the function's time is almost up")
            failures = _send(batch)
        except (BotoCoreError, ClientError, TimeoutError) as error:
            logger.warning("stopped", reason=str(error), left=len(waiting))
            retry |= {message.number for message in waiting}
            break
        for message in batch:
            if failure := failures.get(str(message.number)):
                if failure["Code"] in _PERMANENT:
                    refused[message.number] = failure["Message"]
                else:
                    logger.warning("rejected", code=failure["Code"], number=message.number)
                    retry.add(message.number)
                    held.add(message.group)
        waiting = later
    return min(retry, default=None)


def _send(batch: list[Message]) -> dict[str, dict[str, Any]]:
    """Publish a batch and return the failures by the id of their entry.

    SNS may refuse a request as a whole because of one message. Then each is sent in a request of its own.
    """
    try:
        answer = client.publish_batch(
            TopicArn=topic_arn, PublishBatchRequestEntries=[message.entry for message in batch]
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in _PERMANENT:
            raise
        if len(batch) == 1:
            return {str(batch[0].number): dict(error.response["Error"])}
        return {name: failure for message in batch for name, failure in _send([message]).items()}
    return {failure["Id"]: failure for failure in answer.get("Failed", [])}


def _report(
    records: list[dict[str, Any]], refused: dict[int, str], retry: int | None, context: "LambdaContext"
) -> int | None:
    """Send refused records to the failure queue, except those that the retry includes.

    Returns:
        The first record to try again: a refused one, if the failure queue does not take it.
    """
    for number in sorted(refused):
        if retry is not None and number > retry:
            break
        record, reason = records[number], refused[number]
        logger.warning(
            "never publishable", sequence_number=record["kinesis"]["sequenceNumber"], reason=reason
        )
        try:
            failure_queue.send(failure_message(record, reason, context, now=datetime.now(UTC)))
        except (BotoCoreError, ClientError) as error:
            logger.warning("not reported", reason=str(error))
            return number
    return retry
