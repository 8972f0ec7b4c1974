"""Smoke cases: the event that a version is invoked with, what its response must contain, and its timeout."""

import json
from dataclasses import dataclass
from typing import Any

from shared.storable import NotStorable, load_json

from .release import ReleaseFailed

_MAX_SHOWN = 300


@dataclass(frozen=True)
class Case:
    """A case, as the construct wrote it into the environment.

    Args:
        name: Name in the logs.
        payload: The event.
        expected: What the response must contain; None for any response that is not an error.
        timeout: Seconds that the invocation may take.
    """

    name: str
    payload: Any
    expected: Any
    timeout: float


def parse_cases(text: str) -> list[Case]:
    """Parse the cases from the environment.

    Raises:
        ValueError: There is none, so nothing would be tested.
    """
    cases = [Case(**case) for case in json.loads(text)]
    if not cases:
        raise ValueError("SMOKE_CASES is empty; give at least one case")
    return cases


def check_response(case: Case, payload: bytes, *, failed: bool) -> None:
    """Check the response to a case.

    Args:
        case: The case.
        payload: The response, as JSON.
        failed: Whether the version raised an error.

    Raises:
        ReleaseFailed: The version raised an error, or the response is not as expected.
    """
    try:
        response = load_json(payload or b"null")
    except NotStorable as reason:
        raise ReleaseFailed(f"the response: {reason}", case=case.name) from None
    if failed:
        raised = response.get("errorType", "an error") if isinstance(response, dict) else "an error"
        raise ReleaseFailed(f"the version raised {raised}", case=case.name)
    if case.expected is not None and (found := difference(case.expected, response)):
        raise ReleaseFailed(found, case=case.name)


def difference(expected: object, actual: object, at: str = "the response") -> str | None:
    """Return where a response differs from what it must contain, or None.

    Of an object only the expected keys are compared, recursively; any other value must be equal.

    Example:
        >>> difference({"price": 3}, {"price": 3, "currency": "EUR"})
        >>> difference({"price": 3}, {"price": 4})
        'the response.price should be 3'
    """
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return f"{at} should be an object"
        for key, value in expected.items():
            if key not in actual:
                return f"{at}.{key} is missing"
            if found := difference(value, actual[key], f"{at}.{key}"):
                return found
        return None
    # In Python, True equals 1; in JSON it does not.
    if json.dumps(expected, sort_keys=True) == json.dumps(actual, sort_keys=True):
        return None
    # Only the expected value is logged: the actual one may be a customer's.
    text = json.dumps(expected)
    return f"{at} should be {text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + '…'}"
