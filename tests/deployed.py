"""Fixtures for tests on the embedded AWS: one server a process, and the row of the catalogue deployed on it.

A row is deployed once: all tests of the row, in ``tests/contracts`` and in ``tests/local``, run one after the
other and share the deployment (``order_by_row``). The account is emptied before the next row.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localaws import LocalAws
from localaws.engines import namespaces
from scenarios.framework import DeployedStack, Outcome
from scenarios.support.faults import Faults
from stacks.architecture import Architecture
from stacks.catalogue import ARCHITECTURES
from tasks.cdk import EVERY, FOR_THIS_MACHINE, Cdk, cli
from tasks.checks import SHARED_ASSEMBLY
from tasks.demo import deploy
from tasks.locking import one_at_a_time
from tasks.verify import scenario_of

# In seconds: longer than in the demo, for checks that share the processor.
_PATIENCE = 40


@pytest.fixture(scope="session")
def local_aws() -> Iterator[LocalAws]:
    """The embedded AWS. Started when the first test asks for it."""
    with LocalAws() as aws:
        yield aws


class Deployments:
    """The row that is deployed on the embedded AWS.

    Attributes:
        since: When its deployment began, in seconds since 1970.
    """

    def __init__(self, aws: LocalAws, folder: Path) -> None:
        self._aws = aws
        self._folder = folder
        self._current: DeployedStack | None = None
        self.since = 0.0
        self._outcomes: dict[str, Outcome] = {}

    def stack(self, id: str) -> DeployedStack:
        """Return the deployed stack of a row; deploy it with the real CDK CLI unless it is there."""
        if self._current is None or self._current.name != id:
            self.clear()
            self.since = time.time()  # a schedule may run, and a connection be opened, before the CLI ends
            outputs = self._deploy(id)
            out = self._folder / id / "out"
            self._current = DeployedStack.embedded(id, outputs, self._aws, out=out, patience=_PATIENCE)
        return self._current

    def _deploy(self, id: str) -> dict[str, str]:
        shared = os.environ.get(SHARED_ASSEMBLY)
        if shared is None:
            return deploy(id, self._aws, self._folder / id)
        assembly = synthesise_once(Path(shared))
        self._aws.bootstrap(cli())
        environment = {**os.environ, **self._aws.environment, **FOR_THIS_MACHINE}
        return Cdk(environment, folder=self._folder / id).deploy(id, assembly)

    def once(self, what: str, play: Callable[[], Outcome]) -> Outcome:
        """Return the outcome of a run or a drill of the deployed row, which is played once a deployment."""
        if what not in self._outcomes:
            self._outcomes[what] = play()
        return self._outcomes[what]

    def clear(self) -> None:
        """Empty the account."""
        self._current = None
        self._outcomes.clear()
        self._aws.reset()


def synthesise_once(folder: Path) -> Path:
    """Return the cloud assembly of all rows in a folder; the process that comes first synthesises it.

    Each synthesis starts the CLI, Python and jsii, which takes as long as making several stacks.
    """
    cdk = Cdk({**os.environ, **FOR_THIS_MACHINE}, folder=folder)
    assembly = cdk.assembly(EVERY)
    with one_at_a_time(folder / "lock", waiting_for="the synthesis of all rows"):
        if not (assembly / "manifest.json").exists():
            with cdk.synthesizing(EVERY) as synth:
                synth.finish()
    return assembly


@pytest.fixture(scope="session")
def deployments(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Deployments:
    """Deploys rows of the catalogue."""
    return Deployments(local_aws, tmp_path_factory.mktemp("deployments"))


@pytest.fixture
def stack(request: pytest.FixtureRequest, deployments: Deployments) -> DeployedStack:
    """The deployed stack of the row that the test is about."""
    row = row_of(request.node)
    assert row is not None, f"{request.node.nodeid} is not about a row of the catalogue"
    if getattr(scenario_of(row.id), "NEEDS_NAMESPACES", False) and not namespaces.available():
        pytest.skip("functions have no file system of their own on this machine")
    return deployments.stack(row.id)


@pytest.fixture
def outcome(stack: DeployedStack, deployments: Deployments) -> Outcome:
    """What the row's scenario returned; all tests of the row share one run."""
    return deployments.once("run", lambda: scenario_of(stack.name).run(stack))


@pytest.fixture
def drilled(stack: DeployedStack, faults: Faults, deployments: Deployments) -> Outcome:
    """What the row's failure drill returned; all tests of the row share one drill."""
    return deployments.once("drill", lambda: scenario_of(stack.name).drill(stack, faults))


@pytest.fixture
def empty_aws(local_aws: LocalAws, deployments: Deployments) -> LocalAws:
    """The embedded AWS with an empty account."""
    deployments.clear()
    return local_aws


@pytest.fixture
def faults(local_aws: LocalAws) -> Faults:
    """Breaks the deployed stack."""
    return Faults(local_aws.session)


def row_of(item: pytest.Item) -> Architecture | None:
    """Return the row that a test is about: its parameter ``row``, or the one its module is named after."""
    parameters = getattr(item, "callspec", None)
    if parameters is not None and isinstance(parameters.params.get("row"), Architecture):
        row: Architecture = parameters.params["row"]
        return row
    name = item.path.stem.removeprefix("test_")
    rows = [row for row in ARCHITECTURES if name == row.module or name.startswith(f"{row.module}_")]
    return rows[0] if rows and item.path.parent.name == rows[0].family else None


def order_by_row(items: list[pytest.Item]) -> None:
    """Run the tests on the embedded AWS row by row, so that each row is deployed once.

    Tests with the mark ``breaks`` come last in their row: a scenario that fails leaves things behind.
    """
    places = {row.id: place for place, row in enumerate(ARCHITECTURES)}

    def place(item: pytest.Item) -> tuple[int, bool]:
        row = row_of(item)
        return places[row.id] if row else len(places), item.get_closest_marker("breaks") is not None

    local = [index for index, item in enumerate(items) if item.get_closest_marker("local")]
    for index, item in zip(local, sorted((items[index] for index in local), key=place), strict=True):
        items[index] = item
