"""Messages to functions behind WebSocket APIs."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Event, Request, TextMessage

from helpers.lambda_functions import Functions
from localaws import Address, LocalAws

pytestmark = pytest.mark.local

HANDLER = """
def handler(event, context):
    if event["body"] == "fail":
        raise ValueError("the secret is 42")
    return {"statusCode": 200, "body": f"got {event['body']}"}
"""


POSTER = """
import boto3
from botocore.config import Config
def handler(event, context):
    request = event["requestContext"]
    host = request["domainName"] if event["body"] == "event" else event["body"]
    client = boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=f"https://{host}/{request['stage']}",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5),
    )
    try:
        client.post_to_connection(ConnectionId=request["connectionId"], Data=b"posted")
    except client.exceptions.ClientError as error:
        return {"statusCode": 200, "body": error.response["Error"]["Code"]}
"""


class Client:
    """A client with an open connection.

    Args:
        connection: The TLS connection.
        address: The API.
    """

    def __init__(self, connection: ssl.SSLSocket, address: Address) -> None:
        self._connection = connection
        self._socket = WSConnection(ConnectionType.CLIENT)
        self._connection.sendall(self._socket.send(Request(host=address.host, target="/live")))
        assert isinstance(self._next(), AcceptConnection)

    def ask(self, text: str) -> str:
        """Send a message, and return the answer."""
        self._connection.sendall(self._socket.send(TextMessage(data=text)))
        answer = self._next()
        assert isinstance(answer, TextMessage)
        return answer.data

    def _next(self) -> Event:
        while (event := next(self._socket.events(), None)) is None:
            self._socket.receive_data(self._connection.recv(65_536))
        return event


@contextmanager
def connected(address: Address) -> Iterator[Client]:
    """A client of an API."""
    place = urlsplit(address.url)
    context = ssl.create_default_context(cafile=str(address.ca_file))
    with (
        socket.create_connection((place.hostname, place.port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=place.hostname) as secured,
    ):
        yield Client(secured, address)


def chat(functions: Functions, function: str) -> str:
    """A WebSocket API whose messages go to a function; returns its id."""
    gateway = functions.aws.client("apigatewayv2")
    api: str = gateway.create_api(
        Name="chat", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action"
    )["ApiId"]
    integration = gateway.create_integration(
        ApiId=api,
        IntegrationType="AWS_PROXY",
        IntegrationUri=functions.arn("lambda", f"function:{function}"),
        IntegrationMethod="POST",
    )["IntegrationId"]
    gateway.create_route(ApiId=api, RouteKey="$default", Target=f"integrations/{integration}")
    gateway.create_stage(ApiId=api, StageName="live", AutoDeploy=True)
    return api


def test_a_function_answers_messages_with_permission_and_its_errors_stay_inside(local_aws: LocalAws) -> None:
    functions = Functions(local_aws)
    function = functions.make(HANDLER)
    api = chat(functions, function)
    with connected(local_aws.address_of_api(api)) as client:
        assert json.loads(client.ask("hello"))["message"] == "Internal server error"
        local_aws.client("lambda").add_permission(
            FunctionName=function,
            StatementId="chat",
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn=f"{functions.arn('execute-api', api)}/live/$default",
        )
        assert client.ask("hello") == "got hello"
        failed = json.loads(client.ask("fail"))
        assert failed.keys() == {"message", "connectionId", "requestId"}
        assert failed["message"] == "Internal server error"


@pytest.mark.parametrize(
    ("suffix", "heard"),
    [
        ("live/POST/@connections/*", "posted"),
        ("live/GET/@connections/*", "AccessDeniedException"),
        ("*/$default", "AccessDeniedException"),
    ],
)
def test_a_function_posts_to_connections_that_its_role_may_manage(
    local_aws: LocalAws, suffix: str, heard: str
) -> None:
    functions = Functions(local_aws)
    apis = functions.arn("execute-api", f"*/{suffix}")
    function = functions.make(POSTER, role=functions.role(("execute-api:ManageConnections", apis)))
    api = chat(functions, function)
    local_aws.client("lambda").add_permission(
        FunctionName=function,
        StatementId="chat",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )
    with connected(local_aws.address_of_api(api)) as client:
        for host in ("event", f"{api}.execute-api.{local_aws.region}.amazonaws.com"):
            assert client.ask(host) == heard
