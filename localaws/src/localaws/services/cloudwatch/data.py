"""GetMetricData with expressions, and statistics of metrics per period.

The emulator computes no expressions, sums a metric without dimensions over all its dimensions, and returns
the oldest values first.

Faithful to: MetricStat with exactly the given dimensions, Unit, the basic statistics and percentiles;
Expression (see `cloudwatch.metric_math`) over the metrics and expressions of the request; ReturnData, Label,
ScanBy; periods that start at multiples of their length. Times here are those of the clock, whatever
LOCALAWS_SECONDS_PER_MINUTE is. GetMetricStatistics, too, returns only the metric with exactly the given
dimensions, which without dimensions is the metric that has none, and only values with the given Unit.
Not to: other statistics (trimmed means, for example), which are refused; Metrics Insights, SEARCH, paging,
metrics of other accounts, expressions over different periods. Both actions in the old form-encoded protocol
are those of the emulator.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ministack.services import cloudwatch

from localaws.patching import around
from localaws.services.cloudwatch.metric_math import Data, ExpressionError, Series, Value, evaluate

Query = Mapping[str, Any]

_STATISTICS = ("SampleCount", "Sum", "Average", "Minimum", "Maximum")
_PERCENTILE = re.compile(r"p(100|\d{1,2}(\.\d+)?)")
_ID = re.compile(r"[a-z]\w*")


@dataclass(frozen=True)
class Periods:
    """Consecutive periods of the same length.

    Args:
        starts: The start of each, in seconds since 1970.
        length: The length here, in seconds.
        documented: The length in AWS, in seconds.
    """

    starts: Sequence[float]
    length: float
    documented: float

    @classmethod
    def between(cls, start: float, end: float, length: float) -> Periods:
        """All periods that overlap the time between two times."""
        first, last = math.floor(start / length), math.ceil(end / length)
        return cls([number * length for number in range(first, last)], length, length)


def is_true(value: object) -> bool:
    """Whether a boolean is true; in templates it may be a string."""
    return str(value).lower() == "true"


def check_statistic(name: object) -> None:
    """Refuse a statistic that is not emulated.

    Raises:
        ValueError: It is not emulated.
    """
    if name not in _STATISTICS and not _PERCENTILE.fullmatch(str(name)):
        allowed = ", ".join([*_STATISTICS, "p0 to p100"])
        raise ValueError(f"The statistic {name!r} is not emulated; emulated are {allowed}")


def computed(queries: Sequence[Query], periods: Periods) -> dict[str, Value]:
    """The value of each query of a request, by its id.

    Args:
        queries: In the form of `MetricDataQuery`.
        periods: Which periods to compute.

    Raises:
        ValueError: A query is not valid, or not emulated.
    """
    _check_ids(queries)
    values: dict[str, Value] = {}
    for query in (each for each in queries if "MetricStat" in each):
        stat = query["MetricStat"]
        check_statistic(stat["Stat"])
        values[query["Id"]] = statistics(stat["Metric"], stat["Stat"], stat.get("Unit"), periods)
    metrics = list(values)
    waiting = {query["Id"]: str(query["Expression"]) for query in queries if "Expression" in query}
    while waiting:
        # Expressions may use each other in any order.
        ready = [name for name, text in waiting.items() if not waiting.keys() & set(_ID.findall(text))]
        if not ready:
            raise ExpressionError(f"The expressions {', '.join(waiting)} refer to each other")
        for name in ready:
            data = Data(values, metrics, periods.starts, periods.documented)
            values[name] = evaluate(waiting.pop(name), data)
    return values


def statistics(metric: Query, statistic: str, unit: str | None, periods: Periods) -> Series:
    """A statistic of one metric in each of the periods that have data."""
    if not periods.starts:
        return {}
    first, found = periods.starts[0], dict[int, list[Any]]()
    for point in _stored(metric):
        place = math.floor((point["Timestamp"] - first) / periods.length)
        if 0 <= place < len(periods.starts) and unit in (None, point["Unit"]):
            found.setdefault(place, []).append(point)
    series = {}
    for place, points in sorted(found.items()):
        value = cloudwatch._stat_value(cloudwatch._calc_stats(points), statistic, points)
        if value is not None:
            series[periods.starts[place]] = float(value)
    return series


def _stored(metric: Query) -> list[Any]:
    """The values of the metric with exactly these dimensions; a copy, because running functions add to it."""
    dimensions = cloudwatch._dims_from_list(metric.get("Dimensions") or [])
    key = (metric["Namespace"], metric["MetricName"], cloudwatch._dims_key(dimensions))
    return list(cloudwatch._metrics.get(key) or [])


def _check_ids(queries: Sequence[Query]) -> None:
    names = [str(query.get("Id")) for query in queries]
    for name in names:
        if not _ID.fullmatch(name) or names.count(name) > 1:
            raise ValueError(f"The id {name!r} must start with a lowercase letter and be unique")
    for query in queries:
        if ("MetricStat" in query) == ("Expression" in query):
            raise ValueError(f"{query['Id']}: either MetricStat or Expression is required")


@around(cloudwatch, "_get_metric_data")
def _get_metric_data(
    stock: Callable[..., Any], params: Any, cbor_data: Query, is_cbor: bool, is_json: bool = False
) -> Any:
    if not (is_cbor or is_json):
        return stock(params, cbor_data, is_cbor, is_json)
    try:
        answer = {"MetricDataResults": _results(cbor_data)}
    except (KeyError, ValueError) as error:
        message = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        return cloudwatch._error("ValidationError", message, 400, use_json=is_json, use_cbor=is_cbor)
    if is_json:
        return cloudwatch._json_ok(answer)
    results = [cloudwatch._cbor_metric_data_result(result) for result in answer["MetricDataResults"]]
    return cloudwatch._cbor_ok({"MetricDataResults": results})


def _results(data: Query) -> list[dict[str, Any]]:
    queries = data["MetricDataQueries"]
    start, end = (cloudwatch._parse_ts(data[name]) for name in ("StartTime", "EndTime"))
    lengths = {query["Id"]: _length(query) for query in queries}
    if any("Expression" in query for query in queries):
        together = {length for length in lengths.values() if length} or {60}
        if len(together) > 1:
            raise ExpressionError("Expressions over metrics with different periods are not emulated")
        values = computed(queries, Periods.between(start, end, together.pop()))
    else:
        values = {}
        for query in queries:
            values |= computed([query], Periods.between(start, end, lengths[query["Id"]] or 60))
    newest_first = data.get("ScanBy", "TimestampDescending") == "TimestampDescending"
    return [
        _result(query, series, newest_first=newest_first)
        for query in queries
        if is_true(query.get("ReturnData", True))
        for series in _series(query["Id"], values[query["Id"]])
    ]


def _length(query: Query) -> int:
    return int(query["MetricStat"]["Period"] if "MetricStat" in query else query.get("Period") or 0)


def _series(name: str, value: Value) -> list[Series]:
    if isinstance(value, float):
        raise ExpressionError(f"{name}: an expression that is returned must give a time series, not a number")
    return value if isinstance(value, list) else [value]


def _result(query: Query, series: Series, *, newest_first: bool) -> dict[str, Any]:
    starts = sorted(series, reverse=newest_first)
    stat = query.get("MetricStat")
    return {
        "Id": query["Id"],
        "Label": query.get("Label") or (stat["Metric"]["MetricName"] if stat else query["Id"]),
        "Timestamps": [cloudwatch._ts_iso(start) for start in starts],
        "Values": [series[start] for start in starts],
        "StatusCode": "Complete",
    }


@around(cloudwatch, "_get_metric_statistics")
def _get_metric_statistics(
    stock: Callable[..., Any], params: Any, cbor_data: Query, is_cbor: bool, is_json: bool = False
) -> Any:
    if not (is_cbor or is_json):
        return stock(params, cbor_data, is_cbor, is_json)
    start, end = (cloudwatch._parse_ts(cbor_data[name]) for name in ("StartTime", "EndTime"))
    periods, points = Periods.between(start, end, int(cbor_data["Period"])), dict[float, dict[str, Any]]()
    unit = cbor_data.get("Unit")
    for place, names in (("", cbor_data.get("Statistics")), ("Ext", cbor_data.get("ExtendedStatistics"))):
        for name in names or []:
            for moment, value in statistics(cbor_data, name, unit, periods).items():
                point = points.setdefault(moment, {"Timestamp": cloudwatch._ts_iso(moment)})
                (point.setdefault("ExtendedStatistics", {}) if place else point)[name] = value
    stored = _stored(cbor_data)
    for point in points.values():
        point["Unit"] = unit or (stored[0]["Unit"] if stored else "None")
    found = [points[moment] for moment in sorted(points)]
    answer = {"Datapoints": found, "Label": cbor_data["MetricName"]}
    if is_json:
        return cloudwatch._json_ok(answer)
    return cloudwatch._cbor_ok({**answer, "Datapoints": [cloudwatch._cbor_datapoint(one) for one in found]})
