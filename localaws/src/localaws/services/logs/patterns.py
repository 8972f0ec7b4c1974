r"""Filter patterns of CloudWatch Logs: which log events match one. The one parser of all APIs.

There are three kinds: terms, conditions on JSON (`{ $.level = "ERROR" }`), and fields between spaces
(`[ip, user, status = 4*, ...]`).

Faithful to: what the page below says of each, its limits (two regular expressions in a pattern, one wildcard
in a selector, three in a pattern), and the characters that need quotation marks or an escape.
Not to: what AWS does where the page is silent. Here the last field takes what is left of an event, as it
does in AWS's own pattern for functions (`[timestamp=*Z, request_id="*-*", event]`). A selector with a
wildcard holds if one of the values does. A string without quotation marks is also compared with numbers.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

import functools
import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Matches = Callable[[str], bool]
Fields = Mapping[str, str]

MISSING = object()
_MOST_REGEXES, _MOST_WILDCARDS = 2, 3
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_TERM = re.compile(rf"\s*(?P<sign>[?-]?)(?:{_QUOTED}|%(?P<regex>[^%]*)%|(?P<word>\w+))(?=\s|$)", re.ASCII)
_TOKEN = re.compile(
    rf"\s*(?P<token>&&|\|\||[()]|!=|<=|>=|[=<>]|{_QUOTED}|%[^%]*%|\$(?:\.?\[[^\]]*\]|\.[\w-]+|\.\*)+|[\w.*+-]+)",
    re.ASCII,
)
_STEP = re.compile(r"""\[(\d+)\]|\[(\*)\]|\.?\[(?:'([^']*)'|"([^"]*)")\]|\.(\*)|\.([\w-]+)""", re.ASCII)
_ORDER = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_BARE = re.compile(r"[\w.*]+", re.ASCII)
_FIELD = re.compile(r'\[([^\]]*)\](?=\s|$)|"([^"]*)"(?=\s|$)|(\S+)')
# What may be between percent signs: letters, digits, and these.
_REGEX = re.compile(r"(?:[\w:#=@/;,^$?\[\]{}|*+. \-]|\\x[0-9A-Fa-f]{2}|\\[dDsSwW]|\\[^\w\s])*", re.ASCII)


class PatternError(ValueError):
    """A filter pattern that is none. Its text is what AWS says of it, beyond that the pattern is invalid."""


@dataclass(frozen=True)
class Pattern:
    """A pattern that has been read.

    Attributes:
        kind: `terms`, `json` or `fields`.
        matches: Whether the text of an event matches.
        fields: For the kind `fields`: what an event has in each, by name or number; else nothing.
        regexes: How many regular expressions it has.
        selectors: The selectors of a pattern on JSON.
    """

    kind: str
    matches: Matches
    fields: Callable[[str], Fields]
    regexes: int
    selectors: tuple[str, ...] = ()

    def value(self, source: str, message: str) -> str | None:
        """What `$.selector` or `$field` finds in an event; a text without `$` is itself."""
        if not source.startswith("$"):
            return source
        if self.kind == "fields":
            return self.fields(message).get(source[1:])
        found = next(selected(parsed(message), source), MISSING)
        if found is MISSING or found is None or isinstance(found, (dict, list)):
            return None
        return str(found).lower() if isinstance(found, bool) else str(found)


@functools.lru_cache(maxsize=500)
def compiled(pattern: str) -> Pattern:
    """Read a pattern.

    Raises:
        PatternError: It is no pattern.
    """
    text = pattern.strip()
    for first, last in ("{}", "[]"):
        if text.startswith(first) and not (text.endswith(last) and len(text) > 1):
            raise PatternError(f"If a filter pattern starts with '{first}' it must end with '{last}'")
    readers: dict[str, type[_Terms | _Json | _Delimited]] = {"{": _Json, "[": _Delimited}
    try:
        found = readers.get(text[:1], _Terms)(text).read()
    except RecursionError:
        raise PatternError from None
    if found.regexes > _MOST_REGEXES:
        raise PatternError
    return found


class _Terms:
    """`ERROR -"of a test" %40[0-9]%`, or `?ERROR ?WARN`."""

    def __init__(self, text: str) -> None:
        self._text = text

    def read(self) -> Pattern:
        signed: dict[str, list[Matches]] = {"": [], "-": [], "?": []}
        at = regexes = 0
        while at < len(self._text):
            if not (found := _TERM.match(self._text, at)):
                raise _bad_character(self._text, at)
            quoted, regex = found[2], found["regex"]
            regexes += regex is not None
            text = found["word"] if quoted is None else _unescaped(quoted)
            signed[found["sign"]].append(_contains(text) if regex is None else _regex(regex))
            at = found.end()
        needed, excluded, optional = signed[""], signed["-"], signed["?"]
        if needed or excluded:
            optional = []  # they have no effect next to other terms

        def matches(message: str) -> bool:
            return (
                all(one(message) for one in needed)
                and not any(one(message) for one in excluded)
                and (not optional or any(one(message) for one in optional))
            )

        return Pattern("terms", matches, lambda message: {}, regexes)


def _contains(text: str | None) -> Matches:
    wanted = (text or "").strip() and text  # `" "` matches everything
    return lambda message: not wanted or wanted in message


def _bad_character(text: str, at: int) -> PatternError:
    """The error of AWS for a character that needs quotation marks."""
    rest = text[at:].lstrip().lstrip("?-") or text[at:].strip()
    if rest[0] in '"%' and rest.count(rest[0]) % 2:
        return PatternError()
    bad = re.search(r"[^\w\s]", rest.lstrip('"%') if rest[0] in '"%' else rest, re.ASCII)
    return PatternError(f"Invalid character(s) in term '{bad[0] if bad else rest[0]}'")


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _regex(text: str) -> Matches:
    if not text or not (read := _REGEX.match(text)) or read.end() < len(text):
        bad = text[read.end()] if text and read else "%"
        raise PatternError(f"Invalid character(s) in term '{bad}'")
    try:
        found = re.compile(text, re.ASCII)
    except re.error:
        raise PatternError from None
    return lambda message: found.search(message) is not None


class _Tokens:
    """Reads conditions that `&&`, `||` and, on JSON, brackets combine."""

    def __init__(self, text: str) -> None:
        self.regexes = 0
        self._tokens: list[str] = []
        at, text = 0, text.rstrip()
        while at < len(text):
            if not (found := _TOKEN.match(text, at)):
                raise _bad_character(text, at)
            self._tokens.append(found["token"])
            at = found.end()

    def whole(self) -> Callable[[Any], bool]:
        """All of it as one condition."""
        found = self._any()
        if self._tokens:
            raise PatternError
        return found

    def next(self) -> str:
        """The next token, which there must be."""
        if not self._tokens:
            raise PatternError
        return self._tokens.pop(0)

    def _any(self) -> Callable[[Any], bool]:
        parts = [self._all()]
        while self._tokens[:1] == ["||"]:
            self.next()
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else lambda value: any(part(value) for part in parts)

    def _all(self) -> Callable[[Any], bool]:
        parts = [self.one()]
        while self._tokens[:1] == ["&&"]:
            self.next()
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else lambda value: all(part(value) for part in parts)

    def one(self) -> Callable[[Any], bool]:
        """A condition, or a group of them."""
        raise NotImplementedError

    def comparison(self, sign: str) -> Callable[[Any], bool]:
        """What follows an operator, as a condition on a single value."""
        given = self.next()
        if sign in _ORDER:
            if not _NUMBER.fullmatch(given):
                raise PatternError
            number, compare = float(given), _ORDER[sign]
            return lambda found: (value := _number(found)) is not None and compare(value, number)
        if sign not in ("=", "!="):
            raise PatternError
        equal = self._equality(given)
        return equal if sign == "=" else lambda found: not equal(found)

    def _equality(self, given: str) -> Callable[[Any], bool]:
        if given.startswith("%"):
            self.regexes += 1
            found = _regex(given[1:-1])
            return lambda value: isinstance(value, str) and found(value)
        quoted = given.startswith('"')
        if not quoted and _NUMBER.fullmatch(given):
            number = float(given)
            return lambda value: value == given if isinstance(value, str) else _number(value) == number
        if not quoted and not _BARE.fullmatch(given):
            bad = re.search(r"[^\w.*]", given, re.ASCII)
            raise PatternError(f"Invalid character(s) in term '{bad[0] if bad else given}'")
        text = _unescaped(given[1:-1]) if quoted else given
        glob = re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)

        def equal(value: Any) -> bool:
            if not isinstance(value, str):
                if (quoted and text != "*") or _number(value) is None:
                    return False
                value = str(value)
            return glob.fullmatch(value) is not None

        return equal


def _number(value: Any) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    return None


class _Json(_Tokens):
    """`{ $.level = "ERROR" && ($.code > 499 || $.retry IS TRUE) }`."""

    def __init__(self, text: str) -> None:
        super().__init__(text[1:-1])
        self._selectors: list[str] = []

    def read(self) -> Pattern:
        holds = self.whole()
        if sum(map(_wildcards, self._selectors)) > _MOST_WILDCARDS:
            raise PatternError

        def matches(message: str) -> bool:
            value = parsed(message)
            return value is not MISSING and holds(value)

        return Pattern("json", matches, lambda message: {}, self.regexes, tuple(self._selectors))

    def one(self) -> Callable[[Any], bool]:
        selector = self.next()
        if selector == "(":
            inside = self._any()
            if self.next() != ")":
                raise PatternError
            return inside
        if not selector.startswith("$") or _wildcards(selector) > 1:
            raise PatternError
        if "".join(step[0] for step in _STEP.finditer(selector)) != selector[1:]:
            raise PatternError
        self._selectors.append(selector)
        sign = self.next()
        if sign == "NOT" and self.next() == "EXISTS":
            return lambda value: next(selected(value, selector), MISSING) is MISSING
        if sign == "IS":
            wanted = {"TRUE": True, "FALSE": False, "NULL": None}.get(self.next(), MISSING)
            if wanted is MISSING:
                raise PatternError
            return lambda value: any(found is wanted for found in selected(value, selector))
        compare = self.comparison(sign)
        return lambda value: any(
            compare(found) for found in selected(value, selector) if not isinstance(found, (dict, list))
        )


def _wildcards(selector: str) -> int:
    return sum(bool(step[2] or step[5]) for step in _STEP.finditer(selector))


def parsed(message: str) -> Any:
    """The JSON object in a log event, or `MISSING`."""
    if message.lstrip()[:1] != "{":
        return MISSING
    try:
        return json.loads(message)
    except (ValueError, RecursionError):
        return MISSING


def selected(value: Any, selector: str) -> Iterator[Any]:
    """What a selector such as `$.user.id`, `$.items[0]` or `$.items[*]` finds."""
    found = [] if value is MISSING else [value]
    for step in _STEP.finditer(selector):
        found = [inside for one in found for inside in _inside(one, step)]
    return iter(found)


def _inside(value: Any, step: re.Match[str]) -> list[Any]:
    index, any_element, single, double, any_field, name = step.groups()
    if index or any_element:
        elements = value if isinstance(value, list) else []
        return elements if any_element else elements[int(index) : int(index) + 1]
    if not isinstance(value, dict):
        return []
    if any_field:
        return list(value.values())
    key = next(given for given in (single, double, name) if given is not None)
    return [value[key]] if key in value else []


class _Condition(_Tokens):
    """The condition of a field: `status = 404 || status = 410`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.name = self._tokens[0] if self._tokens else ""
        if not re.fullmatch(r"[A-Za-z_]\w*", self.name, re.ASCII):
            raise PatternError
        self.holds: Callable[[str], bool] = self.whole() if len(self._tokens) > 1 else lambda value: True

    def one(self) -> Callable[[Any], bool]:
        if self.next() != self.name:
            raise PatternError
        sign = self.next()
        compare = self.comparison(sign)
        if sign not in _ORDER:
            return compare
        return lambda value: _NUMBER.fullmatch(value) is not None and compare(float(value))


class _Delimited:
    """`[ip, user, ..., status = 4*, bytes > 1000]`."""

    def __init__(self, text: str) -> None:
        self._parts = [part.strip() for part in _split(text[1:-1])]

    def read(self) -> Pattern:
        parts = ["..." if part == "…" else part for part in self._parts]
        if parts.count("...") > 1:
            raise PatternError
        conditions = [None if part in ("", "...") else _Condition(part) for part in parts]
        gap = parts.index("...") if "..." in parts else None

        def values(message: str) -> list[str] | None:
            """What an event has in each part of the pattern but the gap, and in the gap."""
            return _divided(message, len(parts) - (gap is not None), last=gap is None)

        def fields(message: str) -> dict[str, str]:
            found = values(message)
            if found is None:
                return {}
            names = [condition.name if condition else "" for condition in conditions]
            if gap is not None:
                names[gap : gap + 1] = [""] * (len(found) - len(parts) + 1)
            return {
                name or str(at): value for at, (name, value) in enumerate(zip(names, found, strict=True), 1)
            }

        def matches(message: str) -> bool:
            found = values(message)
            if found is None:
                return False
            head = conditions if gap is None else conditions[:gap]
            tail = [] if gap is None else conditions[gap + 1 :]
            pairs = [
                *zip(head, found, strict=False),
                *zip(reversed(tail), reversed(found), strict=False),
            ]
            return all(condition is None or condition.holds(value) for condition, value in pairs)

        regexes = sum(condition.regexes for condition in conditions if condition)
        return Pattern("fields", matches, fields, regexes)


def _split(text: str) -> list[str]:
    """The parts between commas that are outside of quotation marks and regular expressions."""
    parts = [""]
    for found in re.finditer(rf"{_QUOTED}|%[^%]*%|,|.", text, re.DOTALL):
        if found[0] == ",":
            parts.append("")
        else:
            parts[-1] += found[0]
    return parts


def _divided(message: str, least: int, *, last: bool) -> list[str] | None:
    """The fields of an event, or None if there are too few.

    Args:
        message: The text of the event.
        least: How many there must be.
        last: Whether the last of these takes the rest.
    """
    found = list(_FIELD.finditer(message))
    if len(found) < least:
        return None
    values = [next(group for group in one.groups() if group is not None) for one in found]
    if last and len(values) > least:
        values[least - 1 :] = [message[found[least - 1].start() :].rstrip()]
    return values
