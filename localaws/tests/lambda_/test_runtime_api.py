"""Custom runtimes, wrappers and extensions run with the Runtime API."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import sys
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from helpers.lambda_functions import Functions, Invoked, eventually
from localaws import LocalAws
from localaws.engines import namespaces

pytestmark = pytest.mark.local

# A runtime in Python: what the event says, and what it gets.
# Not the one of a virtual environment, which may be below the host's /tmp.
PYTHON = os.path.realpath(sys.executable)
BOOTSTRAP = f"""#!{PYTHON} -uS
import json, os, sys, time, urllib.error, urllib.request
API = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/"
def ask(path, body=None, **headers):
    headers = {{name.replace("_", "-"): value for name, value in headers.items()}}
    with urllib.request.urlopen(urllib.request.Request(API + path, body, headers)) as answer:
        return answer.read(), answer.headers
INIT
while True:
    raw, headers = ask("invocation/next")
    event, path = json.loads(raw), "invocation/" + headers["Lambda-Runtime-Aws-Request-Id"]
    code = event.get("run", "") if isinstance(event, dict) else ""
    answer = json.dumps({{"event": event, "file": __file__, **dict(headers)}}).encode()
    error = None
    exec(code)
    if answer is None:
        continue  # it has been sent
    if error is None:
        ask(path + "/response", answer)
    else:
        kind = error["errorType"]
        ask(path + "/error", json.dumps(error).encode(), Lambda_Runtime_Function_Error_Type=kind)
"""


def archive(files: Mapping[str, str]) -> bytes:
    """An archive whose files can be executed."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as opened:
        for path, text in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o755 << 16
            opened.writestr(entry, text)
    return written.getvalue()


class Made(Functions):
    """Functions with programs of their own."""

    def layer(self, files: Mapping[str, str]) -> str:
        """A layer; returns the ARN of its version."""
        arn: str = self.aws.client("lambda").publish_layer_version(
            LayerName=f"layer-{uuid.uuid4().hex[:8]}", Content={"ZipFile": archive(files)}
        )["LayerVersionArn"]
        return arn

    def custom(self, files: Mapping[str, str], **settings: Any) -> str:
        """A function with a runtime of its own; returns its name."""
        name = f"function-{uuid.uuid4().hex[:8]}"
        given = {"Runtime": "provided.al2023", "Handler": "my.handler", "Timeout": 20, **settings}
        self.aws.client("lambda").create_function(
            FunctionName=name, Role=self.role(), Code={"ZipFile": archive(files)}, **given
        )
        return name

    def lines(self, name: str) -> list[str]:
        """All that is in the log of a function."""
        logs = self.aws.client("logs")
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
        return [event["message"] for page in pages for event in page["events"]]


@pytest.fixture(scope="module")
def made(local_aws: LocalAws) -> Made:
    return Made(local_aws)


@pytest.fixture(scope="module")
def custom(made: Made) -> str:
    return made.custom({"bootstrap": BOOTSTRAP.replace("INIT", "print('starts')")})


def failed(invoked: Invoked) -> tuple[str, str]:
    """The type and the message of an error, without the request id."""
    assert invoked.error == "Unhandled"
    message = invoked.payload["errorMessage"].replace(invoked.request_id, "ID")
    return invoked.payload["errorType"], message


def test_a_custom_runtime_gets_events_with_the_documented_headers(made: Made, custom: str) -> None:
    context = base64.b64encode(b'{"client": {"app_title": "shop"}}').decode()
    invoked = made.aws.client("lambda").invoke(
        FunctionName=custom, Payload=b'{"a": "\\u00e4"}', ClientContext=context, LogType="Tail"
    )
    found = json.load(invoked["Payload"])
    assert found["event"] == {"a": "ä"}
    assert found["Lambda-Runtime-Aws-Request-Id"] == invoked["ResponseMetadata"]["RequestId"]
    assert found["Lambda-Runtime-Invoked-Function-Arn"].endswith(f":function:{custom}")
    assert found["Lambda-Runtime-Trace-Id"].startswith("Root=1-")
    assert found["Lambda-Runtime-Deadline-Ms"].isdigit()
    assert json.loads(found["Lambda-Runtime-Client-Context"]) == {"client": {"app_title": "shop"}}
    if namespaces.available():
        assert found["file"] == "/var/task/bootstrap"
    assert "starts" in base64.b64decode(invoked["LogResult"]).decode().splitlines()


def test_what_a_custom_runtime_reports_is_what_the_caller_gets(made: Made, custom: str) -> None:
    error = {"errorType": "Shop.SoldOut", "errorMessage": "nothing left", "stackTrace": []}
    invoked = made.invoke(custom, {"run": f"error = {error}"})
    assert (invoked.error, invoked.payload) == ("Unhandled", error)
    assert made.invoke(custom, {"run": "answer = b'[1, 2]'"}).payload == [1, 2]
    assert (
        made.aws.client("lambda")
        .invoke(FunctionName=custom, Payload=b'{"run": "answer = b\'<p>\'"}')["Payload"]
        .read()
        == b"<p>"
    )


@pytest.mark.parametrize(
    "more",
    [
        b'"huge": 1e400, "long": 12345678901234567890.12345678901234567890, "twice": 1, "twice": 2',
        b'"half": "\\ud800"',
        b'"deep": ' + b"[" * 400 + b"]" * 400,
    ],
    ids=["numbers", "surrogate", "nested"],
)
def test_payloads_are_passed_byte_by_byte(made: Made, custom: str, more: bytes) -> None:
    client = made.aws.client("lambda")
    sent = b'{"run": "answer = raw", ' + more + b"}"
    assert client.invoke(FunctionName=custom, Payload=sent)["Payload"].read() == sent
    failing = sent.replace(b"answer = raw", b"answer = raw; error = dict(event, errorType='A')")
    answer = client.invoke(FunctionName=custom, Payload=failing)
    assert (answer["FunctionError"], b'"errorType": "A"' in answer["Payload"].read()) == ("Unhandled", True)


def test_a_response_may_be_anything(made: Made, custom: str) -> None:
    client = made.aws.client("lambda")
    for answer in (b"\xff\xfe", b'"\\ud800"', b"[" * 5000 + b"]" * 5000):
        event = json.dumps({"run": f"answer = {answer!r}"})
        assert client.invoke(FunctionName=custom, Payload=event)["Payload"].read() == answer


def test_a_runtime_that_ends_or_takes_too_long_is_started_again(made: Made) -> None:
    name = made.custom({"bootstrap": BOOTSTRAP.replace("INIT", "print('starts')")}, Timeout=1)
    assert failed(made.invoke(name, {"run": "os._exit(7)"})) == (
        "Runtime.ExitError",
        "RequestId: ID Error: Runtime exited with error: exit status 7",
    )
    assert failed(made.invoke(name, {"run": "os._exit(0)"}))[1] == (
        "RequestId: ID Error: Runtime exited without providing a reason"
    )
    assert failed(made.invoke(name, {"run": "time.sleep(60)"})) == (
        "Sandbox.Timedout",
        "RequestId: ID Error: Task timed out after 1.00 seconds",
    )
    assert made.invoke(name, {}).error is None
    assert made.lines(name).count("starts") == 4


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"main": "#!/bin/sh"},
            "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
        ),
        ({"bootstrap": "#!/missing"}, "fork/exec /var/task/bootstrap: no such file or directory"),
        ({"bootstrap": "no program"}, "fork/exec /var/task/bootstrap: exec format error"),
    ],
)
def test_without_a_bootstrap_that_can_run_the_entry_point_is_invalid(
    made: Made, files: dict[str, str], message: str
) -> None:
    if not namespaces.available() and "fork" in message:
        pytest.skip("the path is that of this machine")
    invoked = made.invoke(made.custom(files))
    assert failed(invoked) == ("Runtime.InvalidEntrypoint", f"RequestId: ID Error: {message}")


@pytest.mark.skipif(not namespaces.available(), reason="this machine has no namespaces for functions")
def test_a_timeout_ends_what_the_runtime_has_started(made: Made) -> None:
    runtime = BOOTSTRAP.replace("INIT", "").split("\n", 1)[1]
    shell = f"#!/bin/sh\nsleep 600 &\n{PYTHON} -uS /var/task/runtime.py\n"
    name = made.custom({"bootstrap": shell, "runtime.py": runtime}, Timeout=1)
    asked = "print('in', os.stat('/proc/self/ns/mnt').st_ino); time.sleep(600)"
    invoked = made.invoke(name, {"run": asked})
    assert failed(invoked)[0] == "Sandbox.Timedout"
    (mounts,) = re.findall(r"in (\d+)", invoked.log)
    alive = []
    for path in Path("/proc").glob("[0-9]*/ns/mnt"):
        with contextlib.suppress(OSError):
            alive.append(str(path.stat().st_ino))
    assert mounts not in alive


def test_an_error_of_the_initialization_is_tried_again_and_reported(made: Made) -> None:
    report = """
said = {"errorType": "Shop.NoMenu", "errorMessage": "no menu"}
ask("init/error", json.dumps(said).encode(), Lambda_Runtime_Function_Error_Type="Shop.NoMenu")
sys.exit(1)
"""
    name = made.custom({"bootstrap": BOOTSTRAP.replace("INIT", report)})
    assert failed(made.invoke(name)) == ("Shop.NoMenu", "no menu")
    reports = [line for line in made.lines(name) if line.startswith("INIT_REPORT")]
    assert ["Phase: init" in line for line in reports] == [True, False]
    assert all(line.endswith("Error Type: Shop.NoMenu") for line in reports)


def test_a_bootstrap_in_a_layer_runs_the_code(made: Made) -> None:
    layer = made.layer({"bootstrap": BOOTSTRAP.replace("INIT", "")})
    name = made.custom({"my.txt": "code"}, Layers=[layer])
    asked = "answer = json.dumps([os.environ['_HANDLER'], os.listdir('.'), __file__]).encode()"
    found = made.invoke(name, {"run": asked}).payload
    assert found[:2] == ["my.handler", ["my.txt"]]
    assert found[2] == "/opt/bootstrap" or not namespaces.available()


def test_a_response_may_have_six_megabytes(made: Made, custom: str) -> None:
    asked = """
try:
    ask(path + "/response", b'"' + b"x" * (6 * 1024 * 1024 + 100) + b'"')
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
answer = None
"""
    invoked = made.invoke(custom, {"run": asked})
    assert invoked.payload["errorType"] == "Function.ResponseSizeTooLarge"
    # What the runtime writes after its answer is in the log, too.
    eventually(lambda: any(line.startswith("413 ") and "Exceeded" in line for line in made.lines(custom)))
    assert made.invoke(custom, {}).error is None


def test_a_streamed_response_and_its_error_arrive_as_a_whole(made: Made, custom: str) -> None:
    asked = """
import socket
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
def chunked(*parts, trailer=""):
    mode = "Lambda-Runtime-Function-Response-Mode: streaming"
    first = f"POST /2018-06-01/runtime/{path}/response HTTP/1.1"
    with socket.create_connection((host, int(port))) as connection:
        for line in (first, f"Host: {host}:{port}", mode, "Transfer-Encoding: chunked", ""):
            connection.sendall(f"{line}\\r\\n".encode())
        for part in parts:
            connection.sendall(f"{len(part):x}\\r\\n{part}\\r\\n".encode())
        connection.sendall(f"0\\r\\n{trailer}\\r\\n".encode())
        connection.recv(1000)
SEND
answer = None
"""
    invoked = made.invoke(custom, {"run": asked.replace("SEND", "chunked('[1,', '2]')")})
    assert invoked.payload == [1, 2]
    body = base64.b64encode(b'{"errorType": "Shop.Late", "errorMessage": "late"}').decode()
    names = "Lambda-Runtime-Function-Error-Type", "Lambda-Runtime-Function-Error-Body"
    trailer = f"{names[0]}: Shop.Late\\r\\n{names[1]}: {body}\\r\\n"
    invoked = made.invoke(custom, {"run": asked.replace("SEND", f"chunked('[1,', trailer='{trailer}')")})
    assert failed(invoked) == ("Shop.Late", "late")


WRAPPER = """#!/bin/sh
echo "wraps $*"
export GREETING=hello
exec "$@"
"""
WRAPPED = """
import os, sys
def handler(event, context):
    print("logged")
    if event.get("fail"):
        raise KeyError("no menu")
    return [os.environ["GREETING"], __file__, sys.executable, context.client_context.custom["a"]]
"""


@pytest.mark.skipif(not namespaces.available(), reason="this machine has no namespaces for functions")
def test_a_wrapper_starts_the_runtime_of_a_python_function(made: Made) -> None:
    layer = made.layer({"wrap": WRAPPER})
    wrapped = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrap"}}
    name = made.make(WRAPPED, Layers=[layer], Environment=wrapped)
    context = base64.b64encode(b'{"custom": {"a": "b"}}').decode()
    invoked = made.aws.client("lambda").invoke(FunctionName=name, ClientContext=context)
    assert json.load(invoked["Payload"]) == ["hello", "/var/task/index.py", "/var/lang/bin/python3", "b"]
    assert any(line.startswith("wraps ") and line.endswith("/bootstrap.py") for line in made.lines(name))
    error = made.invoke(name, {"fail": True})
    assert (error.payload["errorType"], error.payload["errorMessage"]) == ("KeyError", "'no menu'")
    assert error.payload["stackTrace"][0].startswith('  File "/var/task/index.py", line 6, in handler')
    assert "logged" in error.log


DEEP = """
def handler(event, context):
    return len(event)
"""


@pytest.mark.skipif(not namespaces.available(), reason="this machine has no namespaces for functions")
def test_events_that_are_nested_deeply_are_the_same_with_and_without_the_api(made: Made) -> None:
    layer = made.layer({"wrap": WRAPPER})
    wrapped = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrap"}}
    names = made.make(DEEP), made.make(DEEP, Layers=[layer], Environment=wrapped)
    sent = b"[" * 3000 + b"]" * 3000  # later releases of Python take it
    answers = [made.aws.client("lambda").invoke(FunctionName=name, Payload=sent) for name in names]
    plain, with_api = [json.load(one["Payload"]) for one in answers]
    kinds = [one["errorType"] if isinstance(one, dict) else one for one in (plain, with_api)]
    assert kinds in (["Runtime.UnmarshalError"] * 2, [1, 1])
    assert made.invoke(names[0], [1, 2]).payload == 2


def test_json_that_is_nested_too_deeply_for_the_service_is_refused(made: Made, custom: str) -> None:
    client = made.aws.client("lambda")
    with pytest.raises(client.exceptions.InvalidRequestContentException):
        client.invoke(FunctionName=custom, Payload=b"[" * 500_000 + b"]" * 500_000)
