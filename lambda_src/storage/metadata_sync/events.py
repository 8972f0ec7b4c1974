"""S3 events, as a bucket's notifications and as EventBridge deliver them.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

from functools import partial
from typing import Any

from shared.s3_events import InvalidRecord, ObjectEvent, checked_key, field, parse_record, records_of


def one_by_one(event: object) -> list[dict[str, Any]]:
    """Return an event for each record of an event: what a redrive of that record sends.

    Raises:
        InvalidEvent: It is neither a notification from S3 nor an event from EventBridge.
    """
    if isinstance(event, dict) and "detail-type" in event:
        return [event]
    return [{"Records": [record]} for record in records_of(event)]


def parse(event: dict[str, Any]) -> ObjectEvent:
    """Read an event with one record.

    Raises:
        InvalidRecord: The record is not as documented; the message names the field.
    """
    if "detail-type" not in event:
        return parse_record(event["Records"][0])
    text: Any = partial(field, event)
    if text("source") != "aws.s3":
        raise InvalidRecord(f"source is {text('source')[:100]!r}; only events of 'aws.s3' are understood")
    return ObjectEvent(
        bucket=text("detail", "bucket", "name"),
        key=checked_key(text("detail", "object", "key"), "detail.object.key"),  # not URL-encoded here
        name=text("detail-type"),
        sequencer=text("detail", "object", "sequencer", optional=True),
        version_id=text("detail", "object", "version-id", optional=True),
        etag=text("detail", "object", "etag", optional=True),
        time=text("time", optional=True),
    )
