"""A parcel's weight comes in, what it costs goes out, with the version that says so.

A function is invoked with ``{"grams": 1200}``, or by its function URL with that as the body.
"""

import base64
import json
import logging
from typing import Any

from quotes import InvalidParcelError, load_tariff, parse_weight

_LOG = logging.getLogger()
_LOG.setLevel(logging.INFO)

# Read once: a version's code, and so its tariff, never changes.
_TARIFF = load_tariff()


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Answer a caller in the form in which it asked. There is no state, so asking twice changes nothing."""
    if not (isinstance(event, dict) and "requestContext" in event):
        return _quote(event, context)
    try:
        return _response(200, _quote(_body(event), context))
    except InvalidParcelError as error:
        return _response(400, {"message": str(error)})


def _quote(request: object, context: Any) -> dict[str, Any]:
    cents = _TARIFF.quote(parse_weight(request))
    _LOG.info("quoted", extra={"tariff": _TARIFF.name, "version": context.function_version})
    return {
        "cents": cents,
        "tariff": _TARIFF.name,
        "version": context.function_version,
        "environment": _alias(context.invoked_function_arn),
    }


def _alias(invoked_arn: str) -> str | None:
    """The qualifier of the ARN that was invoked: with an alias its name, without one nothing."""
    parts = invoked_arn.split(":")
    return parts[7] if len(parts) > 7 else None


def _body(event: dict[str, Any]) -> object:
    text = event.get("body") or ""
    try:
        return json.loads(base64.b64decode(text) if event.get("isBase64Encoded") else text)
    except ValueError as error:
        raise InvalidParcelError("The body is not JSON.") from error


def _response(status: int, answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(answer),
    }
