"""S3 notification → look at the object → write its thumbnails and its row → look at the object again.

A record that can never succeed goes to the failure queue with the reason, and the invocation succeeds. What
may succeed later (throttling, a connection error, a missing permission) is raised after all other records
are done: Lambda then retries the event, and sends it to the same queue after the last attempt. A retry skips
the records that are done already.
"""

import importlib
import os
from collections import Counter
from typing import TYPE_CHECKING

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import FailureQueue, make_clients
    from shared.failures import Failures
    from shared.records import raise_all
    from shared.s3_events import parse_record, records_of

    from .settings import Settings
    from .stores import DestinationBucket, MetadataTable, SourceBucket, explained
    from .synchroniser import Synchroniser

    settings = Settings.from_environment(os.environ)
    logger = Logger()
    s3, dynamodb, sqs = make_clients("s3", "dynamodb", "sqs")
    failure_queue = FailureQueue(sqs, settings.failure_queue_url)
    synchroniser = Synchroniser(
        settings=settings,
        source=SourceBucket(s3),
        destination=DestinationBucket(s3, settings.destination_bucket, settings.content_type),
        table=MetadataTable(dynamodb, settings.table_name),
    )
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand") != "on-demand":
        # Provisioned concurrency and SnapStart initialize before the first request: load the decoders too.
        importlib.import_module(".pictures", __package__)

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(event: object, context: "LambdaContext") -> dict[str, int]:
    """Handle a notification from S3; return how many of its records had which outcome.

    Raises:
        InvalidEvent: The event is not a notification from S3.
        Exception: One record failed and may succeed later.
        ExceptionGroup: Several did.
    """
    failures = Failures(failure_queue, logger, context)
    outcomes: Counter[str] = Counter()
    errors: list[Exception] = []
    for record in records_of(event):
        outcome = "failed"
        try:
            with failures.recorded({"Records": [record]}), explained():
                outcome = follow(record)
        except Exception as error:  # raised when the other records are done
            errors.append(error)
        else:
            outcomes[outcome] += 1
    raise_all(errors)
    return dict(outcomes)


def follow(record: object) -> str:
    """Bring the thumbnails of the object that a record names into line with it; return the outcome."""
    event = parse_record(record)
    logger.append_keys(bucket=event.bucket, key=event.key, event_name=event.name)
    outcome = synchroniser.follow(event)
    logger.info("handled", outcome=outcome)
    return outcome
