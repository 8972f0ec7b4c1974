"""Reading synthesised templates as plain dictionaries, and declaring the small stacks that tests look at."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.cx_api import CloudAssembly

_builders: dict[str, Callable[[Stack], object]] = {}


class Resources:
    """The resources of one template."""

    def __init__(self, template: dict[str, Any]) -> None:
        self.template = template

    def all(self, type: str) -> dict[str, dict[str, Any]]:
        """The properties of every resource of a type, by logical id."""
        return {
            logical_id: resource.get("Properties", {})
            for logical_id, resource in self.template["Resources"].items()
            if resource["Type"] == type
        }

    def only(self, type: str, **properties: object) -> dict[str, Any]:
        """The properties of the one resource of a type that has these properties."""
        found = [
            given
            for given in self.all(type).values()
            if all(given.get(name) == value for name, value in properties.items())
        ]
        assert len(found) == 1, f"{len(found)} resources of type {type} with {properties}"
        return found[0]

    def function(self) -> dict[str, Any]:
        """The properties of the one function with a handler of ours (not of a custom resource)."""
        functions = self.all("AWS::Lambda::Function").values()
        [function] = [one for one in functions if one["Handler"].endswith("handler.handler")]
        return function

    def notified(self) -> list[tuple[str, dict[str, str]]]:
        """Each event of a bucket that invokes a function, with its filter."""
        return [
            (
                configuration["Events"][0],
                {
                    rule["Name"]: rule["Value"]
                    for rule in configuration.get("Filter", {}).get("Key", {}).get("FilterRules", [])
                },
            )
            for notifications in self.all("Custom::S3BucketNotifications").values()
            for configuration in notifications["NotificationConfiguration"]["LambdaFunctionConfigurations"]
        ]

    def statements(self, role_id: str) -> list[dict[str, Any]]:
        """Every statement of the policies attached to the role whose logical id starts so."""
        return [
            statement
            for policy in self.all("AWS::IAM::Policy").values()
            if any(role.get("Ref", "").startswith(role_id) for role in policy["Roles"])
            for statement in policy["PolicyDocument"]["Statement"]
        ]

    def actions(self, role_id: str) -> set[str]:
        """Every action that the role whose logical id starts so is allowed."""
        return {
            action
            for statement in self.statements(role_id)
            for action in as_list(statement["Action"])
            if statement["Effect"] == "Allow"
        }


def as_list(value: Any) -> list[Any]:
    """One or many, as a list."""
    return value if isinstance(value, list) else [value]


def walk(value: object) -> Iterator[object]:
    """Everything inside a template, keys and values."""
    yield value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


@dataclass(frozen=True)
class Assembly:
    """What a synthesis wrote.

    Args:
        folder: The cloud assembly.
        stacks: The resources of each stack by the stack's id.
        findings: One line for each finding of a validation.
        exposed: The labels of what each stack's constructs expose, by kind.
    """

    folder: Path
    stacks: dict[str, Resources]
    findings: list[str] = field(default_factory=list)
    exposed: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, assembly: CloudAssembly) -> "Assembly":
        """Read the templates that a synthesis wrote."""
        folder = Path(assembly.directory)
        return cls(folder, read_templates(folder))


def read_templates(folder: Path) -> dict[str, Resources]:
    """Read every template of a cloud assembly by the id of its stack."""
    return {
        path.name.removesuffix(".template.json"): Resources(json.loads(path.read_text()))
        for path in sorted(folder.rglob("*.template.json"))
    }


def read_stage(app: App, name: str) -> dict[str, Resources]:
    """Synthesise an app; return the template of each stack of one of its stages, by the stack's id."""
    stacks = app.synth().get_nested_assembly(f"assembly-{name}").stacks
    return {artifact.hierarchical_id.rpartition("/")[2]: Resources(artifact.template) for artifact in stacks}


def stack_with(build: Callable[[Stack], object]) -> Any:
    """Declare a stack that tests of this module look at; its name is a fixture with its ``Resources``.

    All declared stacks are built into one app, so that the process synthesises once.
    """
    name = f"{build.__module__}-{build.__name__}".replace(".", "-").replace("_", "-")
    _builders[name] = build

    @pytest.fixture(name=build.__name__)
    def resources(variants: dict[str, Resources]) -> Resources:
        return variants[name]

    return resources


def build_variants(app: App) -> None:
    """Build every declared stack."""
    for name, build in _builders.items():
        build(Stack(app, name))
