"""Alarms are evaluated on a schedule, also on metrics of AWS services and on metric math.

The emulator evaluates an alarm only when data arrives through PutMetricData, which metrics of AWS services do
not. It mixes the metrics of all dimensions, ignores M out of N, and refuses metric math.

Faithful to: each alarm is evaluated every minute, an alarm with a period below a minute every ten seconds.
The last period ends then, so that longer periods slide. `cloudwatch.evaluation` says how datapoints determine
the state, and `cloudwatch.metric_math` what expressions may be. A new alarm has INSUFFICIENT_DATA until its
first evaluation, and SetAlarmState holds until the next. Composite alarms, which the emulator has, follow
their alarms. Actions to SNS run when the state changes and ActionsEnabled is set. StateTransitionedTimestamp
is the time of the last change. Settings that AWS refuses are refused.
Not to: the clock. `LOCALAWS_SECONDS_PER_MINUTE` says how long a minute of an alarm takes, by default two
seconds: a period of 60 seconds has the data of two seconds, and a threshold on a sum counts what happens in
them. Nor to anomaly detection and Metrics Insights, actions other than SNS and the topic's permission for
them, EvaluateLowSampleCountPercentile, Metrics in the old form-encoded protocol.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import cloudwatch

from localaws.pace import shortened
from localaws.patching import around, replaces
from localaws.services.cloudwatch.data import Periods, check_statistic, computed, is_true, statistics
from localaws.services.cloudwatch.evaluation import EXTRA, OPERATORS, TREATMENTS, evaluated
from localaws.services.cloudwatch.metric_math import Series

logger = logging.getLogger("localaws.cloudwatch")

Alarm = dict[str, Any]

_HIGH_RESOLUTION, _MINUTE = 10, 60
_MADE_UP_FOR = 60  # evaluations, as many as in ten minutes
_DAY, _WEEK, _HOUR = 86_400, 604_800, 3_600
_OF_ONE_METRIC = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period", "Unit")
# Also when an alarm is updated without a change of its state, this stays.
_TRANSITION = "StateTransitionedTimestamp"

_lock = threading.Lock()
_evaluator: threading.Thread | None = None


@replaces(cloudwatch, "_evaluate_alarm")
def _evaluate_alarm(alarm: Alarm) -> None:
    """Do nothing when data arrives: `_evaluate_on_time` evaluates."""


# --- Settings


@around(cloudwatch, "_put_metric_alarm")
def _put_metric_alarm(
    stock: Callable[..., Any], params: Any, cbor_data: Alarm, is_cbor: bool, is_json: bool = False
) -> Any:
    if is_cbor or is_json:
        try:
            check(cbor_data)
        except (KeyError, ValueError) as error:
            message = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
            return cloudwatch._error("ValidationError", message, 400, use_json=is_json, use_cbor=is_cbor)
    elif any(name.startswith("Metrics.") for name in params):
        message = "Metrics in the form-encoded protocol are not emulated: use a newer SDK"
        return cloudwatch._error("ValidationError", message, 400)
    alarm_name = cbor_data.get("AlarmName") or cloudwatch._p(params, "AlarmName")
    before = (cloudwatch._alarms.get(alarm_name) or {}).get(_TRANSITION)
    answer = stock(params, cbor_data, is_cbor, is_json)
    if answer[0] == 200:
        alarm = cloudwatch._alarms[alarm_name]
        alarm[_TRANSITION] = before or alarm["StateUpdatedTimestamp"]
        if cbor_data.get("Metrics"):
            for name in _OF_ONE_METRIC:
                alarm.pop(name, None)
            alarm["Metrics"] = cbor_data["Metrics"]
    _start()
    return answer


@around(cloudwatch, "_record_history")
def _record_history(
    stock: Callable[..., None], alarm_name: str, old_state: str, new_state: str, *args: Any, **kwargs: Any
) -> None:
    for alarms in (cloudwatch._alarms, cloudwatch._composite_alarms):
        if alarm := alarms.get(alarm_name):
            alarm[_TRANSITION] = alarm["StateUpdatedTimestamp"]
    stock(alarm_name, old_state, new_state, *args, **kwargs)


def check(alarm: Mapping[str, Any]) -> None:
    """Refuse settings that AWS refuses, or that are not emulated.

    Args:
        alarm: In the form of PutMetricAlarm.

    Raises:
        KeyError: A setting is missing.
        ValueError: A setting is wrong.
    """
    _one_of(alarm["ComparisonOperator"], OPERATORS, "ComparisonOperator")
    _one_of(alarm.get("TreatMissingData") or "missing", TREATMENTS, "TreatMissingData")
    if alarm.get("Threshold") is None:
        raise KeyError("Threshold")
    periods, period = int(alarm["EvaluationPeriods"]), documented_period(alarm)
    needed = int(alarm.get("DatapointsToAlarm") or periods)
    if not 1 <= needed <= periods:
        raise ValueError(f"DatapointsToAlarm is {needed}; it must be from 1 to EvaluationPeriods ({periods})")
    if period not in (10, 20, 30) and (period < _MINUTE or period % _MINUTE):
        raise ValueError(f"Period is {period}; it must be 10, 20, 30 or a multiple of 60")
    longest = _WEEK if period >= _HOUR else _DAY
    if period * periods > longest:
        raise ValueError(f"Period times EvaluationPeriods is {period * periods} s; at most {longest} s")
    if alarm.get("Metrics"):
        if alarm.get("MetricName"):
            raise ValueError("Give either MetricName or Metrics")
        _series_of_math(alarm, Periods([], shortened(period), period))
    else:
        given = [alarm[name] for name in ("Statistic", "ExtendedStatistic") if alarm.get(name)]
        if len(given) != 1:
            raise ValueError("Give either Statistic or ExtendedStatistic")
        check_statistic(given[0])
        if not (alarm["Namespace"] and alarm["MetricName"]):
            raise ValueError("Namespace and MetricName must not be empty")


def _one_of(value: object, allowed: Any, name: str) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; emulated are {', '.join(allowed)}")


def documented_period(alarm: Mapping[str, Any]) -> int:
    """The length of a period in AWS: that of the alarm, or of all metrics in its expressions."""
    if not alarm.get("Metrics"):
        return int(alarm["Period"])
    given = {int(query["MetricStat"]["Period"]) for query in alarm["Metrics"] if "MetricStat" in query}
    given |= {int(query["Period"]) for query in alarm["Metrics"] if query.get("Period")}
    if len(given) != 1:
        raise ValueError(f"The metrics of an alarm must have the same period, not {sorted(given) or 'none'}")
    return given.pop()


# --- Evaluation


def _series_of_math(alarm: Mapping[str, Any], periods: Periods) -> Series:
    """The one time series of the query that returns its data."""
    returned = [query["Id"] for query in alarm["Metrics"] if is_true(query.get("ReturnData", True))]
    values = computed(alarm["Metrics"], periods)
    if len(returned) != 1:
        raise ValueError(
            f"One of Metrics must have ReturnData, and only one: {', '.join(returned) or 'none'}"
        )
    value = values[returned[0]]
    if not isinstance(value, dict):
        kind = "a number" if isinstance(value, float) else "several time series"
        raise ValueError(f"{returned[0]} gives {kind}: an alarm needs one time series")
    return value


def _datapoints(alarm: Alarm, now: float) -> list[float | None]:
    """A value or None for each period of the evaluation range, which ends now."""
    documented = documented_period(alarm)
    length, count = shortened(documented), int(alarm["EvaluationPeriods"]) + EXTRA
    periods = Periods([now - length * back for back in range(count, 0, -1)], length, documented)
    if alarm.get("Metrics"):
        series = _series_of_math(alarm, periods)
    else:
        statistic = alarm.get("ExtendedStatistic") or alarm["Statistic"]
        series = statistics(alarm, statistic, alarm.get("Unit") or None, periods)
    return [series.get(start) for start in periods.starts]


def _evaluate(alarm: Alarm, now: float) -> None:
    outcome = evaluated(alarm, _datapoints(alarm, now))
    old = alarm["StateValue"]
    if outcome is None or outcome[0] == old or cloudwatch._alarms.get(alarm["AlarmName"]) is not alarm:
        return
    state, reason = outcome
    alarm |= {"StateValue": state, "StateReason": reason, "StateUpdatedTimestamp": int(time.time())}
    cloudwatch._record_history(alarm["AlarmName"], old, state, reason)
    cloudwatch._dispatch_alarm_actions(alarm, old, state, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def _start() -> None:
    """Start the evaluator with the first alarm; it ends after the last."""
    global _evaluator
    with _lock:
        if _evaluator is None and cloudwatch._alarms.has_any():
            _evaluator = threading.Thread(target=_evaluate_on_time, daemon=True, name="alarms")
            _evaluator.start()


def next_tick(last: int, now: float) -> int:
    """The next evaluation; what a busy machine has missed is made up for, or data might never be seen.

    Args:
        last: The number of the last one.
        now: The time, in ticks.
    """
    return max(last + 1, math.floor(now) - _MADE_UP_FOR)


def _evaluate_on_time() -> None:
    global _evaluator
    tick = shortened(_HIGH_RESOLUTION)
    number = math.floor(time.time() / tick)
    while True:
        number = next_tick(number, time.time() / tick)
        time.sleep(max(0.0, number * tick - time.time()))
        with _lock:
            if not cloudwatch._alarms.has_any():
                _evaluator = None
                return
        for (account, region, _name), alarm in cloudwatch._alarms.all_items():
            if documented_period(alarm) >= _MINUTE and number % (_MINUTE // _HIGH_RESOLUTION):
                continue
            with request_scope(account, region):
                try:
                    _evaluate(alarm, number * tick)
                except Exception:  # the others must still be evaluated
                    logger.exception("%s could not be evaluated", alarm["AlarmName"])
