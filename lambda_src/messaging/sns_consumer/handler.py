"""SNS notification → notice in DynamoDB, stored once.

SNS may deliver a notification twice, and Lambda retries one that failed: the id of the message makes both
harmless. A message that is not a notice fails, and is in the function's failure queue after three attempts.
"""

import os
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_clients

    from .notices import NotANotice, Notices, texts_of

    logger = Logger()
    (_dynamodb,) = make_clients("dynamodb")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

notices = Notices(_dynamodb, os.environ["TABLE_NAME"], os.environ["CONSUMER"])


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: "LambdaContext") -> None:
    """Store what a notification says. SNS invokes the function with one at a time."""
    for record in event["Records"]:
        message_id = record["Sns"]["MessageId"]
        try:
            texts = texts_of(record["Sns"]["Message"])
        except NotANotice as reason:
            logger.warning("not stored", message_id=message_id, reason=str(reason))
            raise
        new = notices.store(message_id, texts) if texts else False
        logger.info("stored" if new else "nothing to store", message_id=message_id)
