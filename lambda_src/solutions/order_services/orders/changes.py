"""Stream of the orders → the orders of each customer in the read model; each new order → its workflow.

A batch may be delivered again: a row is written only if it is newer, and the id of the order is the name of
its execution, of which there can be one only.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
"""

import json
import os
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_quick_client
    from shared.items import from_item, to_item
    from shared.storable import NotStorable, check_text
    from shared.stream_batches import partial_batch_response

    from .limits import is_id, wanted_of

    logger = Logger()
    dynamodb, workflows = make_quick_client("dynamodb"), make_quick_client("stepfunctions")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_SHOWN = ("order", "customer", "product", "quantity", "status", "reason")
ROWS, WORKFLOW = os.environ["BY_CUSTOMER_TABLE_NAME"], os.environ["STATE_MACHINE_ARN"]


def handler(event: dict[str, Any], _context: "LambdaContext") -> dict[str, Any]:
    """Process changes in order until one fails, and return that one: Lambda continues from there.

    Raises:
        Exception: The first of several changes failed.
    """
    numbers = [record["dynamodb"]["SequenceNumber"] for record in event["Records"]]
    failures: dict[str, Exception] = {}
    for number, record in zip(numbers, event["Records"], strict=True):
        try:
            follow(record)
        except Exception as error:
            logger.exception("not followed", sequence_number=number)
            failures[number] = error
            break
    return partial_batch_response(numbers, failures)


def follow(record: dict[str, Any]) -> None:
    """Write the row of an order, and start the workflow of a new one."""
    item = record["dynamodb"].get("NewImage")
    if item is None:
        return  # orders are deleted only by hand, and their rows stay
    try:
        order = order_of(item)
    except ValueError as error:
        # Written by hand, and still in the table. Trying again would hold up the orders after it.
        logger.error("not an order", order=item["order"]["S"][:64], reason=str(error)[:256])
        return
    # Later is greater, as text: a stream is named by the time at which it was enabled, and a number has up to
    # 40 digits: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
    stream, number = record["eventSourceARN"].rpartition("/")[2], int(record["dynamodb"]["SequenceNumber"])
    version = {"S": f"{stream}#{number:040}"}
    try:
        dynamodb.put_item(
            TableName=ROWS,
            Item={**to_item(order), "version": version},
            ConditionExpression="attribute_not_exists(version) OR version < :version",
            ExpressionAttributeValues={":version": version},
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        logger.info("the row is as new")
    if record["eventName"] == "INSERT":
        start(order)


def order_of(item: dict[str, Any]) -> dict[str, Any]:
    """Return the order that an item is.

    Raises:
        ValueError: It is none, or no row and no execution can be made of it.
    """
    shown = from_item({name: item[name] for name in _SHOWN if name in item})
    for name in ("order", "customer", "status", *({"reason"} & shown.keys())):
        check_text(name, shown.get(name), max_characters=256, max_bytes=1_024)
    if not is_id(shown["order"]):
        raise NotStorable("its id is no UUID in lower case")
    return shown | wanted_of(shown)


def start(order: dict[str, Any]) -> None:
    """Start the workflow of an order, unless it has been started."""
    wanted = {name: order[name] for name in ("order", "product", "quantity")}
    try:
        workflows.start_execution(stateMachineArn=WORKFLOW, name=order["order"], input=json.dumps(wanted))
    except workflows.exceptions.ExecutionAlreadyExists:
        logger.info("already started", order=order["order"])
