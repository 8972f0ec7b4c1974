"""Sequence numbers, tokens and notifications of SNS in their full length and shape.

Faithful to: the sequence number of a FIFO topic has 20 digits without leading zeros and increases; it is in
the response, and in the notification of a FIFO topic, which is not signed. Other notifications have a
signature as long as AWS's. The link to unsubscribe has the ARN of the subscription, and the token of a
confirmation is 224 hexadecimal digits.
Not to: the signature, which no certificate verifies. Links have the address of this server.

https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
https://docs.aws.amazon.com/sns/latest/dg/fifo-topic-message-ordering.html
https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
"""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import sns

from localaws.patching import Properties, around

FIRST_SEQUENCE_NUMBER = 10000000000000002999
_CERTIFICATE = uuid.uuid5(uuid.NAMESPACE_URL, "certificate").hex
_TOKEN = "2336412f37"  # noqa: S105 (what every token starts with)

#: The subscription that a notification is made for.
_subscription: ContextVar[Properties] = ContextVar("localaws_sns_subscription")


@around(sns, "_create_topic")
def _create_topic(stock: Callable[[Properties], Any], params: Properties) -> Any:
    created = stock(params)
    topic = sns._topics.get(f"arn:aws:sns:{get_region()}:{get_account_id()}:{sns._p(params, 'Name')}")
    if topic and topic.get("fifo_seq") == 0:
        topic["fifo_seq"] = FIRST_SEQUENCE_NUMBER
    return created


@around(sns, "_subscribe")
def _subscribe(stock: Callable[[Properties], Any], params: Properties) -> Any:
    subscribed = stock(params)
    topic = sns._topics.get(sns._normalize_arn(sns._p(params, "TopicArn"))) or {}
    for subscription in topic.get("subscriptions", []):
        if subscription["token"] and not subscription["token"].startswith(_TOKEN):
            subscription["token"] = _TOKEN + secrets.token_hex(107)
    return subscribed


@around(sns, "_matches_filter_policy")
def _matches_filter_policy(
    stock: Callable[..., bool], sub: Properties, message_attributes: Properties, message: str = ""
) -> bool:
    _subscription.set(sub)
    return stock(sub, message_attributes, message)


@around(sns, "_build_envelope")
def _build_envelope(
    stock: Callable[..., str],
    topic_arn: str,
    msg_id: str,
    message: str,
    subject: str,
    message_attributes: Properties,
    raw: bool,
) -> str:
    envelope = stock(topic_arn, msg_id, message, subject, message_attributes, raw)
    number = _number(sns._topic_by_arn_any_scope(topic_arn) or {}, msg_id)
    if raw:
        return envelope
    made: Properties = json.loads(envelope)
    signed = _signed(topic_arn)
    if number:  # of a FIFO topic, which does not sign
        start = {"Type": made["Type"], "MessageId": made["MessageId"], "SequenceNumber": number}
        made = {name: value for name, value in (start | made).items() if name not in signed}
        signed = {}
    subscription = _subscription.get()["arn"]
    link = f"{_server()}/?Action=Unsubscribe&SubscriptionArn={subscription}"
    return json.dumps(made | signed | {"UnsubscribeURL": link})


def _number(topic: Properties, message: str) -> str:
    """The sequence number of the message that is published; that of its first time if it is replayed."""
    number = str(topic.get("fifo_seq", ""))
    if number and topic["attributes"].get("ArchivePolicy"):
        number = topic.setdefault("localaws_numbers", {}).setdefault(message, number)
    return number


@around(sns, "_http_post_sync")
def _http_post_sync(
    stock: Callable[[str, str, str], int], endpoint: str, payload: str, sns_message_type: str
) -> int:
    if sns_message_type == "SubscriptionConfirmation":
        made = json.loads(payload)
        made |= _signed(made["TopicArn"])
        made["SubscribeURL"] = _server() + made["SubscribeURL"].partition(sns._PORT)[2]
        payload = json.dumps(made)
    return stock(endpoint, payload, sns_message_type)


def _server() -> str:
    return f"https://localhost:{sns._PORT}"


def _signed(topic_arn: str) -> Properties:
    """A signature with the length of AWS's, and the address that its certificate would have."""
    host = f"sns.{topic_arn.split(':')[3]}.amazonaws.com"
    return {
        "SignatureVersion": "1",
        "Signature": base64.b64encode(secrets.token_bytes(256)).decode(),
        "SigningCertURL": f"https://{host}/SimpleNotificationService-{_CERTIFICATE}.pem",
    }
