"""What RDS reports, in both shapes: a notification of SNS, and an event of EventBridge.

https://docs.aws.amazon.com/lambda/latest/dg/services-rds.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.overview.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.storable import NotStorable, check_text, load_json

_EVENT_ID = re.compile(r"RDS-EVENT-[0-9]{4,6}\Z")  # SNS has it at the end of a link
# Of the first message of a subscription, which is no event.
_GREETING = "This is a message to notify that RDS will attempt to send you event notifications"
_TYPE = re.compile("RDS (.+) Event")
_LONGEST = 255  # of an identifier


class NotAnEvent(ValueError):
    """It is nothing that RDS reports; the text gives the reason."""


@dataclass(frozen=True)
class RdsEvent:
    """Something that happened to a database.

    Args:
        source_type: Such as ``db-instance``.
        source_id: Its identifier.
        event_id: What happened, such as ``RDS-EVENT-0006``: a kind of event, and not this one.
        time: When, in UTC, to the millisecond. The function may be invoked minutes later.
        message: The same for a person.
    """

    source_type: str
    source_id: str
    event_id: str
    time: str
    message: str

    @property
    def source(self) -> str:
        """What it happened to."""
        return f"{self.source_type}/{self.source_id}"

    @property
    def key(self) -> str:
        """What is the same in each delivery, by either way: the id of an EventBridge event is not in SNS."""
        return f"{self.time}/{self.event_id}"


def events_of(payload: Any) -> list[RdsEvent]:
    """Return what an invocation reports.

    Raises:
        NotAnEvent: It is from neither SNS nor EventBridge, or not about RDS.
    """
    if not isinstance(payload, dict):
        raise NotAnEvent("the payload is not an object")
    try:
        if "Records" in payload:
            messages = [record["Sns"]["Message"] for record in payload["Records"]]
            if not messages:
                raise NotAnEvent("it has no record")
            return [_from_sns(one) for one in messages if not str(one).startswith(_GREETING)]
        return [_from_eventbridge(payload)]
    except NotStorable as reason:
        raise NotAnEvent(str(reason)) from None
    except (KeyError, TypeError) as missing:
        raise NotAnEvent(f"it has other fields than an event of RDS: {missing}") from None


def _from_sns(text: Any) -> RdsEvent:
    message = load_json(text) if isinstance(text, str) else None
    if not isinstance(message, dict):
        raise NotAnEvent("the message is not a JSON object")
    names = ("Event Source", "Source ID", "Event ID", "Event Time", "Event Message")
    return _event(*(message[name] for name in names))


def _from_eventbridge(event: Mapping[str, Any]) -> RdsEvent:
    detail, kind = event["detail"], _TYPE.fullmatch(str(event["detail-type"]))
    if event["source"] != "aws.rds" or kind is None:
        raise NotAnEvent("it is an event of another source than aws.rds")
    source_type = kind.group(1).lower().replace(" ", "-")
    return _event(
        source_type, detail["SourceIdentifier"], detail["EventID"], detail["Date"], detail["Message"]
    )


def _event(source_type: Any, source_id: Any, event_id: Any, time: Any, message: Any) -> RdsEvent:
    found = _EVENT_ID.search(event_id) if isinstance(event_id, str) else None
    if found is None:
        raise NotAnEvent("its event id is not like RDS-EVENT-0006")
    check_text("the source type", source_type, max_characters=_LONGEST, max_bytes=_LONGEST)
    identifier = check_text("the source", source_id, max_characters=_LONGEST, max_bytes=_LONGEST)
    # An example of AWS has this prefix in one way only; a snapshot has it in both.
    identifier = identifier.removeprefix("rds:")
    check_text("the message", message, max_characters=10_000, max_bytes=40_000)
    return RdsEvent(source_type, identifier, found.group(), _utc(time), message)


def _utc(given: Any) -> str:
    """SNS writes ``2021-11-07 17:43:51.876``, EventBridge ``2021-11-07T17:43:51.876Z``."""
    try:
        time = datetime.fromisoformat(given)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):  # the first and the last day have no other time zone
        raise NotAnEvent("its time is not like 2021-11-07T17:43:51.876Z") from None
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
