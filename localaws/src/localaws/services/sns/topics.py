"""FIFO topics and topic settings in templates, dead-letter queues of subscriptions, archive and replay.

The emulator's CloudFormation handler creates every topic as a standard topic and drops its settings. Messages
that the emulator delivers to a FIFO queue have no sequence number and are not deduplicated there. Messages
that cannot be delivered are lost.

Faithful to:
- `AWS::SNS::Topic`: FifoTopic, ContentBasedDeduplication, FifoThroughputScope, KmsMasterKeyId, ArchivePolicy,
  MaximumMessageSize, TracingConfig, SignatureVersion and DeliveryStatusLogging become the topic's attributes.
  A FIFO topic without a name gets a name that ends in `.fifo`.
- A FIFO queue gives each message a sequence number and remembers its deduplication id.
- A message for a queue or function that does not exist, or whose policy does not allow the topic, goes to the
  dead-letter queue of the subscription if that queue's policy allows it, with the error in the message
  attributes. SNS does not retry these errors.
- A topic with an archive policy replays its messages to a subscription, from the starting point of the
  subscription's ReplayPolicy.
Not to: encryption, tracing and delivery status logging, which are only recorded; deduplication scopes other
than the whole topic; the end of the archive's retention period.

https://docs.aws.amazon.com/sns/latest/dg/sns-fifo-topics.html
https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html
https://docs.aws.amazon.com/sns/latest/dg/fifo-message-archiving-replay.html
"""

from __future__ import annotations

import functools
import json
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ministack.services import lambda_svc, sns, sqs
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.services.iam.invocations import in_account_of, service_may_invoke
from localaws.services.sns.shapes import FIRST_SEQUENCE_NUMBER

logger = logging.getLogger("localaws.sns")

_ATTRIBUTES = (
    "FifoTopic",
    "ContentBasedDeduplication",
    "FifoThroughputScope",
    "KmsMasterKeyId",
    "ArchivePolicy",
    "MaximumMessageSize",
    "TracingConfig",
    "SignatureVersion",
    "DeliveryStatusLogging",
)


@resource("AWS::SNS::Topic", after=["iam.evaluation"]).create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    if _text(properties.get("FifoTopic")) == "true" and not properties.get("TopicName"):
        name = provisioners._physical_name(stack, logical_id, max_len=250)
        properties["TopicName"] = f"{name}.fifo"
    arn, attributes = stock(logical_id, properties, stack)
    _apply(arn, properties)
    return arn, attributes


@resource("AWS::SNS::Topic").update
def _update(
    stock: Handler, arn: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    if not new.get("TopicName") and not old.get("TopicName"):
        old["TopicName"] = new["TopicName"] = arn.rpartition(":")[2]
    physical_id, attributes = stock(arn, old, new, stack, logical_id)
    _apply(physical_id, new)
    return physical_id, attributes


def _apply(arn: str, properties: Properties) -> None:
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
        topic.setdefault("fifo_seq", FIRST_SEQUENCE_NUMBER)


def _text(value: object) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- Delivery


@around(sns, "_deliver_to_sqs")
def _deliver(
    stock: Callable[..., None],
    endpoint: str,
    envelope: str,
    raw: bool,
    raw_message: str,
    message_group_id: str = "",
    message_dedup_id: str = "",
    message_attributes: Properties | None = None,
    topic_arn: str = "",
) -> None:
    """Deliver one message to a queue, or to the dead-letter queue of its subscription."""
    account = topic_arn.split(":")[4]
    fifo = (message_group_id, message_dedup_id)
    if sqs._queue_by_arn(endpoint) is None:
        reason = ("QueueDoesNotExist", "The specified queue does not exist.")
    elif not sqs.queue_policy_allows(endpoint, "sns.amazonaws.com", topic_arn, account):
        reason = ("AccessDenied", f"{topic_arn} is not authorized to perform sqs:SendMessage on {endpoint}")
    else:
        _send(stock, endpoint, (envelope, raw, raw_message, *fifo, message_attributes, topic_arn))
        return
    body = raw_message if raw else envelope
    _give_up(stock, endpoint, reason, (envelope, True, body, *fifo, message_attributes, topic_arn))


def _give_up(
    stock: Callable[..., None], endpoint: str, reason: tuple[str, str], message: tuple[Any, ...]
) -> None:
    """Send what cannot be delivered to the dead-letter queue of its subscription."""
    *most, attributes, topic_arn = message
    logger.warning("%s -> %s: %s", topic_arn, endpoint, reason[1])
    dead_letters = _dead_letters_of(topic_arn, endpoint)
    if dead_letters and sqs._queue_by_arn(dead_letters):
        account = topic_arn.split(":")[4]
        if not sqs.queue_policy_allows(dead_letters, "sns.amazonaws.com", topic_arn, account):
            logger.warning("the policy of %s does not allow %s: the message is lost", dead_letters, topic_arn)
            return
        attributes = {
            **(attributes or {}),
            "ERROR_CODE": {"DataType": "String", "StringValue": reason[0]},
            "ERROR_MESSAGE": {"DataType": "String", "StringValue": reason[1]},
        }
        _send(stock, dead_letters, (*most, attributes, topic_arn))


@around(sns, "_deliver_to_lambda", after=["iam.invocations"])
def _deliver_to_lambda(
    stock: Callable[..., None],
    endpoint: str,
    envelope: str,
    topic_arn: str,
    sub_arn: str,
    msg_id: str,
    raw_message: str,
    message_attributes: Properties,
) -> None:
    """Deliver one message to a function, or to the dead-letter queue of its subscription."""
    with in_account_of(endpoint):
        exists = lambda_svc._get_func_record_for_ref(endpoint)[0] is not None
    if not exists:
        reason = ("ResourceNotFoundException", f"Function not found: {endpoint}")
    elif not service_may_invoke(endpoint, "sns.amazonaws.com", topic_arn, topic_arn.split(":")[4]):
        problem = f"{topic_arn} may not call {endpoint}: no statement of its policy allows it"
        reason = ("AccessDeniedException", problem)
    else:
        stock(endpoint, envelope, topic_arn, sub_arn, msg_id, raw_message, message_attributes)
        return
    message = (envelope, True, envelope, "", "", message_attributes, topic_arn)
    _give_up(sns._deliver_to_sqs, endpoint, reason, message)


def _send(stock: Callable[..., None], endpoint: str, message: tuple[Any, ...]) -> None:
    """Put a message into a queue; a FIFO queue deduplicates it and gives it a sequence number."""
    queue = sqs._queue_by_arn(endpoint)
    assert queue is not None
    if not queue["is_fifo"]:
        stock(endpoint, *message)
        return
    _, _, _, group, deduplication, *_ = message
    with sqs._queues_lock:
        per_group = queue["attributes"].get("DeduplicationScope") == "messageGroup"
        key = f"{group}:{deduplication}" if per_group else deduplication
        sqs._prune_dedup(queue)
        if key in queue["dedup_cache"]:
            return
        before = len(queue["messages"])
        stock(endpoint, *message)
        if len(queue["messages"]) == before:
            return
        queue["fifo_seq"] += 1
        sent = queue["messages"][-1]
        sent["seq"] = str(queue["fifo_seq"]).zfill(20)
        queue["dedup_cache"][key] = {
            "expire": time.time() + sqs._DEDUP_WINDOW_S,
            "id": sent["id"],
            "md5": sent["md5_body"],
            "md5a": sent["md5_attrs"],
            "seq": sent["seq"],
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


@around(sns, "_fanout")
def _fanout(stock: Callable[..., None], topic_arn: str, *args: Any, **named: Any) -> None:
    topic = sns._topic_by_arn_any_scope(topic_arn)
    if topic and topic["attributes"].get("ArchivePolicy", "{}") not in ("", "{}"):
        deliver = functools.partial(stock, topic_arn, *args, **named)
        topic.setdefault("localaws_archive", []).append((time.time(), deliver))
    stock(topic_arn, *args, **named)


@around(sns, "_set_subscription_attributes")
def _set_subscription_attributes(stock: Callable[[Properties], Any], params: Properties) -> Any:
    subscription, value = (sns._p(params, name) for name in ("SubscriptionArn", "AttributeValue"))
    known = subscription in sns._sub_arn_to_topic
    if sns._p(params, "AttributeName") != "ReplayPolicy" or not known:
        return stock(params)
    _replay(subscription, value)
    return sns._xml(200, "SetSubscriptionAttributesResponse", "")


def _replay(subscription_arn: str, policy: str) -> None:
    """Deliver what was archived since the policy's starting point again, only to this subscription."""
    topic = sns._topics[sns._sub_arn_to_topic[subscription_arn]]
    start = datetime.fromisoformat(json.loads(policy)["StartingPoint"]).timestamp()
    subscriptions = topic["subscriptions"]
    topic["subscriptions"] = [one for one in subscriptions if one["arn"] == subscription_arn]
    queues = [sqs._queue_by_arn(one["endpoint"]) for one in topic["subscriptions"]]
    try:
        for queue in queues:
            if queue:  # a replay delivers messages that were delivered before
                queue["dedup_cache"].clear()
        for archived_at, deliver in topic.get("localaws_archive", []):
            if archived_at >= start:
                deliver()
    finally:
        topic["subscriptions"] = subscriptions
