"""The policy of an event bus: PutPermission, RemovePermission and AWS::Events::EventBusPolicy.

The emulator has no such type. It ignores a whole policy, opens the bus to everybody instead, and stores the
condition about the organization in a form that it does not evaluate.

Faithful to: a statement for an account (`Principal: "111122223333"`) or, with a condition, for the accounts
of an organization; a whole policy, of at most 10,240 characters. In templates, a statement or its parts;
another bus or statement id replaces the resource.
Not to: whether the resource in a statement is this bus.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutPermission.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Condition.html
https://docs.aws.amazon.com/organizations/latest/APIReference/API_Organization.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-events-eventbuspolicy.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json, get_account_id, get_region, json_response
from ministack.services import eventbridge

from localaws.patching import Created, Properties, around, new_resource, replaces
from localaws.refusals import Parameters, Refusal, refusal, refuses

_TYPE = "AWS::Events::EventBusPolicy"
_policies = new_resource(_TYPE, replaced_by=("EventBusName", "StatementId"))
_LARGEST = 10_240
_ORGANIZATION = re.compile("o-[a-z0-9]{10,32}")
_VERSION = "2012-10-17"


@refuses("events", "PutPermission")
def _permission(request: Parameters) -> Refusal | None:
    if request.get("Policy"):
        return None  # see `iam.resource_policies`
    for name in ("Action", "Principal", "StatementId"):
        if not request.get(name):
            return Refusal("ValidationException", f"Parameter {name} must be specified.")
    if request["Action"] != "events:PutEvents":
        return Refusal("ValidationException", "Provided value in parameter 'action' is not supported.")
    condition = request.get("Condition")
    if condition and request["Principal"] != "*":
        text = "Value of the parameter 'principal' must be '*' when the parameter 'condition' is set."
        return Refusal("ValidationException", text)
    if condition and (condition.get("Type"), condition.get("Key")) != ("StringEquals", "aws:PrincipalOrgID"):
        return Refusal("ValidationException", "Only StringEquals of aws:PrincipalOrgID is supported.")
    if condition and not _ORGANIZATION.fullmatch(str(condition.get("Value"))):
        return Refusal("ValidationException", f"{condition.get('Value')} is not the ID of an organization.")
    return None


@replaces(eventbridge, "_put_permission")
def _put_permission(data: Properties) -> Any:
    bus = data.get("EventBusName") or "default"
    if data.get("Policy"):
        return _stored(bus, json.loads(data["Policy"]))
    principal, condition = data["Principal"], data.get("Condition")
    statement = {
        "Effect": "Allow",
        "Principal": principal if principal == "*" else {"AWS": f"arn:aws:iam::{principal}:root"},
        "Action": data["Action"],
        "Resource": f"arn:aws:events:{get_region()}:{get_account_id()}:event-bus/{bus}",
    }
    if condition:
        statement["Condition"] = {condition["Type"]: {condition["Key"]: condition["Value"]}}
    return _stored(bus, _with(bus, data["StatementId"], statement))


@replaces(eventbridge, "_remove_permission")
def _remove_permission(data: Properties) -> Any:
    bus, sid = data.get("EventBusName") or "default", data.get("StatementId")
    if data.get("RemoveAllPermissions"):
        eventbridge._event_bus_policies.pop(bus, None)
        return json_response({})
    policy = eventbridge._event_bus_policies.get(bus)
    if policy is None:
        return error_response_json("ResourceNotFoundException", "EventBus does not have a policy.", 400)
    if sid not in {statement.get("Sid") for statement in policy["Statement"]}:
        text = "Statement with the provided id does not exist."
        return error_response_json("ResourceNotFoundException", text, 400)
    return _stored(bus, _with(bus, sid, None))


def _with(bus: str, sid: Any, statement: dict[str, Any] | None) -> dict[str, Any]:
    """The policy of a bus with another statement of this id, or without it."""
    policy = eventbridge._event_bus_policies.get(bus) or {"Version": _VERSION, "Statement": []}
    others = [one for one in policy["Statement"] if one.get("Sid") != sid]
    return {**policy, "Statement": [*others, {"Sid": sid, **statement}] if statement else others}


def _stored(bus: str, policy: dict[str, Any]) -> Any:
    if bus != "default" and bus not in eventbridge._event_buses:
        return error_response_json("ResourceNotFoundException", f"Event bus {bus} does not exist.", 400)
    if len(json.dumps(policy, separators=(",", ":"))) > _LARGEST:
        text = "The total policy size exceeds the maximum allowed size."
        return error_response_json("PolicyLengthExceededException", text, 400)
    if isinstance(policy.get("Statement"), dict):
        policy = {**policy, "Statement": [policy["Statement"]]}
    if policy.get("Statement"):
        eventbridge._event_bus_policies[bus] = policy
    else:
        eventbridge._event_bus_policies.pop(bus, None)
    return json_response({})


@around(eventbridge, "_delete_event_bus")
def _delete_event_bus(stock: Callable[[Properties], Any], data: Properties) -> Any:
    answer = stock(data)
    if answer[0] < 300:
        eventbridge._event_bus_policies.pop(data.get("Name"), None)
    return answer


# --- in templates


@_policies.create
def _create(_logical_id: str, properties: Properties, _stack: str) -> Created:
    bus, sid = _bus_of(properties), properties.get("StatementId")
    request: dict[str, Any] = {"EventBusName": bus}
    if properties.get("Statement"):
        request["Policy"] = json.dumps(_with(bus, sid, properties["Statement"]))
    else:
        named = ("StatementId", "Action", "Principal", "Condition")
        request |= {name: properties[name] for name in named if properties.get(name)}
    if found := refusal("events", "PutPermission", request):
        raise ValueError(f"{_TYPE}: {found.text}")
    status, _headers, body = _put_permission(request)
    if status >= 400:
        raise ValueError(f"{_TYPE}: {json.loads(body)['message']}")
    return f"{bus}|{sid}", {}


@_policies.update
def _update(_physical_id: str, _old: Properties, new: Properties, stack: str, logical_id: str) -> Created:
    return _create(logical_id, new, stack)


@_policies.delete
def _delete(physical_id: str, _properties: Properties) -> None:
    bus, _, sid = physical_id.partition("|")
    _remove_permission({"EventBusName": bus, "StatementId": sid})


def _bus_of(properties: Properties) -> str:
    return str(properties.get("EventBusName") or "default").rpartition("/")[2]
