"""Event source mappings that Lambda refuses, through its API and in CloudFormation."""

from __future__ import annotations

import re
import time
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions
from helpers.stacks import DeploymentFailedError, Stack, arn, deploy, function, ref, role
from localaws import LocalAws

pytestmark = pytest.mark.local

HANDLER = "def handler(event, context): return event"
READING = (("sqs:ReceiveMessage", "*"), ("sqs:DeleteMessage", "*"), ("sqs:GetQueueAttributes", "*"))
TOO_SHORT = "Queue visibility timeout: 30 seconds is less than Function timeout: 31 seconds"
POLLERS = {"MinimumPollers": 3, "MaximumPollers": 2}

# Settings of the queue, of the function and of the mapping; and what Lambda says.
REFUSED: dict[str, tuple[dict[str, str], dict[str, Any], dict[str, Any], str]] = {
    "visibility timeout": ({}, {"Timeout": 31}, {}, TOO_SHORT),
    "window": (
        {},
        {},
        {"BatchSize": 11},
        "Maximum batch window in seconds must be greater than 0 if maximum",
    ),
    "batch of FIFO": ({"FifoQueue": "true"}, {}, {"BatchSize": 11}, "must not exceed 10 for FIFO queues"),
    "window of FIFO": (
        {"FifoQueue": "true"},
        {},
        {"MaximumBatchingWindowInSeconds": 1},
        "Batching window is not supported for FIFO queues",
    ),
    "batch": (
        {},
        {},
        {"BatchSize": 10_001, "MaximumBatchingWindowInSeconds": 1},
        "Value '10001' at 'batchSize' failed to satisfy constraint: Member must have value less than",
    ),
    "pollers": ({}, {}, {"ProvisionedPollerConfig": POLLERS}, "MinimumPollers should be between [2, 200]"),
    "pollers and concurrency": (
        {},
        {},
        {"ProvisionedPollerConfig": {"MinimumPollers": 2}, "ScalingConfig": {"MaximumConcurrency": 2}},
        "Provisioned mode for SQS ESM does not support maximum concurrency",
    ),
}


def make(functions: Functions, queue: dict[str, str], **settings: Any) -> dict[str, str]:
    """Make a queue and a function; returns the names for a mapping."""
    name = f"queue-{uuid.uuid4().hex[:8]}{'.fifo' if 'FifoQueue' in queue else ''}"
    functions.aws.client("sqs").create_queue(QueueName=name, Attributes=queue)
    made = functions.make(HANDLER, role=functions.role(*READING), **settings)
    return {"EventSourceArn": functions.arn("sqs", name), "FunctionName": made}


@pytest.mark.parametrize(("queue", "settings", "mapping", "text"), REFUSED.values(), ids=REFUSED)
def test_the_api_refuses_it(
    functions: Functions, queue: dict[str, str], settings: dict[str, Any], mapping: dict[str, Any], text: str
) -> None:
    names = make(functions, queue, **settings)
    with pytest.raises(ClientError, match=re.escape(text)) as caught:
        functions.aws.client("lambda").create_event_source_mapping(**names, **mapping)
    code = caught.value.response["Error"]["Code"]
    assert code == ("ValidationException" if "Value '" in text else "InvalidParameterValueException")


@pytest.mark.parametrize(("queue", "settings", "mapping", "text"), REFUSED.values(), ids=REFUSED)
def test_cloudformation_refuses_it(
    local_aws: LocalAws, queue: dict[str, str], settings: dict[str, Any], mapping: dict[str, Any], text: str
) -> None:
    resources = stack_of(queue, settings, mapping)
    with pytest.raises(DeploymentFailedError, match=re.escape(text)):
        deploy(local_aws, resources)


def stack_of(
    queue: dict[str, str], settings: dict[str, Any], mapping: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """A queue, a function that reads it, and the mapping."""
    made = function("Role", HANDLER)
    made["Properties"] |= settings
    return {
        "Role": role(*READING),
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": queue},
        "Function": made,
        "Mapping": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {"EventSourceArn": arn("Queue"), "FunctionName": ref("Function"), **mapping},
        },
    }


def test_a_longer_timeout_is_accepted_and_refused_at_the_next_update_of_the_mapping(
    functions: Functions,
) -> None:
    names = make(functions, {}, Timeout=30)
    client = functions.aws.client("lambda")
    mapping = client.create_event_source_mapping(**names)["UUID"]
    client.update_function_configuration(FunctionName=names["FunctionName"], Timeout=31)
    with pytest.raises(ClientError, match=TOO_SHORT):
        client.update_event_source_mapping(UUID=mapping, BatchSize=5)


def test_cloudformation_refuses_an_update(local_aws: LocalAws) -> None:
    stack: Stack = deploy(local_aws, stack_of({}, {}, {}))
    with pytest.raises(DeploymentFailedError, match="must be greater than 0 if maximum batch size"):
        stack.update(stack_of({}, {}, {"BatchSize": 11}))


def test_a_second_mapping_of_the_same_source_and_function_is_refused(functions: Functions) -> None:
    names, client = make(functions, {}), functions.aws.client("lambda")
    first = client.create_event_source_mapping(**names)["UUID"]
    found = (
        f'SQS arn (" {names["EventSourceArn"]} ") and function (" {names["FunctionName"]} ") already exists'
    )
    with pytest.raises(ClientError, match=re.escape(found)) as caught:
        client.create_event_source_mapping(**names)
    error = caught.value.response["Error"]
    assert error["Code"] == "ResourceConflictException"
    assert first in error["Message"]


def test_another_starting_position_replaces_a_mapping_which_conflicts_with_itself(
    local_aws: LocalAws, stream: str
) -> None:
    def resources(position: str, stream_arn: str = stream, batch: int = 10) -> dict[str, dict[str, Any]]:
        mapping = {"EventSourceArn": stream_arn, "StartingPosition": position, "BatchSize": batch}
        made = stack_of({}, {}, mapping)
        made["Role"] = role(*READING, ("kinesis:*", "*"))
        return made

    outputs = {"Id": ref("Mapping")}
    stack = deploy(local_aws, resources("LATEST"), outputs)
    first = stack.outputs["Id"]
    with pytest.raises(DeploymentFailedError, match=f"provided mapping already exists.*UUID {first}"):
        stack.update(resources("TRIM_HORIZON"), outputs)
    stack.update(resources("LATEST", batch=11), outputs)
    assert stack.outputs["Id"] == first
    kinesis = local_aws.client("kinesis")
    kinesis.create_stream(StreamName="limits-too", ShardCount=1)
    stack.update(resources("TRIM_HORIZON", stream.replace("/limits", "/limits-too")), outputs)
    found = local_aws.client("lambda").list_event_source_mappings(EventSourceArn=stream)
    assert (stack.outputs["Id"] != first, found["EventSourceMappings"]) == (True, [])


def test_a_queue_in_another_region_is_refused(local_aws: LocalAws) -> None:
    resources = stack_of({}, {}, {"EventSourceArn": "arn:aws:sqs:eu-west-3:123456789012:theirs"})
    with pytest.raises(DeploymentFailedError, match="must be in the same region as the Lambda function"):
        deploy(local_aws, resources)


def filtered(*patterns: object) -> dict[str, Any]:
    """The setting for filters."""
    return {"FilterCriteria": {"Filters": [{"Pattern": pattern} for pattern in patterns]}}


LATEST = {"StartingPosition": "LATEST"}
FUTURE = int(time.time()) + 3600
GONE = "arn:aws:{}:{{region}}:{{account}}:{}"

# Settings of the mapping of a stream; and what Lambda says.
REFUSED_OF_STREAMS: dict[str, tuple[dict[str, Any], str]] = {
    "no position": ({}, "Value null at 'startingPosition' failed to satisfy constraint"),
    "position": ({"StartingPosition": "MIDDLE"}, "Value 'MIDDLE' at 'startingPosition' failed to satisfy"),
    "no timestamp": ({"StartingPosition": "AT_TIMESTAMP"}, "Need to specify a timestamp"),
    "future": (
        {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": FUTURE},
        "cannot be in the future",
    ),
    "age": (LATEST | {"MaximumRecordAgeInSeconds": 59}, "must be -1 or between 60 and 604800, but is 59"),
    "no age": (LATEST | {"MaximumRecordAgeInSeconds": 0}, "must be -1 or between 60 and 604800, but is 0"),
    "11 filters": (LATEST | filtered(*['{"data": ["a"]}'] * 11), "filters, 11, exceeds the limit of 10"),
    "filter": (LATEST | filtered("data = a"), "Invalid filter pattern definition."),
    "filter of a string": (LATEST | filtered('{"data": "a"}'), "Invalid filter pattern definition."),
    "list as filter": (LATEST | filtered('["a"]'), "Invalid filter pattern definition."),
    "long filter": (
        LATEST | filtered('{"data": ["' + "a" * 4096 + '"]}'),
        "at 'filterCriteria.filters.1.member.pattern' failed to satisfy constraint: Member must have length",
    ),
    "window": (
        LATEST | {"TumblingWindowInSeconds": 30, "ParallelizationFactor": 2},
        "A tumbling window requires a ParallelizationFactor of 1",
    ),
    "success": (
        LATEST
        | {"DestinationConfig": {"OnSuccess": {"Destination": "arn:aws:sqs:us-east-1:123456789012:done"}}},
        "Unsupported DestinationConfig parameter for given event source mapping type.",
    ),
    "response type": (
        LATEST | {"FunctionResponseTypes": ["ReportEverything"]},
        "Value '[ReportEverything]' at 'functionResponseTypes' failed to satisfy constraint",
    ),
    "no stream": (
        LATEST | {"EventSourceArn": GONE.format("kinesis", "stream/none")},
        "Stream not found: arn",
    ),
    "no table": (
        LATEST | {"EventSourceArn": GONE.format("dynamodb", "table/none/stream/2026-01-01T00:00:00.000")},
        "Stream not found: arn",
    ),
    "no queue": ({"EventSourceArn": GONE.format("sqs", "none")}, "The specified queue does not exist"),
    "table's position": (
        {
            "EventSourceArn": GONE.format("dynamodb", "table/none/stream/2026-01-01T00:00:00.000"),
            "StartingPosition": "AT_TIMESTAMP",
            "StartingPositionTimestamp": 1,
        },
        "Unsupported starting position for arn type",
    ),
}


@pytest.fixture(scope="module")
def stream(local_aws: LocalAws, _empty_account: None) -> str:
    """The ARN of a stream."""
    kinesis = local_aws.client("kinesis")
    kinesis.create_stream(StreamName="limits", ShardCount=1)
    described = kinesis.describe_stream_summary(StreamName="limits")
    return str(described["StreamDescriptionSummary"]["StreamARN"])


@pytest.mark.parametrize(("mapping", "text"), REFUSED_OF_STREAMS.values(), ids=REFUSED_OF_STREAMS)
def test_the_api_refuses_it_of_a_stream(
    functions: Functions, stream: str, mapping: dict[str, Any], text: str
) -> None:
    allowed = functions.role(*READING, ("kinesis:*", "*"), ("dynamodb:*", "*"))
    made = functions.make(HANDLER, role=allowed)
    given = {"EventSourceArn": stream, "FunctionName": made} | mapping
    source = given["EventSourceArn"].format(region=functions.aws.region, account=functions.aws.account)
    with pytest.raises(ClientError, match=re.escape(text)) as caught:
        functions.aws.client("lambda").create_event_source_mapping(**given | {"EventSourceArn": source})
    of_a_member = "failed to satisfy" in text and "null" not in text
    code = caught.value.response["Error"]["Code"]
    assert code == ("ValidationException" if of_a_member else "InvalidParameterValueException")


@pytest.mark.parametrize("name", ["My clicks", "größe", "x" * 129])
def test_kinesis_refuses_the_name_of_a_consumer(local_aws: LocalAws, name: str) -> None:
    kinesis, stream = local_aws.client("kinesis"), f"stream-{uuid.uuid4().hex[:8]}"
    kinesis.create_stream(StreamName=stream, ShardCount=1)
    stream_arn = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    with pytest.raises(ClientError, match=r"ValidationException.*at 'consumerName' failed to satisfy"):
        kinesis.register_stream_consumer(StreamARN=stream_arn, ConsumerName=name)
