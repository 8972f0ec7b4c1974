"""The embedded AWS: start, deployments and invocations, with our bridges against the emulator as it comes.

The two take turns, and each ratio is the median of the ratios within the rounds, so that a busy machine
disturbs little. The catalogue is deployed only with our bridges: as it comes, the emulator never gets to
the end of its custom resources.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from localaws import LocalAws

_HANDLERS = {
    "silent": "def handler(event, context): return event",
    "logging": "def handler(event, context): print('a line'); return event",
}
_AT_ONCE = 8
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(prog="run.py bench emulator", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=5, help="servers of each kind (default: %(default)s)")
    parser.add_argument("--no-catalogue", action="store_true", help="leave the catalogue out")
    options = parser.parse_args(arguments)
    stock: dict[str, list[float]] = {}
    bridged: dict[str, list[float]] = {}
    for number in range(options.rounds):
        kinds = [(False, stock), (True, bridged)]
        for bridges, results in kinds if number % 2 else reversed(kinds):
            for name, value in measure(bridges=bridges):
                results.setdefault(name, []).append(value)
    print(f"| median of {options.rounds} interleaved runs | stock | bridged | ratio |")
    print("|---|---:|---:|---:|")
    for name, values in stock.items():
        print(_row(name, values, bridged[name]))
    if not options.no_catalogue:
        print("\n| with the CDK CLI, bridged | deploy, s | destroy, s |")
        print("|---|---:|---:|")
        for name, deploy, destroy in deploy_catalogue():
            print(f"| `{name}` | {deploy:.1f} | {destroy:.1f} |")
    return 0


def _row(name: str, stock: list[float], bridged: list[float]) -> str:
    ratio = statistics.median(ours / theirs for ours, theirs in zip(bridged, stock, strict=True))
    digits = 0 if "per second" in name else 2
    return (
        f"| {name} | {statistics.median(stock):,.{digits}f} | {statistics.median(bridged):,.{digits}f} "
        f"| {ratio:.2f} |"
    )


def measure(*, bridges: bool) -> Iterator[tuple[str, float]]:
    """Yield what one server does, by the name of the measure."""
    aws = LocalAws(bridges=bridges)
    try:
        yield "start, s", _seconds(aws.start)
        yield "bootstrap for the CDK, s", _seconds(aws.bootstrap)
        yield "reset, s", _seconds(aws.reset)
        yield "deploy 30 resources, s", _seconds(partial(_deploy, aws))
        yield "destroy them, s", _seconds(partial(_destroy, aws))
        for name in _HANDLERS:
            _make_function(aws, name)
            yield f"first invocation, {name} handler, s", _seconds(partial(_invoke, aws, name))
            yield f"invocations per second, {name} handler", _rate(aws, name, at_once=1)
        yield f"invocations per second, {_AT_ONCE} at once", _rate(aws, "silent", at_once=_AT_ONCE)
        yield "stop, s", _seconds(aws.stop)
    finally:
        aws.stop()


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _rate(aws: LocalAws, name: str, *, at_once: int) -> float:
    """Return invocations per second, over a second."""

    def count_until(deadline: float) -> int:
        count = 0
        while time.perf_counter() < deadline:
            _invoke(aws, name)
            count += 1
        return count

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda _: _invoke(aws, name), range(at_once)))  # as many workers as there will be calls
        began = time.perf_counter()
        counts = list(pool.map(count_until, [began + 1.0] * at_once))
    return sum(counts) / (time.perf_counter() - began)


def _invoke(aws: LocalAws, name: str) -> None:
    answer = aws.client("lambda").invoke(FunctionName=name, Payload=b"{}")
    if "FunctionError" in answer:
        raise RuntimeError(answer["Payload"].read().decode())


def _make_function(aws: LocalAws, name: str) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.py", _HANDLERS[name])
    role = aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(_TRUST))
    aws.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role["Role"]["Arn"],
        Handler="index.handler",
        Code={"ZipFile": archive.getvalue()},
    )


def _deploy(aws: LocalAws) -> None:
    """Deploy ten tables, queues and topics: a stack that the emulator takes as it comes."""
    table = {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
        },
    }
    kinds = {"T": table, "Q": {"Type": "AWS::SQS::Queue"}, "S": {"Type": "AWS::SNS::Topic"}}
    resources = {f"{letter}{number}": kind for number in range(10) for letter, kind in kinds.items()}
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(StackName="many", TemplateBody=json.dumps({"Resources": resources}))
    cloudformation.get_waiter("stack_create_complete").wait(StackName="many", WaiterConfig={"Delay": 0.02})


def _destroy(aws: LocalAws) -> None:
    cloudformation = aws.client("cloudformation")
    cloudformation.delete_stack(StackName="many")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="many", WaiterConfig={"Delay": 0.02})


def deploy_catalogue() -> Iterator[tuple[str, float, float]]:
    """Yield each architecture's id, and how long its deployment and its destruction took."""
    from stacks.catalogue import ARCHITECTURES
    from tasks.cdk import FOR_THIS_MACHINE, Cdk

    with tempfile.TemporaryDirectory() as folder, LocalAws() as aws:
        cdk = Cdk({**os.environ, **aws.environment, **FOR_THIS_MACHINE}, folder=Path(folder))
        for architecture in (row for row in ARCHITECTURES if row.has_scenario):
            aws.reset()
            aws.bootstrap()
            with cdk.synthesizing(architecture.id) as synthesis:
                synthesis.finish()
            deploy = _seconds(partial(cdk.deploy, architecture.id))
            yield architecture.id, deploy, _seconds(partial(cdk.destroy, architecture.id))


if __name__ == "__main__":
    sys.exit(main())
