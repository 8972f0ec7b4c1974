"""Which subscriptions SNS accepts, and a topic with an archive, which it does not delete.

The emulator deletes such a topic, and its messages. It accepts every dead-letter queue of a subscription,
subscribes FIFO queues to standard topics, and takes a subscription in a template to a topic that does not
exist for successful.

Faithful to: through the API and in CloudFormation,
- a topic is deleted only when its archive policy has been deactivated (`{}`);
- the dead-letter queue of a FIFO queue's subscription is a FIFO queue, and that of any subscription is in the
  account and Region of the subscription;
- a FIFO queue is subscribed only to FIFO topics, and a FIFO topic has only queues as subscribers;
- a filter policy is a JSON object of at most five keys and 150 combinations of values, nested only if its
  scope is the message body;
- a stack subscribes to a topic of another account only if the topic's policy allows sns:Subscribe.
Not to: the words of the errors that AWS does not document; the rest of a filter policy.

https://docs.aws.amazon.com/sns/latest/dg/message-archiving-and-replay-topic-owner.html
https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html
https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
https://github.com/aws/aws-cdk/pull/37113
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import sns

from localaws.patching import Created, Handler, Properties, around, resource

_INACTIVE = ("", "{}")
# https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
_MOST_KEYS, _MOST_COMBINATIONS = 5, 150


# --- Topics


def _undeletable(arn: str) -> str | None:
    topic = sns._topic_by_arn_any_scope(arn)
    if topic and topic["attributes"].get("ArchivePolicy", "") not in _INACTIVE:
        return "Invalid state: Cannot delete a topic with an ArchivePolicy"
    return None


@around(sns, "_delete_topic")
def _delete_topic(stock: Callable[[Properties], Any], params: Properties) -> Any:
    reason = _undeletable(sns._normalize_arn(sns._p(params, "TopicArn")))
    return sns._error("InvalidState", reason, 400) if reason else stock(params)


@resource("AWS::SNS::Topic").delete
def _delete(stock: Callable[..., None], physical_id: str, properties: Properties) -> None:
    _require(_undeletable(physical_id))
    stock(physical_id, properties)


# --- Subscriptions


def _refusal(topic: str, protocol: str, endpoint: str, settings: Properties) -> str | None:
    """Why SNS refuses a subscription; None if it does not."""
    redrive = settings.get("RedrivePolicy")
    if topic.endswith(".fifo") and protocol and protocol != "sqs":
        return f"Invalid parameter: Invalid protocol type: {protocol}"
    if reason := _of_filter(settings.get("FilterPolicy"), settings.get("FilterPolicyScope")):
        return reason
    if endpoint.endswith(".fifo") and not topic.endswith(".fifo"):
        return (
            "Invalid parameter: Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to "
            "standard SNS topics"
        )
    try:
        policy = redrive if isinstance(redrive, dict) else json.loads(redrive or "{}")
        dead = str(policy.get("deadLetterTargetArn", ""))
    except (ValueError, AttributeError):
        return "Invalid parameter: RedrivePolicy: failed to parse JSON."
    if not dead:
        return None
    if dead.split(":")[3:5] != [get_region(), get_account_id()]:
        text = "deadLetterTargetArn must be in the account and region of the subscription"
        return f"Invalid parameter: RedrivePolicy: {text}"
    if endpoint.endswith(".fifo") and not dead.endswith(".fifo"):
        text = "must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic."
        return f"Invalid parameter: RedrivePolicy: {text}"
    return None


def _of_filter(policy: Any, scope: str | None) -> str | None:
    try:
        found = json.loads(policy) if isinstance(policy, str) and policy else policy
    except ValueError:
        found = policy
    if found and not isinstance(found, dict):
        return "Invalid parameter: FilterPolicy: failed to parse JSON."
    nested = any(isinstance(value, dict) for value in (found or {}).values())
    if nested and scope != "MessageBody":
        return (
            "Invalid parameter: FilterPolicy: Filter policy scope MessageAttributes does not support nested"
        )
    counts = list(_values_of_keys(found or {}))
    if len(counts) > _MOST_KEYS:
        return f"Invalid parameter: FilterPolicy: Filter policy can not have more than {_MOST_KEYS} keys"
    if math.prod(counts) > _MOST_COMBINATIONS:
        return "Invalid parameter: FilterPolicy: Filter policy is too complex"
    return None


def _values_of_keys(policy: Properties) -> Iterator[int]:
    """How many values each key of a filter policy has, also those below others."""
    for value in policy.values():
        if isinstance(value, dict):
            yield from _values_of_keys(value)
        else:
            yield len(value) if isinstance(value, list) else 1


@around(sns, "_subscribe", after=["sns.shapes"])
def _subscribe(stock: Callable[[Properties], Any], params: Properties) -> Any:
    entries = (f"Attributes.entry.{number}" for number in range(1, 20))
    attributes = {sns._p(params, f"{one}.key"): sns._p(params, f"{one}.value") for one in entries}
    topic, protocol, endpoint = (sns._p(params, name) for name in ("TopicArn", "Protocol", "Endpoint"))
    reason = _refusal(topic, protocol, endpoint, attributes)
    return sns._error("InvalidParameter", reason, 400) if reason else stock(params)


@around(sns, "_set_subscription_attributes", after=["sns.topics"])
def _set_subscription_attributes(stock: Callable[[Properties], Any], params: Properties) -> Any:
    subscription = sns._p(params, "SubscriptionArn")
    topic = sns._sub_arn_to_topic.get(subscription, "")
    found = sns._find_subscription(topic, subscription) if topic else None
    if found:
        scope = found["attributes"].get("FilterPolicyScope")
        setting = {
            "FilterPolicyScope": scope,
            sns._p(params, "AttributeName"): sns._p(params, "AttributeValue"),
        }
        reason = _refusal(topic, found["protocol"], found["endpoint"], setting)
        if reason:
            return sns._error("InvalidParameter", reason, 400)
    return stock(params)


_SUBSCRIPTION = resource("AWS::SNS::Subscription")


@_SUBSCRIPTION.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _require(_of_properties(properties))
    return stock(logical_id, properties, stack)


@_SUBSCRIPTION.update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    _require(_of_properties(new))
    return stock(physical_id, old, new, stack, logical_id)


def _of_properties(properties: Properties) -> str | None:
    topic, endpoint = str(properties.get("TopicArn", "")), str(properties.get("Endpoint", ""))
    found = sns._topic_by_arn_any_scope(topic)
    if found is None:
        return "Topic does not exist"
    if sns._enforce_topic_policy(found, "sns:Subscribe"):  # of another account
        return f"User is not authorized to perform: SNS:Subscribe on resource: {topic}"
    return _refusal(topic, str(properties.get("Protocol", "")), endpoint, properties)


def _require(reason: str | None) -> None:
    if reason:
        raise ValueError(f"{reason} (Service: Sns, Status Code: 400)")
