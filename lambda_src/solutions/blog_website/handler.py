"""HTTP API → posts from a table, and subscribers into another.

Both are public, so the answer to a sign-up does not say whether the address was there before.
"""

import base64
import json
import os
import re
import time
from itertools import chain, islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_clients
    from shared.storable import NotStorable, load_json

    logger = Logger()
    [dynamodb] = make_clients("dynamodb")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

POSTS, SUBSCRIBERS = os.environ["POSTS_TABLE_NAME"], os.environ["SUBSCRIBERS_TABLE_NAME"]
SIZES = os.environ["PICTURE_SIZES"].split(",")
_BLOG = "main"
_PAGE = 10
# What SES takes: ASCII before the at sign, and a domain name of ASCII, perhaps in Punycode.
# https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_Destination.html
_ADDRESS = re.compile(
    r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
)
_LONGEST, _LONGEST_LOCAL = 254, 64  # https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer a request of a reader; the API has no other routes."""
    parameters = event.get("pathParameters") or {}
    if event["routeKey"].startswith("POST "):
        return subscribe(event)
    if "id" in parameters:
        return post(parameters["id"])
    return posts((event.get("queryStringParameters") or {}).get("before"))


def posts(before: str | None) -> dict[str, Any]:
    """Return a page of posts without their texts, the newest first."""
    if before is not None and not 0 < len(before.encode()) <= 1_024:
        return _answer(400, {"message": "before is the id of a post: 1 to 1,024 bytes"})
    start = {"ExclusiveStartKey": _key(before)} if before else {}
    # DynamoDB reads up to 1 MB at once, which may be three posts: the paginator reads on. One post more than
    # a page has says whether there is a next page.
    read = dynamodb.get_paginator("query").paginate(
        TableName=POSTS,
        KeyConditionExpression="blog = :blog",
        ExpressionAttributeValues={":blog": {"S": _BLOG}},
        ProjectionExpression="id, title, summary, picture",
        ScanIndexForward=False,
        Limit=_PAGE + 1,
        **start,
    )
    found = list(islice(chain.from_iterable(answer["Items"] for answer in read), _PAGE + 1))
    following = found[_PAGE - 1]["id"]["S"] if len(found) > _PAGE else None
    return _answer(200, {"posts": [_shown(one) for one in found[:_PAGE]], "next": following})


def post(name: str) -> dict[str, Any]:
    """Return a post with its text."""
    found = dynamodb.get_item(TableName=POSTS, Key=_key(name)) if len(name.encode()) <= 1_024 else {}
    if "Item" not in found:
        return _answer(404, {"message": f"there is no post {name[:80]!r}"})
    return _answer(200, _shown(found["Item"]))


def subscribe(event: dict[str, Any]) -> dict[str, Any]:
    """Write a subscriber, unless there is one with this address: the insertion is what is mailed about."""
    try:
        body = event.get("body") or ""
        sent = load_json(base64.b64decode(body) if event.get("isBase64Encoded") else body)
        address = address_in(sent)
    except NotStorable as reason:
        return _answer(400, {"message": str(reason)})
    try:
        dynamodb.put_item(
            TableName=SUBSCRIBERS,
            Item={"email": {"S": address}, "since": {"N": str(int(time.time()))}},
            ConditionExpression="attribute_not_exists(email)",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        logger.info("subscribed before")
    return _answer(202, {"message": "Thank you. A mail is on its way, unless you have had it."})


def address_in(sent: object) -> str:
    """Return the address of a sign-up in lower case, as one mailbox has one row.

    Raises:
        NotStorable: It is no sign-up; the text says what is needed.
    """
    address = sent.get("email") if isinstance(sent, dict) else None
    if not isinstance(address, str):
        raise NotStorable('send JSON with an address: {"email": "ann@example.com"}')
    lower = address.strip().lower()
    local = lower.rpartition("@")[0]
    if len(lower) > _LONGEST or len(local) > _LONGEST_LOCAL or not _ADDRESS.fullmatch(lower):
        raise NotStorable("email is no address that mail can be sent to, such as ann@example.com")
    return lower


def _key(name: str) -> dict[str, Any]:
    return {"blog": {"S": _BLOG}, "id": {"S": name}}


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    """What readers see of a post: the texts that it has, and the paths of its thumbnails by their width."""
    texts = {
        name: item[name]["S"] for name in ("id", "title", "summary", "text") if "S" in item.get(name, {})
    }
    picture = item.get("picture", {}).get("S")
    return texts | {"picture": picture and {size: f"/{quote(picture)}/{size}.webp" for size in SIZES}}


def _answer(status: int, body: dict[str, Any]) -> dict[str, Any]:
    """Return a response. A distribution caches posts for some seconds: enough for a rush of readers."""
    cached = "public, max-age=5" if status == 200 else "no-store"
    headers = {"content-type": "application/json", "cache-control": cached}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}
