"""An execution environment that is killed fails its invocation, whatever it was doing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from ministack.services import lambda_svc

from localaws.engines.python_runtime.process import Answer, ExecutionEnvironment
from localaws.services.lambda_.event_source_mappings import run_function

NO_ANSWER = Answer(b"", "", timed_out=False)


@pytest.fixture
def environment() -> ExecutionEnvironment:
    environment = ExecutionEnvironment("worker", {"RevisionId": "1", "Handler": "handler.handler"}, b"")
    environment._revision = "1"
    return environment


def run(environment: ExecutionEnvironment, script: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    environment._proc = subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, stderr=pipe)
    return environment._proc


def invoke(environment: ExecutionEnvironment) -> Answer:
    request: dict[str, Any] = {"event": {"text": "x" * 100}, "request_id": "1"}
    return environment.invoke(request, seconds=60)


def test_killed_before_it_reads_the_event(
    environment: ExecutionEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = run(environment, "")
    process.wait()
    monkeypatch.setattr(process, "poll", lambda: None)  # it ended right after it was found running
    assert invoke(environment) == NO_ANSWER


@pytest.mark.parametrize("written", ["", '{"resu', '{"result": 1'])
def test_killed_while_it_writes_its_answer(environment: ExecutionEnvironment, written: str) -> None:
    run(environment, f"import sys; sys.stdin.readline(); sys.stdout.write({written!r})")
    assert invoke(environment) == NO_ANSWER


def test_an_exception_in_the_emulator_counts_as_a_failed_invocation(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(
        lambda_svc, "_get_func_record_for_ref", lambda _: ({"config": {}}, {"Timeout": 3}, None)
    )
    monkeypatch.setattr(lambda_svc, "_execute_function", broken)
    result = run_function({"FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:worker"}, {})
    assert result == {"error": True, "body": {"errorType": "OSError", "errorMessage": "no more processes"}}
