"""Reads a queue of RabbitMQ by AMQP 0-9-1, as Lambda's poller does.

A batch that is returned goes back to the front of its queue. What becomes of it then is the broker's own: a
quorum queue counts deliveries, and moves a message to the dead-letter exchange beyond its limit.
"""

from __future__ import annotations

import time
from base64 import b64encode
from typing import Any

import pika

from localaws.engines.brokers import Login, Lost, Message, Refused

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


class RabbitMq:
    """A consumer; see `Consumer`."""

    def __init__(self, login: Login) -> None:
        host, port = login.address
        parameters = pika.ConnectionParameters(
            host,
            port,
            login.virtual_host,
            pika.PlainCredentials(login.user, login.password),
            heartbeat=0,  # nothing answers them while the function runs
        )
        try:
            self._connection = pika.BlockingConnection(parameters)
            channel = self._connection.channel()
            channel.basic_qos(prefetch_count=login.count)
            channel.queue_declare(login.queue, passive=True)
        except (pika.exceptions.AuthenticationError, pika.exceptions.ProbableAuthenticationError) as error:
            raise Refused("EVENT_SOURCE_AUTHN_ERROR", f"the broker refuses the user: {error}") from None
        except pika.exceptions.ProbableAccessDeniedError as error:
            raise Refused("ESM_CONFIG_NOT_VALID", f"the virtual host cannot be used: {error}") from None
        except pika.exceptions.ChannelClosedByBroker as error:
            self.close()
            code = "EVENT_SOURCE_AUTHZ_ERROR" if error.reply_code == 403 else "ESM_CONFIG_NOT_VALID"
            raise Refused(code, f"the queue cannot be read: {error.reply_text}") from None
        except pika.exceptions.ConnectionClosedByBroker as error:
            raise Refused("ESM_CONFIG_NOT_VALID", f"the broker has refused: {error.reply_text}") from None
        except pika.exceptions.AMQPError as error:
            raise Lost(f"no connection to {login.url}: {error!r}") from None
        self._channel, self._queue = channel, login.queue

    def receive(self, seconds: float) -> Message | None:
        """Wait for a message; `None` if none has come."""
        try:
            found = next(self._channel.consume(self._queue, inactivity_timeout=seconds), (None,) * 3)
        except pika.exceptions.AMQPError as error:
            raise Lost(repr(error)) from None
        method, properties, body = found
        if method is None or body is None:
            return None
        return Message(record_of(properties, body, redelivered=method.redelivered), method.delivery_tag)

    def accept(self, batch: list[Message]) -> None:
        """Acknowledge messages."""
        for message in batch:
            self._channel.basic_ack(message.receipt)

    def give_back(self, batch: list[Message]) -> None:
        """Have messages delivered again."""
        for message in batch:
            self._channel.basic_nack(message.receipt, requeue=True)

    def close(self) -> None:
        """End the connection."""
        if self._connection.is_open:
            self._connection.close()


def record_of(properties: Any, body: bytes, *, redelivered: bool) -> dict[str, Any]:
    """A message in the form of the event: https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html."""
    return {
        "basicProperties": {
            "contentType": properties.content_type,
            "contentEncoding": properties.content_encoding,
            "headers": {name: _header(value) for name, value in (properties.headers or {}).items()},
            "deliveryMode": properties.delivery_mode,
            "priority": properties.priority,
            "correlationId": properties.correlation_id,
            "replyTo": properties.reply_to,
            "expiration": properties.expiration,
            "messageId": properties.message_id,
            "timestamp": None if properties.timestamp is None else _written(properties.timestamp),
            "type": properties.type,
            "userId": properties.user_id,
            "appId": properties.app_id,
            "clusterId": properties.cluster_id,
            "bodySize": len(body),
        },
        "redelivered": redelivered,
        "data": b64encode(body).decode(),
    }


def _header(value: Any) -> Any:
    """A header: texts are written as their bytes."""
    if isinstance(value, str | bytes):
        return {"bytes": list(value.encode() if isinstance(value, str) else value)}
    if isinstance(value, dict):
        return {name: _header(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_header(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _written(timestamp: int) -> str:
    """Seconds since 1970 as in AWS's example: `Jan 1, 1970, 12:33:41 AM`."""
    moment = time.gmtime(timestamp)
    hour, half = moment.tm_hour % 12 or 12, "AM" if moment.tm_hour < 12 else "PM"
    clock = f"{hour}:{moment.tm_min:02}:{moment.tm_sec:02} {half}"
    return f"{_MONTHS[moment.tm_mon - 1]} {moment.tm_mday}, {moment.tm_year}, {clock}"
