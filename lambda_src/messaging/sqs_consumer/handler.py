"""SQS message (standard or FIFO) → entry in a ledger in DynamoDB, booked once.

Each message fails by itself: the answer names those that failed, SQS shows them again later, and after a few
attempts moves them to the dead-letter queue. In a FIFO queue the messages of the same group behind one that
failed are left for later as well, unbooked: so a withdrawal never overtakes the deposit that it needs.
"""

# ruff: noqa: E402 - garbage is not collected while modules load: nothing of them is garbage, and looking
# through all of it again and again takes a third of the start.
import gc

gc.disable()

import os
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, SqsFifoPartialProcessor
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from entries import Entry, NotAnEntry
from ledger import Ledger, Overdrawn

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
ledger = Ledger(boto3.client("dynamodb"), os.environ["TABLE_NAME"])
gc.enable()


def book(record: SQSRecord) -> None:
    """Book the entry of one message; whatever it raises fails this message alone."""
    try:
        new = ledger.book(Entry.parse(record.body))
    except (NotAnEntry, Overdrawn) as reason:
        logger.warning(
            "not booked",
            message_id=record.message_id,
            attempt=record.attributes.approximate_receive_count,
            reason=str(reason),
        )
        raise
    except Exception:
        logger.exception("not booked", message_id=record.message_id)
        raise
    logger.debug("booked" if new else "booked before", message_id=record.message_id)


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Book a batch and answer which messages failed."""
    records = event["Records"]
    processor = _processor(records[0]["eventSourceARN"])
    with processor(records=records, handler=book):
        processed = processor.process()
    failed = len(processor.fail_messages)
    logger.info("batch done", messages=len(processed), failed=failed)
    return dict(processor.response())


def _processor(queue_arn: str) -> BatchProcessor:
    """A processor for a queue of that kind. When all fail it says so in the answer and raises nothing."""
    if not queue_arn.endswith(".fifo"):
        return BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    processor.raise_on_entire_batch_failure = False  # its constructor does not take it
    return processor
