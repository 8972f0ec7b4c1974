"""S3 event → a look at the object → its row in DynamoDB or PostgreSQL; what fails for good → a queue.

A record that can never succeed costs that record alone: it goes to the failure queue with the reason, and the
invocation succeeds. What may succeed later (throttling, no connection, but also a permission that is missing)
is raised when all other records are done, so that Lambda tries again and at last sends the event to the same
queue. Records that were done by then change nothing.
"""

# through all of it again and again takes a third of the start.
import gc

gc.disable()

import os
from typing import TYPE_CHECKING

from aws_lambda_powertools.logging import Logger
from bucket import SourceBucket
from errors import OtherBucket
from events import Incoming, incoming
from settings import Settings
from sync import Synchroniser
from targets import make_target, services

from shared.clients import FailureQueue, make_clients
from shared.environment import read
from shared.records import handle_each, handle_object
from shared.s3_events import ObjectEvent

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = Settings.from_environment(os.environ)
logger = Logger()
s3, sqs, *others = make_clients("s3", "sqs", *services(settings))
failure_queue = FailureQueue(sqs, read(os.environ, "FAILURE_QUEUE_URL", str))
source = SourceBucket(s3, settings.bucket, user_metadata=settings.user_metadata, tags=settings.tags)
target = make_target(settings, *others)
synchroniser = Synchroniser(source, target.rows)

gc.freeze()  # all of this stays as long as the process
gc.enable()


@logger.inject_lambda_context
def handler(event: object, context: "LambdaContext") -> dict[str, int]:
    """Handle a notification of S3 or an event of EventBridge; return how many records had which outcome.

    Raises:
        InvalidEvent: It is neither.
        Exception: Something did not work that may work later.
        ExceptionGroup: Likewise, for several records.
    """
    return handle_each(incoming(event), lambda one: handle_one(one, context))


def handle_one(one: Incoming, context: "LambdaContext") -> str:
    """Handle one record."""
    return handle_object(
        one.parse,
        follow,
        payload=one.payload,
        failure_queue=failure_queue,
        logger=logger,
        context=context,
    )


def follow(event: ObjectEvent) -> str:
    """Bring the row into line, if the object is one that is followed.

    Raises:
        OtherBucket: The event is about another bucket.
    """
    if event.bucket != settings.bucket:
        raise OtherBucket(
            f"the event is about the bucket {event.bucket!r}; this function follows {settings.bucket!r}"
        )
    return synchroniser.handle(event).value if settings.follows(event.key) else "ignored"
