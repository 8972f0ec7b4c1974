"""What CloudWatch refuses of alarms, of metric data and of queries for statistics.

Faithful to: actions of alarms are ARNs, in the Region of the alarm; metrics of AWS have periods of a minute
or more; at most 1,000 metrics in a request, each with one form of its values, which are numbers between
-2^360 and 2^360, at most 150 of them with as many counts; timestamps of the past two weeks or the next two
hours; no namespace of AWS; statistics of whole minutes and at most 1,440 data points, in order of time;
at most ten metrics and ten expressions in an alarm, 100 alarms in the rule of a composite alarm, and 500
queries with ids of their own in GetMetricData.
Not to: which services an action may name; the words of refusals about these numbers.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataQuery.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html
"""

from __future__ import annotations

import datetime
import math
import re
import time
from collections.abc import Iterator
from typing import Any

from ministack.core.responses import get_region

from localaws.refusals import Parameters, Refusal, refuses

_ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")
_MOST_METRICS, _MOST_VALUES, _MOST_POINTS = 1000, 150, 1440
_MOST_IN_ALARM, _MOST_CHILDREN, _MOST_QUERIES = 10, 100, 500
_NAMED = re.compile(r"\b(?:ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*[\"']?([^\"')]+)")
_PAST, _FUTURE = 14 * 86_400, 2 * 3600


def _invalid(text: str) -> Refusal:
    return Refusal("InvalidParameterValue", text)


@refuses("cloudwatch", "PutMetricAlarm", "PutCompositeAlarm")
def _actions(alarm: Parameters) -> Refusal | None:
    for action in (one for name in _ACTIONS for one in alarm.get(name) or []):
        parts = str(action).split(":", 5)
        if len(parts) < 6 or parts[0] != "arn":
            return Refusal("ValidationError", f"Invalid arn syntax: {action}")
        if parts[3] not in ("", get_region()):
            text = f"Invalid region {parts[3]} specified. Only {get_region()} is supported."
            return Refusal("ValidationError", text)
    return None


@refuses("cloudwatch", "PutMetricAlarm")
def _period(alarm: Parameters) -> Refusal | None:
    if str(alarm.get("Namespace", "")).startswith("AWS/") and float(alarm.get("Period") or 60) < 60:
        text = 'Only a period greater than 60s is supported for metrics in the "AWS/" namespaces'
        return Refusal("ValidationError", text)
    return None


@refuses("cloudwatch", "PutMetricAlarm")
def _math(alarm: Parameters) -> Refusal | None:
    queries = alarm.get("Metrics") or []
    for kind in ("MetricStat", "Expression"):
        if sum(1 for one in queries if one.get(kind)) > _MOST_IN_ALARM:
            text = f"An alarm may have {_MOST_IN_ALARM} queries with {kind} in Metrics"
            return Refusal("ValidationError", text)
    percentile = alarm.get("EvaluateLowSampleCountPercentile") or "evaluate"
    if percentile not in ("evaluate", "ignore"):
        text = f"The value {percentile} for parameter EvaluateLowSampleCountPercentile is not supported."
        return Refusal("ValidationError", text)
    return None


@refuses("cloudwatch", "PutCompositeAlarm")
def _rule(alarm: Parameters) -> Refusal | None:
    names = set(_NAMED.findall(str(alarm.get("AlarmRule"))))
    if len(names) > _MOST_CHILDREN:
        text = f"AlarmRule names {len(names)} alarms; it may name {_MOST_CHILDREN}"
        return Refusal("ValidationError", text)
    return None


@refuses("cloudwatch", "GetMetricData")
def _queries(request: Parameters) -> Refusal | None:
    ids = [one.get("Id") for one in request.get("MetricDataQueries") or []]
    start, end = _seconds(request.get("StartTime")), _seconds(request.get("EndTime"))
    if len(ids) > _MOST_QUERIES:
        text = f"The collection MetricDataQueries must not have a size greater than {_MOST_QUERIES}."
        return Refusal("ValidationError", text)
    if twice := next((one for one in ids if ids.count(one) > 1), None):
        text = f"The values for parameter id in MetricDataQueries are not unique: {twice}"
        return Refusal("ValidationError", text)
    if start is not None and end is not None and start >= end:
        text = "The parameter StartTime must be less than the parameter EndTime."
        return Refusal("ValidationError", text)
    return None


@refuses("cloudwatch", "PutMetricData")
def _metrics(request: Parameters) -> Refusal | None:
    metrics = request.get("MetricData") or []
    if str(request.get("Namespace", "")).startswith("AWS/"):
        return _invalid(f"The value {request['Namespace']} for parameter Namespace is invalid.")
    if len(metrics) > _MOST_METRICS:
        return _invalid(f"The collection MetricData must not have a size greater than {_MOST_METRICS}.")
    for number, metric in enumerate(metrics, 1):
        if found := next(_of_metric(metric, f"MetricData.member.{number}"), None):
            return found
    return None


def _of_metric(metric: Parameters, path: str) -> Iterator[Refusal]:
    forms = [name for name in ("Value", "Values", "StatisticValues") if metric.get(name) is not None]
    if not forms:
        yield Refusal("MissingParameter", f"At least one of the parameters {path}.Value must be specified.")
        return
    if len(forms) > 1:
        names = f"{path}.{forms[0]} and {path}.{forms[1]}"
        text = f"The parameters {names} are mutually exclusive and you have specified both."
        yield Refusal("InvalidParameterCombination", text)
    values, counts = metric.get("Values") or [], metric.get("Counts")
    if len(values) > _MOST_VALUES:
        yield _invalid(f"The collection {path}.Values must not have a size greater than {_MOST_VALUES}.")
    if counts is not None and len(counts) != len(values):
        yield _invalid(f"The parameters {path}.Values and {path}.Counts must be of the same size.")
    for name, value in [("Value", metric.get("Value")), *(("Values", value) for value in values)]:
        if value is not None and not _is_number(value):
            yield _invalid(f"The value {value} for parameter {path}.{name} is invalid.")
    if metric.get("StorageResolution") not in (None, 1, 60, "1", "60"):
        text = f"The value {metric['StorageResolution']} for parameter StorageResolution is invalid."
        yield _invalid(text)
    moment = _seconds(metric.get("Timestamp"))
    if moment is not None and moment > time.time() + _FUTURE:
        yield _invalid(
            f"The parameter {path}.Timestamp must specify a time no more than two hours in the future."
        )
    if moment is not None and moment < time.time() - _PAST:
        yield _invalid(f"The parameter {path}.Timestamp must specify a time within the past two weeks.")
    dimensions = [one.get("Name") for one in metric.get("Dimensions") or []]
    if len(set(dimensions)) < len(dimensions):
        yield _invalid(f"The parameter {path}.Dimensions has a dimension more than once.")


def _is_number(value: Any) -> bool:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return False
    return math.isfinite(number) and abs(number) <= 2.0**360


def _seconds(moment: Any) -> float | None:
    """A time of a request, which is a number in JSON and a text in forms."""
    if moment is None:
        return None
    try:
        return float(moment)
    except (TypeError, ValueError):
        text = str(moment).replace("Z", "+00:00")
    try:
        read = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=datetime.UTC)).timestamp()


@refuses("cloudwatch", "GetMetricStatistics")
def _statistics(query: Parameters) -> Refusal | None:
    period = float(query.get("Period") or 60)
    start, end = _seconds(query.get("StartTime")), _seconds(query.get("EndTime"))
    if not query.get("Statistics") and not query.get("ExtendedStatistics"):
        text = "Must specify either Statistics or ExtendedStatistics"
        return Refusal("InvalidParameterCombination", text)
    if period % 60 and period not in (1, 5, 10, 20, 30):
        return _invalid("The parameter Period must be a multiple of 60.")
    if start is None or end is None:
        return None
    if start >= end:
        return _invalid("The parameter StartTime must be less than the parameter EndTime.")
    points = math.ceil((end - start) / period)
    if points > _MOST_POINTS:
        text = (
            f"You have requested up to {points:,} datapoints, which exceeds the limit of {_MOST_POINTS:,}. "
            "You may reduce the datapoints requested by increasing Period, or decreasing the time range."
        )
        return Refusal("InvalidParameterCombination", text)
    return None
