"""Consumers of real brokers: what a poller of Lambda does with a queue of RabbitMQ or of ActiveMQ.

`connect` signs in and subscribes. The consumer then returns messages in the form of Lambda's event, until a
batch is `accepted` or `returned` as a whole.

Faithful to: fields of the documented events, as far as the broker sends them; at most a batch of messages is
taken from the queue at a time; a batch that is not accepted before the connection ends is delivered again.
Not to: TLS, since the broker is on this machine; OpenWire, with which Lambda reads ActiveMQ: see `activemq`.

https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit


class Refused(Exception):
    """The broker does not let the consumer in.

    Attributes:
        code: What Lambda has as `StateTransitionReason`:
            https://docs.aws.amazon.com/lambda/latest/dg/services-mq-errors.html
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Lost(Exception):
    """The broker does not answer, or has closed the connection."""


@dataclass
class Message:
    """A message that was received, and not yet accepted.

    Attributes:
        record: The message in the form of the event.
        receipt: What the broker calls this delivery.
        failures: How often it was returned to this consumer.
    """

    record: dict[str, Any]
    receipt: Any
    failures: int = 0


class Consumer(Protocol):
    """A connection to a broker that reads one queue."""

    def receive(self, seconds: float) -> Message | None:
        """Wait for a message; `None` if none has come."""

    def accept(self, batch: list[Message]) -> None:
        """Acknowledge messages: the broker forgets them."""

    def give_back(self, batch: list[Message]) -> None:
        """Have messages delivered again, unless the broker or its redelivery policy ends that."""

    def close(self) -> None:
        """End the connection; messages that were not accepted return to the queue."""


@dataclass(frozen=True)
class Login:
    """How a consumer gets to its queue.

    Attributes:
        url: The broker: `amqp://127.0.0.1:5672` or `stomp://127.0.0.1:61613`.
        user: The name of the user.
        password: The password.
        queue: The name of the queue.
        virtual_host: The virtual host of RabbitMQ.
        count: The most messages that the consumer has at a time.
    """

    url: str
    user: str
    password: str
    queue: str
    virtual_host: str
    count: int

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 0)


def connect(login: Login) -> Consumer:
    """Sign in and subscribe to the queue.

    Raises:
        Refused: The broker does not let the consumer in.
        Lost: It does not answer.
    """
    # Imported late: only who has a broker needs the libraries.
    if login.url.startswith("amqp:"):
        from localaws.engines.brokers.rabbitmq import RabbitMq

        return RabbitMq(login)
    from localaws.engines.brokers.activemq import ActiveMq

    return ActiveMq(login)
