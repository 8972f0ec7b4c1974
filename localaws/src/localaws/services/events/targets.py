"""Dead-letter queues of EventBridge targets, and what EventBridge refuses of rules, targets and events.

The emulator logs an event that cannot be delivered, and the event is lost.

Faithful to:
- An event for a target that does not exist, or whose policy does not allow the rule, is not retried. It goes
  to the queue in the target's DeadLetterConfig at once, before input transformation, with RULE_ARN,
  TARGET_ARN, ERROR_CODE, ERROR_MESSAGE and RETRY_ATTEMPTS as message attributes.
- The queue must be a standard queue in the same account and Region, and its policy must allow the rule;
  otherwise the event is lost.
- A rule has an event pattern or a schedule, the latter only on the default bus, and at most five targets.
- An event needs a source, a detail type and a detail that is a JSON object; a bad one costs that event only.
- An error of a function is not a failed delivery: the function's own asynchronous invocation handles it.
Not to: retries. No delivery fails here in a way that EventBridge retries, except to API destinations, which
are called once: RetryPolicy is only recorded. Nor to metrics of rules.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_RetryPolicy.html
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import eventbridge, lambda_svc, sns, sqs, stepfunctions

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.services.iam.invocations import rule_may_reach

logger = logging.getLogger("localaws.events")

Target = dict[str, Any]
_MOST_TARGETS = 5
_TOO_MANY = "The requested resource exceeds the maximum number allowed."


@around(eventbridge, "_put_targets")
def _put_targets(stock: Callable[[Properties], Any], data: Properties) -> Any:
    for target in data.get("Targets") or []:
        if problem := _problem(target):
            return error_response_json("ValidationException", problem, 400)
    key = eventbridge._rule_key(data.get("Rule"), data.get("EventBusName", "default"))
    every = [*eventbridge._targets.get(key, []), *(data.get("Targets") or [])]
    if len({target.get("Id") for target in every}) > _MOST_TARGETS:
        return error_response_json("LimitExceededException", _TOO_MANY, 400)
    return stock(data)


@around(eventbridge, "_put_rule")
def _put_rule(stock: Callable[[Properties], Any], data: Properties) -> Any:
    problem = _of_rule(data)
    return error_response_json("ValidationException", problem, 400) if problem else stock(data)


def _of_rule(rule: Properties) -> str | None:
    if not rule.get("EventPattern") and not rule.get("ScheduleExpression"):
        return "Parameter(s) EventPattern or ScheduleExpression must be specified."
    bus = str(rule.get("EventBusName") or "default").rpartition("/")[2]
    if rule.get("ScheduleExpression") and bus != "default":
        return "ScheduleExpression is supported only on the default event bus."
    return None


@around(eventbridge, "_put_events")
def _put_events(
    stock: Callable[..., Any],
    data: Properties,
    allow_aws_source: bool = False,
) -> Any:
    entries = data.get("Entries") or []
    refused = {position: found for position, entry in enumerate(entries) if (found := _of_event(entry))}
    if not refused or len(entries) > 10:  # the emulator refuses those
        return stock(data, allow_aws_source)
    good = [entry for position, entry in enumerate(entries) if position not in refused]
    status, headers, body = stock({**data, "Entries": good}, allow_aws_source)
    if status >= 400:
        return status, headers, body
    answer = json.loads(body)
    others = iter(answer["Entries"])
    results = [refused.get(position) or next(others) for position in range(len(entries))]
    return json_response({"FailedEntryCount": answer["FailedEntryCount"] + len(refused), "Entries": results})


def _of_event(entry: Mapping[str, Any]) -> dict[str, str] | None:
    for name in ("Source", "DetailType", "Detail"):
        if not entry.get(name):
            text = f"Parameter {name} is not valid. Reason: {name} is a required argument."
            return {"ErrorCode": "InvalidArgument", "ErrorMessage": text}
    try:
        detail = json.loads(entry["Detail"])
        json.dumps(detail, allow_nan=False)
    except (ValueError, TypeError):
        detail = None
    if not isinstance(detail, dict):
        return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
    return None


@resource("AWS::Events::Rule").create
def _create_rule(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _require_valid_targets(properties)
    return stock(logical_id, properties, stack)


@resource("AWS::Events::Rule").update
def _update_rule(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    _require_valid_targets(new)
    return stock(physical_id, old, new, stack, logical_id)


def _require_valid_targets(properties: Properties) -> None:
    """Refuse settings that PutRule and PutTargets refuse."""
    problem = _of_rule(properties)
    if len(properties.get("Targets") or []) > _MOST_TARGETS:
        problem = _TOO_MANY
    if problem:
        raise ValueError(f"AWS::Events::Rule: {problem}")
    for target in properties.get("Targets") or []:
        # A copy counts as reading all of it, and the emulator stores targets as a whole.
        if problem := _problem(target.copy()):
            raise ValueError(f"AWS::Events::Rule Targets: {problem}")


def _problem(target: Mapping[str, Any]) -> str | None:
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    if queue and (not queue.startswith("arn:") or queue.split(":")[2] != "sqs" or queue.endswith(".fifo")):
        return f"The dead-letter queue {queue} must be a standard queue of Amazon SQS"
    return None


@around(eventbridge, "_invoke_target", after=["iam.invocations"])
def _invoke_target(
    stock: Callable[..., None], target: Target, event: Any, rule: Properties, view: Any = None
) -> None:
    failure = _failure(rule["Arn"], target.get("Arn", ""))
    if failure is None:
        stock(target, event, rule, view)
        return
    logger.warning("%s: %s", *failure)
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    if queue:
        view = view or eventbridge._pattern_event_view(event)
        _send_dead_letter(queue, rule["Arn"], target["Arn"], json.dumps(view.event_with_detail()), failure)


def _failure(rule: str, target: str) -> tuple[str, str] | None:
    """Error code and message if the event cannot be delivered to the target, whenever it is tried."""
    service = (target.split(":") + [""] * 3)[2]
    exists = {
        "lambda": lambda: lambda_svc._get_func_record_for_ref(target)[0],
        "sqs": lambda: sqs._queue_by_arn(target),
        "sns": lambda: sns._topic_by_arn_any_scope(target),
        "states": lambda: stepfunctions._resolve_state_machine_arn(target),
    }.get(service)
    if exists and exists() is None:
        return "NO_RESOURCE", f"{rule} cannot call {target}: it does not exist"
    if not rule_may_reach(rule, target):
        return "NO_PERMISSIONS", f"{rule} may not call {target}: no statement of its policy allows it"
    return None


def _send_dead_letter(queue: str, rule: str, target: str, event: str, failure: tuple[str, str]) -> None:
    account = rule.split(":")[4]
    if not sqs.queue_policy_allows(queue, "events.amazonaws.com", rule, account):
        logger.warning("%s does not allow %s, or does not exist: the event is lost", queue, rule)
        return
    values = {
        "RULE_ARN": rule,
        "TARGET_ARN": target,
        "ERROR_CODE": failure[0],
        "ERROR_MESSAGE": failure[1],
        "RETRY_ATTEMPTS": "0",
    }
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in values.items()}
    url = sqs._queue_url(queue.split(":")[-1])
    sqs._act_send_message({"QueueUrl": url, "MessageBody": event, "MessageAttributes": attributes}, url)
