"""REST API with a Cognito authorizer → a customer's orders in DynamoDB.

An order is accepted as soon as it is in the table: what follows begins with the table's stream. Its id is
chosen by the client, so that a request that is repeated places no second order.
"""

import json
import os
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_quick_client
    from shared.items import from_item, to_item
    from shared.storable import NotStorable, load_json

    from .limits import is_id, wanted_of

    logger = Logger()
    dynamodb = make_quick_client("dynamodb")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

ORDERS, BY_CUSTOMER = os.environ["TABLE_NAME"], os.environ["BY_CUSTOMER_TABLE_NAME"]
_SHOWN = ("order", "product", "quantity", "status", "reason")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: "LambdaContext") -> dict[str, Any]:
    """Answer a request of a customer, who is named by the verified token only."""
    customer = event["requestContext"]["authorizer"]["claims"]["sub"]
    order_id = (event["pathParameters"] or {}).get("order")
    if order_id is None:
        return _answer(200, orders=list_orders(customer))
    if not is_id(order_id):
        return _answer(400, message="The id of an order is a UUID in lower case.")
    if event["httpMethod"] == "PUT":
        return place(customer, order_id, event["body"] or "")
    order = read(order_id)
    if order is None or order["customer"] != customer:
        return _answer(404, message="You have no such order.")
    return _answer(200, **_shown(order))


def place(customer: str, order_id: str, body: str) -> dict[str, Any]:
    """Place an order: 202 if it is new, 200 if it has been placed before, 409 if another one has its id."""
    # API Gateway compares only a body of the type application/json with its model.
    try:
        wanted = {"customer": customer, **wanted_of(load_json(body))}
    except NotStorable as error:
        return _answer(400, message=f"Give product and quantity as JSON: {error}.")
    order = {"order": order_id, **wanted, "status": "placed"}
    try:
        dynamodb.put_item(
            TableName=ORDERS,
            Item=to_item(order),
            ConditionExpression="attribute_not_exists(#order)",
            ExpressionAttributeNames={"#order": "order"},
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        known = read(order_id) or {}
        if wanted.items() <= known.items():
            return _answer(200, **_shown(known))
        return _answer(409, message="There is another order of this id: give each order an id of its own.")
    logger.info("placed", order=order_id)
    return _answer(202, **_shown(order))


def read(order_id: str) -> dict[str, Any] | None:
    """Return an order as it was last written."""
    found = dynamodb.get_item(TableName=ORDERS, Key=to_item({"order": order_id}), ConsistentRead=True)
    return from_item(found["Item"]) if "Item" in found else None


def list_orders(customer: str) -> list[dict[str, Any]]:
    """Return the first page of a customer's orders from the read model, which may lag behind."""
    values = to_item({":customer": customer})
    page = dynamodb.query(
        TableName=BY_CUSTOMER,
        KeyConditionExpression="customer = :customer",
        ExpressionAttributeValues=values,
        Limit=100,
    )
    return [_shown(from_item(item)) for item in page["Items"]]


def _shown(order: dict[str, Any]) -> dict[str, Any]:
    return {name: order[name] for name in _SHOWN if name in order}


def _answer(status: int, /, **body: Any) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}
