"""Aliases route by their weights, and invocations have the ARN of the alias."""

from __future__ import annotations

import pytest

from helpers.lambda_functions import Functions, zipped

pytestmark = pytest.mark.local

SOURCE = """
def handler(event, context):
    return [{version}, context.function_version, context.invoked_function_arn]
"""


def two_versions(functions: Functions, weight: float) -> str:
    """A function with versions 1 and 2 and an alias that sends the share of its calls to version 2."""
    client = functions.aws.client("lambda")
    name = functions.make(SOURCE.format(version=1))
    client.publish_version(FunctionName=name)
    client.update_function_code(FunctionName=name, ZipFile=zipped({"index.py": SOURCE.format(version=2)}))
    client.publish_version(FunctionName=name)
    client.create_alias(
        FunctionName=name,
        Name="live",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": weight}},
    )
    return name


def test_a_weighted_alias_sends_each_share_of_its_calls_to_its_version(functions: Functions) -> None:
    name = two_versions(functions, 0.5)
    calls = [functions.invoke(name, qualifier="live") for _ in range(60)]
    # Fewer than 10 of 60 on one side happens once in 30 million runs.
    assert 10 < sum(call.payload[0] == 2 for call in calls) < 50
    for call in calls:
        version, seen_by_handler, arn = call.payload
        assert call.version == seen_by_handler == str(version)
        assert arn == functions.arn("lambda", f"function:{name}:live")


@pytest.mark.parametrize(("weight", "version"), [(0.0, 1), (1.0, 2)])
def test_a_weight_of_nothing_or_all_leaves_nothing_to_chance(
    functions: Functions, weight: float, version: int
) -> None:
    name = two_versions(functions, weight)
    assert {functions.invoke(name, qualifier="live").payload[0] for _ in range(10)} == {version}


def test_a_call_without_the_alias_is_not_routed(functions: Functions) -> None:
    name = two_versions(functions, 1.0)
    assert functions.invoke(name, qualifier="1").payload[:2] == [1, "1"]
    assert functions.invoke(name).payload[1:] == ["$LATEST", functions.arn("lambda", f"function:{name}")]


def test_another_service_that_names_the_alias_is_routed_too(functions: Functions) -> None:
    name = two_versions(functions, 1.0)
    queue, results = functions.queue(), functions.queue()
    role = functions.role(("sqs:*", queue.arn), ("sqs:SendMessage", results.arn))
    client = functions.aws.client("lambda")
    client.update_function_configuration(FunctionName=name, Role=role)
    alias = functions.arn("lambda", f"function:{name}:live")
    client.put_function_event_invoke_config(
        FunctionName=name,
        Qualifier="live",
        DestinationConfig={"OnSuccess": {"Destination": results.arn}},
    )
    topic = functions.aws.client("sns").create_topic(Name=f"topic-of-{name}")["TopicArn"]
    client.add_permission(
        FunctionName=name,
        Qualifier="live",
        StatementId="sns",
        Action="lambda:InvokeFunction",
        Principal="sns.amazonaws.com",
        SourceArn=topic,
    )
    functions.aws.client("sns").subscribe(TopicArn=topic, Protocol="lambda", Endpoint=alias)
    functions.aws.client("sns").publish(TopicArn=topic, Message="hello")
    record = results.wait_for_body()
    assert record["requestContext"]["functionArn"] == alias
    assert record["responseContext"]["executedVersion"] == "2"
    assert record["responsePayload"] == [2, "2", alias]


def test_still_needed_the_stock_emulator_never_routes_by_weight(stock_functions: Functions) -> None:
    name = two_versions(stock_functions, 1.0)
    assert stock_functions.invoke(name, qualifier="live").payload[0] == 1
