"""S3 event → look at the object → its row in DynamoDB or PostgreSQL; permanent failure → queue.

A record that can never succeed costs that record only: it goes to the failure queue with the reason, and the
invocation succeeds. What may succeed later (throttling, no connection, but also a missing permission) is
raised after all other records are done, so that Lambda tries the event again and, after the last attempt,
sends it to the same queue. Records that are done by then change nothing the second time.
"""

import os
from collections import Counter
from typing import TYPE_CHECKING

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import FailureQueue, make_clients
    from shared.environment import name, read
    from shared.failures import Failures, PermanentFailure
    from shared.records import raise_all
    from shared.s3_events import ObjectEvent

    from .bucket import SourceBucket
    from .events import one_by_one, parse
    from .settings import Settings
    from .sync import Synchroniser
    from .targets import make_table

    settings = Settings.from_environment(os.environ)
    logger = Logger()
    s3, sqs = make_clients("s3", "sqs")
    failure_queue = FailureQueue(sqs, read(os.environ, "FAILURE_QUEUE_URL", name))
    source = SourceBucket(s3, settings.bucket, user_metadata=settings.user_metadata, tags=settings.tags)
    synchroniser = Synchroniser(source, make_table(settings))

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


class OtherBucket(PermanentFailure):
    """The object is in a bucket that this function does not watch."""


@logger.inject_lambda_context
def handler(event: object, context: "LambdaContext") -> dict[str, int]:
    """Handle a notification from S3 or an event from EventBridge; return how many records had which outcome.

    Raises:
        InvalidEvent: It is neither.
        Exception: One record failed and may succeed later.
        ExceptionGroup: Several records failed and may succeed later.
    """
    failures = Failures(failure_queue, logger, context)
    outcomes: Counter[str] = Counter()
    to_retry: list[Exception] = []
    for record in one_by_one(event):
        outcome = "failed"
        try:
            with failures.recorded(record):
                outcome = synchronise(parse(record))
        except Exception as error:  # the other records come first
            to_retry.append(error)
        else:
            outcomes[outcome] += 1
    raise_all(to_retry)
    return dict(outcomes)


def synchronise(event: ObjectEvent) -> str:
    """Bring the row of an event's object up to date, if it is one of those that have rows.

    Raises:
        OtherBucket: The event is about another bucket.
    """
    logger.append_keys(bucket=event.bucket, key=event.key, event_name=event.name)
    if event.bucket != settings.bucket:
        raise OtherBucket(
            f"the event is about the bucket {event.bucket!r}; this function watches {settings.bucket!r}"
        )
    outcome = synchroniser.handle(event).value if settings.matches(event.key) else "ignored"
    logger.info("handled", outcome=outcome)
    return outcome
