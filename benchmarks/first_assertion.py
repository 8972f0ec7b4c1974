"""How long a test of a small CDK app takes until its first assertion, with the fixtures of pytest-localaws.

Each round is a new process of pytest in a new folder. An empty test takes its turn, as the measure of the
machine: what is above it is ours.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# As in the README of localaws: a table, and a function that may write to it.
_APP = '''
import time
import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb, aws_lambda as lambda_

CODE = """
import boto3, os
def handler(event, context):
    boto3.client("dynamodb").put_item(TableName=os.environ["TABLE"], Item={"id": {"S": event["id"]}})
"""

def orders(app):
    stack = cdk.Stack(app, "Orders")
    key = dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING)
    table = dynamodb.TableV2(stack, "Table", partition_key=key)
    handler = lambda_.Function(
        stack, "Handler", runtime=lambda_.Runtime.PYTHON_3_13, handler="index.handler",
        code=lambda_.Code.from_inline(CODE), environment={"TABLE": table.table_name},
    )
    table.grant_write_data(handler)

def test_it(deploy, note):
    deployed = deploy(orders)
    note("deployed, since the start of pytest")
    deployed.invoke("Handler", {"id": "o-1"})
    table = deployed.resource("Table").physical_id
    assert deployed.client("dynamodb").scan(TableName=table)["Count"] == 1
    note("first assertion of a small stack, since the start of pytest")
'''
_EMPTY = """
def test_it(note):
    note("first assertion of an empty test")
"""
_CONFTEST = """
import os, time
import pytest

def write(name, seconds):
    with open("noted", "a") as file:
        file.write(f"{name}: {seconds}\\n")

@pytest.fixture
def note():
    return lambda name: write(name, time.time() - float(os.environ["BEGAN"]))

@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef):
    began = time.time()
    made = yield
    if fixturedef.argname == "local_aws":
        write("the fixture local_aws: start", time.time() - began)
    return made
"""
#: The targets, in seconds on a free machine.
_TARGETS = {
    "the fixture local_aws: start": 1.5,
    "first assertion of a small stack, since the start of pytest": 8.0,
}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="run.py bench first_assertion", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="processes of each kind (default: %(default)s)")
    options = parser.parse_args(arguments)
    measured: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for test in (_EMPTY, _APP):
            for name, seconds in measure(test).items():
                measured.setdefault(name, []).append(seconds)
    print(f"| median of {options.rounds} interleaved runs, s | median | fastest | target |")
    print("|---|---:|---:|---:|")
    for name, values in measured.items():
        print(f"| {name} | {statistics.median(values):.2f} | {min(values):.2f} | {_TARGETS.get(name, '')} |")
    return 0


def measure(test: str) -> dict[str, float]:
    """Run a test, and return what it has noted, with the processor time of pytest and its children."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_it.py").write_text(test)
        Path(folder, "conftest.py").write_text(_CONFTEST)
        before = _processor_time()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder]
        variables = {**os.environ, "BEGAN": str(time.time())}
        ran = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise RuntimeError(ran.stdout)
        lines = Path(folder, "noted").read_text().splitlines()
        noted = {line.rpartition(": ")[0]: float(line.rpartition(": ")[2]) for line in lines}
    what = "a small stack" if test == _APP else "an empty test"
    return {**noted, f"processor time of pytest and its children, {what}": _processor_time() - before}


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
