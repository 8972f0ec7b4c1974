"""Telemetry of a function → batches in S3: an external extension, which runs next to the function.

It registers first and imports the SDK while the runtime starts, because the first answer waits until every
extension is ready. Between invocations Lambda freezes the process, so it ships in the foreground, after the
answer: the caller does not wait, but the environment does, and the time is billed.
"""

import json
import os
import sys
import threading
import time
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .batches import Buffer

_PORT = 4243
# A sink that does not answer holds the environment for these seconds, and then for none until the next try.
_CONNECT, _READ, _FIRST_PAUSE = 1, 1, 1.0


class Extension:
    """The client of the Extensions API and the Telemetry API.

    Args:
        name: The name of the file in ``/opt/extensions``.
    """

    def __init__(self, name: str) -> None:
        events = {"events": ["INVOKE", "SHUTDOWN"]}
        _, headers = _ask("POST", "/2020-01-01/extension/register", events, {"Lambda-Extension-Name": name})
        self._me = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}

    def subscribe(self) -> None:
        """Ask for the records of the platform and of the function, soon after they are written."""
        request = {
            "schemaVersion": "2022-12-13",
            "types": ["platform", "function"],
            "buffering": {"timeoutMs": 25},
            "destination": {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{_PORT}"},
        }
        _ask("PUT", "/2022-07-01/telemetry", request, self._me)

    def next(self) -> dict[str, Any]:
        """Wait for the next event; Lambda may freeze the environment meanwhile."""
        event: dict[str, Any] = _ask("GET", "/2020-01-01/extension/event/next", None, self._me)[0]
        return event


class Shipper:
    """Writes batches into a bucket.

    Args:
        buffer: The waiting records.
        bucket: The name of the bucket.
        prefix: What its keys begin with.
    """

    def __init__(self, buffer: Buffer, bucket: str, prefix: str) -> None:
        self._buffer, self._bucket = buffer, bucket
        self._folder = f"{prefix}{os.environ['AWS_LAMBDA_FUNCTION_NAME']}"
        self._environment = uuid.uuid4().hex
        self._pause, self._not_before = _FIRST_PAUSE, 0.0
        self._ready = threading.Event()
        threading.Thread(target=self._prepare, daemon=True).start()

    def _prepare(self) -> None:
        import boto3
        from botocore.config import Config

        once = Config(connect_timeout=_CONNECT, read_timeout=_READ, retries={"total_max_attempts": 1})
        self._s3 = boto3.client("s3", config=once)
        self._ready.set()

    def ship(self, *, last: bool = False) -> None:
        """Write what waits, if it is due; after a failure later and later.

        Args:
            last: The environment ends: ship now, whatever was before.
        """
        now = time.monotonic()
        if not last and (not self._buffer.is_due() or now < self._not_before or not self._ready.is_set()):
            return
        body, count = self._buffer.batch()
        if not count or not self._ready.wait(1):
            return
        key = f"{self._folder}/{time.strftime('%Y/%m/%d')}/{self._environment}-{time.time_ns()}.jsonl.gz"
        try:
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=body)
        except Exception as error:
            self._not_before, self._pause = time.monotonic() + self._pause, min(self._pause * 2, 60.0)
            _log("lost" if last else "not shipped", records=count, error=str(error))
            return
        self._pause = _FIRST_PAUSE
        self._buffer.shipped(count)


def main(name: str) -> None:
    """Register, and ship what the function logs until the environment ends."""
    extension = Extension(name)
    settings = os.environ
    buffer = Buffer(int(settings["LOG_SHIPPING_BUFFER_BYTES"]), float(settings["LOG_SHIPPING_MAX_AGE"]))
    shipper = Shipper(buffer, settings["LOG_SHIPPING_BUCKET"], settings["LOG_SHIPPING_PREFIX"])
    _listen(buffer)
    extension.subscribe()
    while (event := extension.next())["eventType"] == "INVOKE":
        buffer.wait_for_end(event["requestId"], event["deadlineMs"] / 1000 - time.time())
        shipper.ship()
    shipper.ship(last=True)


def _listen(buffer: Buffer) -> None:
    class Records(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            buffer.add(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: what it writes would be in the log of the function."""

    server = ThreadingHTTPServer(("sandbox.localdomain", _PORT), Records)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def _ask(method: str, path: str, body: object, headers: dict[str, str]) -> tuple[Any, Any]:
    data = None if body is None else json.dumps(body).encode()
    url = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}{path}"
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return json.load(answer), answer.headers


def _log(message: str, **more: object) -> None:
    print(json.dumps({"level": "WARNING", "message": f"log shipping: {message}", **more}), file=sys.stderr)
