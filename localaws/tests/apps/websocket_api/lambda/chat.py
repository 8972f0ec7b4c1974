import json
import os

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def handler(event, context):
    request = event["requestContext"]
    if request["eventType"] == "CONNECT":
        table.put_item(Item={"id": request["connectionId"]})
    elif request["eventType"] == "DISCONNECT":
        table.delete_item(Key={"id": request["connectionId"]})
    elif request["routeKey"] == "say":
        url = f"https://{request['domainName']}/{request['stage']}"
        management = boto3.client("apigatewaymanagementapi", endpoint_url=url)
        for item in table.scan()["Items"]:
            text = json.loads(event["body"])["text"]
            management.post_to_connection(ConnectionId=item["id"], Data=text.encode())
    return {"statusCode": 200}
