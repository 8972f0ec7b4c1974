"""SQS message (standard or FIFO) → entry in a ledger in DynamoDB, booked once.

Each message fails by itself: the response names those that failed, SQS makes them visible again later, and
after a few attempts moves them to the dead-letter queue. In a FIFO queue the messages of the same group after
one that failed are returned as well, not booked: so a withdrawal never overtakes the deposit that it needs.
"""

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger
    from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, SqsFifoPartialProcessor
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

    from shared.clients import make_quick_client
    from shared.shares import OutOfTime, Shares

    from .entries import Entry, NotAnEntry
    from .ledger import Contradiction, Ledger, Overdrawn

    logger = Logger()
    ledger = Ledger(make_quick_client("dynamodb"), os.environ["TABLE_NAME"])

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def book(record: SQSRecord, shares: Shares) -> None:
    """Book the entry of one message within its share of the time; an exception fails only this message."""
    try:
        new = ledger.book(Entry.parse(record.body), shares.next())
    except (NotAnEntry, Contradiction, Overdrawn, OutOfTime) as reason:
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
    logger.debug("booked" if new else "already booked", message_id=record.message_id)


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Book a batch and return which messages failed."""
    records = event["Records"]
    processor = _processor(records[0]["eventSourceARN"])
    with processor(records=records, handler=partial(book, shares=Shares(context, len(records)))):
        processed = processor.process()
    failed = len(processor.fail_messages)
    logger.info("batch done", messages=len(processed), failed=failed)
    return dict(processor.response())


def _processor(queue_arn: str) -> BatchProcessor:
    """A processor for that kind of queue. It raises nothing when all messages fail: the response says so."""
    if not queue_arn.endswith(".fifo"):
        return BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    processor.raise_on_entire_batch_failure = False  # its constructor does not take it
    return processor
