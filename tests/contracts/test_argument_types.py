"""Every public construct and dataclass of options refuses an argument of another type, with its name."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from constructs import Construct

import cdk_lambda_patterns
from cdk_lambda_patterns.core.limits import Limit
from stacks.catalogue import ARCHITECTURES

MODULES = (
    cdk_lambda_patterns,
    *(
        importlib.import_module(f"cdk_lambda_patterns.{row.family}.{row.module}")
        for row in ARCHITECTURES
        if row.has_construct
    ),
)


def public_classes() -> Iterator[type]:
    """The constructs and options that a user of the library makes."""
    found = {
        member: None
        for module in MODULES
        for name, member in [(name, getattr(module, name)) for name in dir(module)]
        if inspect.isclass(member) and member.__module__.startswith("cdk_lambda_patterns") and name[0] != "_"
    }
    for member in found:
        if member is not Limit and (dataclasses.is_dataclass(member) or issubclass(member, Construct)):
            yield member


def arguments() -> list[Any]:
    """Each argument of each public class, unless it takes anything or the construct checks it itself."""
    return [
        pytest.param(public, name, id=f"{public.__name__}-{name}")
        for public in public_classes()
        for name, hint in typing.get_type_hints(public.__init__, include_extras=True).items()  # type: ignore[misc]
        if name != "return" and hint is not Any and typing.get_origin(hint) is not typing.Annotated
    ]


@pytest.mark.parametrize(("public", "name"), arguments())
def test_an_argument_of_another_type_is_refused_by_its_name(public: type, name: str) -> None:
    with pytest.raises(TypeError, match=rf"^{name}=<object>: .+ is needed, not object"):
        public(**{name: object()})


def test_every_architecture_and_the_options_of_a_function_are_among_them() -> None:
    names = {public.__name__ for public in public_classes()}
    assert {"Thumbnailer", "FunctionOptions", "HardenedFunction", "PrivateNetwork", "SmokeCase"} <= names
    assert len(names) > 30
