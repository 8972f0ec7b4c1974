"""Function URLs: what an adapter costs for each request, and requests per second through each URL.

Adapters: the same request for the notes service, one after the other in one process, with notes in memory: as
the service's own `Request` (no adapter), and as the events of a load balancer and of a function URL through
the handlers. CPU time; the kinds take turns.
Fronts: the embedded AWS, one client, a new connection for each request to a URL, as in the scenarios. The
function returns a constant: by `Invoke` (signed, one connection), and by a URL with NONE and with AWS_IAM.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import logging
import os
import statistics
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from localaws import LocalAws
from scenarios.framework import DeployedStack
from scenarios.web.function_url.client import Client

SOURCE = Path(__file__).parents[1] / "lambda_src"
_ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "TABLE_NAME": "notes",
    "INDEX_NAME": "by-time",
    "POWERTOOLS_SERVICE_NAME": "notes",
}
_CONTEXT = SimpleNamespace(
    aws_request_id="request", function_name="notes", memory_limit_in_mb=512, invoked_function_arn="arn"
)
_REQUESTS = 2_000
_PATH = "/notes/a%20b"
_HEADERS = {
    "accept": "*/*",
    "host": "notes.example.com",
    "user-agent": "curl/8.5.0",
    "x-amzn-trace-id": "Root=1-5c536348-3d683b8b04734faae651f476",
    "x-forwarded-for": "203.0.113.7",
    "x-forwarded-port": "443",
    "x-forwarded-proto": "https",
}
_OF_BALANCER = {
    "requestContext": {"elb": {"targetGroupArn": "arn"}},
    "httpMethod": "GET",
    "path": _PATH,
    "multiValueQueryStringParameters": {},
    "multiValueHeaders": {name: [value] for name, value in _HEADERS.items()},
    "body": "",
    "isBase64Encoded": False,
}
_OF_URL = {
    "version": "2.0",
    "rawPath": _PATH,
    "rawQueryString": "",
    "headers": _HEADERS,
    "requestContext": {
        "domainName": "id.lambda-url.eu-central-1.on.aws",
        "http": {"method": "GET", "path": _PATH},
        "stage": "$default",
    },
    "isBase64Encoded": False,
}
_SOURCE = "def handler(event, context): return {'statusCode': 200, 'body': 'x'}"


def main(arguments: list[str] | None = None) -> int:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(
        prog="run.py bench function_url", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=7, help="runs of each kind (default: 7)")
    rounds = parser.parse_args(arguments).rounds
    with mock.patch.dict(os.environ, _ENVIRONMENT):
        _print("CPU time of a request, µs", _in_turns(_adapters(), rounds, time.process_time, 1e6))
    with LocalAws() as aws:
        seconds = _in_turns(_fronts(aws), rounds, time.perf_counter, 1)
    _print("Requests per second", {kind: 1 / value for kind, value in seconds.items()})
    return 0


def _in_turns(
    kinds: dict[str, tuple[int, Callable[[], object]]], rounds: int, clock: Callable[[], float], unit: float
) -> dict[str, float]:
    """The median time of a call of each kind."""
    seen: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, (count, call) in kinds.items():
            begun = clock()
            for _ in range(count):
                call()
            seen[kind].append((clock() - begun) / count * unit)
    return {kind: statistics.median(values) for kind, values in seen.items()}


def _print(title: str, values: dict[str, float]) -> None:
    print(f"{title}\n")
    first = next(iter(values.values()))
    for kind, value in values.items():
        print(f"  {kind:<28} {value:9.1f}   {value / first:5.2f}")
    print()


def _adapters() -> dict[str, tuple[int, Callable[[], object]]]:
    sys.path.insert(0, str(SOURCE))
    notes, messages = importlib.import_module("notes.note"), importlib.import_module("notes.messages")
    balancer, url = (
        importlib.import_module(f"web.{name}.handler") for name in ("alb_function", "function_url")
    )
    note = notes.Note.make("a b", b"content", "text/plain", ["tag"], now="2026-01-01T00:00:00.000000Z")
    for module in (balancer, url):
        object.__setattr__(module.service, "notes", SimpleNamespace(get=lambda _name: note))
        module.logger.setLevel(logging.ERROR)
    request = messages.Request(method="GET", path=_PATH)
    return {
        "the service, no adapter": (_REQUESTS, lambda: url.service.answer(request)),
        "a load balancer": (_REQUESTS, lambda: balancer.handler(_OF_BALANCER, _CONTEXT)),
        "a function URL": (_REQUESTS, lambda: url.handler(_OF_URL, _CONTEXT)),
    }


def _fronts(aws: LocalAws) -> dict[str, tuple[int, Callable[[], object]]]:
    client, iam = aws.client("lambda"), aws.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName="function", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("index.py", _SOURCE)
    made: dict[str, Any] = {"Runtime": "python3.13", "Handler": "index.handler", "Role": role}
    urls = {}
    for name in ("NONE", "AWS_IAM"):
        client.create_function(FunctionName=name, Code={"ZipFile": archive.getvalue()}, **made)
        urls[name] = client.create_function_url_config(FunctionName=name, AuthType=name)["FunctionUrl"]
    everybody = {"FunctionName": "NONE", "Principal": "*"}
    client.add_permission(
        **everybody, StatementId="a", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE"
    )
    client.add_permission(
        **everybody, StatementId="b", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True
    )
    stack, mine = DeployedStack("none", {}, aws.session), aws.session.get_credentials()
    assert mine is not None
    given = {"key": mine.access_key, "secret": mine.secret_key}
    public, signed = Client(stack, urls["NONE"]), Client(stack, urls["AWS_IAM"], given)
    return {
        "Invoke": (100, lambda: client.invoke(FunctionName="NONE")["Payload"].read()),
        "function URL, NONE": (100, lambda: public.expect(200, "GET", "/")),
        "function URL, AWS_IAM": (100, lambda: signed.expect(200, "GET", "/")),
    }


if __name__ == "__main__":
    sys.exit(main())
