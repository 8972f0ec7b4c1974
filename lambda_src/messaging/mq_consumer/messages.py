"""The messages of a batch, from RabbitMQ and from ActiveMQ.

https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html
"""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class NotABatch(ValueError):
    """It is no event of a broker; the text gives the reason."""


class NotReadable(ValueError):
    """A message has no content in base64 of UTF-8."""


@dataclass(frozen=True)
class Message:
    """A message.

    Args:
        queue: Its queue; for RabbitMQ with the virtual host, as in ``orders::/``.
        message_id: What its sender (RabbitMQ) or the broker (ActiveMQ) calls it; empty if nothing.
        redelivered: Whether the broker has delivered it before.
        data: Its content, as base64.
    """

    queue: str
    message_id: str
    redelivered: bool
    data: Any

    @property
    def body(self) -> str:
        """The content.

        Raises:
            NotReadable: It is missing, or not base64 of UTF-8.
        """
        if not isinstance(self.data, str):
            raise NotReadable(f"the content is {self.data!r}, and not base64 of UTF-8")
        try:
            return b64decode(self.data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as reason:
            raise NotReadable(f"the content is not base64 of UTF-8: {reason}") from None


def messages_of(event: Any) -> list[Message]:
    """Return the messages of an event, those of each queue in their order.

    A message that lacks a field is one of them: it must not cost the others their turn.

    Raises:
        NotABatch: It is no event of a broker.
    """
    try:
        match event["eventSource"]:
            case "aws:rmq":
                batches = event["rmqMessagesByQueue"].items()
                return [_from_rabbitmq(queue, one) for queue, batch in batches for one in batch]
            case "aws:amq":
                return [_from_activemq(one) for one in event["messages"]]
            case other:
                raise NotABatch(f"it is from {other!r}, and neither aws:rmq nor aws:amq")
    except (AttributeError, KeyError, TypeError) as missing:
        raise NotABatch(f"it has other fields than a batch of a broker: {missing}") from None


def _from_rabbitmq(queue: str, given: Any) -> Message:
    message = _fields(given)
    name = _fields(message.get("basicProperties")).get("messageId")
    return Message(queue, str(name or ""), bool(message.get("redelivered")), message.get("data"))


def _from_activemq(given: Any) -> Message:
    message = _fields(given)
    # AWS's example of a message of bytes has no `redelivered`; its name is also written physicalName.
    place = _fields(message.get("destination"))
    queue = place.get("physicalName") or place.get("physicalname") or ""
    name = message.get("messageID") or ""
    return Message(str(queue), str(name), bool(message.get("redelivered")), message.get("data"))


def _fields(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {}
