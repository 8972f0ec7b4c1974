"""Cases: what a version is invoked with, what its answer must hold, and how long it may take."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from releases import ReleaseFailed
from timing import within

_MAX_SHOWN = 300


@dataclass(frozen=True)
class Case:
    """A case, as the construct wrote it into the environment."""

    name: str
    payload: Any
    expected: Any
    time_limit: float


@dataclass(frozen=True)
class Reply:
    """What Lambda answered.

    Args:
        payload: The answer, as JSON.
        failed: Whether the version raised an error.
    """

    payload: bytes
    failed: bool


def parse_cases(text: str) -> list[Case]:
    """Read the cases from the environment.

    Raises:
        ValueError: There is none: nothing would be tried.
    """
    cases = [Case(**case) for case in json.loads(text)]
    if not cases:
        raise ValueError("SMOKE_CASES is empty; give at least one case")
    return cases


def try_cases(cases: Sequence[Case], invoke: Callable[[Any], Reply]) -> None:
    """Try one case after the other.

    Raises:
        ReleaseFailed: A case did not come out as declared; names it.
    """
    for case in cases:
        _try(case, invoke)


def _try(case: Case, invoke: Callable[[Any], Reply]) -> None:
    try:
        reply = within(case.time_limit, lambda: invoke(case.payload))
    except TimeoutError:
        raise ReleaseFailed(f"no answer within {case.time_limit:g} s", case=case.name) from None
    try:
        answer = json.loads(reply.payload or b"null")
    except ValueError as error:
        raise ReleaseFailed(f"the answer is no JSON: {error}", case=case.name) from error
    if reply.failed:
        raised = answer.get("errorType", "an error") if isinstance(answer, dict) else "an error"
        raise ReleaseFailed(f"the version raised {raised}", case=case.name)
    if case.expected is not None and (found := difference(case.expected, answer)):
        raise ReleaseFailed(found, case=case.name)


def difference(expected: object, actual: object, at: str = "the answer") -> str | None:
    """Where an answer does not hold what it must, or None.

    Of objects, the expected keys count, and these recursively; of everything else, all.

    Example:
        >>> difference({"price": 3}, {"price": 3, "currency": "EUR"})
        >>> difference({"price": 3}, {"price": 4})
        'the answer.price should be 3'
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
    # JSON knows true from 1, and Python does not.
    if json.dumps(expected, sort_keys=True) == json.dumps(actual, sort_keys=True):
        return None
    return f"{at} should be {_shown(expected)}"


def _shown(value: object) -> str:
    # What was expected is the author's own; what came instead may be a customer's, and stays out of the log.
    text = json.dumps(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
