"""A real RabbitMQ on this machine, and what Lambda does with a queue: read, acknowledge or return a batch.

Nothing of it is a service of the machine: the server has a temporary folder, listens on free ports of the
loopback interface, and ends with the scenario.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pika

from scenarios.framework import NotYet, ScenarioFailed, wait_until
from scenarios.support.processes import with_this_process

#: What to do where there is none.
HOW_TO_INSTALL = "apt-get install rabbitmq-server (Debian, Ubuntu) or brew install rabbitmq (macOS)"
#: After this many redeliveries, the broker moves a message to the dead-letter exchange.
DELIVERY_LIMIT = 2

_DEBIAN = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # what is on the PATH there runs as another user
_TO_START = 120


def program() -> str | None:
    """Return the path of RabbitMQ's server; ``None`` if the machine has none."""
    return str(_DEBIAN) if _DEBIAN.exists() else shutil.which("rabbitmq-server")


@contextmanager
def running(server: str, user: str, password: str) -> Iterator[pika.BlockingConnection]:
    """Run a server while the body runs, and connect to it.

    Args:
        server: What `program` returned.
        user: The one user of the broker.
        password: Its password.

    Raises:
        ScenarioFailed: It does not start.
    """
    port, between_nodes, registry = _free_ports(3)
    with ExitStack() as ending:
        home = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="rabbitmq-")))
        (home / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{port}\ndefault_user = {user}\ndefault_pass = {password}\n"
            "disk_free_limit.absolute = 1MB\n"
        )
        (home / "plugins").write_text("[].")
        environment = {
            "HOME": str(home),  # of the cookie
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(registry),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_DIST_PORT": str(between_nodes),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_LOG_BASE": str(home),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_NODENAME": "scenario@localhost",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} "
            "+S 1:1 +sbwt none",
        }
        log = ending.enter_context((home / "server.log").open("w"))
        # Erlang's registry of nodes. RabbitMQ would start it as a daemon, which outlives it.
        ending.enter_context(_process(["epmd"], environment, log))
        process = ending.enter_context(_process([server], environment, log))
        connection = wait_until(
            lambda: _connect(port, user, password, process, home / "server.log"),
            what="RabbitMQ",
            timeout=_TO_START,
        )
        ending.callback(connection.close)
        yield connection


@contextmanager
def _process(command: Sequence[str], environment: Mapping[str, str], log: Any) -> Iterator[Any]:
    """Run a program and those that it starts; nothing of it is worth an orderly end."""
    process = subprocess.Popen(
        with_this_process(command),
        env=environment,
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait()


def _connect(port: int, user: str, password: str, process: Any, log: Path) -> pika.BlockingConnection:
    if process.poll() is not None:
        raise ScenarioFailed(f"RabbitMQ has not started:\n{log.read_text()[-2_000:]}")
    login = pika.PlainCredentials(user, password)
    try:
        return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, credentials=login))
    except pika.exceptions.AMQPError as error:
        raise NotYet(f"no connection: {error!r}") from None


def _free_ports(count: int) -> list[int]:
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Queue:
    """A queue with its dead-letter exchange, and a queue behind that.

    Args:
        connection: A connection to the broker.
        name: The name of the queue.
        virtual_host: Where it is.
    """

    def __init__(self, connection: pika.BlockingConnection, name: str, virtual_host: str) -> None:
        self._channel = connection.channel()
        self._channel.confirm_delivery()
        self.name, self._key = name, f"{name}::{virtual_host}"
        self._dead = f"{name}-dead"
        self._channel.exchange_declare(self._dead, exchange_type="fanout", durable=True)
        self._channel.queue_declare(self._dead, durable=True, arguments={"x-queue-type": "quorum"})
        self._channel.queue_bind(self._dead, self._dead)
        self._channel.queue_declare(
            name,
            durable=True,
            arguments={
                "x-queue-type": "quorum",  # a classic queue has no limit, and keeps a poison message
                "x-delivery-limit": DELIVERY_LIMIT,
                "x-dead-letter-exchange": self._dead,
            },
        )

    def publish(self, body: str, message_id: str) -> None:
        """Publish a message, and return when the broker has it."""
        properties = pika.BasicProperties(
            content_type="application/json", delivery_mode=2, message_id=message_id
        )
        self._channel.basic_publish("", self.name, body.encode(), properties, mandatory=True)

    def poll(self, batch_size: int, window: float, invoke: Callable[[dict[str, Any]], bool]) -> int:
        """Do what Lambda does once: collect a batch, invoke, and acknowledge all of it or return all of it.

        Args:
            batch_size: The most messages of a batch.
            window: Seconds after which a batch is not waited for any longer.
            invoke: Invokes the function with `rmqMessagesByQueue`; returns whether it succeeded.

        Returns:
            The number of messages.
        """
        batch: list[dict[str, Any]] = []
        tag, until = 0, time.monotonic() + window
        while len(batch) < batch_size and time.monotonic() < until:
            method, properties, body = self._channel.basic_get(self.name)
            if method is None:
                time.sleep(0.02)  # the broker says at once that a queue is empty
                continue
            tag = method.delivery_tag
            batch.append(_record(properties, body, redelivered=method.redelivered))
        if batch and invoke({self._key: batch}):
            self._channel.basic_ack(tag, multiple=True)
        elif batch:
            self._channel.basic_nack(tag, multiple=True, requeue=True)
        return len(batch)

    def dead_letters(self) -> dict[str, str]:
        """Take the messages behind the dead-letter exchange: the reason for each, by its id."""
        found: dict[str, str] = {}
        while True:
            method, properties, _body = self._channel.basic_get(self._dead, auto_ack=True)
            if method is None:
                return found
            found[properties.message_id] = properties.headers["x-first-death-reason"]


def _record(properties: pika.BasicProperties, body: bytes, *, redelivered: bool) -> dict[str, Any]:
    """A message in the form of the event: https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html."""
    headers = json.loads(json.dumps(properties.headers or {}, default=str))
    return {
        "basicProperties": {
            "contentType": properties.content_type,
            "contentEncoding": properties.content_encoding,
            "headers": headers,
            "deliveryMode": properties.delivery_mode,
            "priority": properties.priority,
            "correlationId": properties.correlation_id,
            "replyTo": properties.reply_to,
            "expiration": properties.expiration,
            "messageId": properties.message_id,
            "timestamp": None,
            "type": properties.type,
            "userId": properties.user_id,
            "appId": properties.app_id,
            "clusterId": properties.cluster_id,
            "bodySize": len(body),
        },
        "redelivered": redelivered,
        "data": b64encode(body).decode(),
    }
