"""Reads a queue of ActiveMQ by STOMP, with the redelivery policy of Lambda's poller.

ActiveMQ leaves redelivery to its clients: the consumer delivers a batch that was returned again itself, and
after six redeliveries gives a message up, with which the broker moves it to its dead-letter queue.

Faithful to: texts and bytes, as ActiveMQ distinguishes them for STOMP; the redelivery policy and its end.
Not to: OpenWire. STOMP has no `brokerInTime` and `brokerOutTime`, so these are the time of the message and
that of its arrival here. The other kinds of JMS messages, which Lambda does not read. The pauses between
redeliveries, see `lambda_.event_source_mappings`. After a new connection the count begins anew.

https://docs.aws.amazon.com/lambda/latest/dg/services-mq-errors.html
https://activemq.apache.org/components/classic/documentation/stomp
https://activemq.apache.org/components/classic/documentation/redelivery-policy
"""

from __future__ import annotations

import queue
import time
from base64 import b64encode
from collections import deque
from typing import Any

import stomp

from localaws.engines.brokers import Login, Lost, Message, Refused

#: https://docs.aws.amazon.com/lambda/latest/dg/services-mq-errors.html
MAXIMUM_REDELIVERIES = 6

_SUBSCRIPTION = "lambda"
# What STOMP and ActiveMQ say of a message; all other headers are the sender's own properties.
_OF_PROTOCOL = (
    *("ack", "content-length", "content-type", "correlation-id", "destination", "expires", "message-id"),
    *("persistent", "priority", "redelivered", "reply-to", "subscription", "timestamp", "type"),
)


class ActiveMq(stomp.ConnectionListener):  # type: ignore[misc] # the library has no types
    """A consumer; see `Consumer`."""

    def __init__(self, login: Login) -> None:
        self._arrived: queue.Queue[Message] = queue.Queue()
        self._again: deque[Message] = deque()
        self._ended, self._reason = False, ""
        self._connection = stomp.Connection12(
            [login.address], auto_decode=False, reconnect_attempts_max=1, heartbeats=(0, 0)
        )
        self._connection.set_listener("", self)
        try:
            self._connection.connect(login.user, login.password, wait=True)
        except stomp.exception.ConnectFailedException as error:
            if self._reason:
                raise Refused("EVENT_SOURCE_AUTHN_ERROR", self._reason) from None
            raise Lost(f"no connection to {login.url}: {error!r}") from None
        self._connection.subscribe(
            f"/queue/{login.queue}",
            _SUBSCRIPTION,
            "client-individual",
            {"activemq.prefetchSize": str(login.count)},
        )

    def on_message(self, frame: Any) -> None:
        """The library calls it for each message, in a thread of its own."""
        headers, body = frame.headers, frame.body
        arrived = time.time_ns() // 1_000_000
        self._arrived.put(Message(record_of(headers, body, arrived), headers["ack"]))

    def on_error(self, frame: Any) -> None:
        """The library calls it for an error of the broker, which ends the connection."""
        self._reason = str(frame.headers.get("message") or frame.body)

    def on_disconnected(self) -> None:
        """The library calls it at the end of the connection."""
        self._ended = True

    def receive(self, seconds: float) -> Message | None:
        """Wait for a message; `None` if none has come."""
        if self._again:
            return self._again.popleft()
        try:
            return self._arrived.get(timeout=seconds)
        except queue.Empty:
            if self._ended:
                raise Lost(self._reason or "the broker has closed the connection") from None
            return None

    def accept(self, batch: list[Message]) -> None:
        """Acknowledge messages."""
        for message in batch:
            self._connection.ack(message.receipt)

    def give_back(self, batch: list[Message]) -> None:
        """Deliver messages again, or give them up after six times."""
        for message in reversed(batch):
            message.failures += 1
            message.record["redelivered"] = True
            if message.failures <= MAXIMUM_REDELIVERIES:
                self._again.appendleft(message)
        for message in batch:
            if message.failures > MAXIMUM_REDELIVERIES:
                self._connection.nack(message.receipt)

    def close(self) -> None:
        """End the connection."""
        if self._connection.is_connected():
            self._connection.disconnect()


def record_of(headers: dict[str, str], body: bytes, arrived: int) -> dict[str, Any]:
    """A message in the form of the event: https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html."""
    sent = int(headers.get("timestamp") or 0)
    return {
        "messageID": headers["message-id"],
        # ActiveMQ gives the length of bytes, and not that of a text.
        "messageType": "jms/bytes-message" if "content-length" in headers else "jms/text-message",
        "deliveryMode": 2 if headers.get("persistent") == "true" else 1,
        "replyTo": headers.get("reply-to"),
        "type": headers.get("type"),
        "expiration": headers.get("expires", "0"),
        "priority": int(headers.get("priority", "4")),
        "correlationId": headers.get("correlation-id"),
        "redelivered": headers.get("redelivered") == "true",
        "destination": {"physicalName": headers["destination"].removeprefix("/queue/")},
        "data": b64encode(body).decode(),
        "timestamp": sent,
        "brokerInTime": sent,
        "brokerOutTime": arrived,
        "properties": {name: value for name, value in headers.items() if name not in _OF_PROTOCOL},
    }
