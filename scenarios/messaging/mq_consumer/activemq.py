"""A real ActiveMQ on this machine, with users as in Amazon MQ, and its own dead-letter queue."""

from __future__ import annotations

import os
import queue as waiting
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import stomp

from scenarios.messaging.mq_consumer.servers import free_ports, server

NAME = "ActiveMQ"
#: What to do where there is none.
HOW_TO_INSTALL = "apt-get install activemq (Debian, Ubuntu) or brew install activemq (macOS)"
#: After this many redeliveries, Lambda gives a message up, and the broker moves it to the dead-letter queue.
REDELIVERIES = 6

_DEAD = "ActiveMQ.DLQ"  # of all queues, unless the broker's configuration has another strategy
_HOMES = ("/usr/share/activemq", "/opt/homebrew/opt/activemq/libexec", "/usr/local/opt/activemq/libexec")
# The schema of the beans is in a library; nothing is downloaded.
_CONFIGURATION = """\
<beans xmlns="http://www.springframework.org/schema/beans"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans
  http://www.springframework.org/schema/beans/spring-beans-2.0.xsd
  http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="scenario" useJmx="false"
    dataDirectory={folder} useShutdownHook="false">
    <plugins><simpleAuthenticationPlugin><users>
      <authenticationUser username={user} password={password} groups="users"/>
    </users></simpleAuthenticationPlugin></plugins>
    <transportConnectors>
      <transportConnector name="stomp" uri="stomp://127.0.0.1:{port}"/>
    </transportConnectors>
  </broker>
</beans>
"""


def program() -> str | None:
    """Return the path of ActiveMQ's launcher; ``None`` if the machine has none, or no Java."""
    homes = [os.environ.get("ACTIVEMQ_HOME") or _HOMES[0], *_HOMES]
    found = [home for home in homes if Path(home, "bin/activemq.jar").exists()]
    return f"{found[0]}/bin/activemq.jar" if found and shutil.which("java") else None


@contextmanager
def running(program: str, user: str, password: str, queue: str) -> Iterator[Queue]:
    """Run a server while the body runs.

    The script of the distribution is not used: Debian's changes the user, and has a data folder of its own.

    Args:
        program: What `program` returned.
        user: The one user of the broker.
        password: Its password.
        queue: The name of the queue; ActiveMQ makes it at first use.

    Raises:
        ScenarioFailed: It does not start.
    """
    (port,) = free_ports(1)
    with server(NAME) as broker:
        configuration = broker.folder / "activemq.xml"
        values = {"folder": str(broker.folder), "user": user, "password": password}
        quoted = {name: quoteattr(value) for name, value in values.items()}
        configuration.write_text(_CONFIGURATION.format(port=port, **quoted))
        configuration.chmod(0o600)
        properties = {"activemq.home": str(Path(program).parents[1]), "activemq.base": str(broker.folder)}
        broker.run(
            [
                *("java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
                *(f"-D{name}={value}" for name, value in properties.items()),
                *("-jar", program, "start", f"xbean:{configuration.as_uri()}"),
            ],
            {"PATH": os.environ["PATH"], "HOME": str(broker.folder), "LANG": "C.UTF-8"},
        )
        address = ("127.0.0.1", port)
        broker.until_connected(lambda: socket.create_connection(address).close(), OSError)
        # Texts have no length in STOMP: with one, a message is of bytes.
        connection = stomp.Connection12([address], auto_content_length=False)
        connection.connect(user, password, wait=True)
        yield Queue(connection, f"stomp://127.0.0.1:{port}", queue)
        connection.disconnect()


class Queue(stomp.ConnectionListener):  # type: ignore[misc] # the library has no types
    """A queue, and the dead-letter queue of the broker.

    Args:
        connection: A connection to the broker.
        url: The broker.
        name: The name of the queue.
    """

    def __init__(self, connection: stomp.Connection12, url: str, name: str) -> None:
        self.url, self._connection, self._place = url, connection, f"/queue/{name}"
        self._dead: waiting.SimpleQueue[str] = waiting.SimpleQueue()
        self._published: waiting.SimpleQueue[str] = waiting.SimpleQueue()
        connection.set_listener("queue", self)
        connection.subscribe(f"/queue/{_DEAD}", "dead", "auto")

    def publish(self, body: str, name: str) -> None:
        """Publish a text, and return when the broker has it."""
        # What is not persistent is not worth a dead letter.
        headers = {"correlation-id": name, "persistent": "true", "receipt": name}
        self._connection.send(self._place, body, headers=headers)
        while self._published.get(timeout=60) != name:
            pass

    def dead_letters(self) -> set[str]:
        """Take what has come from the dead-letter queue: the correlation ids."""
        return {self._dead.get() for _ in range(self._dead.qsize())}

    def on_message(self, frame: Any) -> None:
        """The library calls it for a dead letter."""
        self._dead.put(frame.headers["correlation-id"])

    def on_receipt(self, frame: Any) -> None:
        """The library calls it when the broker has a message."""
        self._published.put(frame.headers["receipt-id"])
