"""What Lambda refuses of an event source mapping, besides single values, which `requests.api` compares.

The emulator checks only MaximumConcurrency through its API, and nothing in CloudFormation.

Faithful to: when a mapping is created or updated, through the API or in CloudFormation,
- the visibility timeout of a queue is at least the timeout of the function. Lambda does not check that when
  the function or the queue changes;
- a batch of more than 10 messages of a queue needs a batching window of at least a second; a FIFO queue has
  neither;
- a minimum of 2 to 200 provisioned pollers, a maximum that is not below it, and no MaximumConcurrency as
  well;
- a stream has a starting position, and AT_TIMESTAMP a time that is not in the future, and not for DynamoDB;
- a tumbling window reads a shard with one invocation at a time;
- up to 10 filters, each a valid event pattern; no destination of successful batches;
- a broker of the same account, one queue, one secret, and a virtual host for RabbitMQ only;
- a source and a function have one mapping, also while CloudFormation replaces it for another starting
  position, and are in the same Region; the source exists.
Not to: which settings Lambda refuses for the other kind of source; the quota of five filters, which AWS
raises to ten on request; the words of the errors about batches of FIFO queues, about Regions, ages of
records, the number of filters, tumbling windows, times in the future and brokers: AWS does not document them.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
https://docs.aws.amazon.com/lambda/latest/dg/services-mq-params.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-update-behaviors.html
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from ministack.core.responses import error_response_json, get_account_id, get_region
from ministack.services import dynamodb, kinesis, lambda_svc, mq, sqs

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.services.lambda_.event_filters import is_pattern

_MOST_FILTERS = 10
# https://docs.aws.amazon.com/lambda/latest/api/API_SourceAccessConfiguration.html
_ACCESS_URI = re.compile(r"[a-zA-Z0-9-/*:_+=.@]{1,200}")
# What replaces a mapping. CloudFormation makes the new one before it deletes the old one.
_REPLACING = ("EventSourceArn", "StartingPosition", "StartingPositionTimestamp")
_AFTER = ["iam.functions", "lambda_.event_source_mappings", "lambda_.fifo_destinations"]

Refusal = tuple[str, str]
"""Code and text of an error."""


def refusal(mapping: Mapping[str, Any]) -> Refusal | None:
    """Why Lambda refuses a mapping; None if it does not."""
    filters = (mapping.get("FilterCriteria") or {}).get("Filters") or []
    source = str(mapping.get("EventSourceArn", ""))
    parts = source.split(":")
    if len(parts) > 3 and parts[3] != get_region():
        text = f"The event source ARN {source} must be in the same region as the Lambda function."
        return "InvalidParameterValueException", text
    reason = _of_any(mapping, filters)
    if not reason:
        reason = _RULES.get(parts[2] if len(parts) > 2 else "", _of_stream)(mapping, source)
    return ("InvalidParameterValueException", reason) if reason else None


def _of_any(mapping: Mapping[str, Any], filters: list[Mapping[str, Any]]) -> str | None:
    if len(filters) > _MOST_FILTERS:
        return f"The number of filters, {len(filters)}, exceeds the limit of {_MOST_FILTERS}."
    if not all(is_pattern(one.get("Pattern", "{}")) for one in filters):
        return "Invalid filter pattern definition."
    if (mapping.get("DestinationConfig") or {}).get("OnSuccess"):
        return "Unsupported DestinationConfig parameter for given event source mapping type."
    return None


def _of_stream(mapping: Mapping[str, Any], source: str) -> str | None:
    position, timestamp = mapping.get("StartingPosition"), mapping.get("StartingPositionTimestamp")
    if position is None:
        return (
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
            "Member must not be null."
        )
    if position == "AT_TIMESTAMP" and ":dynamodb:" in source:
        return f"Unsupported starting position for arn type: {source}"
    if position == "AT_TIMESTAMP" and timestamp is None:
        return "Need to specify a timestamp"
    if position == "AT_TIMESTAMP" and float(timestamp or 0) > time.time():
        return f"StartingPositionTimestamp {timestamp} cannot be in the future"
    age = mapping.get("MaximumRecordAgeInSeconds")
    if age is not None and int(age) in range(60):
        return f"MaximumRecordAgeInSeconds must be -1 or between 60 and 604800, but is {age}"
    if (
        int(mapping.get("TumblingWindowInSeconds") or 0)
        and int(mapping.get("ParallelizationFactor") or 1) > 1
    ):
        return "A tumbling window requires a ParallelizationFactor of 1"
    return None


def _missing(mapping: Mapping[str, Any]) -> Refusal | None:
    """Why a new mapping cannot read its source: it does not exist. That of another account may."""
    source = str(mapping.get("EventSourceArn", ""))
    parts = source.split(":", 5)
    if len(parts) < 6 or (parts[4] != get_account_id() and parts[2] != "mq"):
        return None
    service, name = parts[2], parts[5]
    text = f"Stream not found: {source}"
    found: object = True
    if service == "sqs":
        found = sqs._queue_by_arn(source)
        text = (
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
            "SQS Error Message: The specified queue does not exist."
        )
    elif service == "kinesis":
        found = (kinesis._consumer_from_arn if "/consumer/" in name else kinesis._resolve_stream_by_arn)(
            source
        )
    elif service == "mq":
        found = any(one["brokerArn"] == source for one in mq._brokers.values())
        text = f"The broker {source} does not exist in this account."
    elif service == "dynamodb":
        table = dynamodb._tables.get(name.split("/")[1]) if "/" in name else None
        found = (table or {}).get("LatestStreamArn") == source or dynamodb.closed_stream(source)
    return None if found else ("InvalidParameterValueException", text)


def _of_queue(mapping: Mapping[str, Any], source: str) -> str | None:
    size, window = (
        int(mapping.get(name) or default)
        for name, default in (("BatchSize", 10), ("MaximumBatchingWindowInSeconds", 0))
    )
    if source.endswith(".fifo") and size > 10:
        return "Batch size must not exceed 10 for FIFO queues"
    if source.endswith(".fifo") and window > 0:
        return "Batching window is not supported for FIFO queues"
    if size > 10 and window < 1:
        return (
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        )
    pollers = mapping.get("ProvisionedPollerConfig") or {}
    minimum, maximum = int(pollers.get("MinimumPollers", 2)), int(pollers.get("MaximumPollers", 200))
    if pollers and not (2 <= minimum <= 200 and minimum <= maximum <= 10_000):
        return (
            "MinimumPollers should be between [2, 200] and MaximumPollers should be between "
            "[MinimumPollers, 10000]"
        )
    if pollers and (mapping.get("ScalingConfig") or {}).get("MaximumConcurrency"):
        return "Provisioned mode for SQS ESM does not support maximum concurrency feature."
    queue = sqs._queue_by_arn(source)
    _record, config, _name = lambda_svc._get_func_record_for_ref(_function_of(mapping))
    if queue and config:
        visibility, timeout = int(queue["attributes"].get("VisibilityTimeout", 30)), int(config["Timeout"])
        if visibility < timeout:
            return (
                f"Queue visibility timeout: {visibility} seconds is less than "
                f"Function timeout: {timeout} seconds"
            )
    return None


def _of_broker(mapping: Mapping[str, Any], source: str) -> str | None:
    if len(mapping.get("Queues") or ()) != 1:
        return "Exactly one queue must be specified in Queues for an Amazon MQ event source."
    access = mapping.get("SourceAccessConfigurations") or ()
    given = [one.get("Type") for one in access]
    for one in access:
        if not _ACCESS_URI.fullmatch(str(one.get("URI", ""))):
            return f"Invalid URI {one.get('URI')!r} of {one.get('Type')} in SourceAccessConfigurations."
    if given.count("BASIC_AUTH") != 1:
        return "Exactly one BASIC_AUTH must be specified in SourceAccessConfigurations."
    broker = mq._brokers.get(source.rpartition(":")[2]) or {}
    allowed = {"BASIC_AUTH", "VIRTUAL_HOST"} if broker.get("engineType") != "ACTIVEMQ" else {"BASIC_AUTH"}
    if not set(given) <= allowed or given.count("VIRTUAL_HOST") > 1:
        return f"Unsupported SourceAccessConfigurations {given} for the broker {source}."
    return None


_RULES = {"sqs": _of_queue, "mq": _of_broker}


def _function_of(mapping: Mapping[str, Any]) -> str:
    """The function with its qualifier, of a stored mapping or of a request."""
    return str(mapping.get("FunctionArn") or mapping.get("FunctionName", ""))


def _conflict(mapping: Mapping[str, Any]) -> Refusal | None:
    source, function = mapping.get("EventSourceArn", ""), mapping.get("FunctionName", "")
    mine = lambda_svc._resolve_name_and_qualifier(function)
    for other in lambda_svc._esms.values():
        if other["EventSourceArn"] == source and (other["FunctionName"], other.get("Qualifier")) == mine:
            found = f'(" {source} ") and function (" {mine[0]} ")'
            what = (
                f"An event source mapping with SQS arn {found} already exists."
                if ":sqs:" in source
                else f"The event source arn {found} provided mapping already exists."
            )
            text = f"{what} Please update or delete the existing mapping with UUID {other['UUID']}"
            return "ResourceConflictException", text
    return None


# --- The API


@around(lambda_svc, "_validate_event_source_arn", after=["kinesis.consumers"])
def _validate_event_source_arn(stock: Callable[[str], Any], event_source_arn: str) -> Any:
    """The emulator knows no brokers as event sources."""
    if ":mq:" in event_source_arn:
        return lambda_svc._parse_required_arn(event_source_arn, "eventSourceArn")
    return stock(event_source_arn)


@around(lambda_svc, "_create_esm", after=_AFTER)
def _create_esm(stock: Callable[[Properties], Any], data: Properties) -> Any:
    return _answer(refusal(data) or _missing(data) or _conflict(data)) or stock(data)


@around(lambda_svc, "_update_esm", after=_AFTER)
def _update_esm(stock: Callable[[str, Properties], Any], esm_id: str, data: Properties) -> Any:
    record = dict(lambda_svc._esms.get(esm_id) or {})
    if "FunctionName" in data:
        record.pop("FunctionArn", None)
    if any(one.get("Type") == "VIRTUAL_HOST" for one in data.get("SourceAccessConfigurations") or ()):
        text = "VIRTUAL_HOST cannot be specified in an UpdateEventSourceMapping API call."
        return _answer(("InvalidParameterValueException", text))
    return _answer(refusal(record | data)) or stock(esm_id, data)


def _answer(found: Refusal | None) -> Any:
    if found is None:
        return None
    return error_response_json(*found, 409 if found[0] == "ResourceConflictException" else 400)


# --- CloudFormation


_MAPPING = resource("AWS::Lambda::EventSourceMapping", after=_AFTER)


@_MAPPING.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _require(refusal(properties) or _missing(properties) or _conflict(properties))
    return stock(logical_id, properties, stack)


@_MAPPING.update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    replaced = any(old.get(name) != new.get(name) for name in _REPLACING)
    _require(refusal(new) or (replaced and (_missing(new) or _conflict(new))) or None)
    return stock(physical_id, old, new, stack, logical_id)


def _require(found: Refusal | None) -> None:
    if found is not None:
        raise ValueError(f"Invalid request provided: {found[1]} (Service: Lambda, Status Code: 400)")
