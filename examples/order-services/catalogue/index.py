"""Products, and what orders have reserved of them: each order once."""

import json
import os

import boto3

client = boto3.client("dynamodb")
PRODUCTS, RESERVATIONS = os.environ["PRODUCTS"], os.environ["RESERVATIONS"]


class OutOfStock(Exception):
    """There are not enough of the product."""


def handler(event, context):
    if "httpMethod" in event:
        items = client.scan(TableName=PRODUCTS)["Items"]
        products = {item["product"]["S"]: int(item["in_stock"]["N"]) for item in items}
        return {"statusCode": 200, "body": json.dumps(products)}
    order = event["order"]
    return {"reserve": reserve, "release": release}[event["action"]](order)


def reserve(order):
    reservation = {"order": {"S": order["order"]}, "state": {"S": "held"}}
    new = {"TableName": RESERVATIONS, "Item": reservation, "ConditionExpression": "attribute_not_exists(#o)"}
    new["ExpressionAttributeNames"] = {"#o": "order"}
    new["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    state = change([{"Put": new}, {"Update": stock(order, -1)}])
    if state == "out of stock":
        # The order is rejected then: a late repetition must not find that there is stock again.
        client.put_item(**{**new, "Item": {**reservation, "state": {"S": "released"}}})
    if state != "held":
        raise OutOfStock


def release(order):
    end = {
        "TableName": RESERVATIONS,
        "Key": {"order": {"S": order["order"]}},
        "UpdateExpression": "SET #state = :released",
        "ConditionExpression": "#state = :held",
        "ExpressionAttributeNames": {"#state": "state"},
        "ExpressionAttributeValues": {":released": {"S": "released"}, ":held": {"S": "held"}},
    }
    change([{"Update": end}, {"Update": stock(order, 1)}])


def change(items):
    """Change reservation and stock, and return the state of the reservation before, or "out of stock"."""
    try:
        client.transact_write_items(TransactItems=items)
    except client.exceptions.TransactionCanceledException as error:
        first, second = error.response["CancellationReasons"]
        if first.get("Code") == "ConditionalCheckFailed":
            return first["Item"]["state"]["S"] if "Item" in first else ""
        if second.get("Code") == "ConditionalCheckFailed":
            return "out of stock"
        raise  # another order changed the stock at this moment: the workflow tries again
    return "held"


def stock(order, sign):
    values = {":change": {"N": str(sign * order["quantity"])}, ":needed": {"N": str(order["quantity"])}}
    condition = "in_stock >= :needed"
    if sign > 0:
        del values[":needed"]
        condition = "attribute_exists(in_stock)"
    return {
        "TableName": PRODUCTS,
        "Key": {"product": {"S": order["product"]}},
        "UpdateExpression": "ADD in_stock :change",
        "ConditionExpression": condition,
        "ExpressionAttributeValues": values,
    }
