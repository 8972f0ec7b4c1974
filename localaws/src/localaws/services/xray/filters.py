"""Filter expressions: which traces GetTraceSummaries and groups select.

Faithful to: `AND`, `OR`, `!` and parentheses; `ok`, `error`, `fault`, `throttle` and `partial`, also with
`= true`; `responsetime`, `duration` and `http.status`; `http.url`, `http.method`, `http.useragent`,
`http.clientip`, `user` and `group.name`; `annotation.key` and `annotation[key]`, also without a value;
`service("name")`, also with a filter in braces.
Not to: `edge()`, `id()`, `json()`, root causes, `resource.`, `instance.` and other keywords, which are
refused as not emulated.

https://docs.aws.amazon.com/xray/latest/devguide/xray-console-filters.html
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from localaws.services.xray.segments import Document, Trace, end_of, everything

_TOKEN = re.compile(
    r'\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<word>[\w.]+(?:\[[\w.:-]+\])?)|(?P<sign>!=|<=|>=|[!=<>(){},]))'
)
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "CONTAINS": lambda value, part: part in value,
    "BEGINSWITH": lambda value, part: value.startswith(part),
    "ENDSWITH": lambda value, part: value.endswith(part),
}
_STATES = ("ok", "error", "fault", "throttle", "partial")
_NUMBERS = ("responsetime", "duration", "http.status")
_TEXTS = ("http.url", "http.method", "http.useragent", "http.clientip", "user", "group.name")


class InvalidExpression(Exception):
    """A filter expression that X-Ray or this emulation does not take."""


@dataclass(frozen=True)
class View:
    """What an expression is about: a trace, or a service within it.

    Attributes:
        first: The segments whose response counts.
        segments: All segments.
        partial: Whether something is missing.
        groups: Says whether a group selects it.
    """

    first: list[Document]
    segments: list[Document]
    partial: bool
    groups: Callable[[str], bool]

    @classmethod
    def of(cls, trace: Trace, groups: Callable[[str], bool]) -> View:
        """The view of a whole trace."""
        return cls([trace.root], trace.segments, trace.is_partial, groups)

    def service(self, name: str) -> View:
        """What belongs to one service."""
        found = [one for segment in self.segments for one in everything(segment) if one.get("name") == name]
        return View(found, found, self.partial, self.groups)

    def has(self, state: str) -> bool:
        """Whether it is `ok`, `error`, `fault`, `throttle` or `partial`."""
        if state == "partial":
            return self.partial
        if state == "ok":
            return not any(one.get(other) for one in self.first for other in ("error", "fault", "throttle"))
        return any(one.get(state) for one in self.first)

    def values(self, keyword: str) -> Iterator[Any]:
        """The values of a keyword."""
        if keyword == "duration":
            yield max(map(end_of, self.segments)) - min(float(one["start_time"]) for one in self.segments)
        elif keyword == "responsetime":
            yield from (end_of(one) - float(one["start_time"]) for one in self.first)
        elif keyword.startswith("annotation"):
            name = keyword.partition(".")[2] or keyword.partition("[")[2].rstrip("]")
            for one in (inner for segment in self.segments for inner in everything(segment)):
                if name in (one.get("annotations") or {}):
                    yield one["annotations"][name]
        elif keyword == "user":
            yield from (one["user"] for one in self.segments if one.get("user"))
        else:
            part, field = ("response", "status") if keyword == "http.status" else ("request", keyword[5:])
            field = {"useragent": "user_agent", "clientip": "client_ip"}.get(field, field)
            for one in self.first:
                value = ((one.get("http") or {}).get(part) or {}).get(field)
                if value is not None:
                    yield value


Test = Callable[[View], bool]


def compiled(expression: str) -> Test:
    """The test that an expression describes; an empty one selects everything.

    Raises:
        InvalidExpression: It is none, or not emulated.
    """
    parser = _Parser(expression)
    if not parser.tokens:
        return lambda view: True
    test = parser.either()
    if parser.tokens:
        raise parser.invalid()
    return test


class _Parser:
    def __init__(self, expression: str) -> None:
        self.expression, self.tokens, place = expression, [], 0
        while expression[place:].strip():
            found = _TOKEN.match(expression, place)
            if not found:
                raise self.invalid(expression[place:].strip())
            self.tokens.append(found[0].strip())
            place = found.end()

    def invalid(self, at: str = "") -> InvalidExpression:
        place = at or (self.tokens[0] if self.tokens else "the end")
        return InvalidExpression(
            f"Invalid filter expression {self.expression!r}: {place} is not valid there, or is not emulated"
        )

    def _take(self, *wanted: str) -> str:
        """The next token, if it is one of these."""
        if self.tokens and (not wanted or self.tokens[0].upper() in wanted):
            return self.tokens.pop(0)
        return ""

    def _require(self, *wanted: str) -> str:
        found = self._take(*wanted)
        if not found:
            raise self.invalid()
        return found

    def either(self) -> Test:
        tests = [self._both()]
        while self._take("OR"):
            tests.append(self._both())
        return lambda view: any(test(view) for test in tests)

    def _both(self) -> Test:
        tests = [self._single()]
        while self._take("AND"):
            tests.append(self._single())
        return lambda view: all(test(view) for test in tests)

    def _single(self) -> Test:
        if self._take("!"):
            test = self._single()
            return lambda view: not test(view)
        if self._take("("):
            test = self.either()
            self._require(")")
            return test
        keyword = self._require()
        if keyword == "service":
            return self._service()
        if keyword in _STATES:
            sign = self._take("=", "!=")
            wanted = not sign or self._require("TRUE", "FALSE").lower() == "true"
            return lambda view: view.has(keyword) is (wanted is (sign != "!="))
        annotation = re.fullmatch(r"annotation(\.[\w.]+|\[[\w.:-]+\])", keyword)
        if keyword not in (*_NUMBERS, *_TEXTS) and not annotation:
            raise self.invalid(keyword)
        return self._comparison(keyword, needs_value=not annotation)

    def _service(self) -> Test:
        self._require("(")
        name = self._text()
        self._require(")")
        inner = None
        if self._take("{"):
            inner = self.either()
            self._require("}")

        def test(view: View) -> bool:
            found = view.service(name)
            return bool(found.segments) and (inner is None or inner(found))

        return test

    def _text(self) -> str:
        token = self._require()
        if not token.startswith('"'):
            raise self.invalid(token)
        return re.sub(r"\\(.)", r"\1", token[1:-1])

    def _comparison(self, keyword: str, *, needs_value: bool) -> Test:
        sign = self._take(*_COMPARED).upper()
        if not sign:
            if needs_value:
                raise self.invalid()
            return lambda view: any(True for _ in view.values(keyword))
        value = self._value()
        if isinstance(value, str) != (keyword in _TEXTS) and not keyword.startswith("annotation"):
            raise self.invalid(str(value))
        if (isinstance(value, str) and sign[0] in "<>") or (not isinstance(value, str) and sign.isalpha()):
            raise self.invalid(sign)
        if keyword == "group.name":
            return lambda view: view.groups(str(value)) is (sign == "=")
        compare = _COMPARED[sign]
        return lambda view: any(
            compare(found, value)
            for found in view.values(keyword)
            if isinstance(found, str) == isinstance(value, str)
        )

    def _value(self) -> str | float | bool:
        if self.tokens and self.tokens[0].startswith('"'):
            return self._text()
        token = self._require()
        if token.lower() in ("true", "false"):
            return token.lower() == "true"
        try:
            return float(token)
        except ValueError:
            raise self.invalid(token) from None
