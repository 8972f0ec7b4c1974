"""Subscription filters: log events that match a pattern are sent to a function, a stream or Firehose.

The emulator runs the function once, whether it may or not, gives events an id of another form, never sends to
Kinesis or Firehose, and accepts any number of filters and any destination.

Faithful to:
- Whatever is written to a log group, also by functions, is sent in the documented envelope, gzipped: events
  of one log stream, with the ids of FilterLogEvents, and with `extractedFields` if the pattern names fields.
  What is too large for the destination is sent in several parts.
- A function is invoked asynchronously: see `lambda_.async_invocation`. Its policy is asked each time, for
  `logs.amazonaws.com` or the principal of the Region, with the log group as SourceArn. Kinesis and Firehose
  are called with the role of the filter.
- PutSubscriptionFilter sends a control message, and refuses a destination that cannot be reached.
- An event that may not be delivered is not sent again; the metrics ForwardedLogEvents, ForwardedBytes and
  DeliveryErrors tell.
- A log group has at most 5 subscription filters (2 until 2026).
Not to: logical destinations of other accounts and subscriptions of whole accounts, which are not emulated;
how AWS joins what is written in several requests; its pause of up to 10 minutes after a refusal; the words of
a control message to a function. A function that writes to the log group from which it is invoked is invoked
again and again, as in AWS.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/Subscriptions.html
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutSubscriptionFilter.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
"""

from __future__ import annotations

import base64
import gzip
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextvars import Context
from typing import Any

from ministack.core.responses import error_response_json, get_account_id, get_region
from ministack.services import cloudwatch, cloudwatch_logs, firehose, iam, kinesis, lambda_svc

from localaws.patching import around, replaces
from localaws.services.iam.invocations import in_account_of, service_may_invoke
from localaws.services.iam.roles import role_allows, role_trusts
from localaws.services.lambda_.payloads import ASYNCHRONOUS
from localaws.services.logs.events import just_stored
from localaws.services.logs.metric_filters import (
    INVALID,
    has_too_many_regexes,
    limit_exceeded,
    not_of_this_class,
)
from localaws.services.logs.patterns import compiled

Event = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]
_MOST_FILTERS = 5
_NAMES = {"lambda": "Lambda", "kinesis": "Kinesis stream", "firehose": "Firehose"}
# The most bytes of a compressed envelope: base64 makes four of three, and a function gets JSON around it.
_MOST_BYTES = {"lambda": (ASYNCHRONOUS - 64) // 4 * 3, "kinesis": 1_048_576, "firehose": 1_024_000}

logger = logging.getLogger("localaws.logs")


class Undeliverable(Exception):
    """The destination refuses, or may not be called."""


@around(cloudwatch_logs, "_put_subscription_filter")
def _put_subscription_filter(stock: Callable[[Event], Response], data: Event) -> Response:
    group = cloudwatch_logs._log_groups.get(data.get("logGroupName"))
    if group is None:
        return stock(data)
    if other_class := not_of_this_class(data):
        return other_class
    filters = group["subscriptionFilters"]
    before, text = filters.get(data["filterName"]), _refused(data)
    if not text and ((not before and len(filters) >= _MOST_FILTERS) or has_too_many_regexes(data)):
        return limit_exceeded()
    if text := text or _unreachable(group, data):
        refused: Response = error_response_json(INVALID, text, 400)
        return refused
    answer = stock(data)
    stored = filters[data["filterName"]]
    if before:
        stored["creationTime"] = before["creationTime"]
    if not stored["roleArn"]:
        del stored["roleArn"]
    return answer


@around(cloudwatch_logs, "_describe_subscription_filters")
def _describe_subscription_filters(stock: Callable[[Event], Response], data: Event) -> Response:
    return not_of_this_class(data) or stock(data)


def _refused(data: Event) -> str | None:
    """Why a filter cannot have its destination, whatever that allows."""
    vendor, region, account = (str(data["destinationArn"]).split(":") + [""] * 5)[2:5]
    if vendor == "logs":
        return (
            "Logical destinations (PutDestination) are not emulated; give a function, a stream or Firehose."
        )
    if vendor not in _NAMES or (region, account) != (get_region(), get_account_id()):
        return f"PutSubscriptionFilter operation cannot work with destinationArn for vendor {vendor}"
    if vendor == "lambda" and data.get("roleArn"):
        return "destinationArn for vendor lambda cannot be used with roleArn"
    if vendor != "lambda" and not data.get("roleArn"):
        return f"destinationArn for vendor {vendor} cannot be used without roleArn"
    return None


def _unreachable(group: Event, data: Event) -> str | None:
    """Send a control message; the error of AWS if that fails."""
    vendor = data["destinationArn"].split(":")[2]
    text = f"CWL CONTROL MESSAGE: Checking health of destination {_NAMES[vendor]}."
    event = {"id": "", "timestamp": int(time.time() * 1000), "message": text}
    message = _envelope("CONTROL_MESSAGE", "CloudwatchLogs", "", "", [], [event])
    try:
        _send(group["arn"], data, "control", message)
    except Undeliverable:
        if vendor == "lambda":
            how = "Make sure you have given CloudWatch Logs permission to execute your function."
            return f"Could not execute the lambda function. {how}"
        name = "Kinesis" if vendor == "kinesis" else "Firehose"
        how = f"Check if the given {name} stream is in ACTIVE state."
        return f"Could not deliver test message to specified {name} stream. {how}"
    return None


@replaces(cloudwatch_logs, "_fanout_to_subscription_filters")
def _fanout(group_name: str, stream_name: str, events: Sequence[Event]) -> None:
    """Send what was written to the destinations of all filters. Nothing keeps it from being written."""
    group = cloudwatch_logs._log_groups.get(group_name) or {}
    filters = list(group.get("subscriptionFilters", {}).values())
    stored = just_stored(events) if filters else []
    for filter_ in filters:
        try:
            _forward(group, filter_, stream_name, stored)
        except Exception:
            logger.exception("subscription filter %s of %s", filter_["filterName"], group_name)


def _forward(group: Event, filter_: Event, stream_name: str, stored: Sequence[Event]) -> None:
    pattern = compiled(filter_["filterPattern"] or "")
    chosen = [
        {name: event[name] for name in ("id", "timestamp", "message")}
        | ({"extractedFields": dict(found)} if (found := pattern.fields(event["message"])) else {})
        for event in stored
        if pattern.matches(event["message"])
    ]
    vendor, name = filter_["destinationArn"].split(":")[2], filter_["logGroupName"]
    start = ("DATA_MESSAGE", get_account_id(), name, stream_name, [filter_["filterName"]])
    dimensions = {
        "LogGroupName": name,
        "DestinationType": _NAMES[vendor].partition(" ")[0],
        "FilterName": filter_["filterName"],
    }
    for part, data in _parts(chosen, lambda events: _envelope(*start, events), _MOST_BYTES[vendor]):
        try:
            _send(group["arn"], filter_, stream_name, data)
        except Undeliverable as error:
            cloudwatch.record_metric("AWS/Logs", "DeliveryErrors", len(part), "None", dimensions)
            logger.warning("%s was not sent to %s: %s", name, filter_["destinationArn"], error)
        else:
            cloudwatch.record_metric("AWS/Logs", "ForwardedLogEvents", len(part), "None", dimensions)
            cloudwatch.record_metric("AWS/Logs", "ForwardedBytes", len(data), "Bytes", dimensions)


def _parts(
    events: Sequence[Event], pack: Callable[[Sequence[Event]], bytes], most: int
) -> Iterator[tuple[Sequence[Event], bytes]]:
    """Events as envelopes that are small enough, with the events in each."""
    if not events:
        return
    data = pack(events)
    if len(data) <= most or len(events) == 1:
        yield events, data
        return
    half = len(events) // 2
    yield from _parts(events[:half], pack, most)
    yield from _parts(events[half:], pack, most)


def _envelope(
    kind: str, owner: str, group: str, stream: str, filters: Sequence[str], events: Sequence[Event]
) -> bytes:
    document = {
        "messageType": kind,
        "owner": owner,
        "logGroup": group,
        "logStream": stream,
        "subscriptionFilters": filters,
        "logEvents": events,
    }
    return gzip.compress(json.dumps(document, ensure_ascii=False).encode(errors="replace"), 6)


def _send(group_arn: str, filter_: Event, stream_name: str, data: bytes) -> None:
    """Send an envelope to the destination of a filter.

    Raises:
        Undeliverable: It is refused.
    """
    arn = filter_["destinationArn"]
    vendor, text = arn.split(":")[2], base64.b64encode(data).decode()
    if len(data) > _MOST_BYTES[vendor]:
        raise Undeliverable(f"an event of {len(data)} compressed bytes")
    if vendor == "lambda":
        callers = _principals(_policy(arn))
        if not any(service_may_invoke(arn, one, group_arn, group_arn.split(":")[4]) for one in callers):
            raise Undeliverable("the policy of the function does not allow it")
        # Not in the context of the invocation that has written the events, if there is one.
        Context().run(_invoke, arn, {"awslogs": {"data": text}})
        return
    action = f"{vendor}:PutRecord"
    trust = iam._roles.get(filter_["roleArn"].rpartition("/")[2]) or {}
    callers = _principals(trust.get("AssumeRolePolicyDocument"))
    account = group_arn.split(":")[4]
    if not any(role_trusts(filter_["roleArn"], one, group_arn, account) for one in callers):
        raise Undeliverable("the role does not trust CloudWatch Logs")
    if not role_allows(filter_["roleArn"], action, arn):
        raise Undeliverable(f"the role does not allow {action}")
    if vendor == "kinesis":
        key = str(uuid.uuid4()) if filter_.get("distribution") == "Random" else stream_name[:256]
        answer = kinesis._put_record({"StreamARN": arn, "Data": text, "PartitionKey": key})
    else:
        name = arn.rpartition("/")[2]
        answer = firehose._put_record({"DeliveryStreamName": name, "Record": {"Data": text}})
    if answer[0] != 200:
        raise Undeliverable(answer[2].decode())


def _policy(function: str) -> object:
    found = lambda_svc.function_policy_for_arn(function)
    return found[0] if found else None


def _principals(policy: object) -> list[str]:
    """The principals of the service: the one of the Region only if the policy names it."""
    regional = f"logs.{get_region()}.amazonaws.com"
    return [*([regional] if regional in json.dumps(policy) else []), "logs.amazonaws.com"]


def _invoke(function: str, event: Event) -> None:
    with in_account_of(function):
        record, config, _ = lambda_svc._get_func_record_for_ref(function)
        if not record or not config:
            raise Undeliverable("there is no such function")
        lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(record, config), event)
