"""What CloudFormation is answered: complete, a copy of the request's ids, and at most 4,096 bytes.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html
"""

import json
from collections.abc import Mapping
from typing import Any

MOST_BYTES, _LONGEST_ID = 4096, 1024
# CloudFormation deletes also what could not be created, with the id of the answer that said so.
_NOT_CREATED = "not-created-"
_COPIED = ("StackId", "RequestId", "LogicalResourceId")


class BadResult(Exception):
    """The function has returned what CloudFormation does not take; the message says what it may return.

    Args:
        message: What is wrong.
        physical_id: The id of what the function has made all the same, so that CloudFormation deletes it.
    """

    def __init__(self, message: str, physical_id: str | None = None) -> None:
        super().__init__(message)
        self.physical_id = physical_id


def was_never_created(event: Mapping[str, Any]) -> bool:
    """Whether this is the deletion of a resource whose creation failed."""
    deletes = event["RequestType"] == "Delete"
    return deletes and str(event["PhysicalResourceId"]).startswith(_NOT_CREATED)


def success(event: Mapping[str, Any], result: object) -> bytes:
    """Return the answer for what the function has returned.

    Args:
        event: The request.
        result: ``PhysicalResourceId``, ``Data`` and ``NoEcho``, each optional; or None. Without an id, a
            new resource has that of the request, and another one keeps its own. A deletion has the old one.

    Raises:
        BadResult: CloudFormation would not take it.
    """
    given = {} if result is None else result
    if not isinstance(given, dict):
        raise BadResult(f"the function returned {type(result).__name__}: return an object, or nothing")
    present = event.get("PhysicalResourceId", event["RequestId"])
    physical_id = given.get("PhysicalResourceId") or present
    if event["RequestType"] == "Delete":
        physical_id = present
    if not isinstance(physical_id, str) or len(physical_id.encode()) > _LONGEST_ID:
        raise BadResult(f"PhysicalResourceId is {physical_id!r:.80}: return a text of at most 1,024 bytes")
    data, no_echo = given.get("Data") or {}, given.get("NoEcho", False)
    if not isinstance(data, dict) or not isinstance(no_echo, bool):
        raise BadResult("Data or NoEcho: return an object as Data, and true or false as NoEcho", physical_id)
    answer = {"Status": "SUCCESS", "PhysicalResourceId": physical_id, "NoEcho": no_echo, "Data": data}
    body = _body(event, answer)
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
    return json.dumps({**{name: event[name] for name in _COPIED}, **answer}, ensure_ascii=False).encode(
        errors="replace"
    )
