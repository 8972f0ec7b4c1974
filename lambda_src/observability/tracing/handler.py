"""Messages of a queue → items in DynamoDB, each in the trace of the request that sent it.

Lambda begins a trace of its own for a batch, and links it to those of the messages. A message has one trace,
so its span continues that one, and is linked to the trace of the batch.
"""

import json
import logging
import os
from typing import Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from opentelemetry.trace import SpanKind

    from shared.clients import make_quick_client

    from .telemetry import annotate, context_of, link_to, make_tracer, of_invocation

    tracer = make_tracer()
    dynamodb = make_quick_client("dynamodb")

logger = logging.getLogger()
logger.setLevel(logging.INFO)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Store the orders of a batch, and return which messages failed."""
    failed = []
    for record in event["Records"]:
        try:
            _store(record)
        except Exception:
            logger.exception("not stored", extra={"message_id": record["messageId"]})
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def _store(record: dict[str, Any]) -> None:
    """Store an order. Doing it again changes nothing."""
    batch = of_invocation()
    header = record["attributes"].get("AWSTraceHeader")
    # X-Ray makes a segment, with a node in its map, of a span of the kind SERVER, and else a subsegment:
    # https://docs.aws.amazon.com/xray/latest/devguide/xray-sdk-migration.html
    with tracer.start_as_current_span(
        "store order",
        context=context_of(header) if header else batch,
        kind=SpanKind.SERVER,
        links=[link_to(batch)],
    ) as span:
        order = json.loads(record["body"])
        attempt = int(record["attributes"]["ApproximateReceiveCount"])
        annotate(span, order_id=order["order_id"], attempt=attempt)
        dynamodb.put_item(
            TableName=os.environ["TABLE_NAME"],
            Item={
                "order_id": {"S": order["order_id"]},
                "product": {"S": order["product"]},
                "quantity": {"N": str(order["quantity"])},
            },
        )
