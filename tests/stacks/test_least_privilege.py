"""Every role of every stack is taken apart by a test on the embedded AWS: no grant of it is superfluous.

How such a test is recognised: it is parametrized by `role_of`, the outputs that name what has the roles. Or
it uses `superfluous_at_deployment`, which takes the roles of custom resources apart.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from stacks.catalogue import ARCHITECTURES, Architecture
from tests.local.least_privilege import NOT_ENFORCED
from tests.templates import Assembly, Resources

LOCAL = Path(__file__).resolve().parents[1] / "local"


def taken_apart(module: ModuleType, template: dict[str, Any]) -> set[str]:
    """The logical ids of the roles that the tests of a module take apart."""
    resources = template["Resources"]
    roles = {
        _role(resources[template["Outputs"][output]["Value"]["Ref"]]["Properties"])
        for test in vars(module).values()
        for mark in getattr(test, "pytestmark", [])
        if mark.name == "parametrize" and mark.args[0] == "role_of"
        for output in mark.args[1]
    }
    if hasattr(module, "superfluous_at_deployment"):
        roles |= {
            _role(resources[resource["Properties"]["ServiceToken"]["Fn::GetAtt"][0]]["Properties"])
            for resource in resources.values()
            if "ServiceToken" in resource.get("Properties", {})
        }
    return roles


def _role(properties: dict[str, Any]) -> str:
    """The role of a function, of a proxy, of a schedule, or of what else works in the name of one."""
    properties = {**properties, **properties.get("Target", {})}
    [role] = [properties[name] for name in ("Role", "RoleArn", "ServiceRoleArn") if name in properties]
    logical_id: str = role["Fn::GetAtt"][0]
    return logical_id


def roles_of(stack: Resources) -> set[str]:
    """The logical ids of the roles that hold more than the embedded AWS cannot enforce."""
    return {
        name
        for name, role in stack.all("AWS::IAM::Role").items()
        if stack.actions(name) - NOT_ENFORCED.keys() or role.keys() & {"ManagedPolicyArns", "Policies"}
    }


def load(path: Path) -> ModuleType:
    """A module of tests, as Python alone loads it."""
    spec = importlib.util.spec_from_file_location(f"read_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda row: row.id)
def test_every_role_is_taken_apart(catalogue: Assembly, architecture: Architecture) -> None:
    stack = catalogue.stacks[architecture.id]
    tests = LOCAL.glob(f"{architecture.family}/test_{architecture.id.replace('-', '_')}*.py")
    left = roles_of(stack).difference(*(taken_apart(load(path), stack.template) for path in tests))
    assert not left, (
        f"{sorted(left)}: nobody looks whether these roles need their grants. In tests/local, give each to "
        "try_without_each in a test with parametrize('role_of', [the output that names what has the role])."
    )


def test_a_role_that_no_test_takes_apart_is_found(catalogue: Assembly) -> None:
    thumbnailer, module = catalogue.stacks["thumbnailer"], ModuleType("without_tests")
    assert taken_apart(module, thumbnailer.template) == set()
    assert len(roles_of(thumbnailer)) == 2  # that of the function, and one for the notifications

    @pytest.mark.parametrize("role_of", ["FunctionName"])
    def test_of_grants(role_of: str) -> None:
        raise AssertionError(role_of)

    module.test_of_grants = test_of_grants  # type: ignore[attr-defined]
    [role] = taken_apart(module, thumbnailer.template)
    assert role.startswith("ThumbnailerFunctionServiceRole")
