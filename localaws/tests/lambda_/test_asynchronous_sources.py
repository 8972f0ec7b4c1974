"""SNS and EventBridge invoke functions asynchronously."""

from __future__ import annotations

import json
import time

import pytest

from helpers.lambda_functions import Functions, Queue

pytestmark = pytest.mark.local

FAILING = "def handler(event, context): raise RuntimeError('broken')"


def failing(functions: Functions, service: str) -> tuple[str, str, Queue]:
    """A function that a service may invoke and that always fails: name, ARN and failure destination."""
    queue = functions.queue()
    name = functions.make(FAILING, role=functions.role(("sqs:SendMessage", queue.arn)))
    functions.settle(name, OnFailure=queue.arn)
    functions.aws.client("lambda").add_permission(
        FunctionName=name,
        StatementId="source",
        Action="lambda:InvokeFunction",
        Principal=f"{service}.amazonaws.com",
    )
    return name, functions.arn("lambda", f"function:{name}"), queue


def publish(functions: Functions, function_arn: str, message: str) -> str:
    """Publish to a new topic with the function as subscriber; returns the topic's ARN."""
    sns = functions.aws.client("sns")
    topic: str = sns.create_topic(Name=f"topic-{message}")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function_arn)
    sns.publish(TopicArn=topic, Message=message, MessageAttributes=COLOUR)
    return topic


COLOUR = {"colour": {"DataType": "String", "StringValue": "red"}}


def put_event(functions: Functions, function_arn: str, source: str) -> None:
    """Put an event for which a rule of the default bus invokes the function."""
    events = functions.aws.client("events")
    events.put_rule(Name=source, EventPattern=json.dumps({"source": [source]}))
    events.put_targets(Rule=source, Targets=[{"Id": "function", "Arn": function_arn}])
    events.put_events(Entries=[{"Source": source, "DetailType": "Sold", "Detail": '{"item": "tea"}'}])


def test_a_failed_notification_goes_to_the_functions_destination(functions: Functions) -> None:
    _, arn, queue = failing(functions, "sns")
    topic = publish(functions, arn, "hello")
    record = queue.wait_for_body()
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    (notification,) = record["requestPayload"]["Records"]
    assert notification["EventSource"] == "aws:sns"
    assert notification["EventSubscriptionArn"].startswith(topic)
    assert notification["Sns"]["TopicArn"] == topic
    assert notification["Sns"]["Message"] == "hello"
    assert notification["Sns"]["Subject"] is None
    assert notification["Sns"]["MessageAttributes"] == {"colour": {"Type": "String", "Value": "red"}}
    assert {"SigningCertUrl", "UnsubscribeUrl"} < notification["Sns"].keys()


def test_a_failed_event_of_a_bus_goes_to_the_functions_destination(functions: Functions) -> None:
    _, arn, queue = failing(functions, "events")
    put_event(functions, arn, "shop")
    record = queue.wait_for_body()
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestPayload"]["source"] == "shop"
    assert record["requestPayload"]["detail"] == {"item": "tea"}


def test_still_needed_the_emulator_ignores_failures_of_sns_and_eventbridge_events(
    stock_functions: Functions,
) -> None:
    name, arn, queue = failing(stock_functions, "sns")
    publish(stock_functions, arn, "hello")
    put_event(stock_functions, arn, "shop")
    time.sleep(0.3)  # records that must not come are before the one by hand, or do not come at all
    stock_functions.send(name, "by hand")
    assert queue.wait_for_body()["requestPayload"] == "by hand"
    assert queue.receive() == []
