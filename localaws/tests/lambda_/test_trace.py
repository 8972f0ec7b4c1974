"""Recursive loops are detected with the trace header."""

from __future__ import annotations

import pytest

from helpers.lambda_functions import Functions

pytestmark = pytest.mark.local

LAST = 18
LOOP = f"""
import json, boto3
client = boto3.client("lambda")
def handler(event, context):
    if event == {LAST}:
        raise RuntimeError("enough")
    client.invoke(FunctionName=context.function_name, InvocationType="Event", Payload=json.dumps(event + 1))
"""


def test_a_function_that_invokes_itself_is_stopped_unless_it_may(functions: Functions) -> None:
    queue = functions.queue()
    every_function = functions.arn("lambda", "function:*")
    role = functions.role(("sqs:SendMessage", queue.arn), ("lambda:InvokeFunction", every_function))
    name = functions.make(LOOP, role=role)
    functions.settle(name, OnFailure=queue.arn)

    functions.send(name, 1)
    stopped = queue.wait_for_body()
    assert stopped["requestPayload"] == 16
    assert stopped["responsePayload"]["errorType"] == "RecursiveInvocationException"

    client = functions.aws.client("lambda")
    client.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
    functions.send(name, 1)
    finished = queue.wait_for_body()
    assert finished["requestPayload"] == LAST
    assert finished["responsePayload"]["errorMessage"] == "enough"


@pytest.mark.parametrize(("mode", "sampled"), [("Active", 1), ("PassThrough", 0)])
def test_an_invocation_is_sampled_if_tracing_is_active(functions: Functions, mode: str, sampled: int) -> None:
    source = "import os\n\ndef handler(event, context): return os.environ['_X_AMZN_TRACE_ID']"
    name = functions.make(source, TracingConfig={"Mode": mode})
    first, second = functions.invoke(name).payload, functions.invoke(name).payload
    assert f";Sampled={sampled};Lineage=1:" in first
    assert first != second


IMPORTED = "import sys\n\ndef handler(event, context): return 'botocore' in sys.modules"


def test_a_handler_that_needs_no_botocore_does_not_pay_for_it(functions: Functions) -> None:
    assert functions.invoke(functions.make(IMPORTED)).payload is False


def test_still_needed_the_stock_emulator_imports_botocore_into_every_worker(
    stock_functions: Functions,
) -> None:
    assert stock_functions.invoke(stock_functions.make(IMPORTED)).payload is True
