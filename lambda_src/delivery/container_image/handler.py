"""A parcel → its price, by a table in the image. The image has two functions: each names one in its command.

Both only read, so they are idempotent. The image is read-only, too: what a function writes goes to `/tmp`.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.logging import Logger

from .postage import InvalidParcel, Postage

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
postage = Postage.load(Path(__file__).with_name("model") / "postage.json")
release = os.environ.get("RELEASE", "development")


@logger.inject_lambda_context
def handler(event: Any, context: "LambdaContext") -> dict[str, Any]:
    """Quote a parcel."""
    try:
        cents = postage.price(event)
    except InvalidParcel as reason:
        logger.warning("no quote", reason=str(reason))
        return {"error": str(reason), "release": release}
    logger.info("quoted")
    return {"cents": cents, "release": release}


@logger.inject_lambda_context
def table(event: Any, context: "LambdaContext") -> dict[str, Any]:
    """Return the whole table."""
    logger.info("listed")
    return {"zones": sorted(postage.zones), "weights": len(postage.weights), "release": release}
