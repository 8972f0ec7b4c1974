"""A function that leaves processes of every kind, and a user's program that can be killed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localaws import LocalAws
from localaws.server import processes
from localaws.server.child import Child

_TESTS = Path(__file__).parents[1]

# One child in a session of its own, and one whose parent is gone: neither is in the server's process group.
_HANDLER = """
import os, subprocess, sys
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
START = "import subprocess as s, sys; print(s.Popen(sys.argv[1:], stdout=s.DEVNULL, stderr=s.DEVNULL).pid)"
def handler(event, context):
    child = subprocess.Popen(SLEEP, start_new_session=True)
    parent = subprocess.run(
        [sys.executable, "-c", START, *SLEEP], start_new_session=True, capture_output=True, check=True
    )
    return {"pids": [os.getpid(), child.pid, int(parent.stdout)]}
"""

PROGRAM = """
import json, os, sys, time
from localaws import LocalAws
from helpers.processes_of import leave_processes_behind
with LocalAws() as aws:
    print(json.dumps({
        "folder": str(aws.log_file.parent),
        "pids": leave_processes_behind(aws),
    }), flush=True)
    BODY
"""


LAMBDA_MAY_ASSUME = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


def make_function(aws: LocalAws, code: str, *, name: str = "f", timeout: int = 30) -> str:
    """Create a function with one file, and return its ARN."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.py", code)
    role = aws.client("iam").create_role(
        RoleName=f"role-{name}", AssumeRolePolicyDocument=json.dumps(LAMBDA_MAY_ASSUME)
    )
    made = aws.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role["Role"]["Arn"],
        Handler="index.handler",
        Code={"ZipFile": archive.getvalue()},
        Timeout=timeout,
    )
    return str(made["FunctionArn"])


def invoke(aws: LocalAws, name: str = "f") -> Any:
    """Invoke a function and return what it returned."""
    answer = aws.client("lambda").invoke(FunctionName=name)
    payload = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, payload
    return payload


def make_database(aws: LocalAws) -> None:
    """Create a database instance, which is a PostgreSQL server."""
    aws.client("rds").create_db_instance(
        DBInstanceIdentifier="left-behind",
        Engine="postgres",
        DBInstanceClass="db.t4g.micro",
        AllocatedStorage=20,
        MasterUsername="master",
        MasterUserPassword="a-password-of-24-letters",
    )


def leave_processes_behind(aws: LocalAws) -> list[int]:
    """Run a function, and return the process ids of the server, its worker and the worker's children."""
    make_function(aws, _HANDLER)
    pids: list[int] = invoke(aws)["pids"]
    child = aws._running
    assert isinstance(child, Child)
    return [child.keeper_pid, child.ready.pid, *pids]


@contextlib.contextmanager
def running_program(body: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """Run a program that starts an embedded AWS and then executes `body`."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.replace("BODY", body)],
        env={**os.environ, "PYTHONPATH": str(_TESTS)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert program.stdout
    try:
        yield program, json.loads(program.stdout.readline())
    finally:
        program.kill()
        program.wait()
        program.stdout.close()


def assert_nothing_is_left(pids: list[int], folder: Path, *, seconds: float = 5) -> None:
    """Require that all processes and the folder are gone soon."""
    deadline = time.monotonic() + seconds
    alive = pids
    while (alive or folder.exists()) and time.monotonic() < deadline:
        alive = [pid for pid in pids if processes.is_alive(pid)]
        time.sleep(0.02)
    assert not alive
    assert not folder.exists()
