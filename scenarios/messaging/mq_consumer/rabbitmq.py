"""A real RabbitMQ on this machine: a quorum queue with a dead-letter exchange."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pika

from scenarios.messaging.mq_consumer.servers import free_ports, server

NAME = "RabbitMQ"
#: What to do where there is none.
HOW_TO_INSTALL = "apt-get install rabbitmq-server (Debian, Ubuntu) or brew install rabbitmq (macOS)"
#: After this many redeliveries, the broker moves a message to the dead-letter exchange.
REDELIVERIES = 2

_DEBIAN = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # what is on the PATH there runs as another user


def program() -> str | None:
    """Return the path of RabbitMQ's server; ``None`` if the machine has none."""
    return str(_DEBIAN) if _DEBIAN.exists() else shutil.which("rabbitmq-server")


@contextmanager
def running(program: str, user: str, password: str, queue: str) -> Iterator[Queue]:
    """Run a server while the body runs.

    Args:
        program: What `program` returned.
        user: The one user of the broker.
        password: Its password.
        queue: The queue to declare.

    Raises:
        ScenarioFailed: It does not start.
    """
    port, between_nodes, registry = free_ports(3)
    with server(NAME) as broker:
        home = broker.folder
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
        # Erlang's registry of nodes. RabbitMQ would start it as a daemon, which outlives it.
        broker.run(["epmd"], environment)
        broker.run([program], environment)
        parameters = pika.ConnectionParameters(
            "127.0.0.1", port, credentials=pika.PlainCredentials(user, password)
        )
        with closing(
            broker.until_connected(lambda: pika.BlockingConnection(parameters), pika.exceptions.AMQPError)
        ) as connection:
            yield Queue(connection, f"amqp://127.0.0.1:{port}", queue)


class Queue:
    """A queue with its dead-letter exchange, and a queue behind that.

    Args:
        connection: A connection to the broker.
        url: The broker.
        name: The name of the queue.
    """

    def __init__(self, connection: pika.BlockingConnection, url: str, name: str) -> None:
        self.url, self._name, self._dead = url, name, f"{name}-dead"
        self._channel = connection.channel()
        self._channel.confirm_delivery()
        self._channel.exchange_declare(self._dead, exchange_type="fanout", durable=True)
        self._channel.queue_declare(self._dead, durable=True, arguments={"x-queue-type": "quorum"})
        self._channel.queue_bind(self._dead, self._dead)
        self._channel.queue_declare(
            name,
            durable=True,
            arguments={
                "x-queue-type": "quorum",  # a classic queue has no limit, and keeps a poison message
                "x-delivery-limit": REDELIVERIES,
                "x-dead-letter-exchange": self._dead,
            },
        )

    def publish(self, body: str, name: str) -> None:
        """Publish a message, and return when the broker has it."""
        properties = pika.BasicProperties(content_type="application/json", delivery_mode=2, message_id=name)
        self._channel.basic_publish("", self._name, body.encode(), properties, mandatory=True)

    def dead_letters(self) -> set[str]:
        """Take the messages behind the dead-letter exchange that were delivered too often: their ids."""
        found = set[str]()
        while True:
            method, properties, _body = self._channel.basic_get(self._dead, auto_ack=True)
            if method is None:
                return found
            if properties.headers["x-first-death-reason"] == "delivery_limit":
                found.add(properties.message_id)
