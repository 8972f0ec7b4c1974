"""What the tests on the embedded AWS share: one server a process, emptied before each module, and a stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localaws import LocalAws
from scenarios.framework import DeployedStack
from scenarios.support.faults import Faults
from tasks.demo import deploy

_running: list[LocalAws] = []


def _serving(aws: LocalAws) -> Iterator[LocalAws]:
    with aws:
        _running.append(aws)
        yield aws
        _running.remove(aws)


@pytest.fixture(scope="session")
def local_aws() -> Iterator[LocalAws]:
    """The embedded AWS with its bridges. Started when the first test asks for it."""
    yield from _serving(LocalAws())


@pytest.fixture(scope="session")
def stock_aws() -> Iterator[LocalAws]:
    """The emulator without our bridges, for the tests that say why a bridge is still needed."""
    yield from _serving(LocalAws(bridges=False))


@pytest.fixture(scope="module", autouse=True)
def _empty_account() -> None:
    """No module sees what another one left. Fixtures of a module's own run after this one."""
    for aws in _running:
        aws.reset()


@pytest.fixture
def empty_aws(local_aws: LocalAws) -> LocalAws:
    """The embedded AWS, emptied for this test alone."""
    local_aws.reset()
    return local_aws


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest, local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory
) -> DeployedStack:
    """The architecture that the module is named after, deployed with the real CDK CLI."""
    name = request.path.stem.removeprefix("test_").replace("_", "-")
    folder = tmp_path_factory.mktemp(name)
    outputs = deploy(name, local_aws, folder)
    return DeployedStack(name, outputs, local_aws.session, out=folder / "out", patience=40)


@pytest.fixture
def faults(local_aws: LocalAws) -> Faults:
    """Breaks that stack."""
    return Faults(local_aws.session)
