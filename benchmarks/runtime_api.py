"""Execution environments: Python functions without and with the Runtime API, and with an extension.

The same handler in each: a first invocation, which starts the environment, and warm ones. The kinds take
turns, and the ratios compare them in the same run.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
import uuid
import zipfile
from typing import Any

from localaws import LocalAws

_HANDLER = "def handler(event, context):\n    return event\n"
_WRAPPER = '#!/bin/sh\nexec "$@"\n'
_CUSTOM = """#!/var/lang/bin/python3 -S
import http.client, os
host = os.environ["AWS_LAMBDA_RUNTIME_API"]
connection = http.client.HTTPConnection(host)
while True:
    connection.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = connection.getresponse()
    event, id = answer.read(), answer.headers["Lambda-Runtime-Aws-Request-Id"]
    connection.request("POST", f"/2018-06-01/runtime/invocation/{id}/response", event)
    connection.getresponse().read()
"""
_EXTENSION = """#!/var/lang/bin/python3 -S
import http.client, json, os
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
name = {"Lambda-Extension-Name": os.path.basename(__file__)}
connection.request("POST", "/2020-01-01/extension/register", json.dumps({"events": ["INVOKE"]}), name)
answer = connection.getresponse()
answer.read()
me = {"Lambda-Extension-Identifier": answer.headers["Lambda-Extension-Identifier"]}
while True:
    connection.request("GET", "/2020-01-01/extension/event/next", headers=me)
    connection.getresponse().read()
"""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="run.py bench runtime_api", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=9, help="cold starts of each (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=50, help="warm calls per start (default: %(default)s)")
    options = parser.parse_args(arguments)
    with LocalAws() as aws:
        kinds = _kinds(aws)
        first: dict[str, list[float]] = {name: [] for name in kinds}
        warm: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(options.rounds + 1):
            for name, settings in kinds.items():
                function = _make(aws, **settings)
                first[name].append(_call(aws, function))
                warm[name].append(statistics.median(_call(aws, function) for _ in range(options.calls)))
                aws.client("lambda").delete_function(FunctionName=function)
    plain = statistics.median(warm["Python"][1:]), statistics.median(first["Python"][1:])
    print("| ms, median | first call | ratio | warm call | ratio |\n|---|---:|---:|---:|---:|")
    for name in kinds:
        # The first round also imports and compiles what all later ones share.
        cold, hot = statistics.median(first[name][1:]), statistics.median(warm[name][1:])
        print(f"| {name} | {cold:.1f} | {cold / plain[1]:.1f} | {hot:.2f} | {hot / plain[0]:.1f} |")
    return 0


def _kinds(aws: LocalAws) -> dict[str, dict[str, Any]]:
    wrapped = {"Environment": {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrap"}}}
    return {
        "Python": {"code": {"index.py": _HANDLER}},
        "Python, by the Runtime API (`awslambdaric`)": {
            "code": {"index.py": _HANDLER},
            "Layers": [_layer(aws, {"wrap": _WRAPPER})],
            **wrapped,
        },
        "… with an extension": {
            "code": {"index.py": _HANDLER},
            "Layers": [_layer(aws, {"extensions/watch": _EXTENSION})],
        },
        "custom runtime in Python": {"code": {"bootstrap": _CUSTOM}, "Runtime": "provided.al2023"},
    }


def _zip(files: dict[str, str]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as opened:
        for path, text in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o755 << 16
            opened.writestr(entry, text)
    return written.getvalue()


def _layer(aws: LocalAws, files: dict[str, str]) -> str:
    published = aws.client("lambda").publish_layer_version(
        LayerName=f"layer-{uuid.uuid4().hex[:8]}", Content={"ZipFile": _zip(files)}
    )
    return str(published["LayerVersionArn"])


def _make(aws: LocalAws, *, code: dict[str, str], **settings: Any) -> str:
    name, iam = f"function-{uuid.uuid4().hex[:8]}", aws.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]["Arn"]
    given = {"Runtime": "python3.13", "Handler": "index.handler", "Timeout": 60, **settings}
    aws.client("lambda").create_function(FunctionName=name, Role=role, Code={"ZipFile": _zip(code)}, **given)
    return name


def _call(aws: LocalAws, function: str) -> float:
    began = time.perf_counter()
    answer = aws.client("lambda").invoke(FunctionName=function, Payload=b'{"n": 1}')
    assert json.load(answer["Payload"]) == {"n": 1}, function
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    raise SystemExit(main())
