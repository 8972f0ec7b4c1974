"""Reserved concurrency limits the whole function."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.config import Config

from helpers.lambda_functions import Functions, Hold

pytestmark = pytest.mark.local

QUICK = "def handler(event, context): pass"


def published(functions: Functions, limit: int, source: str = QUICK) -> str:
    """A function with reserved concurrency and a version 1."""
    client = functions.aws.client("lambda")
    name = functions.make(source)
    client.publish_version(FunctionName=name)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=limit)
    return name


def refusal(functions: Functions, name: str, qualifier: str) -> dict[str, Any]:
    """The response to a call that Lambda refuses, without the retries of boto3."""
    once = Config(retries={"total_max_attempts": 1})
    client = functions.aws.session.client("lambda", config=once)
    with pytest.raises(client.exceptions.TooManyRequestsException) as error:
        client.invoke(FunctionName=name, Qualifier=qualifier)
    answer: dict[str, Any] = dict(error.value.response)
    return answer


@pytest.mark.parametrize("qualifier", ["$LATEST", "1"])
def test_a_reserved_concurrency_of_zero_refuses_every_call(functions: Functions, qualifier: str) -> None:
    answer = refusal(functions, published(functions, 0), qualifier)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert answer["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"


def test_a_version_and_the_function_share_one_limit(functions: Functions, hold: Hold) -> None:
    name = published(functions, 1, f"{hold.source}\ndef handler(event, context): hold()")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(functions.invoke, name)
        hold.wait()
        refusal(functions, name, "1")
        hold.release()
        assert running.result().error is None
    assert functions.invoke(name, qualifier="1").error is None


def test_still_needed_the_stock_emulator_does_not_limit_versions(stock_functions: Functions) -> None:
    assert stock_functions.invoke(published(stock_functions, 0), qualifier="1").error is None
