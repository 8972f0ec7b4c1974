"""How datapoints determine the state of an alarm: M out of N, and missing data.

Used by `cloudwatch.alarms`. EvaluationPeriods, DatapointsToAlarm, TreatMissingData, every operator with a
threshold, and the evaluation range: two more datapoints than evaluation periods are considered, and a missing
one counts only if there are not enough real ones. So an alarm on one period stays in ALARM for up to three
periods without data, also when missing data is not breaching. An alarm that treats missing data as missing
goes into ALARM when all of its data is breaching and old enough ("premature" alarm states). AWS gives the
length of the evaluation range only for its example (5 for 3). The wording of reasons is not that of AWS.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

#: Datapoints of the evaluation range beyond the evaluation periods.
EXTRA = 2

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
TREATMENTS = ("missing", "notBreaching", "breaching", "ignore")


def evaluated(alarm: Mapping[str, Any], datapoints: Sequence[float | None]) -> tuple[str, str] | None:
    """The state that the datapoints determine, and the reason; None if the state does not change.

    Args:
        alarm: In the form of `MetricAlarm`.
        datapoints: Those of the evaluation range, the oldest first; None where there is no data.
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
    """The age of the oldest real datapoint in periods; 1 is the most recent."""
    return max(len(datapoints) - place for place, value in enumerate(datapoints) if value is not None)


def _reason(alarm: Mapping[str, Any], real: Sequence[float], filled: int, needed: int) -> str:
    values = ", ".join(f"{value:g}" for value in real)
    comparison, threshold = alarm["ComparisonOperator"], alarm["Threshold"]
    missing = f"; {filled} missing datapoints were treated as {alarm['TreatMissingData']}" if filled else ""
    return f"Threshold Crossed: [{values}] for {comparison} {threshold:g}, {needed} needed{missing}."
