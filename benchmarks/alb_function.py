"""The notes service behind a load balancer: time per request and start, against bare handler and client.

Requests: the same event, one after the other, in one process; the notes are in memory, so that only reading
the event, routing, and writing the response are measured. The bare handler does the same for this one route,
by hand. Powertools' resolver, which the service does not use, is measured for the same route.
Start: importing the handler, against making one client with boto3, and the handler with Powertools' resolver;
each in a fresh interpreter, from its first import on. CPU time is measured, which a busy machine disturbs
little; kinds take turns.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

SOURCE = Path(__file__).parents[1] / "lambda_src"
HANDLER = "web.alb_function.handler"
_ENVIRONMENT = {
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "TABLE_NAME": "notes",
    "INDEX_NAME": "by-time",
    "POWERTOOLS_SERVICE_NAME": "notes",
    "PYTHONPATH": str(SOURCE),
}
_STARTS = {
    "a client of boto3": "import gc; gc.disable(); import boto3; boto3.client('dynamodb')",
    "the handler": f"import {HANDLER}",
    "the handler and Powertools' resolver": (
        f"import {HANDLER}; from aws_lambda_powertools.event_handler import ALBResolver"
    ),
}
_PROGRAM = """
import time
begun = time.process_time()
{work}
print(time.process_time() - begun)
"""
_CONTEXT = SimpleNamespace(
    aws_request_id="request", function_name="notes", memory_limit_in_mb=512, invoked_function_arn="arn"
)
_REQUESTS = 2_000

Event = dict[str, Any]
Handler = Callable[[Event, Any], Event]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(
        prog="run.py bench alb_function", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=11, help="runs of each kind (default: 11)")
    rounds = parser.parse_args(arguments).rounds
    with mock.patch.dict(os.environ, _ENVIRONMENT):
        _measure_requests(rounds)
        _measure_starts(rounds)
    return 0


# --- Requests


def _measure_requests(rounds: int) -> None:
    handler, note = _load()
    kinds: dict[str, Handler] = {
        "by hand": _by_hand(note),
        "the service": lambda event, context: _checked(handler.handler(event, context)),
        "routing by Powertools, for comparison": _only_routing(),
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(rounds + 1):
        for kind, handle in kinds.items():
            taken = _seconds_each(handle)
            if number:  # the first round warms up
                seconds[kind].append(taken)
    print(f"| GET of a note, µs of CPU (median of {rounds} runs of {_REQUESTS:,}) | µs |\n|---|---|")
    for kind, measured in seconds.items():
        print(f"| {kind} | {statistics.median(measured) * 1e6:.1f} |")
    print()


def _load() -> tuple[Any, Any]:
    """The handler, with one note in memory, and its log switched off."""
    sys.path.insert(0, str(SOURCE))
    handler = importlib.import_module(HANDLER)
    module = importlib.import_module("notes.note")
    note = module.Note.make("a b", b"content", "text/plain", ["tag"], now="2026-01-01T00:00:00.000000Z")
    object.__setattr__(handler.service, "notes", SimpleNamespace(get=lambda _name: note))
    handler.logger.setLevel(logging.ERROR)
    return handler, note


def _event() -> Event:
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn"}},
        "httpMethod": "GET",
        "path": "/notes/a%20b",
        "multiValueQueryStringParameters": {},
        "multiValueHeaders": {
            "accept": ["*/*"],
            "host": ["notes.example.com"],
            "user-agent": ["curl/8.5.0"],
            "x-amzn-trace-id": ["Root=1-5c536348-3d683b8b04734faae651f476"],
            "x-forwarded-for": ["203.0.113.7"],
            "x-forwarded-port": ["443"],
            "x-forwarded-proto": ["https"],
        },
        "body": "",
        "isBase64Encoded": False,
    }


def _checked(response: Event) -> Event:
    assert response["body"] == "content", response
    return response


def _by_hand(note: Any) -> Handler:
    from urllib.parse import unquote

    def handle(event: Event, _context: object) -> Event:
        _, kind, name = event["path"].split("/")
        assert kind == "notes"
        assert event["httpMethod"] == "GET"
        assert unquote(name) == note.name
        headers = {"Content-Type": [note.content_type]}
        body = note.content
        text = body.decode() if body.isascii() else base64.b64encode(body).decode()
        return {
            "statusCode": 200,
            "statusDescription": "200 OK",
            "isBase64Encoded": not body.isascii(),
            "multiValueHeaders": headers,
            "body": text,
        }

    return handle


def _only_routing() -> Handler:
    from aws_lambda_powertools.event_handler import ALBResolver, Response

    app = ALBResolver()

    @app.get("/notes/<name>")
    def read(name: str) -> Response[str]:
        return Response(200, "text/plain", name)

    return app.resolve


def _seconds_each(handle: Handler) -> float:
    event = _event()
    begun = time.process_time()
    for _ in range(_REQUESTS):
        handle(event, _CONTEXT)
    return (time.process_time() - begun) / _REQUESTS


# --- Start


def _measure_starts(rounds: int) -> None:
    seconds: dict[str, list[float]] = {kind: [] for kind in _STARTS}
    for number in range(rounds + 1):
        for kind, work in _STARTS.items():
            done = subprocess.run(
                [sys.executable, "-c", _PROGRAM.format(work=work)], capture_output=True, text=True, check=True
            )
            if number:
                seconds[kind].append(json.loads(done.stdout))
    print(f"| start, ms of CPU (median of {rounds} interleaved) | ms | to the client |\n|---|---|---|")
    base = seconds["a client of boto3"]
    for kind, measured in seconds.items():
        ratio = statistics.median(one / other for one, other in zip(measured, base, strict=True))
        print(f"| {kind} | {statistics.median(measured) * 1000:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    sys.exit(main())
