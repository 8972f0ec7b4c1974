"""Argument → its annotation → an error that says what to give instead, when the construct is made.

The annotations of the public constructs and options are the only source. The checks that jsii makes do not
help here: the release of typeguard that jsii requires accepts anything for an interface of the CDK, a string
for a sequence of strings, and ``True`` for a number.
"""

import functools
import inspect
import math
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, Union

from aws_cdk import Duration, IResolvable, Size, Token
from constructs import Construct

Public = TypeVar("Public", bound=type)

_SURROGATE = re.compile("[\ud800-\udfff]")
_NAMES = {int: "a whole number", float: "a number", str: "a string", bool: "True or False"}


class WrongTypeError(TypeError, ValueError):
    """An argument is not of its type. Also a ``ValueError``, as is all that a construct refuses."""


def check_types(public: Public) -> Public:
    """Class decorator: check the arguments of the constructor, and of a construct's public methods.

    What is decorated raises a ``WrongTypeError`` for an argument that is not of its annotated type. An
    argument with an ``Annotated`` type is left to the construct, which has a better reason to give.

    Args:
        public: A construct, or a dataclass of options.
    """
    methods = [name for name in vars(public) if not name.startswith("_") and issubclass(public, Construct)]
    for name in ("__init__", *methods):
        if inspect.isfunction(function := vars(public).get(name)):
            setattr(public, name, _checked(function))
    return public


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.cache  # resolved at the first call: an import of the library need not wait for it
    def signature() -> tuple[Mapping[str, inspect.Parameter], dict[str, Any]]:
        return inspect.signature(function).parameters, typing.get_type_hints(function, include_extras=True)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        parameters, hints = signature()
        for name, value in (dict(zip(parameters, args, strict=False)) | kwargs).items():
            if name in parameters and name in hints and (wrong := _mismatch(name, value, hints[name])):
                optional = wrong.name == name and parameters[name].default is not inspect.Parameter.empty
                raise WrongTypeError(wrong.describe(optional))
        return function(*args, **kwargs)

    return call


@dataclass(frozen=True)
class _Mismatch:
    """A value that is not of its type: an argument, or an item of one (``environment['LEVEL']``)."""

    name: str
    value: Any
    hint: Any

    def describe(self, optional: bool) -> str:
        """Say what was given, what is allowed, and what to do."""
        value, allowed = self.value, [one for one in _alternatives(self.hint) if one is not types.NoneType]
        given = repr(value) if isinstance(value, str | bytes | int | float | None) else f"<{_class(value)}>"
        remedies = [remedy for one in allowed if (remedy := _remedy(value, one))]
        if value is None and optional:
            remedies = ["leave it out for the default"]
        if isinstance(value, str) and remedies and "sequence" in remedies[0]:
            return f"{self.name}={given}: {remedies[0]}."
        needed = " or ".join(dict.fromkeys(map(_name, allowed)))
        problem = f"{self.name}={given}: {needed} is needed, not {_class(value)}"
        return "; ".join([problem, *remedies[:1]]) + "."


def _mismatch(name: str, value: Any, hint: Any) -> _Mismatch | None:
    """Return what is not of its type: the value, or the item in it that is the reason; ``None`` if all is."""
    if len(alternatives := _alternatives(hint)) > 1:
        wrong = [_mismatch(name, value, one) for one in alternatives]
        inside = [one for one in wrong if one is not None and one.name != name]
        return None if None in wrong else next(iter(inside), _Mismatch(name, value, hint))
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:  # which of the choices is checked with the limits: it may be a token
        return None if isinstance(value, str) else _Mismatch(name, value, hint)
    if origin in (None, Annotated):
        fits = _is_a(value, hint)
    else:
        fits = isinstance(value, origin) and not isinstance(value, str | bytes)
    if not fits:
        return _Mismatch(name, value, hint)
    items: list[tuple[str, Any, Any]] = []
    if isinstance(value, Mapping) and len(inner) == 2:
        items = [(f"a key of {name}", key, inner[0]) for key in value]
        items += [(f"{name}[{key!r}]", item, inner[1]) for key, item in value.items()]
    elif isinstance(value, Sequence) and len(inner) == 1 and not _is_list_token(value):
        items = [(f"{name}[{number}]", item, inner[0]) for number, item in enumerate(value)]
    return next(filter(None, (_mismatch(*item) for item in items)), None)


def _is_list_token(value: Sequence[Any]) -> bool:
    """Whether a list is known only at deployment, whatever its items will be: it has one string then."""
    return len(value) == 1 and isinstance(value[0], str) and Token.is_unresolved(list(value))


def _is_a(value: Any, hint: Any) -> bool:
    if hint is Any or typing.get_origin(hint) is Annotated:
        return True
    if hint in (int, float):
        if isinstance(value, float):  # a number token is a float, whatever it will be
            # jsii ends when it is given what JSON has no number for
            return math.isfinite(value) and (hint is float or Token.is_unresolved(value))
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is str:
        return isinstance(value, str) and not _SURROGATE.search(value)
    if not getattr(hint, "_is_protocol", False):
        return isinstance(value, hint)
    if isinstance(value, type):  # a class has the members of its objects
        return False
    # isinstance does not work with the CDK's interfaces: what implements one has all of its members. jsii
    # wraps an object of a class that is not public in proxies of the interfaces that the object has.
    classes: list[type] = [type(value), *map(type, getattr(value, "_delegates", ()))]
    return _members(hint) <= frozenset().union(*map(_members, classes), getattr(value, "__dict__", ()))


@functools.cache
def _members(kind: type) -> frozenset[str]:
    return frozenset(member for member in dir(kind) if not member.startswith("_"))


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)


def _class(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str) and _SURROGATE.search(value):
        return "a lone surrogate, which is no character"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else type(value).__name__


def _name(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin is Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    if origin is not None:
        return {Mapping: "a mapping", Sequence: "a sequence"}.get(origin) or str(origin.__name__)
    service = hint.__module__.removeprefix("aws_cdk.") if hint.__module__.startswith("aws_cdk.") else ""
    return _NAMES.get(hint) or f"{service}.{hint.__name__}".lstrip(".")


def _remedy(value: Any, hint: Any) -> str:
    """Return what to give instead, if it can be guessed from what was given."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    kind: type = type(value)
    match value:
        case type():
            return f"give an object of it, {value.__name__}(...)"
        case _ if is_number and hint in (Duration, Size):
            return f"give {'Duration.seconds' if hint is Duration else 'Size.mebibytes'}({value})"
        case str() if hint in (int, float) and value.isdecimal():
            return f"give the number {value}"
        case float() if hint is int and math.isfinite(value):
            return f"give {round(value)}, for example"
        case _ if hint in (int, float, str) and _members(IResolvable) <= _members(kind):
            return f"give Token.as_{'string' if hint is str else 'number'}(...) of it"
        case _ if is_number and hint is str:
            return f"give {str(value)!r}"
        case str() if typing.get_origin(hint) is Sequence:
            if typing.get_args(hint)[0] in (int, float):
                return f"give a sequence of numbers, such as ({value if value.isdecimal() else 1},)"
            if typing.get_args(hint)[0] is str:
                return f"give a sequence of strings, such as ({value!r},)"
            if member := _choice(value, typing.get_args(hint)[0]):
                return f"give a sequence of members of the class, such as ({member},)"
            return f"give a sequence of {_name(typing.get_args(hint)[0])}"
        case Mapping() if is_dataclass(hint):
            return f"give {_name(hint)}(...)"
        case _ if getattr(hint, "_is_protocol", False):
            # IBucket is the interface of Bucket, which also has the methods that import one.
            resource = getattr(sys.modules[hint.__module__], hint.__name__[1:], None)
            imports = sorted(name for name in dir(resource) if name.startswith("from_"))
            way = next((name for name in imports if name.endswith("_name")), next(iter(imports), ""))
            name = hint.__name__[1:]
            return f"give {name}(...), or import an existing one with {name}.{way}(...)" if way else ""
        case str() if member := _choice(value, hint):
            return f"give a member of the class, such as {member}"
    return ""


def _choice(value: str, hint: Any) -> str:
    """Return what the caller may have meant, if the type is one of choices.

    Those of the CDK are members of an enum, or constants of a class.
    """
    choices = [name for name in dir(hint) if name.isupper()] if isinstance(hint, type) else []
    same = [name for name in choices if _letters(name) == _letters(value)] or choices[:1]
    return f"{hint.__name__}.{same[0]}" if same else ""


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()
