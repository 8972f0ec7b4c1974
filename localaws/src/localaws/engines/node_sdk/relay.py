"""Signs and sends the calls of the JavaScript SDK that Node.js functions make, with botocore.

`node_sdk.js` is loaded by every Node.js worker. It resolves `require("@aws-sdk/client-*")` to a client that
sends each call, with the function's credentials, to the relay in the server process. botocore signs it and
sends it to the emulator, so every service and operation of boto3 exists, and IAM authorises the function's
role.

The relay answers only functions of this start, which have its token, and never a web page: a page can send no
JSON to another server, nor a request without `Origin`, nor one with this `Host`.
"""

from __future__ import annotations

import base64
import datetime
import functools
import json
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import botocore
from botocore.exceptions import BotoCoreError, ClientError
from botocore.response import StreamingBody
from botocore.utils import EVENT_ALIASES

from localaws.engines.python_runtime.environment import gateway
from localaws.server import credentials
from localaws.server.clients import make_session

_SHIM = Path(__file__).with_name("node_sdk.js")
_making_clients = threading.Lock()
_PURPOSE = "node-sdk-relay"
# Packages whose names have nothing to do with the folder, and that botocore does not list.
_OTHER_FOLDERS = {
    "directory-service-data": "ds-data",
    "lex-models-v2": "lexv2-models",
    "lex-runtime-v2": "lexv2-runtime",
    "pinpoint-sms-voice": "sms-voice",
}


def preload() -> str:
    """Start the relay, and return the JavaScript that loads the SDK in a Node.js process."""
    server = _Server(("127.0.0.1", 0), _Relay)
    server.daemon_threads = True
    server.host = f"127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True, name="node-sdk-relay").start()
    settings = {
        "relay": f"http://{server.host}/",
        "token": credentials.current().token(_PURPOSE),
        "models": str(Path(botocore.__file__).parent / "data"),
        "aliases": folders_of_packages(),
    }
    return f"require({json.dumps(str(_SHIM))}).install({json.dumps(settings)});\n"


@functools.cache
def folders_of_packages() -> dict[str, str]:
    """Botocore's folder for packages with another name, and for each name without its hyphens.

    A package has the name of the service's id. Most folders differ in hyphens only: `s3control`, which is
    `s3-control` in JavaScript.
    """
    services = set(_session().get_available_services())
    aliases = {
        alias: name for name, alias in EVENT_ALIASES.items() if name in services and alias not in services
    }
    return {name.replace("-", ""): name for name in services} | aliases | _OTHER_FOLDERS


class _Server(ThreadingHTTPServer):
    host = ""


class _Relay(BaseHTTPRequestHandler):
    """Handles a call of a Node.js function, without credentials of its own."""

    server: _Server

    def do_POST(self) -> None:
        if not self._is_from_a_function():
            self.send_error(HTTPStatus.FORBIDDEN, "Only functions of this embedded AWS may call the relay")
            return
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps(_call(request), default=_encoded).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _is_from_a_function(self) -> bool:
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        return (
            self.headers.get_all("Host") == [self.server.host]
            and "Origin" not in self.headers
            and self.headers.get("Content-Type") == "application/json"
            and kind == "Bearer"
            and credentials.current().is_token(token, _PURPOSE)
        )

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the emulator logs the call."""


def _call(request: dict[str, Any]) -> dict[str, Any]:
    """Make the call and return its output or its error in the form of the JavaScript SDK."""
    given = request["credentials"]
    try:
        client = _client(
            request["service"],
            request["region"],
            given["accessKeyId"],
            given["secretAccessKey"],
            given.get("sessionToken"),
        )
        # By the name of the operation, from which boto3's method names differ.
        output = client._make_api_call(request["operation"], _decoded(request["input"]))
    except ClientError as error:
        # The SDK names an error after its shape. So does botocore's class if the shape is in the model.
        modeled = type(error) is not ClientError
        name = type(error).__name__ if modeled else error.response["Error"]["Code"]
        metadata = _metadata(error.response)
        fault = "server" if metadata["httpStatusCode"] >= 500 else "client"
        message = error.response["Error"].get("Message", name)
        return {"error": {"name": name, "message": message, "$fault": fault, "$metadata": metadata}}
    except BotoCoreError as error:
        return {"error": {"name": type(error).__name__, "message": str(error)}}
    metadata = _metadata(output)
    output.pop("ResponseMetadata", None)
    body = client.meta.service_model.operation_model(request["operation"]).get_streaming_output()
    if body is not None and not body.serialization.get("streaming"):
        # A payload such as that of a function is a stream in Python, and bytes in JavaScript.
        output = {name: _read(value) for name, value in output.items()}
    return {"output": {"$metadata": metadata, **output}}


@functools.lru_cache(maxsize=32)
def _client(service: str, region: str, access_key: str, secret_key: str, token: str | None) -> Any:
    with _making_clients:
        return _session().client(
            service,
            region_name=region,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            aws_session_token=token,
        )


@functools.cache
def _session() -> boto3.Session:
    reach = gateway()
    # Each client gets the credentials and the region of the function.
    return make_session(reach["AWS_ENDPOINT_URL"], reach.get("AWS_CA_BUNDLE", ""), "", "", "us-east-1")


def _metadata(response: Mapping[str, Any]) -> dict[str, Any]:
    metadata = response.get("ResponseMetadata") or {}
    return {"httpStatusCode": metadata.get("HTTPStatusCode", 0), "requestId": metadata.get("RequestId")}


def _read(value: object) -> object:
    return value.read() if isinstance(value, StreamingBody) else value


def _encoded(value: object) -> dict[str, str]:
    """A value that JSON cannot represent, in the form that `node_sdk.js` reads."""
    if isinstance(value, datetime.datetime):
        return {"$date": value.isoformat()}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, StreamingBody):
        return {"$stream": base64.b64encode(value.read()).decode()}
    raise TypeError(f"no JSON form for {type(value).__name__}")


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(member) for member in value]
    if not isinstance(value, dict):
        return value
    if "$date" in value:
        return datetime.datetime.fromisoformat(value["$date"])
    if "$bytes" in value:
        return base64.b64decode(value["$bytes"])
    return {name: _decoded(member) for name, member in value.items()}
