"""What becomes of an event that a target cannot take: its dead-letter queue.

The emulator logs the failure, and the event is lost.

Faithful to: a target that does not exist, or does not admit the rule, gets no second attempt; the event goes
to the queue of the target's DeadLetterConfig at once, as it was and not as the rule would have changed it,
with RULE_ARN, TARGET_ARN, ERROR_CODE, ERROR_MESSAGE and RETRY_ATTEMPTS in its attributes. The queue must be a
standard one of the account and region, and admit the rule; else the event is lost. RetryPolicy is held to its
limits. What a function makes of an event is no failure of the rule: that is the function's own queue and
dead letters.
Not to: retries. Nothing here fails in a way that EventBridge tries again, but API destinations, which are
called once: RetryPolicy is a record. Metrics of rules.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_RetryPolicy.html
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import eventbridge, lambda_svc, sns, sqs, stepfunctions
from ministack.services.cloudformation import provisioners

from localaws.services.iam.invocations import rule_may_reach

logger = logging.getLogger("localaws.events")

Target = dict[str, Any]
_LIMITS = {"MaximumRetryAttempts": (0, 185), "MaximumEventAgeInSeconds": (60, 86_400)}


def install() -> None:
    """Look at each delivery before it is made, and at targets before they are stored."""
    eventbridge._invoke_target = _invoking(eventbridge._invoke_target)
    put = eventbridge._put_targets

    def put_targets(data: dict[str, Any]) -> Any:
        for target in data.get("Targets") or []:
            if problem := _problem(target):
                return error_response_json("ValidationException", problem, 400)
        return put(data)

    eventbridge._put_targets = put_targets
    rule = provisioners._RESOURCE_HANDLERS["AWS::Events::Rule"]
    rule["create"] = _checked(rule["create"], 1)
    rule["update"] = _checked(rule["update"], 2)


def _checked(provision: Callable[..., Any], place: int) -> Callable[..., Any]:
    """Refuse a rule of a template with settings that PutTargets refuses."""

    def provision_if_valid(*arguments: Any) -> Any:
        for target in arguments[place].get("Targets") or []:
            # A copy: a target is kept as a whole, and has no part that nobody reads.
            if problem := _problem(target.copy()):
                raise ValueError(f"AWS::Events::Rule Targets: {problem}")
        return provision(*arguments)

    return provision_if_valid


def _problem(target: Mapping[str, Any]) -> str | None:
    policy = target.get("RetryPolicy") or {}
    for name, (least, most) in _LIMITS.items():
        if name in policy and not least <= int(policy[name]) <= most:
            return f"{name} is {policy[name]}: give {least} to {most}"
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    if queue and (not queue.startswith("arn:") or queue.split(":")[2] != "sqs" or queue.endswith(".fifo")):
        return f"The dead-letter queue {queue} must be a standard queue of Amazon SQS"
    return None


def _invoking(invoke: Callable[..., None]) -> Callable[..., None]:
    def invoke_or_keep(target: Target, event: Any, rule: dict[str, Any], view: Any = None) -> None:
        failure = _failure(rule["Arn"], target.get("Arn", ""))
        if failure is None:
            invoke(target, event, rule, view)
            return
        logger.warning("%s: %s", *failure)
        queue = (target.get("DeadLetterConfig") or {}).get("Arn")
        if queue:
            view = view or eventbridge._pattern_event_view(event)
            _bury(queue, rule["Arn"], target["Arn"], json.dumps(view.event_with_detail()), failure)

    return invoke_or_keep


def _failure(rule: str, target: str) -> tuple[str, str] | None:
    """Why the target will never take the event, if it will not."""
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


def _bury(queue: str, rule: str, target: str, event: str, failure: tuple[str, str]) -> None:
    account = rule.split(":")[4]
    if not sqs.queue_policy_allows(queue, "events.amazonaws.com", rule, account):
        logger.warning("%s does not admit %s, or does not exist: the event is lost", queue, rule)
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
