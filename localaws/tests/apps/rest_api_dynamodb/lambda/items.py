import json
import os
import uuid

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])


def respond(status, body=None):
    headers = {"Access-Control-Allow-Origin": "*"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}


def read(event, context):
    item = table.get_item(Key={"id": event["pathParameters"]["id"]}).get("Item")
    return respond(200, item) if item else respond(404, {"message": "no such item"})


def write(event, context):
    if event["httpMethod"] == "DELETE":
        table.delete_item(Key={"id": event["pathParameters"]["id"]})
        return respond(204)
    item = json.loads(event["body"]) | {"id": str(uuid.uuid4())}
    table.put_item(Item=item)
    return respond(201, item)
