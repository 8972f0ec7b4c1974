"""Event of RDS, by SNS or by EventBridge → decision → alert in a FIFO queue, journal in DynamoDB.

Each event may come twice, by either way or both, late and in any order: it has one alert and one row. What is
no event of RDS fails, and is in the function's failure queue after three attempts.
"""

import os
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_clients

    from .actions import Actions, decide
    from .events import NotAnEvent, events_of

    logger = Logger()
    _sqs, _dynamodb = make_clients("sqs", "dynamodb")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

actions = Actions(_sqs, os.environ["ALERTS_QUEUE_URL"], _dynamodb, os.environ["JOURNAL_TABLE_NAME"])


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: "LambdaContext") -> None:
    """Act on what RDS reports. SNS and EventBridge invoke the function with one event at a time."""
    try:
        reported = events_of(event)
    except NotAnEvent as reason:
        logger.warning("not an event of RDS", reason=str(reason))
        raise
    if not reported:
        logger.info("RDS has tried the subscription")
    for one in reported:
        action = decide(one)
        new = action != "ignore" and actions.take(one, action)
        level = logger.warning if action == "unknown" else logger.info
        level("acted" if new else "nothing to do", source=one.source, event_id=one.event_id, action=action)
