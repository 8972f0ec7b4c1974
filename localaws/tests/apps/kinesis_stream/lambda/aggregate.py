import base64
import json
import os

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def handler(event, context):
    readings = [json.loads(base64.b64decode(record["kinesis"]["data"])) for record in event["Records"]]
    for reading in readings:
        table.update_item(
            Key={"sensor": reading["sensor"]},
            UpdateExpression="ADD readings :one, sum_of_values :value",
            ExpressionAttributeValues={":one": 1, ":value": reading["value"]},
        )
