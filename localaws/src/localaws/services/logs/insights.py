"""The query language of CloudWatch Logs Insights: a subset, and nothing that is silently ignored.

Used by `logs.queries`. `fields`, `display`, `filter`, `stats`, `sort` and `limit`; fields in JSON by their
path, fields that Insights discovers, and names given with `as`; `=`, `!=`, `<`, `<=`, `>`, `>=`, `like` and
`=~` with a regular expression or a text, `in`, `and`, `or`, `not`, parentheses; coalesce, ispresent and
toMillis; count, count_distinct, sum, avg, min, max, pct. The rest of the language is refused by name.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]
Read = Callable[[Record], Any]
Rows = list[dict[str, Any]]
DEFAULT_LIMIT = 10_000

_TOKEN = re.compile(
    r"\s*(?:(?P<text>\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*')|(?P<regex>/(?:\\.|[^/\\])+/i?)"
    r"|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>`[^`]+`|[@A-Za-z_][\w.@]*)"
    r"|(?P<sign><=|>=|!=|=~|[=<>(),|*\[\]]))"
)
_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMMANDS = ("display", "fields", "filter", "limit", "sort", "stats")
_FUNCTIONS = ("coalesce", "ispresent", "tomillis")
_AGGREGATES = ("avg", "count", "count_distinct", "max", "min", "pct", "sum")


class QueryError(ValueError):
    """A query that is not valid, or not emulated."""


class Query:
    """A query, read once.

    Args:
        text: The query.

    Raises:
        QueryError: It is not valid, or not emulated.
    """

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(_COMMENT.sub("", text))
        self._steps: list[Callable[[Rows], Rows]] = []
        self._shown: list[str] | None = None
        self._sorted = False
        while True:
            command = self._take_kind("name").lower()
            if command not in _COMMANDS:
                raise QueryError(f"{command!r} is not emulated; emulated are {', '.join(_COMMANDS)}")
            getattr(self, f"_{command}")()
            if not self._tokens:
                break
            self._take("|")

    def run(self, records: Rows) -> list[dict[str, Any]]:
        """Return the rows, each with its fields in order.

        Args:
            records: Log events with all of their fields, the newest first.
        """
        rows = records
        for step in self._steps:
            rows = step(rows)
        names = ["@timestamp", "@message"] if self._shown is None else self._shown
        if any(row.get("@ptr") for row in rows[:1]):
            names = [*names, "@ptr"]
        return [{name: row[name] for name in names if row.get(name) is not None} for row in rows]

    # --- Commands

    def _fields(self) -> None:
        named = self._named(self._expression)
        self._steps.append(lambda rows: [{**row, **{n: read(row) for n, read in named}} for row in rows])
        self._shown = [*(self._shown or []), *(name for name, _ in named)]

    def _display(self) -> None:
        named = self._named(self._expression)
        self._steps.append(lambda rows: [{**row, **{n: read(row) for n, read in named}} for row in rows])
        self._shown = [name for name, _ in named]

    def _filter(self) -> None:
        holds = self._any_of()
        self._steps.append(lambda rows: [row for row in rows if holds(row)])

    def _sort(self) -> None:
        keys = []
        while True:
            read = self._expression()[1]
            keys.append((read, self._word("asc", "desc") == "desc"))
            if not self._accept(","):
                break

        def ordered(rows: Rows) -> Rows:
            for read, descending in reversed(keys):
                rows = sorted(rows, key=lambda row: _order(read(row)), reverse=descending)
            return rows

        self._steps.append(ordered)

    def _limit(self) -> None:
        most = int(float(self._take_kind("number")))
        if not 1 <= most <= DEFAULT_LIMIT:
            raise QueryError(f"limit {most}: it must be 1 to {DEFAULT_LIMIT}")
        self._steps.append(lambda rows: rows[:most])

    def _stats(self) -> None:
        aggregates = self._named(self._aggregate)
        groups = self._named(self._expression) if self._word("by") else []

        def grouped(rows: Rows) -> Rows:
            found: dict[tuple[Any, ...], Rows] = {}
            for row in rows:
                found.setdefault(tuple(read(row) for _, read in groups), []).append(row)
            if not groups:
                found.setdefault((), [])
            return [
                {**dict(zip((n for n, _ in groups), key, strict=True)), **{n: a(of) for n, a in aggregates}}
                for key, of in found.items()
            ]

        self._steps.append(grouped)
        self._shown = [name for name, _ in [*groups, *aggregates]]

    # --- Expressions

    def _named(self, read_one: Callable[[], tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Expressions with their names: that after `as`, or their text."""
        found = []
        while True:
            name, read = read_one()
            found.append((self._take_kind("name").strip("`") if self._word("as") else name, read))
            if not self._accept(","):
                return found

    def _any_of(self) -> Read:
        sides = [self._all_of()]
        while self._word("or"):
            sides.append(self._all_of())
        return lambda row: any(side(row) for side in sides)

    def _all_of(self) -> Read:
        sides = [self._not()]
        while self._word("and"):
            sides.append(self._not())
        return lambda row: all(side(row) for side in sides)

    def _not(self) -> Read:
        if self._word("not"):
            negated = self._not()
            return lambda row: not negated(row)
        if self._accept("("):
            inner = self._any_of()
            self._take(")")
            return inner
        left = self._expression()[1]
        negate = bool(self._word("not"))
        if self._word("like") or self._accept("=~"):
            matches = self._pattern()
            return lambda row: (value := left(row)) is not None and matches(str(value)) != negate
        if self._word("in"):
            self._take("[")
            allowed = [read for _, read in self._named(self._expression)]
            self._take("]")
            return lambda row: any(_compared(operator.eq, left(row), one(row)) for one in allowed) != negate
        if self._tokens and self._tokens[0][1] in _COMPARISONS and not negate:
            compare, right = _COMPARISONS[self._tokens.pop(0)[1]], self._expression()[1]
            return lambda row: _compared(compare, left(row), right(row))
        return lambda row: bool(left(row)) and not negate

    def _pattern(self) -> Callable[[str], bool]:
        kind, text = self._next("a regular expression or a text")
        if kind == "text":
            return lambda value: _unquoted(text) in value
        if kind != "regex":
            raise QueryError(f"expected a regular expression or a text, found {text!r}")
        body, _, flags = text[1:].rpartition("/")
        try:
            pattern = re.compile(body.replace("\\/", "/"), re.IGNORECASE if flags else 0)
        except re.error as error:
            raise QueryError(f"{text} is not a regular expression: {error}") from None
        return lambda value: pattern.search(value) is not None

    def _expression(self) -> tuple[str, Read]:
        kind, text = self._next("a field or a value")
        if kind == "text":
            constant = _unquoted(text)
            return text, lambda _row: constant
        if kind == "number":
            number = float(text)
            return text, lambda _row: number
        if kind != "name":
            raise QueryError(f"expected a field or a value, found {text!r}")
        if self._accept("("):
            return self._call(text)
        name = text.strip("`")
        return name, lambda row: row.get(name)

    def _call(self, name: str) -> tuple[str, Read]:
        if name.lower() not in _FUNCTIONS:
            raise QueryError(f"{name}() is not emulated here; emulated are {', '.join(_FUNCTIONS)}")
        arguments = self._named(self._expression)
        self._take(")")
        reads = [read for _, read in arguments]
        text = f"{name}({', '.join(label for label, _ in arguments)})"
        match name.lower():
            case "coalesce":
                return text, lambda row: next((v for one in reads if (v := one(row)) is not None), None)
            case "ispresent":
                return text, lambda row: reads[0](row) is not None
        if text != f"{name}(@timestamp)":
            raise QueryError(f"{text} is not emulated; emulated is toMillis(@timestamp)")
        return text, lambda row: row.get("_milliseconds")

    def _aggregate(self) -> tuple[str, Callable[[Rows], Any]]:
        name = self._take_kind("name")
        if name.lower() not in _AGGREGATES or not self._accept("("):
            raise QueryError(f"stats {name}: not emulated; emulated are {', '.join(_AGGREGATES)}")
        if name.lower() == "count" and (self._accept("*") or self._tokens[:1] == [("sign", ")")]):
            self._take(")")
            return "count(*)", len
        label, read = self._expression()
        rank = 50.0
        if name.lower() == "pct":
            self._take(",")
            rank = float(self._take_kind("number"))
        self._take(")")
        of = functools.partial(_aggregated, name.lower(), read, rank)
        return f"{name}({label}{f', {rank:g}' if name.lower() == 'pct' else ''})", of

    # --- Tokens

    def _next(self, wanted: str) -> tuple[str, str]:
        if not self._tokens:
            raise QueryError(f"the query ends where {wanted} is expected")
        return self._tokens.pop(0)

    def _take_kind(self, kind: str) -> str:
        found, text = self._next(f"a {kind}")
        if found != kind:
            raise QueryError(f"expected a {kind}, found {text!r}")
        return text

    def _take(self, sign: str) -> None:
        if (found := self._next(repr(sign))[1]) != sign:
            raise QueryError(f"expected {sign!r}, found {found!r}")

    def _accept(self, sign: str) -> bool:
        if self._tokens and self._tokens[0] == ("sign", sign):
            del self._tokens[0]
            return True
        return False

    def _word(self, *words: str) -> str:
        """One of these keywords, if it is next."""
        if self._tokens and self._tokens[0][0] == "name" and self._tokens[0][1].lower() in words:
            return self._tokens.pop(0)[1].lower()
        return ""


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at, text = [], 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise QueryError(f"{text[at:].strip()[:10]!r} is not valid, or not emulated")
        found.append((str(match.lastgroup), match[str(match.lastgroup)]))
        at = match.end()
    return found


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _compared(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    """Compare as numbers if both are numbers, otherwise as texts; what is missing is only unequal."""
    if left is None or right is None:
        return compare is operator.ne and left is not right
    numbers = _number(left), _number(right)
    return compare(*numbers) if None not in numbers else compare(str(left), str(right))


def _order(value: Any) -> tuple[int, float, str]:
    """What is missing, then texts, then numbers."""
    number = _number(value)
    return (0 if value is None else 1 if number is None else 2, number or 0.0, str(value))


def _aggregated(name: str, read: Read, rank: float, rows: Rows) -> Any:
    values = [value for row in rows if (value := read(row)) is not None]
    if name == "count":
        return len(values)
    if name == "count_distinct":
        return len(set(map(str, values)))
    numbers = sorted(number for value in values if (number := _number(value)) is not None)
    if not numbers:
        return None
    match name:
        case "sum":
            return sum(numbers)
        case "avg":
            return sum(numbers) / len(numbers)
        case "min":
            return numbers[0]
        case "max":
            return numbers[-1]
    return numbers[max(0, math.ceil(rank / 100 * len(numbers)) - 1)]


# --- Fields

_REPORT = re.compile(r"(?P<type>START|END|REPORT) RequestId: (?P<id>\S+)")
_MEASURES = {
    "@duration": re.compile(r"\tDuration: ([\d.]+) ms"),
    "@billedDuration": re.compile(r"\tBilled Duration: ([\d.]+) ms"),
    "@initDuration": re.compile(r"\tInit Duration: ([\d.]+) ms"),
    "@memorySize": re.compile(r"\tMemory Size: ([\d.]+) MB"),
    "@maxMemoryUsed": re.compile(r"\tMax Memory Used: ([\d.]+) MB"),
}


def fields_of(message: str) -> dict[str, Any]:
    """The fields that Insights discovers in a log event: those of JSON, and of Lambda's own lines.

    Args:
        message: The log event.
    """
    found: dict[str, Any] = {}
    if report := _REPORT.match(message):
        found |= {"@type": report["type"], "@requestId": report["id"]}
        for name, pattern in _MEASURES.items():
            if measured := pattern.search(message):
                in_bytes = 1_000_000 if "emory" in name else 1
                found[name] = float(measured[1]) * in_bytes
    elif message.lstrip().startswith("{"):
        with contextlib.suppress(ValueError):
            _flatten(json.loads(message), "", found)
    return found


def _flatten(value: Any, path: str, found: dict[str, Any]) -> None:
    inner: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    elif value is not None:
        found[path] = ("true" if value else "false") if isinstance(value, bool) else value
    for name, one in inner:
        _flatten(one, f"{path}.{name}" if path else str(name), found)


def shown(value: Any) -> str:
    """A value in a result."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.4f}".rstrip("0")
    return str(value)
