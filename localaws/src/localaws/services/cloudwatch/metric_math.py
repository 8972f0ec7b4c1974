"""Metric math: the expressions of alarms and of GetMetricData.

Used by `cloudwatch.data`. `+ - * / ^`, comparisons, `AND`/`&&` and `OR`/`||`, parentheses, `[m1, m2]`; ABS,
AVG, CEIL, FILL, FLOOR, IF, MAX, METRICS, MIN, PERIOD, SUM; which of them take and return a number, a time
series or several. A period that one of two series lacks is missing in the result, and so is one with a
division by zero. The other functions, and FILL with LINEAR, are refused by name.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

#: The value of each period that has one, by the start of the period.
Series = dict[float, float]
#: A value of an expression: a number, a time series, or several.
Value = float | Series | list[Series]

_TOKEN = re.compile(
    r'\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<word>[A-Za-z_]\w*)|(?P<text>"[^"]*")'
    r"|(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/^<>(),\[\]]))"
)
_COMPARISONS: dict[str, Callable[[float, float], float]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_LEVELS: tuple[dict[str, Callable[[float, float], float]], ...] = (
    {"OR": lambda a, b: bool(a) or bool(b), "||": lambda a, b: bool(a) or bool(b)},
    {"AND": lambda a, b: bool(a) and bool(b), "&&": lambda a, b: bool(a) and bool(b)},
    _COMPARISONS,
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "/": operator.truediv},
)
_AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "AVG": lambda values: sum(values) / len(values),
    "MAX": max,
    "MIN": min,
    "SUM": sum,
}
_ROUNDINGS: dict[str, Callable[[float], float]] = {"ABS": abs, "CEIL": math.ceil, "FLOOR": math.floor}


class ExpressionError(ValueError):
    """An expression that is not valid, or not emulated."""


@dataclass(frozen=True)
class Data:
    """The data of an expression.

    Args:
        values: Metrics and expressions by their ids.
        metrics: The ids of metrics, for METRICS().
        starts: The starts of all periods, for FILL.
        period: The length of a period in AWS, in seconds.
    """

    values: Mapping[str, Value]
    metrics: Sequence[str]
    starts: Sequence[float]
    period: float


def evaluate(expression: str, data: Data) -> Value:
    """Compute an expression.

    Args:
        expression: Such as `100 * errors / FILL(calls, 1)`.
        data: The values of its ids.

    Raises:
        ExpressionError: It is not valid, or not emulated.
    """
    return _Parser(expression, data).parse()


class _Parser:
    """Parses an expression and computes it at the same time."""

    def __init__(self, expression: str, data: Data) -> None:
        self._expression, self._data = expression, data
        self._tokens: list[str] = []
        at, text = 0, expression.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if not match:
                raise self._error(f"{text[at:].strip()[:10]!r} is not valid")
            self._tokens.append(match[match.lastgroup or 0])
            at = match.end()
        self._tokens.append("")

    def parse(self) -> Value:
        value = self._binary(0)
        if self._tokens[0]:
            raise self._error(f"{self._tokens[0]!r} is unexpected")
        return value

    def _error(self, problem: str) -> ExpressionError:
        return ExpressionError(f"Invalid metric expression {self._expression!r}: {problem}")

    def _take(self, *expected: str) -> str:
        token = self._tokens[0]
        if expected and token not in expected:
            raise self._error(f"expected {' or '.join(expected)}, found {token or 'the end'!r}")
        return self._tokens.pop(0) if token else token

    def _binary(self, level: int) -> Value:
        """Operators of one precedence, from left to right."""
        if level == len(_LEVELS):
            return self._signed()
        value = self._binary(level + 1)
        while self._tokens[0] in _LEVELS[level]:
            apply = _LEVELS[level][self._take()]
            value = self._combined(apply, value, self._binary(level + 1))
        return value

    def _signed(self) -> Value:
        if self._tokens[0] == "-":
            self._take()
            return self._each(operator.neg, self._signed())
        base = self._operand()
        if self._tokens[0] == "^":
            self._take()
            return self._combined(operator.pow, base, self._signed())
        return base

    def _operand(self) -> Value:
        word = self._take()
        if word[:1].isdigit():
            return float(word)
        if word == "(":
            value = self._binary(0)
            self._take(")")
            return value
        if word == "[":
            items = self._list("]")
            return [series for item in items for series in self._several(item, "[…]")]
        if word[:1].isalpha() and self._tokens[0] == "(":
            self._take()
            return self._call(word)
        if word in self._data.values:
            return self._data.values[word]
        raise self._error(f"{word or 'operand at the end'!r} is missing; ids start with a lowercase letter")

    def _list(self, end: str) -> list[Value]:
        items = [self._binary(0)]
        while self._take(",", end) == ",":
            items.append(self._binary(0))
        return items

    # --- Functions

    def _call(self, name: str) -> Value:
        if name == "METRICS":
            return self._metrics()
        if name == "PERIOD":
            self._arguments(name, 1)
            return self._data.period
        if name == "FILL":
            return self._fill()
        if name == "IF":
            return self._if(*self._arguments(name, 3))
        if name in _ROUNDINGS:
            return self._each(_ROUNDINGS[name], *self._arguments(name, 1))
        if name in _AGGREGATES:
            return self._aggregate(_AGGREGATES[name], *self._arguments(name, 1))
        known = ", ".join(sorted(["FILL", "IF", "METRICS", "PERIOD", *_ROUNDINGS, *_AGGREGATES]))
        raise self._error(f"the function {name} is not emulated; emulated are {known}")

    def _arguments(self, name: str, count: int) -> list[Value]:
        given = self._list(")")
        if len(given) != count:
            raise self._error(f"{name} takes {count} arguments, not {len(given)}")
        return given

    def _metrics(self) -> list[Series]:
        """The metrics whose ids contain the text, or all of them."""
        part = "" if self._tokens[0] == ")" else self._take()
        self._take(")")
        if part and not part.startswith('"'):
            raise self._error('METRICS takes no argument, or a part of an id: METRICS("errors")')
        ids = [name for name in self._data.metrics if part.strip('"') in name]
        return [series for name in ids for series in self._several(self._data.values[name], "METRICS")]

    def _fill(self) -> Value:
        series = self._binary(0)
        self._take(",")
        if self._tokens[0] == "LINEAR":
            raise self._error("FILL with LINEAR is not emulated; use a number, a time series or REPEAT")
        repeat = self._tokens[0] == "REPEAT"
        filler: Value = {} if repeat else self._binary(0)
        if repeat:
            self._take()
        self._take(")")
        if isinstance(series, list):
            return [self._filled(each, filler, repeat=repeat) for each in series]
        return self._filled(self._one(series, "FILL"), filler, repeat=repeat)

    def _filled(self, series: Series, filler: Value, *, repeat: bool) -> Series:
        if isinstance(filler, list):
            raise self._error("FILL fills with a number or one time series")
        filled: Series = {}
        last: float | None = None
        for start in self._data.starts:
            other = last if repeat else filler if isinstance(filler, float) else filler.get(start)
            value = series.get(start, other)
            if value is not None:
                filled[start] = last = value
        return filled

    def _if(self, condition: Value, then: Value, otherwise: Value) -> Value:
        if isinstance(condition, float):
            return then if condition else otherwise
        chosen: Series = {}
        for start, true in self._one(condition, "IF").items():
            branch = then if true else otherwise
            if isinstance(branch, list):
                raise self._error("IF with several time series to choose from is not emulated")
            value = branch if isinstance(branch, float) else branch.get(start)
            if value is not None:
                chosen[start] = value
        return chosen

    def _aggregate(self, aggregate: Callable[[Sequence[float]], float], value: Value) -> Value:
        """A number from a time series; a time series, period by period, from several."""
        if not isinstance(value, list):
            series = self._one(value, "SUM, AVG, MIN and MAX")
            return float(aggregate(list(series.values()))) if series else math.nan
        starts = sorted({start for series in value for start in series})
        return {
            start: float(aggregate([series[start] for series in value if start in series]))
            for start in starts
        }

    # --- Numbers, series and several series

    def _one(self, value: Value, name: str) -> Series:
        if not isinstance(value, dict):
            raise self._error(f"{name} takes a time series here")
        return value

    def _several(self, value: Value, name: str) -> list[Series]:
        return value if isinstance(value, list) else [self._one(value, name)]

    def _each(self, apply: Callable[[float], float], value: Value) -> Value:
        return self._combined(lambda given, _: apply(given), value, 0.0)

    def _combined(self, apply: Callable[[float, float], float], left: Value, right: Value) -> Value:
        if isinstance(left, list):
            if isinstance(right, list):
                raise self._error("an operator cannot have several time series on both sides")
            return [self._pairwise(apply, series, right) for series in left]
        if isinstance(right, list):
            return [self._pairwise(apply, left, series) for series in right]
        if isinstance(left, dict) or isinstance(right, dict):
            return self._pairwise(apply, left, right)
        result = _computed(apply, left, right)
        return math.nan if result is None else result

    def _pairwise(
        self, apply: Callable[[float, float], float], left: float | Series, right: float | Series
    ) -> Series:
        sides = [side for side in (left, right) if isinstance(side, dict)]
        computed = {
            start: _computed(
                apply,
                left[start] if isinstance(left, dict) else left,
                right[start] if isinstance(right, dict) else right,
            )
            for start in sides[0]
            if all(start in side for side in sides)
        }
        return {start: value for start, value in computed.items() if value is not None}


def _computed(apply: Callable[[float, float], float], left: float, right: float) -> float | None:
    """A number; None if it does not exist, as after a division by zero."""
    try:
        result = float(apply(left, right))
    except (ArithmeticError, TypeError):  # a complex number
        return None
    return result if math.isfinite(result) else None
