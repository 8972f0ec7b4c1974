"""SQS FIFO messages → event store, or read model, in DynamoDB: one function each.

After a message that failed, the later ones of its group are returned as failed too, so that the order stays.
The function of the read model rebuilds it from the store when it is invoked with ``{"rebuild": true}``. If it
returns ``after``, time was up: invoke it with ``{"rebuild": true, "after": ...}`` to continue.
"""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger
    from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

    from shared.clients import make_quick_client
    from shared.shares import Shares

    from .orders import OrderEvent
    from .tables import EventStore, StatusView

    logger = Logger()
    client = make_quick_client("dynamodb")
    store = EventStore(client, os.environ["STORE_TABLE"])
    view = StatusView(client, os.environ["STATUS_TABLE"], store)

# The topic delivers an event to both queues at once, so the store often gets it a moment later. Waiting is
# better than a retry, which comes after the visibility timeout. It is the limit of a whole batch.
_PATIENCE = 2.0  # seconds
_RESERVE = 5_000  # milliseconds

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def append(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Append each event to the store."""
    return _process(event["Records"], store.append, context)


def project(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Apply each event to the read model, or rebuild the read model from the store."""
    if event.get("rebuild"):
        done, after = view.rebuild(
            after=event.get("after", ""), has_time=lambda: context.get_remaining_time_in_millis() > _RESERVE
        )
        return {"rebuilt": done, **({"after": after} if after else {})}
    deadline = time.monotonic() + _PATIENCE
    return _process(
        event["Records"], lambda one, _: view.project(one, patience=deadline - time.monotonic()), context
    )


def _process(
    records: list[dict[str, Any]], work: Callable[[OrderEvent, float], object], context: "LambdaContext"
) -> dict[str, Any]:
    shares = Shares(context, len(records))

    def process(record: SQSRecord) -> None:
        try:
            order_event = OrderEvent.parse(record.body)
            # No call starts that could run into the time limit, which fails all messages.
            work(order_event, shares.next())
        except Exception as reason:
            kind = type(reason).__name__
            logger.warning("failed", message_id=record.message_id, reason=str(reason), kind=kind)
            raise

    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    processor.raise_on_entire_batch_failure = False  # its constructor does not take it
    with processor(records=records, handler=process):
        processor.process()
    return dict(processor.response())
