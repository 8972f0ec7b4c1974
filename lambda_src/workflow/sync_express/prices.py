"""``GET /prices?product=…`` of an HTTP API → the price. The workflow calls it with IAM.

The event has payload format 2.0:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import json
from typing import Any

_CENTS = {"lamp": 4_900, "notebook": 1_250, "pencil": 150}


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Return the price of a product, or 404. What follows a slash in its name is a variant of it."""
    product = str((event.get("queryStringParameters") or {}).get("product", ""))
    cents = _CENTS.get(product.partition("/")[0])
    if cents is None:
        return _response(404, {"message": "There is no such product."})
    return _response(200, {"product": product, "cents": cents})


def _response(status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body),
    }
