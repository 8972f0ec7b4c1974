"""Mapping templates of REST APIs: Velocity, by the engine `airspeed-ext`.

Faithful to: the Velocity Template Language with `#set`, `#if`, `#foreach` and the methods of Java's strings,
lists and maps; `$input` (`body`, `json`, `path`, `params`), `$util`, and `$context` with
`responseOverride.status`.
Not to: JSONPath beyond names and indexes; `$stageVariables`; overridden headers.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-override-request-response-parameters.html
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import airspeed
from airspeed import operators

from localaws import strict_json

# Methods of Java that the engine lacks.
operators.__additional_methods__[str].update(
    equals=lambda self, other: self == other,
    toString=lambda self: self,
    isEmpty=lambda self: not self,
    endsWith=lambda self, end: self.endswith(end),
    trim=lambda self: self.strip(),
    toLowerCase=lambda self: self.lower(),
    toUpperCase=lambda self: self.upper(),
)

_PART = re.compile(r"\.([^.\[\]]+)|\['([^']*)'\]|\[(\d+)\]")
_ESCAPES = str.maketrans({one: f"\\{one}" for one in "\\\"'/"})


class TemplateFailed(Exception):
    """A template cannot be applied to a message."""


def render(
    template: str, *, body: str, params: Mapping[str, Mapping[str, str]], context: Mapping[str, Any]
) -> tuple[str, int | None]:
    """Apply a template.

    Args:
        template: The template.
        body: The body of the message.
        params: The parameters of the request: `path`, `querystring` and `header`.
        context: `$context`.

    Returns:
        The text, and the status that the template sets, if it sets one.

    Raises:
        TemplateFailed: It cannot be applied.
    """
    own = {**context, "requestOverride": {}, "responseOverride": {}}
    names = {"input": _Input(body, params), "util": _Util(), "context": own}
    try:
        text: str = airspeed.Template(template).merge(names)
    except (airspeed.TemplateError, TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise TemplateFailed(str(error)) from error
    status = own["responseOverride"].get("status")
    return text, None if status is None else int(status)


def at_path(text: str, path: str, missing: Any = None) -> Any:
    """What a JSONPath expression finds in a text of JSON; `missing` if that is nothing."""
    try:
        found: Any = strict_json.read(text)
    except ValueError:
        return missing
    for name, quoted, index in _PART.findall(path.strip().removeprefix("$")):
        try:
            found = found[int(index)] if index else found[name or quoted]
        except (KeyError, IndexError, TypeError):
            return missing
    return found


class _Input:
    """`$input`: the message."""

    def __init__(self, body: str, params: Mapping[str, Mapping[str, str]]) -> None:
        self.body = body or "{}"
        self._params = {place: dict(values) for place, values in params.items()}

    def path(self, path: str) -> Any:
        """What a JSONPath expression finds; empty if that is nothing."""
        return _java(at_path(self.body, path, ""))

    def json(self, path: str) -> str:
        """The same as JSON."""
        found = self.path(path)
        return json.dumps(found, ensure_ascii=False, separators=(",", ":"))

    def params(self, name: str | None = None) -> Any:
        """All parameters, or the one of this name: of the path, the query string, or a header."""
        if name is None:
            return self._params
        places = (self._params.get(place, {}) for place in ("path", "querystring", "header"))
        return next((values[name] for values in places if name in values), "")


class _Util:
    """`$util`."""

    def escapeJavaScript(self, text: Any) -> str:  # noqa: N802 (named by AWS)
        """Escape a string for JavaScript, single quotes too."""
        return "".join(one.translate(_ESCAPES) if " " <= one <= "~" else _escape(one) for one in str(text))

    def parseJson(self, text: str) -> Any:  # noqa: N802 (named by AWS)
        """Parse JSON."""
        return _java(strict_json.read(text))

    def urlEncode(self, text: Any) -> str:  # noqa: N802 (named by AWS)
        """Encode a string for a URL."""
        return quote_plus(str(text))

    def urlDecode(self, text: Any) -> str:  # noqa: N802 (named by AWS)
        """Decode a string of a URL."""
        return unquote_plus(str(text))

    def base64Encode(self, text: Any) -> str:  # noqa: N802 (named by AWS)
        """Encode a string as base64."""
        return base64.b64encode(str(text).encode()).decode()

    def base64Decode(self, text: Any) -> str:  # noqa: N802 (named by AWS)
        """Decode base64."""
        return base64.b64decode(str(text)).decode()


def _escape(one: str) -> str:
    return json.dumps(one)[1:-1]


class _Object(dict[str, Any]):
    """A JSON object, with the methods of a map of Java; JSON as text."""

    def __str__(self) -> str:
        return json.dumps(self, ensure_ascii=False, separators=(",", ":"))

    def keySet(self) -> list[str]:  # noqa: N802 (named by Java)
        """The names."""
        return list(self)

    def size(self) -> int:
        """The number of members."""
        return len(self)


class _Array(list[Any]):
    """A JSON array, with the methods of a list of Java; JSON as text."""

    def __str__(self) -> str:
        return json.dumps(self, ensure_ascii=False, separators=(",", ":"))

    def size(self) -> int:
        """The number of elements."""
        return len(self)

    def get(self, index: int) -> Any:
        """An element."""
        return self[index]


def _java(value: Any) -> Any:
    if isinstance(value, dict):
        return _Object({name: _java(one) for name, one in value.items()})
    return _Array(map(_java, value)) if isinstance(value, list) else value
