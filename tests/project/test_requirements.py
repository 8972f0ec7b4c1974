"""Both requirements files pin what pyproject.toml asks for, completely, with hashes and without addresses."""

from __future__ import annotations

import importlib.metadata
import json
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.project.requirements import DEPLOY, GROUPS, PYPROJECT, ROOT, reachable

DEV = [
    *DEPLOY,
    *(Requirement(line) for name in ("dev", "site") for line in GROUPS[name] if isinstance(line, str)),
]
SLIM = (ROOT / "requirements.txt").read_text("utf-8")
REQUIREMENTS = (ROOT / "requirements-dev.txt").read_text("utf-8")
WHEEL = [Requirement(line) for line in PYPROJECT["project"]["dependencies"]]
EMBEDDED_AWS = [
    Requirement(line)
    for line in tomllib.loads((ROOT / "localaws" / "pyproject.toml").read_text("utf-8"))["project"][
        "dependencies"
    ]
]


def pins(text: str) -> list[Requirement]:
    """The pinned packages of a compiled file, in its order."""
    lines = re.findall(r"^([A-Za-z0-9][^\\\n]*==[^\\\n]*)", text, re.MULTILINE)
    return [Requirement(line.strip()) for line in lines]


def versions(text: str) -> dict[str, set[str]]:
    """The versions that a compiled file pins of each package: more than one where markers tell them apart."""
    found: dict[str, set[str]] = {}
    for pin in pins(text):
        found.setdefault(canonicalize_name(pin.name), set()).update(one.version for one in pin.specifier)
    return found


def unmet(wanted: list[Requirement], text: str) -> list[str]:
    """Each requirement that no pin meets."""
    pinned = versions(text)
    found = []
    for requirement in wanted:
        there = pinned.get(canonicalize_name(requirement.name), set())
        if not any(requirement.specifier.contains(version) for version in there):
            found.append(f"{requirement}: pinned is {', '.join(sorted(there)) or 'nothing'}")
    return found


def test_every_requirement_of_pyproject_is_pinned_as_it_asks() -> None:
    assert unmet([*DEV, *WHEEL, *EMBEDDED_AWS], REQUIREMENTS) == []
    assert unmet([*DEPLOY, *WHEEL], SLIM) == []


@pytest.mark.parametrize(("wanted", "text"), [(DEV, REQUIREMENTS), (DEPLOY, SLIM)], ids=["dev", "deploy"])
def test_every_pin_is_required_by_something(wanted: list[Requirement], text: str) -> None:
    needed = reachable(wanted)
    assert sorted(name for name in versions(text) if name not in needed) == []


def test_what_deploys_is_pinned_as_the_checks_have_it() -> None:
    tested = versions(REQUIREMENTS)
    assert {name: tested.get(name) for name in versions(SLIM)} == versions(SLIM)


def test_what_is_installed_is_what_is_pinned() -> None:
    for name, pinned in versions(REQUIREMENTS).items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            marked = [pin for pin in pins(REQUIREMENTS) if canonicalize_name(pin.name) == name and pin.marker]
            assert marked, f"{name} is pinned for every platform and not installed"
            continue
        assert installed in pinned


def test_every_pin_has_hashes_and_no_address() -> None:
    for text in (REQUIREMENTS, SLIM):
        for block in re.split(r"\n(?=[a-z0-9])", text)[1:]:
            assert "--hash=sha256:" in block, block.splitlines()[0]
        assert not re.search(r"://|^-|file:|find-links|index-url", text, re.MULTILINE)


def test_the_development_group_is_pinned_in_pyproject_too() -> None:
    for requirement in DEV:
        assert str(requirement.specifier).startswith("=="), f"{requirement}: give one version"


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ("moto==9.9.9", "moto==9.9.9: pinned is "),
        ("no-such-package", "no-such-package: pinned is nothing"),
    ],
)
def test_a_requirement_that_is_not_pinned_is_found(wanted: str, problem: str) -> None:
    (found,) = unmet([Requirement(wanted)], REQUIREMENTS)
    assert found.startswith(problem)


def test_a_pin_that_nothing_requires_is_found() -> None:
    assert "hypothesis" in versions(REQUIREMENTS)
    assert "hypothesis" not in reachable([one for one in DEV if one.name != "hypothesis"])


def test_the_cdk_cli_is_pinned_and_its_lock_names_no_registry() -> None:
    wanted = json.loads((ROOT / "package.json").read_text("utf-8"))["dependencies"]
    lock = json.loads((ROOT / "package-lock.json").read_text("utf-8"))["packages"]
    assert set(wanted) == {"aws-cdk"}
    package = lock["node_modules/aws-cdk"]
    assert package["version"] == wanted["aws-cdk"]
    assert package["integrity"].startswith("sha512-")
    assert "resolved" not in package
    assert "hasInstallScript" not in package
