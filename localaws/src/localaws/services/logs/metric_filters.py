"""Metric filters: log events that match a pattern become values of a metric. Filter patterns everywhere.

The emulator stores metric filters, and they publish nothing: an alarm on them never fires. Its patterns
ignore case, know no optional terms, and one on JSON matches every event.

Faithful to: patterns of terms (needed, `?` optional, `-` excluded, quoted, `%regex%`), which distinguish
case; patterns on JSON with selectors, comparisons, `*`, `IS`, `EXISTS`, `&&` and `||`. They decide for
metric filters, subscription filters and FilterLogEvents. A metric filter publishes its value, or what its
selector finds, with dimensions and unit, and its default value when none of the events that arrive together
matches.
Not to: patterns of fields between spaces (`[ip, user, status]`), which match nothing here; where a word
ends; the words in which a filter with an invalid pattern is refused.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/MonitoringLogData.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_MetricTransformation.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import cloudwatch, cloudwatch_logs

from localaws.patching import around, replaces
from localaws.services.logs.patterns import MISSING, Matches, PatternError, compiled, parsed, selected

Event = dict[str, Any]


@replaces(cloudwatch_logs, "_compile_filter_pattern")
def _compile_filter_pattern(raw: str) -> Matches:
    return _matcher(raw)


@replaces(cloudwatch_logs, "_subscription_pattern_matches")
def _subscription_pattern_matches(pattern: str, message: str) -> bool:
    return _matcher(pattern)(message)


def _matcher(pattern: str | None) -> Matches:
    if (pattern or "").strip().startswith("["):
        return lambda message: False
    return compiled(pattern or "")


@around(cloudwatch_logs, "_put_metric_filter")
@around(cloudwatch_logs, "_put_subscription_filter")
def _put_filter(stock: Callable[[Event], Any], data: Event) -> Any:
    try:
        _matcher(data.get("filterPattern"))
    except PatternError as error:
        return error_response_json("InvalidParameterException", str(error), 400)
    return stock(data)


@around(cloudwatch_logs, "_fanout_to_subscription_filters")
def _publish(stock: Callable[..., None], group_name: str, stream_name: str, events: Sequence[Event]) -> None:
    stock(group_name, stream_name, events)
    messages = [str(event.get("message", "")) for event in events or ()]
    for key, filter_ in list(cloudwatch_logs._metric_filters.items()):
        if key[0] != group_name or not messages:
            continue
        matches = _matcher(filter_["filterPattern"])
        matching = [message for message in messages if matches(message)]
        for transformation in filter_["metricTransformations"]:
            _transform(transformation, matching)


def _transform(transformation: dict[str, Any], matching: Sequence[str]) -> None:
    namespace, name = transformation["metricNamespace"], transformation["metricName"]
    unit, default = transformation.get("unit", "None"), transformation.get("defaultValue")
    if not matching and default is not None:
        cloudwatch.record_metric(namespace, name, float(default), unit)
    for message in matching:
        value = _value(str(transformation["metricValue"]), message)
        named = transformation.get("dimensions") or {}
        dimensions = {key: _text(source, message) for key, source in named.items()}
        # An event without one of the dimensions publishes nothing.
        if value is not None and None not in dimensions.values():
            cloudwatch.record_metric(namespace, name, value, unit, dimensions)


def _value(source: str, message: str) -> float | None:
    found = _text(source, message)
    try:
        return None if found is None else float(found)
    except ValueError:
        return None


def _text(source: str, message: str) -> str | None:
    if not source.startswith("$"):
        return source
    found = selected(parsed(message), source)
    return None if found is MISSING or isinstance(found, (dict, list)) else str(found)
