"""S3 notification → thumbnails in a bucket, and a row of metadata in a table; what fails for good → a queue.

A record that can never succeed costs that record alone: it goes to the failure queue with the reason, and the
invocation succeeds. What may succeed later (throttling, no connection, but also a permission that is missing)
is raised when all other records are done, so that Lambda tries again and at last sends the event to the same
queue. Records that were done by then are recognised, and done again only if something changed.
"""

# through all of it again and again takes a third of the start.
import gc

gc.disable()

import importlib
import os
from functools import partial
from typing import TYPE_CHECKING

from aws import DestinationBucket, MetadataTable, SourceBucket
from aws_lambda_powertools.logging import Logger
from errors import WouldRecurse
from keys import thumbnail_key
from settings import Settings
from sync import Synchroniser

from shared.clients import FailureQueue, make_clients
from shared.records import handle_each, handle_object
from shared.s3_events import ObjectEvent, parse_record, records_of

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from pictures import Thumbnails

settings = Settings.from_environment(os.environ)
logger = Logger()
s3, dynamodb, sqs = make_clients("s3", "dynamodb", "sqs")
failure_queue = FailureQueue(sqs, settings.failure_queue_url)


def make(data: bytes) -> "Thumbnails":
    """Make the thumbnails of a picture, as the settings say."""
    # Not before the first picture: deletions and repeated events need no Pillow.
    from pictures import Output, make_thumbnails

    output = Output(
        sizes=settings.sizes,
        format=settings.output_format,
        quality=settings.quality,
        background=settings.background,
    )
    return make_thumbnails(data, output, max_pixels=settings.max_pixels)


def thumbnail_keys(source_key: str) -> dict[int, str]:
    """Return where the thumbnails of an object lie, by size."""
    name = partial(thumbnail_key, source_key, prefix=settings.output_prefix, extension=settings.extension)
    return {size: name(size) for size in settings.sizes}


synchroniser = Synchroniser(
    source=SourceBucket(s3),
    destination=DestinationBucket(s3, settings.destination_bucket, settings.content_type),
    rows=MetadataTable(dynamodb, settings.table_name),
    make=make,
    thumbnail_keys=thumbnail_keys,
    max_object_size=settings.max_object_size,
)

if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand") != "on-demand":
    # With provisioned concurrency or SnapStart nobody waits for the start: have everything ready.
    importlib.import_module("pictures")

gc.freeze()  # all of this stays as long as the process
gc.enable()


@logger.inject_lambda_context
def handler(event: object, context: "LambdaContext") -> dict[str, int]:
    """Handle a notification of S3; return how many of its records had which outcome.

    Raises:
        InvalidEvent: It is no notification of S3.
        Exception: Something did not work that may work later.
        ExceptionGroup: Likewise, for several records.
    """
    return handle_each(records_of(event), lambda one: handle_record(one, context))


def handle_record(record: object, context: "LambdaContext") -> str:
    """Handle one record."""
    return handle_object(
        partial(parse_record, record),
        follow,
        payload={"Records": [record]},
        failure_queue=failure_queue,
        logger=logger,
        context=context,
    )


def follow(event: ObjectEvent) -> str:
    """Bring the thumbnails into line.

    Raises:
        WouldRecurse: The event is about an object in the place of the thumbnails.
    """
    refuse_recursion(event)
    return synchroniser.handle(event).value


def refuse_recursion(event: ObjectEvent) -> None:
    """Never make thumbnails of thumbnails, however the notifications of the bucket are configured.

    Raises:
        WouldRecurse: The event is about an object in the place of the thumbnails.
    """
    if event.bucket == settings.destination_bucket and event.key.startswith(settings.output_prefix):
        raise WouldRecurse(
            f"the object lies where thumbnails are written ({event.bucket}/{settings.output_prefix}); "
            "exclude this prefix from the bucket's event notification"
        )
