"""Request through CloudFront → prices in a language and a currency, which may be cached for five minutes.

It is an origin: each call is a miss of the cache, and its answer has the id of the invocation.
"""

import json
import logging
from typing import Any

from .prices import UnknownCurrencyError, prices

_LOGGER = logging.getLogger()
_LOGGER.setLevel(logging.INFO)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer an event of a function URL, in payload format 2.0."""
    query = event.get("queryStringParameters") or {}
    language = event["headers"].get("accept-language", "en")
    _LOGGER.info(json.dumps({"message": "miss", "path": event["rawPath"], "language": language}))
    try:
        body = prices(query.get("currency", "eur"), language)
    except UnknownCurrencyError as error:
        return _answer(400, {"error": str(error)}, "no-store")
    return _answer(200, {**body, "request": context.aws_request_id}, "public, max-age=300")


def _answer(status: int, body: dict[str, Any], cache_control: str) -> dict[str, Any]:
    headers = {"content-type": "application/json", "cache-control": cache_control}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}
