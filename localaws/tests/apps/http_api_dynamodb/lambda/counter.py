import os

import boto3

table = boto3.resource("dynamodb").Table(os.environ["HITS_TABLE_NAME"])


def handler(event, context):
    answer = table.update_item(
        Key={"path": event["rawPath"]},
        UpdateExpression="ADD hits :one",
        ExpressionAttributeValues={":one": 1},
        ReturnValues="ALL_NEW",
    )
    # A format 2.0 response without a status code: API Gateway makes it a 200 with JSON.
    return {"path": event["rawPath"], "hits": int(answer["Attributes"]["hits"]), "route": event["routeKey"]}
