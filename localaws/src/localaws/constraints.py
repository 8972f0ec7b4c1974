"""The constraints that AWS publishes of the parameters of its API, as botocore's service models list them.

AWS checks each request against such a model before the service sees it, and says of every parameter that does
not fit which constraint it fails. So the numbers, patterns and choices are AWS's own, and this module has
none.

Not checked: `required`, which the emulator and the SDKs check, and patterns that Python cannot read.

https://smithy.io/2.0/spec/constraint-traits.html
"""

from __future__ import annotations

import base64
import functools
import json
import re
import sys
import unicodedata
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

_PROPERTY = re.compile(r"\\p\{(?:Is)?(L|M|N|P|S|Z)[a-z]?\}")


@functools.cache
def _session() -> botocore.session.Session:
    """One for all models: each reads the list of services and registers some hundred handlers."""
    return botocore.session.get_session()


@functools.cache
def model_of(service: str) -> ServiceModel:
    """The model of a service, by botocore's name for it."""
    return _session().get_service_model(service)


@functools.cache
def operations(service: str) -> frozenset[str]:
    """The names of the operations of a service."""
    return frozenset(model_of(service).operation_names)


def violations(service: str, operation: str, parameters: Mapping[str, Any]) -> list[str]:
    """What AWS says of the parameters that do not fit: a text for each constraint that one fails.

    Args:
        service: The service, by botocore's name for it.
        operation: The operation.
        parameters: The parameters. Names may be in other letters, and numbers and documents may be as they
            are in templates.
    """
    shape = model_of(service).operation_model(operation).input_shape
    return list(_of(shape, parameters, "")) if shape else []


def described(problems: list[str]) -> str:
    """One text for all of them, as AWS has it."""
    errors = "error" if len(problems) == 1 else "errors"
    return f"{len(problems)} validation {errors} detected: {'; '.join(problems)}"


def _of(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if value is None or not _is_constrained(shape):
        return
    failed = list(_failed(shape, value))
    # AWS does not repeat what is secret, and says nothing useful of bytes.
    hidden = shape.metadata.get("sensitive") or shape.type_name == "blob"
    shown = "Value" if hidden else f"Value '{_written(value)}'"
    yield from (f"{shown} at '{path}' failed to satisfy constraint: {constraint}" for constraint in failed)
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        for name, member in shape.members.items():
            given = value.get(name, _ABSENT)
            if given is _ABSENT:
                given = _in_other_letters(value, name)
            yield from _of(member, given, f"{path}.{_lower(name)}".lstrip("."))
    elif isinstance(shape, ListShape) and isinstance(value, list):
        if not isinstance(shape.member, StructureShape):
            return
        for number, one in enumerate(value, 1):
            yield from _of(shape.member, one, f"{path}.{number}.member")
    elif isinstance(shape, MapShape) and isinstance(shape.value, StructureShape):
        for key, one in _as_map(value).items():
            yield from _of(shape.value, one, f"{path}.{key}.member")


_ABSENT = object()


def _in_other_letters(value: Mapping[str, Any], name: str) -> Any:
    """A property of a template: `KmsKeyArn` is the parameter `KMSKeyArn`."""
    return next((given for key, given in value.items() if str(key).lower() == name.lower()), None)


def _failed(shape: Shape, value: Any) -> Iterator[str]:
    """The constraints that a value fails itself, or its plain members do."""
    limits = shape.metadata
    kind = shape.type_name
    if kind == "string":
        text = value if isinstance(value, str) else json.dumps(value)
        yield from _length(limits, len(text))
        if isinstance(value, Mapping):  # a document in a template
            return
        if limits.get("enum") and text not in limits["enum"]:
            yield f"Member must satisfy enum value set: [{', '.join(limits['enum'])}]"
        pattern = limits.get("pattern")
        if pattern and (compiled := _compiled(pattern)) and not compiled.fullmatch(text):
            yield f"Member must satisfy regular expression pattern: {pattern}"
    elif kind in ("integer", "long", "float", "double"):
        number = _number(value)
        if number is not None and number < limits.get("min", number):
            yield f"Member must have value greater than or equal to {limits['min']}"
        if number is not None and number > limits.get("max", number):
            yield f"Member must have value less than or equal to {limits['max']}"
    elif kind == "blob":
        yield from _length(limits, len(_bytes(value)))
    elif isinstance(shape, ListShape) and isinstance(value, list):
        yield from _length(limits, len(value))
        yield from _of_members("Member", shape.member, value)
    elif isinstance(shape, MapShape):
        pairs = _as_map(value)
        yield from _length(limits, len(pairs))
        yield from _of_members("Map keys", shape.key, list(pairs))
        yield from _of_members("Map value", shape.value, list(pairs.values()))


def _of_members(what: str, shape: Shape, values: list[Any]) -> Iterator[str]:
    failed = {constraint: None for value in values for constraint in _failed(shape, value)}
    if failed:
        yield f"{what} must satisfy constraint: [{', '.join(failed)}]"


def _length(limits: Mapping[str, Any], length: int) -> Iterator[str]:
    if length < limits.get("min", 0):
        yield f"Member must have length greater than or equal to {limits['min']}"
    if length > limits.get("max", sys.maxsize):
        yield f"Member must have length less than or equal to {limits['max']}"


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None  # the service says so


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(str(value))
    except ValueError:
        return str(value).encode()


def _as_map(value: Any) -> Mapping[str, Any]:
    """A map; tags are a list in a template."""
    if isinstance(value, list):
        return {
            str(one["Key"]): one.get("Value") for one in value if isinstance(one, Mapping) and "Key" in one
        }
    return value if isinstance(value, Mapping) else {}


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """A pattern of Java, whose word characters are ASCII, as one of Python; None if Python cannot read it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sets of characters that later versions may read in another way
        try:
            return re.compile(_PROPERTY.sub(lambda found: _letters(found[1]), pattern), re.ASCII)
        except re.error:
            return None


@functools.cache
def _letters(category: str) -> str:
    """The characters of a category of Unicode, as part of a set; those after the first 65,536 are in all."""
    ranges = [[0x10000, sys.maxunicode]]
    for point in range(0xFFFF, -1, -1):
        if unicodedata.category(chr(point))[0] == category:
            if ranges[-1][0] == point + 1:
                ranges[-1][0] = point
            else:
                ranges.append([point, point])
    return "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges)


@functools.cache
def _is_constrained(shape: Shape) -> bool:
    """Whether anything at or below a shape has a constraint; most data has none."""
    return _has_constraint(shape, frozenset())


def _has_constraint(shape: Shape, above: frozenset[str]) -> bool:
    if {"min", "max", "pattern", "enum"} & set(shape.metadata):
        return True
    if shape.name in above:
        return False
    below: list[Shape] = []
    if isinstance(shape, StructureShape):
        below = list(shape.members.values())
    elif isinstance(shape, ListShape):
        below = [shape.member]
    elif isinstance(shape, MapShape):
        below = [shape.key, shape.value]
    return any(_has_constraint(one, above | {shape.name}) for one in below)


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _written(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}={_written(one)}' for key, one in value.items())}}}"
    return str(value)
