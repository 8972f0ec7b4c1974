"""The metrics of functions count every invocation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from botocore.config import Config

from helpers.lambda_functions import Functions, eventually, zipped

pytestmark = pytest.mark.local

FAILING = "def handler(event, context): raise RuntimeError('broken')"


def total(functions: Functions, metric: str, **dimensions: str) -> float:
    """The sum of a metric over the last minutes."""
    now = datetime.now(UTC)
    points = functions.aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=5),
        Period=3600,
        Statistics=["Sum"],
    )["Datapoints"]
    return sum(float(point["Sum"]) for point in points)


def test_events_are_counted_when_they_are_queued_tried_and_dropped(functions: Functions) -> None:
    name = functions.make(FAILING)
    functions.settle(name, MaximumRetryAttempts=1)
    functions.send(name)
    functions.send(name)
    eventually(lambda: total(functions, "AsyncEventsDropped", FunctionName=name) == 2)
    assert total(functions, "AsyncEventsReceived", FunctionName=name) == 2
    assert total(functions, "AsyncEventsReceived", FunctionName=name, Resource=name) == 2
    # The second attempts are a documented minute later than the first ones.
    assert 120_000 <= total(functions, "AsyncEventAge", FunctionName=name) < 130_000


def test_events_that_succeed_are_not_dropped(functions: Functions) -> None:
    name = functions.make("handler = lambda event, context: 1")
    functions.send(name)
    eventually(lambda: total(functions, "Invocations", FunctionName=name) == 1)
    assert total(functions, "AsyncEventsReceived", FunctionName=name) == 1
    assert total(functions, "AsyncEventsDropped", FunctionName=name) == 0


def sets_of_dimensions(functions: Functions, metric: str, name: str) -> set[frozenset[str]]:
    """The sets of dimensions of a metric of a function."""
    dimensions = [{"Name": "FunctionName", "Value": name}]
    found = functions.aws.client("cloudwatch").list_metrics(
        Namespace="AWS/Lambda", MetricName=metric, Dimensions=dimensions
    )
    return {frozenset(each["Name"] for each in kept["Dimensions"]) for kept in found["Metrics"]}


def failed_in_the_background(functions: Functions, retries: int = 0) -> str:
    """A function after all attempts of an asynchronous event have failed."""
    queue = functions.queue()
    name = functions.make(FAILING, role=functions.role(("sqs:SendMessage", queue.arn)))
    functions.settle(name, MaximumRetryAttempts=retries, OnFailure=queue.arn)
    functions.send(name)
    queue.wait()
    return name


def test_each_attempt_of_an_asynchronous_event_counts(functions: Functions) -> None:
    name = failed_in_the_background(functions, retries=1)
    assert total(functions, "Invocations", FunctionName=name) == 2
    assert total(functions, "Errors", FunctionName=name) == 2


def test_a_synchronous_call_counts_once_and_for_the_alias_that_was_invoked(functions: Functions) -> None:
    name = functions.make(FAILING)
    client = functions.aws.client("lambda")
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    functions.invoke(name)
    functions.invoke(name, qualifier="live")
    assert total(functions, "Errors", FunctionName=name) == 2
    assert total(functions, "Errors", FunctionName=name, Resource=f"{name}:live") == 1
    assert total(functions, "Duration", FunctionName=name, Resource=f"{name}:live") > 0


def test_calls_through_a_weighted_alias_count_for_the_version_that_the_weights_chose(
    functions: Functions,
) -> None:
    name = functions.make("def handler(event, context): pass")
    client = functions.aws.client("lambda")
    client.publish_version(FunctionName=name)
    client.update_function_code(FunctionName=name, ZipFile=zipped({"index.py": FAILING}))
    client.publish_version(FunctionName=name)
    weights = {"AdditionalVersionWeights": {"2": 0.5}}
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1", RoutingConfig=weights)
    calls = [functions.invoke(name, qualifier="live").version for _ in range(20)]
    functions.invoke(name, qualifier="2")

    def by_version(metric: str, version: str) -> float:
        resource = f"{name}:live"
        return total(functions, metric, FunctionName=name, Resource=resource, ExecutedVersion=version)

    assert [by_version("Invocations", version) for version in "12"] == [calls.count("1"), calls.count("2")]
    assert [by_version("Errors", version) for version in "12"] == [0, calls.count("2")]
    assert total(functions, "Errors", FunctionName=name, Resource=f"{name}:2") == 1
    assert sets_of_dimensions(functions, "Errors", name) == {
        frozenset({"FunctionName"}),
        frozenset({"FunctionName", "Resource"}),
        frozenset({"FunctionName", "Resource", "ExecutedVersion"}),
    }
    # Who invokes a version by its number has chosen it: there is nothing to tell apart.
    assert total(functions, "Errors", FunctionName=name, Resource=f"{name}:2", ExecutedVersion="2") == 0


def test_a_refused_call_is_a_throttle_and_no_invocation(functions: Functions) -> None:
    name = functions.make(FAILING)
    functions.aws.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    once = functions.aws.session.client("lambda", config=Config(retries={"total_max_attempts": 1}))
    with pytest.raises(once.exceptions.TooManyRequestsException):
        once.invoke(FunctionName=name)
    assert total(functions, "Throttles", FunctionName=name) == 1
    assert total(functions, "Invocations", FunctionName=name) == 0


def test_still_needed_the_stock_emulator_counts_no_error_of_an_asynchronous_event(
    stock_functions: Functions,
) -> None:
    assert total(stock_functions, "Errors", FunctionName=failed_in_the_background(stock_functions)) == 0
