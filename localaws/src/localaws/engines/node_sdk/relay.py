"""The AWS SDK for JavaScript in Node.js functions, which Lambda's runtimes bring and nothing here downloads.

The CDK's own custom resources (auto-delete objects, log retention, default security group, SDK calls,
cross-region references) are Node.js functions that find `@aws-sdk/client-*` in their runtime. Here `require`
of such a package gives a client that hands each call, with the function's own credentials, to a relay in
the server process; botocore signs and sends it to the emulator, as if the function had. So every service and
operation that boto3 knows is there, and IAM decides on the function's role.

Faithful to: clients with commands and clients with methods, parameters and answers (dates, bytes, streams),
error names and `$metadata`, regions, temporary credentials of an assumed role. A package that the function
brings along comes first.
Not to: middleware, paginators, waiters, retries with back-off, `import` in ES modules, `@aws-sdk/lib-*`.
Packages outside `@aws-sdk/client-*` and `@aws-sdk/credential-providers` are not there.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-nodejs.html
https://docs.aws.amazon.com/AWSJavaScriptSDK/v3/latest/
"""

from __future__ import annotations

import base64
import datetime
import functools
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import botocore
from botocore.exceptions import BotoCoreError, ClientError
from botocore.response import StreamingBody
from botocore.utils import EVENT_ALIASES
from ministack.core import lambda_runtime

from localaws.engines.python_runtime.environment import gateway
from localaws.server.clients import make_session

_SHIM = Path(__file__).with_name("node_sdk.js")
_making_clients = threading.Lock()


def install() -> None:
    """Start the relay, and have every Node.js worker load the SDK that calls it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Relay)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True, name="node-sdk-relay").start()
    settings = {
        "relay": f"http://127.0.0.1:{server.server_port}/",
        "models": str(Path(botocore.__file__).parent / "data"),
        "aliases": _folders_of_packages(),
    }
    preload = f"require({json.dumps(str(_SHIM))}).install({json.dumps(settings)});\n"
    lambda_runtime._NODEJS_WORKER_SCRIPT = preload + lambda_runtime._NODEJS_WORKER_SCRIPT


def _folders_of_packages() -> dict[str, str]:
    """The packages that are not called like botocore's folder: `cloudwatch-logs`, whose folder is `logs`."""
    services = set(_session().get_available_services())
    return {
        alias: name for name, alias in EVENT_ALIASES.items() if name in services and alias not in services
    }


class _Relay(BaseHTTPRequestHandler):
    """Answers one call of a Node.js function, on the loopback address and without rights of its own."""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps(_call(request), default=_encoded).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the emulator logs the call itself."""


def _call(request: dict[str, Any]) -> dict[str, Any]:
    """Make the call and return its output or its error, in the words of the JavaScript SDK."""
    credentials = request["credentials"]
    try:
        client = _client(
            request["service"],
            request["region"],
            credentials["accessKeyId"],
            credentials["secretAccessKey"],
            credentials.get("sessionToken"),
        )
        # By the operation's own name: boto3's method names are another spelling of it.
        output = client._make_api_call(request["operation"], _decoded(request["input"]))
    except ClientError as error:
        # The SDK names an error by its shape; botocore calls the class so when the model knows it.
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
    # Each client is made with the credentials and the region of the function that asked for it.
    return make_session(reach["AWS_ENDPOINT_URL"], reach.get("AWS_CA_BUNDLE", ""), "", "", "us-east-1")


def _metadata(response: Mapping[str, Any]) -> dict[str, Any]:
    metadata = response.get("ResponseMetadata") or {}
    return {"httpStatusCode": metadata.get("HTTPStatusCode", 0), "requestId": metadata.get("RequestId")}


def _encoded(value: object) -> dict[str, str]:
    """What JSON has no form for, as `node_sdk.js` reads it."""
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
