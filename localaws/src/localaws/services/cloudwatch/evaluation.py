"""How an alarm gets from its datapoints to its state: M out of N, and what a missing datapoint means.

Faithful to: EvaluationPeriods, DatapointsToAlarm, TreatMissingData, every operator with a threshold, and the
evaluation range: two datapoints more than asked for are looked at, and a missing one counts as one only when
there are not enough real ones. So an alarm on one period stays in ALARM for up to three without data, also
when missing data is not breaching. An alarm that treats missing data as missing rings when its only data
breaches and is old enough ("premature" alarm states).
Not to: the length of the evaluation range, which AWS gives only for its example (5 for 3); the words of the
reason.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

#: How many datapoints beyond the evaluation periods are looked at.
EXTRA = 2

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
TREATMENTS = ("missing", "notBreaching", "breaching", "ignore")


def evaluated(alarm: Mapping[str, Any], datapoints: Sequence[float | None]) -> tuple[str, str] | None:
    """The state that follows from the datapoints, and why; none when the alarm keeps its state.

    Args:
        alarm: In the form of `MetricAlarm`.
        datapoints: Those of the evaluation range, the oldest first; none where there is no data.
    """
    periods = int(alarm["EvaluationPeriods"])
    needed = int(alarm.get("DatapointsToAlarm") or periods)
    treatment = alarm.get("TreatMissingData") or "missing"
    real = [value for value in datapoints if value is not None][-periods:]
    filled = periods - len(real)
    breaches = [OPERATORS[alarm["ComparisonOperator"]](value, alarm["Threshold"]) for value in real]
    breaching = sum(breaches) + (filled if treatment == "breaching" else 0)
    reason = _reason(alarm, real, filled, needed)
    if breaching >= needed:
        return "ALARM", reason
    if filled and treatment == "ignore" and not (real and not all(breaches)):
        return None
    if filled and treatment == "missing":
        if not real:
            return "INSUFFICIENT_DATA", f"Insufficient Data: {periods} datapoints were unknown."
        if all(breaches) and _age_of_oldest(datapoints) >= needed:
            return "ALARM", reason
    return "OK", reason


def _age_of_oldest(datapoints: Sequence[float | None]) -> int:
    """How many periods ago the oldest real datapoint is; 1 is the most recent."""
    return max(len(datapoints) - place for place, value in enumerate(datapoints) if value is not None)


def _reason(alarm: Mapping[str, Any], real: Sequence[float], filled: int, needed: int) -> str:
    values = ", ".join(f"{value:g}" for value in real)
    comparison, threshold = alarm["ComparisonOperator"], alarm["Threshold"]
    missing = f"; {filled} missing datapoints were treated as {alarm['TreatMissingData']}" if filled else ""
    return f"Threshold Crossed: [{values}] for {comparison} {threshold:g}, {needed} needed{missing}."
