"""The gate of the embedded AWS: what the verification of a signature costs each request.

Each request passes the gate in this process, before an application that does nothing. CPU time counts, which
a busy machine disturbs little.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_HOST, _REGION = "127.0.0.1:4566", "us-east-1"
_KEY, _ACCOUNT = "AKIAIOSFODNN7EXAMPLE", "123456789012"


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="run.py bench signatures", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=15, help="runs of each (default: %(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        # The emulator reads its settings when it is imported.
        os.environ |= {"AUTH": "true", "USE_SSL": "1", "GATEWAY_PORT": "4566", "TMPDIR": folder}
        os.environ |= {"S3_DATA_DIR": folder, "STATE_DIR": folder, "HOME": folder}
        results = asyncio.run(_measure(options.rounds))
    print(f"| median of {options.rounds} runs | µs of CPU |\n|---|---:|")
    for name, times in results.items():
        print(f"| {name} | {statistics.median(times) * 1e6:,.0f} |")
    return 0


async def _measure(rounds: int) -> dict[str, list[float]]:
    from localaws.server.credentials import Start, root_secret
    from localaws.server.gate import guarded

    start = Start("secret of the start", _KEY, _ACCOUNT)
    mine = Credentials(_KEY, root_secret("secret of the start", _ACCOUNT))
    reached: list[str] = []

    async def nothing(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        reached.append(scope["path"])

    app = guarded(nothing, start, 4566, bridges=True)
    requests = dict(_requests(mine))
    results: dict[str, list[float]] = {name: [] for name in requests}
    for _ in range(rounds):
        for name, (scope, body, count) in requests.items():
            began, before = time.process_time(), len(reached)
            for _ in range(count):
                await app(dict(scope), _receiving(body), _refused)
            results[name].append((time.process_time() - began) / count)
            assert len(reached) - before == count
    return results


def _requests(mine: Credentials) -> Any:
    json_headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "DynamoDB_20120810.PutItem"}
    for name, size in (("1 KB", 1024), ("256 KB", 256 * 1024)):
        request = _request("POST", "/", b"x" * size, json_headers)
        SigV4Auth(mine, "dynamodb", _REGION).add_auth(request)
        yield f"DynamoDB, {name}", (_scope(request), request.data, 200)
    request = _request("PUT", "/photos/a", b"x" * 8 * 1024 * 1024, {})
    S3SigV4Auth(mine, "s3", _REGION).add_auth(request)
    yield "S3, 8 MB, hashed by the client", (_scope(request), request.data, 4)
    request = _request("GET", "/photos/a", b"", {})
    S3SigV4Auth(mine, "s3", _REGION).add_auth(request)
    yield "S3, a download", (_scope(request), b"", 200)
    request = _request("GET", "/photos/a", b"", {})
    S3SigV4QueryAuth(mine, "s3", _REGION, expires=3600).add_auth(request)
    yield "S3, a presigned URL", (_scope(request), b"", 200)
    request = _request("GET", "/", b"", {"Host": "web-1.us-east-1.elb.amazonaws.com"})
    yield "a load balancer, unsigned", (_scope(request), b"", 200)


def _request(method: str, path: str, body: bytes, headers: dict[str, str]) -> AWSRequest:
    return AWSRequest(method, f"https://{_HOST}{path}", headers={"Host": _HOST} | headers, data=body)


def _scope(request: AWSRequest) -> dict[str, Any]:
    parts = urlsplit(str(request.url))
    return {
        "type": "http",
        "method": request.method,
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "headers": [(name.lower().encode(), str(value).encode()) for name, value in request.headers.items()],
    }


def _receiving(body: bytes) -> Any:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _refused(message: MutableMapping[str, Any]) -> None:
    raise RuntimeError(f"The gate has refused the request: {message}")


if __name__ == "__main__":
    sys.exit(main())
