"""Amazon SNS: what a template says of a topic, FIFO delivery to queues, dead letters, archive and replay.

The emulator's CloudFormation makes every topic a standard one and forgets its settings; what it delivers to a
FIFO queue has no sequence number and is not deduplicated there; what cannot be delivered is lost.

Faithful to: `AWS::SNS::Topic` FifoTopic, ContentBasedDeduplication, FifoThroughputScope, KmsMasterKeyId,
ArchivePolicy, TracingConfig, SignatureVersion and DeliveryStatusLogging become attributes, and a FIFO topic
without a name gets one that ends in `.fifo`; a FIFO queue gives each message a sequence number and knows its
deduplication id; a message for a queue that is gone, or whose policy does not admit the topic, goes to the
subscription's dead-letter queue if that admits the topic, with the error in its attributes; a topic with an
archive policy replays its messages to a subscription from the point in time of its ReplayPolicy on.
Not to: encryption, tracing and delivery logs are a record only; deduplication is always that of the whole
topic; SequenceNumber in the envelope of messages that are not delivered raw; the end of the archive.

https://docs.aws.amazon.com/sns/latest/dg/sns-fifo-topics.html
https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html
https://docs.aws.amazon.com/sns/latest/dg/fifo-message-archiving-replay.html
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ministack.services import lambda_svc, sns, sqs
from ministack.services.cloudformation import provisioners

logger = logging.getLogger("localaws.sns")

_ATTRIBUTES = (
    "FifoTopic",
    "ContentBasedDeduplication",
    "FifoThroughputScope",
    "KmsMasterKeyId",
    "ArchivePolicy",
    "TracingConfig",
    "SignatureVersion",
    "DeliveryStatusLogging",
)
_stock_deliver = sns._deliver_to_sqs
_stock_fanout = sns._fanout


def install() -> None:
    """Extend the handlers of topics, and deliver to queues here."""
    topic = provisioners._RESOURCE_HANDLERS["AWS::SNS::Topic"]
    topic["create"] = _creating(topic["create"])
    topic["update"] = _updating(topic["update"])
    sns._deliver_to_sqs = deliver
    sns._fanout = _fanout
    sns._set_subscription_attributes = _setting(sns._set_subscription_attributes)


def _creating(create: Callable[..., Any]) -> Callable[..., Any]:
    def create_and_apply(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        if _text(properties.get("FifoTopic")) == "true" and not properties.get("TopicName"):
            name = provisioners._physical_name(stack, logical_id, max_len=250)
            properties["TopicName"] = f"{name}.fifo"
        arn, attributes = create(logical_id, properties, stack)
        _apply(arn, properties)
        return arn, attributes

    return create_and_apply


def _updating(update: Callable[..., Any]) -> Callable[..., Any]:
    def update_and_apply(arn: str, old: dict[str, Any], new: dict[str, Any], stack: str, *args: Any) -> Any:
        if not new.get("TopicName") and not old.get("TopicName"):
            old["TopicName"] = new["TopicName"] = arn.rpartition(":")[2]
        physical_id, attributes = update(arn, old, new, stack, *args)
        _apply(physical_id, new)
        return physical_id, attributes

    return update_and_apply


def _apply(arn: str, properties: dict[str, Any]) -> None:
    topic = sns._topics[arn]
    for name in _ATTRIBUTES:
        value = properties.get(name)
        if value is None:
            topic["attributes"].pop(name, None)
        else:
            topic["attributes"][name] = _text(value)
    if topic["attributes"].get("FifoTopic") == "true":
        topic["attributes"].setdefault("ContentBasedDeduplication", "false")
        topic.setdefault("dedup_cache", {})
        topic.setdefault("fifo_seq", 0)


def _text(value: object) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- Delivery


def deliver(
    endpoint: str,
    envelope: str,
    raw: bool,
    raw_message: str,
    message_group_id: str = "",
    message_dedup_id: str = "",
    message_attributes: dict[str, Any] | None = None,
    topic_arn: str = "",
) -> None:
    """Deliver one message to a queue, or to the dead-letter queue of its subscription."""
    account = topic_arn.split(":")[4]
    if sqs._queue_by_arn(endpoint) is None:
        reason = ("QueueDoesNotExist", "The specified queue does not exist.")
    elif not sqs.queue_policy_allows(endpoint, "sns.amazonaws.com", topic_arn, account):
        reason = ("AccessDenied", f"{topic_arn} is not authorized to perform sqs:SendMessage on {endpoint}")
    else:
        _send(
            endpoint,
            envelope,
            raw,
            raw_message,
            message_group_id,
            message_dedup_id,
            message_attributes,
            topic_arn,
        )
        return
    logger.warning("%s -> %s: %s", topic_arn, endpoint, reason[1])
    dead_letters = _dead_letters_of(topic_arn, endpoint)
    if dead_letters and sqs._queue_by_arn(dead_letters):
        if not sqs.queue_policy_allows(dead_letters, "sns.amazonaws.com", topic_arn, account):
            logger.warning("%s does not admit %s: the message is lost", dead_letters, topic_arn)
            return
        attributes = {
            **(message_attributes or {}),
            "ERROR_CODE": {"DataType": "String", "StringValue": reason[0]},
            "ERROR_MESSAGE": {"DataType": "String", "StringValue": reason[1]},
        }
        _send(
            dead_letters,
            envelope,
            True,
            raw_message if raw else envelope,
            message_group_id,
            message_dedup_id,
            attributes,
            topic_arn,
        )


def _send(
    endpoint: str,
    envelope: str,
    raw: bool,
    raw_message: str,
    group: str,
    deduplication: str,
    attributes: dict[str, Any] | None,
    topic_arn: str,
) -> None:
    queue = sqs._queue_by_arn(endpoint)
    assert queue is not None
    if not queue["is_fifo"]:
        _stock_deliver(endpoint, envelope, raw, raw_message, group, deduplication, attributes, topic_arn)
        return
    with sqs._queues_lock:
        per_group = queue["attributes"].get("DeduplicationScope") == "messageGroup"
        key = f"{group}:{deduplication}" if per_group else deduplication
        sqs._prune_dedup(queue)
        if key in queue["dedup_cache"]:
            return
        before = len(queue["messages"])
        _stock_deliver(endpoint, envelope, raw, raw_message, group, deduplication, attributes, topic_arn)
        if len(queue["messages"]) == before:
            return
        queue["fifo_seq"] += 1
        message = queue["messages"][-1]
        message["seq"] = str(queue["fifo_seq"]).zfill(20)
        queue["dedup_cache"][key] = {
            "expire": time.time() + sqs._DEDUP_WINDOW_S,
            "id": message["id"],
            "md5": message["md5_body"],
            "md5a": message["md5_attrs"],
            "seq": message["seq"],
        }
    lambda_svc._esm_wake.set()


def _dead_letters_of(topic_arn: str, endpoint: str) -> str | None:
    topic = sns._topic_by_arn_any_scope(topic_arn)
    for subscription in (topic or {}).get("subscriptions", []):
        policy = subscription["attributes"].get("RedrivePolicy")
        if subscription["endpoint"] == endpoint and policy:
            target: str | None = json.loads(policy).get("deadLetterTargetArn")
            return target
    return None


# --- Archive and replay


def _fanout(topic_arn: str, message_id: str, message: str, subject: str, *args: Any, **named: Any) -> None:
    topic = sns._topic_by_arn_any_scope(topic_arn)
    if topic and topic["attributes"].get("ArchivePolicy"):
        archived = (time.time(), (topic_arn, message_id, message, subject, *args), named)
        topic.setdefault("localaws_archive", []).append(archived)
    _stock_fanout(topic_arn, message_id, message, subject, *args, **named)


def _setting(set_attributes: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def set_or_replay(parameters: dict[str, Any]) -> Any:
        subscription, value = (sns._p(parameters, name) for name in ("SubscriptionArn", "AttributeValue"))
        known = subscription in sns._sub_arn_to_topic
        if sns._p(parameters, "AttributeName") != "ReplayPolicy" or not known:
            return set_attributes(parameters)
        _replay(subscription, value)
        return sns._xml(200, "SetSubscriptionAttributesResponse", "")

    return set_or_replay


def _replay(subscription_arn: str, policy: str) -> None:
    """Deliver what was archived since the point in time again, to this subscription alone."""
    topic = sns._topics[sns._sub_arn_to_topic[subscription_arn]]
    start = datetime.fromisoformat(json.loads(policy)["StartingPoint"]).timestamp()
    everybody = topic["subscriptions"]
    topic["subscriptions"] = [one for one in everybody if one["arn"] == subscription_arn]
    queues = [sqs._queue_by_arn(one["endpoint"]) for one in topic["subscriptions"]]
    try:
        for queue in queues:
            if queue:  # a replay is meant to deliver what was delivered before
                queue["dedup_cache"].clear()
        for moment, message, named in topic.get("localaws_archive", []):
            if moment >= start:
                _stock_fanout(*message, **named)
    finally:
        topic["subscriptions"] = everybody
