"""An order → a signed link to its payment page.

Lambda decrypts the variables once, when it starts an environment: ``BASE_URL`` changes with a deployment.
``SIGNING_KEY`` is the ARN of a secret. Its value is read when it is needed and kept for ``MAX_AGE`` seconds,
so a rotated key is used soon, without a deployment, and neither configuration nor logs ever show it.
"""

import logging
import os
from typing import Any

from aws_lambda_powertools.utilities import parameters

from .links import key_in, order_in, signed_link

logger = logging.getLogger()
logger.setLevel(logging.INFO)

_BASE_URL = os.environ["BASE_URL"]
_SIGNING_KEY = os.environ["SIGNING_KEY"]
_MAX_AGE = int(os.environ["MAX_AGE"])
_secrets = parameters.SecretsProvider()


def handler(event: Any, _context: Any) -> dict[str, str]:
    """Return the link. Nothing is stored, so the same order may be asked for again."""
    order = order_in(event)
    key = key_in(_secrets.get(_SIGNING_KEY, max_age=_MAX_AGE))
    logger.info("signed", extra={"order": order})
    return {"link": signed_link(_BASE_URL, order, key)}
