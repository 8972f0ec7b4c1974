"""REST API → the list of products; workflow → products are reserved for an order, or given back.

The workflow invokes it with ``{"action": "reserve" or "release", "order": {…}}``, and knows its errors by
their names. It may ask twice: a reservation has the id of its order, so nothing is reserved or given back
twice.
"""

import json
import os
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_quick_client
    from shared.items import from_item, to_item
    from shared.transactions import CONDITION, transact

    logger = Logger()
    dynamodb = make_quick_client("dynamodb")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

TABLE = os.environ["TABLE_NAME"]
_SECONDS = 5  # for a transaction while others write the same product


class OutOfStock(Exception):
    """There are not enough of the product."""


class UnknownProduct(Exception):
    """There is no such product."""


class GivenUp(Exception):
    """The order was given up before its products were reserved."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: "LambdaContext") -> dict[str, Any]:
    """Answer a request of a customer, or do what the workflow asks for."""
    if "httpMethod" in event:
        return {"statusCode": 200, "body": json.dumps({"products": products()})}
    order = event["order"]
    {"reserve": reserve, "release": release}[event["action"]](order)
    logger.info("done", action=event["action"], order=order["order"])
    return {}


def products() -> list[dict[str, Any]]:
    """Return all products."""
    found: list[dict[str, Any]] = []
    request: dict[str, Any] = {"TableName": TABLE, "KeyConditionExpression": "kind = :product"}
    request["ExpressionAttributeValues"] = to_item({":product": "product"})
    while True:
        page = dynamodb.query(**request)
        found += [from_item(item) for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            return [{"product": one["id"], "in_stock": one["in_stock"]} for one in found]
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def reserve(order: dict[str, Any]) -> None:
    """Take the products of an order out of the stock, once.

    Raises:
        OutOfStock: There are not enough.
        UnknownProduct: There is no such product.
        GivenUp: They were released before.
    """
    reservation = _key("reservation", order["order"]) | to_item({"state": "held"})
    new = {"Item": reservation, "ConditionExpression": "attribute_not_exists(id)"}
    refused = transact(dynamodb, [{"Put": _of_table(new)}, _stock(order, -1)], _SECONDS)
    if not refused:
        return
    if refused[0].get("Code") == CONDITION:
        state = refused[0]["Item"]["state"]["S"]
    else:
        # The workflow rejects the order then: a late repetition must not find that there is stock again.
        state = "OutOfStock" if "Item" in refused[1] else "UnknownProduct"
        _mark(order, state)
    match state:
        case "OutOfStock":
            raise OutOfStock(f"there are not {order['quantity']} of {order['product']!r}")
        case "UnknownProduct":
            raise UnknownProduct(f"there is no {order['product']!r}")
        case "released":
            raise GivenUp(f"order {order['order']} was given up")


def release(order: dict[str, Any]) -> None:
    """Give the products of an order back, once; if none are reserved, no later call will reserve them."""
    end = {
        "Key": _key("reservation", order["order"]),
        "UpdateExpression": "SET #state = :released",
        "ConditionExpression": "#state = :held",
        "ExpressionAttributeNames": {"#state": "state"},
        "ExpressionAttributeValues": to_item({":released": "released", ":held": "held"}),
    }
    refused = transact(dynamodb, [{"Update": _of_table(end)}, _stock(order, 1)], _SECONDS)
    if refused and "Item" not in refused[0]:
        _mark(order, "released")


def _mark(order: dict[str, Any], state: str) -> None:
    """Write that nothing is reserved for an order, so that nothing will be."""
    item = _key("reservation", order["order"]) | to_item({"state": state})
    dynamodb.put_item(TableName=TABLE, Item=item, ConditionExpression="attribute_not_exists(id)")


def _stock(order: dict[str, Any], sign: int) -> dict[str, Any]:
    """Change the stock, which must be there and suffice."""
    change = {
        "Key": _key("product", order["product"]),
        "UpdateExpression": "ADD in_stock :change",
        "ConditionExpression": "in_stock >= :needed",
        "ExpressionAttributeValues": to_item(
            {":change": sign * order["quantity"], ":needed": order["quantity"] if sign < 0 else 0}
        ),
    }
    return {"Update": _of_table(change)}


def _key(kind: str, id: str) -> dict[str, Any]:
    return to_item({"kind": kind, "id": id})


def _of_table(change: dict[str, Any]) -> dict[str, Any]:
    return {"TableName": TABLE, "ReturnValuesOnConditionCheckFailure": "ALL_OLD", **change}
