"""The HTTP server of an environment, at `AWS_LAMBDA_RUNTIME_API`.

Faithful to: the requests and responses of the Runtime API, the Extensions API and the Telemetry API, with
their headers, status codes and errors; 6 MB of a response; responses that are streamed, in chunks and with an
error in the trailer; a response that breaks off, which fails with `Runtime.TruncatedResponse`.
As in AWS, requests carry no secret, so the server looks at who asks. It serves only processes of this user,
by the owner of the socket in `/proc`, with its own address as `Host`, and no web page (`Origin`). Where there
is no `/proc` (macOS), another user of the machine can take the events of these functions and answer them.
Not to: a caller gets what is streamed as a whole. The Logs API, which AWS has replaced by the Telemetry API,
answers as where it is not supported.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api-reference.html
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import socket
import socketserver
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from localaws.engines.runtime_api.sandbox import Refused, Sandbox
from localaws.engines.runtime_api.telemetry import Telemetry

#: The largest response, in bytes, unless it is streamed.
RESPONSE = 6 * 1024 * 1024 + 100

_INVOCATION = re.compile("/2018-06-01/runtime/invocation/([^/]+)/(response|error)")
_ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"

# The connections of this machine, also those of clients that use IPv6 for both.
_CONNECTIONS = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


class ApiServer(socketserver.ThreadingTCPServer):
    """The server; each connection has a thread.

    Args:
        sandbox: The state of the environment.
        telemetry: Its records.
    """

    daemon_threads = True
    request_queue_size = 16

    def __init__(self, sandbox: Sandbox, telemetry: Telemetry) -> None:
        super().__init__(("127.0.0.1", 0), Requests)
        self.sandbox = sandbox
        self.telemetry = telemetry
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """What processes find in `AWS_LAMBDA_RUNTIME_API`."""
        host, port = self.server_address[:2]
        return f"{host!s}:{port}"

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether a connection is from a process of this user, as far as this machine can say."""
        return not _CONNECTIONS[0].exists() or owner(client_address, request.getsockname()) == os.geteuid()

    def close(self) -> None:
        """Accept no more connections."""

        def end() -> None:
            self.shutdown()
            self.server_close()

        threading.Thread(target=end, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: the process has ended."""


def owner(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """The user whose process has the client's end of a connection; None if no process has it open."""
    ends = []
    for host, port in (client, server):
        number = int.from_bytes(socket.inet_aton(host), sys.byteorder)
        ends.append(f"{number:08X}:{port:04X}")
    for table in _CONNECTIONS:
        with contextlib.suppress(OSError):
            for line in table.read_text("ascii").splitlines():
                if ends[0] not in line:
                    continue
                _, local, remote, _, _, _, _, user, _, inode, *_ = line.split()
                # A socket without an inode is closed, and counts as one of root.
                if local.endswith(ends[0]) and remote.endswith(ends[1]) and inode != "0":
                    return int(user)
    return None


class Requests(BaseHTTPRequestHandler):
    """Answers the requests of a connection."""

    protocol_version = "HTTP/1.1"
    # Both matter: a response in two packets waits for the acknowledgement of the first, for 40 ms.
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: ApiServer

    def do_GET(self) -> None:
        """Events, for which the runtime and extensions wait."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Responses and errors."""
        self._answer(self._post)

    def do_PUT(self) -> None:
        """Subscriptions to telemetry."""
        self._answer(self._put)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def _answer(self, route: Any) -> None:
        try:
            self._require_program()
            route()
        except Refused as refused:
            said = {"errorMessage": str(refused), "errorType": refused.kind}
            self._reply(refused.status, json.dumps(said).encode())

    def _require_program(self) -> None:
        """Refuse what a web page asks, also one whose name leads to this machine."""
        page = self.headers["Origin"] or self.headers["Sec-Fetch-Site"]
        if page or self.headers["Host"] != self.server.address:
            self.close_connection = True
            raise Refused(403, "Forbidden", f"Only programs that ask {self.server.address} are served")

    def _get(self) -> None:
        sandbox = self.server.sandbox
        if self.path == "/2018-06-01/runtime/invocation/next":
            invocation = sandbox.next_invocation()
            if invocation is None:
                self._hang_up()
                return
            self._reply(
                200,
                invocation.event,
                {
                    "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                    "Lambda-Runtime-Deadline-Ms": str(int(invocation.deadline * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": invocation.arn,
                    **invocation.headers,
                },
            )
        elif self.path == "/2020-01-01/extension/event/next":
            event = sandbox.next_event(sandbox.extension(self.headers["Lambda-Extension-Identifier"]))
            if event is None:
                self._hang_up()
                return
            identifier = {"Lambda-Extension-Event-Identifier": str(uuid.uuid4())}
            self._reply(200, json.dumps(event).encode(), identifier)
        elif self.path == "/2018-06-01/ping":
            self._reply(200, b"pong", {"Content-Type": "text/plain"})
        elif self.path == "/2018-06-01/runtime/restore/next":
            self._reply(200, b"")
        else:
            self._reply(404, b"404 page not found\n", {"Content-Type": "text/plain"})

    def _post(self) -> None:
        sandbox, body = self.server.sandbox, self._body()
        if found := _INVOCATION.fullmatch(self.path):
            self._result(found[1], body, failed=found[2] == "error")
        elif self.path == "/2018-06-01/runtime/init/error":
            sandbox.init_error(self.headers.get(_ERROR_TYPE, ""), body)
            self._accepted()
        elif self.path == "/2020-01-01/extension/register":
            self._register(body)
        elif self.path in ("/2020-01-01/extension/init/error", "/2020-01-01/extension/exit/error"):
            extension = sandbox.extension(self.headers["Lambda-Extension-Identifier"])
            name = "Lambda-Extension-Function-Error-Type"
            if not self.headers.get(name):
                raise Refused(403, "Extension.MissingHeader", f"{name} not found")
            kind = "InitError" if "/init/" in self.path else "ExitError"
            extension.error = f"Extension.{kind}"
            self._accepted()
        else:
            self._reply(404, b"404 page not found\n", {"Content-Type": "text/plain"})

    def _put(self) -> None:
        body = self._body()
        if self.path.rstrip("/") == "/2022-07-01/telemetry":
            extension = self.server.sandbox.extension(self.headers["Lambda-Extension-Identifier"])
            self.server.telemetry.subscribe(extension.name, body, closed=self.server.sandbox.initialized)
            self._reply(200, b'"OK"')
        elif self.path == "/2020-08-15/logs":
            said = {"errorMessage": "Logs API is not supported", "errorType": "Logs.NotSupported"}
            self._reply(202, json.dumps(said).encode())
        else:
            self._reply(404, b"404 page not found\n", {"Content-Type": "text/plain"})

    def _register(self, body: bytes) -> None:
        name = self.headers.get("Lambda-Extension-Name")
        if not name:
            raise Refused(403, "Extension.InvalidExtensionName", "Empty extension name")
        try:
            events = json.loads(body or b"{}")["events"]
            if not isinstance(events, list):
                raise TypeError("events is no list")
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(403, "InvalidRequestFormat", str(error)) from None
        extension = self.server.sandbox.register(name, events)
        answer = dict(self.server.sandbox.function)
        account = answer.pop("accountId")
        if "accountId" in self.headers.get("Lambda-Extension-Accept-Feature", ""):
            answer["accountId"] = account
        self._reply(200, json.dumps(answer).encode(), {"Lambda-Extension-Identifier": extension.id})

    def _result(self, request_id: str, body: bytes, *, failed: bool) -> None:
        sandbox = self.server.sandbox
        streamed = self.headers.get("Lambda-Runtime-Function-Response-Mode") == "streaming"
        if _ERROR_TYPE in self.trailers:
            text = base64.b64decode(self.trailers.get("Lambda-Runtime-Function-Error-Body", ""))
            body, failed = text or json.dumps({"errorType": self.trailers[_ERROR_TYPE]}).encode(), True
        if len(body) > RESPONSE and not streamed and not failed:
            text_ = f"Response payload size exceeded maximum allowed payload size ({RESPONSE} bytes)."
            said = {"errorMessage": text_, "errorType": "Function.ResponseSizeTooLarge"}
            sandbox.answer(request_id, json.dumps(said).encode(), failed=True)
            text_ = f"Exceeded maximum allowed payload size ({RESPONSE} bytes)."
            raise Refused(413, "RequestEntityTooLarge", text_)
        sandbox.answer(request_id, body, failed=failed)
        self._accepted()

    def _body(self) -> bytes:
        self.trailers: dict[str, str] = {}
        try:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self._exactly(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self._line().split(b";")[0], 16):
                parts.append(self._exactly(size))
                self._line()
            while line := self._line().strip():
                name, _, value = line.decode().partition(":")
                self.trailers[name.strip().title()] = value.strip()
            return b"".join(parts)
        except (OSError, ValueError):  # it breaks off, or is not HTTP
            self.close_connection = True
            if found := _INVOCATION.fullmatch(self.path):
                self.server.sandbox.truncated(found[1])
            raise Refused(400, "TruncatedHTTPRequest", "HTTP request detected as truncated") from None

    def _exactly(self, size: int) -> bytes:
        found = self.rfile.read(size) if size > 0 else b""
        if len(found) != size:
            raise ValueError(f"{len(found)} of {size} bytes")
        return found

    def _line(self) -> bytes:
        line = self.rfile.readline()
        if not line.endswith(b"\n"):
            raise ValueError("no line")
        return line

    def _accepted(self) -> None:
        self._reply(202, b'{"status":"OK"}\n')

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the process has ended
            self.wfile.write(body)
            self.wfile.flush()

    def _hang_up(self) -> None:
        self.close_connection = True
