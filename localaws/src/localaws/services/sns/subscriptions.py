"""Which subscriptions SNS accepts, and a topic with an archive, which it does not delete.

The emulator deletes such a topic, and its messages. It accepts every endpoint that is an ARN, every attribute
and every dead-letter queue, subscribes FIFO queues to standard topics, and takes a subscription in a template
to a topic that does not exist for successful.

Faithful to: through the API and in CloudFormation,
- a topic is deleted only when its archive policy has been deactivated (`{}`);
- a protocol exists and suits the topic, and the endpoint suits the protocol; a FIFO queue is subscribed only
  to FIFO topics, and a FIFO topic has only queues as subscribers;
- attributes exist, with a value that is allowed; only queues, HTTP endpoints and Firehose get raw messages;
- the dead-letter queue of a FIFO queue's subscription is a FIFO queue, and that of any subscription is in the
  account and Region of the subscription;
- a filter policy is one that SNS accepts (see `sns.filter_policies`);
- a subscription that exists is only returned for a request with its attributes;
- a stack subscribes to a topic of another account only if the topic's policy allows sns:Subscribe.
Not to: the words of the error about account and Region, which AWS does not document; phone numbers and mobile
endpoints; the settings of a delivery policy, except the number of retries.

https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html
https://docs.aws.amazon.com/sns/latest/api/API_SetSubscriptionAttributes.html
https://docs.aws.amazon.com/sns/latest/dg/message-archiving-and-replay-topic-owner.html
https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html
https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
https://github.com/aws/aws-cdk/pull/37113
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import sns

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.services.sns.filter_policies import FilterPolicyError, check_filter_policy

_INACTIVE = ("", "{}")
_PROTOCOLS = ("http", "https", "email", "email-json", "sms", "sqs", "application", "lambda", "firehose")
_ARNS = {"sqs": "SQS", "lambda": "Lambda", "firehose": "Firehose"}
_RAW = ("http", "https", "sqs", "firehose")
_SETTINGS = (
    "DeliveryPolicy",
    "FilterPolicy",
    "FilterPolicyScope",
    "RawMessageDelivery",
    "RedrivePolicy",
    "ReplayPolicy",
    "SubscriptionRoleArn",
)


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


def _refusal(topic: str, protocol: str, endpoint: str, settings: Properties, *, created: bool) -> str | None:
    """Why SNS refuses a subscription, or a setting of it; None if it does not."""
    if created and (reason := _of_endpoint(topic, protocol, endpoint, settings)):
        return f"Invalid parameter: {reason}"
    scope = settings.get("FilterPolicyScope") or "MessageAttributes"
    for name, value in settings.items():
        if reason := _of_setting(name, value, protocol, endpoint, str(scope)):
            return f"Invalid parameter: {'Attributes Reason: ' * created}{reason}"
    return None


def _of_endpoint(topic: str, protocol: str, endpoint: str, settings: Properties) -> str | None:
    if protocol not in _PROTOCOLS:
        return f"Amazon SNS does not support this protocol string: {protocol}"
    if topic.endswith(".fifo") and protocol != "sqs":
        return f"Invalid protocol type: {protocol}"
    if protocol in ("http", "https") and not endpoint.startswith(f"{protocol}://"):
        return "Endpoint must match the specified protocol"
    if protocol in _ARNS and not re.match(rf"arn:[\w-]+:{protocol}:[\w-]+:\d{{12}}:.", endpoint):
        return f"{_ARNS[protocol]} endpoint ARN"
    if protocol.startswith("email") and not re.fullmatch(r"[^@\s]+@[^@\s]+", endpoint):
        return "Email address"
    if protocol == "firehose" and not settings.get("SubscriptionRoleArn"):
        return "Delivery protocol firehose can only be subscribed with subscription role arn"
    if endpoint.endswith(".fifo") and not topic.endswith(".fifo"):
        return (
            "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics"
        )
    return None


def _of_setting(name: str, value: Any, protocol: str, endpoint: str, scope: str) -> str | None:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    match name:
        case "RawMessageDelivery":
            if text.lower() not in ("true", "false"):
                return f"RawMessageDelivery: Invalid value [{text}]. Must be true or false."
            if text.lower() == "true" and protocol not in _RAW:
                return f"Delivery protocol [{protocol}] does not support raw message delivery."
        case "FilterPolicyScope":
            if text not in ("MessageAttributes", "MessageBody"):
                allowed = "Please use either MessageBody or MessageAttributes"
                return f"FilterPolicyScope: Invalid value [{text}]. {allowed}"
        case "FilterPolicy" | "RedrivePolicy" | "DeliveryPolicy":
            policy = _parsed(value)
            if not isinstance(policy, dict):
                return f"{name}: failed to parse JSON."
            if name == "FilterPolicy":
                return _of_filter(policy, scope)
            return _of_redrive(policy, endpoint) if name == "RedrivePolicy" else _of_delivery(policy)
        case _ if name not in ("ReplayPolicy", "SubscriptionRoleArn"):
            return "AttributeName"
    return None


def _parsed(value: Any) -> Any:
    """A policy, which is JSON in requests; None if it is none."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value or "{}")
    except ValueError:
        return None


def _of_filter(policy: Properties, scope: str) -> str | None:
    try:
        check_filter_policy(policy, scope)
    except FilterPolicyError as refused:
        return str(refused)
    return None


def _of_redrive(policy: Properties, endpoint: str) -> str | None:
    dead = str(policy.get("deadLetterTargetArn", ""))
    if not dead:
        return None
    if dead.count(":") < 5 or not dead.startswith("arn:"):
        return "RedrivePolicy: deadLetterTargetArn is an invalid arn"
    *_, service, region, account, _name = dead.split(":", 5)
    if service != "sqs":
        return "RedrivePolicy: deadLetterTargetArn must be a SQS queue"
    if [region, account] != [get_region(), get_account_id()]:
        return "RedrivePolicy: deadLetterTargetArn must be in the account and region of the subscription"
    if endpoint.endswith(".fifo") and not dead.endswith(".fifo"):
        return "RedrivePolicy: must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic."
    return None


def _of_delivery(policy: Properties) -> str | None:
    retries = str((policy.get("healthyRetryPolicy") or {}).get("numRetries", 0))
    if not retries.isdecimal() or int(retries) > 100:
        return "DeliveryPolicy: healthyRetryPolicy.numRetries must be less than or equal to 100"
    return None


def _exists_otherwise(topic: str, protocol: str, endpoint: str, attributes: Properties) -> bool:
    """Whether the topic has this subscription with other attributes."""
    for one in (sns._topic_by_arn_any_scope(topic) or {}).get("subscriptions", []):
        if (one["protocol"], one["endpoint"]) == (protocol, endpoint):
            has = {
                "RawMessageDelivery": "false",
                "FilterPolicyScope": "MessageAttributes",
                **one["attributes"],
            }
            return any(has.get(name, "") != value for name, value in attributes.items())
    return False


@around(sns, "_subscribe", after=["sns.shapes"])
def _subscribe(stock: Callable[[Properties], Any], params: Properties) -> Any:
    attributes: dict[str, str] = {}
    while name := sns._p(params, f"Attributes.entry.{len(attributes) + 1}.key"):
        attributes[name] = sns._p(params, f"Attributes.entry.{len(attributes) + 1}.value")
    topic, protocol, endpoint = (sns._p(params, name) for name in ("TopicArn", "Protocol", "Endpoint"))
    reason = _refusal(topic, protocol, endpoint, attributes, created=True)
    if reason is None and _exists_otherwise(topic, protocol, endpoint, attributes):
        text = "Subscription already exists with different attributes"
        reason = f"Invalid parameter: Attributes Reason: {text}"
    return sns._error("InvalidParameter", reason, 400) if reason else stock(params)


@around(sns, "_set_subscription_attributes", after=["sns.topics"])
def _set_subscription_attributes(stock: Callable[[Properties], Any], params: Properties) -> Any:
    subscription = sns._p(params, "SubscriptionArn")
    topic = sns._sub_arn_to_topic.get(subscription, "")
    found = sns._find_subscription(topic, subscription) if topic else None
    if found:
        setting = {sns._p(params, "AttributeName"): sns._p(params, "AttributeValue")}
        if "FilterPolicy" in setting:
            setting["FilterPolicyScope"] = found["attributes"].get("FilterPolicyScope") or "MessageAttributes"
        reason = _refusal(topic, found["protocol"], found["endpoint"], setting, created=False)
        if reason:
            return sns._error("InvalidParameter", reason, 400)
    return stock(params)


_SUBSCRIPTION = resource("AWS::SNS::Subscription")


@_SUBSCRIPTION.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _require(_of_properties(properties, created=True))
    return stock(logical_id, properties, stack)


@_SUBSCRIPTION.update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    _require(_of_properties(new, created=False))
    return stock(physical_id, old, new, stack, logical_id)


def _of_properties(properties: Properties, *, created: bool) -> str | None:
    topic, protocol, endpoint = (
        str(properties.get(name, "")) for name in ("TopicArn", "Protocol", "Endpoint")
    )
    found = sns._topic_by_arn_any_scope(topic)
    if found is None:
        return "Topic does not exist"
    if sns._enforce_topic_policy(found, "sns:Subscribe"):  # of another account
        return f"User is not authorized to perform: SNS:Subscribe on resource: {topic}"
    settings = {name: value for name in _SETTINGS if (value := properties.get(name)) is not None}
    return _refusal(topic, protocol, endpoint, settings, created=created)


def _require(reason: str | None) -> None:
    if reason:
        raise ValueError(f"{reason} (Service: Sns, Status Code: 400)")
