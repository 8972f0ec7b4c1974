"""Weight of a parcel → its postage, with the version and the environment that calculated it.

Invoke the function with ``{"grams": 1200}``, or send that as the body of a request to its function URL.
"""

import base64
import json
import logging
from typing import Any

from shared.storable import NotStorable, load_json

from .quotes import InvalidParcelError, load_tariff, parse_weight

logger = logging.getLogger()
logger.setLevel(logging.INFO)

# Read once: the code of a version never changes, and the tariff is part of it.
_TARIFF = load_tariff()


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Return a quote, or an HTTP response if the function URL sent the event. Nothing is stored."""
    if not (isinstance(event, dict) and "requestContext" in event):
        return _quote(event, context)
    try:
        return _response(200, _quote(_body(event), context))
    except InvalidParcelError as error:
        return _response(400, {"message": str(error)})


def _quote(request: object, context: Any) -> dict[str, Any]:
    cents = _TARIFF.quote(parse_weight(request))
    logger.info("quoted", extra={"tariff": _TARIFF.name, "version": context.function_version})
    return {
        "cents": cents,
        "tariff": _TARIFF.name,
        "version": context.function_version,
        "environment": _alias(context.invoked_function_arn),
    }


def _alias(invoked_arn: str) -> str | None:
    """The alias in the ARN that was invoked (``…:function:name:alias``), or None without one."""
    parts = invoked_arn.split(":")
    return parts[7] if len(parts) > 7 else None


def _body(event: dict[str, Any]) -> object:
    text = event.get("body") or ""
    try:
        return load_json(base64.b64decode(text) if event.get("isBase64Encoded") else text)
    except NotStorable as reason:
        raise InvalidParcelError(f"The body: {reason}.") from None
    except ValueError:
        raise InvalidParcelError("The body is not base64.") from None


def _response(status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body),
    }
