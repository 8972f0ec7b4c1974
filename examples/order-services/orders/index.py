"""PUT and GET of /orders/{order}: the client chooses the id, so that a repeated request is one order."""

import json
import os
import re

import boto3

table = boto3.resource("dynamodb").Table(os.environ["ORDERS"])


def handler(event, context):
    order = event["pathParameters"]["order"]
    if not re.fullmatch("[A-Za-z0-9-]{1,80}", order):
        return answer(400, {"message": "an id has 1 to 80 letters, digits and hyphens"})
    if event["httpMethod"] == "GET":
        found = table.get_item(Key={"order": order}, ConsistentRead=True).get("Item")
        return answer(200, found) if found else answer(404, {"message": f"there is no order {order}"})
    try:
        given = json.loads(event["body"] or "")
        item = {"order": order, "product": given["product"], "quantity": given["quantity"]}
        valid = type(item["quantity"]) is int and 1 <= item["quantity"] <= 1000
        valid = valid and 1 <= len(item["product"].encode()) <= 256
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        valid = False
    if not valid:
        return answer(400, {"message": "give a product and a quantity from 1 to 1,000 as JSON"})
    try:
        table.put_item(Item={**item, "status": "placed"}, ConditionExpression="attribute_not_exists(product)")
    except table.meta.client.exceptions.ConditionalCheckFailedException:
        found = table.get_item(Key={"order": order}, ConsistentRead=True)["Item"]
        if item.items() <= found.items():
            return answer(200, found)
        return answer(409, {"message": "there is another order of this id"})
    return answer(202, {**item, "status": "placed"})


def answer(status, body):
    return {"statusCode": status, "body": json.dumps(body, default=int)}
