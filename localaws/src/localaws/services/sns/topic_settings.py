"""Which topics SNS creates: their names and attributes, and a topic that exists already.

The emulator accepts every name and attribute, takes a topic whose name ends in `.fifo` for a FIFO topic, and
returns a topic that exists whatever attributes the request has.

Faithful to: through the API and in templates,
- a name has 1 to 256 letters, digits, hyphens and underscores; that of a FIFO topic, and no other, ends in
  `.fifo`;
- attributes exist and have a value that is allowed; those of FIFO topics are refused on standard topics;
- a topic that exists is only created again with attributes and tags that it has.
Not to: the contents of policies, which are only required to be JSON; the words of errors about unknown
attributes in CreateTopic and about attributes of FIFO topics, which AWS does not document.

https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
https://docs.aws.amazon.com/sns/latest/api/API_SetTopicAttributes.html
https://docs.aws.amazon.com/sns/latest/dg/message-archiving-and-replay-topic-owner.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import sns

from localaws.patching import Created, Handler, Properties, around, resource

_NAME, _FIFO_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}"), re.compile(r"[A-Za-z0-9_-]{1,251}\.fifo")
_FEEDBACK = re.compile(r"(HTTP|Firehose|Lambda|Application|SQS)(Success|Failure)Feedback(RoleArn|SampleRate)")
_CHOICES = {
    "ContentBasedDeduplication": ("true", "false"),
    "FifoThroughputScope": ("Topic", "MessageGroup"),
    "SignatureVersion": ("1", "2"),
    "TracingConfig": ("PassThrough", "Active"),
}
_OTHERS = {"ArchivePolicy", "DeliveryPolicy", "DisplayName", "KmsMasterKeyId", "MaximumMessageSize", "Policy"}
_OF_FIFO = ("ArchivePolicy", "ContentBasedDeduplication", "FifoThroughputScope")
_DEFAULTS = {"FifoTopic": "false", "ContentBasedDeduplication": "false", "SignatureVersion": "1"}
_IN_CREATE = "Attributes Reason: "


def _of_name(name: str, fifo: bool) -> str | None:
    """Why SNS refuses the name of a topic; None if it does not."""
    allowed = _FIFO_NAME if fifo else _NAME
    return None if allowed.fullmatch(name) else "Invalid parameter: Topic Name"


def _of_attribute(name: str, value: Any, fifo: bool, where: str = _IN_CREATE) -> str | None:
    """Why SNS refuses an attribute of a topic; None if it does not."""
    about, text = f"Invalid parameter: {where}", _text(value)
    if name not in _CHOICES and name not in _OTHERS and not _FEEDBACK.fullmatch(name):
        return f"{about}AttributeName"
    if name in _OF_FIFO and not fifo and text not in ("", "{}", "false"):
        return f"{about}{name}: it is only supported on FIFO topics"
    if name in _CHOICES and text not in _CHOICES[name]:
        return f"{about}{name}"
    if name == "DisplayName" and len(text) > 100:
        return f"{about}DisplayName"
    if name in ("ArchivePolicy", "Policy") and text:
        return _of_policy(name, text, about)
    return None


def _of_policy(name: str, text: str, about: str) -> str | None:
    try:
        policy = json.loads(text)
    except ValueError:
        policy = None
    if not isinstance(policy, dict):
        return f"{about}Policy Error: null" if name == "Policy" else f"{about}{name}: failed to parse JSON"
    days = str(policy.get("MessageRetentionPeriod", ""))
    if name == "ArchivePolicy" and policy and not (days.isdecimal() and 1 <= int(days) <= 365):
        return f"{about}ArchivePolicy: MessageRetentionPeriod value is invalid"
    return None


def _text(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- The API


@around(sns, "_create_topic", after=["sns.shapes"])
def _create_topic(stock: Callable[[Properties], Any], params: Properties) -> Any:
    attributes: dict[str, str] = {}
    while key := sns._p(params, f"Attributes.entry.{len(attributes) + 1}.key"):
        attributes[key] = sns._p(params, f"Attributes.entry.{len(attributes) + 1}.value")
    name, fifo = sns._p(params, "Name"), attributes.get("FifoTopic") == "true"
    others = {key: value for key, value in attributes.items() if key != "FifoTopic"}
    reasons = [_of_name(name, fifo), *(_of_attribute(key, value, fifo) for key, value in others.items())]
    topic = sns._topics.get(f"arn:aws:sns:{get_region()}:{get_account_id()}:{name}")
    if topic:
        has = {**_DEFAULTS, **topic["attributes"]}
        if any(has.get(key, "") != value for key, value in attributes.items()):
            reasons.append(f"Invalid parameter: {_IN_CREATE}Topic already exists with different attributes")
        if sns._param_tags(params).items() - topic["tags"].items():
            reasons.append("Invalid parameter: Tags Reason: Topic already exists with different tags")
    reason = next(filter(None, reasons), None)
    return sns._error("InvalidParameter", reason, 400) if reason else stock(params)


@around(sns, "_set_topic_attributes", after=["sns.publishing"])
def _set_topic_attributes(stock: Callable[[Properties], Any], params: Properties) -> Any:
    topic, error = sns._get_topic(sns._p(params, "TopicArn"), "sns:SetTopicAttributes")
    if error is None:
        name, value = sns._p(params, "AttributeName"), sns._p(params, "AttributeValue")
        if reason := _of_attribute(name, value, sns._is_fifo_topic(topic), ""):
            return sns._error("InvalidParameter", reason, 400)
    return stock(params)


# --- Templates


_TOPIC = resource("AWS::SNS::Topic", after=["sns.topics"])


@_TOPIC.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _check(properties)
    return stock(logical_id, properties, stack)


@_TOPIC.update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    _check(new)
    return stock(physical_id, old, new, stack, logical_id)


def _check(properties: Properties) -> None:
    fifo = _text(properties.get("FifoTopic", "")) == "true"
    reasons = [
        _of_attribute(name, value, fifo)
        for name in [*_CHOICES, *sorted(_OTHERS)]  # `items()` would count as reading what is misspelt, too
        if (value := properties.get(name)) is not None
    ]
    if name := properties.get("TopicName"):
        reasons.insert(0, _of_name(str(name), fifo))
    if reason := next(filter(None, reasons), None):
        raise ValueError(f"{reason} (Service: Sns, Status Code: 400)")
