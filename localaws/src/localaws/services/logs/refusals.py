"""What CloudWatch Logs refuses of log events and names of log groups.

Faithful to: the events of a request are in order of time, span at most 24 hours and have at most 1 MB, with
26 bytes for each event; those of more than 14 days ago or two hours ahead are left out, and the answer says
which; names that begin with `aws/` are reserved.
Not to: the retention of the group as a limit of the age.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

from ministack.core.responses import json_response
from ministack.services import cloudwatch_logs

from localaws.patching import Properties, around
from localaws.refusals import Parameters, Refusal, refuses

_LARGEST, _OVERHEAD = 1_048_576, 26
_DAY = 86_400_000
_PAST, _FUTURE = 14 * _DAY, 7_200_000


def _invalid(text: str) -> Refusal:
    return Refusal("InvalidParameterException", text)


@refuses("logs", "CreateLogGroup")
def _name(request: Parameters) -> Refusal | None:
    if not str(request.get("logGroupName", "")).lower().startswith("aws/"):
        return None
    return _invalid("Log groups starting with AWS/ are reserved for AWS.")


@refuses("logs", "PutLogEvents")
def _events(request: Parameters) -> Refusal | None:
    events = request.get("logEvents") or []
    size = sum(len(str(event.get("message")).encode()) + _OVERHEAD for event in events)
    if size > _LARGEST:
        return _invalid(f"Upload too large: {size} bytes exceeds limit of {_LARGEST}")
    times = [int(event.get("timestamp") or 0) for event in events]
    if any(one > other for one, other in itertools.pairwise(times)):
        return _invalid("Log events in a single PutLogEvents request must be in chronological order.")
    if times and times[-1] - times[0] > _DAY:
        text = "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."
        return _invalid(text)
    return None


@around(cloudwatch_logs, "_put_log_events", after=["logs.events"])
def _put_log_events(stock: Callable[[Properties], Any], data: Properties) -> Any:
    """Leave out the events that are too old or too new; they are at the ends, as the events are in order."""
    now, events = int(time.time() * 1000), data.get("logEvents") or []
    old = sum(event.get("timestamp", now) < now - _PAST for event in events)
    new = sum(event.get("timestamp", now) > now + _FUTURE for event in events)
    if not old and not new:
        return stock(data)
    status, headers, body = stock({**data, "logEvents": events[old : len(events) - new]})
    if status != 200:
        return status, headers, body
    rejected = {"tooOldLogEventEndIndex": old} if old else {}
    rejected |= {"tooNewLogEventStartIndex": len(events) - new} if new else {}
    return json_response({**json.loads(body or b"{}"), "rejectedLogEventsInfo": rejected})
