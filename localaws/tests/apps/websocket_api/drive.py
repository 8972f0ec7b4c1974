import json
import socket
import ssl
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Request, TextMessage


class Client:
    def __init__(self, aws, url):
        address, server = aws.address_of_api(url), urlsplit(aws.endpoint_url)
        plain = socket.create_connection((server.hostname, server.port), timeout=20)
        context = ssl.create_default_context(cafile=str(aws.ca_file))
        self._socket = context.wrap_socket(plain, server_hostname=server.hostname)
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._socket.sendall(self._protocol.send(Request(host=address.host, target=urlsplit(url).path)))
        assert isinstance(self._next(), AcceptConnection)

    def _next(self):
        while True:
            for event in self._protocol.events():
                return event
            self._protocol.receive_data(self._socket.recv(65536) or None)

    def say(self, text):
        message = json.dumps({"action": "say", "text": text})
        self._socket.sendall(self._protocol.send(TextMessage(message)))

    def hear(self):
        event = self._next()
        assert isinstance(event, TextMessage), event
        return event.data

    def close(self):
        self._socket.sendall(self._protocol.send(CloseConnection(1000)))
        self._socket.close()


def drive(app):
    """What one client says all hear."""
    first, second = (Client(app.aws, app.outputs["Url"]) for _ in range(2))
    first.say("hello")
    assert (first.hear(), second.hear()) == ("hello", "hello")
    second.close()
    table = {"TableName": app.outputs["TableName"]}
    app.wait_until(lambda: app.client("dynamodb").scan(**table)["Count"] == 1)
    first.close()
    app.wait_until(lambda: app.client("dynamodb").scan(**table)["Count"] == 0)
