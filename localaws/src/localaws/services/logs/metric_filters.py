"""Metric filters: log events that match a pattern become values of a metric. Filter patterns everywhere.

The emulator stores metric filters, and they publish nothing: an alarm on them never fires. Its patterns
ignore case, know no optional terms, and one on JSON matches every event. It lacks TestMetricFilter.

Faithful to: one reader of patterns (`logs.patterns`) for metric filters, subscription filters,
FilterLogEvents, StartLiveTail and TestMetricFilter. A pattern that is none is refused by each, and by
CloudFormation. A metric filter publishes its value, or what its selector or field finds, with dimensions and
unit, and its default value when none of the events that arrive together matches. A log group has at most 100
metric filters, 5 filters of both kinds with regular expressions, and filters only if its class is Standard.
Not to: which of the characters of a pattern AWS names first.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/MonitoringLogData.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_MetricTransformation.html
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_TestMetricFilter.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import cloudwatch, cloudwatch_logs

from localaws.patching import around, replaces
from localaws.refusals import Parameters, Refusal, refuses
from localaws.services.logs.patterns import Matches, Pattern, PatternError, compiled

Event = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]
_MOST_FILTERS, _MOST_WITH_REGEX, _MOST_DIMENSIONS = 100, 5, 3
INVALID, _STANDARD = "InvalidParameterException", "STANDARD"


@replaces(cloudwatch_logs, "_compile_filter_pattern")
def _compile_filter_pattern(raw: str) -> Matches:
    return compiled(raw or "").matches


@replaces(cloudwatch_logs, "_subscription_pattern_matches")
def _subscription_pattern_matches(pattern: str, message: str) -> bool:
    return compiled(pattern or "").matches(message)


def _refused(pattern: object, kind: str = "") -> Refusal | None:
    try:
        compiled(str(pattern or ""))
    except PatternError as error:
        return Refusal(INVALID, str(error) or f"Invalid {kind}filter pattern")
    return None


@refuses("logs", "FilterLogEvents", "StartLiveTail")
def _pattern_of_search(request: Parameters) -> Refusal | None:
    return _refused(request.get("filterPattern") or request.get("logEventFilterPattern"))


@refuses("logs", "PutSubscriptionFilter")
def _pattern_of_subscription(request: Parameters) -> Refusal | None:
    return _refused(request.get("filterPattern"), "subscription ")


@refuses("logs", "PutMetricFilter", "TestMetricFilter")
def _pattern_of_metric(request: Parameters) -> Refusal | None:
    if refused := _refused(request.get("filterPattern"), "metric "):
        return refused
    pattern = compiled(str(request.get("filterPattern") or ""))
    for transformation in request.get("metricTransformations") or []:
        dimensions = transformation.get("dimensions") or []
        if dimensions and pattern.kind == "terms":
            return Refusal(INVALID, "The specified filter pattern does not support dimensions")
        if dimensions and transformation.get("defaultValue") is not None:
            text = "dimensions and default value are mutually exclusive properties."
            return Refusal(INVALID, f"Invalid metric transformation: {text}")
        if len(dimensions) > _MOST_DIMENSIONS:
            text = f"a metric has at most {_MOST_DIMENSIONS} dimensions."
            return Refusal(INVALID, f"Invalid metric transformation: {text}")
    return None


@around(cloudwatch_logs, "_put_metric_filter")
def _put_metric_filter(stock: Callable[[Event], Response], data: Event) -> Response:
    if refused := not_of_this_class(data):
        return refused
    place = data.get("logGroupName"), data.get("filterName")
    mine = [key for key in cloudwatch_logs._metric_filters if key[0] == place[0]]
    full = len(mine) >= _MOST_FILTERS and place not in mine
    return limit_exceeded() if full or has_too_many_regexes(data) else stock(data)


def not_of_this_class(data: Event) -> Response | None:
    """The error for a log group of another class than Standard, which has no filters."""
    group = cloudwatch_logs._log_groups.get(data.get("logGroupName")) or {}
    if (group.get("logGroupClass") or _STANDARD) == _STANDARD:
        return None
    text = "This operation is only supported on the Standard log class."
    answer: Response = error_response_json("ValidationException", text, 400)
    return answer


def has_too_many_regexes(data: Event) -> bool:
    """Whether a log group would have too many filters with regular expressions."""
    if not compiled(data.get("filterPattern") or "").regexes:
        return False
    group = cloudwatch_logs._log_groups.get(data.get("logGroupName")) or {}
    of_metrics = [
        one for key, one in cloudwatch_logs._metric_filters.items() if key[0] == data["logGroupName"]
    ]
    every = [*of_metrics, *group.get("subscriptionFilters", {}).values()]
    others = [one["filterPattern"] for one in every if one["filterName"] != data.get("filterName")]
    return sum(bool(compiled(one).regexes) for one in others) >= _MOST_WITH_REGEX


def limit_exceeded() -> Response:
    """The error for a log group that has all the filters it may have."""
    answer: Response = error_response_json("LimitExceededException", "Resource limit exceeded.", 400)
    return answer


@around(cloudwatch_logs, "handle_request")
async def _handle_request(
    stock: Callable[..., Awaitable[Response]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
) -> Response:
    if headers.get("x-amz-target", "").endswith(".TestMetricFilter"):
        return _test(json.loads(body))
    return await stock(method, path, headers, body, query_params)


def _test(request: Parameters) -> Response:
    pattern = compiled(request["filterPattern"])
    found = [
        {"eventNumber": number, "eventMessage": message, "extractedValues": _extracted(pattern, message)}
        for number, message in enumerate(request["logEventMessages"], 1)
        if pattern.matches(message)
    ]
    answer: Response = json_response({"matches": found})
    return answer


def _extracted(pattern: Pattern, message: str) -> dict[str, str]:
    if pattern.kind == "fields":
        return {f"${name}": value for name, value in pattern.fields(message).items()}
    values = {selector: pattern.value(selector, message) for selector in pattern.selectors}
    return {selector: value for selector, value in values.items() if value is not None}


@around(cloudwatch_logs, "_fanout_to_subscription_filters", after=["logs.subscriptions"])
def _publish(stock: Callable[..., None], group_name: str, stream_name: str, events: Sequence[Event]) -> None:
    stock(group_name, stream_name, events)
    messages = [str(event.get("message", "")) for event in events or ()]
    for key, filter_ in list(cloudwatch_logs._metric_filters.items()):
        if key[0] != group_name or not messages:
            continue
        pattern = compiled(filter_["filterPattern"])
        matching = [message for message in messages if pattern.matches(message)]
        for transformation in filter_["metricTransformations"]:
            _transform(pattern, transformation, matching)


def _transform(pattern: Pattern, transformation: Event, matching: Sequence[str]) -> None:
    namespace, name = transformation["metricNamespace"], transformation["metricName"]
    unit, default = transformation.get("unit", "None"), transformation.get("defaultValue")
    if not matching and default is not None:
        cloudwatch.record_metric(namespace, name, float(default), unit)
    for message in matching:
        value = _value(pattern.value(str(transformation["metricValue"]), message))
        named = transformation.get("dimensions") or {}
        dimensions = {key: pattern.value(source, message) for key, source in named.items()}
        # An event without one of the dimensions publishes nothing.
        if value is not None and None not in dimensions.values():
            cloudwatch.record_metric(namespace, name, value, unit, dimensions)


def _value(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
