"""Filter patterns of CloudWatch Logs: which log events match one. `logs.metric_filters` uses them.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

import fnmatch
import functools
import json
import operator
import re
from collections.abc import Callable
from typing import Any

Matches = Callable[[str], bool]
Condition = Callable[[Any], bool]

_TERM = re.compile(r'([?-]?)(?:"((?:[^"\\]|\\.)*)"|%(.+?)%|(\S+))')
_JSON = re.compile(
    r'\s*(&&|\|\||[()]|!=|<=|>=|[=<>]|"(?:[^"\\]|\\.)*"|%.+?%|\$(?:\.?\[[^\]]*\]|\.[\w-]+)+|[^\s()&|=!<>"]+)'
)
_STEP = re.compile(r"""\[(\d+)\]|\[['"](.*?)['"]\]|\.([\w-]+)""")
_ORDER = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}
MISSING = object()


class PatternError(ValueError):
    """A filter pattern that is none."""


@functools.lru_cache(maxsize=500)
def compiled(pattern: str) -> Matches:
    """Return what says whether the text of a log event matches a pattern.

    Raises:
        PatternError: It is no pattern.
    """
    text = pattern.strip()
    if not text:
        return lambda message: True
    if text.startswith("{") and text.endswith("}"):
        condition = _Json(text[1:-1]).condition()
        return lambda message: (value := parsed(message)) is not MISSING and condition(value)
    terms = [(sign, _term(quoted, regex, word)) for sign, quoted, regex, word in _TERM.findall(text)]
    needed = [matches for sign, matches in terms if not sign]
    excluded = [matches for sign, matches in terms if sign == "-"]
    optional = [matches for sign, matches in terms if sign == "?"]

    def found(message: str) -> bool:
        # Optional terms have no effect in addition to terms that are needed.
        any_of = needed or excluded or not optional or any(matches(message) for matches in optional)
        return bool(any_of) and all(m(message) for m in needed) and not any(m(message) for m in excluded)

    return found


def _term(quoted: str, regex: str, word: str) -> Matches:
    if regex:
        return lambda message: re.search(regex, message) is not None
    text = re.sub(r"\\(.)", r"\1", quoted) or word
    return lambda message: text in message


def parsed(message: str) -> Any:
    """The JSON object in a log event, or `MISSING`."""
    try:
        value = json.loads(message)
    except ValueError:
        return MISSING
    return value if isinstance(value, (dict, list)) else MISSING


def selected(value: Any, selector: str) -> Any:
    """What a selector such as `$.user.id` or `$.items[0]` finds, or `MISSING`."""
    for index, quoted, name in _STEP.findall(selector):
        try:
            value = value[int(index)] if index else value[quoted or name]
        except (KeyError, IndexError, TypeError):
            return MISSING
    return value


class _Json:
    """Reads a condition on JSON: `$.level = "ERROR" && ($.code > 499 || $.retry IS TRUE)`."""

    def __init__(self, text: str) -> None:
        self._tokens = _JSON.findall(text)
        if "".join(self._tokens) != re.sub(r"\s", "", text) and not re.search(r'["%]', text):
            raise PatternError(f"Invalid filter pattern: {{{text}}}")

    def condition(self) -> Condition:
        found = self._any()
        if self._tokens:
            raise PatternError(f"Invalid filter pattern: unexpected {self._tokens[0]}")
        return found

    def _next(self) -> str:
        if not self._tokens:
            raise PatternError("Invalid filter pattern: it ends too early")
        return str(self._tokens.pop(0))

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._tokens[:1] == ["||"]:
            self._next()
            parts.append(self._all())
        return lambda value: any(part(value) for part in parts)

    def _all(self) -> Condition:
        parts = [self._one()]
        while self._tokens[:1] == ["&&"]:
            self._next()
            parts.append(self._one())
        return lambda value: all(part(value) for part in parts)

    def _one(self) -> Condition:
        selector = self._next()
        if selector == "(":
            inside = self._any()
            if self._next() != ")":
                raise PatternError("Invalid filter pattern: a bracket is not closed")
            return inside
        if not selector.startswith("$"):
            raise PatternError(f"Invalid filter pattern: {selector} is no selector such as $.level")
        sign = self._next().upper()
        if sign == "NOT" and self._next().upper() == "EXISTS":
            return lambda value: selected(value, selector) is MISSING
        if sign == "EXISTS":
            return lambda value: selected(value, selector) is not MISSING
        if sign == "IS":
            wanted = {"TRUE": True, "FALSE": False, "NULL": None}.get(self._next().upper(), MISSING)
            return lambda value: selected(value, selector) is wanted
        if sign not in ("=", "!=", *_ORDER):
            raise PatternError(f"Invalid filter pattern: {sign} is no operator")
        return _comparison(selector, sign, self._next())


def _comparison(selector: str, sign: str, given: str) -> Condition:
    def holds(value: Any) -> bool:
        found = selected(value, selector)
        if found is MISSING or isinstance(found, (dict, list)):
            return False
        if sign in _ORDER:
            number = isinstance(found, (int, float)) and not isinstance(found, bool)
            return number and bool(_ORDER[sign](found, float(given)))
        return _equal(found, given) is (sign == "=")

    if sign in _ORDER:
        try:
            float(given)
        except ValueError:
            raise PatternError(f"Invalid filter pattern: {sign} compares numbers, not {given}") from None
    return holds


def _equal(found: Any, given: str) -> bool:
    if given.startswith("%"):
        return isinstance(found, str) and re.search(given.strip("%"), found) is not None
    if isinstance(found, (int, float)) and not isinstance(found, bool) and not given.startswith('"'):
        try:
            return found == float(given)
        except ValueError:
            return fnmatch.fnmatchcase(str(found), given)
    text = re.sub(r"\\(.)", r"\1", given[1:-1]) if given.startswith('"') else given
    return isinstance(found, str) and fnmatch.fnmatchcase(found, text.replace("[", "[[]").replace("?", "[?]"))
