"""Which filter policies SNS accepts.

The emulator stores every filter policy, and one that is wrong matches no message.

Faithful to: a policy has at most five keys and 150 combinations of values; a key has an array of values, or,
with the scope MessageBody, an object; a value is a string, a number, true, false, null or an operator that
exists, with operands that it takes.
Not to: the position in the JSON text, with which AWS ends most of these errors.

https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
https://docs.aws.amazon.com/sns/latest/dg/attribute-key-matching.html
https://docs.aws.amazon.com/sns/latest/dg/string-value-matching.html
https://docs.aws.amazon.com/sns/latest/dg/numeric-value-matching.html
"""

from __future__ import annotations

import ipaddress
import math
import re
from typing import Any

_MOST_KEYS, _MOST_COMBINATIONS = 5, 150
_OPERATORS = ("=", "<", "<=", ">", ">=")
_TEXT_OPERATORS = ("prefix", "suffix", "equals-ignore-case", "wildcard")


class FilterPolicyError(ValueError):
    """SNS refuses a filter policy; the message is its reason."""


def check_filter_policy(policy: dict[str, Any], scope: str) -> None:
    """Check a filter policy.

    Args:
        policy: The policy.
        scope: `MessageAttributes` or `MessageBody`.

    Raises:
        FilterPolicyError: SNS does not accept it.
    """
    if len(policy) > _MOST_KEYS:
        raise _refused(f"Filter policy can not have more than {_MOST_KEYS} keys")
    _check_keys(policy, scope, nested=False)
    if _combinations(policy) > _MOST_COMBINATIONS:
        raise _refused("Filter policy is too complex")
    _check_values(policy)


def _refused(reason: str) -> FilterPolicyError:
    return FilterPolicyError(f"FilterPolicy: {reason}")


def _alternatives(key: str, value: Any) -> bool:
    """Whether a key is no key, but the operator between policies."""
    return key == "$or" and isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _check_keys(policy: dict[str, Any], scope: str, *, nested: bool) -> None:
    for key, value in policy.items():
        if value == []:
            raise _refused("Empty arrays are not allowed")
        if isinstance(value, dict):
            _check_keys(value, scope, nested=True)
        elif _alternatives(key, value):
            for one in value:
                _check_keys(one, scope, nested=nested)
        elif not isinstance(value, list):
            raise _refused(f'"{key}" must be an object or an array')
    if nested and scope == "MessageAttributes":
        text = "Filter policy scope MessageAttributes does not support nested filter policy"
        raise FilterPolicyError(text)


def _combinations(policy: dict[str, Any], depth: int = 1) -> int:
    """The product of the numbers of values, each times the depth of its key."""
    product = 1
    for key, value in policy.items():
        if isinstance(value, dict):
            product *= _combinations(value, depth + 1)
        elif _alternatives(key, value):
            product *= sum(_combinations(one, depth) for one in value)
        else:
            product *= len(value) * depth
    return product


def _check_values(policy: dict[str, Any]) -> None:
    for key, value in policy.items():
        if isinstance(value, dict):
            _check_values(value)
            continue
        for one in value:
            if _alternatives(key, value):
                _check_values(one)
            else:
                _check_value(one)


def _check_value(value: Any) -> None:
    if isinstance(value, list):
        raise _refused("Match value must be String, number, true, false, or null")
    if not isinstance(value, dict):
        return
    if len(value) != 1:
        raise _refused("Only one key allowed in match expression")
    ((operator, operand),) = value.items()
    if operator in _TEXT_OPERATORS:
        if not isinstance(operand, str):
            raise _refused(f"{operator} match pattern must be a string")
    elif operator == "exists":
        if not isinstance(operand, bool):
            raise _refused("exists match pattern must be either true or false.")
    elif operator == "anything-but":
        _check_exclusion(operand)
    elif operator == "cidr":
        _check_network(operand)
    elif operator == "numeric":
        _check_numbers(operand)
    else:
        raise _refused(f"Unrecognized match type {operator}")


def _check_exclusion(operand: Any) -> None:
    if isinstance(operand, dict):
        for operator in operand:
            if operator != "prefix":
                raise _refused(f"Unsupported anything-but pattern: {operator}")
        _check_value(operand)
        return
    for one in operand if isinstance(operand, list) else [operand]:
        _check_value(one)


def _check_network(operand: Any) -> None:
    if not isinstance(operand, str):
        raise _refused("prefix match pattern must be a string")  # AWS says prefix
    address, slash, bits = operand.partition("/")
    if not slash or "/" in bits:
        raise _refused("Malformed CIDR, one '/' required")
    if not re.fullmatch(r"\d{1,3}", bits, re.ASCII):
        raise _refused("Malformed CIDR, mask bits must be an integer")
    try:
        ipaddress.ip_network(operand, strict=False)
    except ValueError:
        raise _refused(f"Nonstandard IP address: {address}") from None


def _check_numbers(operand: Any) -> None:
    """Check `["=", 1]` or a range such as `[">", 1, "<=", 5]`."""
    first, *rest = operand if isinstance(operand, list) and operand else ["]"]
    if not isinstance(first, str) or first == "]":
        raise _refused(f"Invalid member in numeric match: {first}")
    if first not in _OPERATORS:
        raise _refused(f"Unrecognized numeric range operator: {first}")
    bottom = _number(rest[:1], first)
    if not rest[1:]:
        return
    second = rest[1]
    if first not in (">", ">="):
        raise _refused("Too many elements in numeric expression")
    if not isinstance(second, str):
        raise _refused(f"Bad value in numeric range: {second}")
    if second not in ("<", "<="):
        raise _refused(f"Bad numeric range operator: {second}")
    if _number(rest[2:3], second) <= bottom:
        raise _refused("Bottom must be less than top")
    if rest[3:]:
        raise _refused("Too many terms in numeric range expression")


def _number(found: list[Any], operator: str) -> float:
    value = found[0] if found else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _refused(f"Value of {'equals' if operator == '=' else operator} must be numeric")
    return value
