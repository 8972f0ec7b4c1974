"""Targets of rules: permissions, other accounts, dead-letter queues, and what EventBridge refuses.

The emulator logs an event that cannot be delivered, and the event is lost. It delivers to no other account.

Faithful to:
- An event for a target that does not exist, or whose policy does not allow the rule, is not retried. It goes
  to the queue in the target's DeadLetterConfig at once, before input transformation, with RULE_ARN,
  TARGET_ARN, ERROR_CODE, ERROR_MESSAGE and RETRY_ATTEMPTS as message attributes.
- The queue must be a standard queue in the same account and Region, and its policy must allow the rule;
  otherwise the event is lost.
- A target in another account is reached with the role of the target, which must trust EventBridge; the role
  AND the policy of the target must allow it. An event from another account goes to no third one.
- A rule has an event pattern or a schedule, the latter only on the default bus, and at most five targets.
- A log group gets the event, or `message` and `timestamp` of the input that replaces it, if a resource policy
  of CloudWatch Logs allows `events.amazonaws.com` to create log streams and to put log events. An input
  without them is not delivered.
- An error of a function is not a failed delivery: the function's own asynchronous invocation handles it.
- Lambda takes an event of at most 1 MiB. A larger one goes to the dead-letter queue; if SQS does not take it
  either, it is lost.
Not to: retries, except of API destinations (see `events.api_destinations`): no delivery to another target
fails here in a way that EventBridge retries. Nor to the error code for an event that is too large, which AWS
does not document, and metrics of rules.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-account.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-cross-account.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ministack.core.responses import error_response_json, get_region
from ministack.services import cloudwatch_logs, eventbridge, lambda_svc, sns, sqs, stepfunctions

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.services.apigateway.mapping_templates import at_path
from localaws.services.events.replays import is_excluded
from localaws.services.iam.invocations import in_account_of, rule_may_reach
from localaws.services.iam.roles import role_allows, role_trusts
from localaws.services.lambda_.payloads import ASYNCHRONOUS

logger = logging.getLogger("localaws.events")

Target = dict[str, Any]
_MOST_TARGETS = 5
_SERVICE = "events.amazonaws.com"
# What a role needs for a target in another account, or for an event bus.
_ACTIONS = {
    "lambda": "lambda:InvokeFunction",
    "sqs": "sqs:SendMessage",
    "sns": "sns:Publish",
    "event-bus": "events:PutEvents",
}
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
    if queue and queue.split(":")[3] != get_region():
        return f"The dead-letter queue {queue} must be in the Region of the rule"
    return None


@dataclass(frozen=True)
class Delivery:
    """An event on its way to a target."""

    event: Properties
    rule: Properties
    target: Target

    @property
    def rule_arn(self) -> str:
        """The rule, which names the account that the event is sent from."""
        return str(self.rule["Arn"])

    @property
    def arn(self) -> str:
        """The target."""
        return str(self.target.get("Arn", ""))

    def give_up(self, code: str, message: str, retries: int = 0, exhausted: str = "") -> None:
        """Send the event to the dead-letter queue of the target; without one it is lost."""
        logger.warning("%s: %s", code, message)
        queue = (self.target.get("DeadLetterConfig") or {}).get("Arn")
        if not queue:
            return
        account = self.rule_arn.split(":")[4]
        if not sqs.queue_policy_allows(queue, _SERVICE, self.rule_arn, account):
            logger.warning("%s does not allow %s, or does not exist: the event is lost", queue, self.rule_arn)
            return
        values = {
            "RULE_ARN": self.rule_arn,
            "TARGET_ARN": self.arn,
            "ERROR_CODE": code,
            "ERROR_MESSAGE": message,
            "RETRY_ATTEMPTS": str(retries),
        }
        if exhausted:
            values["EXHAUSTED_RETRY_CONDITION"] = exhausted
        attributes = {name: {"DataType": "String", "StringValue": value} for name, value in values.items()}
        event = eventbridge._pattern_event_view(self.event).event_with_detail()
        url = sqs._queue_url(queue.split(":")[-1])
        letter = {"QueueUrl": url, "MessageBody": _compact(event), "MessageAttributes": attributes}
        try:
            sqs._act_send_message(letter, url)
        except Exception as error:  # SQS refuses it, above all because it is too large
            logger.warning("%s does not take the event of %s, which is lost: %s", queue, self.rule_arn, error)


#: The delivery that is under way.
under_way: ContextVar[Delivery] = ContextVar("localaws_events_delivery")


@around(eventbridge, "_invoke_target")
def _invoke_target(
    stock: Callable[..., None], target: Target, event: Any, rule: Properties, view: Any = None
) -> None:
    if is_excluded(event, rule):
        return
    delivery = Delivery(event, rule, target)
    if failure := _failure(delivery):
        delivery.give_up(*failure)
        return
    token = under_way.set(delivery)
    try:
        with in_account_of(delivery.arn):
            if delivery.arn.split(":")[2:3] == ["logs"]:
                _write(delivery)
            else:
                stock(target, event, rule, view)
    finally:
        under_way.reset(token)


def _compact(event: Any) -> str:
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair has no other form than its escape
        return json.dumps(event, separators=(",", ":"))
    return text


@around(eventbridge, "_dispatch_to_lambda", after=["lambda_.asynchronous_sources"])
def _dispatch_to_lambda(stock: Callable[[str, str], None], arn: str, payload: str) -> None:
    try:
        size = len(_compact(json.loads(payload)).encode())
    except ValueError:  # the input of a rule may be any text
        size = len(payload.encode())
    if size <= ASYNCHRONOUS:
        stock(arn, payload)
    else:
        text = f"{size} byte payload is too large for the Event invocation type (limit {ASYNCHRONOUS} bytes)"
        under_way.get().give_up("SDK_CLIENT_ERROR", text)


def _failure(delivery: Delivery) -> tuple[str, str] | None:
    """Error code and message if the event cannot be delivered to the target, whenever it is tried."""
    rule, target = delivery.rule_arn, delivery.arn
    service = (target.split(":") + [""] * 3)[2]
    kind, _, name = target.rpartition(":")[2].partition("/")
    sender = rule.split(":")[4]
    exists: Callable[[], Any] | None = {
        "lambda": lambda: lambda_svc._get_func_record_for_ref(target)[0],
        "sqs": lambda: sqs._queue_by_arn(target),
        "sns": lambda: sns._topic_by_arn_any_scope(target),
        "logs": lambda: _log_group(target) in cloudwatch_logs._log_groups,
        "states": lambda: stepfunctions._resolve_state_machine_arn(target),
        "event-bus": lambda: name == "default" or eventbridge._event_buses.get(name),
        "api-destination": lambda: eventbridge._api_destinations.get(name.partition("/")[0]),
    }.get(kind if service == "events" else service)
    is_ours = target.split(":")[4:5] == [sender]
    if kind == "event-bus" and not is_ours and delivery.event.get("Account", sender) != sender:
        return "THIRD_ACCOUNT_HOP_DETECTED", f"{target}: the event was received from another account"
    with in_account_of(target):
        found = exists() if exists else True
    if is_ours and not found:
        return "NO_RESOURCE", f"{rule} cannot call {target}: it does not exist"
    role, action = delivery.target.get("RoleArn"), _ACTIONS.get(kind if kind == "event-bus" else service)
    if role and action and (kind == "event-bus" or not is_ours):
        if not role_trusts(role, _SERVICE, rule):
            return "FAILED_TO_ASSUME_ROLE", f"the role {role} does not trust {_SERVICE} for {rule}"
        with in_account_of(target):
            allowed = role_allows(role, action, target)
        if not allowed:
            return "NO_PERMISSIONS", f"{role} may not call {target}: {action} is not allowed"
    elif not rule_may_reach(rule, target):
        return "NO_PERMISSIONS", f"{rule} may not call {target}: no statement of its policy allows it"
    if not found:  # of another account, whose policy allows it
        return "NO_RESOURCE", f"{rule} cannot call {target}: it does not exist"
    return None


def _log_group(arn: str) -> str:
    return (arn.split(":") + [""] * 7)[6]


def _write(delivery: Delivery) -> None:
    """Put the event, or the input that replaces it, into the log group."""
    view, target = eventbridge._pattern_event_view(delivery.event), delivery.target
    event = view.event_with_detail()
    line = {"timestamp": int(float(delivery.event["Time"]) * 1000), "message": json.dumps(event)}
    if any(target.get(name) for name in ("InputTransformer", "Input", "InputPath")):
        text = target.get("Input") or ""
        if target.get("InputTransformer"):
            text = eventbridge._apply_input_transformer(target["InputTransformer"], delivery.rule, view)
        try:
            given = at_path(json.dumps(event), target["InputPath"]) if not text else json.loads(text)
            line |= {"message": str(given["message"]), "timestamp": _milliseconds(given["timestamp"])}
        except (ValueError, TypeError, KeyError):
            message = f"{delivery.arn}: the input needs a timestamp and a message"
            delivery.give_up("INVALID_PARAMETER", message)
            return
    place = {"logGroupName": _log_group(delivery.arn), "logStreamName": str(delivery.event["EventId"])}
    cloudwatch_logs._create_log_stream(place)
    cloudwatch_logs._put_log_events({**place, "logEvents": [line]})


def _milliseconds(moment: Any) -> int:
    """A time in milliseconds, or as EventBridge writes it in events."""
    if isinstance(moment, str) and not moment.isdigit():
        return int(eventbridge._coerce_timestamp(moment) * 1000)
    return int(moment)
