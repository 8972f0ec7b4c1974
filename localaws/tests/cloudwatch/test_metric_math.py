"""Metric math and the evaluation of datapoints, by the tables in the AWS documentation."""

from __future__ import annotations

import pytest

from localaws.services.cloudwatch.evaluation import evaluated
from localaws.services.cloudwatch.metric_math import Data, ExpressionError, Value, evaluate

pytestmark = pytest.mark.local

# Three periods of a minute. `errors` has no data in the second, `never` in none.
VALUES: dict[str, Value] = {
    "errors": {0.0: 1.0, 120.0: 4.0},
    "calls": {0.0: 10.0, 60.0: 0.0, 120.0: 8.0},
    "never": {},
}
DATA = Data(VALUES, list(VALUES), starts=[0.0, 60.0, 120.0], period=60)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("errors + 1", {0: 2, 120: 5}),
        ("2 + 3 * 2 ^ 2 - 4 / 2", 12.0),
        ("-errors", {0: -1, 120: -4}),
        ("(errors + calls) * 2", {0: 22, 120: 24}),
        ("100 * errors / calls", {0: 10, 120: 50}),
        ("errors / (calls - 10)", {120: -2}),  # a division by zero is missing
        ("never + errors", {}),
        ("calls > 5", {0: 1, 60: 0, 120: 1}),
        ("calls > 5 AND errors < 2", {0: 1, 120: 0}),
        ("calls > 9 || calls == 0", {0: 1, 60: 1, 120: 0}),
        ("IF(calls > 5, errors, 0)", {0: 1, 60: 0, 120: 4}),
        ("IF(calls >= 10, 1, 2)", {0: 1, 60: 2, 120: 2}),
        ("FILL(errors, 0)", {0: 1, 60: 0, 120: 4}),
        ("FILL(errors, REPEAT)", {0: 1, 60: 1, 120: 4}),
        ("FILL(errors, calls)", {0: 1, 60: 0, 120: 4}),
        ("FILL(never, 7)", {0: 7, 60: 7, 120: 7}),
        ("SUM(METRICS())", {0: 11, 60: 0, 120: 12}),
        ('MAX(METRICS("r"))', {0: 1, 120: 4}),
        ("AVG([errors, calls])", {0: 5.5, 60: 0, 120: 6}),
        ("SUM(FILL(METRICS(), 1))", {0: 12, 60: 2, 120: 13}),
        ("SUM(errors)", 5.0),
        ("calls / SUM(errors)", {0: 2, 60: 0, 120: 1.6}),
        ("errors / PERIOD(errors)", {0: 1 / 60, 120: 4 / 60}),
        ("CEIL(errors / 3)", {0: 1, 120: 2}),
        ("METRICS() * 2", [{0: 2, 120: 8}, {0: 20, 60: 0, 120: 16}, {}]),
    ],
)
def test_an_expression_is_computed(expression: str, result: object) -> None:
    assert evaluate(expression, DATA) == result


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("RATE(errors)", "the function RATE is not emulated; emulated are ABS, AVG"),
        ("FILL(errors, LINEAR)", "LINEAR is not emulated"),
        ("errors + unknown", "'unknown' is missing"),
        ("errors +", "'operand at the end' is missing"),
        ("errors calls", "'calls' is unexpected"),
        ("IF(errors)", "IF takes 3 arguments, not 1"),
        ("(errors", "expected ), found 'the end'"),
        ("METRICS() + METRICS()", "several time series on both sides"),
        ("__import__('os')", "is not valid"),
    ],
)
def test_an_expression_that_is_invalid_or_not_emulated_is_refused_with_the_reason(
    expression: str, problem: str
) -> None:
    with pytest.raises(ExpressionError) as refused:
        evaluate(expression, DATA)
    assert str(refused.value).startswith(f"Invalid metric expression {expression!r}: ")
    assert problem in str(refused.value)


def states(datapoints: str, needed: int) -> list[str | None]:
    """The states by treatment, in the order of the tables: missing, ignore, breaching, not breaching."""
    values = [{"0": 0.0, "X": 2.0, "-": None}[sign] for sign in datapoints.split()]
    found = []
    for treatment in ("missing", "ignore", "breaching", "notBreaching"):
        alarm = {
            "EvaluationPeriods": 3,
            "DatapointsToAlarm": needed,
            "TreatMissingData": treatment,
            "Threshold": 1.0,
            "ComparisonOperator": "GreaterThanThreshold",
        }
        outcome = evaluated(alarm, values)
        found.append(outcome[0] if outcome else None)
    return found


@pytest.mark.parametrize(
    ("datapoints", "needed", "expected"),
    [
        ("0 - X - X", 3, ["OK", "OK", "OK", "OK"]),
        ("0 - - - -", 3, ["OK", "OK", "OK", "OK"]),
        ("- - - - -", 3, ["INSUFFICIENT_DATA", None, "ALARM", "OK"]),
        ("0 X X - X", 3, ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ("- - X - -", 3, ["ALARM", None, "ALARM", "OK"]),
        ("0 - X - X", 2, ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ("0 0 X 0 X", 2, ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ("0 - X - -", 2, ["OK", "OK", "ALARM", "OK"]),
        ("- - - - 0", 2, ["OK", "OK", "ALARM", "OK"]),
        ("- - - X -", 2, ["ALARM", None, "ALARM", "OK"]),
    ],
)
def test_datapoints_become_a_state_as_in_the_tables_of_the_documentation(
    datapoints: str, needed: int, expected: list[str | None]
) -> None:
    assert states(datapoints, needed) == expected


def test_a_recent_breaching_datapoint_does_not_fire_yet() -> None:
    assert states("- - - - X", 3)[0] == "OK"
    assert states("- - - X -", 3)[0] == "OK"


@pytest.mark.parametrize(
    ("operator", "alarms"),
    [
        ("GreaterThanThreshold", [False, False, True]),
        ("GreaterThanOrEqualToThreshold", [False, True, True]),
        ("LessThanThreshold", [True, False, False]),
        ("LessThanOrEqualToThreshold", [True, True, False]),
    ],
)
def test_each_operator_compares_as_it_is_called(operator: str, alarms: list[bool]) -> None:
    alarm = {"EvaluationPeriods": 1, "Threshold": 5.0, "ComparisonOperator": operator}
    outcomes = [evaluated(alarm, [value]) for value in (4.0, 5.0, 6.0)]
    assert [outcome is not None and outcome[0] == "ALARM" for outcome in outcomes] == alarms
