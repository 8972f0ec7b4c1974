"""JSON as AWS reads it: Python's parser takes more, and fails in ways of its own.

Faithful to: the JSON of RFC 8259 without a byte order mark, without `NaN` and `Infinity`.
Not to: AWS's own limits of depth and of digits, which it does not document.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-request-validation.html
"""

from __future__ import annotations

import json
from typing import Any

_DIGITS = 1000  # of an integer; Python refuses more than 4300 in words of its own


def read(text: str | bytes, *, strict: bool = True) -> Any:
    """The value of a JSON text.

    Args:
        text: The text; bytes are UTF-8.
        strict: Whether control characters in strings are refused.

    Raises:
        ValueError: It is no JSON; the message says where, and nothing of Python.
    """
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    if text.startswith("\ufeff"):
        raise ValueError("the text begins with a byte order mark")
    try:
        return json.loads(text, strict=strict, parse_constant=_constant, parse_int=_integer)
    except RecursionError:
        raise ValueError("the text is nested too deeply") from None


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a number has {len(digits)} digits, over {_DIGITS}")
    return int(digits)
