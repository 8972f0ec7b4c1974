"""JSON from outside → values that a store takes, or the reason why it cannot.

What a store refuses is refused here, before it is tried: a retry does not help, and it takes the time of the
other records.
"""

import json
import math
import re
from typing import Any

_AGGREGATED = bytes.fromhex("f3899ac2")


class NotStorable(ValueError):
    """A store cannot take the value; the text gives the reason."""


MAX_DEPTH = 100  # far more than any document here needs
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)


def load_json(text: str | bytes) -> Any:
    """Parse JSON strictly: without NaN and Infinity, which are no JSON, and without numbers beyond a float.

    The parser calls itself for each level. So the levels are counted first: how many it can take depends on
    the version of Python and on the caller, and too many may end the process.

    Raises:
        NotStorable: It is not JSON, or is nested too deeply.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode(json.detect_encoding(text), "surrogatepass")
        _check_depth(text)
        return _DECODER.decode(text)
    except NotStorable:
        raise
    except ValueError:
        raise NotStorable("it is not JSON") from None


def check_not_aggregated(data: bytes) -> None:
    """Check that a Kinesis record is not one into which the Kinesis Producer Library packed several.

    Lambda delivers them as they are, and no maintained library for Python unpacks them: aws-kinesis-agg had
    its last release in 2022.

    https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md

    Raises:
        NotStorable: It is such a record.
    """
    if data.startswith(_AGGREGATED):
        raise NotStorable(
            "it is aggregated by the Kinesis Producer Library; switch that off in the producer "
            "(AggregationEnabled=false)"
        )


def check_text(name: str, value: object, *, max_characters: int, max_bytes: int) -> str:
    """Return a text if it is not empty, can be written in UTF-8 and is short enough.

    A key of DynamoDB has at most 2,048 bytes (partition key) or 1,024 bytes (sort key), and is not empty:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html

    Raises:
        NotStorable: It is not such a text.
    """
    if not isinstance(value, str) or not 0 < len(value) <= max_characters:
        raise NotStorable(f"{name} must be a string of 1 to {max_characters:,} characters")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise NotStorable(f"{name} has a lone surrogate, which cannot be written in UTF-8") from None
    if size > max_bytes:
        raise NotStorable(f"{name} has {size:,} bytes in UTF-8; {max_bytes:,} are allowed")
    return value


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return  # the usual case: there are not even so many brackets
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise NotStorable(f"its JSON is nested more than {MAX_DEPTH} levels deep")


def _refuse(constant: str) -> float:
    raise NotStorable(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NotStorable(f"the number {text[:40]} is too large")
    return number


# json.loads with these arguments would make a decoder for each text, which takes longer than most texts.
_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
