"""What CloudWatch Logs refuses of log events and names of log groups.

Faithful to: the events of a request are in order of time and have at most 1 MB, with 26 bytes for each event.
Those of more than 14 days ago or two hours ahead, or older than the retention of the log group, are left out,
and the answer says which; the others span at most 24 hours. Names that begin with `aws/` are reserved.
Not to: what AWS does with an event that is both too old and beyond the retention: it is listed as both here.

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
    now = int(time.time() * 1000)
    times = [one for one in times if now - _PAST <= one <= now + _FUTURE]
    if times and times[-1] - times[0] > _DAY:
        text = "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."
        return _invalid(text)
    return None


@around(cloudwatch_logs, "_put_log_events", after=["logs.events"])
def _put_log_events(stock: Callable[[Properties], Any], data: Properties) -> Any:
    """Leave out the events that are too old or too new; they are at the ends, as the events are in order."""
    now, events = int(time.time() * 1000), data.get("logEvents") or []
    group = cloudwatch_logs._log_groups.get(data.get("logGroupName")) or {}
    kept = (group.get("retentionInDays") or 0) * _DAY
    times = [event.get("timestamp", now) for event in events]
    old = sum(one < now - _PAST for one in times)
    expired = sum(one < now - kept for one in times) if kept else 0
    new = sum(one > now + _FUTURE for one in times)
    if not (old or expired or new):
        return stock(data)
    status, headers, body = stock({**data, "logEvents": events[max(old, expired) : len(events) - new]})
    if status != 200:
        return status, headers, body
    rejected = {"tooOldLogEventEndIndex": old} if old else {}
    rejected |= {"expiredLogEventEndIndex": expired} if expired else {}
    rejected |= {"tooNewLogEventStartIndex": len(events) - new} if new else {}
    return json_response({**json.loads(body or b"{}"), "rejectedLogEventsInfo": rejected})
