"""How Elastic Load Balancing refuses a request, in its API and in templates."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ministack.services import alb

F = TypeVar("F", bound=Callable[..., Any])
Response = tuple[int, dict[str, str], bytes]


class InvalidRequestError(ValueError):
    """What Elastic Load Balancing refuses.

    Args:
        message: The text of the error.
        code: The code of the error.
    """

    def __init__(self, message: str, code: str = "ValidationError") -> None:
        super().__init__(message)
        self.code = code


def answered(function: F) -> F:
    """An API action that answers with the error that it raises."""

    @functools.wraps(function)
    def answer(*args: Any) -> Any:
        try:
            return function(*args)
        except InvalidRequestError as refused:
            return alb._error(refused.code, str(refused), 403 if refused.code == "AccessDenied" else 400)

    return answer  # type: ignore[return-value]


def nested(params: dict[str, Any], prefix: str) -> Any:
    """A parameter of a request as a template has it: lists of objects instead of `Prefix.member.1.Name`."""
    tree: dict[str, Any] = {}
    for name in params:
        parts, node = name.split("."), tree
        if parts[0] == prefix:
            for part in parts[:-1]:
                node = node.setdefault(part, {})
            node[parts[-1]] = alb._p(params, name)
    return _listed(tree.get(prefix) or [])


def _listed(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if isinstance(members := node.get("member"), dict):
        return [_listed(members[number]) for number in sorted(members, key=int)]
    return {name: _listed(value) for name, value in node.items()}


def check_range(name: str, value: object, low: int, high: int) -> None:
    """Refuse a number out of the range that the API's model has for a parameter."""
    text = str(value)
    if not re.fullmatch(r"-?\d{1,9}", text, re.ASCII):
        raise violated(name, value, "Member must be an integer")
    if int(text) < low:
        raise violated(name, value, f"Member must have value greater than or equal to {low}")
    if int(text) > high:
        raise violated(name, value, f"Member must have value less than or equal to {high}")


def check_choice(name: str, value: object, allowed: Iterable[str]) -> None:
    """Refuse a value that the API's model does not have for a parameter."""
    if value not in (choices := list(allowed)):
        raise violated(name, value, f"Member must satisfy enum value set: [{', '.join(choices)}]")


def violated(name: str, value: object, constraint: str) -> InvalidRequestError:
    """The error for a value that violates a constraint of the API's model."""
    return InvalidRequestError(
        f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: {constraint}"
    )
