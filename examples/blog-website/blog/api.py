"""GET /api/posts, GET /api/posts/{id} and POST /api/subscribers."""

import base64
import json
import os
import re
from contextlib import suppress
from urllib.parse import quote

import boto3

dynamodb = boto3.resource("dynamodb")
posts, subscribers = dynamodb.Table(os.environ["POSTS"]), dynamodb.Table(os.environ["SUBSCRIBERS"])
ADDRESS = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([a-z0-9-]{1,63}\.)+[a-z0-9-]{2,63}")


def handler(event, context):
    if event["routeKey"] == "POST /api/subscribers":
        return subscribe(event)
    if event["routeKey"] == "GET /api/posts/{id}":
        found = posts.get_item(Key={"blog": "main", "id": event["pathParameters"]["id"]})
        return (
            answer(200, shown(found["Item"])) if "Item" in found else answer(404, {"message": "No such post"})
        )
    before = (event.get("queryStringParameters") or {}).get("before")
    found = posts.query(
        KeyConditionExpression="blog = :blog",
        ExpressionAttributeValues={":blog": "main"},
        ProjectionExpression="id, title, summary, picture",
        ScanIndexForward=False,  # the newest first
        Limit=20,  # or fewer: DynamoDB reads up to 1 MB
        **({"ExclusiveStartKey": {"blog": "main", "id": before}} if before else {}),
    )
    following = found.get("LastEvaluatedKey", {}).get("id")
    return answer(200, {"posts": [shown(post) for post in found["Items"]], "next": following})


def subscribe(event):
    try:
        body = event.get("body") or ""
        sent = json.loads(base64.b64decode(body) if event.get("isBase64Encoded") else body)
        address = str(sent["email"]).strip().lower()
    except (ValueError, KeyError, TypeError):
        return answer(400, {"message": 'Send JSON with an address: {"email": "ann@example.com"}'})
    if len(address) > 254 or not ADDRESS.fullmatch(address):
        return answer(400, {"message": "That is no address that mail can be sent to."})
    # The answer does not say who has subscribed before.
    with suppress(dynamodb.meta.client.exceptions.ConditionalCheckFailedException):
        subscribers.put_item(Item={"email": address}, ConditionExpression="attribute_not_exists(email)")
    return answer(202, {"message": "Thank you. A mail is on its way, unless you have had it."})


def shown(post):
    picture = post.get("picture")
    paths = picture and {size: f"/{quote(picture)}/{size}.webp" for size in ("320", "960")}
    return {name: post.get(name, "") for name in ("id", "title", "summary", "text")} | {"picture": paths}


def answer(status, body):
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body),
    }
