"""Events as they reach the function: notifications of S3 with their records, or one event of EventBridge.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from shared.s3_events import InvalidRecord, ObjectEvent, checked_key, field, parse_record, records_of


class Incoming(NamedTuple):
    """One thing that came.

    Args:
        record: What there is to read.
        payload: The event that would bring it alone.
    """

    record: object
    payload: object
    from_eventbridge: bool

    def parse(self) -> ObjectEvent:
        """Read it.

        Raises:
            InvalidRecord: It is none; the message says what is missing.
        """
        return _from_eventbridge(self.record) if self.from_eventbridge else parse_record(self.record)


def incoming(event: object) -> Iterator[Incoming]:
    """Return what came with an event.

    Raises:
        InvalidEvent: It is neither a notification of S3 nor an event of EventBridge.
    """
    if isinstance(event, dict) and "detail-type" in event:
        yield Incoming(event, event, from_eventbridge=True)
        return
    for record in records_of(event):
        yield Incoming(record, {"Records": [record]}, from_eventbridge=False)


def _from_eventbridge(event: object) -> ObjectEvent:
    text: Any = partial(field, event)
    if text("source") != "aws.s3":
        raise InvalidRecord(f"source is {text('source')[:100]!r}; only events of 'aws.s3' are understood")
    return ObjectEvent(
        bucket=text("detail", "bucket", "name"),
        key=checked_key(text("detail", "object", "key"), "detail.object.key"),  # here it is not encoded
        name=text("detail-type"),
        sequencer=text("detail", "object", "sequencer", optional=True),
        version_id=text("detail", "object", "version-id", optional=True),
        etag=text("detail", "object", "etag", optional=True),
        time=text("time", optional=True),
    )
