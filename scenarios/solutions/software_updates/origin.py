"""The fleet, as far as it is a web server: files of the bucket, and no word about caches."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from botocore.exceptions import ClientError

from scenarios.framework import DeployedStack
from scenarios.support.other_account import assume

_TIME = "%a, %d %b %Y %H:%M:%S GMT"


class Requests:
    """What the origin was asked for."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()

    def note(self, path: str) -> None:
        """Count a request."""
        self._asked[path] += 1

    def of(self, path: str) -> int:
        """Return how many requests for a path reached the origin."""
        return self._asked[path]


@contextmanager
def as_machine(stack: DeployedStack) -> Iterator[Any]:
    """A client of S3 with the role of the machines, which trusts EC2 only.

    The account is added to its trust policy while the body runs: there is no machine to ask for credentials.
    """
    iam, role = stack.client("iam"), stack.output("FleetRoleArn")
    name = role.rpartition("/")[2]
    trusted = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    account = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": role.split(":")[4]}}
    wider = {**trusted, "Statement": [*trusted["Statement"], account]}
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(wider))
    try:
        yield stack.session.client("s3", **assume(stack, role))
    finally:
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trusted))


@contextmanager
def origin(stack: DeployedStack) -> Iterator[Requests | None]:
    """Let a server on this machine answer for the fleet; in a real account, where it runs itself, do nothing.

    Yields:
        What the origin was asked for, which a real account does not tell in time.
    """
    if stack.instances_answer is None:
        yield None
        return
    requests = Requests()
    with as_machine(stack) as s3:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(s3, stack.output("BucketName"), requests))
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            with stack.instances_answer(stack.output("FleetName"), f"http://127.0.0.1:{server.server_port}"):
                yield requests
        finally:
            server.shutdown()
            server.server_close()


def _handler(s3: Any, bucket: str, requests: Requests) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """As the machines' web server: with `Last-Modified`, without `ETag` and `Cache-Control`."""

        def do_GET(self) -> None:
            requests.note(self.path)
            if self.path == "/health":
                self._answer(200, b"ok")
                return
            try:
                found = s3.get_object(Bucket=bucket, Key=self.path[1:])
            except ClientError:
                self._answer(404, b"not found")
                return
            modified = found["LastModified"].strftime(_TIME)
            if self.headers.get("If-Modified-Since") == modified:
                self._answer(304, b"", modified)
            else:
                self._answer(200, found["Body"].read(), modified)

        def _answer(self, status: int, body: bytes, modified: str | None = None) -> None:
            self.send_response(status)
            if modified:
                self.send_header("Last-Modified", modified)
            if status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler
