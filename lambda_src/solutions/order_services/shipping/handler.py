"""FIFO queue → one shipment for each order in DynamoDB → the answer to the workflow that waits for it.

The messages of an order are a group, so that a shipment is never cancelled before it is asked for. A message
may come twice, or again after a failure: the shipment is there then, and only the answer is repeated. It may
also come when the workflow waits no more (a redrive): a heartbeat fails then, and nothing is booked.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskHeartbeat.html
"""

import json
import os
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger
    from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

    from shared.clients import make_quick_client
    from shared.items import to_item

    logger = Logger()
    dynamodb, workflows = make_quick_client("dynamodb"), make_quick_client("stepfunctions")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

TABLE = os.environ["TABLE_NAME"]
MOST_PIECES = 20  # that a carrier takes


def handler(event: dict[str, Any], _context: "LambdaContext") -> dict[str, Any]:
    """Process a batch and return which messages failed."""
    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    processor.raise_on_entire_batch_failure = False  # its constructor does not take it
    with processor(records=event["Records"], handler=process):
        processor.process()
    return dict(processor.response())


def process(record: SQSRecord) -> None:
    """Do what a message asks for; an exception fails only the messages of this order."""
    message = json.loads(record.body)
    order = message["order"]
    try:
        workflows.send_task_heartbeat(taskToken=message["token"])
        answer(message, cancel(order) if message["action"] == "cancel" else ship(order, message["quantity"]))
    except (workflows.exceptions.TaskTimedOut, workflows.exceptions.TaskDoesNotExist):
        logger.info("the workflow waits no more", order=order, action=message["action"])
    except Exception:
        logger.exception("failed", order=order, attempt=record.attributes.approximate_receive_count)
        raise


def ship(order: str, quantity: int) -> str:
    """Book the shipment of an order, once; return its state."""
    state = "booked" if quantity <= MOST_PIECES else "refused"
    try:
        dynamodb.put_item(
            TableName=TABLE,
            Item=to_item({"order": order, "state": state}),
            ConditionExpression="attribute_not_exists(#order)",
            ExpressionAttributeNames={"#order": "order"},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException as known:
        state = known.response["Item"]["state"]["S"]
    return state


def cancel(order: str) -> str:
    """Cancel the shipment of an order, booked or not, permanently; return its state."""
    dynamodb.put_item(TableName=TABLE, Item=to_item({"order": order, "state": "cancelled"}))
    return "cancelled"


def answer(message: dict[str, Any], state: str) -> None:
    """Answer the workflow: it has what it asked for, or it has not."""
    if state == {"ship": "booked", "cancel": "cancelled"}[message["action"]]:
        workflows.send_task_success(taskToken=message["token"], output="{}")
    else:
        cause = f"No carrier takes more than {MOST_PIECES} pieces."
        workflows.send_task_failure(taskToken=message["token"], error="ShippingRefused", cause=cause)
