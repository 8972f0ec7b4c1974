"""GET and PUT of /items/{id}: an item belongs to the user whose token API Gateway has verified."""

import json
import os

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])


def handler(event, context):
    key = {
        "owner": event["requestContext"]["authorizer"]["claims"]["sub"],
        "id": event["pathParameters"]["id"],
    }
    if len(key["id"].encode()) > 1024:
        return {"statusCode": 400, "body": json.dumps({"message": "an id has at most 1,024 bytes"})}
    if event["httpMethod"] == "PUT":
        if len((event["body"] or "").encode()) > 350_000:  # an item of DynamoDB has at most 400 KB
            return {"statusCode": 413, "body": json.dumps({"message": "a text has at most 350,000 bytes"})}
        table.put_item(Item={**key, "text": event["body"] or ""})
        return {"statusCode": 204}
    item = table.get_item(Key=key).get("Item")
    if item is None:
        return {"statusCode": 404, "body": json.dumps({"message": f"there is no item {key['id']!r}"})}
    return {"statusCode": 200, "body": json.dumps({"id": item["id"], "text": item["text"]})}
