"""Event patterns of rules, archives and filters of sources, and inputs of targets: what AWS would refuse.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
"""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from aws_cdk import Annotations, Stack, Token
from aws_cdk import aws_events as events

from cdk_lambda_patterns.core.limits import Limit

# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
_LENGTH = Limit("EventBridge", 1, 4_096, "characters")
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
_DEFAULT_QUOTA = 2_048
# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Target.html
# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_InputTransformer.html
_INPUT = Limit("EventBridge", 1, 8_192, "characters")
_PATH = Limit("EventBridge", 1, 256, "characters")
_FIELDS = Limit("EventBridge", 0, 100, "event fields")
_NUMBER = (int, float)
_OPERATORS: dict[str, tuple[type, ...]] = {
    "anything-but": (str, *_NUMBER, list, dict),
    "cidr": (str,),
    "equals-ignore-case": (str,),
    "exactly": (str,),
    "exists": (bool,),
    "numeric": (list,),
    "prefix": (str, dict),
    "suffix": (str, dict),
    "wildcard": (str,),
}


def check_event_pattern(
    name: str, construct: events.Rule | events.Archive, more: Mapping[str, Any] | None = None
) -> None:
    """Check the event pattern of a rule or an archive, and warn if it needs a higher quota.

    Args:
        name: What messages call the pattern: the argument that it comes from.
        construct: The rule or the archive; an archive without a pattern passes.
        more: Fields that the template adds to the pattern.

    Raises:
        ValueError: The pattern is empty or too long, has a value that is no list, or an unknown operator.
    """
    resource = construct.node.default_child
    assert isinstance(resource, events.CfnRule | events.CfnArchive)
    pattern = Stack.of(construct).resolve(resource.event_pattern)
    if not pattern:
        if isinstance(resource, events.CfnArchive):
            return
        raise ValueError(f"{name}: it is empty; give at least a source, such as source=['shop'].")
    pattern = {**pattern, **(more or {})}
    check_pattern(name, pattern)
    length = least_length(pattern)
    _LENGTH.check(f"length of {name}", length)
    if length > _DEFAULT_QUOTA:
        Annotations.of(construct).add_warning_v2(
            "cdk-lambda-patterns:patternQuota",
            f"{name} has {length:,} characters. EventBridge allows {_DEFAULT_QUOTA:,}, and up to 4,096 once "
            "AWS has raised this quota of your account; ask for that in Service Quotas, or shorten it.",
        )


def check_pattern(name: str, pattern: Mapping[str, Any]) -> None:
    """Check the fields and operators of an event pattern.

    Args:
        name: What messages call the pattern.
        pattern: The pattern; values that are known only at deployment pass.

    Raises:
        ValueError: It has a value that is no list, an empty one, or an unknown operator.
    """
    _check_field(name, "it", pattern)


def _check_field(name: str, path: str, value: Any) -> None:
    if _is_intrinsic(value):
        return
    if value in ({}, []):
        _refuse(name, path, "is empty, so that nothing would match; leave it out, or give values")
    if isinstance(value, Mapping):
        for key, below in value.items():
            if key == "$or":
                _check_or(name, below)
            else:
                _check_field(name, key if path == "it" else f"{path}.{key}", below)
    elif isinstance(value, list):
        for item in value:
            _check_value(name, path, item)
    else:
        _refuse(name, path, f"is {value!r}, and a pattern takes lists of values; give [{value!r}]")


def _check_or(name: str, members: Any) -> None:
    if not isinstance(members, list) or len(members) < 2 or not all(isinstance(one, dict) for one in members):
        _refuse(name, "$or", "must be a list of at least two objects")
    for member in members:
        _check_field(name, "$or", member)


def _check_value(name: str, path: str, value: Any) -> None:
    if isinstance(value, list):
        _refuse(name, path, "has a list in its list; give strings, numbers, true, false, null or an operator")
    if not isinstance(value, Mapping) or _is_intrinsic(value):
        return
    if len(value) != 1:
        _refuse(name, path, f"has {len(value)} operators in {json.dumps(value)}; give each in its own object")
    ((operator, operand),) = value.items()
    if operator not in _OPERATORS:
        known = ", ".join(_OPERATORS)
        _refuse(name, path, f"has the operator {operator!r}, which does not exist; use one of {known}")
    wrong = type(operand) not in _OPERATORS[operator] or operand in ([], {})
    if wrong and not _is_intrinsic(operand):
        kinds = " or ".join(kind.__name__ for kind in _OPERATORS[operator])
        _refuse(name, path, f"has {operator!r} with {operand!r}; give {kinds}, not empty")


def _refuse(name: str, path: str, reason: str) -> NoReturn:
    raise ValueError(f"{name}: {path} {reason}.")


def _is_intrinsic(value: Any) -> bool:
    """Whether a value is known only when the stack is deployed."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return False
    ((key, argument),) = value.items()
    return key.startswith("Fn::") or (key == "Ref" and isinstance(argument, str))


def check_input(name: str, given: events.RuleTargetInput | None, rule: events.Rule) -> None:
    """Check what a target gets instead of the event.

    Args:
        name: The argument, as the caller wrote it.
        given: What was given; ``None`` (not given) passes.
        rule: The rule of the target.

    Raises:
        ValueError: It has too many fields, is too long, or has a path that does not begin with ``$``.
    """
    if given is None:
        return
    bound = given.bind(rule)
    paths = dict(bound.input_paths_map or {})
    _FIELDS.check(f"number of fields in {name}", len(paths))
    for path in [*paths.values(), bound.input_path]:
        if path is None or Token.is_unresolved(path):
            continue
        if not path.startswith("$"):
            raise ValueError(f"{name}: the path {path!r} does not begin with $; write '$.{path}'.")
        _PATH.check(f"length of the path {path[:20]!r} in {name}", len(path))
    for text in (bound.input, bound.input_template):
        if text is not None:
            _INPUT.check(f"length of {name}", len(_shortest(Stack.of(rule).resolve(text))))


def least_length(value: Any) -> int:
    """How many characters resolved JSON will have at least, whatever is known only at deployment."""
    return len(json.dumps(_shortest(value), separators=(",", ":"), ensure_ascii=False))


def _shortest(value: Any) -> Any:
    """JSON with what is known only at deployment left out."""
    if _is_intrinsic(value):
        match value:
            case {"Fn::Join": [str() as separator, list() as parts]}:
                return separator.join(map(str, map(_shortest, parts)))
        return ""
    if isinstance(value, Mapping):
        return {key: _shortest(below) for key, below in value.items()}
    return [_shortest(item) for item in value] if isinstance(value, list) else value
