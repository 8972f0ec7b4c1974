"""Two cities → the price of a parcel between them.

What is outside the handler runs once for each execution environment: with provisioned concurrency before the
first request, otherwise while its caller waits. Nothing in it belongs to a single request.
"""

import logging
import os
import uuid
from typing import Any

from .tariff import Tariff

logger = logging.getLogger()
logger.setLevel(logging.INFO)

_tariff = Tariff.load()
_environment = uuid.uuid4().hex
_kind = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
logger.info("initialized", extra={"environment": _environment, "kind": _kind, "distances": len(_tariff)})


def handler(event: Any, _context: Any) -> dict[str, str]:
    """Return the price of ``{"from": "Berlin", "to": "Paris"}``, and which environment calculated it."""
    price = _tariff.price(event)
    return {"euros": str(price), "environment": _environment, "initialization": _kind}
