"""What EventBridge refuses of schedules, inputs and parameters of targets, and names of event buses.

The emulator runs `rate(5 minute)`, and delivers nothing for an input that is no JSON.

Faithful to: a rate is a positive number, with the unit in the singular for 1 only; a target has at most one
of Input, InputPath and InputTransformer; an input is JSON, a path begins with `$`, and a template uses the
names that it defines and is JSON; a FIFO queue needs a message group, and another queue has none; Kinesis and
other targets without a policy need a role; a target of another Region is an event bus, and one of another
account a service that takes events from there, with a role; a rule with targets is not deleted, nor a bus
with rules, of which an archive has one; the events of a request have less than 1 MB.
Not to: the words about inputs, accounts, Regions and the rules of a bus, which AWS does not document; syntax
of JSONPath.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Target.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_CreateEventBus.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DeleteEventBus.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-cross-account.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
https://aws.amazon.com/blogs/compute/more-room-to-build-serverless-services-now-support-payloads-up-to-1-mb/
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge

from localaws.patching import Properties, resource
from localaws.refusals import Parameters, Refusal, refuses

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)(s?)\)")
_INPUTS = ("Input", "InputPath", "InputTransformer")
_PLACEHOLDER = re.compile(r"<([A-Za-z0-9_.-]+)>")
_PREDEFINED = "aws.events."
_LARGEST_REQUEST = 1024 * 1024
# Targets that EventBridge reaches with a role only, since they have no policy for it.
_ACROSS_ACCOUNTS = ("execute-api", "kinesis", "lambda", "sns", "sqs")
_WITH_ROLE = ("kinesis", "states", "batch", "ecs", "firehose", "codepipeline")


def _invalid(text: str) -> Refusal:
    return Refusal("ValidationException", text)


@refuses("events", "PutRule")
def _schedule(rule: Parameters) -> Refusal | None:
    expression = str(rule.get("ScheduleExpression") or "")
    if not expression or _is_schedule(expression):
        return None
    return _invalid("Parameter ScheduleExpression is not valid.")


def _is_schedule(expression: str) -> bool:
    if expression.startswith("cron("):
        return expression == expression.strip()  # the emulator checks the rest
    found = _RATE.fullmatch(expression)
    return found is not None and int(found[1]) > 0 and bool(found[3]) == (int(found[1]) > 1)


@refuses("events", "PutTargets")
def _targets(request: Parameters) -> Refusal | None:
    for target in request.get("Targets") or []:
        text = _of_input(target) or _of_target(target)
        if text:
            return _invalid(text)
    return None


def _of_input(target: Parameters) -> str | None:
    name = target.get("Id")
    given = [each for each in _INPUTS if target.get(each) is not None]
    if len(given) > 1:
        return f"Only one of Input, InputPath, or InputTransformer must be provided for target {name}."
    if target.get("Input") is not None and not _is_json(target["Input"]):
        return f"JSON syntax error in input for target {name}"
    if not str(target.get("InputPath", "$")).startswith("$"):
        return f"Parameter InputPath is not valid for target {name}. Reason: It must begin with $."
    transformer = target.get("InputTransformer")
    return _of_transformer(name, transformer) if transformer is not None else None


def _of_transformer(name: Any, transformer: Parameters) -> str | None:
    paths, template = transformer.get("InputPathsMap") or {}, transformer.get("InputTemplate")
    if not template:
        return f"InputTemplate must be provided for target {name}."
    for key, path in paths.items():
        if key.upper().startswith("AWS"):
            return f"InputPathsMap for target {name} has the reserved name {key}."
        if not str(path).startswith("$"):
            return f"InputPathsMap for target {name} contains invalid path {path}."
    for used in _PLACEHOLDER.findall(str(template)):
        if used not in paths and not used.startswith(_PREDEFINED):
            return f"InputTemplate for target {name} contains invalid placeholder {used}."
    text = _PLACEHOLDER.sub("0", str(template).strip())
    if text.startswith(("{", "[")) and not _is_json(text):
        return f"Invalid InputTemplate for target {name}: it is no JSON."
    return None


def _is_json(text: Any) -> bool:
    if not isinstance(text, str):  # a structure in a template
        return True
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _of_target(target: Parameters) -> str | None:
    name, arn = target.get("Id"), str(target.get("Arn"))
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        return f"Parameter {arn} is not valid. Reason: Provided Arn is not in correct format."
    service, region, account, resource = parts[2:]
    group = (target.get("SqsParameters") or {}).get("MessageGroupId")
    if service == "sqs" and resource.endswith(".fifo") and not group:
        return f"Parameter(s) SqsParameters must be specified for target: {name}."
    if service == "sqs" and group and not resource.endswith(".fifo"):
        return f"Parameter(s) SqsParameters is not supported for target: {name}."
    if service in _WITH_ROLE and not target.get("RoleArn"):
        return f"RoleArn is required for target {arn}."
    if service == "ecs" and not target.get("EcsParameters"):
        return f"Parameter(s) EcsParameters must be specified for target: {name}."
    if account not in ("", get_account_id()) and service != "events":
        if service not in _ACROSS_ACCOUNTS:
            return f"Parameter {arn} is not valid. Reason: The target must be in the account of the rule."
        if not target.get("RoleArn"):
            return f"RoleArn is required for target {arn}."
    if region not in ("", get_region()) and service != "events":
        return f"Parameter {arn} is not valid. Reason: The target must be in the Region of the rule."
    return None


@refuses("events", "DeleteRule")
def _rule_with_targets(request: Parameters) -> Refusal | None:
    key = eventbridge._rule_key(request.get("Name"), request.get("EventBusName", "default"))
    return _invalid("Rule can't be deleted since it has targets.") if eventbridge._targets.get(key) else None


@refuses("events", "DeleteEventBus")
def _bus_with_rules(request: Parameters) -> Refusal | None:
    name = str(request.get("Name"))
    archived = any(
        archive["EventSourceArn"].endswith(f":event-bus/{name}") for archive in eventbridge._archives.values()
    )
    if archived or any(rule["EventBusName"] == name for rule in eventbridge._rules.values()):
        return _invalid(f"Event bus {name} can't be deleted since it has rules.")
    return None


@resource("AWS::Events::EventBus").delete
def _delete_bus(stock: Callable[..., None], physical_id: str, properties: Properties) -> None:
    if found := _bus_with_rules({"Name": physical_id}):
        raise ValueError(f"AWS::Events::EventBus: {found.text}")
    stock(physical_id, properties)


@refuses("events", "CreateEventBus")
def _name_of_bus(request: Parameters) -> Refusal | None:
    name = str(request.get("Name"))
    if name.startswith("aws."):
        partner = str(request.get("EventSourceName") or "")
        return None if partner == name else _invalid("Event bus name starting with 'aws.' is not valid.")
    return _invalid("Event bus name must not contain '/'.") if "/" in name else None


@refuses("events", "PutEvents")
def _size_of_events(request: Parameters) -> Refusal | None:
    if sum(map(_size, request.get("Entries") or [])) < _LARGEST_REQUEST:
        return None
    return _invalid("Total size of the entries in the request is over the limit.")


def _size(entry: Parameters) -> int:
    texts = [entry.get(name) or "" for name in ("Source", "DetailType", "Detail")]
    texts += entry.get("Resources") or []
    return sum(len(str(text).encode()) for text in texts) + (14 if entry.get("Time") else 0)
