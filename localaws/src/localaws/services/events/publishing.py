"""PutEvents: entries that are refused, event buses of other accounts, and the time of an event.

The emulator accepts events without a source, refuses every event bus of another account, and ignores the time
that an entry has.

Faithful to:
- An event needs a source, a detail type and a detail that is a JSON object, with integers of 64 bits and at
  most 1,100 levels; a bad one costs that event only.
- An event bus of another account is named by its ARN. The identity policies of the caller AND the policy of
  the bus must allow it, also for the root user; within an account, one of them is enough. The event has the
  account of the sender.
- An entry's Time is the time of the event, by which a replay selects it.
Not to: the condition keys `events:source` and `events:detail-type`; a request in which no entry is complete,
which AWS refuses as a whole.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-bus-perms.html
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import (
    error_response_json,
    get_account_id,
    get_region,
    json_response,
    new_uuid,
    request_scope,
)
from ministack.services import eventbridge

from localaws.patching import Properties, around
from localaws.services.iam.roles import iam_is_enforced

_MOST_ENTRIES, _MOST_LEVELS = 10, 1_100
_ACTION = "events:PutEvents"


@around(eventbridge, "_put_events")
def _put_events(stock: Callable[..., Any], data: Properties, allow_aws_source: bool = False) -> Any:
    entries = data.get("Entries") or []
    if len(entries) > _MOST_ENTRIES:
        return stock(data, allow_aws_source)  # which refuses it
    for bus in {_bus_of_another_account(entry) for entry in entries} - {""}:
        if not _caller_is_allowed(bus):
            return error_response_json("AccessDeniedException", _denial(bus), 400)
    results = [_of_event(entry) or _put(entry, allow_aws_source) for entry in entries]
    failed = sum("ErrorCode" in result for result in results)
    return json_response({"FailedEntryCount": failed, "Entries": results})


def _put(entry: Mapping[str, Any], allow_aws_source: bool) -> dict[str, str]:
    sender, target = get_account_id(), _bus_of_another_account(entry)
    if str(entry["Source"]).startswith("aws.") and not allow_aws_source:
        text = "Not authorized for the source."
        return {"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": text}
    with request_scope(target.split(":")[4] if target else sender, get_region()):
        bus, error = eventbridge._event_bus_name_from_ref(entry.get("EventBusName") or "default")
        if error:
            return {"ErrorCode": error[0], "ErrorMessage": error[1]}
        event = {
            "EventId": new_uuid(),
            "Source": entry["Source"],
            "DetailType": entry["DetailType"],
            "Detail": entry["Detail"],
            "EventBusName": bus,
            "Time": int(eventbridge._coerce_timestamp(entry.get("Time") or time.time())),
            "Resources": entry.get("Resources") or [],
            "Account": sender,
            "Region": get_region(),
        }
        eventbridge._events_log_list().append(event)
        view = eventbridge._pattern_event_view(event)
        eventbridge._dispatch_event(event, view)
        eventbridge._archive_event(event, view)
    return {"EventId": event["EventId"]}


def _of_event(entry: Mapping[str, Any]) -> dict[str, str] | None:
    for name in ("Source", "DetailType", "Detail"):
        if not entry.get(name):
            text = f"Parameter {name} is not valid. Reason: {name} is a required argument."
            return {"ErrorCode": "InvalidArgument", "ErrorMessage": text}
    try:
        detail = json.loads(entry["Detail"], parse_int=_of_64_bits)
        json.dumps(detail, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        detail = None
    if _levels(entry["Detail"]) > _MOST_LEVELS:
        detail = None
    if not isinstance(detail, dict):
        return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
    return None


def _of_64_bits(text: str) -> int:
    if not -(2**63) <= (number := int(text)) < 2**63:
        raise ValueError(text)
    return number


def _levels(text: str) -> int:
    """How deep JSON is nested."""
    brackets = re.sub(r'"(?:[^"\\]|\\.)*"|[^][{}"]', "", text)
    return max(itertools.accumulate((1 if one in "[{" else -1 for one in brackets), initial=0))


# --- Event buses of other accounts


def _bus_of_another_account(entry: Mapping[str, Any]) -> str:
    """The ARN of the bus if it is in this Region of another account; otherwise nothing."""
    arn = str(entry.get("EventBusName") or "")
    parts = arn.split(":", 5)
    is_bus = len(parts) == 6 and parts[2] == "events" and parts[5].startswith("event-bus/")
    return arn if is_bus and parts[3] == get_region() and parts[4] != get_account_id() else ""


@around(iam_evaluator, "_resource_policy")
def _resource_policy(stock: Callable[[str, str], Any], service: str, resource_arn: str) -> Any:
    """The policy of an event bus and its owner, which the emulator does not ask."""
    parts = resource_arn.split(":", 5)
    if service != "events" or len(parts) < 6 or not parts[5].startswith("event-bus/"):
        return stock(service, resource_arn)
    policy = eventbridge._event_bus_policies.get_scoped(parts[4], parts[3], parts[5].partition("/")[2])
    return policy or {"Statement": []}, parts[4]


def _caller_is_allowed(bus: str) -> bool:
    """Whether the policy of the bus allows the caller: the emulator's root users may do everything."""
    caller = iam_evaluator.caller_arn()
    if not caller or not iam_is_enforced():
        return True
    request = iam_evaluator.EvalContext(
        principal_arn=caller,
        principal_type="AssumedRole" if ":assumed-role/" in caller else "User",
        principal_account=caller.split(":")[4],
        action=_ACTION,
        resource_arn=bus,
        region=get_region(),
        secure_transport=True,
    )
    policy, _owner = iam_evaluator._resource_policy("events", bus)
    return bool(iam_evaluator.evaluate_resource_policy(policy, request).decision == "Allow")


def _denial(bus: str) -> str:
    return (
        f"User: {iam_evaluator.caller_arn()} is not authorized to perform: {_ACTION} on resource: {bus} "
        f"because no resource-based policy allows the {_ACTION} action"
    )
