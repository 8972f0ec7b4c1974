"""What AWS refuses, said once and checked in both places: requests to its API, and resources of templates.

A rule is a function of the parameters of an operation:

    @refuses("events", "PutRule")
    def _schedule(rule: Parameters) -> Refusal | None: ...

`services.requests.api` asks for each request, and `services.requests.templates` for each resource that is
created or updated. The constraints of AWS's own models come first: see `constraints`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from localaws import constraints

Parameters = Mapping[str, Any]


class Refusal(NamedTuple):
    """The error that AWS answers."""

    code: str
    text: str
    status: int = 400


Rule = Callable[[Parameters], Refusal | None]
R = TypeVar("R", bound=Rule)

_rules: dict[tuple[str, str], list[Rule]] = {}

# Services whose requests are compared with their model, by botocore's names, and the code of the error.
_MODELLED = {
    "cloudwatch": "ValidationError",
    "codepipeline": "ValidationException",
    "cognito-idp": "InvalidParameterException",
    "config": "ValidationException",
    "events": "ValidationException",
    "firehose": "ValidationException",
    "iam": "ValidationError",
    "kinesis": "ValidationException",
    "kms": "ValidationException",
    "lambda": "ValidationException",
    "logs": "InvalidParameterException",
    "secretsmanager": "ValidationException",
    "sts": "ValidationError",
    "xray": "InvalidRequestException",
}
# Parameters of which the service has words of its own.
_OWN_ERRORS = {("lambda", "runtime")}


def refuses(service: str, *operations: str) -> Callable[[R], R]:
    """Declare a rule for operations of a service, by botocore's name for it."""

    def decorate(rule: R) -> R:
        for operation in operations:
            _rules.setdefault((service, operation), []).append(rule)
        return rule

    return decorate


def is_checked(service: str) -> bool:
    """Whether anything is known of the requests of a service."""
    return service in _MODELLED or any(known == service for known, _ in _rules)


def refusal(service: str, operation: str, parameters: Parameters) -> Refusal | None:
    """Why AWS refuses a request; None if it does not."""
    if service in _MODELLED:
        problems = [
            problem
            for problem in constraints.violations(service, operation, parameters)
            if not any(known == service and f"at '{name}' " in problem for known, name in _OWN_ERRORS)
        ]
        if problems:
            return Refusal(_MODELLED[service], constraints.described(problems))
    for rule in _rules.get((service, operation), ()):
        if found := rule(parameters):
            return found
    return None
