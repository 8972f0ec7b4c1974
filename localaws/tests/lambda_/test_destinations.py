"""Destinations and dead-letter queues of asynchronous invocations."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from helpers.lambda_functions import Functions, eventually

pytestmark = pytest.mark.local

SHOP = """
def handler(event, context):
    if event["item"] == "tea":
        raise LookupError("no tea left")
    return {"sold": event["item"]}
"""
TEA = {"item": "tea"}

#: Sends to it: (actions and resources that the role needs, the destination's ARN, how to get what arrives).
Destination = tuple[list[tuple[str, str]], str, Callable[[], Any]]


def to_queue(functions: Functions) -> Destination:
    queue = functions.queue()
    return [("sqs:SendMessage", queue.arn)], queue.arn, queue.wait_for_body


def to_topic(functions: Functions) -> Destination:
    queue = functions.queue(writable_by="sns.amazonaws.com")
    topic = functions.topic(queue)
    return [("sns:Publish", topic)], topic, queue.wait_for_body


def to_function(functions: Functions) -> Destination:
    queue = functions.queue()
    role = functions.role(("sqs:SendMessage", queue.arn))
    name = functions.make("handler = lambda event, context: None", role=role)
    functions.settle(name, OnSuccess=queue.arn)
    arn = functions.arn("lambda", f"function:{name}")
    return [("lambda:InvokeFunction", arn)], arn, lambda: queue.wait_for_body()["requestPayload"]


def to_bus(functions: Functions) -> Destination:
    events = functions.aws.client("events")
    queue = functions.queue(writable_by="events.amazonaws.com")
    name = f"bus-{queue.name}"
    bus = events.create_event_bus(Name=name)["EventBusArn"]
    pattern = json.dumps({"source": ["lambda"]})
    events.put_rule(Name=f"rule-{name}", EventBusName=name, EventPattern=pattern)
    events.put_targets(Rule=f"rule-{name}", EventBusName=name, Targets=[{"Id": "queue", "Arn": queue.arn}])

    def arrived() -> Any:
        event = queue.wait_for_body()
        outcome = "Success" if event["detail"]["requestContext"]["condition"] == "Success" else "Failure"
        assert event["detail-type"] == f"Lambda Function Invocation Result - {outcome}"
        assert event["resources"] == [event["detail"]["requestContext"]["functionArn"], bus]
        return event["detail"]

    return [("events:PutEvents", bus)], bus, arrived


def to_bucket(functions: Functions) -> Destination:
    s3 = functions.aws.client("s3")
    name = functions.queue().name.replace("queue", "bucket")
    s3.create_bucket(Bucket=name)

    def arrived() -> Any:
        (found,) = eventually(lambda: s3.list_objects_v2(Bucket=name).get("Contents"))
        assert re.fullmatch(
            r"aws/lambda/async/[\w-]+/\d{4}/\d\d/\d\d/\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d-[0-9a-f-]{36}",
            found["Key"],
        )
        return json.load(s3.get_object(Bucket=name, Key=found["Key"])["Body"])

    bucket = f"arn:aws:s3:::{name}"
    return [("s3:PutObject", f"{bucket}/*"), ("s3:ListBucket", bucket)], bucket, arrived


@pytest.mark.parametrize("make", [to_queue, to_topic, to_function, to_bus, to_bucket])
def test_a_failed_event_is_recorded_at_its_destination(
    functions: Functions, make: Callable[[Functions], Destination]
) -> None:
    permissions, destination, arrived = make(functions)
    shop = functions.make(SHOP, role=functions.role(*permissions))
    functions.settle(shop, OnFailure=destination)
    request_id = functions.send(shop, TEA)
    record = arrived()
    assert record["version"] == "1.0"
    assert record["timestamp"].endswith("Z")
    assert record["requestContext"] == {
        "requestId": request_id,
        "functionArn": functions.arn("lambda", f"function:{shop}:$LATEST"),
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 1,
    }
    assert record["requestPayload"] == TEA
    assert record["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    assert record["responsePayload"]["errorType"] == "LookupError"


@pytest.mark.parametrize("make", [to_queue, to_topic, to_function, to_bus])
def test_a_processed_event_is_recorded_at_its_destination(
    functions: Functions, make: Callable[[Functions], Destination]
) -> None:
    permissions, destination, arrived = make(functions)
    shop = functions.make(SHOP, role=functions.role(*permissions))
    functions.settle(shop, OnSuccess=destination)
    functions.send(shop, {"item": "coffee"})
    record = arrived()
    assert record["requestContext"]["condition"] == "Success"
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}
    assert record["responsePayload"] == {"sold": "coffee"}


def test_a_dead_letter_is_the_event_itself_with_its_error(functions: Functions) -> None:
    queue = functions.queue()
    role = functions.role(("sqs:SendMessage", queue.arn))
    shop = functions.make(SHOP, role=role, DeadLetterConfig={"TargetArn": queue.arn})
    functions.settle(shop)
    request_id = functions.send(shop, TEA)
    message = queue.wait()
    assert json.loads(message["Body"]) == TEA
    values = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
    assert values == {"RequestID": request_id, "ErrorCode": "200", "ErrorMessage": "no tea left"}


def test_a_dead_letter_can_go_to_a_topic(functions: Functions) -> None:
    queue = functions.queue(writable_by="sns.amazonaws.com")
    topic = functions.topic(queue, raw=False)
    role = functions.role(("sns:Publish", topic))
    shop = functions.make(SHOP, role=role, DeadLetterConfig={"TargetArn": topic})
    functions.settle(shop)
    functions.send(shop, TEA)
    notification = queue.wait_for_body()
    assert json.loads(notification["Message"]) == TEA
    assert notification["MessageAttributes"]["ErrorMessage"]["Value"] == "no tea left"


def test_dead_letters_and_records_of_failure_do_not_replace_each_other(functions: Functions) -> None:
    dead_letters, records = functions.queue(), functions.queue()
    role = functions.role(("sqs:SendMessage", dead_letters.arn), ("sqs:SendMessage", records.arn))
    shop = functions.make(SHOP, role=role, DeadLetterConfig={"TargetArn": dead_letters.arn})
    functions.settle(shop, OnFailure=records.arn)
    functions.send(shop, TEA)
    assert dead_letters.wait_for_body() == TEA
    assert records.wait_for_body()["requestPayload"] == TEA


def test_a_role_that_may_not_send_loses_the_record_and_a_metric_counts_it(functions: Functions) -> None:
    queue = functions.queue()
    shop = functions.make(SHOP, role=functions.role())
    functions.settle(shop, OnFailure=queue.arn)
    functions.send(shop, TEA)
    assert eventually(lambda: failures(functions, shop)) == 1
    assert queue.receive() == []


def test_still_needed_the_stock_emulator_records_no_success(stock_functions: Functions) -> None:
    queue = stock_functions.queue()
    shop = stock_functions.make(SHOP)
    stock_functions.settle(shop, OnSuccess=queue.arn, OnFailure=queue.arn)
    stock_functions.send(shop, {"item": "coffee"})
    time.sleep(0.3)  # the record that must not come is before the other one, or it does not come at all
    stock_functions.send(shop, TEA)
    assert queue.wait_for_body()["requestPayload"] == TEA


def test_still_needed_the_stock_emulator_wraps_its_dead_letters(stock_functions: Functions) -> None:
    queue = stock_functions.queue()
    shop = stock_functions.make(SHOP, DeadLetterConfig={"TargetArn": queue.arn})
    stock_functions.settle(shop)
    stock_functions.send(shop, TEA)
    message = queue.wait()
    assert json.loads(message["Body"])["requestPayload"] == TEA
    assert "MessageAttributes" not in message


def test_still_needed_the_stock_emulator_sends_records_for_roles_that_may_not(
    stock_functions: Functions,
) -> None:
    queue = stock_functions.queue()
    shop = stock_functions.make(SHOP, role=stock_functions.role())
    stock_functions.settle(shop, OnFailure=queue.arn)
    stock_functions.send(shop, TEA)
    assert queue.wait_for_body()["requestPayload"] == TEA


def failures(functions: Functions, name: str) -> float:
    """The number of lost records of the function."""
    now = datetime.now(UTC)
    points = functions.aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="DestinationDeliveryFailures",
        Dimensions=[{"Name": "FunctionName", "Value": name}],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=5),
        Period=3600,
        Statistics=["Sum"],
    )["Datapoints"]
    return sum(float(point["Sum"]) for point in points)
