"""Asynchronous invocation: attempts, waits, age, throttling, settings."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from helpers.lambda_functions import Functions, Hold, Queue, eventually, zipped

pytestmark = pytest.mark.local

#: Fails, with the time of the call and the request id in its error.
FAILING = """
import json, time
calls = []
def handler(event, context):
    calls.append([time.time(), context.aws_request_id])
    raise RuntimeError(json.dumps(calls))
"""


def reporting(functions: Functions, source: str, **settings: Any) -> tuple[str, Queue]:
    """A function and the queue with the records of its events."""
    queue = functions.queue()
    name = functions.make(source, role=functions.role(("sqs:SendMessage", queue.arn)))
    destinations = {"OnSuccess": {"Destination": queue.arn}, "OnFailure": {"Destination": queue.arn}}
    functions.aws.client("lambda").put_function_event_invoke_config(
        FunctionName=name, DestinationConfig=destinations, **settings
    )
    return name, queue


def test_a_failing_event_is_tried_three_times_with_the_longer_wait_last(functions: Functions) -> None:
    name, queue = reporting(functions, FAILING)
    request_id = functions.send(name, {"order": 7})
    record = queue.wait_for_body()
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["requestContext"]["requestId"] == request_id
    calls = json.loads(record["responsePayload"]["errorMessage"])
    assert [call[1] for call in calls] == [request_id] * 3
    first, second, third = (call[0] for call in calls)
    # A busy machine only makes the waits longer.
    assert second - first > 0.4
    assert third - second > 0.9


def test_the_functions_settings_limit_the_retries_of_its_events(functions: Functions) -> None:
    name, queue = reporting(functions, FAILING, MaximumRetryAttempts=0)
    functions.send(name)
    record = queue.wait_for_body()
    assert record["requestContext"]["approximateInvokeCount"] == 1
    assert len(json.loads(record["responsePayload"]["errorMessage"])) == 1


def test_an_event_that_would_be_too_old_for_the_next_attempt_is_discarded(functions: Functions) -> None:
    name, queue = reporting(functions, FAILING, MaximumEventAgeInSeconds=60)
    functions.send(name)
    context = queue.wait_for_body()["requestContext"]
    assert context["condition"] == "EventAgeExceeded"
    assert context["approximateInvokeCount"] == 1


def test_a_retry_runs_the_code_of_its_own_time(functions: Functions, hold: Hold) -> None:
    name, queue = reporting(functions, f"{holding(hold)}; raise ValueError")
    functions.send(name)
    hold.wait()
    functions.aws.client("lambda").update_function_code(
        FunctionName=name, ZipFile=zipped({"index.py": "handler = lambda event, context: 'repaired'"})
    )
    hold.release()
    record = queue.wait_for_body()
    assert record["requestContext"]["condition"] == "Success"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["responsePayload"] == "repaired"


def test_a_throttled_event_waits_and_keeps_its_attempts(functions: Functions, hold: Hold) -> None:
    name, queue = reporting(functions, holding(hold), MaximumRetryAttempts=0)
    with occupied(functions, name, hold):
        functions.send(name, "waits")
        eventually(lambda: throttles(functions, name))
    context = queue.wait_for_body()["requestContext"]
    assert context["condition"] == "Success"
    assert context["approximateInvokeCount"] == 1


def test_a_throttled_event_that_waits_too_long_is_discarded(functions: Functions, hold: Hold) -> None:
    name, queue = reporting(functions, holding(hold), MaximumEventAgeInSeconds=60)
    with occupied(functions, name, hold):
        functions.send(name, "waits")
        record = queue.wait_for_body()  # so it did not wait for the end of the invocation that runs
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert record["responseContext"]["statusCode"] == 429


def holding(hold: Hold) -> str:
    """A function that runs until it is released."""
    return f"{hold.source}\ndef handler(event, context): hold()"


@contextmanager
def occupied(functions: Functions, name: str, hold: Hold) -> Iterator[None]:
    """Use all of a function's concurrency while the body runs."""
    functions.aws.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(functions.invoke, name)
        hold.wait()
        try:
            yield
        finally:
            hold.release()
        assert running.result().error is None


def throttles(functions: Functions, name: str) -> float:
    """How often the function was throttled."""
    now = datetime.now(UTC)
    points = functions.aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Throttles",
        Dimensions=[{"Name": "FunctionName", "Value": name}],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )["Datapoints"]
    return sum(float(point["Sum"]) for point in points)


def test_with_a_reserved_concurrency_of_zero_events_fail_at_once(functions: Functions) -> None:
    name, queue = reporting(functions, FAILING)
    functions.aws.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    functions.send(name, {"order": 7})
    record = queue.wait_for_body()
    assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert record["requestPayload"] == {"order": 7}


def test_settings_belong_to_the_alias_that_was_invoked(functions: Functions) -> None:
    name, queue = reporting(functions, FAILING)
    client = functions.aws.client("lambda")
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    client.put_function_event_invoke_config(
        FunctionName=name,
        Qualifier="live",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": queue.arn}},
    )
    functions.send(name, qualifier="live")
    context = queue.wait_for_body()["requestContext"]
    assert context["approximateInvokeCount"] == 1
    assert context["functionArn"].endswith(f":function:{name}:live")


def test_settings_without_a_qualifier_are_those_of_latest(functions: Functions) -> None:
    name = functions.make(FAILING)
    client = functions.aws.client("lambda")
    client.put_function_event_invoke_config(FunctionName=name, Qualifier="$LATEST", MaximumRetryAttempts=1)
    assert client.get_function_event_invoke_config(FunctionName=name)["MaximumRetryAttempts"] == 1


def test_events_of_a_deleted_function_are_dropped(functions: Functions) -> None:
    name, queue = reporting(functions, FAILING)
    functions.send(name)
    functions.aws.client("lambda").delete_function(FunctionName=name)
    time.sleep(1.7)  # its third attempt would have been and gone; a busy machine only makes it later
    assert queue.receive() == []


def test_still_needed_the_stock_emulator_counts_three_attempts_whatever_happened(
    stock_functions: Functions,
) -> None:
    name, queue = reporting(stock_functions, FAILING, MaximumRetryAttempts=0)
    request_id = stock_functions.send(name)
    context = queue.wait_for_body()["requestContext"]
    assert context["approximateInvokeCount"] == 3
    assert context.get("requestId") != request_id


def test_still_needed_the_stock_emulator_does_not_know_settings_of_aliases(
    stock_functions: Functions,
) -> None:
    name, queue = reporting(stock_functions, FAILING, MaximumRetryAttempts=0)
    client = stock_functions.aws.client("lambda")
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    client.put_function_event_invoke_config(
        FunctionName=name,
        Qualifier="live",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": queue.arn}},
    )
    stock_functions.send(name, "to the alias", qualifier="live")
    time.sleep(0.3)  # the record that must not come is before the other one, or it does not come at all
    stock_functions.send(name, "to the function")
    assert queue.wait_for_body()["requestPayload"] == "to the function"
