"""Reading log events: their ids, pages, and the tokens that lead from one page to the next.

Events of FilterLogEvents lack the id without which `aws logs tail --follow` ends, a call that finds more
than its limit loses the rest, and a prefix of log streams is ignored.

Faithful to: ids of 56 digits, which begin with the time of the event; `nextToken` of FilterLogEvents;
selection by the names or the prefix of log streams; the form of the tokens of GetLogEvents and
PutLogEvents.
Not to: what `logs.patterns` lists of filter patterns.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilteredLogEvent.html
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
"""

from __future__ import annotations

import base64
import itertools
import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import cloudwatch_logs

from localaws.patching import around, replaces

Request = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]
_MOST = 10_000
# An id is the time in milliseconds and 144 more bits.
_BITS = 144
_HEAD = "0" * 56
_PLACE, _places = "localaws_place", itertools.count(1)
_INVALID = "InvalidParameterException"
_stored = threading.local()


@around(cloudwatch_logs, "_append_log_events")
def _append_log_events(
    stock: Callable[..., None], stream: dict[str, Any], events: list[dict[str, Any]]
) -> None:
    for event in events:
        event[_PLACE] = next(_places)
    stock(stream, events)
    _stored.events = events


def just_stored(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same events as this thread has stored them last, with the ids by which they are found."""
    stored = getattr(_stored, "events", [])
    return [{"id": str(_id(one)), **_shown(one)} for one in stored] if len(stored) == len(events) else []


@replaces(cloudwatch_logs, "_filter_log_events")
def _filter_log_events(data: Request) -> Response:
    group = cloudwatch_logs._log_groups.get(cloudwatch_logs._resolve_log_group_name(data))
    if group is None:
        return _error("ResourceNotFoundException", "The specified log group does not exist.")
    names, prefix = data.get("logStreamNames"), data.get("logStreamNamePrefix")
    if names and prefix:
        return _error(_INVALID, "LogStreamNames and LogStreamNamePrefix cannot both be specified.")
    if names and not set(names) <= group["streams"].keys():
        return _error("ResourceNotFoundException", "The specified log stream does not exist.")
    chosen = names or [name for name in group["streams"] if name.startswith(prefix or "")]
    try:
        after = int(base64.urlsafe_b64decode(data["nextToken"])) if data.get("nextToken") else 0
    except ValueError:
        return _error(_INVALID, "The specified nextToken is invalid.")
    matches = cloudwatch_logs._compile_filter_pattern(data.get("filterPattern", ""))
    begin, end = data.get("startTime") or 0, data.get("endTime")
    with cloudwatch_logs._log_events_lock:
        found = sorted(
            (_id(event), name, event)
            for name in chosen
            for event in group["streams"][name]["events"]
            if begin <= event["timestamp"] and (end is None or event["timestamp"] <= end)
        )
    found = [one for one in found if one[0] > after and matches(one[2]["message"])]
    page = found[: min(data.get("limit") or _MOST, _MOST)]
    answer: dict[str, Any] = {
        "events": [
            {**_shown(event), "eventId": str(place), "logStreamName": name} for place, name, event in page
        ],
        "searchedLogStreams": [],  # as AWS since 2020
    }
    if len(page) < len(found):
        answer["nextToken"] = base64.urlsafe_b64encode(str(page[-1][0]).encode()).decode()
    response: Response = json_response(answer)
    return response


def _id(event: dict[str, Any]) -> int:
    """The id of an event: in the order of time, then of arrival."""
    return (int(event["timestamp"]) << _BITS) + int(event[_PLACE])


def _shown(event: dict[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in ("timestamp", "message", "ingestionTime")}


def _error(code: str, message: str) -> Response:
    refused: Response = error_response_json(code, message, 400)
    return refused


@around(cloudwatch_logs, "_event_cursor")
def _event_cursor(stock: Callable[..., str], history: Any, size: int, position: int, forward: bool) -> str:
    cursor = stock(history, size, position, forward)
    if cursor == "-":
        return f"{_HEAD}/s"
    timestamp, place = map(int, cursor.split(":"))
    return f"{(timestamp << _BITS) + place}/s"


@around(cloudwatch_logs, "_event_token_position")
def _event_token_position(stock: Callable[..., Any], history: Any, size: int, token: str) -> Any:
    direction, _, rest = token.partition("/")
    digits = rest.removesuffix("/s")
    if digits == _HEAD:
        return stock(history, size, f"{direction}/-")
    timestamp, place = divmod(int(digits), 1 << _BITS)
    return stock(history, size, f"{direction}/{timestamp}:{place}")


@around(cloudwatch_logs, "_put_log_events")
def _put_log_events(stock: Callable[[Request], Response], data: Request) -> Response:
    status, headers, body = stock(data)
    answer = json.loads(body)
    if "nextSequenceToken" in answer:
        answer["nextSequenceToken"] = f"49{int(answer['nextSequenceToken']):054d}"
    return status, headers, json.dumps(answer).encode()
