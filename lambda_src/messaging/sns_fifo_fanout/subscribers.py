"""SQS FIFO messages → event store, or one of the read models: one handler each.

A message that fails keeps back the later ones of its group. The handlers of the read models rebuild theirs
from the store when they are invoked with ``{"rebuild": true}``.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from events import OrderEvent
from store import EventStore
from views import RevenueView, StatusView

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
client = boto3.client("dynamodb")
store = EventStore(client, os.environ["STORE_TABLE"])
status = StatusView(client, os.environ["STATUS_TABLE"], store)
revenue = RevenueView(client, os.environ["REVENUE_TABLE"], store)


def append(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Append each event to the store."""
    return _each(event, store.append)


def project_status(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Bring the status of orders up to date."""
    return {"rebuilt": status.rebuild()} if event.get("rebuild") else _each(event, status.project)


def project_revenue(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Count payments and refunds."""
    return {"rebuilt": revenue.rebuild()} if event.get("rebuild") else _each(event, revenue.project)


def _each(event: dict[str, Any], work: Callable[[OrderEvent], object]) -> dict[str, Any]:
    def one(record: SQSRecord) -> None:
        try:
            work(OrderEvent.parse(record.body))
        except Exception as reason:
            logger.warning(
                "failed", message_id=record.message_id, reason=str(reason), kind=type(reason).__name__
            )
            raise

    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    processor.raise_on_entire_batch_failure = False  # its constructor does not take it
    with processor(records=event["Records"], handler=one):
        processor.process()
    return dict(processor.response())
