"""Batch of a broker's messages → entries in a ledger in DynamoDB, each booked once.

Lambda knows no partial responses for brokers: a batch succeeds, or returns to its queue as a whole. So every
message is tried, also after one that failed, and the invocation fails in the end if any did. What was booked
is recognised when the batch comes again. Entries and ledger are those of `sqs-consumer`.
"""

import os
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from messaging.sqs_consumer.entries import Entry, NotAnEntry
    from messaging.sqs_consumer.ledger import Contradiction, Ledger, Overdrawn
    from shared.clients import make_quick_client
    from shared.shares import OutOfTime, Shares

    from .messages import Message, NotReadable, messages_of

    logger = Logger()
    ledger = Ledger(make_quick_client("dynamodb"), os.environ["TABLE_NAME"])

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


class BatchFailed(Exception):
    """Messages of the batch were not booked: all of it has to come again."""


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: "LambdaContext") -> None:
    """Book a batch.

    Raises:
        BatchFailed: A message was not booked; the log has the reason of each.
        NotABatch: It is no event of a broker.
    """
    messages = messages_of(event)
    shares = Shares(context, len(messages))
    failed = sum(not book(message, shares) for message in messages)
    logger.info("batch done", messages=len(messages), failed=failed)
    if failed:
        raise BatchFailed(
            f"{failed} of {len(messages)} messages were not booked; the batch has to come again"
        )


def book(message: Message, shares: Shares) -> bool:
    """Book the entry of a message within its share of the time; return whether it is in the ledger."""
    about: dict[str, Any] = {
        "queue": message.queue,
        "message_id": message.message_id,
        "redelivered": message.redelivered,
    }
    try:
        seconds = shares.next()
        new = ledger.book(Entry.parse(message.body), seconds)
    except (NotReadable, NotAnEntry, Contradiction, Overdrawn, OutOfTime) as reason:
        logger.warning("not booked", **about, reason=str(reason))
        return False
    except Exception:
        logger.exception("not booked", **about)
        return False
    logger.debug("booked" if new else "already booked", **about)
    return True
