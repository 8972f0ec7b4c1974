"""What CloudFormation is answered: complete, a copy of the request's ids, and at most 4,096 bytes.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html
"""

import json
from collections.abc import Mapping
from typing import Any

MOST_BYTES, _LONGEST_ID = 4096, 1024
# CloudFormation deletes also what could not be created, with the id of the answer that said so.
_NOT_CREATED = "not-created-"
_RETURNED = ("PhysicalResourceId", "Data", "NoEcho")
_COPIED = ("StackId", "RequestId", "LogicalResourceId")


class BadResult(Exception):
    """The function has returned what CloudFormation does not take; the message says what it may return.

    Args:
        message: What is wrong.
        physical_id: The id of what the function may have made all the same: CloudFormation deletes it if it
            is new. That is the id that was returned, or that of a function which returns none.
    """

    def __init__(self, message: str, physical_id: str) -> None:
        super().__init__(message)
        self.physical_id = physical_id


def was_never_created(event: Mapping[str, Any]) -> bool:
    """Whether this is the deletion of a resource whose creation failed."""
    deletes = event["RequestType"] == "Delete"
    return deletes and str(event["PhysicalResourceId"]).startswith(_NOT_CREATED)


def success(event: Mapping[str, Any], result: object) -> bytes:
    """Return the answer for what the function has returned.

    A deletion that raised no exception is complete: it keeps its id, and CloudFormation needs no data.

    Args:
        event: The request.
        result: ``PhysicalResourceId``, ``Data`` and ``NoEcho``, each optional; or None. Without an id, a
            new resource has that of the request, and another one keeps its own.

    Raises:
        BadResult: CloudFormation would not take it, or the function reports a failure in it.
    """
    present: str = event.get("PhysicalResourceId", event["RequestId"])
    given = {} if result is None else result
    if event["RequestType"] == "Delete" and not (isinstance(given, dict) and given.get("Status") == "FAILED"):
        given = {}
    if not isinstance(given, dict):
        what = f"the function returned {type(result).__name__}: return a JSON object, or nothing"
        raise BadResult(what, present)
    physical_id = present if given.get("PhysicalResourceId") is None else given["PhysicalResourceId"]
    if not isinstance(physical_id, str) or not 0 < len(physical_id.encode(errors="replace")) <= _LONGEST_ID:
        what = f"PhysicalResourceId is {physical_id!r:.80}: return a text of 1 to 1,024 bytes"
        raise BadResult(what, present)
    if unknown := sorted(set(given) - set(_RETURNED)):
        what = f"the function returned {', '.join(unknown)[:80]}: return {', '.join(_RETURNED)} only"
        raise BadResult(f"{what}, and raise an exception where something has failed", physical_id)
    data = {} if given.get("Data") is None else given["Data"]
    no_echo = False if given.get("NoEcho") is None else given["NoEcho"]
    if not isinstance(data, dict) or not isinstance(no_echo, bool):
        raise BadResult("Data or NoEcho: return an object as Data, and true or false as NoEcho", physical_id)
    answer = {"Status": "SUCCESS", "PhysicalResourceId": physical_id, "NoEcho": no_echo, "Data": data}
    try:
        body = _body(event, answer)
    except (ValueError, RecursionError):
        what = "Data has NaN or Infinity, which no JSON has, or is nested too deeply"
        raise BadResult(f"{what}: return texts", physical_id) from None
    if len(body) > MOST_BYTES:
        what = f"the answer has {len(body):,} bytes, and CloudFormation takes {MOST_BYTES:,}"
        raise BadResult(f"{what}: return less Data, such as the name of a parameter", physical_id)
    return body


def failure(event: Mapping[str, Any], reason: str, physical_id: str | None = None) -> bytes:
    """Return the answer that a request has failed; the reason is shortened until it fits.

    Args:
        event: The request.
        reason: Why.
        physical_id: The id of what was made all the same. Default: a resource that could not be created gets
            one whose deletion does nothing, and another one keeps its own.
    """
    physical_id = physical_id or event.get("PhysicalResourceId") or f"{_NOT_CREATED}{event['RequestId']}"
    reason = reason or "no reason was given"
    while True:
        body = _body(event, {"Status": "FAILED", "Reason": reason, "PhysicalResourceId": physical_id})
        if len(body) <= MOST_BYTES or not reason:
            return body
        reason = reason[: len(reason) * 3 // 4]


def _body(event: Mapping[str, Any], answer: Mapping[str, Any]) -> bytes:
    copied = {name: event[name] for name in _COPIED}
    text = json.dumps({**copied, **answer}, ensure_ascii=False, allow_nan=False)
    return text.encode(errors="replace")
